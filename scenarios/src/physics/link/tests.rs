//! The link by example.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::queue::CoDel;
use super::super::schedule::{Opportunities, Windows};
use super::super::{Bursts, Schedule};
use super::*;

const A: FaultIndex = FaultIndex(0);
const B: FaultIndex = FaultIndex(1);

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn at(fate: Fate) -> SimTime {
    fate.deliveries().next().expect("delivered").at
}

fn ms(n: u64) -> SimTime {
    SimTime::from_millis(n)
}

#[test]
fn two_faults_hold_a_link_down_until_both_heal() {
    let mut link = Link::new(LinkParams::PERFECT);
    link.cut(SimTime::ZERO, A);
    link.cut(SimTime::ZERO, B);
    link.heal(A);
    assert!(!link.is_up());
    assert_eq!(link.offer(SimTime::ZERO, 10, &mut rng()), Fate::Drop(DropCause::Down));
    link.heal(B);
    assert!(link.is_up());
}

#[test]
fn a_flap_during_the_flight_kills_the_datagram() {
    let mut link = Link::new(LinkParams { latency: Duration::from_millis(300), ..LinkParams::PERFECT });
    let fate = link.offer(SimTime::ZERO, 10, &mut rng());
    link.cut(ms(100), A);
    link.heal(A);
    assert_eq!(at(fate), ms(300));
    assert!(!link.arrives(SimTime::ZERO));
    assert!(link.arrives(ms(150)));
    assert_eq!(link.counters().killed, 1);
}

#[test]
fn a_full_queue_drops_the_newcomer() {
    let params = LinkParams { bandwidth_bps: Some(8_000), queue_bytes: 300, ..LinkParams::PERFECT };
    let mut link = Link::new(params);
    // 100 bytes with headers take 100 ms at 1,000 bytes a second.
    let fates: Vec<Fate> = (0..4).map(|_| link.offer(SimTime::ZERO, 72, &mut rng())).collect();
    assert_eq!(at(fates[2]), ms(300));
    assert_eq!(fates[3], Fate::Drop(DropCause::QueueFull));
}

#[test]
fn the_latest_degradation_counts_until_it_heals() {
    let mut link = Link::new(LinkParams::PERFECT);
    let slow = |ms| LinkParams { latency: Duration::from_millis(ms), ..LinkParams::PERFECT };
    link.degrade(A, slow(10));
    link.degrade(B, slow(20));
    assert_eq!(link.params().latency, Duration::from_millis(20));
    link.heal(B);
    assert_eq!(link.params().latency, Duration::from_millis(10));
    link.heal(A);
    assert_eq!(link.params(), &LinkParams::PERFECT);
}

fn one_contact(up_ms: u64) -> Arc<Schedule> {
    let pieces = [(Duration::from_millis(up_ms), Conditions::DOWN)];
    Arc::new(Schedule::Windows(Windows::new(Conditions::UP, pieces, None).unwrap()))
}

#[test]
fn what_was_sent_within_a_contact_arrives_after_its_end_and_what_was_not_does_not() {
    let mut link = Link::new(LinkParams {
        latency: Duration::from_secs(5),
        bandwidth_bps: Some(8_000),
        schedule: Some(one_contact(250)),
        ..LinkParams::PERFECT
    });
    let fates: Vec<Fate> = (0..3).map(|_| link.offer(SimTime::ZERO, 72, &mut rng())).collect();
    assert_eq!((at(fates[0]), at(fates[1])), (ms(5_100), ms(5_200)));
    assert_eq!(fates[2], Fate::Drop(DropCause::NoContact));
    // The third has used the rest of the contact: nothing shorter gets through behind it.
    assert_eq!(link.offer(ms(10), 1, &mut rng()), Fate::Drop(DropCause::NoContact));
    assert_eq!(link.offer(ms(400), 1, &mut rng()), Fate::Drop(DropCause::NoContact));
    assert!(link.arrives(SimTime::ZERO), "in flight when the contact ended");
    assert_eq!(link.counters().no_contact, 3);
    assert_eq!(link.counters().cut(), 0, "no fault did that");
}

#[test]
fn a_long_datagram_is_dropped_by_a_short_mtu() {
    let mut link = Link::new(LinkParams { mtu: Some(1_280), ..LinkParams::PERFECT });
    assert!(matches!(link.offer(SimTime::ZERO, 1_252, &mut rng()), Fate::Deliver(_)));
    assert_eq!(link.offer(SimTime::ZERO, 1_253, &mut rng()), Fate::Drop(DropCause::TooBig));
}

#[test]
fn a_certain_duplicate_and_a_certain_corruption_are_both_told() {
    let mut link = Link::new(LinkParams { duplicate: 1.0, corrupt: 1.0, ..LinkParams::PERFECT });
    let copies: Vec<Delivery> = link.offer(SimTime::ZERO, 10, &mut rng()).deliveries().collect();
    assert_eq!(copies.len(), 2);
    assert!(copies.iter().all(|copy| copy.corruption.is_some()));
    assert_ne!(copies[0].corruption, copies[1].corruption, "each copy has bad luck of its own");
    let counters = link.counters();
    assert_eq!((counters.delivered, counters.duplicated, counters.corrupted), (2, 1, 2));
}

#[test]
fn a_certain_burst_takes_everything_until_it_ends() {
    let bursts = Bursts { enter: 1.0, leave: 1.0, loss: 1.0 };
    let mut link = Link::new(LinkParams { bursts: Some(bursts), ..LinkParams::PERFECT });
    let mut rng = rng();
    let lost: Vec<bool> = (0..4).map(|_| matches!(link.offer(SimTime::ZERO, 10, &mut rng), Fate::Drop(_))).collect();
    assert_eq!(lost, [true, false, true, false]);
}

#[test]
fn a_perfect_link_consumes_no_randomness_and_a_lossy_one_one_draw() {
    let draws = |params: LinkParams| {
        let mut rng = rng();
        Link::new(params).offer(SimTime::ZERO, 100, &mut rng);
        rng.get_word_pos() / 2
    };
    assert_eq!(draws(LinkParams::PERFECT), 0);
    assert_eq!(draws(LinkParams { bandwidth_bps: Some(1_000_000), ..LinkParams::PERFECT }), 0);
    assert_eq!(draws(LinkParams { schedule: Some(one_contact(5)), ..LinkParams::PERFECT }), 0);
    let codel = Discipline::CoDel(CoDel::DEFAULT);
    assert_eq!(draws(LinkParams { bandwidth_bps: Some(1_000_000), discipline: codel, ..LinkParams::PERFECT }), 0);
    assert_eq!(draws(LinkParams { loss: 1e-12, ..LinkParams::PERFECT }), 1);
    assert_eq!(draws(LinkParams { loss: 1e-12, jitter: Duration::from_millis(1), ..LinkParams::PERFECT }), 2);
}

#[test]
fn a_trace_lets_a_packet_through_at_its_moments() {
    let trace = Opportunities::new(vec![10, 30]).unwrap();
    let params = LinkParams { schedule: Some(Arc::new(Schedule::Opportunities(trace))), ..LinkParams::PERFECT };
    let mut link = Link::new(LinkParams { queue_bytes: 3_000, ..params });
    let fates: Vec<Fate> = (0..3).map(|_| link.offer(ms(1), 1_472, &mut rng())).collect();
    assert_eq!((at(fates[0]), at(fates[1])), (ms(10), ms(30)));
    assert_eq!(fates[2], Fate::Drop(DropCause::QueueFull));
    assert_eq!(at(link.offer(ms(20), 1_472, &mut rng())), ms(40), "the trace begins again");
}

#[test]
fn without_reordering_a_datagram_waits_for_the_one_before() {
    let params = LinkParams { jitter: Duration::from_millis(100), reorder: false, ..LinkParams::PERFECT };
    let mut link = Link::new(params);
    let mut rng = rng();
    let arrivals: Vec<SimTime> = (0..50).map(|n| at(link.offer(ms(n), 10, &mut rng))).collect();
    assert!(arrivals.is_sorted());
    assert!(arrivals.windows(2).any(|pair| pair[0] == pair[1]), "none ever had to wait");
}
