//! The bytes of a disk, kept as sparse pages: a fresh database of megabytes is mostly zeros, and a world
//! has a thousand of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What a disk writes as a whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;
/// redb writes in pages of this size.
const PAGE_BYTES: u64 = 4096;

type Page = [u8; PAGE_BYTES as usize];

/// A growable array of bytes. A clone shares its pages until either side writes to them.
#[derive(Clone, Default)]
pub(super) struct Image {
    len: u64,
    /// Pages that are not all zero, by number.
    pages: BTreeMap<u64, Arc<Page>>,
}

/// The part of a transfer that lies in one page.
struct Span {
    page: u64,
    in_page: usize,
    in_data: usize,
    length: usize,
}

fn spans(offset: u64, length: usize) -> impl Iterator<Item = Span> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let in_page = usize::try_from(at % PAGE_BYTES).expect("a remainder of the page size fits");
        let span = Span {
            page: at / PAGE_BYTES,
            in_page,
            in_data: done,
            length: (PAGE_BYTES as usize - in_page).min(length - done),
        };
        done += span.length;
        Some(span)
    })
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of pages that are not all zero.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BYTES
    }

    /// Shorter: what is cut off is forgotten. Longer: the new part is zero.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE_BYTES));
            let kept = usize::try_from(len % PAGE_BYTES).expect("a remainder of the page size fits");
            if kept > 0
                && let Some(last) = self.pages.get_mut(&(len / PAGE_BYTES))
            {
                Arc::make_mut(last)[kept..].fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "read past the end of the disk"));
        }
        for span in spans(offset, out.len()) {
            let part = &mut out[span.in_data..][..span.length];
            match self.pages.get(&span.page) {
                Some(page) => part.copy_from_slice(&page[span.in_page..][..span.length]),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    /// Writes, growing if needed.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.len = self.len.max(offset + data.len() as u64);
        for span in spans(offset, data.len()) {
            let page = self.pages.entry(span.page).or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
            Arc::make_mut(page)[span.in_page..][..span.length].copy_from_slice(&data[span.in_data..][..span.length]);
        }
    }

    /// Writes only what lies within the present length: data whose file size was never recorded is lost.
    pub(super) fn write_within(&mut self, offset: u64, data: &[u8]) {
        let room = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.write(offset, &data[..data.len().min(room)]);
    }
}
