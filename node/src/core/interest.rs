//! Interest: which documents a node asks its peers for.
//!
//! A node tells each peer in its hello; the *sender* enforces it, so that a thin link never carries what nobody at its
//! end asked for. A node's own documents are offered to whoever wants them, whatever the node itself asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::key::{DocKey, check_collection};
use super::policy;
use crate::limits;

/// A collection, or the documents of it whose ids begin alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    collection: String,
    prefix: String,
}

impl Selector {
    /// All documents of `collection` whose id begins with `prefix` (empty: all).
    pub fn new(collection: &str, prefix: &str) -> Result<Self, InterestError> {
        let wrong =
            |detail: String| InterestError::Selector { given: shown(&format!("{collection}/{prefix}")), detail };
        check_collection(collection).map_err(|e| wrong(e.to_string()))?;
        if prefix.len() > limits::MAX_DOC_ID_BYTES {
            return Err(wrong(format!(
                "the prefix has {} bytes; the limit is {}",
                prefix.len(),
                limits::MAX_DOC_ID_BYTES
            )));
        }
        Ok(Self { collection: collection.into(), prefix: prefix.into() })
    }

    fn covers(&self, key: &DocKey) -> bool {
        key.collection() == self.collection && key.id().starts_with(&self.prefix)
    }
}

impl FromStr for Selector {
    type Err = InterestError;

    /// `collection` or `collection/prefix`. A collection whose name has a slash cannot be written like this.
    fn from_str(given: &str) -> Result<Self, InterestError> {
        let (collection, prefix) = given.split_once('/').unwrap_or((given, ""));
        Self::new(collection, prefix)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.is_empty() {
            true => f.write_str(&self.collection),
            false => write!(f, "{}/{}", self.collection, self.prefix),
        }
    }
}

/// Which documents a node asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Interest {
    /// Every document. The default.
    #[default]
    Everything,
    /// The documents of any of these selectors, sorted; none: nothing.
    Only(Vec<Selector>),
}

impl Interest {
    /// Asks for what any of the selectors covers.
    pub fn only(selectors: impl IntoIterator<Item = Selector>) -> Result<Self, InterestError> {
        let mut selectors: Vec<Selector> = selectors.into_iter().collect();
        selectors.sort();
        selectors.dedup();
        let interest = Self::Only(selectors);
        interest.validate()?;
        Ok(interest)
    }

    /// Checks what came over the wire.
    pub fn validate(&self) -> Result<(), InterestError> {
        let Self::Only(selectors) = self else { return Ok(()) };
        if selectors.len() > limits::MAX_INTEREST_SELECTORS {
            return Err(InterestError::TooMany { actual: selectors.len(), limit: limits::MAX_INTEREST_SELECTORS });
        }
        if !selectors.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(InterestError::Order);
        }
        selectors.iter().try_for_each(|s| Selector::new(&s.collection, &s.prefix).map(drop))
    }

    /// Whether a document is asked for; policies of collections always are. Costs one comparison a selector.
    pub fn wants(&self, key: &DocKey) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(selectors) => {
                selectors.iter().any(|selector| selector.covers(key)) || key.collection() == policy::COLLECTION
            }
        }
    }

    /// Tells one interest from another: a watermark covers what was asked for when it was given, and nothing else.
    pub fn fingerprint(&self) -> u64 {
        let Self::Only(selectors) = self else { return 0 };
        let mut hasher = blake3::Hasher::new();
        for part in selectors.iter().flat_map(|selector| [&selector.collection, &selector.prefix]) {
            hasher.update(&(part.len() as u32).to_le_bytes()).update(part.as_bytes());
        }
        u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash is longer")).max(1)
    }
}

/// Why an interest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterestError {
    /// Not a selector.
    #[error("{given:?} is not a collection or collection/prefix: {detail}")]
    Selector {
        /// What was given, cut to a printable length.
        given: String,
        /// What is wrong with it.
        detail: String,
    },
    /// More than the limit.
    #[error("{actual} selectors; the limit is {limit}: ask for whole collections")]
    TooMany {
        /// How many there are.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// Not sorted, or one twice: every interest has one encoding.
    #[error("selectors are not in ascending order")]
    Order,
}

fn shown(given: &str) -> String {
    given.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(selectors: &[&str]) -> Interest {
        Interest::only(selectors.iter().map(|s| s.parse().expect("a selector"))).expect("an interest")
    }

    #[test]
    fn a_selector_covers_a_collection_or_a_prefix_of_it_and_nothing_beside() {
        let interest = only(&["tracks", "commands/ship-7."]);
        let wants = |collection: &str, id: &str| interest.wants(&DocKey::new(collection, id).expect("valid"));
        assert!(wants("tracks", "a") && wants("commands", "ship-7.go"));
        assert!(!wants("commands", "ship-70.go") && !wants("tracks2", "a") && !wants("plans", "tracks/a"));
        assert!(!Interest::Only(vec![]).wants(&DocKey::new("c", "d").expect("valid")), "nothing is nothing");
    }

    #[test]
    fn interests_that_differ_have_different_fingerprints() {
        let all = [Interest::Everything, only(&[]), only(&["a"]), only(&["b"]), only(&["a", "b"]), only(&["a/b"])];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a.fingerprint() != b.fingerprint()), "{a:?}");
        }
        assert_eq!(only(&["b", "a", "a"]), only(&["a", "b"]));
    }

    #[test]
    fn what_cannot_be_an_interest_is_refused() {
        assert!(matches!("".parse::<Selector>(), Err(InterestError::Selector { .. })));
        assert!(matches!(format!("c/{}", "x".repeat(513)).parse::<Selector>(), Err(InterestError::Selector { .. })));
        let many = (0..=limits::MAX_INTEREST_SELECTORS).map(|i| Selector::new(&format!("c{i}"), "").expect("valid"));
        assert!(matches!(Interest::only(many), Err(InterestError::TooMany { .. })));
        let unsorted =
            Interest::Only(vec![Selector::new("b", "").expect("valid"), Selector::new("a", "").expect("valid")]);
        assert_eq!(unsorted.validate(), Err(InterestError::Order));
    }
}
