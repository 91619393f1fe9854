//! The store: redb in one file, group commit, the storage backend seam. `docs/store.md` has the layout.

mod committer;
mod error;
mod reader;
mod receipts;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iroh::SecretKey;
use redb::{Database, StorageBackend};

pub use committer::{CommitFailed, Committer};
pub use error::StoreError;
pub use reader::StoreReader;
pub use tables::{Intent, MemberRow};

use crate::core::batch::{PeerId, Stored};
use crate::limits;
use tables::FORMAT;

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
    db: Arc<Database>,
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
    #[expect(clippy::disallowed_methods, reason = "no world opens a directory but the real one")]
    pub fn open_dir(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let at = path.display().to_string();
        if !path.exists() {
            create(directory, &path).map_err(|e| StoreError::at(&at, "created", &e))?;
        }
        let db = open_file(&path).map_err(|e| StoreError::at(&at, "opened", &e))?;
        let store = Self::open(db, at, CommitMode::Thread, SecretKey::generate(), rand::random())?;
        Ok(Self { file: Some(path), ..store })
    }

    /// Opens or creates a store on a backend of the world's (seam 2). A store that is new takes
    /// `new_identity` and `new_epoch`; one that is not keeps its own.
    pub fn open_backend(
        backend: impl StorageBackend,
        mode: CommitMode,
        new_identity: SecretKey,
        new_epoch: [u8; 16],
    ) -> Result<Self, StoreError> {
        let at = "a storage backend".to_owned();
        let db = builder().create_with_backend(backend).map_err(|e| StoreError::at(&at, "opened", &e))?;
        Self::open(db, at, mode, new_identity, new_epoch)
    }

    fn open(
        db: Database,
        at: String,
        mode: CommitMode,
        new_identity: SecretKey,
        new_epoch: [u8; 16],
    ) -> Result<Self, StoreError> {
        let fresh = tables::prepare(&db, &new_identity, &new_epoch).map_err(|e| StoreError::at(&at, "prepared", &e))?;
        let missing = |name| StoreError::Incomplete { at: at.clone(), name };
        let info = |name: &'static str| tables::info(&db, name).map_err(|e| StoreError::at(&at, "read", &e));
        if !fresh {
            let found = info("format")?.ok_or_else(|| missing("format"))?;
            if found != FORMAT.to_le_bytes() {
                let found = found.try_into().map_or(0, u32::from_le_bytes);
                return Err(StoreError::Format { at, found, known: FORMAT });
            }
        }
        let identity: [u8; 32] =
            info("identity")?.and_then(|b| b.try_into().ok()).ok_or_else(|| missing("identity"))?;
        let epoch: [u8; 16] = info("epoch")?.and_then(|b| b.try_into().ok()).ok_or_else(|| missing("epoch"))?;
        Ok(Self { db: Arc::new(db), identity: SecretKey::from_bytes(&identity), epoch, at, file: None, mode })
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
        let bytes = tables::info(&self.db, "node_id").ok()??;
        String::from_utf8(bytes).ok()
    }

    /// Keeps the node's name durably.
    pub fn keep_node_id(&self, node_id: &str) -> Result<(), StoreError> {
        tables::set_info(&self.db, "node_id", node_id.as_bytes()).map_err(|e| StoreError::at(&self.at, "written", &e))
    }

    /// Everything that the core keeps in memory. Costs one scan of the meta rows.
    pub fn stored(&self) -> Result<Stored, StoreError> {
        tables::stored(&self.db, self.epoch).map_err(|e| StoreError::at(&self.at, "read", &e))
    }

    /// What the operator wants of peers.
    pub fn intents(&self) -> Result<Vec<(PeerId, Intent)>, StoreError> {
        tables::intents(&self.db).map_err(|e| StoreError::at(&self.at, "read", &e))
    }

    /// What was kept of the members of the formation.
    pub fn members(&self) -> Result<Vec<(PeerId, MemberRow)>, StoreError> {
        tables::members(&self.db).map_err(|e| StoreError::at(&self.at, "read", &e))
    }

    /// Reads documents.
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.db))
    }

    /// Writes batches. There must be only one.
    pub fn committer(&self) -> Committer {
        Committer::new(Arc::clone(&self.db), self.mode.clone())
    }
}

type OpenError = Box<dyn std::error::Error>;

fn open_file(path: &Path) -> Result<Database, OpenError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(builder().create_file(options.open(path)?)?)
}

/// Makes an empty database under another name and moves it into place: a file that was left half made by a kill
/// or a power cut would be refused at every later start.
fn create(directory: &Path, path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(directory)?;
    let unfinished = path.with_extension("redb.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    drop(open_file(&unfinished)?);
    std::fs::rename(&unfinished, path)?;
    // The name, too, must survive a power cut.
    Ok(std::fs::File::open(directory)?.sync_all()?)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(limits::STORE_CACHE_BYTES);
    builder
}

#[cfg(test)]
mod tests;
