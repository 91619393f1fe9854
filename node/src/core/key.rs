//! What names a document: a collection and an id.
//!
//! The pair is kept as two strings everywhere, in memory, on disk and on the wire, so that no choice of
//! characters makes two different pairs the same document (`c:x`/`y` is not `c`/`x:y`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Names one document of the store. Ordered by collection, then id.
///
/// One piece of memory however often it is cloned: half a dozen lists know each document by its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DocKey {
    /// Collection and id, one after the other.
    text: Arc<str>,
    /// Where the id begins.
    split: u32,
}

/// What it is on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename = "DocKey")]
struct Parts<'a> {
    #[serde(borrow)]
    collection: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Serialize for DocKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Parts { collection: self.collection().into(), id: self.id().into() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DocKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { collection, id } = Parts::deserialize(deserializer)?;
        Ok(Self::bound(&collection, &id))
    }
}

impl Ord for DocKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.collection().cmp(other.collection()).then_with(|| self.id().cmp(other.id()))
    }
}

impl PartialOrd for DocKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocKey").field("collection", &self.collection()).field("id", &self.id()).finish()
    }
}

/// Why a collection or document id is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The field is empty.
    #[error("{field} is empty; give it between 1 and {limit} bytes")]
    Empty {
        /// Which of the two parts.
        field: &'static str,
        /// Longest accepted length in bytes.
        limit: usize,
    },
    /// The field is longer than its limit.
    #[error("{field} has {actual} bytes; the limit is {limit}: choose a shorter one")]
    TooLong {
        /// Which of the two parts.
        field: &'static str,
        /// Longest accepted length in bytes.
        limit: usize,
        /// Length that was given, in bytes.
        actual: usize,
    },
    /// The field has a control character, which no log or URL would show faithfully.
    #[error("{field} has a control character (U+{code:04X}) at byte {at}; remove it")]
    ControlCharacter {
        /// Which of the two parts.
        field: &'static str,
        /// The character's code point.
        code: u32,
        /// Byte offset of the character.
        at: usize,
    },
}

impl DocKey {
    /// Checks both parts against the limits; accepts every other string, separators included.
    pub fn new(collection: impl AsRef<str>, id: impl AsRef<str>) -> Result<Self, KeyError> {
        let (collection, id) = (collection.as_ref(), id.as_ref());
        check("collection", collection, limits::MAX_COLLECTION_BYTES)?;
        check("doc_id", id, limits::MAX_DOC_ID_BYTES)?;
        Ok(Self::bound(collection, id))
    }

    /// The collection.
    pub fn collection(&self) -> &str {
        &self.text[..self.split as usize]
    }

    /// The document id within the collection.
    pub fn id(&self) -> &str {
        &self.text[self.split as usize..]
    }

    /// The lower bound of a collection's keys: below every document of it, above every other collection
    /// that sorts before. Not a document's key itself, as ids are not empty.
    pub(crate) fn first_of(collection: &str) -> Self {
        Self::bound(collection, "")
    }

    /// A place among the keys of a collection, which need not be a key itself.
    pub(crate) fn bound(collection: &str, id: &str) -> Self {
        let text: Arc<str> = if id.is_empty() { collection.into() } else { [collection, id].concat().into() };
        Self { split: collection.len() as u32, text }
    }

    /// Memory and wire cost of the key in bytes, without framing.
    pub fn len_bytes(&self) -> usize {
        self.text.len()
    }

    /// Checks a key that came from a peer or the disk, where serde built it without [`DocKey::new`].
    pub fn validate(&self) -> Result<(), KeyError> {
        check("collection", self.collection(), limits::MAX_COLLECTION_BYTES)?;
        check("doc_id", self.id(), limits::MAX_DOC_ID_BYTES)
    }
}

/// Checks a collection name on its own, for requests that name no document.
pub fn check_collection(collection: &str) -> Result<(), KeyError> {
    check("collection", collection, limits::MAX_COLLECTION_BYTES)
}

/// Checks an idempotency key that is not empty.
pub fn check_idempotency_key(key: &str) -> Result<(), KeyError> {
    check("idempotency_key", key, limits::MAX_IDEMPOTENCY_KEY_BYTES)
}

fn check(field: &'static str, value: &str, limit: usize) -> Result<(), KeyError> {
    if value.is_empty() {
        return Err(KeyError::Empty { field, limit });
    }
    if value.len() > limit {
        return Err(KeyError::TooLong { field, limit, actual: value.len() });
    }
    match value.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, c)) => Err(KeyError::ControlCharacter { field, code: u32::from(c), at }),
        None => Ok(()),
    }
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection(), self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_never_make_two_documents_one() {
        // A sidecar elsewhere joined the two with ':' and lost one of the documents.
        let a = DocKey::new("c:x", "y").expect("valid");
        let b = DocKey::new("c", "x:y").expect("valid");
        assert_ne!(a, b);
    }

    #[test]
    fn errors_name_field_limit_and_remedy() {
        assert_eq!(
            DocKey::new("", "y").unwrap_err().to_string(),
            "collection is empty; give it between 1 and 128 bytes"
        );
        assert_eq!(
            DocKey::new("c", "y".repeat(600)).unwrap_err().to_string(),
            "doc_id has 600 bytes; the limit is 512: choose a shorter one"
        );
        assert_eq!(
            DocKey::new("c", "a\nb").unwrap_err().to_string(),
            "doc_id has a control character (U+000A) at byte 1; remove it"
        );
    }
}
