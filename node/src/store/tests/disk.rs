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
    bytes: Image,
    journal: Vec<Step>,
    full: bool,
}

/// Cheap to clone; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    pub fn with(bytes: Vec<u8>) -> Self {
        let mut image = Image::default();
        image.write(0, &bytes);
        Self::of(image)
    }

    fn of(bytes: Image) -> Self {
        Self(Arc::new(Mutex::new(Platter { bytes, ..Platter::default() })))
    }

    /// Everything on it.
    pub fn bytes(&self) -> Vec<u8> {
        let platter = self.platter();
        let mut bytes = vec![0; platter.bytes.len];
        platter.bytes.read(0, &mut bytes).expect("as long as it is");
        bytes
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("unpoisoned")
    }

    /// Another disk with what a reader of this one sees.
    pub fn image(&self) -> Self {
        Self::of(self.platter().bytes.clone())
    }

    /// From now on nothing can be written.
    pub fn fill(&self) {
        self.platter().full = true;
    }

    /// From now on there is room.
    pub fn empty(&self) {
        self.platter().full = false;
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
    synced: Image,
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

    /// The power fails now: of what was not synced, each step survives, or not, or some of its sectors do. Now and then all of it
    /// survives, since a disk may have been fast.
    pub fn disk(&self, seed: u64) -> Disk {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = self.synced.clone();
        let everything = rng.random_ratio(1, 8);
        for step in &self.unsynced {
            match (if everything { 2 } else { rng.random_range(0..3) }, step) {
                (0, _) => {}
                (1, Step::Write { offset, data }) => {
                    let mut at = 0;
                    while at < data.len() {
                        let room = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                        let end = (at + room).min(data.len());
                        if rng.random() {
                            bytes.write(offset + at, &data[at..end]);
                        }
                        at = end;
                    }
                }
                (_, step) => carry_out(&mut bytes, step),
            }
        }
        Disk::of(bytes)
    }
}

fn carry_out(bytes: &mut Image, step: &Step) {
    match step {
        Step::Write { offset, data } => bytes.write(*offset, data),
        Step::SetLen(len) => bytes.set_len(*len),
        Step::Sync => {}
    }
}

const PAGE_BYTES: usize = 4096;

/// Bytes in pages that clones share until one of them writes: a copy for each of thousands of cuts costs nothing.
#[derive(Debug, Clone, Default)]
struct Image {
    len: usize,
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
}

impl Image {
    fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE_BYTES), None);
        if len < self.len
            && !len.is_multiple_of(PAGE_BYTES)
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[len % PAGE_BYTES..].fill(0);
        }
        self.len = len;
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        if self.len < offset + data.len() {
            self.set_len(offset + data.len());
        }
        let mut done = 0;
        while done < data.len() {
            let (page, at) = ((offset + done) / PAGE_BYTES, (offset + done) % PAGE_BYTES);
            let part = (PAGE_BYTES - at).min(data.len() - done);
            let bytes = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(bytes)[at..][..part].copy_from_slice(&data[done..][..part]);
            done += part;
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Option<()> {
        if offset + out.len() > self.len {
            return None;
        }
        let mut done = 0;
        while done < out.len() {
            let (page, at) = ((offset + done) / PAGE_BYTES, (offset + done) % PAGE_BYTES);
            let part = (PAGE_BYTES - at).min(out.len() - done);
            match &self.pages[page] {
                Some(bytes) => out[done..][..part].copy_from_slice(&bytes[at..][..part]),
                None => out[done..][..part].fill(0),
            }
            done += part;
        }
        Some(())
    }
}

impl Platter {
    fn change(&mut self, step: Step) -> io::Result<()> {
        if self.full && !matches!(step, Step::Sync) {
            return Err(io::Error::from_raw_os_error(NO_SPACE));
        }
        carry_out(&mut self.bytes, &step);
        self.journal.push(step);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().bytes.len as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        Ok(self.platter().bytes.read(offset as usize, out).ok_or(io::ErrorKind::UnexpectedEof)?)
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
