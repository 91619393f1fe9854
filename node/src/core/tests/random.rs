//! Random operations: whatever happens, once the network heals all nodes hold the same documents, nothing that was
//! durable is lost, and honest nodes never end a session with an error.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::class::{Class, ClassMap};
use super::super::engine::Traffic;
use super::super::interest::Interest;
use super::super::session::SessionError;
use super::super::wire::Seq;
use super::world::{Mishap, Stream, World, key};

#[derive(Debug, Clone)]
enum Op {
    /// A node sets one field of a document to a number that only grows.
    Edit {
        node: usize,
        doc: u8,
        field: u8,
    },
    Delete {
        node: usize,
        doc: u8,
    },
    /// A node edits every document and makes that durable: more than fits on a wire at once.
    Burst(usize),
    BeginCommit(usize),
    FinishCommit(usize),
    /// A node comes back with another interest and another class map.
    Crash(usize, Traffic),
    Connect(usize),
    /// Connects and lets both sides say all they have to say on the control streams.
    Greet(usize),
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
const DOCS: u8 = 6;
/// A line of three and a triangle at its end: relaying and duplicates.
const LINKS: [(usize, usize); 4] = [(0, 1), (1, 2), (2, 3), (1, 3)];

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Control), Just(Stream::Data(Class::State)), Just(Stream::Data(Class::Telemetry))]
}

/// What a node carries in its next life.
fn traffic() -> impl Strategy<Value = Traffic> {
    let interest = prop_oneof![
        3 => Just(Interest::Everything),
        1 => Just(Interest::only(["c".parse().expect("a selector")]).expect("an interest")),
        1 => Just(Interest::only(["tracks/1".parse().expect("a selector")]).expect("an interest")),
    ];
    (interest, any::<bool>()).prop_map(|(interest, patient)| {
        let mut classes = ClassMap::default();
        if patient {
            classes.set("tracks", Class::Blob).expect("a collection");
        }
        Traffic { classes, interest, ..Traffic::default() }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let (node, link, side) = (0..NODES, 0..LINKS.len(), 0usize..2);
    prop_oneof![
        6 => (node.clone(), 0u8..DOCS, 0u8..3).prop_map(|(node, doc, field)| Op::Edit { node, doc, field }),
        1 => (node.clone(), 0u8..DOCS).prop_map(|(node, doc)| Op::Delete { node, doc }),
        2 => node.clone().prop_map(Op::Burst),
        4 => node.clone().prop_map(Op::BeginCommit),
        4 => node.clone().prop_map(Op::FinishCommit),
        1 => (node, traffic()).prop_map(|(node, traffic)| Op::Crash(node, traffic)),
        2 => link.clone().prop_map(Op::Connect),
        3 => link.clone().prop_map(Op::Greet),
        2 => link.clone().prop_map(Op::Disconnect),
        10 => (link, side, stream(), 1u8..6)
            .prop_map(|(link, side, stream, most)| Op::Deliver { link, side, stream, most }),
    ]
}

fn op_or_mishap() -> impl Strategy<Value = Op> {
    let mishap = prop_oneof![
        Just(Mishap::Lose),
        Just(Mishap::Repeat),
        Just(Mishap::Overtake),
        Just(Mishap::Truncate),
        any::<u8>().prop_map(Mishap::Garble),
    ];
    prop_oneof![
        30 => op(),
        1 => (0..LINKS.len(), 0usize..2, stream(), mishap)
            .prop_map(|(link, side, stream, mishap)| Op::Mishap { link, side, stream, mishap }),
    ]
}

/// The world, and what must be true of it in the end.
struct Run {
    world: World,
    counter: u64,
    /// Edits that are not durable yet: node, sequence number, document, field, number.
    pending: Vec<(usize, Seq, u8, String, u64)>,
    /// The highest number each (document, field of a node) was durably set to.
    durable: BTreeMap<(u8, String), u64>,
    /// Documents that anyone deleted.
    deleted: [bool; DOCS as usize],
    /// Whether a frame was tampered with.
    disturbed: bool,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new(NODES as u8, &LINKS);
        world.window = 1;
        Self {
            world,
            counter: 0,
            pending: vec![],
            durable: BTreeMap::new(),
            deleted: [false; DOCS as usize],
            disturbed: false,
        }
    }

    fn step(&mut self, op: &Op) {
        match op.clone() {
            Op::Edit { node, doc, field } => self.edit(node, doc, field),
            Op::Delete { node, doc } => {
                self.world.nodes[node].delete(&doc.to_string());
                self.deleted[usize::from(doc)] = true;
            }
            Op::Burst(node) => {
                (0..DOCS).for_each(|doc| self.edit(node, doc, 0));
                self.finish_commit(node);
                self.world.nodes[node].begin_commit();
                self.finish_commit(node);
            }
            Op::BeginCommit(node) => self.world.nodes[node].begin_commit(),
            Op::FinishCommit(node) => self.finish_commit(node),
            Op::Crash(node, traffic) => {
                self.world.nodes[node].traffic = traffic;
                self.world.crash(node);
                self.pending.retain(|(at, ..)| *at != node);
            }
            Op::Connect(link) => self.world.connect(link),
            Op::Greet(link) => {
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

    fn edit(&mut self, node: usize, doc: u8, field: u8) {
        self.counter += 1;
        let id = doc.to_string();
        let text = self.world.nodes[node].read(&id).unwrap_or_else(|| "{}".into());
        let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("rendered JSON");
        let name = format!("n{node}f{field}");
        json.insert(name.clone(), self.counter.into());
        let seq = self.world.nodes[node].put(&id, &serde_json::Value::from(json).to_string());
        self.pending.push((node, seq, doc, name, self.counter));
    }

    fn finish_commit(&mut self, node: usize) {
        let now = self.world.now;
        self.world.nodes[node].finish_commit(now);
        let durable = self.world.nodes[node].core.documents().durable();
        for (at, seq, doc, name, counter) in std::mem::take(&mut self.pending) {
            if at != node || seq > durable {
                self.pending.push((at, seq, doc, name, counter));
            } else {
                let best = self.durable.entry((doc, name)).or_default();
                *best = counter.max(*best);
            }
        }
        (0..LINKS.len()).for_each(|link| self.world.collect(link));
    }
}

/// The nodes that ask for a document, in groups that are connected by links between them.
fn reachable(world: &World, doc: u8) -> Vec<Vec<usize>> {
    let asks = |node: usize| world.nodes[node].traffic.interest.wants(&key(&doc.to_string()));
    let mut groups: Vec<Vec<usize>> = (0..NODES).filter(|node| asks(*node)).map(|node| vec![node]).collect();
    for (a, b) in LINKS {
        let at = |groups: &[Vec<usize>], node| groups.iter().position(|group| group.contains(&node));
        if let (Some(a), Some(b)) = (at(&groups, a), at(&groups, b))
            && a != b
        {
            let joined = groups.remove(a.max(b));
            groups[a.min(b)].extend(joined);
        }
    }
    groups
}

fn agree(world: &mut World, nodes: &[usize], id: &str) -> Result<(), TestCaseError> {
    let texts: Vec<_> = nodes.iter().map(|node| world.nodes[*node].read(id)).collect();
    prop_assert!(texts.iter().all(|text| *text == texts[0]), "document {id} on {nodes:?}: {texts:?}");
    let heads = |node: &usize| world.nodes[*node].core.documents().index().get(&key(id)).map(|m| m.heads.clone());
    let heads: Vec<_> = nodes.iter().map(heads).collect();
    prop_assert!(heads.iter().all(|h| *h == heads[0]), "heads of document {id} on {nodes:?} differ");
    Ok(())
}

fn check(ops: &[Op]) -> Result<(), TestCaseError> {
    let mut run = Run::new();
    ops.iter().for_each(|op| run.step(op));
    let Run { mut world, durable, deleted, disturbed, .. } = run;
    world.settle();
    if !disturbed {
        let errors: Vec<String> = world.errors.iter().map(SessionError::to_string).collect();
        prop_assert!(errors.is_empty(), "honest nodes quarrelled: {errors:?}");
    }
    for doc in 0..DOCS {
        let id = doc.to_string();
        for member in reachable(&world, doc) {
            agree(&mut world, &member, &id)?;
            // Somebody asked for it, so nothing that was durable anywhere in reach of them is lost.
            let json = world.nodes[member[0]].read(&id);
            if deleted[usize::from(doc)] {
                continue;
            }
            let json: serde_json::Value = json
                .as_deref()
                .map_or(serde_json::Value::Null, |text| serde_json::from_str(text).expect("rendered JSON"));
            for ((_, name), least) in durable.range((doc, String::new())..(doc + 1, String::new())) {
                let author: usize = name[1..2].parse().expect("named after its node");
                let met = |(a, b): &(usize, usize)| {
                    (*a == author && member.contains(b)) || (*b == author && member.contains(a))
                };
                if member.contains(&author) || LINKS.iter().any(met) {
                    prop_assert!(json[name].as_u64() >= Some(*least), "document {doc}: {name} < {least} in {json}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn honest_nodes_converge_and_lose_nothing(ops in prop::collection::vec(op(), 1..120)) {
        check(&ops)?;
    }

    #[test]
    fn so_they_do_when_frames_are_lost_repeated_overtaken_cut_or_garbled(
        ops in prop::collection::vec(op_or_mishap(), 1..160),
    ) {
        check(&ops)?;
    }
}
