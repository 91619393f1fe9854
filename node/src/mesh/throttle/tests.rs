//! The throttle under floods of every kind, in made-up time.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

fn ip(host: u32, port: u16) -> Origin {
    Origin::Ip(SocketAddr::from((Ipv4Addr::from(host), port)))
}

fn ms(millis: u64) -> Now {
    Duration::from_millis(millis)
}

/// Knocks and fails at once. Returns what the verdict was.
fn fail(throttle: &mut Throttle, origin: &Origin, now: Now) -> &'static str {
    match throttle.knock(origin, true, now) {
        Verdict::Admit(pass) => {
            throttle.settle(pass, Outcome::Failed, now);
            "admit"
        }
        Verdict::Challenge => "challenge",
        Verdict::Ignore => "ignore",
    }
}

fn admit(throttle: &mut Throttle, origin: &Origin, now: Now) -> bool {
    match throttle.knock(origin, true, now) {
        Verdict::Admit(pass) => {
            throttle.settle(pass, Outcome::Admitted, now);
            true
        }
        _ => false,
    }
}

fn admitted_of(throttle: &mut Throttle, knocks: impl IntoIterator<Item = (Origin, Now)>) -> usize {
    knocks.into_iter().filter(|(origin, now)| fail(throttle, origin, *now) == "admit").count()
}

#[test]
fn a_flood_from_one_socket_gets_its_burst_and_then_one_trial_a_second() {
    let mut throttle = Throttle::default();
    let tried = admitted_of(&mut throttle, (0..10_000).map(|n| (ip(1, 1), ms(n))));
    assert_eq!(tried, 8 + 9);
    assert!(admit(&mut throttle, &ip(1, 2), ms(10_000)), "another process of the same host is not affected");
}

#[test]
fn a_flood_from_many_sockets_of_one_source_gets_its_burst_and_then_four_a_second() {
    let mut throttle = Throttle::default();
    let tried = admitted_of(&mut throttle, (0..10_000).map(|n| (ip(1, n as u16), ms(n))));
    assert!((64 + 39..=64 + 40).contains(&tried), "{tried}");
    assert!(admit(&mut throttle, &ip(2, 1), ms(10_000)), "other sources are not affected");
}

#[test]
fn a_flood_from_everywhere_is_bounded_as_a_whole_and_friends_get_in() {
    let mut throttle = Throttle::default();
    assert!(admit(&mut throttle, &ip(7, 7), ms(0)));
    let tried = admitted_of(&mut throttle, (0..10_000).map(|n| (ip(1000 + n as u32, 1), ms(n))));
    assert!((256 + 630..=256 + 640).contains(&tried), "{tried}");
    assert!(admit(&mut throttle, &ip(7, 7), ms(10_000)));
}

#[test]
fn a_member_behind_the_address_of_a_flood_gets_in_where_it_was_before() {
    let mut throttle = Throttle::default();
    assert!(admit(&mut throttle, &ip(1, 7777), ms(0)));
    admitted_of(&mut throttle, (0..10_000).map(|n| (ip(1, n as u16 % 5000), ms(n))));
    for second in 0..100 {
        assert!(admit(&mut throttle, &ip(1, 7777), ms(10_000 + second)), "as often as it has to");
    }
}

#[test]
fn half_open_handshakes_are_bounded_per_source_and_in_all() {
    let mut throttle = Throttle::default();
    let mut open = Vec::new();
    for port in 0..1000 {
        if let Verdict::Admit(pass) = throttle.knock(&ip(1, port), true, ms(0)) {
            open.push(pass);
        }
    }
    assert_eq!(open.len(), limits::MAX_PENDING_PER_SOURCE);
    for host in 2..5000 {
        if let Verdict::Admit(pass) = throttle.knock(&ip(host, 1), true, ms(0)) {
            open.push(pass);
        }
    }
    assert_eq!((open.len(), throttle.pending()), (limits::MAX_PENDING_ADMISSIONS, limits::MAX_PENDING_ADMISSIONS));
    for pass in open {
        throttle.settle(pass, Outcome::Admitted, ms(0));
    }
    assert_eq!(throttle.pending(), 0);
    assert!(admit(&mut throttle, &ip(9999, 1), ms(0)), "members cost nothing afterwards");
}

#[test]
fn whoever_speaks_from_the_address_of_another_must_show_that_it_receives_there() {
    let mut throttle = Throttle::default();
    let mut verdicts = Vec::new();
    for _ in 0..8 {
        match throttle.knock(&ip(1, 1), false, ms(0)) {
            Verdict::Admit(pass) => {
                throttle.settle(pass, Outcome::Failed, ms(0));
                verdicts.push("admit");
            }
            Verdict::Challenge => verdicts.push("challenge"),
            Verdict::Ignore => verdicts.push("ignore"),
        }
    }
    assert_eq!(verdicts, [["admit"; 4], ["challenge"; 4]].concat(), "half of the allowance is the owner's alone");
    assert!(admit(&mut throttle, &ip(1, 1), ms(0)), "who then gets in");
}

#[test]
fn honest_trouble_is_never_throttled() {
    // A one-way link: an attempt every 2 s, each of which runs into the timeout here. And a wrong key: one in 10 s.
    for every in [2_000, 10_000] {
        let mut throttle = Throttle::default();
        let mut open = std::collections::VecDeque::new();
        for n in 0..1_000 {
            let now = ms(n * every);
            while open.front().is_some_and(|(since, _)| now - *since >= limits::ADMISSION_TIMEOUT) {
                let (_, pass) = open.pop_front().expect("there is one");
                throttle.settle(pass, Outcome::Failed, now);
            }
            match throttle.knock(&ip(1, 1), true, now) {
                Verdict::Admit(pass) => open.push_back((now, pass)),
                other => panic!("{other:?} at attempt {n}"),
            }
        }
    }
}

#[test]
fn a_site_that_comes_back_behind_one_address_is_let_in_within_four_rounds() {
    // 200 spokes, one NAT address, a hub that was restarted and knows nobody; each repeats its first packet after 1 s.
    let mut throttle = Throttle::default();
    let mut waiting: Vec<u16> = (0..200).collect();
    for round in 0..4 {
        let now = ms(round * 1_000);
        let mut open = Vec::new();
        waiting.retain(|port| match throttle.knock(&ip(1, *port), true, now) {
            Verdict::Admit(pass) => {
                open.push(pass);
                false
            }
            _ => true,
        });
        open.into_iter().for_each(|pass| throttle.settle(pass, Outcome::Admitted, now + ms(600)));
    }
    assert!(waiting.is_empty(), "{} are still out", waiting.len());
}

#[derive(Debug, Clone)]
enum Step {
    Knock { host: u32, port: u16, validated: bool },
    Settle { which: usize, outcome: Outcome },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![Just(Outcome::Admitted), Just(Outcome::TurnedAway), Just(Outcome::Failed)];
    prop_oneof![
        6 => (0u32..6, 0u16..40, any::<bool>()).prop_map(|(host, port, validated)| Step::Knock { host, port, validated }),
        4 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        1 => (0u64..5_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_bounds_hold(steps in prop::collection::vec(step(), 0..2_000)) {
        let mut throttle = Throttle::default();
        let (mut now, mut open) = (ms(0), Vec::new());
        for step in steps {
            match step {
                Step::Wait(millis) => now += ms(millis),
                Step::Knock { host, port, validated } => {
                    if let Verdict::Admit(pass) = throttle.knock(&ip(host, port), validated, now) {
                        open.push(pass);
                    }
                }
                Step::Settle { which, outcome } => {
                    if !open.is_empty() {
                        let pass = open.swap_remove(which % open.len());
                        throttle.settle(pass, outcome, now);
                    }
                }
            }
            prop_assert_eq!(throttle.pending(), open.len());
            prop_assert!(throttle.pending_strangers <= limits::MAX_PENDING_ADMISSIONS);
            prop_assert!(throttle.pending_by_source.values().all(|n| (1..=limits::MAX_PENDING_PER_SOURCE).contains(n)));
            prop_assert_eq!(throttle.pending_by_source.values().sum::<usize>(), throttle.pending_strangers);
        }
    }
}

#[test]
fn thirty_thousand_addresses_cost_no_more_memory_than_a_few_thousand() {
    let mut throttle = Throttle::default();
    for n in 0..30_000u32 {
        // Slow enough that the bound on all strangers is never what holds it back.
        fail(&mut throttle, &ip(n, 1), ms(u64::from(n) * 20));
        if n.is_multiple_of(5) {
            admit(&mut throttle, &ip(n, 2), ms(u64::from(n) * 20));
        }
    }
    assert!(throttle.sockets.debts.len() <= limits::MAX_THROTTLED);
    assert!(throttle.sources.debts.len() <= limits::MAX_THROTTLED);
    assert!(throttle.friends.len() <= limits::MAX_FRIENDS);
    // And at once, where nothing is forgiven meanwhile.
    let mut ledger = Ledger::new(limits::SOCKET_FAILURES);
    for n in 0..2 * limits::MAX_THROTTLED as u32 {
        ledger.charge(&n, ms(0));
    }
    assert_eq!(ledger.debts.len(), limits::MAX_THROTTLED);
}

fn relayed(peer: u16) -> Origin {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&peer.to_le_bytes());
    Origin::Relay { url: "https://relay.example/".into(), peer: id }
}

/// Everyone behind a relay has one address, and ids are free: without a place of their own, members that were never here
/// would compete with the flood.
#[test]
fn a_flood_through_a_relay_is_bounded_and_neither_friends_nor_wanted_peers_are_kept_out() {
    let mut throttle = Throttle::default();
    let (friend, wanted, stranger) = (relayed(1), relayed(2), relayed(3));
    assert!(admit(&mut throttle, &friend, ms(0)));
    let tried = admitted_of(&mut throttle, (0..10_000).map(|n| (relayed(100 + n as u16), ms(n))));
    assert!((64 + 39..=64 + 40).contains(&tried), "{tried}");
    let now = ms(9_999);
    assert!(!admit(&mut throttle, &stranger, now), "a stranger has to wait");
    assert!(admit(&mut throttle, &friend, now));
    assert!(matches!(throttle.knock_known(&wanted, false, now), Verdict::Admit(_)));
    assert!(admit(&mut throttle, &ip(1, 1), now), "other sources are not affected");
    // One that fails again and again uses up its own allowance only.
    let mut throttle = Throttle::default();
    let tried = admitted_of(&mut throttle, (0..10_000).map(|n| (relayed(1), ms(n))));
    assert_eq!(tried, 8 + 9);
    assert!(admit(&mut throttle, &relayed(2), now));
}
