//! JSON merge patch (RFC 7396).

use std::collections::BTreeMap;

use super::json::{Json, JsonError, JsonLimits, JsonObject};
use super::keys::KeySpace;
use super::scalar::Scalar;
use super::{Document, WriteError};

/// Why a patch is not applied. The document is as before.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The document that it would make is beyond the limits.
    #[error(transparent)]
    Result(#[from] JsonError),
    /// Automerge refused it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

type Entries = Vec<(String, Json)>;

impl Document {
    /// What the document, which is taken for `{}` if there is none, becomes by `patch`.
    pub fn patched(&self, patch: &JsonObject, limits: &JsonLimits) -> Result<JsonObject, JsonError> {
        let present = match self.exists() {
            true => self.root(&KeySpace::of_incarnation(self.incarnation())).to_entries(),
            false => vec![],
        };
        let merged = JsonObject(merge(present, &patch.0));
        merged.check(limits)?;
        Ok(merged)
    }

    /// Merges `patch` into the document, and returns the change as raw bytes, or `None` when it changes nothing. As with
    /// [`Document::put`], only what differs is written.
    pub fn patch(
        &mut self,
        patch: &JsonObject,
        limits: &JsonLimits,
        time_s: i64,
    ) -> Result<Option<Vec<u8>>, PatchError> {
        let merged = self.patched(patch, limits)?;
        Ok(self.put(&merged, time_s)?)
    }
}

/// What `target` becomes. Keys that are there keep their place, new ones follow in the order of the patch.
fn merge(target: Entries, patch: &[(String, Json)]) -> Entries {
    let mut places: BTreeMap<String, usize> =
        target.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    let mut merged: Vec<Option<(String, Json)>> = target.into_iter().map(Some).collect();
    for (key, value) in patch {
        let place = *places.entry(key.clone()).or_insert_with(|| {
            merged.push(None);
            merged.len() - 1
        });
        let old = merged[place].take().map(|(_, value)| value);
        let new = match (value, old) {
            (Json::Scalar(Scalar::Null), _) => continue,
            (Json::Map(patch), Some(Json::Map(old))) => Json::Map(merge(old, patch)),
            (Json::Map(patch), _) => Json::Map(merge(vec![], patch)),
            (value, _) => value.clone(),
        };
        merged[place] = Some((key.clone(), new));
    }
    merged.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(text: &str) -> JsonObject {
        JsonObject::parse(text, &JsonLimits::default()).unwrap()
    }

    fn patched(target: &str, patch: &str) -> String {
        JsonObject(merge(parse(target).0, &parse(patch).0)).to_string()
    }

    /// RFC 7396, appendix A, as far as target, patch and result can be documents.
    #[test]
    fn the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(patched(target, patch), result, "{target} {patch}");
        }
    }

    #[test]
    fn a_null_inside_an_array_is_a_value() {
        assert_eq!(patched(r#"{"a":1}"#, r#"{"a":[null,{"b":null}]}"#), r#"{"a":[null,{"b":null}]}"#);
    }
}
