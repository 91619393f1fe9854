//! Sampling, from raw bits to the last digit by our own arithmetic.
//!
//! A seed must keep its meaning: over versions of `rand` and of the C library, and when a parameter changes. So every
//! sample is one draw through an inverse distribution function. Each uses additions, multiplications, divisions and
//! square roots, which IEEE 754 makes exact, and logarithms and powers of the `libm` crate, which are the same on every
//! machine. `rand_distr` was rejected: its ziggurat draws a number of times that depends on what it drew, so a change of
//! one link's jitter would move every later fate on it, and its algorithms may change between versions. See
//! docs/adr/0023.

use rand::Rng;

/// Uniform in `[0, 1)` from the top 53 bits: independent of how a `rand` version samples floats.
pub(super) fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Where the normal distribution is cut off, in standard deviations to each side of the mean.
pub(super) const NORMAL_CUT: f64 = 3.0;

/// Probability of a standard normal sample below `-NORMAL_CUT`.
const NORMAL_TAIL: f64 = 0.001_349_898_031_630_094_5;

/// A standard normal sample within `±NORMAL_CUT`, from a uniform one in `[0, 1)`. Standard deviation 0.986_578.
pub(super) fn truncated_normal(uniform: f64) -> f64 {
    inverse_normal(NORMAL_TAIL + uniform * (1.0 - 2.0 * NORMAL_TAIL)).clamp(-NORMAL_CUT, NORMAL_CUT)
}

/// The excess over its least value of a Pareto sample with scale 1 (a Lomax sample), from a uniform one in `[0, 1)`.
/// Mean `1 / (shape - 1)`.
pub(super) fn pareto_excess(uniform: f64, shape: f64) -> f64 {
    libm::pow(1.0 - uniform, -1.0 / shape) - 1.0
}

/// The standard normal quantile by Acklam's rational approximation (relative error below 1.2e-9, far below the
/// nanosecond grain of a latency).
fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    const LOW: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * libm::log(p)).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < LOW {
        tail(p)
    } else if p > 1.0 - LOW {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.841_344_746, 1.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306)] {
            assert!((inverse_normal(p) - z).abs() < 1e-6, "{p}: {}", inverse_normal(p));
        }
    }

    #[test]
    fn a_seed_keeps_its_meaning() {
        // If this fails, every recorded seed of a scenario with such a link means another run: think twice.
        assert_eq!(
            [truncated_normal(0.1).to_bits(), pareto_excess(0.9, 2.5).to_bits()],
            [0xBFF4_6821_21C4_5440, 0x3FF8_30AF_D3A9_98C0]
        );
    }
}
