//! RED's decision for one datagram after the other.

use rand::Rng;

use super::super::random::unit;
use super::Red;

/// Weight of the present queue in the average (w_q). Floyd and Jacobson recommend 0.002.
const WEIGHT: f64 = 0.002;

/// The state of Floyd and Jacobson's algorithm, in bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in super::super) struct RedState {
    /// Average bytes in the queue.
    average: f64,
    /// Datagrams since the last drop, while the average is between the bounds; `None` when it is below them.
    since_drop: Option<u64>,
}

impl RedState {
    /// `waiting` bytes are in the queue; if none, the link has been idle for as long as `idle_datagrams` would have
    /// taken. Draws only between the bounds.
    pub(super) fn drops(&mut self, red: &Red, waiting: u64, idle_datagrams: u64, rng: &mut impl Rng) -> bool {
        if waiting == 0 {
            self.average *= power(1.0 - WEIGHT, idle_datagrams);
        } else {
            self.average += WEIGHT * (waiting as f64 - self.average);
        }
        let (min, max) = (red.min_bytes as f64, red.max_bytes as f64);
        if self.average < min {
            self.since_drop = None;
            return false;
        }
        if self.average >= max {
            self.since_drop = Some(0);
            return true;
        }
        let since = self.since_drop.map_or(0, |since| since + 1);
        let base = red.drop * (self.average - min) / (max - min);
        // Spaces the drops evenly: without it they would come in bursts.
        let spaced = base / (1.0 - since as f64 * base).max(base);
        let drop = unit(rng) < spaced;
        self.since_drop = Some(if drop { 0 } else { since });
        drop
    }
}

/// By squaring: exact to the same digit on every machine, which `powi` does not promise.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 && product > 0.0 {
        if exponent & 1 == 1 {
            product *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const RED: Red = Red { min_bytes: 5_000, max_bytes: 15_000, drop: 0.1 };

    fn share(waiting: u64) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut state = RedState::default();
        // Long enough for the average to settle, then measure.
        for _ in 0..20_000 {
            state.drops(&RED, waiting, 0, &mut rng);
        }
        (0..20_000).filter(|_| state.drops(&RED, waiting, 0, &mut rng)).count() as f64 / 20_000.0
    }

    #[test]
    fn nothing_is_dropped_below_the_bounds_and_everything_above() {
        assert_eq!(share(4_000), 0.0);
        assert_eq!(share(16_000), 1.0);
    }

    #[test]
    fn between_the_bounds_the_drops_are_spaced_uniformly() {
        // Half way the base probability is 0.05. By the paper's pseudo-code the distance of drops is then uniform over
        // 1..=19 datagrams, so its mean is 10 and a tenth is dropped.
        let share = share(10_000);
        assert!((share - 0.1).abs() < 0.005, "{share}");
    }

    #[test]
    fn an_idle_link_forgets() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut state = RedState::default();
        for _ in 0..20_000 {
            state.drops(&RED, 12_000, 0, &mut rng);
        }
        state.drops(&RED, 0, 2_000, &mut rng);
        assert!(state.average < 500.0, "{}", state.average);
    }

    #[test]
    fn powers_are_powers() {
        assert!((power(0.998, 1_000) - libm::pow(0.998, 1_000.0)).abs() < 1e-12);
        assert_eq!(power(0.5, 0), 1.0);
        assert_eq!(power(0.5, u64::MAX), 0.0);
    }
}
