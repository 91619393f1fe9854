//! One line per source and minute: a flood of strangers must neither fill the disk nor go unseen.

use std::collections::BTreeMap;

use crate::core::session::Now;
use crate::limits;
use crate::mesh::throttle::Source;

/// Decides which refusals are worth a line. Time is an argument.
#[derive(Debug, Default)]
pub struct RefusalLog {
    sources: BTreeMap<Source, Window>,
    /// Sources for which there is no room, together.
    others: Option<Window>,
}

/// The minute since the last line.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Now,
    suppressed: u64,
}

/// A line about what was not logged meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Of whom; `None`: of several for whom there was no room.
    pub source: Option<Source>,
    /// How many refusals.
    pub suppressed: u64,
}

impl RefusalLog {
    /// Somebody was refused. Returns whether that is a line of its own; else it is counted.
    pub fn note(&mut self, source: Source, now: Now) -> bool {
        if let Some(window) = self.sources.get_mut(&source) {
            window.suppressed += 1;
            return false;
        }
        if self.sources.len() < limits::MAX_REFUSAL_LOG {
            self.sources.insert(source, Window { since: now, suppressed: 0 });
            return true;
        }
        self.others.get_or_insert(Window { since: now, suppressed: 0 }).suppressed += 1;
        false
    }

    /// Summaries that are due; a source that was quiet for a minute is forgotten.
    pub fn due(&mut self, now: Now) -> Vec<Summary> {
        let over = |window: &Window| now.saturating_sub(window.since) >= limits::REFUSAL_LOG_INTERVAL;
        let mut due = Vec::new();
        self.sources.retain(|source, window| {
            if !over(window) {
                return true;
            }
            let suppressed = std::mem::take(&mut window.suppressed);
            window.since = now;
            if suppressed > 0 {
                due.push(Summary { source: Some(source.clone()), suppressed });
            }
            suppressed > 0
        });
        if let Some(window) = self.others.take_if(|window| over(window)) {
            due.push(Summary { source: None, suppressed: window.suppressed });
        }
        due
    }

    /// When [`RefusalLog::due`] has something to do next.
    pub fn deadline(&self) -> Option<Now> {
        let windows = self.sources.values().chain(&self.others);
        windows.map(|window| window.since + limits::REFUSAL_LOG_INTERVAL).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(n: u32) -> Source {
        Source::V4(n.into())
    }

    fn s(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_flood_of_ten_minutes_is_eleven_lines_and_nothing_is_left_out() {
        let mut log = RefusalLog::default();
        let (mut lines, mut counted) = (0, 0);
        for tenth in 0..6_000 {
            let now = Duration::from_millis(tenth * 100);
            for summary in log.due(now) {
                lines += 1;
                counted += summary.suppressed;
            }
            let news = log.note(source(1), now);
            lines += u64::from(news);
            counted += u64::from(news);
        }
        for summary in log.due(s(600)) {
            lines += 1;
            counted += summary.suppressed;
        }
        assert_eq!((lines, counted), (11, 6_000));
        assert_eq!(log.deadline(), Some(s(660)));
        assert!(log.due(s(660)).is_empty(), "quiet for a minute");
        assert_eq!(log.deadline(), None);
        assert!(log.note(source(1), s(661)), "and news again");
    }

    #[test]
    fn sources_without_room_are_counted_together() {
        let mut log = RefusalLog::default();
        let news = (0..10 * limits::MAX_REFUSAL_LOG as u32).filter(|n| log.note(source(*n), s(0))).count();
        assert_eq!(news, limits::MAX_REFUSAL_LOG);
        let suppressed = 9 * limits::MAX_REFUSAL_LOG as u64;
        assert_eq!(log.due(s(60)), [Summary { source: None, suppressed }]);
        assert_eq!(log.deadline(), None);
    }
}
