//! Properties of the link model over arbitrary parameters and offers.

mod theory;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
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

fn discipline() -> impl Strategy<Value = Discipline> {
    let codel = (1u64..50, 10u64..500).prop_map(|(target, interval)| {
        Discipline::CoDel(CoDel { target: Duration::from_millis(target), interval: Duration::from_millis(interval) })
    });
    let red = (0u64..20_000, 1u64..50_000, 0.0f64..=1.0)
        .prop_map(|(min_bytes, above, drop)| Discipline::Red(Red { min_bytes, max_bytes: min_bytes + above, drop }));
    prop_oneof![2 => Just(Discipline::DropTail), 1 => codel, 1 => red]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let bandwidth = prop::option::of(prop_oneof![1 => Just(0), 4 => 1_000u64..10_000_000]);
    let latency = prop::option::of((0u64..800).prop_map(Duration::from_millis));
    (prop::bool::weighted(0.7), bandwidth, latency, prop::option::of(0.0f64..=1.0))
        .prop_map(|(up, bandwidth_bps, latency, loss)| Conditions { up, bandwidth_bps, latency, loss })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let pieces = prop::collection::vec((1u64..400, conditions()), 0..6);
    let windows = (conditions(), pieces, prop::option::of(1u64..400)).prop_map(|(before, pieces, tail)| {
        let mut from = Duration::ZERO;
        let pieces: Vec<_> = pieces
            .into_iter()
            .map(|(after, conditions)| {
                from += Duration::from_millis(after);
                (from, conditions)
            })
            .collect();
        let period = tail.map(|tail| from + Duration::from_millis(tail));
        Schedule::Windows(Windows::new(before, pieces, period).unwrap())
    });
    let opportunities = prop::collection::vec(0u32..60, 1..20).prop_map(|gaps| {
        let mut at = 1;
        let moments = gaps.into_iter().map(|gap| {
            at += gap;
            at
        });
        Schedule::Opportunities(Opportunities::new(moments.collect()).unwrap())
    });
    prop_oneof![3 => windows, 1 => opportunities]
}

/// Everything that a link can be.
fn params() -> impl Strategy<Value = LinkParams> {
    let bandwidth = prop_oneof![Just(None), (1_000u64..100_000_000).prop_map(Some)];
    let spread = prop_oneof![
        Just(Spread::Uniform),
        Just(Spread::Normal),
        (1.01f64..10.0).prop_map(|shape| Spread::Pareto { shape })
    ];
    let bursts =
        prop::option::of((0.0f64..=1.0, 0.01f64..=1.0, 0.0f64..=1.0).prop_map(|(enter, leave, loss)| Bursts {
            enter,
            leave,
            loss,
        }));
    let plain = (0u64..600, 0u64..50, 0.0f64..=0.5, bandwidth, 0u64..200_000);
    let fancy = (spread, any::<bool>(), bursts, discipline(), 0.0f64..=1.0, 0.0f64..=1.0);
    let rest = (prop::option::of(500usize..1_600), prop::option::of(schedule()));
    (plain, fancy, rest).prop_map(|(plain, fancy, (mtu, schedule))| {
        let (latency, jitter, loss, bandwidth_bps, queue_bytes) = plain;
        let (spread, reorder, bursts, discipline, duplicate, corrupt) = fancy;
        LinkParams {
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(jitter),
            spread,
            reorder,
            loss,
            bursts,
            bandwidth_bps,
            queue_bytes,
            discipline,
            duplicate,
            corrupt,
            mtu,
            schedule: schedule.map(Arc::new),
        }
    })
}

/// A copy that set out: offered at, size, arrives at.
type Set = (SimTime, usize, SimTime);

/// Plays the events, taking delivery of what is due before each; returns the copies that set out. What is in flight at the
/// end stays there; its number is the last value.
fn play(link: &mut Link, events: &[Event], seed: u64) -> (Vec<Set>, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut now = SimTime::ZERO;
    let mut set_out = Vec::new();
    let mut flying: BTreeMap<(SimTime, usize), SimTime> = BTreeMap::new();
    for event in events {
        if let Event::Offer { gap_us, .. } = event {
            now += Duration::from_micros(*gap_us);
        }
        while let Some(due) = flying.first_entry().filter(|due| due.key().0 <= now) {
            link.arrives(due.remove());
        }
        match *event {
            Event::Offer { size, .. } => {
                for copy in link.offer(now, size, &mut rng).deliveries() {
                    flying.insert((copy.at, set_out.len()), now);
                    set_out.push((now, size, copy.at));
                }
            }
            Event::Cut(fault) => link.cut(now, FaultIndex(fault)),
            Event::Heal(fault) => link.heal(FaultIndex(fault)),
        }
    }
    (set_out, flying.len())
}

proptest! {
    #[test]
    fn nothing_is_lost_without_a_cause_and_nothing_comes_from_nowhere(
        params in params(), events in prop::collection::vec(event(), 0..200), seed: u64,
    ) {
        let mut link = Link::new(params);
        let (set_out, in_flight) = play(&mut link, &events, seed);
        let counters = *link.counters();
        let offers = events.iter().filter(|event| matches!(event, Event::Offer { .. })).count();
        prop_assert_eq!(counters.offered, offers as u64);
        prop_assert_eq!(counters.delivered, set_out.len() as u64);
        prop_assert_eq!(counters.in_flight(), in_flight as u64);
        let ends = counters.dropped() + counters.arrived + counters.in_flight();
        prop_assert_eq!(counters.offered + counters.duplicated, ends, "{:?}", counters);
    }

    #[test]
    fn nothing_arrives_before_the_earliest_possible_moment(
        params in params(), events in prop::collection::vec(event(), 0..200), seed: u64, earlier_ms in 0u64..500,
    ) {
        let mut link = Link::new(params.clone());
        for (offered, size, at) in play(&mut link, &events, seed).0 {
            let earliest = params.earliest_arrival(offered, size);
            prop_assert!(earliest.is_some_and(|earliest| earliest <= at), "{earliest:?} > {at} for {offered}");
            // What could have been handed over before cannot have a later bound.
            let asked = SimTime::from_nanos(offered.as_nanos().saturating_sub(earlier_ms * 1_000_000));
            prop_assert!(params.earliest_arrival(asked, size) <= earliest);
            prop_assert!(at >= offered + params.least_latency());
        }
    }

    #[test]
    fn an_idle_link_without_chance_delivers_at_the_earliest_possible_moment(
        params in params(), at_ms in 0u64..3_000, size in 0usize..1_400,
    ) {
        let sure = LinkParams { jitter: Duration::ZERO, loss: 0.0, bursts: None, queue_bytes: u64::MAX, ..params };
        let now = SimTime::from_millis(at_ms);
        let discipline = Discipline::DropTail;
        let mut link = Link::new(LinkParams { discipline, duplicate: 0.0, corrupt: 0.0, ..sure.clone() });
        let fate = link.offer(now, size, &mut ChaCha8Rng::seed_from_u64(1));
        if let Some(copy) = fate.deliveries().next() {
            let earliest = sure.earliest_arrival(now, size).unwrap();
            // Only waiting for a better contact can beat sending at once.
            let better = sure.schedule.is_some() && earliest < copy.at;
            prop_assert!(earliest == copy.at || better, "{earliest} and {}", copy.at);
            if better {
                let later = SimTime::from_nanos(now.as_nanos() + 1);
                prop_assert!(sure.earliest_arrival(later, size).is_some_and(|later| later <= copy.at));
            }
        }
    }

    #[test]
    fn without_jitter_the_order_is_kept_and_the_bandwidth_never_exceeded(
        params in params(), sizes in prop::collection::vec((0u64..20_000, 0usize..1_500), 2..200), seed: u64,
    ) {
        let params = LinkParams { jitter: Duration::ZERO, duplicate: 0.0, schedule: None, ..params };
        let events: Vec<Event> =
            sizes.into_iter().map(|(gap_us, size)| Event::Offer { gap_us, size }).collect();
        let mut link = Link::new(params.clone());
        let set_out = play(&mut link, &events, seed).0;
        for pair in set_out.windows(2) {
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
    fn with_reordering_off_nothing_overtakes(
        params in params(), events in prop::collection::vec(event(), 0..200), seed: u64,
    ) {
        let mut link = Link::new(LinkParams { reorder: false, ..params });
        // A cut kills what is in flight, so what comes after it cannot overtake it.
        let offers: Vec<Event> = events.into_iter().filter(|event| matches!(event, Event::Offer { .. })).collect();
        let (set_out, _) = play(&mut link, &offers, seed);
        prop_assert!(set_out.iter().map(|(_, _, at)| at).is_sorted());
    }

    #[test]
    fn no_more_waits_than_the_queue_holds(
        params in params(), sizes in prop::collection::vec((0u64..2_000, 0usize..1_500), 2..200), seed: u64,
    ) {
        let params = LinkParams { latency: Duration::ZERO, jitter: Duration::ZERO, schedule: None, ..params };
        let events: Vec<Event> =
            sizes.into_iter().map(|(gap_us, size)| Event::Offer { gap_us, size }).collect();
        let mut link = Link::new(params.clone());
        for (offered, _, at) in play(&mut link, &events, seed).0 {
            if let Some(bps) = params.bandwidth_bps {
                let most = Duration::from_secs_f64(params.queue_bytes as f64 * 8.0 / bps as f64);
                // Half a byte of rounding, a nanosecond per datagram.
                let grain = Duration::from_nanos(1_000 + 8_000_000_000 / bps);
                prop_assert!(at - offered <= most + grain, "{:?} in a queue of {most:?}", at - offered);
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
