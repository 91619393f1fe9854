//! Collections that keep the latest version only: one writer a document, and every version takes the place of all before.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::class::Class;
use super::super::document::{JsonLimits, JsonObject, Stamp};
use super::super::documents::{DocumentError, Refusal};
use super::super::engine::Traffic;
use super::super::policy::{self, Policies, Policy};
use super::super::session::SessionError;
use super::super::wire::Seq;
use super::world::{Mishap, STREAMS, Stream, World, key};
use crate::core::key::DocKey;

fn configured(policy: &str) -> Traffic {
    let mut policies = Policies::default();
    for collection in ["c", "tracks"] {
        policies.configure(collection, policy.parse().expect("a policy")).expect("a collection");
    }
    Traffic { policies, ..Traffic::default() }
}

/// Nodes of which those with a policy in `policies` have it configured for all collections.
fn world(links: &[(usize, usize)], policies: &[Option<&str>]) -> World {
    let mut world = World::new(policies.len() as u8, links);
    for (node, policy) in policies.iter().enumerate() {
        world.nodes[node].traffic = policy.map(configured).unwrap_or_default();
        world.crash(node);
    }
    world
}

fn put(world: &mut World, node: usize, key: &DocKey, text: &str) -> Result<Seq, DocumentError> {
    let json = JsonObject::parse(text, &JsonLimits::default()).expect("valid JSON");
    world.nodes[node].core.put(key, &json, 0)
}

fn base(world: &World, node: usize, key: &DocKey) -> Option<Stamp> {
    world.nodes[node].core.documents().index().get(key)?.base
}

fn refusal(written: Result<Seq, DocumentError>) -> Refusal {
    match written {
        Err(DocumentError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_writer_is_refused_with_the_name_of_the_first_also_where_nobody_knows_the_policy() {
    let mut world = world(&[(0, 1)], &[Some("latest"), None]);
    for n in 0..50 {
        put(&mut world, 0, &key("2"), &format!("{{\"n\":{n}}}")).expect("its writer");
    }
    world.settle();
    assert_eq!(world.nodes[1].read("2").as_deref(), Some("{\"n\":49}"));
    let Refusal::NotTheWriter { writer, .. } = refusal(put(&mut world, 1, &key("2"), "{}")) else { panic!() };
    assert_eq!(writer, "01".repeat(32));
    // The same content is no write.
    put(&mut world, 1, &key("2"), "{\"n\":49}").expect("nothing to do");
    // After a delete, which any node may do, the next to write is its writer.
    world.nodes[1].delete("2");
    put(&mut world, 1, &key("2"), "{\"n\":50}").expect("deleted before");
    world.settle();
    assert_eq!(world.nodes[0].read("2").as_deref(), Some("{\"n\":50}"));
    refusal(put(&mut world, 0, &key("2"), "{}"));
}

#[test]
fn two_that_create_a_document_while_apart_end_with_one_version_and_the_loser_is_told() {
    let mut world = world(&[(0, 1)], &[Some("latest"), Some("latest")]);
    for (node, writes) in [(0, 3), (1, 2)] {
        (0..writes).for_each(|n| {
            put(&mut world, node, &key("2"), &format!("{{\"by\":{node},\"n\":{n}}}")).expect("alone");
        });
    }
    world.settle();
    for node in 0..2 {
        assert_eq!(world.nodes[node].read("2").as_deref(), Some("{\"by\":0,\"n\":2}"));
    }
    assert_eq!(world.nodes.iter().map(|n| n.core.documents().superseded_count()).collect::<Vec<_>>(), [0, 1]);
    refusal(put(&mut world, 1, &key("2"), "{}"));
}

#[test]
fn a_writer_that_restarts_goes_on_counting_where_it_was_durable() {
    let mut world = world(&[(0, 1)], &[Some("latest"), None]);
    put(&mut world, 0, &key("2"), "{\"n\":1}").expect("its writer");
    world.settle();
    // This one is lost with the crash; nobody saw it, and its number is used again.
    put(&mut world, 0, &key("2"), "{\"n\":2}").expect("its writer");
    world.crash(0);
    put(&mut world, 0, &key("2"), "{\"n\":3}").expect("its writer");
    world.settle();
    assert_eq!(world.nodes[1].read("2").as_deref(), Some("{\"n\":3}"));
    assert_eq!(base(&world, 1, &key("2")).map(|stamp| stamp.counter), Some(2));
}

#[test]
fn a_policy_that_is_set_on_one_node_reaches_all_and_outlives_a_restart() {
    let mut world = world(&[(0, 1), (1, 2)], &[None, None, None]);
    put(&mut world, 2, &key("4"), "{\"n\":1}").expect("no policy yet");
    world.nodes[0].core.set_policy("c", &"latest+immutable".parse().expect("a policy"), 0).expect("a collection");
    world.settle();
    world.crash(2);
    let known: Option<Policy> = world.nodes[2].core.documents().policies().of("c");
    assert_eq!(known.map(|policy| policy.to_string()).as_deref(), Some("latest+immutable"));
    assert!(matches!(refusal(put(&mut world, 2, &key("4"), "{\"n\":2}")), Refusal::Immutable { .. }));
    put(&mut world, 2, &key("6"), "{\"n\":1}").expect("what is not there may be created");
    assert!(matches!(refusal(world.nodes[2].core.delete(&key("6"), 0)), Refusal::Immutable { .. }));
    let reserved = DocKey::new(policy::COLLECTION, "c").expect("valid");
    assert!(matches!(refusal(put(&mut world, 2, &reserved, "{}")), Refusal::Reserved { .. }));
}

/// A reader on another node waits for a version that is replaced before it gets there.
#[test]
fn whoever_waits_for_a_version_is_content_with_the_one_that_took_its_place() {
    let mut world = world(&[(0, 1)], &[Some("latest"), None]);
    put(&mut world, 0, &key("2"), "{\"n\":1}").expect("its writer");
    let first = world.nodes[0].core.documents().version(&key("2"));
    let contains = |world: &mut World, version| world.nodes[1].core.contains(&key("2"), version).expect("readable");
    assert_eq!(contains(&mut world, &first), None);
    put(&mut world, 0, &key("2"), "{\"n\":2}").expect("its writer");
    world.settle();
    let there = contains(&mut world, &first);
    assert!(there.is_some() && there == Some(world.nodes[1].core.documents().durable()));
    put(&mut world, 0, &key("2"), "{\"n\":3}").expect("its writer");
    let third = world.nodes[0].core.documents().version(&key("2"));
    assert_eq!(contains(&mut world, &third), None, "a later one is not");
    world.nodes[0].delete("2");
    world.settle();
    assert!(contains(&mut world, &third).is_some(), "a delete takes the place of all before");
}

#[test]
fn a_failed_commit_takes_a_policy_back() {
    let mut world = world(&[], &[None]);
    let core = &mut world.nodes[0].core;
    core.set_policy("c", &"latest".parse().expect("a policy"), 0).expect("a collection");
    core.commit_failed();
    assert_eq!(core.documents().policies().of("c"), None);
}

#[test]
fn edits_of_a_collection_that_keeps_full_history_again_merge_over_the_last_version() {
    let mut world = world(&[(0, 1)], &[Some("latest"), Some("latest")]);
    put(&mut world, 0, &key("2"), "{\"a\":1,\"b\":1}").expect("its writer");
    world.settle();
    for node in 0..2 {
        world.nodes[node].traffic = configured("full");
        world.crash(node);
    }
    put(&mut world, 0, &key("2"), "{\"a\":2,\"b\":1}").expect("full");
    put(&mut world, 1, &key("2"), "{\"a\":1,\"b\":2}").expect("full");
    world.settle();
    for node in 0..2 {
        assert_eq!(world.nodes[node].read("2").as_deref(), Some("{\"a\":2,\"b\":2}"));
    }
    assert!(world.errors.is_empty());
}

#[derive(Debug, Clone)]
enum Op {
    Edit(usize, u8),
    Delete(usize, u8),
    /// A node edits every document and makes that durable.
    Burst(usize),
    BeginCommit(usize),
    FinishCommit(usize),
    /// A node makes durable what it has and looks at its tombstones, a minute later again: what was on its way to it has come or is lost.
    Forget(usize),
    /// A node comes back with another policy.
    Crash(usize, Option<&'static str>),
    Connect(usize),
    Disconnect(usize),
    Deliver {
        link: usize,
        side: usize,
        stream: Stream,
        most: u8,
    },
    Mishap {
        link: usize,
        side: usize,
        stream: Stream,
        mishap: Mishap,
    },
}

const NODES: usize = 4;
const DOCS: u8 = 5;
const LINKS: [(usize, usize); 4] = [(0, 1), (1, 2), (2, 3), (1, 3)];

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Control), Just(Stream::Data(Class::State)), Just(Stream::Data(Class::Telemetry))]
}

fn policy() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![3 => Just(Some("latest")), 1 => Just(None), 1 => Just(Some("full"))]
}

fn op() -> impl Strategy<Value = Op> {
    let (node, link, side) = (0..NODES, 0..LINKS.len(), 0usize..2);
    let mishap = prop_oneof![Just(Mishap::Lose), Just(Mishap::Repeat), Just(Mishap::Overtake)];
    prop_oneof![
        8 => (node.clone(), 0u8..DOCS).prop_map(|(node, doc)| Op::Edit(node, doc)),
        1 => (node.clone(), 0u8..DOCS).prop_map(|(node, doc)| Op::Delete(node, doc)),
        2 => node.clone().prop_map(Op::Burst),
        4 => node.clone().prop_map(Op::BeginCommit),
        4 => node.clone().prop_map(Op::FinishCommit),
        1 => (node, policy()).prop_map(|(node, policy)| Op::Crash(node, policy)),
        3 => link.clone().prop_map(Op::Connect),
        2 => link.clone().prop_map(Op::Disconnect),
        12 => (link.clone(), side.clone(), stream(), 1u8..6)
            .prop_map(|(link, side, stream, most)| Op::Deliver { link, side, stream, most }),
        1 => (link, side, stream(), mishap)
            .prop_map(|(link, side, stream, mishap)| Op::Mishap { link, side, stream, mishap }),
    ]
}

/// The world, and the highest base that was ever durable anywhere, by document.
struct Run {
    world: World,
    counter: u64,
    highest: BTreeMap<u8, Option<Stamp>>,
    disturbed: bool,
    /// Tombstones that were forgotten.
    forgotten: usize,
}

impl Run {
    fn new(policies: &[Option<&str>]) -> Self {
        let mut world = world(&LINKS, policies);
        world.window = 1;
        Self { world, counter: 0, highest: BTreeMap::new(), disturbed: false, forgotten: 0 }
    }
}

impl Run {
    fn edit(&mut self, node: usize, doc: u8) {
        self.counter += 1;
        let text = format!("{{\"n\":{}}}", self.counter);
        match put(&mut self.world, node, &key(&doc.to_string()), &text) {
            Ok(_) | Err(DocumentError::Refused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self, op: &Op) {
        match op.clone() {
            Op::Edit(node, doc) => self.edit(node, doc),
            Op::Delete(node, doc) => {
                self.world.nodes[node].delete(&doc.to_string());
            }
            Op::Burst(node) => {
                (0..DOCS).for_each(|doc| self.edit(node, doc));
                self.finish_commit(node);
                self.world.nodes[node].begin_commit();
                self.finish_commit(node);
            }
            Op::BeginCommit(node) => self.world.nodes[node].begin_commit(),
            Op::FinishCommit(node) => self.finish_commit(node),
            Op::Crash(node, policy) => {
                self.world.nodes[node].traffic = policy.map(configured).unwrap_or_default();
                self.world.crash(node);
            }
            Op::Forget(node) => self.forget(node),
            Op::Connect(link) => {
                self.world.connect(link);
                while self.world.deliver(link, 0, Stream::Control) || self.world.deliver(link, 1, Stream::Control) {}
            }
            Op::Disconnect(link) => self.world.disconnect(link),
            Op::Deliver { link, side, stream, most } => {
                for _ in 0..most {
                    self.world.deliver(link, side, stream);
                }
            }
            Op::Mishap { link, side, stream, mishap } => {
                self.disturbed |= self.world.mishap(link, side, stream, mishap);
            }
        }
    }

    fn forget(&mut self, node: usize) {
        self.finish_commit(node);
        self.world.nodes[node].begin_commit();
        self.finish_commit(node);
        let members = (1..=NODES as u8).filter(|id| usize::from(*id) != node + 1).map(|id| [id; 32]).collect();
        for _ in 0..2 {
            let core = &mut self.world.nodes[node].core;
            self.forgotten += core.forget_tombstones(&members, &Default::default(), u64::MAX / 2).expect("readable");
            let touches = |link: &usize| LINKS[*link].0 == node || LINKS[*link].1 == node;
            (0..LINKS.len()).filter(touches).for_each(|link| self.world.disconnect(link));
        }
    }

    fn finish_commit(&mut self, node: usize) {
        let now = self.world.now;
        self.world.nodes[node].finish_commit(now);
        self.note_durable(node);
        (0..LINKS.len()).for_each(|link| self.world.collect(link));
    }

    /// What is durable now must never be gone back behind.
    fn note_durable(&mut self, node: usize) {
        let documents = self.world.nodes[node].core.documents();
        for doc in 0..DOCS {
            let durable = documents.index().get(&key(&doc.to_string())).filter(|meta| meta.seq <= documents.durable());
            let highest = self.highest.entry(doc).or_default();
            *highest = (*highest).max(durable.and_then(|meta| meta.base));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// In whatever order versions travel, all nodes end with the highest that was ever durable: none is resurrected,
    /// none that counts is lost, and nothing of the others is left on any disk.
    #[test]
    fn all_end_with_the_highest_version_that_was_ever_durable(
        policies in prop::collection::vec(policy(), NODES),
        ops in prop::collection::vec(op(), 1..140),
    ) {
        let mut run = Run::new(&policies);
        ops.iter().for_each(|op| run.step(op));
        (0..NODES).for_each(|node| run.note_durable(node));
        let Run { mut world, highest, disturbed, .. } = run;
        world.settle();
        if !disturbed {
            let errors: Vec<String> = world.errors.iter().map(SessionError::to_string).collect();
            prop_assert!(errors.is_empty(), "honest nodes quarrelled: {errors:?}");
        }
        for (doc, highest) in highest {
            let key = key(&doc.to_string());
            let view = |node: usize| {
                let meta = world.nodes[node].core.documents().index().get(&key);
                meta.map(|meta| (meta.base, meta.heads.clone(), meta.deleted))
            };
            let first = view(0);
            for node in 1..NODES {
                prop_assert_eq!(view(node), first.clone(), "document {} on node {}", doc, node);
            }
            let found = first.and_then(|(base, ..)| base);
            prop_assert!(found >= highest, "document {doc} went back from {highest:?} to {found:?}");
            let texts: Vec<_> = world.nodes.iter_mut().map(|node| node.read(&doc.to_string())).collect();
            prop_assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
        }
    }
}

/// Operations of nodes that forget tombstones. The middle of the mesh, which everyone has sessions with, does so most.
fn op_or_forget() -> impl Strategy<Value = Op> {
    let forgetful = |op| match op {
        Op::Crash(node, _) => Op::Crash(node, Some("latest+tombstone:60")),
        other => other,
    };
    prop_oneof![
        20 => op().prop_map(forgetful),
        3 => (0u8..DOCS).prop_map(|doc| Op::Delete(1, doc)),
        2 => Just(Op::Forget(1)),
        1 => (0..NODES).prop_map(Op::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever a node forgets: no version below a tombstone that was ever durable shows up again, nothing that was
    /// written after it is hidden, and all agree on what is there.
    #[test]
    fn nothing_that_was_deleted_comes_back_when_tombstones_are_forgotten(
        ops in prop::collection::vec(op_or_forget(), 1..60),
        more in prop::collection::vec(op_or_forget(), 1..40),
    ) {
        let mut run = Run::new(&[Some("latest+tombstone:60"); NODES]);
        ops.iter().for_each(|op| run.step(op));
        // All have everything, so that there is something to forget.
        run.world.settle();
        run.world.window = 1;
        (0..NODES).for_each(|node| run.note_durable(node));
        run.forget(1);
        more.iter().for_each(|op| run.step(op));
        (0..NODES).for_each(|node| run.note_durable(node));
        run.world.settle();
        (0..NODES).for_each(|node| run.note_durable(node));
        let Run { world, highest, .. } = run;
        for (doc, highest) in highest {
            let key = key(&doc.to_string());
            // A tombstone and nothing are the same to see.
            let live = |node: usize| {
                let meta = world.nodes[node].core.documents().index().get(&key).filter(|meta| !meta.deleted);
                meta.map(|meta| (meta.base, meta.heads.clone()))
            };
            let first = live(0);
            for node in 1..NODES {
                prop_assert_eq!(live(node), first.clone(), "document {} on node {}", doc, node);
            }
            match first {
                Some((found, _)) => prop_assert!(found >= highest, "document {doc}: {found:?} came back below {highest:?}"),
                None => prop_assert!(
                    highest.is_none_or(|highest| highest.counter == 0),
                    "document {doc}: {highest:?} is gone"
                ),
            }
        }
    }
}

#[test]
fn a_thousand_versions_leave_one_on_each_disk_and_a_peer_that_was_away_gets_one() {
    let mut world = world(&[(0, 1)], &[Some("latest"), None]);
    put(&mut world, 0, &key("2"), "{\"n\":0}").expect("its writer");
    world.settle();
    world.disconnect(0);
    for n in 1..1000 {
        put(&mut world, 0, &key("2"), &format!("{{\"n\":{n}}}")).expect("its writer");
        let now = world.now;
        world.nodes[0].begin_commit();
        world.nodes[0].finish_commit(now);
    }
    world.connect(0);
    let mut frames = 0;
    for round in 0..20 {
        for (stream, side) in STREAMS.into_iter().flat_map(|stream| [(stream, 0), (stream, 1)]) {
            while world.deliver(0, side, stream) {
                frames += usize::from(matches!(stream, Stream::Data(_)) && side == 1 && round < 20);
            }
        }
    }
    world.settle();
    assert_eq!(world.nodes[1].read("2").as_deref(), Some("{\"n\":999}"));
    assert!(frames <= 2, "{frames} data frames");
    for node in &world.nodes {
        let meta = node.core.documents().index().get(&key("2")).expect("there");
        assert_eq!((meta.tail_bytes, meta.checkpoints.len()), (0, 0));
        assert!(meta.snapshot_bytes < 200, "{} bytes", meta.snapshot_bytes);
    }
}

/// A node that others know, and has itself seen them, forgets a tombstone only when all of them have it, one pass later.
#[test]
fn a_tombstone_is_forgotten_once_it_is_old_and_everyone_has_it_and_stays_deleted() {
    const HOUR_MS: u64 = 3_600_000;
    for policy in ["full+tombstone:3600", "latest+tombstone:3600"] {
        let mut world = world(&[(0, 1), (1, 2)], &[Some(policy), Some(policy), Some(policy)]);
        put(&mut world, 0, &key("2"), "{\"n\":1}").expect("its writer");
        world.settle();
        world.disconnect(1);
        world.nodes[0].delete("2");
        put(&mut world, 0, &key("4"), "{\"n\":1}").expect("another document");
        let forget = |world: &mut World, node: usize, at_ms: u64| {
            let core = &mut world.nodes[node].core;
            core.forget_tombstones(&Default::default(), &Default::default(), at_ms).expect("readable")
        };
        let now = world.now;
        for node in [0, 1] {
            for _ in 0..3 {
                world.nodes[0].begin_commit();
                world.nodes[0].finish_commit(now);
                world.collect(0);
                while world.deliver(0, 1, Stream::Data(Class::State)) || world.deliver(0, 1, Stream::Control) {}
                world.nodes[1].begin_commit();
                world.nodes[1].finish_commit(now);
            }
            // Node 2 is away, and node 1 has not said yet what it has.
            assert_eq!((0..3).map(|_| forget(&mut world, node, 2 * HOUR_MS)).sum::<usize>(), 0, "{policy}");
        }
        world.settle();
        assert_eq!(forget(&mut world, 1, HOUR_MS / 2), 0, "the first pass after everyone has it");
        assert_eq!(forget(&mut world, 1, HOUR_MS / 2), 0, "not old enough");
        assert_eq!(forget(&mut world, 1, 2 * HOUR_MS), 1);
        assert_eq!(world.nodes[1].core.documents().index().get(&key("2")), None);
        world.settle();
        // Its neighbours reconcile: the tombstone comes back, the document does not.
        for link in 0..2 {
            world.disconnect(link);
        }
        world.nodes[1].disk = world.nodes[1].disk.copy_for_a_stranger();
        world.crash(1);
        world.settle();
        for node in 0..3 {
            assert_eq!(world.nodes[node].read("2"), None);
            assert_eq!(world.nodes[node].read("4").as_deref(), Some("{\"n\":1}"));
        }
        // What was forgotten is created as if it had never been.
        for node in [0, 1, 2] {
            forget(&mut world, node, 9 * HOUR_MS);
            forget(&mut world, node, 9 * HOUR_MS);
        }
        put(&mut world, 2, &key("2"), "{\"n\":2}").expect("deleted or forgotten");
        world.settle();
        for node in 0..3 {
            assert_eq!(world.nodes[node].read("2").as_deref(), Some("{\"n\":2}"), "{policy}");
        }
        assert!(world.errors.is_empty(), "{:?}", world.errors);
    }
}
