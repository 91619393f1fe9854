//! The store: redb in one file, group commit, the storage backend seam. `docs/store.md` has the layout.

mod backup;
mod check;
mod committer;
mod error;
mod handle;
mod lasting;
mod offline;
mod overlay;
mod reader;
mod receipts;
mod rekey;
mod row;
mod sealed;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iroh::SecretKey;
use rand::Rng as _;
use redb::StorageBackend;
use redb::backends::FileBackend;

pub(crate) use backup::{Backup, Backups};
pub use backup::{BackupError, Restorer};
pub use check::{Checked, Problem};
pub use committer::{CommitFailed, Committer};
pub use error::StoreError;
pub use handle::Encryption;
pub use offline::Writer;
pub use reader::StoreReader;
pub use rekey::{reencrypt, rewrap};
pub use sealed::{Entropy, StoreKey};
pub use tables::{Intent, MemberRow};

use crate::core::batch::{PeerId, Stored};
use handle::Handle;
use lasting::Lasting;

/// Name of the database in the data directory.
pub const FILE_NAME: &str = "peat.redb";

/// How commits are carried out.
#[derive(Clone)]
pub enum CommitMode {
    /// On a thread of its own, since syncing a file blocks.
    Thread,
    /// Inline, on the caller's task; then waits until the simulated disk says that all is durable.
    Inline(Arc<dyn Durability>),
}

/// The part of a simulated disk that a store waits for.
pub trait Durability: Send + Sync {
    /// Time from now until everything synced so far would survive a power cut.
    fn until_durable(&self) -> Duration;
}

/// An open store. Holds the node's identity.
pub struct Store {
    handle: Arc<Handle>,
    at: String,
    /// `None` on a backend of the world's.
    file: Option<PathBuf>,
    mode: CommitMode,
    identity: SecretKey,
    epoch: [u8; 16],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates `peat.redb` in a directory, which is created if missing. Draws a new identity and
    /// epoch from the operating system if it creates.
    pub fn open_dir(directory: &Path) -> Result<Self, StoreError> {
        Self::open_dir_with(directory, None)
    }

    /// The same for an encrypted store. A key for a store that is not, and none for one that is, are refused.
    #[expect(clippy::disallowed_methods, reason = "no world opens a directory but the real one")]
    pub fn open_dir_with(directory: &Path, key: Option<StoreKey>) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let at = path.display().to_string();
        let encryption = key.map(|key| Encryption { key, entropy: os_entropy() });
        if !path.exists() {
            create(directory, &path, encryption.clone())?;
        }
        let backend = open_file(&path).map_err(|e| StoreError::at(&at, "opened", &e))?;
        let handle = Handle::open(&at, backend, encryption)?;
        let store = Self::open(handle, at, CommitMode::Thread, SecretKey::generate(), rand::random())?;
        Ok(Self { file: Some(path), ..store })
    }

    /// Creates a store at a path where there is none.
    #[expect(clippy::disallowed_methods, reason = "no world opens a directory but the real one")]
    pub fn create_file(path: &Path, key: Option<StoreKey>) -> Result<Self, StoreError> {
        let at = path.display().to_string();
        let failed = |error: &dyn std::fmt::Display| StoreError::at(&at, "created", &error);
        // Also if it is a link: nothing is written over.
        drop(std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| failed(&e))?);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(|e| failed(&e))?;
        let backend = open_file(path).map_err(|e| failed(&e))?;
        let handle = Handle::open(&at, backend, key.map(|key| Encryption { key, entropy: os_entropy() }))?;
        Self::open(handle, at, CommitMode::Thread, SecretKey::generate(), rand::random())
    }

    /// Opens or creates a store on a backend of the world's (seam 2). A store that is new takes
    /// `new_identity` and `new_epoch`; one that is not keeps its own.
    pub fn open_backend(
        backend: impl StorageBackend,
        mode: CommitMode,
        new_identity: SecretKey,
        new_epoch: [u8; 16],
    ) -> Result<Self, StoreError> {
        Self::open_backend_with(backend, None, mode, new_identity, new_epoch)
    }

    /// The same for an encrypted store.
    pub fn open_backend_with(
        backend: impl StorageBackend,
        encryption: Option<Encryption>,
        mode: CommitMode,
        new_identity: SecretKey,
        new_epoch: [u8; 16],
    ) -> Result<Self, StoreError> {
        let at = "a storage backend".to_owned();
        let handle = Handle::open(&at, Lasting::new(backend), encryption)?;
        Self::open(handle, at, mode, new_identity, new_epoch)
    }

    fn open(
        handle: Handle,
        at: String,
        mode: CommitMode,
        new_identity: SecretKey,
        new_epoch: [u8; 16],
    ) -> Result<Self, StoreError> {
        handle
            .write(|db| tables::prepare(db, &new_identity, &new_epoch))
            .map_err(|e| StoreError::at(&at, "prepared", &e))?;
        Self::look(handle, at, mode)
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The node's private key, made at first open and kept.
    pub fn identity(&self) -> &SecretKey {
        &self.identity
    }

    /// The node's name if one was kept, see [`Store::keep_node_id`].
    pub fn node_id(&self) -> Option<String> {
        let bytes = self.handle.read(|db| tables::info(db, "node_id")).ok()??;
        String::from_utf8(bytes).ok()
    }

    /// Keeps the node's name durably.
    pub fn keep_node_id(&self, node_id: &str) -> Result<(), StoreError> {
        self.handle
            .write(|db| tables::set_info(db, "node_id", node_id.as_bytes()))
            .map_err(|e| StoreError::at(&self.at, "written", &e))
    }

    /// Everything that the core keeps in memory. Costs one scan of the meta rows.
    pub fn stored(&self) -> Result<Stored, StoreError> {
        let identity = *self.identity.public().as_bytes();
        let stored = self.handle.read(|db| tables::stored(db, self.epoch, identity));
        stored.map_err(|e| StoreError::at(&self.at, "read", &e))
    }

    /// What the operator wants of peers.
    pub fn intents(&self) -> Result<Vec<(PeerId, Intent)>, StoreError> {
        self.handle.read(tables::intents).map_err(|e| StoreError::at(&self.at, "read", &e))
    }

    /// What was kept of the members of the formation.
    pub fn members(&self) -> Result<Vec<(PeerId, MemberRow)>, StoreError> {
        self.handle.read(tables::members).map_err(|e| StoreError::at(&self.at, "read", &e))
    }

    /// Reads documents.
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.handle))
    }

    /// Copies the store while it is in use.
    pub(crate) fn backups(&self) -> Backups {
        Backups::new(Arc::clone(&self.handle))
    }

    /// Writes batches. There must be only one.
    pub fn committer(&self) -> Committer {
        Committer::new(Arc::clone(&self.handle), self.mode.clone())
    }
}

/// Salts and data keys in production.
#[expect(clippy::disallowed_methods, reason = "no world opens a directory but the real one")]
fn os_entropy() -> Entropy {
    Arc::new(|bytes| rand::rng().fill_bytes(bytes))
}

fn open_file(path: &Path) -> Result<Lasting, Box<dyn std::error::Error>> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(Lasting::new(FileBackend::new(options.open(path)?)?))
}

/// Makes an empty database under another name and moves it into place: a file that was left half made by a kill
/// or a power cut would be refused at every later start.
fn create(directory: &Path, path: &Path, encryption: Option<Encryption>) -> Result<(), StoreError> {
    let at = path.display().to_string();
    let failed = |error: &dyn std::fmt::Display| StoreError::at(&at, "created", &error);
    std::fs::create_dir_all(directory).map_err(|e| failed(&e))?;
    let unfinished = path.with_extension("redb.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let backend = open_file(&unfinished).map_err(|e| failed(&e))?;
    drop(Handle::open(&at, backend, encryption)?);
    std::fs::rename(&unfinished, path).map_err(|e| failed(&e))?;
    // The name, too, must survive a power cut.
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests;
