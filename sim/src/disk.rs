//! A simulated disk under redb: what was not synced when the power fails is gone, or half gone.
//!
//! - A write is visible to the process at once and volatile.
//! - A sync returns at once but *takes* virtual time; all before it is durable when that time is over. A
//!   store must not acknowledge earlier, see [`peat_node::store::Durability`].
//! - The process would have been blocked during a sync, so nothing it wrote after that call can reach the
//!   platter before the sync is complete.
//! - A crash keeps what completed syncs cover. Of the writes between there and the next sync a random
//!   subset survives, torn at sectors of 512 bytes; of everything after that, nothing.
//! - After a crash the old backend refuses everything, so that the destructors of a crashed process cannot
//!   tidy up.

mod image;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peat_node::store::Durability;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use image::{Image, SECTOR_BYTES};

/// Virtual time since any fixed moment.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A sync takes at least this long: a data-centre SSD with a real flush.
const SYNC_MIN: Duration = Duration::from_millis(1);
/// And up to this much longer.
const SYNC_JITTER: Duration = Duration::from_millis(1);

/// The disk of a host. It outlives the lives of the host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    platter: Arc<Mutex<Platter>>,
}

struct Platter {
    clock: Clock,
    rng: ChaCha8Rng,
    /// What the running process sees.
    visible: Image,
    /// What survives a power cut at this moment for certain.
    durable: Image,
    /// What happened since `durable`, in order.
    pending: Vec<Pending>,
    /// When the last sync called will be complete.
    synced_at: Duration,
    /// Number of the mount that may use the disk.
    mount: u64,
}

enum Pending {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync { complete_at: Duration },
}

/// The disk as seen by one life of the host.
pub(crate) struct Mount {
    disk: Disk,
    mount: u64,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simulated disk, mount {}", self.mount)
    }
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new(seed: u64, clock: Clock) -> Self {
        let platter = Platter {
            clock,
            rng: ChaCha8Rng::seed_from_u64(seed),
            visible: Image::default(),
            durable: Image::default(),
            pending: Vec::new(),
            synced_at: Duration::ZERO,
            mount: 0,
        };
        Self { platter: Arc::new(Mutex::new(platter)) }
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A backend for the next life. Earlier ones refuse from now on.
    pub(crate) fn mount(&self) -> Mount {
        let mut platter = self.lock();
        platter.mount += 1;
        Mount { disk: self.clone(), mount: platter.mount }
    }

    /// The power fails now.
    pub(crate) fn crash(&self) {
        self.lock().crash();
    }
}

impl Durability for Disk {
    fn until_durable(&self) -> Duration {
        let platter = self.lock();
        platter.synced_at.saturating_sub((platter.clock)())
    }
}

impl Platter {
    /// Moves what completed syncs cover from `pending` to `durable`.
    fn settle(&mut self) {
        let now = (self.clock)();
        let covered = self
            .pending
            .iter()
            .rposition(|entry| matches!(entry, Pending::Sync { complete_at } if *complete_at <= now));
        let Some(last) = covered else { return };
        for entry in self.pending.drain(..=last) {
            match entry {
                Pending::Write { offset, data } => self.durable.write(offset, &data),
                Pending::SetLen(len) => self.durable.set_len(len),
                Pending::Sync { .. } => {}
            }
        }
    }

    fn crash(&mut self) {
        self.settle();
        for entry in std::mem::take(&mut self.pending) {
            match entry {
                // Nothing after a sync that is not complete was written yet.
                Pending::Sync { .. } => break,
                Pending::SetLen(len) => {
                    if self.flip() {
                        self.durable.set_len(len);
                    }
                }
                Pending::Write { offset, data } => self.tear(offset, &data),
            }
        }
        self.visible = self.durable.clone();
        self.synced_at = Duration::ZERO;
        self.mount += 1;
    }

    /// Writes whole, not at all, or some sectors of it.
    fn tear(&mut self, offset: u64, data: &[u8]) {
        match self.rng.next_u32() % 3 {
            0 => {}
            1 => self.durable.write_within(offset, data),
            _ => {
                let mut at = 0;
                while at < data.len() {
                    let in_sector = (offset + at as u64) % SECTOR_BYTES;
                    let room = usize::try_from(SECTOR_BYTES - in_sector).unwrap_or(data.len());
                    let end = (at + room).min(data.len());
                    if self.flip() {
                        self.durable.write_within(offset + at as u64, &data[at..end]);
                    }
                    at = end;
                }
            }
        }
    }

    fn flip(&mut self) -> bool {
        self.rng.next_u32() & 1 == 1
    }
}

impl Mount {
    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.disk.lock();
        if platter.mount != self.mount {
            return Err(io::Error::other("the host that held this disk has crashed"));
        }
        Ok(platter)
    }
}

impl redb::StorageBackend for Mount {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter()?.visible.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.platter()?.visible.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.visible.set_len(len);
        platter.pending.push(Pending::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.settle();
        let jitter_ns = u64::try_from(SYNC_JITTER.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(platter.rng.next_u64() % jitter_ns);
        let begin = platter.synced_at.max((platter.clock)());
        let complete_at = begin + SYNC_MIN + jitter;
        platter.synced_at = complete_at;
        platter.pending.push(Pending::Sync { complete_at });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.visible.write(offset, data);
        platter.pending.push(Pending::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
