//! A disk in memory that keeps a journal: what is left of it can be computed for a power cut at any time.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;
/// `ENOSPC` on Linux.
const NO_SPACE: i32 = 28;

#[derive(Debug, Clone)]
pub enum Step {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
    Sync,
}

#[derive(Debug, Default)]
struct Platter {
    bytes: Vec<u8>,
    journal: Vec<Step>,
    full: bool,
}

/// Cheap to clone; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    pub fn with(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Platter { bytes, ..Platter::default() })))
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("unpoisoned")
    }

    /// Another disk with what a reader of this one sees.
    pub fn image(&self) -> Self {
        Self::with(self.platter().bytes.clone())
    }

    /// From now on nothing can be written.
    pub fn fill(&self) {
        self.platter().full = true;
    }

    /// Steps so far.
    pub fn steps(&self) -> usize {
        self.platter().journal.len()
    }

    pub fn journal(&self) -> Vec<Step> {
        self.platter().journal.clone()
    }
}

/// What is certain to be on a disk, and what may be.
#[derive(Default)]
pub struct Cut {
    synced: Vec<u8>,
    unsynced: Vec<Step>,
}

impl Cut {
    /// The power has not failed yet when this step is done.
    pub fn survive(&mut self, step: Step) {
        match step {
            Step::Sync => {
                for step in self.unsynced.drain(..) {
                    carry_out(&mut self.synced, &step);
                }
            }
            other => self.unsynced.push(other),
        }
    }

    /// The power fails now: of what was not synced, each step survives, or not, or some of its sectors do.
    pub fn disk(&self, seed: u64) -> Disk {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = self.synced.clone();
        for step in &self.unsynced {
            match (rng.random_range(0..3), step) {
                (0, _) => {}
                (1, Step::Write { offset, data }) => {
                    let mut at = 0;
                    while at < data.len() {
                        let room = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                        let end = (at + room).min(data.len());
                        if rng.random() {
                            write(&mut bytes, offset + at, &data[at..end]);
                        }
                        at = end;
                    }
                }
                (_, step) => carry_out(&mut bytes, step),
            }
        }
        Disk::with(bytes)
    }
}

fn carry_out(bytes: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write { offset, data } => write(bytes, *offset, data),
        Step::SetLen(len) => bytes.resize(*len, 0),
        Step::Sync => {}
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

impl Platter {
    fn change(&mut self, step: Step) -> io::Result<()> {
        if self.full {
            return Err(io::Error::from_raw_os_error(NO_SPACE));
        }
        carry_out(&mut self.bytes, &step);
        self.journal.push(step);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (platter, offset) = (self.platter(), offset as usize);
        let found = platter.bytes.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platter().change(Step::SetLen(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.platter().change(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.platter().change(Step::Write { offset: offset as usize, data: data.to_vec() })
    }
}
