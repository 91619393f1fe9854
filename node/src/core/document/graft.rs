//! What a change did to the content of a document, done to another one.
//!
//! On JSON, not on operations: those of another history mean nothing here. The rules are those of concurrent edits
//! (`docs/data-model.md`), with the change as the later of the two.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::CommitOptions;

use super::json::{Json, JsonObject};
use super::keys::KeySpace;
use super::list_diff::{ListEdit, json_list_edits};
use super::{Document, Presence, WriteError};

type Entries = Vec<(String, Json)>;

/// What a document holds.
#[derive(Debug, Clone)]
pub(super) struct Content {
    presence: Presence,
    incarnation: u64,
    deleted_at_ms: i64,
    fields: Entries,
}

impl Default for Content {
    /// That of a document nobody wrote.
    fn default() -> Self {
        Self { presence: Presence::Unwritten, incarnation: 0, deleted_at_ms: 0, fields: vec![] }
    }
}

impl Content {
    /// The present content.
    pub(super) fn of(document: &Document) -> Self {
        let (presence, incarnation) = (document.presence(), document.incarnation());
        let fields = match presence {
            Presence::Live => document.root(&KeySpace::of_incarnation(incarnation)).to_entries(),
            Presence::Unwritten | Presence::Deleted => vec![],
        };
        Self { presence, incarnation, deleted_at_ms: document.deleted_at_ms().unwrap_or(0), fields }
    }
}

/// Does to a document what turned `before` into `after`; returns the change, or `None` if nothing is to be done. `wins`:
/// over what the document has; otherwise only what it lacks is added.
pub(super) fn graft(
    document: &mut Document,
    before: &Content,
    after: &Content,
    wins: bool,
    commit: CommitOptions,
) -> Result<Option<Vec<u8>>, WriteError> {
    use Presence::{Deleted, Live, Unwritten};
    let here = Content::of(document);
    match (before.presence, after.presence, here.presence) {
        (Live | Unwritten, Deleted, Live) if wins => document.delete_as(after.deleted_at_ms, commit),
        // It creates again what it knew to be deleted.
        (Deleted, Live, Deleted) if wins => document.put_as(&JsonObject(after.fields.clone()), commit),
        // An edit of an incarnation that is over; who creates again beside somebody else merges.
        (Live | Unwritten, Live, Live) if wins && here.incarnation > after.incarnation => Ok(None),
        (_, Live, Live) => {
            let mut fields = here.fields;
            merge(&mut fields, &before.fields, &after.fields, wins);
            document.put_as(&JsonObject(fields), commit)
        }
        // A delete beats the edits that did not know of it.
        (_, Deleted | Unwritten, _) | (_, Live, Deleted | Unwritten) => Ok(None),
    }
}

fn merge(target: &mut Entries, before: &[(String, Json)], after: &[(String, Json)], wins: bool) {
    let was: BTreeMap<&str, &Json> = before.iter().map(|(key, json)| (key.as_str(), json)).collect();
    let is: BTreeMap<&str, &Json> = after.iter().map(|(key, json)| (key.as_str(), json)).collect();
    if wins {
        target.retain(|(key, value)| match (was.get(key.as_str()), is.get(key.as_str())) {
            (Some(old), None) => !is_removed_with(value, old),
            _ => true,
        });
    }
    let ascends = target.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let places: BTreeMap<String, usize> =
        target.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    for (key, value) in after {
        let old = was.get(key.as_str()).copied();
        if old == Some(value) {
            continue;
        }
        match (places.get(key), old, value) {
            (Some(place), ..) => merge_value(&mut target[*place].1, old, value, wins),
            // An edit in an object that was removed.
            (None, Some(Json::Map(_)), Json::Map(_)) => {}
            (None, ..) => target.push((key.clone(), value.clone())),
        }
    }
    if ascends {
        // Where it would have been written.
        target.sort_by(|a, b| a.0.cmp(&b.0));
    }
}

fn merge_value(target: &mut Json, old: Option<&Json>, new: &Json, wins: bool) {
    match (&mut *target, old, new) {
        (Json::Map(target), Some(Json::Map(old)), Json::Map(new)) => merge(target, old, new, wins),
        (Json::Map(target), _, Json::Map(new)) => merge(target, &[], new, wins),
        // An edit in an object that was replaced.
        (_, Some(Json::Map(_)), Json::Map(_)) => {}
        (Json::List(target), Some(Json::List(old)), Json::List(new)) if wins => merge_list(target, old, new),
        _ if wins => *target = new.clone(),
        _ => {}
    }
}

fn merge_list(target: &mut Vec<Json>, old: &[Json], new: &[Json]) {
    let places = places(old, target);
    let mut removed = BTreeSet::new();
    let mut inserted: BTreeMap<usize, Vec<Json>> = BTreeMap::new();
    for edit in json_list_edits(old, new) {
        match edit {
            ListEdit::Change { old: at, new: to } => {
                if let Some(place) = places[at] {
                    merge_value(&mut target[place], Some(&old[at]), &new[to], true);
                }
            }
            ListEdit::Remove { old: at } => {
                removed.extend(places[at].filter(|place| is_removed_with(&target[*place], &old[at])));
            }
            ListEdit::Insert { before, new: from } => {
                let after = places[..before].iter().rev().find_map(|place| *place);
                inserted.entry(after.map_or(0, |place| place + 1)).or_default().push(new[from].clone());
            }
        }
    }
    let mut merged = Vec::with_capacity(target.len());
    for (place, value) in std::mem::take(target).into_iter().enumerate() {
        merged.extend(inserted.remove(&place).into_iter().flatten());
        if !removed.contains(&place) {
            merged.push(value);
        }
    }
    merged.extend(inserted.into_values().flatten());
    *target = merged;
}

/// Where each element of `old` is in `new`, if it is still there.
fn places(old: &[Json], new: &[Json]) -> Vec<Option<usize>> {
    let mut places = Vec::with_capacity(old.len());
    let mut next = 0;
    for edit in json_list_edits(old, new) {
        // What is not mentioned is equal.
        let upto = match edit {
            ListEdit::Change { old, .. } | ListEdit::Remove { old } | ListEdit::Insert { before: old, .. } => old,
        };
        while places.len() < upto {
            places.push(Some(next));
            next += 1;
        }
        match edit {
            ListEdit::Change { new, .. } => {
                places.push(Some(new));
                next = new + 1;
            }
            ListEdit::Remove { .. } => places.push(None),
            ListEdit::Insert { new, .. } => next = new + 1,
        }
    }
    while places.len() < old.len() {
        places.push(Some(next));
        next += 1;
    }
    places
}

/// Whether a value goes when what it was before is removed: a concurrent write of it stays, an edit within it does not.
fn is_removed_with(value: &Json, old: &Json) -> bool {
    match (value, old) {
        (Json::Map(_), Json::Map(_)) | (Json::List(_), Json::List(_)) => true,
        _ => value == old,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::json::JsonLimits;
    use super::super::render::render_json;
    use super::*;

    fn object(text: &str) -> Entries {
        JsonObject::parse(text, &JsonLimits::default()).unwrap().0
    }

    fn merged(target: &str, before: &str, after: &str, wins: bool) -> String {
        let mut fields = object(target);
        merge(&mut fields, &object(before), &object(after), wins);
        let mut text = String::new();
        render_json(&Json::Map(fields), &mut text);
        text
    }

    #[test]
    fn what_a_change_did_is_done_and_nothing_else() {
        for (before, after, target, result) in [
            // Fields that others changed, added or removed stay so.
            (r#"{"a":1,"b":1}"#, r#"{"a":2,"b":1}"#, r#"{"b":3,"c":3}"#, r#"{"a":2,"b":3,"c":3}"#),
            // Its own win; a removal goes with the value that it knew.
            (r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":2}"#),
            (r#"{"a":1,"b":1}"#, r#"{}"#, r#"{"a":1,"b":3}"#, r#"{"b":3}"#),
            // Objects field by field, created on both sides too, but not in an object that is gone.
            (r#"{"o":{"x":1}}"#, r#"{"o":{"x":2}}"#, r#"{"o":{"x":1,"y":3}}"#, r#"{"o":{"x":2,"y":3}}"#),
            (r#"{}"#, r#"{"o":{"x":2}}"#, r#"{"o":{"y":3}}"#, r#"{"o":{"x":2,"y":3}}"#),
            (r#"{"o":{"x":1}}"#, r#"{"o":{"x":2}}"#, r#"{"o":3}"#, r#"{"o":3}"#),
            (r#"{"o":{"x":1}}"#, r#"{"o":{"x":2}}"#, r#"{}"#, r#"{}"#),
            (r#"{"o":{"x":1}}"#, r#"{}"#, r#"{"o":{"x":1,"y":3}}"#, r#"{}"#),
            // Lists element by element; what others put in stays.
            (r#"{"l":[1,2]}"#, r#"{"l":[1,5]}"#, r#"{"l":[4,2]}"#, r#"{"l":[4,5]}"#),
            (r#"{"l":[1,2]}"#, r#"{"l":[1,2,3]}"#, r#"{"l":[1,2,4]}"#, r#"{"l":[1,2,3,4]}"#),
            (r#"{"l":[1,2,3]}"#, r#"{"l":[1,3]}"#, r#"{"l":[0,1,2,3]}"#, r#"{"l":[0,1,3]}"#),
            (r#"{"l":[{"a":1},7]}"#, r#"{"l":[{"a":2},7]}"#, r#"{"l":[8,{"a":1},7]}"#, r#"{"l":[8,{"a":2},7]}"#),
        ] {
            assert_eq!(merged(target, before, after, true), result, "{before} to {after} over {target}");
        }
    }

    #[test]
    fn what_does_not_win_adds_only_what_is_lacking() {
        assert_eq!(
            merged(r#"{"a":1,"o":{"x":1},"l":[1]}"#, "{}", r#"{"a":2,"b":2,"o":{"x":2,"y":2},"l":[2,3]}"#, false),
            // The target's own order does not ascend, so what is new comes last.
            r#"{"a":1,"o":{"x":1,"y":2},"l":[1],"b":2}"#
        );
    }

    proptest! {
        /// Done to what it was made on, a change gives what it gave; lists are where alignment could go wrong.
        #[test]
        fn a_change_over_its_own_past_is_itself(before in prop::collection::vec(0u8..4, 0..8), after in prop::collection::vec(0u8..4, 0..8)) {
            let text = |list: &[u8]| format!("{{\"l\":{list:?}}}").replace(' ', "");
            prop_assert_eq!(merged(&text(&before), &text(&before), &text(&after), true), text(&after));
        }
    }
}
