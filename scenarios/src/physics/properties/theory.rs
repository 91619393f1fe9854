//! The model against textbooks: means, variances, quantiles, burst lengths, the delay of an M/D/1 queue.
//!
//! Bounds are six standard errors wide where the error is known: a right model fails one run in a billion.

use super::*;
use crate::physics::random::unit;

const SAMPLES: usize = 20_000;
const SIGMAS: f64 = 6.0;

fn latencies(spread: Spread, jitter_ms: u64, seed: u64) -> Vec<f64> {
    let params = LinkParams {
        latency: Duration::from_millis(100),
        jitter: Duration::from_millis(jitter_ms),
        spread,
        ..LinkParams::PERFECT
    };
    let mut link = Link::new(params);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sample = |_| {
        let fate = link.offer(SimTime::ZERO, 100, &mut rng);
        fate.deliveries().next().unwrap().at.as_secs_f64() * 1e3 - 100.0
    };
    (0..SAMPLES).map(sample).collect()
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

fn variance(samples: &[f64]) -> f64 {
    let mean = mean(samples);
    samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / samples.len() as f64
}

/// Of independent trials, as many as expected?
fn is_share(hits: usize, trials: usize, expected: f64) -> bool {
    let error = (expected * (1.0 - expected) / trials as f64).sqrt();
    (hits as f64 / trials as f64 - expected).abs() <= SIGMAS * error + 1e-9
}

fn share_below(samples: &[f64], bound: f64, expected: f64) {
    let below = samples.iter().filter(|x| **x <= bound).count();
    assert!(is_share(below, samples.len(), expected), "{below} of {} below {bound}", samples.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn uniform_jitter_has_the_mean_and_variance_of_a_uniform_distribution(jitter_ms in 1u64..1_000, seed: u64) {
        let jitter = jitter_ms as f64;
        let samples = latencies(Spread::Uniform, jitter_ms, seed);
        let (wanted, error) = (jitter * jitter / 12.0, jitter / (12.0 * SAMPLES as f64).sqrt());
        prop_assert!((mean(&samples) - jitter / 2.0).abs() < SIGMAS * error);
        prop_assert!((variance(&samples) / wanted - 1.0).abs() < 0.05);
    }

    #[test]
    fn normal_jitter_has_the_mean_and_variance_of_a_truncated_normal_distribution(jitter_ms in 1u64..1_000, seed: u64) {
        let jitter = jitter_ms as f64;
        let samples = latencies(Spread::Normal, jitter_ms, seed);
        // Cut off at three, a standard normal has the variance 1 - 2·3·φ(3)/(2Φ(3) - 1) = 0.973_337.
        let deviation = jitter / 3.0 * 0.973_337f64.sqrt();
        prop_assert!((mean(&samples) - jitter).abs() < SIGMAS * deviation / (SAMPLES as f64).sqrt());
        prop_assert!((variance(&samples) / deviation.powi(2) - 1.0).abs() < 0.06);
        // Quantiles of the standard normal within the cut.
        let inside = |p: f64| (p - 0.001_349_898) / (1.0 - 2.0 * 0.001_349_898);
        share_below(&samples, jitter * (1.0 + 1.0 / 3.0), inside(0.841_344_746));
        share_below(&samples, jitter * (1.0 - 2.0 / 3.0), inside(0.022_750_132));
        prop_assert!(samples.iter().all(|x| (0.0..=2.0 * jitter).contains(x)));
    }

    #[test]
    fn pareto_jitter_has_the_quantiles_of_a_pareto_distribution(jitter_ms in 1u64..50, shape in 1.2f64..8.0, seed: u64) {
        let jitter = jitter_ms as f64;
        let samples = latencies(Spread::Pareto { shape }, jitter_ms, seed);
        for p in [0.1f64, 0.5, 0.9, 0.99] {
            share_below(&samples, jitter * ((1.0 - p).powf(-1.0 / shape) - 1.0), p);
        }
        if shape > 5.0 {
            let deviation = jitter * (shape / ((shape - 1.0).powi(2) * (shape - 2.0))).sqrt();
            let error = SIGMAS * deviation / (SAMPLES as f64).sqrt();
            prop_assert!((mean(&samples) - jitter / (shape - 1.0)).abs() < error);
        }
    }

    #[test]
    fn independent_losses_duplicates_and_corruptions_have_their_shares(
        loss in 0.0f64..0.9, duplicate in 0.0f64..1.0, corrupt in 0.0f64..1.0, seed: u64,
    ) {
        let mut link = Link::new(LinkParams { loss, duplicate, corrupt, ..LinkParams::PERFECT });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..SAMPLES {
            link.offer(SimTime::ZERO, 100, &mut rng);
        }
        let counters = link.counters();
        let passed = SAMPLES - counters.loss as usize;
        prop_assert!(is_share(counters.loss as usize, SAMPLES, loss));
        prop_assert!(is_share(counters.duplicated as usize, passed, duplicate));
        prop_assert!(is_share(counters.corrupted as usize, counters.delivered as usize, corrupt));
    }

    #[test]
    fn bursts_are_as_long_and_as_frequent_as_the_chain_says(enter in 0.01f64..0.5, leave in 0.05f64..0.9, seed: u64) {
        let bursts = Bursts { enter, leave, loss: 1.0 };
        let mut link = Link::new(LinkParams { bursts: Some(bursts), ..LinkParams::PERFECT });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let offers = 200_000;
        let mut lengths: Vec<f64> = Vec::new();
        let mut length = 0;
        for _ in 0..offers {
            match link.offer(SimTime::ZERO, 100, &mut rng) {
                Fate::Drop(cause) => {
                    prop_assert_eq!(cause, DropCause::Burst);
                    length += 1;
                }
                Fate::Deliver(_) if length > 0 => lengths.push(f64::from(std::mem::take(&mut length))),
                Fate::Deliver(_) => {}
            }
        }
        // Lengths are geometric: mean 1/r, variance (1-r)/r².
        let error = ((1.0 - leave) / leave.powi(2) / lengths.len() as f64).sqrt();
        prop_assert!((mean(&lengths) - 1.0 / leave).abs() < SIGMAS * error, "{} for {}", mean(&lengths), 1.0 / leave);
        // The share of a two-state chain: variance of a share times (2 - e - r)/(e + r), for the memory.
        let share = bursts.mean_loss();
        let memory = (2.0 - enter - leave) / (enter + leave);
        let error = (share * (1.0 - share) * memory / f64::from(offers)).sqrt();
        let lost = link.counters().burst as f64 / f64::from(offers);
        prop_assert!((lost - share).abs() < SIGMAS * error, "{lost} for {share}");
    }

    #[test]
    fn the_queue_of_random_arrivals_is_as_long_as_pollaczek_and_khinchine_say(load in 0.1f64..0.7, seed: u64) {
        // M/D/1: exponential gaps, all datagrams alike. Mean wait: ρ/(2(1 - ρ)) service times.
        let (size, bps) = (972, 1_000_000);
        let service = (size + UDP_HEADER_BYTES) as f64 * 8.0 / bps as f64;
        let mut link = Link::new(LinkParams { bandwidth_bps: Some(bps), ..LinkParams::PERFECT });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut now = SimTime::ZERO;
        let offers = 100_000;
        let mut waited = 0.0;
        for _ in 0..offers {
            now += Duration::from_secs_f64(-libm::log(1.0 - unit(&mut rng)) * service / load);
            let at = link.offer(now, size, &mut rng).deliveries().next().unwrap().at;
            waited += (at - now).as_secs_f64() - service;
        }
        let wait = waited / f64::from(offers) / service;
        let wanted = load / (2.0 * (1.0 - load));
        prop_assert!((wait / wanted - 1.0).abs() < 0.15, "{wait} for {wanted}");
    }
}

/// Datagrams of 1,000 bytes on the wire at `offered` times the bandwidth, for a minute; the waits of the last ten seconds
/// in milliseconds, and the share that was dropped in them.
fn overload(discipline: Discipline, offered: f64) -> (Vec<f64>, f64) {
    let params = LinkParams { bandwidth_bps: Some(1_000_000), queue_bytes: 250_000, discipline, ..LinkParams::PERFECT };
    let mut link = Link::new(params);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let gap = Duration::from_secs_f64(0.008 / offered);
    let (mut now, mut waits, mut offers) = (SimTime::ZERO, Vec::new(), 0);
    while now < SimTime::from_secs(60) {
        let copy = link.offer(now, 972, &mut rng).deliveries().next();
        if now >= SimTime::from_secs(50) {
            offers += 1;
            waits.extend(copy.map(|copy| (copy.at - now).as_secs_f64() * 1e3 - 8.0));
        }
        now += gap;
    }
    let dropped = 1.0 - waits.len() as f64 / f64::from(offers);
    (waits, dropped)
}

#[test]
fn a_deep_queue_bloats_and_codel_and_red_keep_it_short() {
    let (bloated, dropped) = overload(Discipline::DropTail, 1.1);
    // 250 kB at 125 kB/s.
    assert!(mean(&bloated) > 1_900.0, "{}", mean(&bloated));
    assert!((dropped - 1.0 / 11.0).abs() < 0.01, "{dropped}");
    let codel = CoDel { target: Duration::from_millis(15), interval: Duration::from_millis(100) };
    let (short, dropped) = overload(Discipline::CoDel(codel), 1.1);
    assert!(mean(&short) < 100.0, "{}", mean(&short));
    assert!((dropped - 1.0 / 11.0).abs() < 0.02, "{dropped}");
    let red = Red { min_bytes: 5_000, max_bytes: 15_000, drop: 0.2 };
    let (short, _) = overload(Discipline::Red(red), 1.1);
    assert!(mean(&short) < 125.0, "{}", mean(&short));
}

#[test]
fn no_discipline_touches_a_link_that_keeps_up() {
    for discipline in
        [Discipline::CoDel(CoDel::DEFAULT), Discipline::Red(Red { min_bytes: 5_000, max_bytes: 15_000, drop: 0.1 })]
    {
        assert_eq!(overload(discipline, 0.95).1, 0.0);
    }
}
