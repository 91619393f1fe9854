//! Durations, bandwidths and sizes as people write them.

use std::time::Duration;

const BANDWIDTHS: [(&str, u64); 4] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const SIZES: [(&str, u64); 6] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];

pub(super) const DURATION_HELP: &str = "write a number and a unit: \"250ms\", \"30s\", \"12m\", \"1h 30m\"";
pub(super) const BANDWIDTH_HELP: &str = "write bits per second: \"64kbit\", \"2Mbit\", \"1Gbit\"";
pub(super) const SIZE_HELP: &str = "write a number of bytes: \"1500B\", \"64KiB\", \"2MiB\"";

pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

pub(super) fn format_duration(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// A sign and a duration, in whole milliseconds: `+5m`, `-2h`; without a sign it is ahead.
pub(super) fn parse_signed_ms(text: &str) -> Option<i64> {
    let (sign, span) = match text.strip_prefix('-') {
        Some(span) => (-1, span),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    Some(sign * i64::try_from(parse_duration(span)?.as_millis()).ok()?)
}

pub(super) fn format_signed_ms(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}", format_duration(Duration::from_millis(ms.unsigned_abs())))
}

pub(super) fn parse_bandwidth(text: &str) -> Option<u64> {
    parse(text.strip_suffix("/s").unwrap_or(text), &BANDWIDTHS)
}

pub(super) fn format_bandwidth(bps: u64) -> String {
    format(bps, &BANDWIDTHS)
}

pub(super) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

pub(super) fn format_size(bytes: u64) -> String {
    format(bytes, &SIZES)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value: f64 = number.parse().ok()?;
    let scaled = value * factor as f64;
    (0.0..1e18).contains(&scaled).then_some(scaled.round() as u64)
}

/// In the largest unit that divides it, so that it reads back exactly.
fn format(value: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_units_in_several_ways() {
        assert_eq!(parse_bandwidth("2Mbit"), Some(2_000_000));
        assert_eq!(parse_bandwidth("1.5 Mbit/s"), Some(1_500_000));
        assert_eq!(parse_bandwidth("2MB"), None);
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("64"), None);
    }

    proptest! {
        #[test]
        fn formatted_values_read_back(value in 0u64..1 << 50) {
            prop_assert_eq!(parse_bandwidth(&format_bandwidth(value)), Some(value));
            prop_assert_eq!(parse_size(&format_size(value)), Some(value));
            let span = Duration::from_nanos(value);
            prop_assert_eq!(parse_duration(&format_duration(span)), Some(span));
            for ms in [value as i64, -(value as i64)] {
                prop_assert_eq!(parse_signed_ms(&format_signed_ms(ms)), Some(ms));
            }
        }
    }
}
