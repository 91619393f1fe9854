//! Percentiles of durations, exact: every sample is kept.

use std::time::Duration;

/// Durations of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl From<&[Duration]> for Samples {
    fn from(samples: &[Duration]) -> Self {
        Self(samples.to_vec())
    }
}

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, more: Samples) {
        self.0.extend(more.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Nearest rank: the smallest sample that at least `percent` of all do not exceed; zero of nothing.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// Each sample halved: one way of a round trip.
    pub(crate) fn halved(&self) -> Samples {
        Samples(self.0.iter().map(|sample| *sample / 2).collect())
    }
}

/// Milliseconds, for people and for JSON.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples = Samples((1..=200).rev().map(Duration::from_millis).collect());
        let at = |percent| samples.percentile(percent).as_millis();
        assert_eq!((at(0), at(50), at(99), at(100)), (1, 100, 198, 200));
        assert_eq!(Samples::default().p50(), Duration::ZERO);
    }
}
