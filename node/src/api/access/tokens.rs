//! The file of tokens: one JSON object a line. `docs/access.md` has the format.
//!
//! The file has hashes only. A token is 256 random bits, so a plain SHA-256 is as good as any slow hash, and costs a
//! request a microsecond. A token that is presented is hashed and looked up by its hash: how long that takes tells
//! something about hashes at most, which nobody can turn into a token.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scope::Scope;
use crate::limits;

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of what was presented.
    pub fn of(token: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a text can be a token: it stands in a header, and short ones can be found.
pub fn is_token(text: &str) -> bool {
    limits::API_TOKEN_BYTES.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A line as it is written.
#[derive(Serialize)]
struct Line {
    name: String,
    sha256: String,
    scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    collections: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// A line as it is read: the values are looked at one by one, so that an error names its field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: Value,
    sha256: Value,
    scope: Value,
    #[serde(default)]
    collections: Value,
    #[serde(default)]
    expires: Value,
    #[serde(default)]
    revoked: Value,
}

/// A value of the type that a field has; `null` counts as absent where it may be.
fn field<T: DeserializeOwned>(name: &str, value: Value, what: &str) -> Result<T, String> {
    serde_json::from_value(value).map_err(|_| format!("{name}: it is not {what}"))
}

/// Which collections a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All, and the node as a whole.
    Everything,
    /// Those that one of these names.
    Only(Vec<Pattern>),
}

/// A name, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This collection.
    Name(String),
    /// Collections whose names begin so.
    Prefix(String),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (pattern, name) = match text.strip_suffix('*') {
            Some(prefix) => (Self::Prefix(prefix.into()), prefix),
            None => (Self::Name(text.into()), text),
        };
        if text.is_empty() || name.len() > limits::MAX_COLLECTION_BYTES || name.chars().any(char::is_control) {
            return Err(format!(
                "{:?} is neither a collection (1 to {} bytes, no control characters) nor the beginning of one with a * after it",
                text.chars().take(SHOWN_CHARACTERS).collect::<String>(),
                limits::MAX_COLLECTION_BYTES
            ));
        }
        Ok(pattern)
    }

    fn matches(&self, collection: &str) -> bool {
        match self {
            Self::Name(name) => name == collection,
            Self::Prefix(prefix) => collection.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Reach {
    /// Of what a line has. An empty list is a template that went wrong more often than it is a wish.
    fn parse(given: Option<&[String]>) -> Result<Self, String> {
        let most = limits::MAX_TOKEN_COLLECTIONS;
        match given {
            None => Ok(Self::Everything),
            Some([]) => Err("it has no name; leave it out for all collections".into()),
            Some(names) if names.len() > most => Err(format!("it has {} names; the limit is {most}", names.len())),
            Some(names) => names.iter().map(|name| Pattern::parse(name)).collect::<Result<_, _>>().map(Self::Only),
        }
    }

    /// Whether it has a collection.
    pub fn has(&self, collection: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(collection)),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("all collections"),
            Self::Only(patterns) => {
                for (index, pattern) in patterns.iter().take(SHOWN_PATTERNS).enumerate() {
                    write!(f, "{}{pattern}", if index == 0 { "" } else { ", " })?;
                }
                match patterns.len().saturating_sub(SHOWN_PATTERNS) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

/// A token that is in force, unless its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For people.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// Where.
    pub reach: Reach,
    /// When its time is over, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl Token {
    /// Whether its time is over.
    pub fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|end| end <= now_ms)
    }
}

/// The tokens of a file, without those that are revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenList(BTreeMap<TokenHash, Token>);

/// Why a text is no list of tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TokenListError {
    /// Counted from 1.
    pub line: usize,
    /// The field, what is wrong with it, and what would be right; never a hash.
    pub problem: String,
}

impl TokenList {
    /// Parses what a file has.
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenListError> {
        let mut tokens = BTreeMap::new();
        let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |problem: String| TokenListError { line: index + 1, problem };
            let (hash, token, revoked) = entry(line).map_err(wrong)?;
            if !names.insert(token.name.clone()) {
                return Err(wrong(format!("name: {:?} stands in a line above; give each token its own", token.name)));
            }
            if !hashes.insert(hash) {
                return Err(wrong("sha256: the token of a line above; make another with 'peat-node token new'".into()));
            }
            if names.len() > limits::MAX_API_TOKENS {
                return Err(wrong(format!("more than {} tokens, which is the limit", limits::MAX_API_TOKENS)));
            }
            if !revoked {
                tokens.insert(hash, token);
            }
        }
        Ok(Self(tokens))
    }

    /// The token with a hash.
    pub fn get(&self, hash: &TokenHash) -> Option<&Token> {
        self.0.get(hash)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: then nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many have not expired.
    pub fn in_force(&self, now_ms: u64) -> usize {
        self.0.values().filter(|token| !token.has_expired(now_ms)).count()
    }
}

fn entry(line: &[u8]) -> Result<(TokenHash, Token, bool), String> {
    // serde would take a list of values in order, too.
    if !line.starts_with(b"{") {
        return Err(format!("it does not begin with {{; write for example: {EXAMPLE}"));
    }
    let fields: Fields = serde_json::from_slice(line).map_err(|e| {
        let told = e.to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        let told: String = told.chars().filter(|c| !c.is_control()).take(SHOWN_CHARACTERS).collect();
        format!("column {}: {told}; write for example: {EXAMPLE}", e.column())
    })?;
    let name: String = field("name", fields.name, "a text")?;
    if name.is_empty() || name.len() > limits::MAX_TOKEN_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("name: it is not 1 to {} bytes without control characters", limits::MAX_TOKEN_NAME_BYTES));
    }
    let sha256: String = field("sha256", fields.sha256, "a text")?;
    let hash = TokenHash::parse(&sha256).ok_or(
        "sha256: it is not 64 hex digits (not shown: it may be a secret); make it with: printf %s \"$token\" | sha256sum",
    )?;
    let scope = field("scope", fields.scope, "one of \"read\", \"write\", \"admin\"")?;
    let collections: Option<Vec<String>> = field("collections", fields.collections, "a list of texts")?;
    let reach = Reach::parse(collections.as_deref()).map_err(|problem| format!("collections: {problem}"))?;
    let expires: Option<String> = field("expires", fields.expires, "a text")?;
    let expires_ms = expires.as_deref().map(parse_time).transpose().map_err(|problem| format!("expires: {problem}"))?;
    let revoked: Option<bool> = field("revoked", fields.revoked, "true or false")?;
    Ok((hash, Token { name, scope, reach, expires_ms }, revoked.unwrap_or(false)))
}

/// Patterns that an error repeats: it travels in a header.
const SHOWN_PATTERNS: usize = 8;
/// Longest piece of a bad line that is repeated, in characters.
const SHOWN_CHARACTERS: usize = 120;
const EXAMPLE: &str = r#"{"name":"dashboard","sha256":"…","scope":"read"}"#;

/// Milliseconds since 1970 of a time as in RFC 3339. An offset is taken off here, since the parser knows UTC only.
fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || {
        let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
        format!("{shown:?} is no time as in RFC 3339 since 1970; write for example: 2027-01-01T00:00:00Z")
    };
    let (utc, offset_s) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((local, zone)) if zone.starts_with(['+', '-']) => {
            (format!("{local}Z"), offset_seconds(zone).ok_or_else(wrong)?)
        }
        _ => (text.to_owned(), 0),
    };
    let parsed = humantime::parse_rfc3339(&utc).map_err(|_| wrong())?;
    let since = parsed.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
    let milliseconds = u64::try_from(since.as_millis()).map_err(|_| wrong())?;
    milliseconds.checked_add_signed(-offset_s * 1000).ok_or_else(wrong)
}

/// Of `+hh:mm`.
fn offset_seconds(zone: &str) -> Option<i64> {
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i64| -> Option<i64> {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| digits && *n <= most)
    };
    let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// A token that nobody has yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// For people.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// Where; `None`: everywhere.
    pub collections: Option<Vec<String>>,
    /// Until when.
    pub expires: Option<String>,
}

impl NewToken {
    /// The token, and the line for the file. The error is that of a line.
    pub fn make(self, random: [u8; 32]) -> Result<(String, String), String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        // The beginning is for those who look for secrets where they do not belong.
        let token = format!("peat_{}", URL_SAFE_NO_PAD.encode(random));
        let Self { name, scope, collections, expires } = self;
        let sha256 = TokenHash::of(&token).to_string();
        let line = Line { name, sha256, scope, collections, expires };
        let line = serde_json::to_string(&line).expect("strings and lists have a JSON form");
        entry(line.as_bytes())?;
        Ok((token, line))
    }
}

#[cfg(test)]
mod tests;
