//! Two programs on a noisy machine: how much slower is one than the other, and how sure is that?
//!
//! Both are measured in turns, so whatever else the machine does hits both. Neighbouring samples make a block, and each
//! block gives one ratio of medians: what is slow for a second is slow on both sides of that ratio. The ratio of the
//! whole is the median over the blocks, and its interval is that of the sign test, between two order statistics, which
//! asks nothing of the distribution: with blocks that fell to either side by chance, the true median lies outside in at
//! most one comparison of twenty.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stats::Samples;

/// Chance that the true median is below the interval, and the same above.
const TAIL: f64 = 0.025;

/// Fewest blocks of which an interval can be told: 2^-6 is less than a [`TAIL`].
pub(crate) const BLOCKS_MIN: usize = 6;

/// How many times as long the new one takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// Median over the blocks.
    pub(crate) value: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// What to make of a ratio, where so much more than 1 is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judgement {
    /// The whole interval is below 1.
    Faster,
    /// 1 is in it.
    Same,
    /// The whole interval is above 1, and not all of it above what is allowed.
    Slower,
    /// All of it is above what is allowed.
    Regression,
}

impl Ratio {
    /// Of samples that were taken in turns: the i-th of one side beside the i-th of the other. `None`: too few for an
    /// interval.
    pub(crate) fn of(base: &[Duration], new: &[Duration], blocks: usize) -> Option<Ratio> {
        let pairs = base.len().min(new.len());
        if blocks < BLOCKS_MIN || pairs < blocks {
            return None;
        }
        let median = |of: &[Duration]| Samples::from(of).p50().as_secs_f64();
        let ratio = |block: usize| {
            let range = pairs * block / blocks..pairs * (block + 1) / blocks;
            median(&new[range.clone()]) / median(&base[range])
        };
        let mut ratios: Vec<f64> = (0..blocks).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let outside = outside(blocks);
        let middle = (ratios[(blocks - 1) / 2] + ratios[blocks / 2]) / 2.0;
        Some(Ratio { value: middle, low: ratios[outside], high: ratios[blocks - 1 - outside] })
    }

    /// `allowed`: 0.1 lets it take a tenth longer.
    pub(crate) fn judge(self, allowed: f64) -> Judgement {
        match self {
            Ratio { low, .. } if low > 1.0 + allowed => Judgement::Regression,
            Ratio { low, .. } if low > 1.0 => Judgement::Slower,
            Ratio { high, .. } if high < 1.0 => Judgement::Faster,
            _ => Judgement::Same,
        }
    }
}

impl Judgement {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Judgement::Faster => "faster",
            Judgement::Same => "same",
            Judgement::Slower => "slower",
            Judgement::Regression => "REGRESSION",
        }
    }
}

/// How many order statistics may be left out at either end: the most heads that come up in so many throws, them and
/// fewer, no more often than [`TAIL`].
fn outside(throws: usize) -> usize {
    let (mut chance, mut sum, mut heads) = (0.5f64.powi(throws as i32), 0.0, 0usize);
    loop {
        sum += chance;
        if sum > TAIL {
            return heads.saturating_sub(1);
        }
        chance *= (throws - heads) as f64 / (heads + 1) as f64;
        heads += 1;
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    /// Latencies as they are: a floor, a tail, and a machine that is three times as slow for a while.
    fn samples(seed: u64, slower: f64) -> (Vec<Duration>, Vec<Duration>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut one = |at: usize, slower: f64| {
            let chance = f64::from(rng.next_u32()) / f64::from(u32::MAX);
            let tail = 0.3 / (1.02 - chance);
            let load = if (at / 40) % 3 == 1 { 3.0 } else { 1.0 };
            Duration::from_secs_f64((1.0 + tail) * slower * load / 1e3)
        };
        (0..400).map(|at| (one(at, 1.0), one(at, slower))).unzip()
    }

    #[test]
    fn the_same_program_is_no_regression_whatever_the_machine_does() {
        for seed in 0..200 {
            let (base, new) = samples(seed, 1.0);
            let ratio = Ratio::of(&base, &new, 20).expect("enough");
            assert_ne!(ratio.judge(0.1), Judgement::Regression, "seed {seed}: {ratio:?}");
        }
    }

    #[test]
    fn a_third_slower_is_always_noticed_and_a_third_faster_is_none() {
        for seed in 0..200 {
            let (base, new) = samples(seed, 1.33);
            let ratio = Ratio::of(&base, &new, 20).expect("enough");
            assert_eq!(ratio.judge(0.1), Judgement::Regression, "seed {seed}: {ratio:?}");
            let ratio = Ratio::of(&new, &base, 20).expect("enough");
            assert_eq!(ratio.judge(0.1), Judgement::Faster, "seed {seed}: {ratio:?}");
        }
    }

    #[test]
    fn within_what_is_allowed_it_is_slower_and_no_regression() {
        let (base, _) = samples(1, 1.0);
        let new: Vec<Duration> = base.iter().map(|sample| sample.mul_f64(1.05)).collect();
        assert_eq!(Ratio::of(&base, &new, 20).map(|ratio| ratio.judge(0.1)), Some(Judgement::Slower));
        assert_eq!(Ratio::of(&base, &base, 20).map(|ratio| ratio.judge(0.0)), Some(Judgement::Same));
    }

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // Tables of the sign test, two-sided at 5 %: the greatest r with P(X ≤ r) ≤ 0.025.
        for (throws, left_out) in [(6, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5), (25, 7), (50, 17)] {
            assert_eq!(outside(throws), left_out, "{throws}");
        }
        assert_eq!(Ratio::of(&[Duration::from_millis(1); 100], &[Duration::from_millis(1); 100], 5), None);
        assert_eq!(Ratio::of(&[], &[], 20), None);
    }
}
