//! What a change did to the content of a document, done to another one.
//!
//! On JSON, not on operations: those of another history mean nothing here. The rules are those of concurrent edits
//! (`docs/data-model.md`), with the change as the later of the two.

use std::collections::BTreeMap;

use automerge::transaction::CommitOptions;

use super::json::{Json, JsonObject};
use super::keys::KeySpace;
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
        (Json::List(target), Some(Json::List(old)), Json::List(new))
            if wins && target.len() == new.len() && old.len() == new.len() =>
        {
            for ((target, old), new) in target.iter_mut().zip(old).zip(new) {
                if old != new {
                    merge_value(target, Some(old), new, wins);
                }
            }
        }
        _ if wins => *target = new.clone(),
        _ => {}
    }
}

/// Whether a value goes when what it was before is removed: a concurrent write of it stays, an edit within it does not.
fn is_removed_with(value: &Json, old: &Json) -> bool {
    match (value, old) {
        (Json::Map(_), Json::Map(_)) | (Json::List(_), Json::List(_)) => true,
        _ => value == old,
    }
}
