//! What is done to a store while no node runs on it: looking at it, making it smaller, writing its documents out and in.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use automerge::ActorId;
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::handle::{Encryption, Handle};
use super::lasting::Lasting;
use super::{CommitMode, FILE_NAME, Store, StoreError, StoreKey, os_entropy, tables};
use crate::core::batch::DocumentStore;
use crate::core::document::{ACTOR_BYTES, Document, JsonObject, actor_of};
use crate::core::engine::{Core, Traffic};
use crate::core::key::DocKey;
use crate::limits;
use crate::node::Plants;

impl Store {
    /// Opens the store of a directory for reading: not one byte of it is changed. A node that runs on it is an error.
    pub fn open_dir_to_read(directory: &Path, key: Option<StoreKey>) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let at = path.display().to_string();
        let backend = File::open(&path).map_err(|e| StoreError::at(&at, "opened", &e))?;
        let backend = FileBackend::new(backend).map_err(|e| StoreError::at(&at, "opened", &e))?;
        let encryption = key.map(|key| Encryption { key, entropy: os_entropy() });
        let handle = Handle::open_to_read(&at, Lasting::new(backend), encryption)?;
        let store = Self::look(handle, at, CommitMode::Thread)?;
        Ok(Self { file: Some(path), ..store })
    }

    /// Opens the store of a directory if there is one: whoever works on a store does not want a new one.
    pub fn open_dir_that_exists(directory: &Path, key: Option<StoreKey>) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        if let Err(error) = std::fs::metadata(&path) {
            return Err(StoreError::at(&path.display().to_string(), "opened", &error));
        }
        Self::open_dir_with(directory, key)
    }

    /// Gives the space that nothing uses back to the file system, and closes the store. Bytes of the file before and after.
    pub fn compact(self) -> Result<(u64, u64), StoreError> {
        let at = self.at.clone();
        let failed = |error: &dyn std::fmt::Display| StoreError::at(&at, "compacted", &error);
        let backend = self.handle.backend().clone();
        let before = backend.len().map_err(|e| failed(&e))?;
        // Each round moves pages towards the beginning; one that moves nothing is the last.
        while self.handle.alone(redb::Database::compact).transpose().map_err(|e| failed(&e))? == Some(true) {}
        // Closing writes what makes the next opening quick.
        drop(self);
        Ok((before, backend.len().map_err(|e| failed(&e))?))
    }

    /// Every live document of the collections (none: all), by collection and id, with its JSON text. In memory is one at a time, and
    /// about 200 bytes for each.
    pub fn documents(
        &self,
        collections: &[String],
    ) -> Result<impl Iterator<Item = Result<(DocKey, String), StoreError>>, StoreError> {
        let reader = self.reader();
        let mut docs = self.stored()?.docs;
        docs.retain(|(key, meta)| {
            !meta.deleted && (collections.is_empty() || collections.iter().any(|name| name == key.collection()))
        });
        let at = self.at.clone();
        Ok(docs.into_iter().filter_map(move |(key, _)| {
            let failed = |error: &dyn std::fmt::Display| StoreError::at(&at, "read", &format!("{key}: {error}"));
            let loaded = || {
                let snapshot = reader.snapshot(&key).map_err(|e| failed(&e))?;
                let tail = reader.tail(&key, 0).map_err(|e| failed(&e))?;
                let actor = ActorId::from([0; 12].as_slice());
                let tail = tail.iter().map(|(_, changes)| &changes[..]);
                let document = Document::load(actor, snapshot.as_deref(), tail).map_err(|e| failed(&e))?;
                Ok(document.render())
            };
            match loaded() {
                Ok(text) => text.map(|text| Ok((key, text))),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    /// Writes documents as an application would, with the same history. Returns how many were written; the rest was there already.
    pub fn writer(&self) -> Result<Writer<'_>, StoreError> {
        #[expect(clippy::disallowed_methods, reason = "no world writes to a store without a node")]
        let (random, secret): ([u8; ACTOR_BYTES], [u8; 32]) = (rand::random(), rand::random());
        let (reader, stored) = (Box::new(self.reader()), self.stored()?);
        let actor = actor_of(self.identity.public().as_bytes(), random);
        let core = Core::new(reader, stored, actor, secret, Traffic::default(), Plants::default());
        Ok(Writer { store: self, core })
    }

    pub(super) fn look(handle: Handle, at: String, mode: CommitMode) -> Result<Self, StoreError> {
        let missing = |name| StoreError::Incomplete { at: at.clone(), name };
        let info =
            |name: &'static str| handle.read(|db| tables::info(db, name)).map_err(|e| StoreError::at(&at, "read", &e));
        let found = info("format")?.ok_or_else(|| missing("format"))?;
        let found = found.try_into().map_or(0, u32::from_le_bytes);
        // A store that is open for reading keeps in memory what this writes.
        let known = handle.read(|db| tables::migrate(db, found)).map_err(|e| StoreError::at(&at, "migrated", &e))?;
        if known.is_none() {
            return Err(StoreError::Format { at, found, known: tables::FORMAT });
        }
        let identity: [u8; 32] =
            info("identity")?.and_then(|b| b.try_into().ok()).ok_or_else(|| missing("identity"))?;
        let epoch: [u8; 16] = info("epoch")?.and_then(|b| b.try_into().ok()).ok_or_else(|| missing("epoch"))?;
        let identity = iroh::SecretKey::from_bytes(&identity);
        Ok(Self { handle: Arc::new(handle), identity, epoch, at, file: None, mode })
    }
}

/// Writes documents to a store without a node.
pub struct Writer<'a> {
    store: &'a Store,
    core: Core,
}

impl Writer<'_> {
    /// Writes a document; it is durable after the next [`Writer::commit`], which this calls when much has gathered.
    pub fn put(&mut self, key: &DocKey, json: &JsonObject, now_ms: u64) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::at(&self.store.at, "written", &error);
        self.core.put(key, json, now_ms).map_err(|e| failed(&e))?;
        if self.core.documents().uncommitted_bytes() >= limits::MAX_UNCOMMITTED_BYTES { self.commit() } else { Ok(()) }
    }

    /// Makes everything so far durable.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        while let Some(batch) = self.core.take_batch() {
            let done = self.store.committer().commit_here(&batch);
            done.map_err(|e| StoreError::at(&self.store.at, "written", &e))?;
            self.core.committed(batch.last, std::time::Duration::ZERO);
            self.core.take_wakes();
        }
        Ok(())
    }
}
