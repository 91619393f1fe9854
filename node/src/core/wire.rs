//! Frames: their layout, limits and validation. `docs/protocol.md` is the specification.
//!
//! Everything decoded here comes from a peer and is hostile until [`Control::decode`] or
//! [`Data::decode`] has accepted it; afterwards nothing re-validates.

mod framing;
pub mod members;
mod reconcile;

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

pub use framing::{Deframer, frame};
pub use reconcile::{Cell, Cut, Form, Id, Mark, Next, Pair, Read, Recall, Set, Tell, Told, Turn};

use super::class::{CLASSES, Class, PerClass};
use super::document::Stamp;
use super::interest::{Interest, InterestError};
use super::key::{DocKey, KeyError};
use crate::limits;

/// A sequence number of one store. 0 stands before the first change.
pub type Seq = u64;
/// A store's name, drawn when it is made.
pub type Epoch = [u8; 16];
/// Hashes of a document's newest changes, ascending.
pub type Heads = Vec<[u8; 32]>;

/// How far a node durably has another store's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which store.
    pub epoch: Epoch,
    /// Fingerprint of that store's class map when it claimed them.
    pub classes: u64,
    /// Fingerprint of what was asked for then.
    pub interest: u64,
    /// Per class, every change up to and including this one.
    pub through: PerClass<Seq>,
}

/// Each side's first control frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's store.
    pub epoch: Epoch,
    /// Last durable sequence number of that store.
    pub last: Seq,
    /// Fingerprint of the sender's class map.
    pub classes: u64,
    /// What the sender asks for.
    pub interest: Interest,
    /// How far the sender has the receiver's changes.
    pub seen: Option<Seen>,
}

impl Hello {
    /// Whether the writer of this hello, as a sender, can resume towards `other` from a watermark.
    fn resumes_towards(&self, other: &Hello) -> bool {
        other.seen.is_some_and(|seen| {
            seen.epoch == self.epoch
                && seen.interest == other.interest.fingerprint()
                && seen.through.iter().all(|through| *through <= self.last)
        })
    }

    /// From where the writer of this hello resumes towards `other`, per class. A watermark of another class map is worth
    /// its lowest number in every class.
    pub fn watermarks_of(&self, other: &Hello) -> PerClass<Seq> {
        match &other.seen {
            Some(seen) if seen.classes == self.classes => seen.through,
            Some(seen) => [seen.through.into_iter().min().unwrap_or(0); CLASSES],
            None => [0; CLASSES],
        }
    }

    /// Whether two nodes that exchanged these hellos resume; symmetric.
    pub fn both_resume(&self, other: &Hello) -> bool {
        self.resumes_towards(other) && other.resumes_towards(self)
    }
}

/// A frame of the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Opens the session.
    Hello(Hello),
    /// A turn of reconciliation.
    Reconcile(Turn),
    /// How far the sender of the frame has come with what it was sent.
    Receipt {
        /// Bytes of data frames that it has received in this session.
        received: u64,
        /// Per class, everything of yours through here is durable.
        through: PerClass<Seq>,
    },
    /// About members of the formation.
    Members(members::MembersFrame),
}

/// A frame of a data stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Changes of one document.
    Update(Update),
    /// A claim alone.
    Through {
        /// With all sent before, the receiver has every change up to this one.
        through: Seq,
    },
}

/// What is sent of a [`Data`]: large updates are deflated. Changes of one document repeat its actors and field
/// names, so a backlog shrinks to a third.
#[derive(Serialize, Deserialize)]
enum Packed<'a> {
    Update {
        key: Cow<'a, DocKey>,
        #[serde(borrow, with = "serde_bytes")]
        changes: Cow<'a, [u8]>,
        through: Seq,
    },
    Through {
        through: Seq,
    },
    Deflated {
        key: Cow<'a, DocKey>,
        #[serde(borrow, with = "serde_bytes")]
        deflated: Cow<'a, [u8]>,
        through: Seq,
    },
    Based {
        key: Cow<'a, DocKey>,
        base: Stamp,
        deflated: bool,
        #[serde(borrow, with = "serde_bytes")]
        changes: Cow<'a, [u8]>,
        through: Seq,
    },
}

/// Changes of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Which document.
    pub key: DocKey,
    /// Automerge chunks, concatenated, in causal order.
    pub changes: Vec<u8>,
    /// The base of the document, of changes that come without it.
    pub base: Option<Stamp>,
    /// With this frame the receiver has every change up to this one; 0 claims nothing.
    pub through: Seq,
}

/// Why a frame is refused. Ends the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over the limit; nothing of it was read.
    #[error("frame of {actual} bytes; the limit is {limit}")]
    TooLarge {
        /// Announced length in bytes.
        actual: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not the encoding of a frame.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// Bytes after the frame.
    #[error("{0} bytes after the end of the frame")]
    Trailing(usize),
    /// A document key outside the limits.
    #[error("document key: {0}")]
    Key(#[from] KeyError),
    /// A reconciliation message over the limits, or with names that do not ascend.
    #[error("reconciliation: {0}")]
    Reconcile(String),
    /// A frame was lost, repeated, overtaken or damaged, which no QUIC stream does.
    #[error("frame {ordinal} does not check: it was damaged, or frames were lost, repeated or overtaken")]
    Check {
        /// Position of the frame that is due.
        ordinal: u64,
    },
    /// A data stream of a class that this version does not know.
    #[error("unknown data class {0}")]
    Class(u8),
    /// A second data stream of a class.
    #[error("a second data stream of class {0}")]
    ClassTwice(Class),
    /// An interest outside the limits.
    #[error("interest: {0}")]
    Interest(#[from] InterestError),
}

/// Position in one stream and direction. Each frame begins with a check over its position and content, so that a
/// frame that is lost, repeated, overtaken or damaged is noticed whatever the transport does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ordinal(u64);

/// Bytes of the check.
const CHECK_BYTES: usize = 4;

impl Ordinal {
    fn check(self, content: &[u8]) -> [u8; CHECK_BYTES] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes()).update(content);
        *hasher.finalize().as_bytes().first_chunk().expect("a hash is longer")
    }
}

impl Control {
    /// Payload of the next frame of a stream, without its length.
    pub fn encode(&self, ordinal: &mut Ordinal) -> Vec<u8> {
        encode_numbered(self, ordinal)
    }

    /// Decodes and validates the payload that comes next on a stream.
    pub fn decode(payload: &[u8], ordinal: &mut Ordinal) -> Result<Self, FrameError> {
        let frame: Self = decode_numbered(payload, ordinal)?;
        if let Self::Hello(hello) = &frame {
            hello.interest.validate()?;
        }
        if let Self::Reconcile(turn) = &frame {
            turn.validate()?;
        }
        if let Self::Members(frame) = &frame {
            frame.validate()?;
        }
        Ok(frame)
    }
}

impl Data {
    /// Payload of the next frame of a stream, without its length.
    pub fn encode(&self, ordinal: &mut Ordinal) -> Vec<u8> {
        let packed = match self {
            Self::Through { through } => Packed::Through { through: *through },
            Self::Update(Update { key, changes, base, through }) => {
                let (key, through) = (Cow::Borrowed(key), *through);
                match (*base, deflate_if_smaller(changes)) {
                    (None, Some(deflated)) => Packed::Deflated { key, deflated: deflated.into(), through },
                    (None, None) => Packed::Update { key, changes: changes.into(), through },
                    (Some(base), Some(deflated)) => {
                        Packed::Based { key, base, deflated: true, changes: deflated.into(), through }
                    }
                    (Some(base), None) => {
                        Packed::Based { key, base, deflated: false, changes: changes.into(), through }
                    }
                }
            }
        };
        encode_numbered(&packed, ordinal)
    }

    /// Decodes and validates the payload that comes next on a stream. The Automerge chunks are checked
    /// when they are applied.
    pub fn decode(payload: &[u8], ordinal: &mut Ordinal) -> Result<Self, FrameError> {
        let (key, changes, base, through) = match decode_numbered(payload, ordinal)? {
            Packed::Through { through } => return Ok(Self::Through { through }),
            Packed::Update { key, changes, through } => (key, changes.into_owned(), None, through),
            Packed::Deflated { key, deflated, through } => (key, inflate(&deflated)?, None, through),
            Packed::Based { key, base, deflated: true, changes, through } => {
                (key, inflate(&changes)?, Some(base), through)
            }
            Packed::Based { key, base, deflated: false, changes, through } => {
                (key, changes.into_owned(), Some(base), through)
            }
        };
        key.validate()?;
        Ok(Self::Update(Update { key: key.into_owned(), changes, base, through }))
    }
}

/// Check and document of the payload of a data frame, for those who watch; the check is not verified. `None`: it carries
/// no changes.
pub fn label(payload: &[u8]) -> Option<(u32, DocKey)> {
    let (check, content) = payload.split_first_chunk::<CHECK_BYTES>()?;
    let (packed, _) = postcard::take_from_bytes::<Packed<'_>>(content).ok()?;
    match packed {
        Packed::Through { .. } => None,
        Packed::Update { key, .. } | Packed::Deflated { key, .. } | Packed::Based { key, .. } => {
            Some((u32::from_le_bytes(*check), key.into_owned()))
        }
    }
}

fn deflate_if_smaller(changes: &[u8]) -> Option<Vec<u8>> {
    if changes.len() < limits::DEFLATE_FROM_BYTES {
        return None;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(changes).expect("a vector takes everything");
    let deflated = encoder.finish().expect("a vector takes everything");
    (deflated.len() < changes.len()).then_some(deflated)
}

/// Inflates at most [`limits::MAX_FRAME_BYTES`]: a few bytes can claim gigabytes.
fn inflate(deflated: &[u8]) -> Result<Vec<u8>, FrameError> {
    let limit = limits::MAX_FRAME_BYTES;
    let mut changes = Vec::new();
    let read = DeflateDecoder::new(deflated).take(limit as u64 + 1).read_to_end(&mut changes);
    read.map_err(|e| FrameError::Malformed(e.to_string()))?;
    if changes.len() > limit {
        return Err(FrameError::TooLarge { actual: changes.len() as u64, limit });
    }
    Ok(changes)
}

fn encode_numbered(frame: &impl Serialize, ordinal: &mut Ordinal) -> Vec<u8> {
    let room = vec![0; CHECK_BYTES];
    let payload = postcard::to_extend(frame, room).expect("frames have no unserialisable types");
    with_check(payload, ordinal)
}

/// Writes the check into the room that was left for it.
pub(crate) fn with_check(mut payload: Vec<u8>, ordinal: &mut Ordinal) -> Vec<u8> {
    let check = ordinal.check(&payload[CHECK_BYTES..]);
    payload[..CHECK_BYTES].copy_from_slice(&check);
    ordinal.0 += 1;
    payload
}

fn decode_numbered<'a, T: Deserialize<'a>>(payload: &'a [u8], ordinal: &mut Ordinal) -> Result<T, FrameError> {
    let (check, content) = payload.split_first_chunk().ok_or(FrameError::Check { ordinal: ordinal.0 })?;
    if *check != ordinal.check(content) {
        return Err(FrameError::Check { ordinal: ordinal.0 });
    }
    ordinal.0 += 1;
    let (frame, rest) = postcard::take_from_bytes(content).map_err(|e| FrameError::Malformed(e.to_string()))?;
    if rest.is_empty() { Ok(frame) } else { Err(FrameError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(id: &str) -> DocKey {
        DocKey::new("c", id).expect("valid")
    }

    #[test]
    fn an_update_is_laid_out_as_documented() {
        let data = Data::Update(Update { key: key("ab"), changes: vec![7, 8], base: None, through: 300 });
        let mut ordinal = Ordinal(3);
        let payload = data.encode(&mut ordinal);
        let check = blake3::hash(&[&[3, 0, 0, 0, 0, 0, 0, 0][..], &payload[4..]].concat());
        assert_eq!(payload[..4], check.as_bytes()[..4]);
        assert_eq!(payload[4..], [0, 1, b'c', 2, b'a', b'b', 2, 7, 8, 0xac, 2]);
        let label = u32::from_le_bytes(*payload.first_chunk().expect("longer"));
        assert_eq!(super::label(&payload), Some((label, key("ab"))));
        assert_eq!(ordinal, Ordinal(4));
        assert_eq!(Data::decode(&payload, &mut Ordinal(3)), Ok(data));
        let repeated = Data::decode(&payload, &mut ordinal);
        assert_eq!(repeated, Err(FrameError::Check { ordinal: 4 }));
    }

    #[test]
    fn large_updates_travel_deflated_and_bombs_are_refused() {
        let changes: Vec<u8> = b"the same field names again and again ".repeat(100);
        let data = Data::Update(Update { key: key("ab"), changes, base: None, through: 1 });
        let payload = data.encode(&mut Ordinal(0));
        assert!(payload[4] == 2 && payload.len() < 200, "{} bytes", payload.len());
        assert_eq!(Data::decode(&payload, &mut Ordinal(0)), Ok(data));

        let deflated = deflate_if_smaller(&vec![0; limits::MAX_FRAME_BYTES + 1]).expect("shrinks");
        let (key, through) = (Cow::Owned(key("ab")), 1);
        let bomb = encode_numbered(&Packed::Deflated { key, deflated: deflated.into(), through }, &mut Ordinal(0));
        assert!(bomb.len() < 64 << 10);
        assert!(matches!(Data::decode(&bomb, &mut Ordinal(0)), Err(FrameError::TooLarge { .. })));
    }

    fn seen(epoch: u8, through: Seq) -> Seen {
        Seen { epoch: [epoch; 16], classes: 0, interest: 0, through: [through, 0, 0, 0] }
    }

    fn hello(epoch: u8, last: Seq) -> Hello {
        Hello { epoch: [epoch; 16], last, classes: 0, interest: Interest::Everything, seen: None }
    }

    #[test]
    fn a_hello_is_laid_out_as_documented() {
        let hello = Hello { seen: Some(seen(2, 3)), ..hello(1, 5) };
        let mut expected = vec![0];
        expected.extend([1; 16]);
        // last, classes, interest (everything), seen (some)
        expected.extend([5, 0, 0, 1]);
        expected.extend([2; 16]);
        // classes, interest, and a number per class
        expected.extend([0, 0, 3, 0, 0, 0]);
        assert_eq!(Control::Hello(hello).encode(&mut Ordinal(0))[4..], expected);
    }

    #[test]
    fn both_sides_come_to_the_same_mode() {
        let store = |epoch: u8, last, known: Option<(u8, u64)>| Hello {
            seen: known.map(|(e, through)| seen(e, through)),
            ..hello(epoch, last)
        };
        let a = store(1, 10, Some((2, 7)));
        for (b, resumes) in [
            (store(2, 7, Some((1, 10))), true),
            (store(2, 9, Some((1, 0))), true),
            (store(2, 9, None), false),
            (store(2, 9, Some((3, 1))), false),
            (store(3, 9, Some((1, 1))), false),
            // b has seen more of a than a has: a was restored from an old copy.
            (store(2, 9, Some((1, 11))), false),
            // a has seen more of b than b has.
            (store(2, 6, Some((1, 1))), false),
        ] {
            assert_eq!(a.both_resume(&b), resumes, "{b:?}");
            assert_eq!(b.both_resume(&a), resumes, "{b:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), checks: bool) {
            // Most garbage dies at the check; what a hostile member sends does not.
            let bytes = if checks { with_check([vec![0; 4], bytes].concat(), &mut Ordinal(0)) } else { bytes };
            let _ = Control::decode(&bytes, &mut Ordinal(0));
            let _ = Data::decode(&bytes, &mut Ordinal(0));
        }
    }
}
