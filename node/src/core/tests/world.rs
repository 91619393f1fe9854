//! Cores, their disks and the links between them, all in one hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use automerge::ActorId;

use super::super::batch::{Batch, DocumentStore, Horizon, StoreReadError, Stored};
use super::super::class::Class;
use super::super::document::{JsonLimits, JsonObject};
use super::super::engine::{Core, Traffic};
use super::super::index::Meta;
use super::super::key::DocKey;
use super::super::receipts::Receipt;
use super::super::session::{SessionError, SessionId};
use super::super::wire::{Seen, Seq};
use crate::node::Plants;

/// What a disk holds of one document.
#[derive(Default, Clone)]
struct Rows {
    meta: Option<Meta>,
    snapshot: Option<Vec<u8>>,
    tail: BTreeMap<Seq, Vec<u8>>,
}

#[derive(Default, Clone)]
struct Content {
    docs: BTreeMap<DocKey, Rows>,
    seen: BTreeMap<[u8; 32], Seen>,
    receipts: BTreeMap<u64, Receipt>,
    last: Seq,
    horizon: Horizon,
}

/// A disk: holds what was committed.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Content>>);

impl Disk {
    /// A disk of its own with the same content, which no longer says how far anybody has come.
    pub fn copy_for_a_stranger(&self) -> Self {
        let mut content = self.0.lock().expect("unpoisoned").clone();
        content.seen.clear();
        Self(Arc::new(Mutex::new(content)))
    }

    pub fn commit(&self, batch: &Batch) {
        let mut content = self.0.lock().expect("unpoisoned");
        assert!(
            batch.last > content.last || batch.changes == 0 && batch.receipts.is_empty(),
            "a sequence number was used twice"
        );
        content.last = batch.last;
        content.horizon = batch.horizon.unwrap_or(content.horizon);
        for key in &batch.forgotten {
            content.docs.remove(key);
        }
        for (key, rows) in &batch.docs {
            let stored = content.docs.entry(key.clone()).or_default();
            stored.meta = Some(rows.meta.clone());
            if let Some(snapshot) = &rows.snapshot {
                stored.snapshot = Some(snapshot.clone());
                stored.tail = stored.tail.split_off(&(rows.meta.folded + 1));
            }
            stored.tail.extend(rows.tail.iter().cloned());
        }
        for (number, receipt) in &batch.receipts {
            match receipt {
                Some(receipt) => content.receipts.insert(*number, receipt.clone()),
                None => content.receipts.remove(number),
            };
        }
        for (peer, seen) in &batch.seen {
            match seen {
                Some(seen) => content.seen.insert(*peer, *seen),
                None => content.seen.remove(peer),
            };
        }
    }

    pub fn stored(&self, epoch: [u8; 16]) -> Stored {
        let content = self.0.lock().expect("unpoisoned");
        let docs = content.docs.iter();
        Stored {
            epoch,
            identity: [epoch[0]; 32],
            last: content.last,
            horizon: content.horizon,
            docs: docs.map(|(key, rows)| (key.clone(), rows.meta.clone().expect("has meta"))).collect(),
            seen: content.seen.clone(),
            receipts: content.receipts.clone().into_iter().collect(),
        }
    }
}

impl DocumentStore for Disk {
    fn snapshot(&self, key: &DocKey) -> Result<Option<Vec<u8>>, StoreReadError> {
        let content = self.0.lock().expect("unpoisoned");
        Ok(content.docs.get(key).and_then(|rows| rows.snapshot.clone()))
    }

    fn tail(&self, key: &DocKey, from: Seq) -> Result<Vec<(Seq, Vec<u8>)>, StoreReadError> {
        let content = self.0.lock().expect("unpoisoned");
        let rows = content.docs.get(key).map(|rows| rows.tail.range(from..));
        Ok(rows.into_iter().flatten().map(|(seq, bytes)| (*seq, bytes.clone())).collect())
    }

    fn first_in_tail(&self, key: &DocKey, from: Seq) -> Result<Option<Seq>, StoreReadError> {
        Ok(self.tail(key, from)?.first().map(|(seq, _)| *seq))
    }
}

/// One node.
pub struct Node {
    pub core: Core,
    pub disk: Disk,
    id: u8,
    lives: u8,
    /// What it carries from its next start on.
    pub traffic: Traffic,
    in_flight: Option<Batch>,
}

impl Node {
    fn new(id: u8) -> Self {
        let (disk, traffic) = (Disk::default(), Traffic::default());
        Self { core: start(id, 0, &disk, &traffic), disk, id, lives: 0, traffic, in_flight: None }
    }

    pub fn put(&mut self, id: &str, json: &str) -> Seq {
        self.put_in(&key(id), json)
    }

    pub fn put_in(&mut self, key: &DocKey, json: &str) -> Seq {
        let json = JsonObject::parse(json, &JsonLimits::default()).expect("valid JSON");
        self.core.put(key, &json, 0).expect("healthy store")
    }

    pub fn delete(&mut self, id: &str) -> Seq {
        self.core.delete(&key(id), 0).expect("healthy store")
    }

    pub fn read(&mut self, id: &str) -> Option<String> {
        self.core.render(&key(id)).expect("healthy store").0
    }

    /// Hands the next batch to the disk, which syncs it at the next call of [`Node::finish_commit`].
    pub fn begin_commit(&mut self) {
        if self.in_flight.is_none() {
            self.in_flight = self.core.take_batch();
        }
    }

    pub fn finish_commit(&mut self, now: Duration) {
        if let Some(batch) = self.in_flight.take() {
            self.disk.commit(&batch);
            self.core.committed(batch.last, now);
        }
    }

    /// The disk refuses the batch that it was handed.
    pub fn fail_commit(&mut self) {
        if self.in_flight.take().is_some() {
            self.core.commit_failed();
        }
    }

    /// Loses everything that is not on the disk.
    pub fn crash(&mut self) {
        self.lives += 1;
        self.in_flight = None;
        self.core = start(self.id, self.lives, &self.disk, &self.traffic);
    }

    fn endpoint(&self) -> [u8; 32] {
        [self.id; 32]
    }
}

fn start(id: u8, life: u8, disk: &Disk, traffic: &Traffic) -> Core {
    let actor = ActorId::from([id, life, 1, 2].as_slice());
    Core::new(Box::new(disk.clone()), disk.stored([id; 16]), actor, [id; 32], traffic.clone(), Plants::default())
}

/// Documents with an odd number are telemetry, all others state.
pub fn key(id: &str) -> DocKey {
    let odd = id.parse::<u8>().is_ok_and(|number| number % 2 == 1);
    DocKey::new(if odd { "tracks" } else { "c" }, id).expect("valid")
}

/// A stream of a connection, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Control,
    Data(Class),
}

/// All streams: control first.
pub const STREAMS: [Stream; 5] = [
    Stream::Control,
    Stream::Data(Class::Command),
    Stream::Data(Class::State),
    Stream::Data(Class::Telemetry),
    Stream::Data(Class::Blob),
];

/// A connection between two nodes: per side a session and the frames that are on their way to it, by stream.
struct Connection {
    sessions: [SessionId; 2],
    wires: [[VecDeque<Vec<u8>>; 5]; 2],
    greeted: [bool; 2],
}

impl Connection {
    fn wire(&mut self, side: usize, stream: Stream) -> &mut VecDeque<Vec<u8>> {
        let index = STREAMS.iter().position(|s| *s == stream).expect("all are listed");
        &mut self.wires[side][index]
    }

    fn data_frames(&self, side: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.wires[side][1..].iter().flatten()
    }
}

/// What the network does to the next frame of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    Lose,
    Repeat,
    Overtake,
    Truncate,
    Garble(u8),
}

/// Nodes and the links between them.
pub struct World {
    pub nodes: Vec<Node>,
    links: Vec<(usize, usize)>,
    connections: Vec<Option<Connection>>,
    pub now: Duration,
    /// Frames that fit on the wire of one direction: what does not fit stays in the outbox.
    pub window: usize,
    /// Sessions that ended with an error.
    pub errors: Vec<SessionError>,
}

impl World {
    pub fn new(nodes: u8, links: &[(usize, usize)]) -> Self {
        Self {
            nodes: (0..nodes).map(|i| Node::new(i + 1)).collect(),
            links: links.to_vec(),
            connections: links.iter().map(|_| None).collect(),
            now: Duration::ZERO,
            window: usize::MAX,
            errors: vec![],
        }
    }

    pub fn connect(&mut self, link: usize) {
        if self.connections[link].is_some() {
            return;
        }
        let (a, b) = self.links[link];
        let (peer_a, peer_b) = (self.nodes[a].endpoint(), self.nodes[b].endpoint());
        let sessions = [
            self.nodes[a].core.open_session(peer_b, true, Duration::ZERO),
            self.nodes[b].core.open_session(peer_a, false, Duration::ZERO),
        ];
        self.connections[link] = Some(Connection { sessions, wires: Default::default(), greeted: [false; 2] });
        self.collect(link);
    }

    /// What is on its way is lost.
    pub fn disconnect(&mut self, link: usize) {
        if let Some(connection) = self.connections[link].take() {
            let (a, b) = self.links[link];
            self.nodes[a].core.close_session(connection.sessions[0]);
            self.nodes[b].core.close_session(connection.sessions[1]);
        }
    }

    pub fn crash(&mut self, node: usize) {
        for link in 0..self.links.len() {
            if self.links[link].0 == node || self.links[link].1 == node {
                self.disconnect(link);
            }
        }
        self.nodes[node].crash();
    }

    /// Delivers the next frame of a stream, if there is one. Returns whether there was.
    pub fn deliver(&mut self, link: usize, side: usize, stream: Stream) -> bool {
        let Some(connection) = &mut self.connections[link] else { return false };
        // The shell holds data back until the hello is there.
        if stream != Stream::Control && !connection.greeted[side] {
            return false;
        }
        let Some(payload) = connection.wire(side, stream).pop_front() else { return false };
        connection.greeted[side] |= stream == Stream::Control;
        let id = connection.sessions[side];
        let (a, b) = self.links[link];
        let core = &mut self.nodes[[a, b][side]].core;
        let taken = match stream {
            Stream::Control => core.on_control(id, &payload, self.now),
            Stream::Data(class) => core.on_data(id, class, &payload, self.now),
        };
        match taken {
            Ok(()) => self.collect(link),
            Err(error) => {
                self.errors.push(error);
                self.disconnect(link);
            }
        }
        true
    }

    /// Something happens to the next frame of a stream. Returns whether there was one to which it could.
    pub fn mishap(&mut self, link: usize, side: usize, stream: Stream, mishap: Mishap) -> bool {
        let Some(connection) = &mut self.connections[link] else { return false };
        let queue = connection.wire(side, stream);
        let Some(first) = queue.front().cloned() else { return false };
        match mishap {
            // Losing the last frame before silence is the cut of a connection, not a lost frame.
            Mishap::Lose | Mishap::Overtake if queue.len() < 2 => return false,
            Mishap::Lose => drop(queue.pop_front()),
            Mishap::Overtake => queue.swap(0, 1),
            Mishap::Repeat => queue.push_front(first),
            Mishap::Truncate => drop(queue.front_mut().expect("has one").pop()),
            Mishap::Garble(at) => {
                let frame = queue.front_mut().expect("has one");
                let at = usize::from(at) % frame.len();
                frame[at] ^= 0x55;
            }
        }
        true
    }

    /// Moves what the cores have to say onto the wire.
    pub fn collect(&mut self, link: usize) {
        let Some(connection) = &mut self.connections[link] else { return };
        let (a, b) = self.links[link];
        for (side, node) in [(0, a), (1, b)] {
            let (core, id) = (&mut self.nodes[node].core, connection.sessions[side]);
            if core.deadline(id).is_some_and(|at| at <= self.now) {
                core.tick(id, self.now);
            }
            while let Some(payload) = core.next_control(id).expect("open") {
                connection.wire(1 - side, Stream::Control).push_back(payload);
            }
            while connection.data_frames(1 - side).count() < self.window {
                let Some((class, payload)) = core.next_data(id, self.now).expect("healthy store") else { break };
                connection.wire(1 - side, Stream::Data(class)).push_back(payload);
            }
        }
    }

    /// Heals everything and lets it run until nothing moves any more.
    pub fn settle(&mut self) {
        self.window = usize::MAX;
        for round in 0.. {
            assert!(round < 10_000, "the cores never come to rest");
            self.now += Duration::from_secs(1);
            let mut moved = false;
            for link in 0..self.links.len() {
                self.connect(link);
            }
            for node in &mut self.nodes {
                node.finish_commit(self.now);
                node.begin_commit();
                moved |= node.in_flight.is_some();
                node.finish_commit(self.now);
            }
            for link in 0..self.links.len() {
                self.collect(link);
                for (stream, side) in STREAMS.into_iter().flat_map(|stream| [(stream, 0), (stream, 1)]) {
                    while self.deliver(link, side, stream) {
                        moved = true;
                    }
                }
            }
            let behind = self.nodes.iter().any(|node| node.core.is_anyone_behind());
            let lazy = (0..self.links.len()).any(|link| {
                let ((a, b), connection) = (self.links[link], self.connections[link].as_ref());
                let sides = connection.map(|c| [(a, c.sessions[0]), (b, c.sessions[1])]);
                sides.into_iter().flatten().any(|(node, id)| self.nodes[node].core.deadline(id).is_some())
            });
            let waiting = behind || lazy;
            if !moved && !waiting && self.connections.iter().all(Option::is_some) {
                break;
            }
        }
    }

    /// Bytes of data frames on their way, over all links.
    pub fn data_in_flight(&self) -> usize {
        let connections = self.connections.iter().flatten();
        connections.flat_map(|c| c.data_frames(0).chain(c.data_frames(1))).map(Vec::len).sum()
    }
}
