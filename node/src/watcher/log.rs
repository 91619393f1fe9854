//! One line a minute: an agent that is down for a day must not fill the disk.

use crate::core::session::Now;
use crate::limits;

/// Decides whether a trouble of one kind is worth a line. Time is an argument.
#[derive(Debug, Default)]
pub struct TroubleLog(Option<Told>);

#[derive(Debug)]
struct Told {
    at: Now,
    suppressed: u64,
}

impl TroubleLog {
    /// Something went wrong. Returns how often nothing was said of it since the last line; `None`: nothing is said now
    /// either. The text may differ each time, so it is not looked at.
    pub fn note(&mut self, now: Now) -> Option<u64> {
        let suppressed = match &mut self.0 {
            Some(told) if now.saturating_sub(told.at) < limits::AGENT_LOG_INTERVAL => {
                told.suppressed += 1;
                return None;
            }
            Some(told) => told.suppressed,
            None => 0,
        };
        self.0 = Some(Told { at: now, suppressed: 0 });
        Some(suppressed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ten_minutes_of_trouble_are_ten_lines_and_nothing_is_left_out() {
        let mut log = TroubleLog::default();
        let (mut lines, mut counted) = (0, 0);
        for second in 0..=600 {
            if let Some(suppressed) = log.note(Duration::from_secs(second)) {
                lines += 1;
                counted += suppressed + 1;
            }
        }
        assert_eq!((lines, counted), (11, 601));
    }
}
