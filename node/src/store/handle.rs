//! The open database, which can be opened anew in place: once a write has failed, redb refuses everything until it is.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{Database, StorageBackend};
use tokio::sync::Notify;

use super::lasting::Lasting;
use super::overlay::{Locks, Overlay};
use super::sealed::{Entropy, Sealed, StoreKey};
use super::{StoreError, tables};
use crate::limits;

/// How a store is encrypted.
#[derive(Clone)]
pub struct Encryption {
    /// The operator's key.
    pub key: StoreKey,
    /// Where salts come from, and the data key of a store that is new.
    pub entropy: Entropy,
}

/// The database, over a backend that stays open while it is opened anew.
pub(super) struct Handle {
    at: String,
    backend: Lasting,
    encryption: Option<Encryption>,
    open: RwLock<Open>,
    /// A write has failed, and nothing has been opened since that can write.
    broken: AtomicBool,
    broke: Notify,
    /// How often the database was opened anew.
    generation: AtomicU64,
}

enum Open {
    Writable(Database),
    /// Only for reading: nothing of it is written.
    Readable(Database),
    /// Neither.
    Closed(String),
}

/// Why a database could not be opened.
type Refusal = StoreError;

impl Handle {
    pub(super) fn open(at: &str, backend: Lasting, encryption: Option<Encryption>) -> Result<Self, Refusal> {
        let db = open_database(at, &backend, encryption.as_ref(), Use::Write)?;
        Ok(Self::new(at, backend, encryption, Open::Writable(db)))
    }

    /// Opens for reading; nothing is written.
    pub(super) fn open_to_read(at: &str, backend: Lasting, encryption: Option<Encryption>) -> Result<Self, Refusal> {
        let db = open_database(at, &backend, encryption.as_ref(), Use::Read(Locks::Shared))?;
        Ok(Self::new(at, backend, encryption, Open::Readable(db)))
    }

    fn new(at: &str, backend: Lasting, encryption: Option<Encryption>, open: Open) -> Self {
        Self {
            at: at.to_owned(),
            backend,
            encryption,
            open: RwLock::new(open),
            broken: AtomicBool::new(false),
            broke: Notify::new(),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        match &*self.open.read().expect("nothing panics while the database is opened") {
            Open::Writable(db) | Open::Readable(db) => guarded(|| work(db))?,
            Open::Closed(why) => Err(unavailable(why)),
        }
    }

    pub(super) fn write<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        match &*self.open.read().expect("nothing panics while the database is opened") {
            Open::Writable(db) => {
                let done = guarded(|| work(db)).flatten();
                if done.is_err() {
                    self.broken.store(true, Ordering::Release);
                    self.broke.notify_one();
                }
                done
            }
            Open::Readable(_) => Err(unavailable("it is open for reading only, since a write has failed")),
            Open::Closed(why) => Err(unavailable(why)),
        }
    }

    /// Returns once a write has failed.
    pub(super) async fn broken(&self) {
        loop {
            let broke = self.broke.notified();
            if self.broken.load(Ordering::Acquire) {
                return;
            }
            broke.await;
        }
    }

    pub(super) fn backend(&self) -> &Lasting {
        &self.backend
    }

    /// Changes whenever the database is opened anew: pages that are being read may then be used for something else.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Closes the database, but keeps everybody else out.
    pub(super) fn close(&mut self) {
        *self.open.get_mut().expect("nothing panics while the database is opened") =
            Open::Closed("it is closed".into());
    }

    /// Exclusive use of the database.
    pub(super) fn alone<T>(&self, work: impl FnOnce(&mut Database) -> T) -> Option<T> {
        match &mut *self.open.write().expect("nothing panics while the database is opened") {
            Open::Writable(db) | Open::Readable(db) => guarded(|| work(db)).ok(),
            Open::Closed(_) => None,
        }
    }

    /// Opens the database anew after a failure, and finds out with a transaction whether it can be written to. If it cannot, it is
    /// opened for reading. Reads wait meanwhile: milliseconds, or as long as redb takes to check a large store.
    ///
    /// `last` is the last change number that is durable as far as the node knows.
    pub(super) fn reopen(&self, last: u64) -> Result<(), StoreError> {
        if self.backend.sync_failed() {
            // What the system has in its cache may not be what is on the disk, and it does not tell.
            let detail = "a sync failed, so it is not known what the disk holds; look at the disk, then restart".into();
            return Err(StoreError::Database { at: self.at.clone(), doing: "opened anew", detail });
        }
        let mut open = self.open.write().expect("nothing panics while the database is opened");
        // Only one database may be open over the backend.
        *open = Open::Closed("it is being opened anew".into());
        self.generation.fetch_add(1, Ordering::AcqRel);
        let opened = open_database(&self.at, &self.backend, self.encryption.as_ref(), Use::Write)
            .and_then(|db| self.prove(&db, last).map(|()| db));
        match opened {
            Ok(db) => {
                *open = Open::Writable(db);
                self.broken.store(false, Ordering::Release);
                Ok(())
            }
            Err(trouble) => {
                // What was read from the backend a moment ago is as good as it was.
                let to_read = Use::Read(Locks::Held);
                *open = match open_database(&self.at, &self.backend, self.encryption.as_ref(), to_read) {
                    Ok(db) => Open::Readable(db),
                    Err(error) => Open::Closed(error.to_string()),
                };
                Err(trouble)
            }
        }
    }

    /// Whether something can be made durable, and nothing was that is said to have failed.
    fn prove(&self, db: &Database, last: u64) -> Result<(), StoreError> {
        let found = tables::rewrite_last(db).map_err(|e| StoreError::at(&self.at, "written", &e))?;
        if found == last {
            return Ok(());
        }
        let detail = format!("it has change {found} where {last} is expected; restart");
        Err(StoreError::Database { at: self.at.clone(), doing: "used further", detail })
    }
}

fn unavailable(why: &str) -> redb::Error {
    redb::Error::Io(io::Error::other(why.to_owned()))
}

/// redb panics on a page that is none of its own. The rest of the store can still be read.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        let problem = "a page is damaged; look with peat-node check, and restore a backup if there is one";
        redb::Error::Corrupted(problem.into())
    })
}

#[derive(Clone, Copy)]
enum Use {
    Write,
    Read(Locks),
}

fn open_database(
    at: &str,
    backend: &Lasting,
    encryption: Option<&Encryption>,
    usage: Use,
) -> Result<Database, Refusal> {
    let not_created = |error: redb::DatabaseError| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { at: at.to_owned() },
        other => StoreError::at(at, "opened", &other),
    };
    let refused = |error: &dyn std::fmt::Display| StoreError::at(at, "opened", &error);
    let sealed = Sealed::is_sealed(backend).map_err(|e| refused(&e))?;
    let builder = || {
        let mut builder = Database::builder();
        builder.set_cache_size(limits::STORE_CACHE_BYTES);
        builder
    };
    let Some(Encryption { key, entropy }) = encryption else {
        if sealed == Some(true) {
            return Err(StoreError::NoKey { at: at.to_owned() });
        }
        let created = guarded(|| create(&builder(), backend.clone(), usage)).map_err(|e| refused(&e))?;
        return created.map_err(not_created);
    };
    match sealed {
        None => Sealed::create(backend, key, entropy).map_err(|e| refused(&e))?,
        Some(false) => return Err(StoreError::NotEncrypted { at: at.to_owned() }),
        Some(true) => {}
    }
    let sealed =
        Sealed::open(backend.clone(), key, entropy.clone()).map_err(|trouble| StoreError::key(at, &trouble))?;
    let opening = sealed.opening();
    let created = guarded(|| create(&builder(), sealed, usage)).map_err(|e| refused(&e))?;
    let db = created.map_err(not_created)?;
    opening.is_over();
    Ok(db)
}

fn create(builder: &redb::Builder, backend: impl StorageBackend, usage: Use) -> Result<Database, redb::DatabaseError> {
    match usage {
        Use::Write => builder.create_with_backend(backend),
        Use::Read(locks) => {
            let overlay = Overlay::new(backend, locks).map_err(redb::StorageError::from)?;
            builder.create_with_backend(overlay)
        }
    }
}
