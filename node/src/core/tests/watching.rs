//! Readers of a node against a model: whatever is written, here or on a peer, however slowly and brokenly it is read,
//! and whatever crashes, the reader ends with what the store holds, and is told no version twice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::filter::{Comparison, Filter, Path, Scalar};
use super::super::key::DocKey;
use super::super::watch::{Cursor, Next, Selection, Told, WatchId};
use super::world::{Node, STREAMS, World, key};

#[derive(Debug, Clone)]
enum Op {
    Put {
        node: usize,
        doc: u8,
        parity: u8,
    },
    Delete {
        node: usize,
        doc: u8,
    },
    BeginCommit(usize),
    FinishCommit(usize),
    /// Node and peer exchange what they can.
    Exchange,
    Cut,
    /// The reader takes some events.
    Read(u8),
    /// The reader loses its stream, and what was told but not taken.
    Hangup,
    /// The reader forgets its cursor and all it has.
    Forget,
    Crash,
    /// The disk refuses what it was handed, and takes what comes later.
    Fail,
    /// The disk fails, and the node is started anew.
    FailAndRestart,
    /// The node forgets tombstones, where its policy lets it.
    Collect,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..2, 0u8..DOCS, 0u8..2).prop_map(|(node, doc, parity)| Op::Put { node, doc, parity }),
        4 => (0usize..2, 0u8..DOCS).prop_map(|(node, doc)| Op::Delete { node, doc }),
        4 => (0usize..2).prop_map(Op::BeginCommit),
        4 => (0usize..2).prop_map(Op::FinishCommit),
        2 => Just(Op::Exchange),
        1 => Just(Op::Cut),
        6 => (1u8..4).prop_map(Op::Read),
        1 => Just(Op::Hangup),
        1 => Just(Op::Crash),
        1 => Just(Op::Fail),
        1 => Just(Op::FailAndRestart),
        1 => Just(Op::Forget),
        2 => Just(Op::Collect),
    ]
}

const DOCS: u8 = 8;

fn selections() -> impl Strategy<Value = Selection> {
    let even = Filter::Compare(
        Path::parse("parity").expect("a path"),
        Comparison::Equal,
        Scalar::parse("0").expect("a scalar"),
    );
    prop_oneof![
        3 => Just(Selection::default()),
        1 => Just(Selection { collections: ["tracks".to_owned()].into(), ..Selection::default() }),
        1 => Just(Selection { doc_id_prefix: "3".into(), ..Selection::default() }),
        3 => Just(Selection { filter: Some(even), ..Selection::default() }),
    ]
}

/// An application: what it has been told, and where it goes on.
struct Reader {
    selection: Selection,
    room: usize,
    stream: Option<WatchId>,
    cursor: Option<Cursor>,
    has: BTreeMap<DocKey, String>,
    /// Every version that it was told, since it has what it has.
    told: BTreeSet<(DocKey, String)>,
    /// What was there when it began, until the end of the snapshot; only if it began with nothing.
    snapshot: Option<BTreeSet<DocKey>>,
    resets: usize,
}

impl Reader {
    fn new(selection: Selection, room: usize) -> Self {
        let (cursor, has, told) = (None, BTreeMap::new(), BTreeSet::new());
        Self { selection, room, stream: None, cursor, has, told, snapshot: None, resets: 0 }
    }

    fn hang_up(&mut self, node: &mut Node) {
        if let Some(stream) = self.stream.take() {
            node.core.close_watch(stream);
        }
    }

    fn forget(&mut self, node: &mut Node) {
        self.hang_up(node);
        self.cursor = None;
        self.has.clear();
        self.told.clear();
    }

    /// Takes the next event; false: there is none now.
    fn read(&mut self, node: &mut Node) -> bool {
        let stream = *self.stream.get_or_insert_with(|| {
            // The cursor crosses the network as text.
            let cursor = self.cursor.as_ref().map(|c| Cursor::parse(&c.encode()).expect("our own"));
            self.snapshot = cursor.is_none().then(|| {
                let documents = node.core.documents();
                let live = documents.index().after(None).map(|(key, _)| key);
                let live = live.filter(|key| documents.durable_meta(key).is_some_and(|meta| !meta.deleted));
                live.filter(|key| self.selection.covers(key)).cloned().collect()
            });
            let stream = node.core.open_watch(self.selection.clone(), true, cursor);
            node.core.watch_mut(stream).expect("just opened").squeeze(self.room);
            stream
        });
        loop {
            let next = node.core.next_event(stream).expect("healthy store");
            assert!(node.core.watch_mut(stream).expect("open").is_within_bounds());
            match next {
                Next::Idle => return false,
                Next::More => {}
                Next::Event(event) => {
                    self.cursor = Some(event.cursor);
                    self.take(event.told);
                    return true;
                }
            }
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Upsert { key, text, version } => {
                assert!(self.told.insert((key.clone(), version.encode())), "{key} is told twice: {text}");
                assert!(self.selection.covers(&key) && self.selection.matches(&text));
                self.has.insert(key, text);
            }
            Told::Delete { key, version } | Told::Left { key, version } => {
                assert!(self.told.insert((key.clone(), version.encode())), "{key} is told twice");
                self.has.remove(&key);
            }
            Told::SnapshotEnd => {
                let unfiltered = self.selection.filter.is_none();
                for key in self.snapshot.take().into_iter().flatten().filter(|_| unfiltered) {
                    assert!(self.told.iter().any(|(told, _)| *told == key), "the snapshot ended without {key}");
                }
            }
            Told::Reset => {
                self.resets += 1;
                self.snapshot = None;
                self.has.clear();
                self.told.clear();
            }
        }
    }
}

/// What a reader must end with.
fn expected(node: &mut Node, selection: &Selection) -> BTreeMap<DocKey, String> {
    let keys: Vec<DocKey> = node.core.documents().index().after(None).map(|(key, _)| key.clone()).collect();
    let mut found = BTreeMap::new();
    for key in keys.into_iter().filter(|key| selection.covers(key)) {
        let (text, _) = node.core.render(&key).expect("healthy store");
        found.extend(text.filter(|text| selection.matches(text)).map(|text| (key, text)));
    }
    found
}

fn exchange(world: &mut World) {
    world.connect(0);
    for _ in 0..3 {
        world.collect(0);
        for (stream, side) in STREAMS.into_iter().flat_map(|stream| [(stream, 0), (stream, 1)]) {
            while world.deliver(0, side, stream) {}
        }
    }
}

fn run(ops: &[Op], mut readers: Vec<Reader>, forgets: bool) {
    // A peer would tell of tombstones that are forgotten too early: the node that forgets has none.
    let links: &[_] = if forgets { &[] } else { &[(0, 1)] };
    let mut world = World::new(2, links);
    let (mut counter, mut forgotten) = (0, 0);
    if forgets {
        let collections: BTreeSet<String> =
            (0..DOCS).map(|doc| key(&doc.to_string()).collection().to_owned()).collect();
        for collection in collections {
            let policy = "full+tombstone:60".parse().expect("a policy");
            world.nodes[0].core.set_policy(&collection, &policy, 0).expect("a collection");
        }
        commit(&mut world);
    }
    for op in ops {
        match op {
            Op::Put { node, doc, parity } => {
                counter += 1;
                let json = format!(r#"{{"n":{counter},"parity":{parity}}}"#);
                world.nodes[*node].put(&doc.to_string(), &json);
            }
            Op::Delete { node, doc } => {
                world.nodes[*node].delete(&doc.to_string());
            }
            Op::BeginCommit(node) => world.nodes[*node].begin_commit(),
            Op::FinishCommit(node) => {
                let now = world.now;
                world.nodes[*node].finish_commit(now);
            }
            Op::Exchange | Op::Cut if forgets => {}
            Op::Exchange => exchange(&mut world),
            Op::Cut => world.disconnect(0),
            Op::Read(most) => {
                for reader in &mut readers {
                    for _ in 0..*most {
                        reader.read(&mut world.nodes[0]);
                    }
                }
            }
            Op::Hangup => readers.iter_mut().for_each(|reader| reader.hang_up(&mut world.nodes[0])),
            Op::Forget => readers.iter_mut().for_each(|reader| reader.forget(&mut world.nodes[0])),
            Op::Fail => {
                links.iter().for_each(|_| world.disconnect(0));
                world.nodes[0].fail_commit();
            }
            Op::Crash | Op::FailAndRestart => {
                if let Op::FailAndRestart = op {
                    links.iter().for_each(|_| world.disconnect(0));
                    world.nodes[0].fail_commit();
                    // Readers may go on reading what was durable.
                    readers.iter_mut().for_each(|reader| while reader.read(&mut world.nodes[0]) {});
                }
                readers.iter_mut().for_each(|reader| reader.stream = None);
                world.crash(0);
            }
            Op::Collect => {
                commit(&mut world);
                let (nobody, core) = (BTreeSet::new(), &mut world.nodes[0].core);
                for _ in 0..2 {
                    forgotten += core.forget_tombstones(&nobody, &nobody, u64::MAX / 2).expect("readable");
                }
            }
        }
    }
    world.settle();
    assert!(world.errors.is_empty(), "{:?}", world.errors);
    for mut reader in readers {
        while reader.read(&mut world.nodes[0]) {}
        assert_eq!(reader.has, expected(&mut world.nodes[0], &reader.selection), "a reader of {:?}", reader.selection);
        assert!(reader.resets == 0 || forgotten > 0, "every cursor was of use");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_ends_with_what_the_store_holds_and_is_told_no_version_twice(
        ops in prop::collection::vec(op(), 1..120),
        readers in prop::collection::vec((selections(), prop_oneof![Just(1usize), Just(3), Just(64)]), 1..4),
        forgets: bool,
    ) {
        run(&ops, readers.into_iter().map(|(selection, room)| Reader::new(selection, room)).collect(), forgets);
    }
}

fn commit(world: &mut World) {
    let now = world.now;
    world.nodes[0].begin_commit();
    world.nodes[0].finish_commit(now);
}

#[test]
fn a_reader_far_slower_than_the_writers_ends_with_the_final_state() {
    let mut world = World::new(1, &[]);
    let mut reader = Reader::new(Selection::default(), 64);
    for n in 0..20_000u32 {
        world.nodes[0].put(&format!("doc-{}", n % 100), &format!(r#"{{"n":{n}}}"#));
        if n % 10 == 9 {
            commit(&mut world);
        }
        if n % 1000 == 999 {
            assert!(reader.read(&mut world.nodes[0]), "there is always something");
        }
    }
    let mut events = 20;
    while reader.read(&mut world.nodes[0]) {
        events += 1;
    }
    assert_eq!(reader.has, expected(&mut world.nodes[0], &reader.selection));
    assert!(events <= 20 + 100 + 1, "{events} events: the 20 it took, each document once more, and the marker");
}

#[test]
fn a_document_that_changes_with_every_commit_is_not_passed_over_for_ever() {
    let mut world = World::new(1, &[]);
    let mut reader = Reader::new(Selection::default(), 64);
    for n in 0..50 {
        world.nodes[0].put(&format!("calm-{n}"), "{}");
    }
    let mut seen = 0;
    for n in 0..500u32 {
        world.nodes[0].put("restless", &format!(r#"{{"n":{n}}}"#));
        world.nodes[0].put(&format!("calm-{}", n % 50), &format!(r#"{{"n":{n}}}"#));
        commit(&mut world);
        reader.read(&mut world.nodes[0]);
        seen += usize::from(reader.has.contains_key(&key("restless")));
    }
    assert!(seen > 400, "told of it first after {} events", 500 - seen);
}

#[test]
fn a_cursor_of_another_store_or_another_selection_starts_over() {
    let mut world = World::new(2, &[]);
    for node in &mut world.nodes {
        for id in ["1", "2", "3"] {
            node.put(id, r#"{"parity":0}"#);
        }
        node.begin_commit();
        node.finish_commit(std::time::Duration::ZERO);
    }
    let mut reader = Reader::new(Selection::default(), 64);
    while reader.read(&mut world.nodes[0]) {}
    let cursor = reader.cursor.clone();
    let again = |node: &mut Node, selection: Selection| {
        let mut reader = Reader { cursor: cursor.clone(), ..Reader::new(selection, 64) };
        while reader.read(node) {}
        (reader.resets, reader.has.len())
    };
    assert_eq!(again(&mut world.nodes[0], Selection::default()), (0, 0), "nothing happened meanwhile");
    assert_eq!(again(&mut world.nodes[1], Selection::default()), (1, 3));
    let tracks = Selection { collections: ["tracks".to_owned()].into(), ..Selection::default() };
    assert_eq!(again(&mut world.nodes[0], tracks), (1, 2));
    // The same store, restored from before the cursor was made.
    let mut late = cursor.clone().expect("read something");
    late.through = 4;
    let mut reader = Reader { cursor: Some(late), ..Reader::new(Selection::default(), 64) };
    while reader.read(&mut world.nodes[0]) {}
    assert_eq!((reader.resets, reader.has.len()), (1, 3));
}

/// A reader that is there keeps the tombstones that it has not been told of; one that is not is told to start over.
#[test]
fn no_delete_is_missed_because_its_tombstone_was_forgotten() {
    let mut world = World::new(1, &[]);
    let collection = key("1").collection().to_owned();
    world.nodes[0].core.set_policy(&collection, &"full+tombstone:60".parse().expect("a policy"), 0).expect("set");
    world.nodes[0].put("1", r#"{"parity":0}"#);
    commit(&mut world);
    let (mut present, mut absent) = (Reader::new(Selection::default(), 64), Reader::new(Selection::default(), 64));
    for reader in [&mut present, &mut absent] {
        while reader.read(&mut world.nodes[0]) {}
        assert_eq!(reader.has.len(), 1);
    }
    absent.hang_up(&mut world.nodes[0]);
    world.nodes[0].delete("1");
    commit(&mut world);
    let nobody = BTreeSet::new();
    let forget =
        |world: &mut World| world.nodes[0].core.forget_tombstones(&nobody, &nobody, u64::MAX / 2).expect("read");
    assert_eq!((forget(&mut world), forget(&mut world)), (0, 0), "the one that is there has not been told");
    while present.read(&mut world.nodes[0]) {}
    assert_eq!(forget(&mut world), 1);
    commit(&mut world);
    world.crash(0);
    absent.stream = None;
    while absent.read(&mut world.nodes[0]) {}
    assert!(present.has.is_empty() && present.resets == 0);
    assert!(absent.has.is_empty() && absent.resets == 1);
}

/// Two documents of the snapshot move on in one commit while there is no room for either: the one with the lower number
/// must not end it.
#[test]
fn a_snapshot_ends_after_the_last_of_the_documents_that_moved_on() {
    let put = |node, doc| Op::Put { node, doc, parity: 0 };
    let ops = [
        put(0, 2),
        put(0, 0),
        put(1, 4),
        Op::Exchange,
        put(0, 0),
        Op::BeginCommit(0),
        put(0, 0),
        put(0, 0),
        put(0, 2),
        Op::FinishCommit(0),
        put(1, 0),
        put(0, 4),
        Op::Read(1),
    ];
    run(&ops, vec![Reader::new(Selection::default(), 1)], false);
}
