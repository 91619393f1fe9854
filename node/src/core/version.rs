//! The version of a document, the one token of the API: what a write returns, what a conditional write expects, and
//! what a read may wait for.
//!
//! A version names the heads of a document, so it is the same on every node that holds the same changes, and says
//! nothing about time. Bytes before base64 (URL alphabet, no padding):
//!
//! | bytes | meaning |
//! |---|---|
//! | none | no change: nobody ever wrote the document |
//! | 1, then 32 for each head, strictly ascending | up to [`MAX_HEADS`] heads |
//! | 2, then 16 | digest of more heads than that |
//! | 3, then 56, then as after 1 | the same of a document that was begun anew: its base, whose numbers are big-endian |
//! | 4, then 56, then 16 | the same of more heads |
//!
//! The base tells a reader on another node, which never sees the changes of a version that was replaced before it got
//! there, that what it has took the place of that version.
//!
//! **Rejected**: the number of the change in this store (means nothing on another node, and is given out again after a
//! crash); a digest always (a reader on another node could not tell whether it has the changes that are named).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::document::Stamp;

/// Most heads that are spelled out. One head is the rule; as many as writers that have not heard of each other are
/// possible, and a token of 700 characters still fits a header.
pub const MAX_HEADS: usize = 16;

const HEAD_BYTES: usize = 32;
const DIGEST_BYTES: usize = 16;
const KIND_HEADS: u8 = 1;
const KIND_DIGEST: u8 = 2;
const KIND_BASED_HEADS: u8 = 3;
const KIND_BASED_DIGEST: u8 = 4;
const BASE_BYTES: usize = 8 + 8 + 32 + 8;
/// The longest token in characters.
const MAX_CHARACTERS: usize = (1 + BASE_BYTES + MAX_HEADS * HEAD_BYTES).div_ceil(3) * 4;

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    base: Option<Stamp>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Heads(Vec<[u8; HEAD_BYTES]>),
    Digest([u8; DIGEST_BYTES]),
}

/// Why a text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Longer than any version.
    #[error(
        "a version has at most {MAX_CHARACTERS} characters, this has {actual}: give back a version as a node returned it"
    )]
    TooLong {
        /// Characters that were given, in bytes.
        actual: usize,
    },
    /// Not base64 of the URL alphabet, without padding.
    #[error("this is no version, but some other text: give back a version as a node returned it")]
    Encoding,
    /// A kind that this program does not know, or bytes that do not fit the kind.
    #[error("this version is damaged, or of a newer program: give back a version as a node returned it")]
    Content,
}

impl Version {
    /// The version of a document that nobody ever wrote.
    pub fn none() -> Self {
        Self::of(&[], None)
    }

    /// The version of a document with these heads, in any order, and this base.
    pub fn of(heads: &[[u8; HEAD_BYTES]], base: Option<Stamp>) -> Self {
        let mut heads = heads.to_vec();
        heads.sort_unstable();
        heads.dedup();
        if heads.len() <= MAX_HEADS {
            return Self { base, content: Content::Heads(heads) };
        }
        let digest = blake3::hash(heads.as_flattened());
        let digest = *digest.as_bytes().first_chunk().expect("a hash is longer");
        Self { base, content: Content::Digest(digest) }
    }

    /// The token.
    pub fn encode(&self) -> String {
        let (kind, content) = match (&self.content, self.base) {
            (Content::Heads(heads), None) if heads.is_empty() => return String::new(),
            (Content::Heads(heads), None) => (KIND_HEADS, heads.as_flattened()),
            (Content::Digest(digest), None) => (KIND_DIGEST, &digest[..]),
            (Content::Heads(heads), Some(_)) => (KIND_BASED_HEADS, heads.as_flattened()),
            (Content::Digest(digest), Some(_)) => (KIND_BASED_DIGEST, &digest[..]),
        };
        let base = self.base.map(encode_base);
        let base = base.as_ref().map_or(&[][..], |base| base);
        BASE64_URL_SAFE_NO_PAD.encode([&[kind], base, content].concat())
    }

    /// Reads a token. Every version has exactly one spelling.
    pub fn parse(token: &str) -> Result<Self, VersionError> {
        if token.len() > MAX_CHARACTERS {
            return Err(VersionError::TooLong { actual: token.len() });
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| VersionError::Encoding)?;
        let Some((kind, rest)) = bytes.split_first() else { return Ok(Self::none()) };
        let (base, rest) = match *kind {
            KIND_BASED_HEADS | KIND_BASED_DIGEST => {
                let (base, rest) = rest.split_first_chunk().ok_or(VersionError::Content)?;
                (Some(parse_base(base)), rest)
            }
            _ => (None, rest),
        };
        let content = match *kind {
            KIND_HEADS | KIND_BASED_HEADS => {
                let (heads, left) = rest.as_chunks::<HEAD_BYTES>();
                let ascending = heads.windows(2).all(|pair| pair[0] < pair[1]);
                if !left.is_empty() || heads.is_empty() || heads.len() > MAX_HEADS || !ascending {
                    return Err(VersionError::Content);
                }
                Content::Heads(heads.to_vec())
            }
            KIND_DIGEST | KIND_BASED_DIGEST => Content::Digest(rest.try_into().map_err(|_| VersionError::Content)?),
            _ => return Err(VersionError::Content),
        };
        Ok(Self { base, content })
    }

    /// The base of the document, if it was begun anew.
    pub fn base(&self) -> Option<Stamp> {
        self.base
    }

    /// The heads, ascending; none: nobody ever wrote the document. `None`: there are more than [`MAX_HEADS`], and all
    /// that can be told is whether two versions are equal.
    pub fn heads(&self) -> Option<&[[u8; HEAD_BYTES]]> {
        match &self.content {
            Content::Heads(heads) => Some(heads),
            Content::Digest(_) => None,
        }
    }
}

fn encode_base(base: Stamp) -> [u8; BASE_BYTES] {
    let Stamp { incarnation, counter, writer, check } = base;
    let mut bytes = [0; BASE_BYTES];
    bytes[..8].copy_from_slice(&incarnation.to_be_bytes());
    bytes[8..16].copy_from_slice(&counter.to_be_bytes());
    bytes[16..48].copy_from_slice(&writer);
    bytes[48..].copy_from_slice(&check.to_be_bytes());
    bytes
}

fn parse_base(bytes: &[u8; BASE_BYTES]) -> Stamp {
    let number = |at: usize| u64::from_be_bytes(*bytes[at..].first_chunk().expect("within the bytes"));
    let writer = *bytes[16..].first_chunk().expect("within the bytes");
    Stamp { incarnation: number(0), counter: number(8), writer, check: number(48) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is given out is read back, and the order in which heads are told does not matter.
        #[test]
        fn a_version_is_read_back(
            heads in prop::collection::vec(any::<[u8; 32]>(), 1..40),
            base in prop::option::of(any::<(u64, u64, [u8; 32], u64)>()),
        ) {
            let base = base.map(|(incarnation, counter, writer, check)| Stamp { incarnation, counter, writer, check });
            let version = Version::of(&heads, base);
            prop_assert_eq!(Version::parse(&version.encode()), Ok(version.clone()));
            let mut other = heads.clone();
            other.reverse();
            prop_assert_eq!(Version::of(&other, base), version.clone());
            prop_assert_eq!(version.base(), base);
            let count = if heads.len() <= MAX_HEADS { Some(heads.len()) } else { None };
            prop_assert_eq!(version.heads().map(<[_]>::len), count);
        }

        /// One version, one spelling: what is accepted is exactly what would be given out.
        #[test]
        fn what_is_accepted_has_one_spelling(bytes in prop::collection::vec(any::<u8>(), 0..140), kind in 0u8..6) {
            let token = BASE64_URL_SAFE_NO_PAD.encode([&[kind], &bytes[..]].concat());
            if let Ok(version) = Version::parse(&token) {
                prop_assert_eq!(version.encode(), token);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,900}") {
            if let Ok(version) = Version::parse(&text) {
                prop_assert_eq!(version.encode(), text);
            }
        }
    }

    #[test]
    fn a_document_that_nobody_wrote_has_the_empty_version() {
        assert_eq!(Version::none().encode(), "");
        assert_eq!(Version::parse(""), Ok(Version::none()));
    }

    #[test]
    fn the_spelling_is_fixed() {
        assert_eq!(Version::of(&[[0; 32]], None).encode(), "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let many: Vec<[u8; 32]> = (0..17).map(|n| [n; 32]).collect();
        assert_eq!(Version::of(&many, None).encode().len(), 23);
        assert_eq!(Version::of(&many[1..], None).encode().len(), 684);
        let base = Stamp { incarnation: 1, counter: 2, writer: [3; 32], check: 4 };
        assert_eq!(Version::of(&many[..1], Some(base)).encode().len(), 119);
        assert_eq!(Version::of(&many[1..], Some(base)).encode().len(), 759);
    }

    #[test]
    fn errors_say_what_to_do() {
        let twice = BASE64_URL_SAFE_NO_PAD.encode([&[1][..], &[7; 64]].concat());
        assert_eq!(Version::parse(&twice), Err(VersionError::Content));
        assert_eq!(Version::parse("AQ"), Err(VersionError::Content));
        assert_eq!(Version::parse("not a version!"), Err(VersionError::Encoding));
        assert_eq!(Version::parse(&"A".repeat(1000)), Err(VersionError::TooLong { actual: 1000 }));
    }
}
