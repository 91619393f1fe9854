//! Properties of the link model over random offers.

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Fate, Link, LinkParams, Network, UDP_HEADER_BYTES};
use crate::plan::{FaultIndex, NodeIndex};
use crate::time::SimTime;

#[derive(Debug, Clone)]
enum Event {
    Offer { gap_us: u64, size: usize },
    Cut(u32),
    Heal(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0u64..20_000, 0usize..1_500).prop_map(|(gap_us, size)| Event::Offer { gap_us, size }),
        1 => (0u32..3).prop_map(Event::Cut),
        1 => (0u32..3).prop_map(Event::Heal),
    ]
}

fn params() -> impl Strategy<Value = LinkParams> {
    let bandwidth = prop_oneof![Just(None), (1_000u64..100_000_000).prop_map(Some)];
    (0u64..600, 0u64..50, 0.0f64..=1.0, bandwidth, 0u64..200_000).prop_map(
        |(latency, jitter, loss, bandwidth_bps, queue_bytes)| LinkParams {
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(jitter),
            loss,
            bandwidth_bps,
            queue_bytes,
        },
    )
}

/// Plays the events; returns the deliveries as (offered at, size, arrives at).
fn play(link: &mut Link, events: &[Event], seed: u64) -> Vec<(SimTime, usize, SimTime)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut now = SimTime::ZERO;
    let mut deliveries = Vec::new();
    for event in events {
        match *event {
            Event::Offer { gap_us, size } => {
                now += Duration::from_micros(gap_us);
                if let Fate::Deliver { at } = link.offer(now, size, &mut rng) {
                    deliveries.push((now, size, at));
                }
            }
            Event::Cut(fault) => link.cut(now, FaultIndex(fault)),
            Event::Heal(fault) => link.heal(FaultIndex(fault)),
        }
    }
    deliveries
}

proptest! {
    #[test]
    fn every_offered_datagram_is_delivered_or_dropped_for_one_cause(
        params in params(), events in prop::collection::vec(event(), 0..200), seed: u64,
    ) {
        let mut link = Link::new(params);
        let deliveries = play(&mut link, &events, seed);
        let counters = *link.counters();
        let offers = events.iter().filter(|event| matches!(event, Event::Offer { .. })).count();
        prop_assert_eq!(counters.offered, offers as u64);
        prop_assert_eq!(counters.offered, counters.delivered + counters.down + counters.loss + counters.queue_full);
        prop_assert_eq!(counters.delivered, deliveries.len() as u64);
    }

    #[test]
    fn nothing_arrives_before_the_latency_or_after_the_jitter(
        params in params(), events in prop::collection::vec(event(), 0..200), seed: u64,
    ) {
        let params = LinkParams { bandwidth_bps: None, ..params };
        let mut link = Link::new(params.clone());
        for (offered, _, at) in play(&mut link, &events, seed) {
            prop_assert!(at >= offered + params.latency);
            prop_assert!(at <= offered + params.latency + params.jitter);
        }
    }

    #[test]
    fn without_jitter_the_order_is_kept_and_the_bandwidth_never_exceeded(
        params in params(), sizes in prop::collection::vec((0u64..20_000, 0usize..1_500), 2..200), seed: u64,
    ) {
        let params = LinkParams { jitter: Duration::ZERO, ..params };
        let events: Vec<Event> =
            sizes.into_iter().map(|(gap_us, size)| Event::Offer { gap_us, size }).collect();
        let mut link = Link::new(params.clone());
        let deliveries = play(&mut link, &events, seed);
        for pair in deliveries.windows(2) {
            prop_assert!(pair[0].2 <= pair[1].2, "reordered");
            if let Some(bps) = params.bandwidth_bps {
                // The later one needs its own serialisation time after the earlier one has left.
                let bits = (pair[1].1 + UDP_HEADER_BYTES) as f64 * 8.0;
                let spacing = (pair[1].2 - pair[0].2).as_secs_f64();
                prop_assert!(spacing + 1e-9 >= bits / bps as f64, "too fast: {spacing}");
            }
        }
    }

    #[test]
    fn traffic_on_one_link_leaves_the_fates_on_another_alone(
        sizes in prop::collection::vec(0usize..1_500, 1..50), seed: u64,
    ) {
        let scenario = crate::library::find("flapping-link").expect("shipped").scenario().expect("valid");
        let topology = crate::plan::expand(&scenario, seed).topology;
        let [a, b, c] = [0, 1, 2].map(NodeIndex);
        let (mut quiet, mut busy) = (Network::new(&topology, seed), Network::new(&topology, seed));
        for size in sizes {
            busy.offer(SimTime::ZERO, b, c, size);
            prop_assert_eq!(quiet.offer(SimTime::ZERO, a, c, size), busy.offer(SimTime::ZERO, a, c, size));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_fates(
        params in params(), events in prop::collection::vec(event(), 0..100), seed: u64,
    ) {
        let first = play(&mut Link::new(params.clone()), &events, seed);
        prop_assert_eq!(first, play(&mut Link::new(params), &events, seed));
    }
}
