//! Cores, their disks and the links between them, all in one hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use automerge::ActorId;

use super::super::batch::{Batch, DocumentStore, StoreReadError, Stored};
use super::super::document::{JsonLimits, JsonObject};
use super::super::engine::Core;
use super::super::index::Meta;
use super::super::key::DocKey;
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

#[derive(Default)]
struct Content {
    docs: BTreeMap<DocKey, Rows>,
    seen: BTreeMap<[u8; 32], Seen>,
    last: Seq,
}

/// A disk: holds what was committed.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Content>>);

impl Disk {
    fn commit(&self, batch: &Batch) {
        let mut content = self.0.lock().expect("unpoisoned");
        assert!(batch.last > content.last || batch.changes == 0, "a sequence number was used twice");
        content.last = batch.last;
        for (key, rows) in &batch.docs {
            let stored = content.docs.entry(key.clone()).or_default();
            stored.meta = Some(rows.meta.clone());
            if let Some(snapshot) = &rows.snapshot {
                stored.snapshot = Some(snapshot.clone());
                stored.tail = stored.tail.split_off(&(rows.meta.folded + 1));
            }
            stored.tail.extend(rows.tail.iter().cloned());
        }
        for (peer, seen) in &batch.seen {
            match seen {
                Some(seen) => content.seen.insert(*peer, *seen),
                None => content.seen.remove(peer),
            };
        }
    }

    fn stored(&self, epoch: [u8; 16]) -> Stored {
        let content = self.0.lock().expect("unpoisoned");
        let docs = content.docs.iter();
        Stored {
            epoch,
            last: content.last,
            docs: docs.map(|(key, rows)| (key.clone(), rows.meta.clone().expect("has meta"))).collect(),
            seen: content.seen.clone(),
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
    in_flight: Option<Batch>,
}

impl Node {
    fn new(id: u8) -> Self {
        let disk = Disk::default();
        Self { core: start(id, 0, &disk), disk, id, lives: 0, in_flight: None }
    }

    pub fn put(&mut self, id: &str, json: &str) -> Seq {
        let json = JsonObject::parse(json, &JsonLimits::default()).expect("valid JSON");
        self.core.put(&key(id), &json, 0).expect("healthy store")
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

    /// Loses everything that is not on the disk.
    fn crash(&mut self) {
        self.lives += 1;
        self.in_flight = None;
        self.core = start(self.id, self.lives, &self.disk);
    }

    fn endpoint(&self) -> [u8; 32] {
        [self.id; 32]
    }
}

fn start(id: u8, life: u8, disk: &Disk) -> Core {
    let actor = ActorId::from([id, life, 1, 2].as_slice());
    Core::new(Box::new(disk.clone()), disk.stored([id; 16]), actor, [id; 32], Plants::default())
}

pub fn key(id: &str) -> DocKey {
    DocKey::new("c", id).expect("valid")
}

/// A connection between two nodes: per side a session and the frames that are on their way to it.
struct Connection {
    sessions: [SessionId; 2],
    control: [VecDeque<Vec<u8>>; 2],
    data: [VecDeque<Vec<u8>>; 2],
    greeted: [bool; 2],
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
        let sessions = [self.nodes[a].core.open_session(peer_b, true), self.nodes[b].core.open_session(peer_a, false)];
        self.connections[link] =
            Some(Connection { sessions, control: Default::default(), data: Default::default(), greeted: [false; 2] });
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
    pub fn deliver(&mut self, link: usize, side: usize, data: bool) -> bool {
        let Some(connection) = &mut self.connections[link] else { return false };
        let queue = if data { &mut connection.data[side] } else { &mut connection.control[side] };
        // The shell holds data back until the hello is there.
        if data && !connection.greeted[side] {
            return false;
        }
        let Some(payload) = queue.pop_front() else { return false };
        connection.greeted[side] |= !data;
        let id = connection.sessions[side];
        let (a, b) = self.links[link];
        let core = &mut self.nodes[[a, b][side]].core;
        let taken = if data { core.on_data(id, &payload, self.now) } else { core.on_control(id, &payload) };
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
    pub fn mishap(&mut self, link: usize, side: usize, data: bool, mishap: Mishap) -> bool {
        let Some(connection) = &mut self.connections[link] else { return false };
        let queue = if data { &mut connection.data[side] } else { &mut connection.control[side] };
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
                connection.control[1 - side].push_back(payload);
            }
            let wire = &mut connection.data[1 - side];
            while wire.len() < self.window {
                let Some(payload) = core.next_data(id).expect("healthy store") else { break };
                wire.push_back(payload);
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
                for (side, data) in [(0, false), (1, false), (0, true), (1, true)] {
                    while self.deliver(link, side, data) {
                        moved = true;
                    }
                }
            }
            let waiting = self.nodes.iter().any(|node| node.core.is_anyone_behind());
            if !moved && !waiting && self.connections.iter().all(Option::is_some) {
                break;
            }
        }
    }

    /// Bytes of data frames on their way, over all links.
    pub fn data_in_flight(&self) -> usize {
        let connections = self.connections.iter().flatten();
        connections.flat_map(|c| &c.data).flatten().map(Vec::len).sum()
    }
}
