//! Opens a database without writing to it: redb writes whenever it opens a store that was not closed cleanly, so what it
//! writes is kept in memory and forgotten.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

use crate::limits;

const PAGE_BYTES: u64 = 4096;

/// A backend over another one that is only read.
#[derive(Debug)]
pub(super) struct Overlay {
    base: Box<dyn StorageBackend>,
    locks: Locks,
    changed: Mutex<Changed>,
}

/// What becomes of redb's wish to have the store for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locks {
    /// It is shared with other readers: a file that is open for reading only cannot be locked otherwise.
    Shared,
    /// Granted, since this process holds the lock already.
    Held,
}

#[derive(Debug)]
struct Changed {
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES as usize]>>,
    len: u64,
    /// From here on the base is hidden: the database was once as short as this.
    base_len: u64,
}

impl Overlay {
    pub(super) fn new(base: impl StorageBackend, locks: Locks) -> io::Result<Self> {
        let len = base.len()?;
        let changed = Mutex::new(Changed { pages: BTreeMap::new(), len, base_len: len });
        Ok(Self { base: Box::new(base), locks, changed })
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_base(&self, base_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = base_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (found, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if found.is_empty() { Ok(()) } else { self.base.read(offset, found) }
    }

    fn grant(&self, shared: impl FnOnce() -> Result<bool, BackendError>) -> Result<bool, BackendError> {
        match self.locks {
            Locks::Shared => shared(),
            Locks::Held => Ok(true),
        }
    }
}

/// The parts of a range by page: page, where in the page, where in the range, how long.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let in_page = (at % PAGE_BYTES) as usize;
        let part = (PAGE_BYTES as usize - in_page).min(length - done);
        done += part;
        (part > 0).then_some((at / PAGE_BYTES, in_page, done - part, part))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed();
        if offset + out.len() as u64 > changed.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "read past the end of the store"));
        }
        self.read_base(changed.base_len, offset, out)?;
        for (page, in_page, in_out, length) in parts(offset, out.len()) {
            if let Some(bytes) = changed.pages.get(&page) {
                out[in_out..][..length].copy_from_slice(&bytes[in_page..][..length]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed();
        if len < changed.len {
            changed.pages.split_off(&len.div_ceil(PAGE_BYTES));
            let kept = (len % PAGE_BYTES) as usize;
            if kept > 0
                && let Some(last) = changed.pages.get_mut(&(len / PAGE_BYTES))
            {
                last[kept..].fill(0);
            }
        }
        changed.base_len = changed.base_len.min(len);
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed();
        changed.len = changed.len.max(offset + data.len() as u64);
        for (page, in_page, in_data, length) in parts(offset, data.len()) {
            if !changed.pages.contains_key(&page) {
                if changed.pages.len() >= limits::MAX_OVERLAY_PAGES {
                    let problem = format!("reading needs more than {} changed pages", limits::MAX_OVERLAY_PAGES);
                    return Err(io::Error::new(io::ErrorKind::OutOfMemory, problem));
                }
                let mut bytes = Box::new([0; PAGE_BYTES as usize]);
                if length < PAGE_BYTES as usize {
                    self.read_base(changed.base_len, page * PAGE_BYTES, &mut bytes[..])?;
                }
                changed.pages.insert(page, bytes);
            }
            let bytes = changed.pages.get_mut(&page).expect("it was just inserted");
            bytes[in_page..][..length].copy_from_slice(&data[in_data..][..length]);
        }
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.grant(|| self.base.try_lock_shared_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.grant(|| self.base.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.grant(|| self.base.lock_shared_range(start, end).map(|()| true)).map(|_| ())
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.grant(|| self.base.lock_shared_range(start, end).map(|()| true)).map(|_| ())
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.grant(|| self.base.unlock_range(start, end).map(|()| true)).map(|_| ())
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        match self.locks {
            Locks::Shared => self.base.query_lock_range(start, end),
            Locks::Held => Ok(false),
        }
    }
}
