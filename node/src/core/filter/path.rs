//! Where in a document a filter looks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FilterError, shown};
use crate::limits;

/// Keys from the root on, not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path(Vec<String>);

impl Path {
    /// Reads keys joined by dots; `\.` and `\\` are a dot and a backslash within a key.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let wrong = |detail: String| FilterError::Path { given: shown(text), detail };
        if text.is_empty() {
            return Err(wrong("it is empty; name a key, as in status.fuel".into()));
        }
        if text.len() > limits::MAX_FILTER_PATH_BYTES {
            let limit = limits::MAX_FILTER_PATH_BYTES;
            return Err(wrong(format!("it has {} bytes; the limit is {limit}: choose shorter keys", text.len())));
        }
        let mut keys = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let key = keys.last_mut().expect("one is there from the beginning");
            match character {
                '.' => keys.push(String::new()),
                '\\' => match characters.next() {
                    Some(escaped @ ('.' | '\\')) => key.push(escaped),
                    _ => return Err(wrong("a backslash is followed by a dot or a backslash".into())),
                },
                other => key.push(other),
            }
        }
        Ok(Self(keys))
    }

    /// The value at the path.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, key| match value {
            Value::Object(fields) => fields.get(key),
            Value::Array(items) => items.get(index(key)?),
            _ => None,
        })
    }
}

/// A decimal number without sign or leading zeros.
fn index(key: &str) -> Option<usize> {
    let canonical = key == "0" || (key.bytes().all(|b| b.is_ascii_digit()) && !key.starts_with('0'));
    if canonical { key.parse().ok() } else { None }
}
