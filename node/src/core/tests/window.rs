//! Collections that keep a window of their history: documents are begun anew, and no write is lost by it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::class::Class;
use super::super::document::{JsonLimits, JsonObject};
use super::super::documents::DocumentError;
use super::super::engine::Traffic;
use super::super::interest::{Interest, Selector};
use super::super::policy::Policies;
use super::super::session::SessionError;
use super::super::wire::Seq;
use super::world::{Mishap, Stream, World, key};

/// Changes that a history may have in these tests.
const WINDOW: u32 = 2;
const NODES: usize = 4;
const DOCS: u8 = 2;
/// The first node, which begins documents anew, has a session with every other one.
const LINKS: [(usize, usize); 5] = [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)];

fn configured(policy: &str) -> Traffic {
    let mut policies = Policies::default();
    for collection in ["c", "tracks"] {
        policies.configure(collection, policy.parse().expect("a policy")).expect("a collection");
    }
    Traffic { policies, ..Traffic::default() }
}

fn world(nodes: usize, links: &[(usize, usize)]) -> World {
    let mut world = World::new(nodes as u8, links);
    for node in 0..nodes {
        world.nodes[node].traffic = configured("window:2");
        world.crash(node);
    }
    world
}

/// One pass of a node. Without `retired` everybody else counts.
fn pass(world: &mut World, node: usize, retired: &BTreeSet<[u8; 32]>, now_s: u64) -> usize {
    let members = (1..=world.nodes.len() as u8).filter(|id| usize::from(*id) != node + 1).map(|id| [id; 32]).collect();
    let core = &mut world.nodes[node].core;
    core.forget_tombstones(&members, retired, now_s * 1000).expect("readable");
    core.find_windows(&members, retired, now_s * 1000).expect("readable");
    let mut begun = 0;
    loop {
        match core.begin_windows().expect("writable") {
            0 => return begun,
            some => begun += some,
        }
    }
}

fn changes(world: &World, node: usize, id: &str) -> u32 {
    world.nodes[node].core.documents().index().extent(&key(id)).map_or(0, |extent| extent.changes)
}

fn counter(world: &World, node: usize, id: &str) -> u64 {
    let meta = world.nodes[node].core.documents().index().get(&key(id));
    meta.and_then(|meta| meta.base).map_or(0, |base| base.counter)
}

#[test]
fn a_document_is_begun_anew_when_everyone_has_it_and_by_one_node_only() {
    let mut world = world(3, &[(0, 1), (0, 2), (1, 2)]);
    for n in 0..5 {
        world.nodes[n % 3].put("2", &format!("{{\"n\":{n}}}"));
        world.settle();
    }
    let nobody = BTreeSet::new();
    for node in [1, 2] {
        assert_eq!(pass(&mut world, node, &nobody, 0), 0);
        assert_eq!(world.nodes[node].core.documents().beyond_window(), 1);
    }
    assert_eq!(pass(&mut world, 0, &nobody, 0), 1);
    assert_eq!(pass(&mut world, 0, &nobody, 0), 0);
    world.settle();
    for node in 0..3 {
        assert_eq!((changes(&world, node, "2"), counter(&world, node, "2")), (0, 5));
        assert_eq!(world.nodes[node].read("2").as_deref(), Some("{\"n\":4}"));
    }
    // While a member is away it misses one base at most; then histories grow.
    world.disconnect(1);
    for (from, begun) in [(5, 1), (10, 0), (15, 0)] {
        for n in from..from + 5 {
            world.nodes[0].put("2", &format!("{{\"n\":{n}}}"));
        }
        assert_eq!(pass(&mut world, 0, &nobody, 0), begun);
    }
    assert_eq!((changes(&world, 0, "2"), world.nodes[0].core.documents().beyond_window()), (10, 1));
    world.settle();
    assert_eq!(pass(&mut world, 0, &nobody, 0), 1);
    world.settle();
    assert_eq!((0..3).map(|node| changes(&world, node, "2")).sum::<u32>(), 0);
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

/// A document that somebody writes all the time is never at rest: its window must close all the same.
#[test]
fn a_document_that_never_rests_is_begun_anew_under_load() {
    let mut world = world(2, &[(0, 1)]);
    let nobody = BTreeSet::new();
    let mut begun = 0;
    for n in 0..60 {
        world.nodes[n % 2].put("2", &format!("{{\"n\":{n}}}"));
        if n % 10 == 9 {
            // Acknowledgements are there; more is on its way and not durable yet.
            world.settle();
            world.nodes[0].put("2", &format!("{{\"n\":{n},\"m\":1}}"));
            world.nodes[1].put("2", &format!("{{\"n\":{n},\"m\":2}}"));
            world.nodes[0].put("2", &format!("{{\"n\":{n},\"m\":3}}"));
            begun += pass(&mut world, 0, &nobody, 0);
        }
    }
    world.settle();
    assert_eq!(begun, 6);
    assert!(changes(&world, 0, "2") <= 3, "{}", changes(&world, 0, "2"));
    assert_eq!(world.nodes[0].read("2"), world.nodes[1].read("2"));
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

#[test]
fn what_was_written_meanwhile_on_the_old_history_is_carried_over_once() {
    let mut world = world(3, &[(0, 1), (1, 2), (0, 2)]);
    for n in 0..4 {
        world.nodes[0].put("2", &format!("{{\"a\":{n},\"b\":1,\"c\":1}}"));
    }
    world.settle();
    (0..3).for_each(|link| world.disconnect(link));
    // Nodes 1 and 2 share an edit; each makes another one on top of it. All have the history that is begun anew.
    world.nodes[1].put("2", "{\"a\":3,\"b\":2,\"c\":1}");
    let now = world.now;
    world.nodes[1].begin_commit();
    world.nodes[1].finish_commit(now);
    world.connect(1);
    for stream in [Stream::Control, Stream::Data(Class::State)] {
        while world.deliver(1, 0, stream) || world.deliver(1, 1, stream) {}
    }
    world.disconnect(1);
    world.nodes[1].put("2", "{\"a\":3,\"b\":2}");
    world.nodes[2].put("2", "{\"a\":3,\"b\":2,\"c\":1,\"d\":{\"e\":1}}");
    let nobody = BTreeSet::new();
    assert_eq!(pass(&mut world, 0, &nobody, 0), 1);
    world.settle();
    for node in 0..3 {
        assert_eq!(world.nodes[node].read("2").as_deref(), Some("{\"a\":3,\"b\":2,\"d\":{\"e\":1}}"), "node {node}");
        // The shared edit is one change, whoever carried it over.
        assert_eq!(changes(&world, node, "2"), 3);
        assert_eq!(world.nodes[node].core.documents().superseded_count(), 0);
    }
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

#[test]
fn a_window_of_an_age_leaves_documents_alone_that_were_written_once() {
    let mut world = world(1, &[]);
    world.nodes[0].traffic = configured("window:1h");
    world.crash(0);
    world.nodes[0].put("2", "{\"n\":1}");
    world.nodes[0].put("4", "{\"n\":1}");
    world.nodes[0].put("4", "{\"n\":2}");
    world.settle();
    let nobody = BTreeSet::new();
    assert_eq!((0..2).map(|_| pass(&mut world, 0, &nobody, 3600)).sum::<usize>(), 0);
    // Nothing is known of lengths after a restart; the first pass measures them.
    world.crash(0);
    assert_eq!((0..3).map(|_| pass(&mut world, 0, &nobody, 3601)).sum::<usize>(), 1);
    assert_eq!((counter(&world, 0, "2"), counter(&world, 0, "4")), (0, 2));
    assert_eq!((0..3).map(|_| pass(&mut world, 0, &nobody, 99_999)).sum::<usize>(), 0);
}

/// A node that writes a collection which it does not ask for is told of no base, until it writes on the old one.
#[test]
fn a_writer_that_does_not_ask_for_a_document_is_told_when_it_was_begun_anew() {
    let mut world = world(2, &[(0, 1)]);
    let others = Selector::new("elsewhere", "").and_then(|selector| Interest::only(vec![selector]));
    world.nodes[1].traffic.interest = others.expect("an interest");
    world.crash(1);
    let nobody = BTreeSet::new();
    let mut begun = 0;
    for n in 0..12 {
        world.nodes[1].put("2", &format!("{{\"n\":{n},\"w{n}\":1}}"));
        world.settle();
        let text = world.nodes[0].read("2").expect("there").replace('}', &format!(",\"z{n}\":1}}"));
        world.nodes[0].put("2", &text);
        world.settle();
        begun += pass(&mut world, 0, &nobody, 0);
        world.settle();
        let content: Value = serde_json::from_str(&world.nodes[0].read("2").expect("there")).expect("JSON");
        assert_eq!((&content["n"], &content[format!("w{n}")]), (&n.into(), &1.into()), "{content}");
        assert_eq!(content[format!("z{n}")], 1, "{content}");
    }
    assert!(begun >= 3, "{begun}");
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

/// Two halves that never met and began a document anew by themselves: one version is in force, with what it lacked.
#[test]
fn islands_that_never_met_end_with_the_fields_of_both() {
    let mut world = world(4, &[(0, 1), (2, 3), (1, 2)]);
    let everybody: BTreeSet<[u8; 32]> = (1..=4).map(|id| [id; 32]).collect();
    for (node, writes) in [(0, 4), (2, 6)] {
        for n in 0..writes {
            world.nodes[node].put("2", &format!("{{\"both\":{n},\"o\":{{\"w{node}\":1}},\"w{node}\":1}}"));
        }
        assert_eq!(pass(&mut world, node, &everybody, 0), 1);
    }
    world.settle();
    for node in 0..4 {
        let text = world.nodes[node].read("2");
        let expected = "{\"both\":5,\"o\":{\"w0\":1,\"w2\":1},\"w0\":1,\"w2\":1}";
        assert_eq!(text.as_deref(), Some(expected));
    }
    let superseded: Vec<_> = world.nodes.iter().map(|node| node.core.documents().superseded_count()).collect();
    assert_eq!((superseded[0], superseded[2], superseded[3]), (1, 0, 0), "{superseded:?}");
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

#[derive(Debug, Clone)]
enum Op {
    /// Adds a field that nobody else has, in the root or in an object, and overwrites one that all have.
    Edit(usize, u8, bool),
    /// Removes the first such field that the node sees.
    Remove(usize, u8),
    Delete(usize, u8),
    BeginCommit(usize),
    FinishCommit(usize),
    FailCommit(usize),
    /// Looks at windows.
    Pass(usize),
    /// Looks at windows as if there were nobody else: nodes may differ on who is a member.
    LonelyPass(usize),
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
    /// Everything is delivered and acknowledged.
    Settle,
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Control), Just(Stream::Data(Class::State)), Just(Stream::Data(Class::Telemetry))]
}

/// Operations of nodes that all have this policy, and keep it.
fn op() -> impl Strategy<Value = Op> {
    let (node, link, side, doc) = (0..NODES, 0..LINKS.len(), 0usize..2, 0..DOCS);
    let mishap = prop_oneof![Just(Mishap::Lose), Just(Mishap::Repeat), Just(Mishap::Overtake)];
    prop_oneof![
        10 => (node.clone(), doc.clone(), any::<bool>()).prop_map(|(node, doc, nested)| Op::Edit(node, doc, nested)),
        2 => (node.clone(), doc).prop_map(|(node, doc)| Op::Remove(node, doc)),
        4 => node.clone().prop_map(Op::BeginCommit),
        4 => node.clone().prop_map(Op::FinishCommit),
        1 => node.clone().prop_map(Op::FailCommit),
        4 => Just(Op::Pass(0)),
        1 => node.clone().prop_map(Op::Pass),
        1 => node.prop_map(|node| Op::Crash(node, Some("window:2"))),
        3 => link.clone().prop_map(Op::Connect),
        2 => link.clone().prop_map(Op::Disconnect),
        12 => (link.clone(), side.clone(), stream(), 1u8..6)
            .prop_map(|(link, side, stream, most)| Op::Deliver { link, side, stream, most }),
        1 => (link, side, stream(), mishap)
            .prop_map(|(link, side, stream, mishap)| Op::Mishap { link, side, stream, mishap }),
        2 => Just(Op::Settle),
    ]
}

/// The same with deletes, policies that change, and views of the membership that differ.
fn wild_op() -> impl Strategy<Value = Op> {
    let policy = prop_oneof![4 => Just(Some("window:2")), 1 => Just(Some("full")), 1 => Just(None)];
    prop_oneof![
        20 => op(),
        1 => (0..NODES, 0..DOCS).prop_map(|(node, doc)| Op::Delete(node, doc)),
        1 => (0..NODES).prop_map(Op::LonelyPass),
        1 => (0..NODES, policy).prop_map(|(node, policy)| Op::Crash(node, policy)),
    ]
}

fn wildest_op() -> impl Strategy<Value = Op> {
    let policy = prop_oneof![Just(Some("latest")), Just(Some("window:2")), Just(Some("full")), Just(None)];
    prop_oneof![
        20 => wild_op(),
        2 => (0..NODES, policy).prop_map(|(node, policy)| Op::Crash(node, policy)),
    ]
}

/// Something that a client did, numbered by what it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Wrote its field, and the shared one over what the node saw there.
    Wrote { doc: u8, number: u64, over: Option<u64> },
    /// Removed the field of a write.
    Removed { doc: u8, number: u64 },
}

struct Run {
    world: World,
    number: u64,
    /// What is not acknowledged yet, by node.
    pending: BTreeMap<usize, Vec<(Seq, Deed)>>,
    acknowledged: Vec<Deed>,
    /// Fields that somebody tried to remove.
    touched: BTreeSet<u64>,
    deleted: BTreeSet<u8>,
    retired: BTreeSet<[u8; 32]>,
    disturbed: bool,
    begun: usize,
}

impl Run {
    fn new(retired: BTreeSet<[u8; 32]>) -> Self {
        let mut world = world(NODES, &LINKS);
        world.window = 1;
        Self {
            world,
            number: 0,
            pending: BTreeMap::new(),
            acknowledged: vec![],
            touched: BTreeSet::new(),
            deleted: BTreeSet::new(),
            retired,
            disturbed: false,
            begun: 0,
        }
    }

    fn content(&mut self, node: usize, doc: u8) -> Option<Map<String, Value>> {
        let text = self.world.nodes[node].read(&doc.to_string())?;
        Some(serde_json::from_str(&text).expect("a document is JSON"))
    }

    fn put(&mut self, node: usize, doc: u8, content: &Map<String, Value>, deed: Deed) {
        let json = JsonObject::parse(&Value::Object(content.clone()).to_string(), &JsonLimits::default());
        let put = self.world.nodes[node].core.put(&key(&doc.to_string()), &json.expect("valid JSON"), 0);
        match put {
            Ok(seq) => self.pending.entry(node).or_default().push((seq, deed)),
            Err(DocumentError::Refused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self, op: &Op) {
        match op.clone() {
            Op::Edit(node, doc, nested) => {
                self.number += 1;
                let number = self.number;
                let mut content = self.content(node, doc).unwrap_or_default();
                let over = content.insert("x".into(), number.into()).and_then(|old| old.as_u64());
                if nested {
                    let object = content.entry("o").or_insert_with(|| Value::Object(Map::new()));
                    object.as_object_mut().expect("never anything else").insert(format!("w{number}"), number.into());
                } else {
                    content.insert(format!("w{number}"), number.into());
                }
                self.put(node, doc, &content, Deed::Wrote { doc, number, over });
            }
            Op::Remove(node, doc) => {
                let Some(mut content) = self.content(node, doc) else { return };
                let Some(field) = content.keys().find(|key| key.starts_with('w')).cloned() else { return };
                let number = content.remove(&field).and_then(|value| value.as_u64()).expect("a number");
                self.touched.insert(number);
                self.put(node, doc, &content, Deed::Removed { doc, number });
            }
            Op::Delete(node, doc) => {
                self.world.nodes[node].delete(&doc.to_string());
                self.deleted.insert(doc);
            }
            Op::BeginCommit(node) => self.world.nodes[node].begin_commit(),
            Op::FinishCommit(node) => self.finish_commit(node),
            Op::FailCommit(node) => {
                self.world.nodes[node].fail_commit();
                // Also what was pending behind it. Sessions are over.
                self.forget_pending(node);
                self.links_of(node).for_each(|link| self.world.disconnect(link));
            }
            Op::Pass(node) => self.pass(node, self.retired.clone()),
            Op::LonelyPass(node) => {
                self.pass(node, (1..=NODES as u8).map(|id| [id; 32]).collect());
            }
            Op::Crash(node, policy) => {
                self.world.nodes[node].traffic = policy.map(configured).unwrap_or_default();
                self.world.crash(node);
                self.pending.remove(&node);
            }
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
            Op::Settle => {
                self.settle();
                self.world.window = 1;
            }
        }
    }

    fn links_of(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        (0..LINKS.len()).filter(move |link| LINKS[*link].0 == node || LINKS[*link].1 == node)
    }

    fn pass(&mut self, node: usize, retired: BTreeSet<[u8; 32]>) {
        self.begun += pass(&mut self.world, node, &retired, 0);
        self.note(node);
        (0..LINKS.len()).for_each(|link| self.world.collect(link));
    }

    fn settle(&mut self) {
        self.world.settle();
        (0..NODES).for_each(|node| self.note(node));
    }

    fn finish_commit(&mut self, node: usize) {
        let now = self.world.now;
        self.world.nodes[node].finish_commit(now);
        self.note(node);
        (0..LINKS.len()).for_each(|link| self.world.collect(link));
    }

    /// What is durable is acknowledged.
    fn note(&mut self, node: usize) {
        let durable = self.world.nodes[node].core.documents().durable();
        let pending = self.pending.entry(node).or_default();
        self.acknowledged.extend(pending.iter().filter(|(seq, _)| *seq <= durable).map(|(_, deed)| *deed));
        pending.retain(|(seq, _)| *seq > durable);
    }

    fn forget_pending(&mut self, node: usize) {
        self.pending.remove(&node);
    }

    fn numbers(content: &Map<String, Value>) -> BTreeSet<u64> {
        let nested = content.get("o").and_then(Value::as_object).into_iter().flatten();
        let fields = content.iter().chain(nested).filter(|(key, _)| key.starts_with('w'));
        fields.filter_map(|(_, value)| value.as_u64()).collect()
    }

    /// Everything is healed, and all nodes have the same documents, heads and all.
    fn converge(&mut self) -> Result<(), TestCaseError> {
        self.settle();
        for doc in 0..DOCS {
            let view = |node: usize| {
                let meta = self.world.nodes[node].core.documents().index().get(&key(&doc.to_string()));
                meta.map(|meta| (meta.base, meta.heads.clone(), meta.deleted))
            };
            for node in 1..NODES {
                prop_assert_eq!(view(node), view(0), "document {} on node {}", doc, node);
            }
            let texts: Vec<_> = self.world.nodes.iter_mut().map(|node| node.read(&doc.to_string())).collect();
            prop_assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
        }
        if !self.disturbed {
            let errors: Vec<String> = self.world.errors.iter().map(SessionError::to_string).collect();
            prop_assert!(errors.is_empty(), "honest nodes quarrelled: {errors:?}");
        }
        Ok(())
    }

    /// Fields that were written and acknowledged, and that nobody removed, are there.
    fn nothing_is_lost(&mut self) -> Result<(), TestCaseError> {
        for doc in (0..DOCS).filter(|doc| !self.deleted.contains(doc)).collect::<Vec<_>>() {
            let there = self.content(0, doc).map(|content| Self::numbers(&content)).unwrap_or_default();
            for deed in &self.acknowledged {
                if let Deed::Wrote { doc: of, number, .. } = deed
                    && *of == doc
                    && !self.touched.contains(number)
                {
                    prop_assert!(there.contains(number), "w{number} of document {doc} is lost; there is {there:?}");
                }
            }
        }
        Ok(())
    }

    /// Fields whose removal was acknowledged stay removed, and no value comes back that was written over.
    fn nothing_comes_back(&mut self) -> Result<(), TestCaseError> {
        for doc in 0..DOCS {
            let content = self.content(0, doc).unwrap_or_default();
            let (there, shared) = (Self::numbers(&content), content.get("x").and_then(Value::as_u64));
            for deed in &self.acknowledged {
                match deed {
                    Deed::Removed { doc: of, number } if *of == doc => {
                        prop_assert!(!there.contains(number), "w{number} of document {doc} came back");
                    }
                    Deed::Wrote { doc: of, over: Some(over), number } if *of == doc => {
                        prop_assert_ne!(
                            Some(*over),
                            shared,
                            "x of document {} is what {} was written over",
                            doc,
                            number
                        );
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Once all are connected and quiet, histories are within their window.
    fn everything_is_bounded(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..2 {
            self.pass(0, BTreeSet::new());
            self.settle();
        }
        self.converge()?;
        for (node, doc) in (0..NODES).flat_map(|node| (0..DOCS).map(move |doc| (node, doc.to_string()))) {
            let changes = changes(&self.world, node, &doc);
            prop_assert!(changes <= WINDOW, "{changes} changes of document {doc} on node {node}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever happens to nodes and links while documents are begun anew: all end with the same, every acknowledged
    /// write is there, nothing that was removed or written over comes back, and histories end within their window.
    #[test]
    fn no_write_is_lost_when_documents_are_begun_anew(
        ops in prop::collection::vec(op(), 1..200),
        retires_one in any::<bool>(),
    ) {
        let retired = if retires_one { BTreeSet::from([[4; 32]]) } else { BTreeSet::new() };
        let mut run = Run::new(retired);
        ops.iter().for_each(|op| run.step(op));
        run.converge()?;
        run.nothing_is_lost()?;
        run.nothing_comes_back()?;
        run.everything_is_bounded()?;
        run.nothing_is_lost()?;
        run.nothing_comes_back()?;
    }

    /// The same with deletes, policies that change, and nodes that begin documents anew by themselves: all end with the
    /// same, and every acknowledged write is there.
    #[test]
    fn no_write_is_lost_when_two_begin_a_document_anew_by_themselves(
        ops in prop::collection::vec(wild_op(), 1..200),
    ) {
        let mut run = Run::new(BTreeSet::new());
        ops.iter().for_each(|op| run.step(op));
        run.converge()?;
        run.nothing_is_lost()?;
    }

    /// Whatever policies the nodes have and change to, all end with the same.
    #[test]
    fn all_end_with_the_same_whatever_the_policies(ops in prop::collection::vec(wildest_op(), 1..200)) {
        let mut run = Run::new(BTreeSet::new());
        ops.iter().for_each(|op| run.step(op));
        run.converge()?;
    }
}

/// How much the property test does. Should this fall, it tests less than it says.
#[test]
fn the_property_test_begins_documents_anew() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut begun, mut acknowledged) = (0, 0);
    for _ in 0..32 {
        let ops = prop::collection::vec(op(), 200).new_tree(&mut runner).expect("generates").current();
        let mut run = Run::new(BTreeSet::new());
        ops.iter().for_each(|op| run.step(op));
        begun += run.begun;
        acknowledged += run.acknowledged.len();
    }
    assert!(begun >= 64 && acknowledged >= 400, "{begun} documents begun anew, {acknowledged} deeds acknowledged");
}
