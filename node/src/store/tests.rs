//! The store on a disk that can fail: full, damaged, or without power.

mod crashes;
mod disk;
mod failure;
mod power;
mod refusals;
mod rotation;
mod rows;
mod sealed;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use automerge::ActorId;
use iroh::SecretKey;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::tables::FORMAT;
use super::*;
use crate::core::batch::{Batch, DocumentStore};
use crate::core::document::{JsonLimits, JsonObject};
use crate::core::engine::{Core, Traffic};
use crate::core::index::Meta;
use crate::core::key::DocKey;
use crate::core::wire::{Seen, Seq};
use crate::node::Plants;
use disk::Disk;

const IDENTITY: [u8; 32] = [7; 32];
const EPOCH: [u8; 16] = [9; 16];

/// Durable as soon as the sync returns, as on the commit thread.
struct AtOnce;

impl Durability for AtOnce {
    fn until_durable(&self) -> Duration {
        Duration::ZERO
    }
}

fn try_open(disk: &Disk) -> Result<Store, StoreError> {
    try_open_as(disk, false)
}

/// Opens a disk as an encrypted store, or as a plain one.
fn try_open_as(disk: &Disk, encrypted: bool) -> Result<Store, StoreError> {
    let mode = CommitMode::Inline(Arc::new(AtOnce));
    let encryption = encrypted.then(encryption);
    Store::open_backend_with(disk.clone(), encryption, mode, SecretKey::from_bytes(&IDENTITY), EPOCH)
}

fn open_as(disk: &Disk, encrypted: bool) -> Store {
    try_open_as(disk, encrypted).expect("the store opens")
}

/// With randomness that repeats whenever a store is opened: nothing may rest on it alone.
fn encryption() -> Encryption {
    let rng = Mutex::new(ChaCha8Rng::seed_from_u64(1));
    let entropy: Entropy = Arc::new(move |bytes| rng.lock().expect("unpoisoned").fill_bytes(bytes));
    Encryption { key: StoreKey::new([5; 32]), entropy }
}

fn open(disk: &Disk) -> Store {
    try_open(disk).expect("the store opens")
}

fn core_over(store: &Store, life: u8) -> Core {
    let stored = store.stored().expect("readable");
    Core::new(
        Box::new(store.reader()),
        stored,
        ActorId::from([life; 12].as_slice()),
        [life; 32],
        Traffic::default(),
        Plants::default(),
    )
}

fn seen(through: Seq) -> Seen {
    Seen { epoch: EPOCH, classes: 1, interest: 2, through: [through, 0, through, 0] }
}

fn key(id: &str) -> DocKey {
    DocKey::new("c", id).expect("valid")
}

fn json(text: &str) -> JsonObject {
    JsonObject::parse(text, &JsonLimits::default()).expect("valid")
}

/// Makes durable what the core has.
async fn commit(store: &Store, core: &mut Core) -> Result<(), CommitFailed> {
    let batch = core.take_batch().expect("something to commit");
    let last = batch.last;
    store.committer().commit(batch).await?;
    core.committed(last, Duration::ZERO);
    Ok(())
}

/// The rows of a document: meta, snapshot, changes.
type Rows = (DocKey, Meta, Option<Vec<u8>>, Vec<(Seq, Vec<u8>)>);

/// Everything that a store holds.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    last: Seq,
    docs: Vec<Rows>,
    seen: Vec<(PeerId, Seen)>,
    intents: Vec<(PeerId, Intent)>,
}

impl Content {
    fn of(store: &Store) -> Self {
        let (stored, reader) = (store.stored().expect("readable"), store.reader());
        let rows = |(key, meta): (DocKey, Meta)| {
            let snapshot = reader.snapshot(&key).expect("readable");
            let tail = reader.tail(&key, 0).expect("readable");
            (key, meta, snapshot, tail)
        };
        Self {
            last: stored.last,
            docs: stored.docs.into_iter().map(rows).collect(),
            seen: stored.seen.into_iter().collect(),
            intents: store.intents().expect("readable"),
        }
    }
}

/// The texts of all live documents, by id.
fn texts(store: &Store, life: u8) -> Vec<(String, String)> {
    let mut core = core_over(store, life);
    let ids = core.list("c", "", "", usize::MAX).ids;
    let text = |core: &mut Core, key: &DocKey| core.render(key).expect("undamaged").0.expect("live");
    ids.into_iter().map(|id| (id.clone(), text(&mut core, &DocKey::new("c", id).expect("valid")))).collect()
}
