//! A storage backend that outlives the databases that are opened over it, one after another.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};

/// A shared backend. Closing a database over it does not close it: the file stays locked while redb is reopened after
/// a failure, or nobody else would be kept out in between. It is closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Lasting(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Box<dyn StorageBackend>,
    sync_failed: AtomicBool,
}

impl Lasting {
    pub(crate) fn new(backend: impl StorageBackend) -> Self {
        Self(Arc::new(Inner { backend: Box::new(backend), sync_failed: AtomicBool::new(false) }))
    }

    /// Whether a sync has ever failed. Linux then forgets that what was not written is not: later syncs succeed.
    pub(crate) fn sync_failed(&self) -> bool {
        self.0.sync_failed.load(Ordering::Acquire)
    }
}

impl StorageBackend for Lasting {
    fn len(&self) -> io::Result<u64> {
        self.0.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.0.backend.sync_data();
        self.0.sync_failed.fetch_or(synced.is_err(), Ordering::AcqRel);
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.backend.write(offset, data)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.query_lock_range(start, end)
    }
}
