//! Small chunks that would unpack to far more than their size. Each is made of an honest snapshot whose
//! columns are replaced, with a checksum that is right: the peer means it.

use std::io::Read;

use flate2::Compression;
use flate2::bufread::DeflateEncoder;
use proptest::prelude::*;

use super::properties::any_object;
use super::*;

const DEFLATE_BIT: u64 = 0b1000;
/// Specifications of columns of a document chunk.
const CHANGE_TIME: u64 = 2 << 4 | 3;
const CHANGE_MESSAGE: u64 = 3 << 4 | 5;
const CHANGE_DEPENDENCIES: u64 = 4 << 4;
const OPERATION_KEY: u64 = 1 << 4 | 5;
const OPERATION_ACTION: u64 = 4 << 4 | 2;
const OPERATION_VALUE: u64 = 5 << 4 | 7;

/// A document chunk, taken apart.
struct Snapshot {
    /// Actors and heads.
    prefix: Vec<u8>,
    changes: Vec<(u64, Vec<u8>)>,
    operations: Vec<(u64, Vec<u8>)>,
    /// Indices of the heads.
    suffix: Vec<u8>,
}

fn number(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, tail) = rest.split_first().unwrap();
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A run of an unsigned value: `count` in signed LEB128, then the value as it is encoded.
fn run(count: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_number(&mut out, count);
    // The highest bit of the last group is the sign.
    if out.last().unwrap() & 0x40 != 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.push(0);
    }
    out.extend(value);
    out
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    DeflateEncoder::new(data, Compression::best()).read_to_end(&mut out).unwrap();
    out
}

impl Snapshot {
    fn of(document: &Document) -> Self {
        let chunk = document.doc().save_nocompress();
        let mut rest = &chunk[9..];
        assert_eq!(number(&mut rest) as usize, rest.len());
        let contents = rest;
        for _ in 0..number(&mut rest) {
            let length = number(&mut rest) as usize;
            rest = &rest[length..];
        }
        let heads = number(&mut rest) as usize;
        rest = &rest[32 * heads..];
        let prefix = contents[..contents.len() - rest.len()].to_vec();
        let mut table = || -> Vec<(u64, usize)> {
            let count = number(&mut rest);
            (0..count).map(|_| (number(&mut rest), number(&mut rest) as usize)).collect()
        };
        let (changes, operations) = (table(), table());
        let mut columns = |table: Vec<(u64, usize)>| {
            let take = |(specification, length)| {
                let (data, tail) = rest.split_at(length);
                rest = tail;
                (specification, data.to_vec())
            };
            table.into_iter().map(take).collect()
        };
        let (changes, operations) = (columns(changes), columns(operations));
        Self { prefix, changes, operations, suffix: rest.to_vec() }
    }

    /// Replaces a column, or adds it where it belongs.
    fn set(mut self, operations: bool, specification: u64, data: Vec<u8>) -> Self {
        let table = if operations { &mut self.operations } else { &mut self.changes };
        table.retain(|(at, _)| at & !DEFLATE_BIT != specification & !DEFLATE_BIT);
        table.push((specification, data));
        table.sort_by_key(|(at, _)| at & !DEFLATE_BIT);
        self
    }

    fn chunk(&self) -> Vec<u8> {
        let mut contents = self.prefix.clone();
        for table in [&self.changes, &self.operations] {
            push_number(&mut contents, table.len() as u64);
            for (specification, data) in table {
                push_number(&mut contents, *specification);
                push_number(&mut contents, data.len() as u64);
            }
        }
        for (_, data) in self.changes.iter().chain(&self.operations) {
            contents.extend(data);
        }
        contents.extend(&self.suffix);
        chunk_of(0, &contents)
    }
}

/// A chunk with a checksum that is right.
fn chunk_of(chunk_type: u8, contents: &[u8]) -> Vec<u8> {
    let mut hashed = vec![chunk_type];
    push_number(&mut hashed, contents.len() as u64);
    hashed.extend(contents);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend(&sha256(&hashed)[..4]);
    chunk.extend(hashed);
    chunk
}

fn honest() -> Document {
    let mut document = replica(1);
    for text in [r#"{"a":1,"n":{"x":[1,2,3]}}"#, r#"{"a":2,"n":{"x":[1,3]},"s":"text"}"#, "{}"] {
        put(&mut document, text);
    }
    document
}

/// Applies to a document with content and to an empty one; both must be as before.
fn refused(chunk: &[u8]) -> ApplyError {
    let mut errors = Vec::new();
    for mut document in [replica(2), honest()] {
        let before = (document.heads(), document.render(), document.presence());
        errors.push(document.apply(chunk).unwrap_err());
        assert_eq!(before, (document.heads(), document.render(), document.presence()));
    }
    assert_eq!(errors[0], errors[1]);
    assert!(!Document::travels_whole(chunk));
    errors.swap_remove(0)
}

fn oversized(what: &'static str, limit: u64) -> ApplyError {
    ApplyError::Oversized { offset: 0, what, limit }
}

/// Proves that the tests below forge what they mean to forge: put together again it is the same document,
/// also with every column compressed.
#[test]
fn a_snapshot_that_is_taken_apart_and_put_together_is_accepted() {
    let document = honest();
    let mut snapshot = Snapshot::of(&document);
    assert_eq!(snapshot.chunk(), document.doc().save_nocompress());
    assert_eq!(replica(2).apply(&snapshot.chunk()).unwrap().unwrap().count, 3);
    for (specification, data) in snapshot.changes.iter_mut().chain(&mut snapshot.operations) {
        *specification |= DEFLATE_BIT;
        *data = deflate(data);
    }
    let mut other = replica(2);
    assert_eq!(other.apply(&snapshot.chunk()).unwrap().unwrap().count, 3);
    assert_eq!(other.heads(), document.heads());
    assert!(Document::travels_whole(&snapshot.chunk()));
}

#[test]
fn a_deflate_bomb_in_a_snapshot_is_refused() {
    let zeros = deflate(&vec![0; limits::MAX_UNPACKED_BYTES as usize + 1]);
    let chunk = Snapshot::of(&honest()).set(true, OPERATION_VALUE | DEFLATE_BIT, zeros).chunk();
    assert!(chunk.len() < 100_000, "it is a small chunk: {}", chunk.len());
    assert_eq!(refused(&chunk), oversized("bytes of columns", limits::MAX_UNPACKED_BYTES));
}

/// No single column is over the limit.
#[test]
fn a_deflate_bomb_of_several_columns_is_refused() {
    let half = deflate(&vec![0; limits::MAX_UNPACKED_BYTES as usize / 2]);
    let chunk = Snapshot::of(&honest())
        .set(false, 5 << 4 | 7 | DEFLATE_BIT, half.clone())
        .set(true, OPERATION_VALUE | DEFLATE_BIT, half)
        .chunk();
    assert_eq!(refused(&chunk), oversized("bytes of columns", limits::MAX_UNPACKED_BYTES));
}

#[test]
fn a_damaged_compressed_column_is_refused() {
    let mut data = deflate(&[1; 1000]);
    data.truncate(data.len() - 2);
    let chunk = Snapshot::of(&honest()).set(true, OPERATION_VALUE | DEFLATE_BIT, data).chunk();
    assert!(matches!(refused(&chunk), ApplyError::Malformed { offset: 0, .. }));
}

/// Twelve bytes each, plain and compressed.
#[test]
fn run_length_bombs_in_a_snapshot_are_refused() {
    let operations = oversized("operations", limits::MAX_CHUNK_ROWS);
    let changes = oversized("changes", limits::MAX_SNAPSHOT_CHANGES);
    let bombs = [
        (true, OPERATION_ACTION, run(1 << 60, &[1]), operations.clone()),
        (true, OPERATION_ACTION, run(limits::MAX_CHUNK_ROWS + 1, &[1]), operations.clone()),
        (false, CHANGE_TIME, run(limits::MAX_SNAPSHOT_CHANGES + 1, &[0]), changes.clone()),
        // Nulls: a zero, then how many.
        (false, CHANGE_MESSAGE, [vec![0], run(1 << 40, &[])].concat(), changes),
        // One change that names 2^50 others.
        (false, CHANGE_DEPENDENCIES, run(1, &run(1 << 50, &[])), operations),
    ];
    for (in_operations, specification, data, expected) in bombs {
        let packed = deflate(&data);
        for (specification, data) in [(specification, data), (specification | DEFLATE_BIT, packed)] {
            let chunk = Snapshot::of(&honest()).set(in_operations, specification, data).chunk();
            assert_eq!(refused(&chunk), expected, "column {specification:#x}");
        }
    }
}

/// Not many rows, but each stands for a long text.
#[test]
fn a_long_key_repeated_is_refused() {
    let mut key = Vec::new();
    push_number(&mut key, 100_000);
    key.extend(vec![b'k'; 100_000]);
    let chunk = Snapshot::of(&honest()).set(true, OPERATION_KEY, run(1_000_000, &key)).chunk();
    assert_eq!(refused(&chunk), oversized("bytes of repeated text", limits::MAX_REPEATED_BYTES));
}

/// Automerge copies the actor into every operation that it expands.
#[test]
fn a_long_actor_is_refused() {
    let mut doc = Automerge::new().with_actor(ActorId::from(vec![7; limits::MAX_ACTOR_BYTES as usize + 1]));
    let mut tx = doc.transaction();
    tx.put(ROOT, "a", 1).unwrap();
    tx.commit();
    let changes: Vec<u8> = doc.get_changes(&[]).iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
    for chunk in [doc.save(), changes] {
        assert_eq!(refused(&chunk), oversized("bytes of an actor id", limits::MAX_ACTOR_BYTES));
    }
}

/// What takes long is refused by what it claims: forged sizes must not cost time either.
#[test]
fn counts_that_lie_about_tables_are_refused() {
    for count in [1 << 20, 1 << 40, u64::MAX] {
        let mut contents = Vec::new();
        push_number(&mut contents, count);
        assert!(matches!(refused(&chunk_of(0, &contents)), ApplyError::Malformed { .. }));
        let mut contents = vec![0, 0];
        push_number(&mut contents, count);
        assert!(matches!(refused(&chunk_of(0, &contents)), ApplyError::Malformed { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Any bytes in any column, plain or compressed.
    #[test]
    fn forged_columns_are_refused_without_a_trace_or_applied_whole(
        in_operations in any::<bool>(),
        which in any::<prop::sample::Index>(),
        data in prop::collection::vec(any::<u8>(), 0..40),
        packed in any::<bool>(),
    ) {
        let mut snapshot = Snapshot::of(&honest());
        let table = if in_operations { &mut snapshot.operations } else { &mut snapshot.changes };
        let at = which.index(table.len());
        table[at].1 = if packed { deflate(&data) } else { data };
        table[at].0 |= if packed { DEFLATE_BIT } else { 0 };
        let _ = hostile::apply_safely(&mut replica(2), &snapshot.chunk());
    }

    #[test]
    fn every_honest_snapshot_travels(objects in prop::collection::vec((any_object(), any::<bool>()), 1..12)) {
        let mut document = replica(1);
        for (object, delete_first) in objects {
            if delete_first {
                document.delete(7).unwrap();
            }
            document.put(&object, 0).unwrap();
        }
        let snapshot = document.save();
        prop_assert!(Document::travels_whole(&snapshot));
        let mut other = replica(2);
        other.apply(&snapshot).unwrap().unwrap();
        prop_assert_eq!(other.heads(), document.heads());
    }
}

/// SHA-256 (FIPS 180-4), to forge checksums with: nothing else here needs it.
fn sha256(message: &[u8]) -> [u8; 32] {
    let primes: Vec<u32> = (2u32..312).filter(|n| (2..*n).all(|d| n % d != 0)).take(64).collect();
    let fraction = |x: f64| ((x - x.floor()) * 4_294_967_296.0) as u32;
    let rounds: Vec<u32> = primes.iter().map(|p| fraction(f64::from(*p).cbrt())).collect();
    let mut state: Vec<u32> = primes[..8].iter().map(|p| fraction(f64::from(*p).sqrt())).collect();
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|b| u32::from_be_bytes(b.try_into().unwrap())).collect();
        for i in 16..64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
        }
        let mut v = state.clone();
        for i in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 = v[7].wrapping_add(s1).wrapping_add(choice).wrapping_add(rounds[i]).wrapping_add(w[i]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(t1);
            v[0] = t1.wrapping_add(s0).wrapping_add(majority);
        }
        for (sum, new) in state.iter_mut().zip(v) {
            *sum = sum.wrapping_add(new);
        }
    }
    let bytes: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.try_into().unwrap()
}
