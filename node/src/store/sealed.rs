//! Encryption at rest: a storage backend that keeps every page of the database encrypted and authenticated in another
//! backend. `docs/store.md` has the bytes, `docs/adr/0016` the reasons.
//!
//! A page is one record, so a power cut harms only records that were being written, as without encryption. redb's header is
//! the exception: it is written in place at every commit and holds both of redb's commit slots, and a record that is torn is lost
//! whole. So it has two places, written in turn.

mod key_slot;
mod record;

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

pub use key_slot::StoreKey;
pub(super) use key_slot::{KeyTrouble, MAGIC, SLOT_AT as KEY_SLOT_AT, rewrap};

use super::lasting::Lasting;
use key_slot::Unlocked;
use record::{Kind, OVERHEAD_BYTES, Sealer};

/// Fills a buffer with randomness: the system's in production, a seed's in a simulation.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// redb's page.
const PAGE_BYTES: usize = 4096;
/// Where redb's header says whether the database was closed; see redb's `docs/design.md`.
const STATE_AT: usize = 9;
/// The bit that says that it was not.
const RECOVERY_REQUIRED: u8 = 2;
/// What redb's header may use of page 0: it uses 320 bytes.
const HEADER_BYTES: usize = 512;
/// Where the two copies of the header are: in blocks of their own, so that writing one cannot harm the other.
const HEADER_AT: [u64; 2] = [8192, 12_288];
/// A copy: its number, then the record.
const COPY_BYTES: usize = 8 + OVERHEAD_BYTES + HEADER_BYTES;
/// Where records begin.
const RECORDS_AT: u64 = 16_384;
/// A page with what encryption adds.
const RECORD_BYTES: usize = PAGE_BYTES + OVERHEAD_BYTES;

/// The backend that redb sees.
pub(super) struct Sealed {
    inner: Lasting,
    sealer: Sealer,
    entropy: Entropy,
    header: Mutex<Header>,
    opening: Opening,
}

/// Whether redb is opening a database that was not closed, when pages may be torn: it looks for them and has the remedy. At any other
/// time a page that cannot be authenticated is worth a line in the log.
#[derive(Debug, Clone)]
pub(super) struct Opening(Arc<AtomicBool>);

impl Opening {
    pub(super) fn is_over(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// redb's header in its two places.
struct Header {
    /// Number of the newest copy.
    number: u64,
    /// The newest copy.
    bytes: [u8; HEADER_BYTES],
    /// The place of the copy that is durable; it is not written to before the other one is.
    settled: usize,
    /// The other place has been written to since the last sync.
    written: bool,
    /// Nothing has been synced by this process: what was read may be in the system's cache only, and the copy that is durable the one
    /// that would be written over.
    unsure: bool,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Sealed {
    /// Whether a backend is encrypted: `None` if it is empty.
    pub(super) fn is_sealed(inner: &Lasting) -> io::Result<Option<bool>> {
        if inner.len()? == 0 {
            return Ok(None);
        }
        for at in KEY_SLOT_AT {
            let mut magic = [0; MAGIC.len()];
            if inner.len()? >= at + MAGIC.len() as u64 {
                inner.read(at, &mut magic)?;
                if magic == MAGIC {
                    return Ok(Some(true));
                }
            }
        }
        Ok(Some(false))
    }

    /// Makes an empty backend an encrypted one, under a data key of its own.
    pub(super) fn create(inner: &Lasting, key: &StoreKey, entropy: &Entropy) -> io::Result<()> {
        inner.set_len(RECORDS_AT)?;
        key_slot::create(inner, key, entropy)?;
        inner.sync_data()
    }

    /// Opens an encrypted backend.
    pub(super) fn open(inner: Lasting, key: &StoreKey, entropy: Entropy) -> Result<Self, KeyTrouble> {
        let Unlocked { data_key, store_id, .. } = key_slot::unlock(&inner, key)?;
        let sealer = Sealer::new(&data_key, store_id);
        let mut header = Header { number: 0, bytes: [0; HEADER_BYTES], settled: 0, written: false, unsure: true };
        for (place, at) in HEADER_AT.into_iter().enumerate() {
            if let Some((number, bytes)) = read_copy(&inner, &sealer, at)?
                && number > header.number
            {
                (header.number, header.bytes, header.settled) = (number, bytes, place);
            }
        }
        if header.number == 0 && inner.len().is_ok_and(|len| len > RECORDS_AT) {
            return Err(KeyTrouble::Damaged("both copies of the database's header"));
        }
        let opening = Opening(Arc::new(AtomicBool::new(header.bytes[STATE_AT] & RECOVERY_REQUIRED != 0)));
        Ok(Self { inner, sealer, entropy, header: Mutex::new(header), opening })
    }

    pub(super) fn opening(&self) -> Opening {
        self.opening.clone()
    }

    fn header(&self) -> MutexGuard<'_, Header> {
        // A panic in between leaves bytes that are no worse than those of a failed write.
        self.header.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_header(&self, at: usize, data: &[u8]) -> io::Result<()> {
        let mut header = self.header();
        if header.unsure {
            self.inner.sync_data()?;
            header.unsure = false;
        }
        header.bytes[at..at + data.len()].copy_from_slice(data);
        header.number += 1;
        header.written = true;
        let mut copy = Vec::with_capacity(COPY_BYTES);
        copy.extend_from_slice(&header.number.to_le_bytes());
        self.sealer.seal(Kind::Header, header.number, &header.bytes, &*self.entropy, &mut copy);
        self.inner.write(HEADER_AT[1 - header.settled], &copy)
    }

    /// Whole pages from a page on; `out` is as long as they are. If one cannot be authenticated all are zeros, which redb takes for
    /// no page of its own. An error would make it refuse every other page too.
    fn read_pages(&self, first: u64, out: &mut [u8]) -> io::Result<()> {
        let mut records = vec![0; out.len() / PAGE_BYTES * RECORD_BYTES];
        self.inner.read(record_at(first), &mut records)?;
        let pages = (first..).zip(out.chunks_exact_mut(PAGE_BYTES));
        let damaged = pages
            .zip(records.chunks_exact_mut(RECORD_BYTES))
            .find_map(|((page, out), record)| self.sealer.open(Kind::Page, page, record, out).err().map(|_| page));
        if let Some(page) = damaged {
            if !self.opening.0.load(Ordering::Acquire) {
                tracing::error!("page {page} of the encrypted store is damaged: it fails authentication");
            }
            out.fill(0);
        }
        Ok(())
    }

    fn write_pages(&self, first: u64, data: &[u8]) -> io::Result<()> {
        let mut records = Vec::with_capacity(data.len() / PAGE_BYTES * RECORD_BYTES);
        for (page, data) in (first..).zip(data.chunks_exact(PAGE_BYTES)) {
            self.sealer.seal(Kind::Page, page, data, &*self.entropy, &mut records);
        }
        self.inner.write(record_at(first), &records)
    }
}

fn read_copy(inner: &Lasting, sealer: &Sealer, at: u64) -> io::Result<Option<(u64, [u8; HEADER_BYTES])>> {
    let mut copy = [0; COPY_BYTES];
    if inner.len()? < at + COPY_BYTES as u64 {
        return Ok(None);
    }
    inner.read(at, &mut copy)?;
    let (number, record) = copy.split_first_chunk_mut().expect("a copy is longer than its number");
    let number = u64::from_le_bytes(*number);
    let mut bytes = [0; HEADER_BYTES];
    let authentic = number > 0 && sealer.open(Kind::Header, number, record, &mut bytes).is_ok();
    Ok(authentic.then_some((number, bytes)))
}

fn record_at(page: u64) -> u64 {
    RECORDS_AT + page * RECORD_BYTES as u64
}

/// The whole pages that a range touches: the first one, and how many.
fn pages_of(offset: u64, length: usize) -> (u64, usize) {
    let page = PAGE_BYTES as u64;
    let (first, end) = (offset / page, (offset + length as u64).div_ceil(page));
    (first, usize::try_from(end - first).expect("a buffer in memory has so many pages"))
}

impl StorageBackend for Sealed {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.len()?.saturating_sub(RECORDS_AT) / RECORD_BYTES as u64 * PAGE_BYTES as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if end > self.len()? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "read past the end of the encrypted store"));
        }
        let in_header = (HEADER_BYTES as u64).saturating_sub(offset).min(out.len() as u64) as usize;
        let (header, rest) = out.split_at_mut(in_header);
        if in_header > 0 {
            header.copy_from_slice(&self.header().bytes[offset as usize..][..in_header]);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let offset = offset + in_header as u64;
        let (first, count) = pages_of(offset, rest.len());
        if offset.is_multiple_of(PAGE_BYTES as u64) && rest.len() == count * PAGE_BYTES {
            return self.read_pages(first, rest);
        }
        let mut pages = vec![0; count * PAGE_BYTES];
        self.read_pages(first, &mut pages)?;
        let skipped = (offset - first * PAGE_BYTES as u64) as usize;
        rest.copy_from_slice(&pages[skipped..][..rest.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !len.is_multiple_of(PAGE_BYTES as u64) {
            let problem = format!("an encrypted store of {len} bytes: the length must be a multiple of {PAGE_BYTES}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        self.inner.set_len(record_at(len / PAGE_BYTES as u64))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut header = self.header();
        self.inner.sync_data()?;
        header.unsure = false;
        if std::mem::take(&mut header.written) {
            header.settled = 1 - header.settled;
        }
        Ok(())
    }

    /// redb writes its header and whole pages. Anything else is read and written back, which a power cut may tear.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let in_header = (HEADER_BYTES as u64).saturating_sub(offset).min(data.len() as u64) as usize;
        let (header, rest) = data.split_at(in_header);
        if in_header > 0 {
            self.write_header(offset as usize, header)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let offset = offset + in_header as u64;
        let (first, count) = pages_of(offset, rest.len());
        if offset.is_multiple_of(PAGE_BYTES as u64) && rest.len() == count * PAGE_BYTES {
            return self.write_pages(first, rest);
        }
        let mut pages = vec![0; count * PAGE_BYTES];
        self.read_pages(first, &mut pages)?;
        let skipped = (offset - first * PAGE_BYTES as u64) as usize;
        pages[skipped..][..rest.len()].copy_from_slice(rest);
        self.write_pages(first, &pages)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
