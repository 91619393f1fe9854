//! Recorded traces, as text: hostile until parsed.

use std::time::Duration;

use thiserror::Error;

use super::{Conditions, Opportunities, Windows};
use crate::limits;

/// First line of a CSV trace: names with units, so that nobody has to guess them.
pub const CSV_HEADER: &str = "time_s,rate_bps,delay_ms,loss";

/// A trace that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: TraceProblem,
}

/// What is wrong with a line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TraceProblem {
    /// The file is too long.
    #[error("the trace is longer than {} bytes; cut it, or repeat a part of it", limits::TRACE_BYTES)]
    TooLong,
    /// There are too many lines.
    #[error("more than {} entries; cut the trace, or repeat a part of it", limits::TRACE_ENTRIES)]
    TooMany,
    /// There is nothing in it.
    #[error("the trace is empty")]
    Empty,
    /// The first line of a CSV trace.
    #[error("a CSV trace begins with the line `{CSV_HEADER}`")]
    Header,
    /// A line of a CSV trace has other than four cells.
    #[error("{0} cells; a line has four: {CSV_HEADER}")]
    Cells(usize),
    /// A cell or a line that is not what it should be.
    #[error("`{text}` is not {wanted}")]
    Value {
        /// What is there.
        text: String,
        /// What should be.
        wanted: &'static str,
    },
    /// Times do not rise.
    #[error("`{0}` is before the line above; times must {rise}", rise = if *.1 { "rise" } else { "not fall" })]
    Order(String, bool),
    /// The last time is zero.
    #[error("the trace has no length: its last time is 0")]
    NoLength,
    /// It would begin again too soon.
    #[error("the trace would begin again after {0:?}; at least {least:?}", least = limits::SCHEDULE_PERIOD_MIN)]
    TooShort(Duration),
}

/// Characters of a file that a message quotes: the file may be anything.
const QUOTED_CHARS: usize = 24;

fn quoted(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(QUOTED_CHARS).map(printable).collect()
}

fn value(text: &str, wanted: &'static str) -> TraceProblem {
    TraceProblem::Value { text: quoted(text), wanted }
}

/// Lines that say something, with their numbers; `#` begins a comment.
fn lines(text: &str) -> Result<Vec<(usize, &str)>, TraceError> {
    let error = |line, problem| Err(TraceError { line, problem });
    if text.len() > limits::TRACE_BYTES {
        return error(1, TraceProblem::TooLong);
    }
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if entries.len() > limits::TRACE_ENTRIES {
            return error(number + 1, TraceProblem::TooMany);
        }
        entries.push((number + 1, line));
    }
    if entries.is_empty() { error(1, TraceProblem::Empty) } else { Ok(entries) }
}

/// Mahimahi's packet-delivery format: on each line the millisecond at which 1,500 bytes pass.
pub fn parse_mahimahi(text: &str) -> Result<Opportunities, TraceError> {
    let mut at_ms: Vec<u32> = Vec::new();
    let lines = lines(text)?;
    for &(number, line) in &lines {
        let error = |problem| TraceError { line: number, problem };
        let ms = line.parse().ok().filter(|ms| Duration::from_millis(u64::from(*ms)) <= limits::DURATION_MAX);
        let ms: u32 = ms.ok_or_else(|| error(value(line, "a time in whole milliseconds of at most a week")))?;
        if at_ms.last().is_some_and(|last| *last > ms) {
            return Err(error(TraceProblem::Order(quoted(line), false)));
        }
        at_ms.push(ms);
    }
    let last = lines.last().map_or(1, |(number, _)| *number);
    Opportunities::new(at_ms).ok_or(TraceError { line: last, problem: TraceProblem::NoLength })
}

/// A CSV trace. Each line holds from its time on until the next; before the first, the link is as its parameters say. An
/// empty cell is as the parameters say too. A rate of 0 holds the queue, the rate `down` is out of contact. With
/// `repeat` the last line only says where the trace begins again.
pub fn parse_csv(text: &str, repeat: bool) -> Result<Windows, TraceError> {
    let lines = lines(text)?;
    let (first, header) = lines[0];
    if header.split(',').map(str::trim).ne(CSV_HEADER.split(',')) {
        return Err(TraceError { line: first, problem: TraceProblem::Header });
    }
    let mut pieces: Vec<(Duration, Conditions)> = Vec::new();
    for &(line, text) in &lines[1..] {
        let error = |problem| TraceError { line, problem };
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        let [time, rate, delay, loss] = cells[..] else { return Err(error(TraceProblem::Cells(cells.len()))) };
        let at = span(time, 1.0, limits::DURATION_MAX)
            .ok_or_else(|| error(value(time, "a time in seconds of at most a week")))?;
        if pieces.last().is_some_and(|(last, _)| *last >= at) {
            return Err(error(TraceProblem::Order(quoted(time), true)));
        }
        pieces.push((at, conditions(rate, delay, loss).map_err(error)?));
    }
    let end = lines.last().map_or(1, |(number, _)| *number);
    let nothing = TraceError { line: end, problem: TraceProblem::Empty };
    let period = match repeat {
        true => Some(pieces.pop().ok_or(nothing.clone())?.0),
        false => None,
    };
    if pieces.is_empty() {
        return Err(nothing);
    }
    if let Some(period) = period.filter(|period| *period < limits::SCHEDULE_PERIOD_MIN) {
        return Err(TraceError { line: end, problem: TraceProblem::TooShort(period) });
    }
    let windows = Windows::new(Conditions::UP, pieces, period);
    windows.ok_or(TraceError { line: end, problem: TraceProblem::NoLength })
}

fn conditions(rate: &str, delay: &str, loss: &str) -> Result<Conditions, TraceProblem> {
    if rate == "down" {
        return Ok(Conditions::DOWN);
    }
    let bandwidth_bps = match rate {
        "" => None,
        // Less than the least, but more than nothing, would take for ever in a way that looks like an outage.
        text => Some(
            text.parse()
                .ok()
                .filter(|bps| *bps == 0 || *bps >= limits::BANDWIDTH_MIN)
                .ok_or_else(|| value(text, "a rate: whole bits per second from 1000, 0 to hold, or `down`"))?,
        ),
    };
    let latency = match delay {
        "" => None,
        text => Some(
            span(text, 1e-3, limits::LATENCY_MAX)
                .ok_or_else(|| value(text, "a delay in milliseconds of at most 60000"))?,
        ),
    };
    let loss = match loss {
        "" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|loss| (0.0..=1.0).contains(loss))
                .ok_or_else(|| value(text, "a loss: a probability from 0 to 1"))?,
        ),
    };
    Ok(Conditions { up: true, bandwidth_bps, latency, loss })
}

fn span(text: &str, unit: f64, most: Duration) -> Option<Duration> {
    let value: f64 = text.parse().ok()?;
    let span = Duration::try_from_secs_f64(value * unit).ok()?;
    (span <= most).then_some(span)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::schedule::Schedule;
    use super::*;
    use crate::time::SimTime;

    fn message(result: Result<impl std::fmt::Debug, TraceError>) -> String {
        result.expect_err("must be refused").to_string()
    }

    #[test]
    fn a_recorded_pass_reads_as_it_was_written() {
        let text = "time_s, rate_bps, delay_ms, loss\n# rise\n10,2000000,12.5,0.1\n20,,,\n30,0,,\n40,down,,\n";
        let schedule = Schedule::Windows(parse_csv(text, false).unwrap());
        let at = |secs| schedule.at(SimTime::from_secs(secs));
        assert_eq!(at(0), Conditions::UP);
        let rise = at(15);
        assert_eq!((rise.bandwidth_bps, rise.latency), (Some(2_000_000), Some(Duration::from_micros(12_500))));
        assert_eq!(rise.loss, Some(0.1));
        assert_eq!(at(25), Conditions::UP);
        assert_eq!(at(35).bandwidth_bps, Some(0));
        assert!(!at(4_000).up);
    }

    #[test]
    fn the_last_line_of_a_repeated_trace_is_its_length() {
        let text = "time_s,rate_bps,delay_ms,loss\n0,1000,,\n10,down,,\n30,,,\n";
        let schedule = Schedule::Windows(parse_csv(text, true).unwrap());
        assert!(schedule.in_contact(SimTime::from_secs(65)));
        assert!(!schedule.in_contact(SimTime::from_secs(75)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert_eq!(
            message(parse_mahimahi("1\n2\nthree\n")),
            "line 3: `three` is not a time in whole milliseconds of at most a week"
        );
        assert_eq!(message(parse_mahimahi("5\n4\n")), "line 2: `4` is before the line above; times must not fall");
        assert_eq!(message(parse_mahimahi("# nothing\n")), "line 1: the trace is empty");
        assert_eq!(message(parse_mahimahi("0\n0\n")), "line 2: the trace has no length: its last time is 0");
        let csv = |body: &str| message(parse_csv(&format!("{CSV_HEADER}\n{body}"), false));
        assert_eq!(csv("0,1,2"), "line 2: 3 cells; a line has four: time_s,rate_bps,delay_ms,loss");
        assert_eq!(csv("0,,,\n0,,,"), "line 3: `0` is before the line above; times must rise");
        assert_eq!(
            csv("0,fast,,"),
            "line 2: `fast` is not a rate: whole bits per second from 1000, 0 to hold, or `down`"
        );
        let short = parse_csv(&format!("{CSV_HEADER}\n0,,,\n0.05,,,"), true);
        assert_eq!(message(short), "line 3: the trace would begin again after 50ms; at least 100ms");
        assert_eq!(csv("0,,-1,"), "line 2: `-1` is not a delay in milliseconds of at most 60000");
        assert_eq!(csv("0,,,2"), "line 2: `2` is not a loss: a probability from 0 to 1");
        assert_eq!(csv("-3,,,"), "line 2: `-3` is not a time in seconds of at most a week");
        assert_eq!(
            message(parse_csv("0,1000,,", false)),
            format!("line 1: a CSV trace begins with the line `{CSV_HEADER}`")
        );
    }

    #[test]
    fn a_trace_that_is_too_long_is_refused() {
        assert_eq!(parse_mahimahi(&"1\n".repeat(limits::TRACE_BYTES)).unwrap_err().problem, TraceProblem::TooLong);
        let many = "1\n".repeat(limits::TRACE_ENTRIES + 2);
        assert_eq!(parse_mahimahi(&many).unwrap_err().problem, TraceProblem::TooMany);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "[0-9,.\\-a-z\\n#]{0,80}", repeat: bool) {
            let _ = parse_mahimahi(&text);
            let _ = parse_csv(&text, repeat);
            let _ = parse_csv(&format!("{CSV_HEADER}\n{text}"), repeat);
        }
    }
}
