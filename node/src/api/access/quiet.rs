//! One line a minute: whoever is refused a thousand times a second must neither fill the disk nor go unseen.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits;

/// Decides which of many events is worth a line.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Option<(Instant, u64)>>);

impl Quiet {
    /// Something happened. `Some`: it is worth a line, and so many before it were not.
    pub(super) fn line(&self) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match last.as_mut() {
            Some((at, unsaid)) if now.duration_since(*at) < limits::REFUSAL_LOG_INTERVAL => {
                *unsaid += 1;
                None
            }
            _ => Some(last.replace((now, 0)).map_or(0, |(_, unsaid)| unsaid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_line_a_minute_with_the_number_that_was_left_out() {
        let quiet = Quiet::default();
        assert_eq!([quiet.line(), quiet.line(), quiet.line()], [Some(0), None, None]);
        tokio::time::advance(limits::REFUSAL_LOG_INTERVAL).await;
        assert_eq!([quiet.line(), quiet.line()], [Some(2), None]);
    }
}
