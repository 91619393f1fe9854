//! Numbers and lines for people.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A duration with three digits or so: `850 µs`, `312 ms`, `1.24 s`, `12m 00s`.
pub fn span(value: Duration) -> String {
    let seconds = value.as_secs_f64();
    if seconds < 0.001 {
        format!("{} µs", value.as_micros())
    } else if seconds < 0.01 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 59.95 {
        format!("{seconds:.2} s")
    } else if seconds < 3_600.0 {
        let seconds = seconds.round() as u64;
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{}h {:02}m", minutes / 60, minutes % 60)
    }
}

/// Bytes with a unit: `999 B`, `1.2 kB`, `3.4 MB`.
pub fn bytes(count: f64) -> String {
    match count {
        c if c < 1e3 => format!("{c:.0} B"),
        c if c < 1e6 => format!("{:.1} kB", c / 1e3),
        c if c < 1e9 => format!("{:.1} MB", c / 1e6),
        c => format!("{:.1} GB", c / 1e9),
    }
}

/// `1 fault`, `2 faults`.
pub fn plural(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

/// An integer with thin groups of thousands: `12,345`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Appends a line, without the blanks that a table leaves at its end.
pub(crate) fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

/// A table of names, of so many columns of numbers to the right of them, and of whatever else follows.
pub(crate) fn table<'h>(head: impl IntoIterator<Item = &'h str>, numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for column in table.column_iter_mut().skip(1).take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Appends a table, indented.
pub(crate) fn push(out: &mut String, table: &Table) {
    table.to_string().lines().for_each(|row| line(out, &format!(" {row}")));
}

/// Breaks a text at spaces into lines of at most `width` characters; a longer word is broken hard.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + rest.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while !rest.is_empty() {
            let last = lines.last_mut().expect("invariant: there is always a line");
            if used > 0 {
                last.push(' ');
                used += 1;
            }
            let taken: String = rest.drain(..rest.len().min(width)).collect();
            used += taken.chars().count();
            last.push_str(&taken);
            if !rest.is_empty() {
                lines.push(String::new());
                used = 0;
            }
        }
    }
    lines
}

/// A curve of at most `columns` characters; each shows the mean of its share.
pub(super) fn sparkline(values: &[u64], columns: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = columns.min(values.len());
    let share = |column: usize| {
        let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        values[from..to].iter().sum::<u64>() as f64 / (to - from) as f64
    };
    let means: Vec<f64> = (0..columns).map(share).collect();
    let top = means.iter().copied().fold(0.0, f64::max);
    let bar = |mean: &f64| match top > 0.0 && *mean > 0.0 {
        true => BARS[((mean / top * 8.0).ceil() as usize).clamp(1, 8) - 1],
        false => ' ',
    };
    means.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        let shown = [1, 850, 3_120, 312_400, 999_700, 1_240_000, 59_960_000, 720_000_000, 5_400_000_000]
            .map(|micros| span(Duration::from_micros(micros)));
        assert_eq!(shown, ["1 µs", "850 µs", "3.12 ms", "312 ms", "1.00 s", "1.24 s", "1m 00s", "12m 00s", "1h 30m"]);
    }

    #[test]
    fn counts_are_grouped_and_lines_wrapped() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    }

    #[test]
    fn a_curve_shows_peaks_and_silence() {
        assert_eq!(sparkline(&[0, 1, 4, 8], 4), " ▁▄█");
        assert_eq!(sparkline(&[], 10), "");
    }
}
