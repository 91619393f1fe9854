//! A simulated disk under redb: what was not synced when the power fails is gone, or half gone.
//!
//! - A write is visible to the process at once and volatile.
//! - A sync returns at once but *takes* virtual time; all before it is durable when that time is over. A
//!   store must not acknowledge earlier, see [`peat_node::store::Durability`].
//! - The process would have been blocked during a sync, so nothing it wrote after that call can reach the
//!   platter before the sync is complete.
//! - A crash keeps what completed syncs cover. Of the writes between there and the next sync a random
//!   subset survives, torn at sectors of 512 bytes; of everything after that, nothing.
//! - A power cut may be made to fall into a sync, with the worst outcome ([`trouble`]).
//! - After a crash the old backend refuses everything, so that the destructors of a crashed process cannot
//!   tidy up.

mod image;
#[cfg(test)]
mod tests;
mod trouble;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peat_node::store::Durability;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use image::{Image, SECTOR_BYTES};
use trouble::Troubles;

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
    troubles: Troubles,
}

/// How long a sync takes that the power fails in: longer than anyone waits.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// What a power cut leaves of writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Anything.
    Random,
    /// At least one of them in part.
    Torn,
    /// Nothing.
    Unsynced,
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
            troubles: Troubles::default(),
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
        let armed = self.troubles.armed.take().filter(|_| self.troubles.tripped);
        self.troubles.tripped = false;
        let loss = armed.map_or(Loss::Random, |(_, loss)| loss);
        let pending = std::mem::take(&mut self.pending);
        // Nothing after a sync that is not complete was written yet.
        let reached = pending.iter().position(|entry| matches!(entry, Pending::Sync { .. })).unwrap_or(pending.len());
        let widest = pending[..reached].iter().enumerate().max_by_key(|(_, entry)| match entry {
            Pending::Write { data, .. } => data.len(),
            _ => 0,
        });
        let widest = widest.map(|(position, _)| position).filter(|_| loss == Loss::Torn);
        let (mut torn, mut lost) = (0, 0);
        for (position, entry) in pending.into_iter().take(reached).enumerate() {
            match entry {
                Pending::Sync { .. } => break,
                Pending::Write { data, .. } if loss == Loss::Unsynced => lost += data.len() as u64,
                Pending::SetLen(_) if loss == Loss::Unsynced => {}
                Pending::SetLen(len) => {
                    if widest.is_some() || self.flip() {
                        self.durable.set_len(len);
                    }
                }
                Pending::Write { offset, data } if widest == Some(position) => torn += self.split(offset, &data),
                Pending::Write { offset, data } => self.tear(offset, &data),
            }
        }
        if let Some((fault, _)) = armed {
            self.troubles.lost(fault, torn, lost);
        }
        self.visible = self.durable.clone();
        self.synced_at = Duration::ZERO;
        self.mount += 1;
    }

    fn wipe(&mut self) {
        self.durable = Image::default();
        self.visible = Image::default();
        self.pending.clear();
        self.synced_at = Duration::ZERO;
        self.mount += 1;
    }

    /// Writes some sectors and others not; how many bytes it did not write.
    fn split(&mut self, offset: u64, data: &[u8]) -> u64 {
        let mut at = 0;
        let mut lost = 0;
        while at < data.len() {
            let in_sector = (offset + at as u64) % SECTOR_BYTES;
            let room = usize::try_from(SECTOR_BYTES - in_sector).unwrap_or(data.len());
            let end = (at + room).min(data.len());
            // The first sector is written, the last is not.
            let written = at == 0 || (end < data.len() && self.flip());
            match written {
                true => self.durable.write_within(offset + at as u64, &data[at..end]),
                false => lost += (end - at) as u64,
            }
            at = end;
        }
        lost
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
        let mut platter = self.platter()?;
        platter.troubles.reading()?;
        platter.visible.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.platter()?;
        if len > platter.visible.len() {
            platter.troubles.writing()?;
        }
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
        let longer = platter.troubles.syncing();
        let mut complete_at = begin + SYNC_MIN + jitter + longer;
        // A sync of nothing cannot be torn.
        let writes = platter.pending.iter().any(|entry| matches!(entry, Pending::Write { .. }));
        if platter.troubles.armed.is_some() && writes {
            complete_at = begin + NEVER;
            platter.troubles.tripped = true;
            if let Some(alarm) = &platter.troubles.alarm {
                alarm.notify_one();
            }
        }
        platter.synced_at = complete_at;
        platter.pending.push(Pending::Sync { complete_at });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.troubles.writing()?;
        platter.visible.write(offset, data);
        platter.pending.push(Pending::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
