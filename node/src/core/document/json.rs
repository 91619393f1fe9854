//! JSON text of a client, parsed into something that cannot be wrong.
//!
//! A parser of our own instead of `serde_json`: integers must be exact (serde_json silently turns
//! those beyond 64 bits into doubles), doubles must be correctly rounded (its default is off by one
//! unit in the last place now and then, so a document would drift with every read-modify-write), a
//! duplicate key must be an error, and each of these needs the position in the text. The grammar is
//! RFC 8259, tested against `serde_json` on random input.

use std::collections::BTreeSet;

use super::limits::{DEFAULT_MAX_JSON_BYTES, MAX_DEPTH};
use super::scalar::Scalar;

/// What a client's document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Largest text, in bytes.
    pub max_bytes: usize,
    /// Deepest nesting, the root object included. Values above [`MAX_DEPTH`] count as it.
    pub max_depth: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_JSON_BYTES, max_depth: MAX_DEPTH }
    }
}

/// A JSON object: keys unique and in the client's order, depth bounded, integers exact.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonObject(pub(super) Vec<(String, Json)>);

/// A JSON value below the root.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Scalar(Scalar),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

/// Why a text is not accepted as a document. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line of the offending character.
        line: usize,
        /// Column of the offending character.
        column: usize,
        /// What was expected or found.
        message: String,
    },
    /// JSON, but not an object.
    #[error("a document is a JSON object, this is {found}: wrap the value, as in {{\"value\": ...}}")]
    NotAnObject {
        /// What the text holds instead.
        found: &'static str,
    },
    /// A key twice in one object, of which most parsers silently drop one.
    #[error("line {line}, column {column}: key {key:?} occurs twice in one object: remove or rename one")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line of the second occurrence.
        line: usize,
        /// Column of the second occurrence.
        column: usize,
    },
    /// Nested deeper than the limit.
    #[error("line {line}, column {column}: nested deeper than {limit} levels: flatten the document")]
    TooDeep {
        /// The limit in levels.
        limit: usize,
        /// Line of the bracket that is too deep.
        line: usize,
        /// Column of the bracket that is too deep.
        column: usize,
    },
    /// Longer than the limit.
    #[error("the document has {actual} bytes, the limit is {limit}: split it into several documents")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// The size in bytes.
        actual: usize,
    },
    /// A patch would make the document deeper than the limit.
    #[error("the document would be nested {actual} levels deep, the limit is {limit}: flatten it")]
    WouldBeTooDeep {
        /// The limit in levels.
        limit: usize,
        /// The levels.
        actual: usize,
    },
    /// An integer that 64 bits do not hold.
    #[error(
        "line {line}, column {column}: integer {text} is outside {min} to {max}: send it as a string",
        min = i64::MIN, max = u64::MAX
    )]
    IntegerOutOfRange {
        /// The number as written, shortened when very long.
        text: String,
        /// Line of its first character.
        line: usize,
        /// Column of its first character.
        column: usize,
    },
    /// A number with a fraction or an exponent that a double does not hold.
    #[error("line {line}, column {column}: number {text} is too large for a double: send it as a string")]
    NumberOutOfRange {
        /// The number as written, shortened when very long.
        text: String,
        /// Line of its first character.
        line: usize,
        /// Column of its first character.
        column: usize,
    },
}

impl JsonObject {
    /// Parses `text`; see [`JsonError`] for what is refused.
    pub fn parse(text: &str, limits: &JsonLimits) -> Result<Self, JsonError> {
        if text.len() > limits.max_bytes {
            return Err(JsonError::TooLarge { limit: limits.max_bytes, actual: text.len() });
        }
        let max_depth = limits.max_depth.min(MAX_DEPTH);
        let mut parser = Parser { text, at: 0, depth: 0, max_depth };
        parser.skip_space();
        let root = parser.value()?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.syntax("text after the end of the document"));
        }
        match root {
            Json::Map(entries) => Ok(Self(entries)),
            Json::List(_) => Err(JsonError::NotAnObject { found: "an array" }),
            Json::Scalar(scalar) => Err(JsonError::NotAnObject { found: scalar.kind() }),
        }
    }

    /// Checks what was made of parts that were parsed one by one.
    pub(super) fn check(&self, limits: &JsonLimits) -> Result<(), JsonError> {
        let (limit, actual) = (limits.max_depth.min(MAX_DEPTH), depth_of(&self.0));
        if actual > limit {
            return Err(JsonError::WouldBeTooDeep { limit, actual });
        }
        let (limit, actual) = (limits.max_bytes, self.to_string().len());
        if actual > limit {
            return Err(JsonError::TooLarge { limit, actual });
        }
        Ok(())
    }

    /// Number of fields at the root.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is `{}`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Levels of a map, itself included. What is in it was parsed or read within [`MAX_DEPTH`].
fn depth_of(entries: &[(String, Json)]) -> usize {
    1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
}

impl Json {
    fn depth(&self) -> usize {
        match self {
            Json::Scalar(_) => 0,
            Json::List(items) => 1 + items.iter().map(Json::depth).max().unwrap_or(0),
            Json::Map(entries) => depth_of(entries),
        }
    }
}

const HALF_A_PAIR: &str = "half a surrogate pair: JSON text must be whole Unicode characters";

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Line and column of a byte offset. Only errors ask, so nothing is counted on the way.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn syntax_at(&self, at: usize, message: impl Into<String>) -> JsonError {
        let (line, column) = self.position(at);
        JsonError::Syntax { line, column, message: message.into() }
    }

    fn syntax(&self, message: impl Into<String>) -> JsonError {
        self.syntax_at(self.at, message)
    }

    fn unexpected(&self, wanted: &str) -> JsonError {
        match self.text[self.at..].chars().next() {
            Some(found) => self.syntax(format!("expected {wanted}, found {found:?}")),
            None => self.syntax(format!("expected {wanted}, but the text ends here")),
        }
    }

    fn value(&mut self) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{') => self.map().map(Json::Map),
            Some(b'[') => self.list().map(Json::List),
            Some(b'"') => Ok(Json::Scalar(Scalar::Str(self.string()?))),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Scalar),
            Some(b't') => self.word("true", Scalar::Bool(true)),
            Some(b'f') => self.word("false", Scalar::Bool(false)),
            Some(b'n') => self.word("null", Scalar::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &str, value: Scalar) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(Json::Scalar(value))
    }

    fn enter(&mut self) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > self.max_depth {
            let (line, column) = self.position(self.at);
            return Err(JsonError::TooDeep { limit: self.max_depth, line, column });
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// After an element: true when another follows, false when `close` ended the container.
    fn more(&mut self, close: u8, wanted: &str) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn list(&mut self) -> Result<Vec<Json>, JsonError> {
        self.enter()?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(items);
        }
        loop {
            items.push(self.value()?);
            if !self.more(b']', "',' or ']'")? {
                return Ok(items);
            }
        }
    }

    fn map(&mut self) -> Result<Vec<(String, Json)>, JsonError> {
        self.enter()?;
        let mut entries: Vec<(String, Json)> = Vec::new();
        let mut seen = BTreeSet::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(entries);
        }
        loop {
            let key_at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            if !seen.insert(key.clone()) {
                let (line, column) = self.position(key_at);
                return Err(JsonError::DuplicateKey { key, line, column });
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("':' after the key"));
            }
            self.at += 1;
            self.skip_space();
            entries.push((key, self.value()?));
            if !self.more(b'}', "',' or '}'")? {
                return Ok(entries);
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let opened = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .bytes()
                .position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20)
                .ok_or_else(|| self.syntax_at(opened, "this string is never closed"))?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.syntax("control character in a string: escape it as \\u00XX")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let started = self.at;
        self.at += 1;
        let simple = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(started),
            _ => return Err(self.syntax_at(started, "unknown escape in a string")),
        };
        self.at += 1;
        Ok(simple)
    }

    fn unicode_escape(&mut self, started: usize) -> Result<char, JsonError> {
        let first = self.hex4(started)?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(self.syntax_at(started, HALF_A_PAIR));
                }
                self.at += 1;
                match self.hex4(started)? {
                    second @ 0xDC00..=0xDFFF => 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => return Err(self.syntax_at(started, HALF_A_PAIR)),
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.syntax_at(started, HALF_A_PAIR))
    }

    /// Reads `uXXXX` and leaves the cursor after it.
    fn hex4(&mut self, started: usize) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let code = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.syntax_at(started, "\\u needs four hexadecimal digits"))?;
        self.at += 5;
        Ok(code)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Scalar, JsonError> {
        let started = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.syntax_at(started, "a number must not start with 0"));
            }
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let token = &self.text[started..self.at];
        // `-0` is no integer of two's complement: only a double keeps its sign.
        if integer && token != "-0" {
            if let Ok(value) = token.parse::<i64>() {
                return Ok(Scalar::Int(value));
            }
            if let Ok(value) = token.parse::<u64>() {
                return Ok(Scalar::Uint(value));
            }
        }
        let (line, column) = self.position(started);
        let text = shortened(token);
        match token.parse::<f64>() {
            _ if integer && token != "-0" => Err(JsonError::IntegerOutOfRange { text, line, column }),
            Ok(value) if value.is_finite() => Ok(Scalar::F64(value)),
            _ => Err(JsonError::NumberOutOfRange { text, line, column }),
        }
    }
}

/// A number as it appears in an error: whole when a person can take it in.
fn shortened(token: &str) -> String {
    const SHOWN: usize = 40;
    if token.len() <= SHOWN {
        return token.to_owned();
    }
    format!("{}... ({} characters)", &token[..SHOWN], token.len())
}
