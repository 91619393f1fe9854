//! What workload documents look like, and which registers are in them.
//!
//! A *register* is a named counter that one author raises. It is how checks follow a write through
//! merges: whatever else happens to a document, the register of an acknowledged write must be at
//! least as high on every replica.
//!
//! | register | where in the JSON |
//! |---|---|
//! | `counter` | top level: heartbeats and whole documents |
//! | `counter` | `status` of a package of a watched agent, known by its `agent_id` |
//! | `by.<author>` | `by.<author>.counter` |
//! | `entries.<author>` | the element of `entries` with that `author`, its `counter` |

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::Edit;

/// Why an edit could not be applied.
#[derive(Debug, Error)]
pub enum EditError {
    /// The node returned something that is not JSON.
    #[error("the document is not JSON: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The document is not what the workload wrote.
    #[error("`{field}` should be {expected}")]
    Shape {
        /// Where.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
}

impl Edit {
    /// The registers that this edit raises.
    pub fn registers(&self) -> BTreeMap<String, u64> {
        [(format!("by.{}", self.author), self.counter), (format!("entries.{}", self.author), self.counter)].into()
    }
}

/// The document after `edit`: everything of other authors is left as it is, in place and in order.
pub fn apply_edit(current: &str, edit: &Edit) -> Result<String, EditError> {
    let mut document: Value = serde_json::from_str(current)?;
    let root = document.as_object_mut().ok_or(EditError::Shape { field: "(root)", expected: "an object" })?;
    let own = json!({"counter": edit.counter, "at_ms": edit.at.as_nanos() / 1_000_000});
    root.entry("by")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or(EditError::Shape { field: "by", expected: "an object" })?
        .insert(edit.author.to_string(), own);
    let entries = root
        .entry("entries")
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .ok_or(EditError::Shape { field: "entries", expected: "a list" })?;
    let mine = entries.iter_mut().find(|entry| entry.get("author").and_then(Value::as_str) == Some(&edit.author));
    match mine {
        Some(entry) => {
            entry["counter"] = edit.counter.into();
        }
        None => entries.push(json!({"author": edit.author.as_ref(), "counter": edit.counter})),
    }
    Ok(document.to_string())
}

/// All registers of a document; empty for a text that is not a JSON object.
pub fn registers(text: &str) -> BTreeMap<String, u64> {
    serde_json::from_str::<Value>(text).map(|value| registers_of(&value)).unwrap_or_default()
}

pub(crate) fn registers_of(document: &Value) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    if let Some(counter) = document.get("counter").and_then(Value::as_u64) {
        found.insert("counter".to_owned(), counter);
    }
    if let (Some(_), Some(status)) = (document.get("agent_id"), document.get("status").and_then(Value::as_u64)) {
        found.insert("counter".to_owned(), status);
    }
    for (author, own) in document.get("by").and_then(Value::as_object).into_iter().flatten() {
        if let Some(counter) = own.get("counter").and_then(Value::as_u64) {
            found.insert(format!("by.{author}"), counter);
        }
    }
    for entry in document.get("entries").and_then(Value::as_array).into_iter().flatten() {
        let author = entry.get("author").and_then(Value::as_str);
        let counter = entry.get("counter").and_then(Value::as_u64);
        if let (Some(author), Some(counter)) = (author, counter) {
            let highest = found.entry(format!("entries.{author}")).or_default();
            *highest = counter.max(*highest);
        }
    }
    found
}
