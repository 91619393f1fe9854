//! A row of table `meta`: what the index knows of a document, and the document itself if it is small and in one piece.
//!
//! Most documents of most stores are written once, or are begun anew with each write. As rows of their own their content
//! costs a key, a place in another page and a page more in each commit; here it costs its bytes. Layout in `docs/store.md`.

use crate::core::batch::DocRows;
use crate::core::document::Stamp;
use crate::core::index::{Checkpoint, Meta};
use crate::core::wire::Seq;
use crate::limits;

use super::tables::{damaged, decode, encode};

const DELETED: u8 = 1;
const BASE: u8 = 2;
const CHECKPOINTS: u8 = 4;
/// The content follows, to the end of the row.
const CONTENT: u8 = 8;
/// It is a snapshot; otherwise it is the only change.
const SNAPSHOT: u8 = 16;
const ONE_HEAD: u8 = 32;
const KNOWN: u8 = DELETED | BASE | CHECKPOINTS | CONTENT | SNAPSHOT | ONE_HEAD;

const HEAD_BYTES: usize = 32;

/// A row as it is read.
pub(super) struct Row<'a> {
    pub meta: Meta,
    /// All that there is of the document besides: a snapshot if `meta.folded` is above 0, otherwise a change.
    pub content: Option<&'a [u8]>,
}

impl<'a> Row<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, redb::Error> {
        let mut rest = bytes;
        let [flags] = take(&mut rest)?;
        if flags & !KNOWN != 0 {
            return Err(cut_off());
        }
        let has = |flag: u8| flags & flag != 0;
        let seq = number(&mut rest)?;
        let mut meta = Meta {
            seq,
            heads: vec![],
            deleted: has(DELETED),
            folded: 0,
            snapshot_bytes: 0,
            tail_bytes: 0,
            checkpoints: vec![],
            base: None,
        };
        if !has(CONTENT) {
            meta.folded = number(&mut rest)?;
            meta.snapshot_bytes = number(&mut rest)?;
            meta.tail_bytes = number(&mut rest)?;
        }
        let heads = if has(ONE_HEAD) { 1 } else { number(&mut rest)? };
        for _ in 0..heads {
            meta.heads.push(take::<HEAD_BYTES>(&mut rest)?);
        }
        if has(CHECKPOINTS) {
            meta.checkpoints = value::<Vec<Checkpoint>>(&mut rest)?;
        }
        if has(BASE) {
            meta.base = Some(value::<Stamp>(&mut rest)?);
        }
        if !has(CONTENT) {
            return if rest.is_empty() { Ok(Self { meta, content: None }) } else { Err(cut_off()) };
        }
        if has(SNAPSHOT) {
            (meta.folded, meta.snapshot_bytes) = (seq, rest.len() as u64);
        } else {
            meta.tail_bytes = rest.len() as u64;
        }
        Ok(Self { meta, content: Some(rest) })
    }

    /// The snapshot, if it is here.
    pub(super) fn snapshot(&self) -> Option<&'a [u8]> {
        self.content.filter(|_| self.meta.folded > 0)
    }

    /// The only change, if it is here.
    pub(super) fn change(&self) -> Option<(Seq, &'a [u8])> {
        self.content.filter(|_| self.meta.folded == 0).map(|content| (self.meta.seq, content))
    }
}

/// What of the rows to write goes into the meta row: all that there is of the document, if it is one small piece.
pub(super) fn content_of(rows: &DocRows) -> Option<&[u8]> {
    let meta = &rows.meta;
    let whole = match (&rows.snapshot, &rows.tail[..]) {
        (Some(snapshot), []) if meta.folded == meta.seq && meta.tail_bytes == 0 => snapshot,
        (None, [(seq, change)]) => {
            let is_all = meta.folded == 0 && meta.tail_bytes == change.len() as u64 && *seq == meta.seq;
            return Some(&change[..]).filter(|change| is_all && is_small(change));
        }
        _ => return None,
    };
    Some(&whole[..]).filter(|whole| is_small(whole))
}

fn is_small(content: &[u8]) -> bool {
    (1..=limits::MAX_CONTENT_IN_ROW_BYTES).contains(&content.len())
}

/// The row of a document, with its content if that is to be here.
pub(super) fn encode_row(meta: &Meta, content: Option<&[u8]>) -> Vec<u8> {
    let flag = |flag: u8, set: bool| if set { flag } else { 0 };
    let flags = flag(DELETED, meta.deleted)
        | flag(BASE, meta.base.is_some())
        | flag(CHECKPOINTS, !meta.checkpoints.is_empty())
        | flag(CONTENT, content.is_some())
        | flag(SNAPSHOT, content.is_some() && meta.folded > 0)
        | flag(ONE_HEAD, meta.heads.len() == 1);
    let mut row = Vec::with_capacity(128 + content.map_or(0, <[u8]>::len));
    row.push(flags);
    put(meta.seq, &mut row);
    if content.is_none() {
        [meta.folded, meta.snapshot_bytes, meta.tail_bytes].into_iter().for_each(|number| put(number, &mut row));
    }
    if meta.heads.len() != 1 {
        put(meta.heads.len() as u64, &mut row);
    }
    row.extend_from_slice(meta.heads.as_flattened());
    if !meta.checkpoints.is_empty() {
        row.extend(encode(&meta.checkpoints));
    }
    if let Some(base) = &meta.base {
        row.extend(encode(base));
    }
    row.extend_from_slice(content.unwrap_or_default());
    row
}

/// A row of format 2: *postcard* of the index entry, then of its base if it has one.
pub(super) fn decode_format_2(bytes: &[u8]) -> Result<Meta, redb::Error> {
    let (mut meta, rest): (Meta, _) = postcard::take_from_bytes(bytes).map_err(|e| damaged("meta", &e.to_string()))?;
    if !rest.is_empty() {
        meta.base = Some(decode("meta", rest)?);
    }
    Ok(meta)
}

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], redb::Error> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or_else(cut_off)?;
    *rest = left;
    Ok(*taken)
}

fn number(rest: &mut &[u8]) -> Result<u64, redb::Error> {
    value(rest)
}

fn value<'a, T: serde::Deserialize<'a>>(rest: &mut &'a [u8]) -> Result<T, redb::Error> {
    let (value, left) = postcard::take_from_bytes(rest).map_err(|e| damaged("meta", &e.to_string()))?;
    *rest = left;
    Ok(value)
}

fn cut_off() -> redb::Error {
    damaged("meta", "it is too long, too short, or of a newer kind")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads() -> impl Strategy<Value = Vec<[u8; 32]>> {
        prop::collection::vec(any::<[u8; 32]>(), 0..3)
    }

    fn metas() -> impl Strategy<Value = Meta> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
        let checkpoints = prop::collection::vec((any::<u64>(), heads()), 0..3);
        let base = prop::option::of((any::<u64>(), any::<u64>(), any::<[u8; 32]>(), any::<u64>()));
        (numbers, heads(), checkpoints, base).prop_map(
            |((seq, folded, snapshot, tail, deleted), heads, points, base)| {
                let base =
                    base.map(|(incarnation, counter, writer, check)| Stamp { incarnation, counter, writer, check });
                let checkpoints = points.into_iter().map(|(seq, heads)| Checkpoint { seq, heads }).collect();
                Meta { seq, heads, deleted, folded, snapshot_bytes: snapshot, tail_bytes: tail, checkpoints, base }
            },
        )
    }

    proptest! {
        /// What is written is read back, with the content or without.
        #[test]
        fn a_row_is_read_back(meta in metas(), content in prop::option::of((prop::collection::vec(any::<u8>(), 1..40), any::<bool>()))) {
            let mut meta = meta;
            if let Some((content, is_snapshot)) = &content {
                let length = content.len() as u64;
                (meta.folded, meta.snapshot_bytes, meta.tail_bytes) =
                    if *is_snapshot { (meta.seq.max(1), length, 0) } else { (0, 0, length) };
                meta.seq = meta.seq.max(1);
            }
            let content = content.as_ref().map(|(content, _)| &content[..]);
            let bytes = encode_row(&meta, content);
            let row = Row::decode(&bytes).expect("a row");
            prop_assert_eq!(&row.meta, &meta);
            prop_assert_eq!(row.content, content);
            prop_assert_eq!(row.snapshot().is_some(), content.is_some() && meta.folded > 0);
            prop_assert_eq!(row.change(), content.filter(|_| meta.folded == 0).map(|content| (meta.seq, content)));
        }

        /// Damage is an error, never a panic.
        #[test]
        fn any_bytes_are_a_row_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Row::decode(&bytes);
        }
    }
}
