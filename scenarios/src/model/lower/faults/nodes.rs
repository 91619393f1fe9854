//! Faults of one node.

use super::super::super::Trouble;
use super::super::super::raw::RawFault;
use super::super::super::units::parse_signed_ms;
use super::super::Lower;
use crate::limits;

impl Lower<'_> {
    /// What happens to the node of a fault of a kind that is known.
    pub(super) fn trouble(&mut self, raw: &RawFault, path: &str) -> Option<Trouble> {
        Some(match raw.kind.get_ref().as_str() {
            "torn-write" => Trouble::TornWrite,
            "unsynced-loss" => Trouble::UnsyncedLoss,
            "data-loss" => Trouble::DataLoss,
            "pause" => Trouble::Pause,
            "disk-full" => Trouble::DiskFull,
            "disk-slow" => {
                self.required(&raw.sync, path, "sync", raw)?;
                let sync = self.positive(&raw.sync, &format!("{path}.sync"))?;
                Trouble::DiskSlow { sync }
            }
            "read-error" => Trouble::ReadError,
            "clock-jump" => {
                let by = self.required(&raw.by, path, "by", raw)?;
                let most = i64::try_from(limits::CLOCK_JUMP_MAX.as_millis()).unwrap_or(i64::MAX);
                let parsed = parse_signed_ms(by.get_ref()).filter(|ms| *ms != 0 && ms.abs() <= most);
                if parsed.is_none() {
                    let message = format!("a clock cannot jump by `{}`", by.get_ref());
                    let days = limits::CLOCK_JUMP_MAX.as_secs() / 86_400;
                    let help = format!(
                        "write a sign and a duration, as \"+5m\" or \"-2h\", of at least 1ms and at most {days}days"
                    );
                    self.error(by.span(), format!("{path}.by"), message, help);
                }
                Trouble::ClockJump { by_ms: parsed? }
            }
            "clock-skew" => {
                let rate = self.required_number(&raw.rate, path, "rate", raw)?;
                let good = rate != 0.0 && (-1.0..=limits::CLOCK_RATE_MAX).contains(&rate);
                if !good {
                    let message = format!("a clock cannot gain {rate} seconds each second");
                    let help =
                        format!("-1 (it stands still) to {}, and not 0: 0.05 is 5 % fast", limits::CLOCK_RATE_MAX);
                    let span = raw.rate.as_ref().map_or(0..0, |rate| rate.span());
                    self.error(span, format!("{path}.rate"), message, help);
                }
                Trouble::ClockSkew { rate }
            }
            _ => Trouble::Crash,
        })
    }
}
