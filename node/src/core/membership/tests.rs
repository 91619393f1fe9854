//! Tables joined by lossless, ordered pipes with a delay, as sessions are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::core::wire::members::Held;

const APP: &str = "fleet";

fn key(n: usize) -> SecretKey {
    SecretKey::from_bytes(blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn id(n: usize) -> PeerId {
    *key(n).public().as_bytes()
}

fn signed(n: usize, issue: u64) -> Record {
    Record::sign(&key(n), &FormationTag::new(APP), issue, Role::Peer, vec![format!("host-{n}:{issue}")])
}

fn myself(n: usize) -> Myself {
    Myself { role: Role::Peer, addresses: vec![format!("host-{n}:7777")] }
}

/// Nodes and the sessions between them. A session has the same id on both sides.
struct Net {
    nodes: Vec<Membership>,
    now: Now,
    rng: ChaCha8Rng,
    sessions: BTreeMap<SessionId, (usize, usize)>,
    flights: VecDeque<(Now, usize, SessionId, MembersFrame)>,
    next: SessionId,
    /// Records that crossed a session.
    carried: usize,
    frames: usize,
}

const DELAY: Duration = Duration::from_millis(5);

impl Net {
    fn new(nodes: usize) -> Self {
        let mut net = Self {
            nodes: vec![],
            now: Duration::from_secs(1),
            rng: ChaCha8Rng::seed_from_u64(1),
            sessions: BTreeMap::new(),
            flights: VecDeque::new(),
            next: 1,
            carried: 0,
            frames: 0,
        };
        for n in 0..nodes {
            let mut node = Membership::new(key(n), FormationTag::new(APP));
            node.announce(myself(n), net.now, &mut net.rng);
            net.nodes.push(node);
        }
        net
    }

    fn join(&mut self, a: usize, b: usize) -> SessionId {
        let session = self.next;
        self.next += 1;
        self.sessions.insert(session, (a, b));
        self.nodes[a].open(session, id(b), true, self.now);
        self.nodes[b].open(session, id(a), false, self.now);
        session
    }

    fn part(&mut self, session: SessionId) {
        let (a, b) = self.sessions.remove(&session).expect("open");
        self.nodes[a].close(session);
        self.nodes[b].close(session);
        self.flights.retain(|(_, _, of, _)| *of != session);
    }

    fn step(&mut self) {
        self.now += DELAY;
        while self.flights.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, to, session, frame) = self.flights.pop_front().expect("looked");
            assert_eq!(frame.validate(), Ok(()), "nodes keep to their own limits");
            if let MembersFrame::Records { records, .. } = &frame {
                self.carried += records.len();
            }
            self.frames += 1;
            self.nodes[to].receive(session, frame, self.now, &mut self.rng).expect("honest");
        }
        for from in 0..self.nodes.len() {
            self.nodes[from].advance(self.now, &mut self.rng);
            for session in self.nodes[from].take_wakes() {
                let Some((a, b)) = self.sessions.get(&session) else { continue };
                let to = if *a == from { *b } else { *a };
                while let Some(frame) = self.nodes[from].next_frame(session, self.now) {
                    self.flights.push_back((self.now + DELAY, to, session, frame));
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Nothing happens until the next deadline.
    fn skip_to(&mut self, at: Now) {
        assert!(self.flights.is_empty());
        self.now = self.now.max(at);
    }

    fn knows(&self, n: usize) -> BTreeSet<(PeerId, u64)> {
        self.nodes[n].rows().map(|row| (row.record.id, row.record.issue)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn all_that_are_joined_come_to_know_the_same(
        parents in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        more in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..8),
        moves in prop::collection::vec((any::<prop::sample::Index>(), 1u16..100), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let count = parents.len() + 1;
        let mut net = Net::new(count);
        let mut tree = vec![];
        for (i, parent) in parents.iter().enumerate() {
            tree.push((i + 1, parent.index(i + 1), net.join(i + 1, parent.index(i + 1))));
        }
        for (a, b) in &more {
            let (a, b) = (a.index(count), b.index(count));
            if a != b {
                net.join(a, b);
            }
        }
        for (n, port) in &moves {
            let n = n.index(count);
            let moved = Myself { role: Role::Hub, addresses: vec![format!("host-{n}:{port}")] };
            let (now, mut rng) = (net.now, net.rng.clone());
            net.nodes[n].announce(moved, now, &mut rng);
            net.run(Duration::from_millis(40));
        }
        if let Some(cut) = cut {
            let (a, b, session) = tree[cut.index(tree.len())];
            net.part(session);
            net.run(Duration::from_millis(700));
            net.join(b, a);
        }
        net.run(Duration::from_secs(8));
        for n in 1..count {
            prop_assert_eq!(net.knows(n), net.knows(0), "node {}", n);
        }
        prop_assert_eq!(net.knows(0).len(), count);
        for (n, node) in net.nodes.iter().enumerate() {
            let own = node.row(&id(n)).expect("own");
            prop_assert_eq!(Some(&own.record.addresses), node.myself.as_ref().map(|m| &m.addresses), "the last word holds");
        }
        let frames = net.frames;
        net.run(Duration::from_secs(30));
        prop_assert_eq!(net.frames, frames, "and then it is quiet");
    }

    #[test]
    fn no_frame_makes_a_node_panic_or_grow(frames in prop::collection::vec(frame(), 0..40)) {
        let mut net = Net::new(1);
        net.nodes[0].open(1, id(1), false, net.now);
        for frame in frames {
            if frame.validate().is_ok() && net.nodes[0].receive(1, frame, net.now, &mut net.rng).is_err() {
                break;
            }
            while net.nodes[0].next_frame(1, net.now).is_some() {}
        }
        prop_assert_eq!(net.nodes[0].rows().count(), 1, "nothing that was not asked for is taken");
    }
}

fn frame() -> impl Strategy<Value = MembersFrame> {
    let held = prop::collection::vec((any::<[u8; 8]>(), any::<u64>()), 0..600)
        .prop_map(|held| held.into_iter().map(|(member, issue)| Held { member, issue }).collect::<Vec<_>>());
    prop_oneof![
        any::<u64>().prop_map(|sum| MembersFrame::Digest { sum }),
        prop::collection::vec(any::<u64>(), 0..80).prop_map(MembersFrame::Buckets),
        (any::<u64>(), held.clone()).prop_map(|(buckets, held)| MembersFrame::List { buckets, held }),
        held.prop_map(MembersFrame::Have),
        prop::collection::vec(any::<[u8; 8]>(), 0..80).prop_map(MembersFrame::Want),
        any::<bool>().prop_map(|wanted| MembersFrame::Wish { wanted }),
        (any::<u64>(), 0usize..3).prop_map(|(issue, n)| MembersFrame::Records {
            records: (5..5 + n).map(|n| Aged { record: signed(n, issue), age_s: 0 }).collect(),
            missing: vec![],
        }),
    ]
}

#[test]
fn in_a_full_mesh_a_record_crosses_about_once_per_node() {
    // Flooded whole, each of 20 records would cross each of the 190 sessions once or twice.
    let mut net = Net::new(20);
    for (a, b) in (0..20).flat_map(|a| (0..a).map(move |b| (a, b))) {
        net.join(a, b);
    }
    net.run(Duration::from_secs(5));
    (0..20).for_each(|n| assert_eq!(net.knows(n).len(), 20));
    assert!(net.carried <= 20 * 19 + 40, "{} records carried for {} needed", net.carried, 20 * 19);
}

#[test]
fn equal_tables_cost_two_digests() {
    let mut net = Net::new(2);
    let session = net.join(0, 1);
    net.run(Duration::from_secs(2));
    net.part(session);
    let before = net.frames;
    net.join(1, 0);
    net.run(Duration::from_secs(2));
    assert_eq!(net.frames - before, 2);
}

#[test]
fn a_record_lives_as_long_as_its_issuer_renews_it() {
    let mut net = Net::new(3);
    let to_issuer = net.join(0, 1);
    net.join(1, 2);
    net.run(Duration::from_secs(2));
    for _ in 0..30 {
        let next = net.nodes.iter().filter_map(Membership::deadline).min().expect("refresh");
        net.skip_to(next);
        net.run(Duration::from_secs(2));
        (0..3).for_each(|n| assert_eq!(net.knows(n).len(), 3, "at {:?}", net.now));
    }
    assert!(net.now > 3 * limits::MEMBER_REFRESH);
    // It leaves without a word.
    net.part(to_issuer);
    let left = net.now;
    while net.now < left + limits::MEMBER_LIFETIME {
        let next = net.nodes[1..].iter().filter_map(Membership::deadline).min().expect("refresh");
        net.skip_to(next);
        net.run(Duration::from_secs(2));
        assert!(net.now - left > limits::MEMBER_LIFETIME - limits::MEMBER_REFRESH || net.knows(2).len() == 3);
    }
    assert_eq!(net.knows(2).len(), 2, "and is forgotten");
}

#[test]
fn a_restart_says_nothing_new_and_a_loss_of_its_last_record_is_outdone() {
    let mut net = Net::new(2);
    let session = net.join(0, 1);
    net.run(Duration::from_secs(2));
    let moved = Myself { addresses: vec!["elsewhere:1".into()], ..myself(0) };
    net.nodes[0].announce(moved.clone(), net.now, &mut net.rng);
    net.run(Duration::from_secs(3));
    assert!(net.knows(1).contains(&(id(0), 2)));
    net.part(session);

    let restart = |net: &mut Net, kept: Record, says: &Myself| {
        let mut node = Membership::new(key(0), FormationTag::new(APP));
        node.load(Aged { record: kept, age_s: 60 }, net.now);
        node.announce(says.clone(), net.now, &mut net.rng);
        net.nodes[0] = node;
        let session = net.join(0, 1);
        net.run(Duration::from_secs(5));
        net.part(session);
    };
    let kept = net.nodes[0].row(&id(0)).expect("own").record.clone();
    restart(&mut net, kept, &moved);
    assert!(net.knows(1).contains(&(id(0), 2)), "same number, same words");

    // Its disk was restored from a copy that knows nothing of the last records, and its calendar is gone.
    let later = signed(0, 7);
    restart(&mut net, later, &moved);
    restart(&mut net, signed(0, 1), &myself(0));
    assert!(net.knows(1).contains(&(id(0), 9)), "{:?}", net.knows(1));
    assert_eq!(net.nodes[1].row(&id(0)).expect("known").record.addresses, myself(0).addresses);
}

#[test]
fn with_a_calendar_a_restored_node_does_not_use_a_number_twice() {
    let mut net = Net::new(1);
    let mut node = Membership::new(key(0), FormationTag::new(APP));
    node.load(Aged { record: signed(0, 5), age_s: 60 }, net.now);
    node.set_calendar(1_800_000_000_000, net.now);
    node.announce(myself(0), net.now, &mut net.rng);
    assert_eq!(node.row(&id(0)).expect("own").record.issue, 1_800_000_000_000);
    // A calendar that jumps back does not matter.
    node.set_calendar(0, net.now);
    node.announce(Myself { role: Role::Hub, ..myself(0) }, net.now + Duration::from_secs(2), &mut net.rng);
    assert_eq!(node.row(&id(0)).expect("own").record.issue, 1_800_000_000_001);
}

#[test]
fn a_node_without_gossip_neither_answers_nor_refuses() {
    let mut net = Net::new(1);
    net.nodes.push(Membership::new(key(1), FormationTag::new(APP)));
    net.join(0, 1);
    net.run(Duration::from_secs(2));
    assert_eq!((net.knows(0).len(), net.knows(1).len(), net.frames), (1, 0, 1));
}

#[test]
fn forged_and_unasked_records_end_the_session() {
    let mut net = Net::new(1);
    net.nodes[0].open(1, id(1), false, net.now);
    let genuine = signed(2, 1);
    let (now, mut rng) = (net.now, net.rng.clone());
    let node = &mut net.nodes[0];
    let records = |record: &Record| MembersFrame::Records {
        records: vec![Aged { record: record.clone(), age_s: 0 }],
        missing: vec![],
    };
    assert_eq!(node.receive(1, records(&genuine), now, &mut rng), Err(MembersError::Unasked { actual: 1 }));
    let have = MembersFrame::Have(vec![Held { member: prefix_of(&genuine), issue: 2 }]);
    node.receive(1, MembersFrame::Digest { sum: 1 }, now, &mut rng).expect("fine");
    node.receive(1, have, now, &mut rng).expect("fine");
    let asked: Vec<_> = std::iter::from_fn(|| node.next_frame(1, now)).collect();
    assert!(asked.contains(&MembersFrame::Want(vec![prefix_of(&genuine)])), "{asked:?}");
    let mut forged = genuine;
    forged.issue = 2;
    assert_eq!(node.receive(1, records(&forged), now, &mut rng), Err(MembersError::Forged));
}

#[test]
fn a_member_that_invents_others_cannot_push_out_those_that_exist() {
    let mut table = Table::default();
    let now = Duration::ZERO;
    // Genuineness is checked before; a table takes any record.
    let any = signed(0, 1);
    let record = |n: u32| {
        let mut record = any.clone();
        record.id = *blake3::hash(&n.to_le_bytes()).as_bytes();
        record
    };
    assert!(table.insert(record(0), 900, false, now), "an honest one that we only heard of");
    assert!(table.insert(record(1), 0, true, now), "a neighbour");
    let taken = (2..10_000).filter(|n| table.insert(record(*n), 0, false, now)).count();
    assert_eq!(taken, limits::MAX_MEMBERS - 2);
    assert!(table.get(&record(0).id).is_some(), "who is there stays");
    assert!(table.insert(record(10_001), 0, true, now), "a new neighbour finds room");
    assert!(table.get(&record(0).id).is_none(), "at the expense of the oldest hearsay");
    assert!(table.get(&record(1).id).is_some());
}

#[test]
fn a_flood_of_news_costs_a_bounded_number_of_checks() {
    let mut net = Net::new(1);
    net.nodes[0].open(1, id(1), false, net.now);
    let mut rng = net.rng.clone();
    let node = &mut net.nodes[0];
    node.receive(1, MembersFrame::Digest { sum: 1 }, net.now, &mut rng).expect("fine");
    let mut asked = 0;
    for step in 0u64..4000 {
        let now = net.now + Duration::from_millis(10) * step as u32;
        let member = |n: u64| blake3::hash(&(step * 512 + n).to_le_bytes()).as_bytes()[..8].try_into().expect("eight");
        let held = (0..512).map(|n| Held { member: member(n), issue: 1 }).collect();
        node.receive(1, MembersFrame::Have(held), now, &mut rng).expect("fine");
        while let Some(frame) = node.next_frame(1, now) {
            if let MembersFrame::Want(members) = frame {
                asked += members.len();
                node.receive(1, MembersFrame::Records { records: vec![], missing: members }, now, &mut rng)
                    .expect("asked");
            }
        }
    }
    let most = limits::MEMBER_CHECKS_BURST + 40.0 * limits::MEMBER_CHECKS_PER_SECOND + 1.0;
    assert!(asked as f64 <= most, "{asked} records asked for in 40 s");
    assert!(asked > 1000);
}
