//! Changes that come from outside: parsed, ordered and judged before Automerge sees them.
//!
//! Automerge 0.12 is lenient where a peer is hostile: `load_incremental` takes what it can parse and
//! ignores the rest, changes with unknown dependencies wait in a queue for ever, `Change::from_bytes`
//! does not look at the checksum, a gap in an actor's sequence numbers goes unnoticed, and operations
//! on objects that do not exist panic half-way through the update. So: every chunk is checked here,
//! only complete and causally ready sets go in, and the document is kept as it was until nothing went
//! wrong ([`spare`](super::spare)).

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::OpType;
use automerge::{ActorId, Automerge, Change, ChangeHash, ObjType, ReadDoc, ScalarValue};

use super::columns::{self, Flaw};
use super::limits::{MAX_APPLY_BYTES, MAX_OPERATION_COUNTER};

/// Magic bytes, checksum, chunk type; the length of the rest follows as LEB128.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHECKSUM: std::ops::Range<usize> = 4..8;
const TYPE_AT: usize = 8;
const TYPE_DOCUMENT: u8 = 0;
const TYPE_CHANGE: u8 = 1;

/// Why changes of a peer were refused. The document is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// More input than one call takes.
    #[error("{actual} bytes of changes, the limit is {limit}: send fewer at a time")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// The size in bytes.
        actual: usize,
    },
    /// Not a sequence of whole, intact change or document chunks.
    #[error("malformed chunk at byte {offset}: {reason}")]
    Malformed {
        /// Where the chunk begins.
        offset: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A chunk that is small but would unpack to more than a limit: a bomb, if it is meant.
    #[error("the chunk at byte {offset} unpacks to more than {limit} {what}: refused unread")]
    Oversized {
        /// Where the chunk begins.
        offset: usize,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Changes that build on others which are neither here nor in the input.
    #[error("{count} changes are missing that these build on, first {first}", count = .missing.len(), first = Hex(.missing))]
    MissingDependencies {
        /// Their hashes, ascending.
        missing: Vec<[u8; 32]>,
    },
    /// Two different changes with the same actor and number: an actor lost its memory and went on.
    #[error("actor {actor} has two different changes with sequence number {sequence}")]
    DuplicateSequence {
        /// The actor, hexadecimal.
        actor: String,
        /// The number used twice.
        sequence: u64,
    },
    /// Numbers of a change that do not fit the history it claims to build on.
    #[error("change {sequence} of actor {actor} does not fit its history: {reason}")]
    Inconsistent {
        /// The actor, hexadecimal.
        actor: String,
        /// The number of the change.
        sequence: u64,
        /// What does not fit.
        reason: String,
    },
    /// Operations that no node writes: marks, counters, texts, tables.
    #[error("change {sequence} of actor {actor} holds an operation that documents do not use: {operation}")]
    Foreign {
        /// The actor, hexadecimal.
        actor: String,
        /// The number of the change.
        sequence: u64,
        /// The operation.
        operation: &'static str,
    },
    /// Automerge did not accept the operations.
    #[error("the operations of these changes cannot be applied: {reason}")]
    Rejected {
        /// What Automerge said.
        reason: String,
    },
}

struct Hex<'a>(&'a [[u8; 32]]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.first().into_iter().flatten().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What each actor has done so far; Automerge does not tell, and checks only half of it.
#[derive(Debug, Clone, Default)]
pub(super) struct ActorIndex {
    actors: BTreeMap<ActorId, Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    seq: u64,
    max_op: u64,
}

impl ActorIndex {
    pub(super) fn of(doc: &Automerge) -> Self {
        let mut index = Self::default();
        for change in doc.get_changes_meta(&[]) {
            index.record(&change.actor, change.seq, change.max_op);
        }
        index
    }

    pub(super) fn record(&mut self, actor: &ActorId, seq: u64, max_op: u64) {
        match self.actors.get_mut(actor) {
            Some(progress) => {
                progress.seq = progress.seq.max(seq);
                progress.max_op = progress.max_op.max(max_op);
            }
            None => {
                self.actors.insert(actor.clone(), Progress { seq, max_op });
            }
        }
    }

    /// Checks that `change` continues its actor's work and the count of operations, which stands at
    /// `built_on` in the changes that it builds on, and records it.
    fn advance(&mut self, change: &Change, built_on: u64) -> Result<(), ApplyError> {
        let known = self.actors.get(change.actor_id()).copied().unwrap_or(Progress { seq: 0, max_op: 0 });
        let (actor, sequence) = (change.actor_id().to_hex_string(), change.seq());
        let start = change.start_op().get();
        let reason = if sequence <= known.seq {
            return Err(ApplyError::DuplicateSequence { actor, sequence });
        } else if sequence > known.seq + 1 {
            format!("the actor's last known change is {}", known.seq)
        } else if change.is_empty() {
            // Automerge saves such a change, but does not load what it saved.
            "it has no operations".to_owned()
        } else if start != built_on + 1 || start <= known.max_op {
            // A snapshot does not store where a change starts: it is worked out like this.
            format!(
                "operations start at {start}, but what it builds on ends at {built_on} and the actor at {}",
                known.max_op
            )
        } else if start.saturating_add(change.len() as u64) > MAX_OPERATION_COUNTER {
            format!("operations pass {MAX_OPERATION_COUNTER}")
        } else {
            self.record(change.actor_id(), sequence, last_op(change));
            return Ok(());
        };
        Err(ApplyError::Inconsistent { actor, sequence, reason })
    }
}

/// Of a change that is not empty.
fn last_op(change: &Change) -> u64 {
    change.start_op().get() + change.len() as u64 - 1
}

/// Refuses what this layer never writes. Not for tidiness: a lone end of a mark is accepted by
/// Automerge 0.12 and saved, but the snapshot does not load again. The repertoire that is left is the
/// one that the property tests forge changes of.
fn check_repertoire(change: &Change) -> Result<(), ApplyError> {
    let foreign =
        |operation| ApplyError::Foreign { actor: change.actor_id().to_hex_string(), sequence: change.seq(), operation };
    for operation in &change.decode().operations {
        match &operation.action {
            OpType::Make(ObjType::Map | ObjType::List) | OpType::Delete => {}
            OpType::Put(ScalarValue::Counter(_)) | OpType::Increment(_) => {
                return Err(foreign("counter"));
            }
            OpType::Put(ScalarValue::Unknown { .. }) => {
                return Err(foreign("unknown kind of scalar"));
            }
            OpType::Put(_) => {}
            OpType::Make(ObjType::Text | ObjType::Table) => return Err(foreign("text or table")),
            OpType::MarkBegin(..) | OpType::MarkEnd(_) => return Err(foreign("mark")),
        }
    }
    Ok(())
}

/// Whether the document's history contains this change.
pub(super) fn knows(doc: &Automerge, hash: &ChangeHash) -> bool {
    doc.get_missing_deps(std::slice::from_ref(hash)).is_empty()
}

/// Splits `input` into changes. Document chunks (snapshots) give all of their changes.
pub(super) fn parse(input: &[u8]) -> Result<Vec<Change>, ApplyError> {
    if input.len() > MAX_APPLY_BYTES {
        return Err(ApplyError::TooLarge { limit: MAX_APPLY_BYTES, actual: input.len() });
    }
    let mut changes = Vec::new();
    let mut offset = 0;
    while offset < input.len() {
        let malformed = |reason: String| ApplyError::Malformed { offset, reason };
        let contents = chunk_contents(&input[offset..]).map_err(|reason| malformed(reason.to_owned()))?;
        let chunk = &input[offset..offset + contents.end];
        check_columns(chunk[TYPE_AT], &chunk[contents.clone()]).map_err(|flaw| match flaw {
            Flaw::Malformed(reason) => malformed(reason.to_owned()),
            Flaw::TooMany { what, limit } => ApplyError::Oversized { offset, what, limit },
        })?;
        let parsed = guarded(|| match chunk[TYPE_AT] {
            TYPE_CHANGE => parse_change(chunk).map(|change| vec![change]),
            // Verifies the checksum and that the changes hash to the heads it names.
            TYPE_DOCUMENT => Automerge::load(chunk).map(|doc| doc.get_changes(&[])).map_err(|error| error.to_string()),
            // Compressed and bundled changes are never sent: raw bytes are, and the connection compresses.
            // Refusing them here keeps a deflate bomb out.
            other => Err(format!("chunk type {other} is not accepted")),
        });
        changes.extend(parsed.and_then(|parsed| parsed).map_err(malformed)?);
        offset += contents.end;
    }
    Ok(changes)
}

fn check_columns(chunk_type: u8, contents: &[u8]) -> Result<(), Flaw> {
    match chunk_type {
        TYPE_CHANGE => columns::check_change(contents),
        TYPE_DOCUMENT => columns::check_document(contents),
        _ => Ok(()),
    }
}

/// Whether [`parse`] takes this, which is one chunk, as far as size goes.
pub(super) fn unpacks_within_limits(snapshot: &[u8]) -> bool {
    let contents = chunk_contents(snapshot).ok().and_then(|range| snapshot.get(range));
    let kind = snapshot.get(TYPE_AT).copied().unwrap_or(TYPE_DOCUMENT);
    snapshot.len() <= MAX_APPLY_BYTES && contents.is_some_and(|contents| check_columns(kind, contents).is_ok())
}

/// Bytes of the columns of a snapshot of ours when they are unpacked, as Automerge keeps them.
pub(super) fn unpacked_bytes(snapshot: &[u8]) -> usize {
    let contents = chunk_contents(snapshot).ok().and_then(|range| snapshot.get(range));
    let unpacked = contents.and_then(|contents| columns::unpacked_bytes(contents).ok());
    unpacked.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(snapshot.len())
}

fn parse_change(chunk: &[u8]) -> Result<Change, String> {
    let change = Change::from_bytes(chunk.to_vec()).map_err(|error| error.to_string())?;
    if change.hash().0[..4] != chunk[CHECKSUM] {
        return Err("the checksum does not match".to_owned());
    }
    // A length in more LEB128 bytes than needed hashes the same: two spellings of one change.
    if change.raw_bytes() != chunk {
        return Err("not in canonical form".to_owned());
    }
    Ok(change)
}

/// Where the contents of the chunk that `input` starts with are: after its header, up to its end.
fn chunk_contents(input: &[u8]) -> Result<std::ops::Range<usize>, &'static str> {
    let cut_off = "cut off";
    if !input.starts_with(&MAGIC[..input.len().min(MAGIC.len())]) {
        return Err("no Automerge chunk");
    }
    let mut length: u64 = 0;
    let mut at = TYPE_AT + 1;
    for shift in (0..).step_by(7) {
        let byte = *input.get(at).ok_or(cut_off)?;
        at += 1;
        // Five groups of seven bits pass every length that could be accepted.
        if shift > 28 {
            return Err("length out of range");
        }
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length)).ok_or("length out of range")?;
    if end > input.len() {
        return Err(cut_off);
    }
    Ok(at..end)
}

/// The changes of `parsed` that `doc` does not have, each once, in causal order.
pub(super) fn select_new(doc: &Automerge, parsed: Vec<Change>) -> Result<Vec<Change>, ApplyError> {
    let mut waiting: BTreeMap<ChangeHash, Change> = BTreeMap::new();
    let mut arrival = Vec::new();
    for change in parsed {
        let hash = change.hash();
        if !knows(doc, &hash) && !waiting.contains_key(&hash) {
            arrival.push(hash);
            waiting.insert(hash, change);
        }
    }
    let mut missing = BTreeSet::new();
    let mut dependents: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
    let mut open: BTreeMap<ChangeHash, usize> = BTreeMap::new();
    for (hash, change) in &waiting {
        for dependency in change.deps() {
            if waiting.contains_key(dependency) {
                dependents.entry(*dependency).or_default().push(*hash);
                *open.entry(*hash).or_default() += 1;
            } else if !knows(doc, dependency) {
                missing.insert(dependency.0);
            }
        }
    }
    if !missing.is_empty() {
        return Err(ApplyError::MissingDependencies { missing: missing.into_iter().collect() });
    }
    let mut ready: std::collections::VecDeque<ChangeHash> =
        arrival.into_iter().filter(|hash| !open.contains_key(hash)).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while let Some(hash) = ready.pop_front() {
        ordered.extend(waiting.remove(&hash));
        for dependent in dependents.remove(&hash).unwrap_or_default() {
            if let Some(count) = open.get_mut(&dependent) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(dependent);
                }
            }
        }
    }
    // A cycle would need a hash that contains itself.
    debug_assert!(waiting.is_empty());
    Ok(ordered)
}

/// What each actor has done after `new` (from [`select_new`]), if they are acceptable as far as can be told without applying them.
pub(super) fn judge(doc: &Automerge, index: &ActorIndex, new: &[Change]) -> Result<ActorIndex, ApplyError> {
    let mut index = index.clone();
    let mut ends: BTreeMap<ChangeHash, u64> = BTreeMap::new();
    for change in new {
        let judged = guarded(|| {
            let end = |dep| ends.get(dep).copied().or_else(|| Some(doc.get_change_meta_by_hash(dep)?.max_op));
            let built_on = change.deps().iter().filter_map(end).max().unwrap_or(0);
            check_repertoire(change)?;
            index.advance(change, built_on)
        });
        judged.map_err(|reason| ApplyError::Rejected { reason })??;
        ends.insert(change.hash(), last_op(change));
    }
    Ok(index)
}

/// Applies `new` (from [`select_new`]). After an error the document is good for nothing.
pub(super) fn absorb(doc: &mut Automerge, new: &[Change]) -> Result<(), ApplyError> {
    let absorbed = guarded(|| {
        let before = doc.get_heads();
        doc.apply_changes(new.to_vec()).map_err(|error| error.to_string())?;
        // What Automerge stores are columns, not the bytes that came: make sure that the bytes can be
        // had back, or the hash would change when this node passes them on or reloads its snapshot.
        let kept: BTreeSet<ChangeHash> = doc.get_changes(&before).iter().map(Change::hash).collect();
        if kept.len() != new.len() || !new.iter().all(|change| kept.contains(&change.hash())) {
            return Err("not in canonical form".to_owned());
        }
        Ok(())
    });
    absorbed.flatten().map_err(|reason| ApplyError::Rejected { reason })
}

/// The one place where panics are caught: Automerge panics on changes whose checksum is right but
/// whose operations refer to objects, elements or actors that do not exist. Everything that the
/// closure touched is thrown away.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        format!("Automerge panicked: {}", text.unwrap_or_else(|| "no message".to_owned()))
    })
}
