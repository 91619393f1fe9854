//! Writing JSON into a document as the smallest change.

use std::collections::BTreeMap;

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ROOT, hydrate};

use super::json::Json;
use super::keys::{HintEdit, KeySpace, plan_hint};
use super::list_diff::{ListEdit, list_edits};
use super::scalar::Scalar;
use super::view::{Field, ListNode, MapNode, Node};

/// Where a new value goes.
enum Slot<'a> {
    Key(&'a ObjId, &'a str),
    Element(&'a ObjId, usize),
    NewElement(&'a ObjId, usize),
}

impl Slot<'_> {
    fn put(&self, tx: &mut Transaction<'_>, json: &Json) -> Result<(), AutomergeError> {
        match json {
            Json::Scalar(scalar) => match self {
                Slot::Key(map, key) => tx.put(map, *key, scalar.to_register()),
                Slot::Element(list, index) => tx.put(list, *index, scalar.to_register()),
                Slot::NewElement(list, index) => tx.insert(list, *index, scalar.to_register()),
            },
            Json::List(items) => {
                let list = self.put_object(tx, ObjType::List)?;
                items.iter().enumerate().try_for_each(|(index, item)| Slot::NewElement(&list, index).put(tx, item))
            }
            Json::Map(entries) => {
                let map = self.put_object(tx, ObjType::Map)?;
                fill_map(tx, &map, entries, &KeySpace::of_incarnation(0))
            }
        }
    }

    /// Puts `json` over the value that `old` shows.
    fn replace(&self, tx: &mut Transaction<'_>, old: &Node, json: &Json) -> Result<(), AutomergeError> {
        if let (Node::Scalar(Scalar::F64(old)), Json::Scalar(Scalar::F64(new))) = (old, json)
            && old == new
        {
            // 0.0 over -0.0: Automerge compares them, finds them equal and writes nothing.
            self.put(tx, &Json::Scalar(Scalar::Null))?;
        }
        self.put(tx, json)
    }

    fn put_object(&self, tx: &mut Transaction<'_>, kind: ObjType) -> Result<ObjId, AutomergeError> {
        match self {
            Slot::Key(map, key) => tx.put_object(map, Prop::from(*key), kind),
            Slot::Element(list, index) => tx.put_object(list, *index, kind),
            Slot::NewElement(list, index) => tx.insert_object(list, *index, kind),
        }
    }
}

/// Writes all of `entries` into a map that has none of them.
pub(super) fn fill_map(
    tx: &mut Transaction<'_>,
    map: &ObjId,
    entries: &[(String, Json)],
    space: &KeySpace,
) -> Result<(), AutomergeError> {
    for (key, json) in entries {
        Slot::Key(map, &space.encode(key)).put(tx, json)?;
    }
    write_hint(tx, std::slice::from_ref(map), entries, None, &[], space)
}

/// Writes all of `entries` into the root of a document that nobody has written yet, what is scalar in one step:
/// [`first`](super::first) with something beside it.
pub(super) fn fill_fresh_root(
    tx: &mut Transaction<'_>,
    entries: &[(String, Json)],
    space: &KeySpace,
) -> Result<(), AutomergeError> {
    #[expect(clippy::disallowed_types, reason = "Automerge wants one; it sorts the keys of the root before it writes")]
    let mut scalars = std::collections::HashMap::<String, hydrate::Value>::new();
    for (key, json) in entries {
        if let Json::Scalar(scalar) = json {
            scalars.insert(space.encode(key).into_owned(), hydrate::Value::Scalar(scalar.to_register()));
        }
    }
    tx.init_root_from_hydrate(&scalars.into())?;
    for (key, json) in entries.iter().filter(|(_, json)| !matches!(json, Json::Scalar(_))) {
        Slot::Key(&ROOT, &space.encode(key)).put(tx, json)?;
    }
    write_hint(tx, &[ROOT], entries, None, &[], space)
}

/// Turns the map that `current` shows into `entries`.
pub(super) fn update_map(
    tx: &mut Transaction<'_>,
    current: &MapNode,
    entries: &[(String, Json)],
    space: &KeySpace,
) -> Result<(), AutomergeError> {
    let mut left: BTreeMap<&str, &Field> = current.fields.iter().map(|field| (field.key.as_str(), field)).collect();
    for (key, json) in entries {
        let stored = space.encode(key);
        let slot = Slot::Key(&current.parts[0], &stored);
        match left.remove(key.as_str()) {
            None => slot.put(tx, json)?,
            Some(field) => {
                if !update_in_place(tx, &field.node, json)? {
                    slot.replace(tx, &field.node, json)?;
                    // A map in another part would shine through the new one.
                    for &holder in field.holders.iter().filter(|&&holder| holder > 0) {
                        tx.delete(&current.parts[holder], stored.as_ref())?;
                    }
                }
            }
        }
    }
    for (key, field) in left {
        for &holder in &field.holders {
            tx.delete(&current.parts[holder], space.encode(key).as_ref())?;
        }
    }
    write_hint(tx, &current.parts, entries, current.hint.as_deref(), &current.hint_holders, space)
}

/// Brings an existing value to `json` without replacing it. False when it has to be replaced.
fn update_in_place(tx: &mut Transaction<'_>, node: &Node, json: &Json) -> Result<bool, AutomergeError> {
    match (node, json) {
        (Node::Scalar(old), Json::Scalar(new)) => Ok(old == new),
        (Node::Map(map), Json::Map(entries)) => {
            update_map(tx, map, entries, &KeySpace::of_incarnation(0)).map(|()| true)
        }
        (Node::List(list), Json::List(items)) => update_list(tx, list, items).map(|()| true),
        _ => Ok(false),
    }
}

fn update_list(tx: &mut Transaction<'_>, list: &ListNode, items: &[Json]) -> Result<(), AutomergeError> {
    // Indices of the edits are those of the old list; what came and went before them shifts them.
    let (mut inserted, mut removed) = (0, 0);
    for edit in list_edits(&list.items, items) {
        match edit {
            ListEdit::Change { old, new } => {
                if !update_in_place(tx, &list.items[old], &items[new])? {
                    let slot = Slot::Element(&list.id, old + inserted - removed);
                    slot.replace(tx, &list.items[old], &items[new])?;
                }
            }
            ListEdit::Remove { old } => {
                tx.delete(&list.id, old + inserted - removed)?;
                removed += 1;
            }
            ListEdit::Insert { before, new } => {
                Slot::NewElement(&list.id, before + inserted - removed).put(tx, &items[new])?;
                inserted += 1;
            }
        }
    }
    Ok(())
}

fn write_hint(
    tx: &mut Transaction<'_>,
    parts: &[ObjId],
    entries: &[(String, Json)],
    current: Option<&str>,
    holders: &[usize],
    space: &KeySpace,
) -> Result<(), AutomergeError> {
    let wanted: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    match plan_hint(&wanted, current) {
        HintEdit::Keep => Ok(()),
        HintEdit::Write(hint) => tx.put(&parts[0], space.hint_key(), hint),
        HintEdit::Remove => holders.iter().try_for_each(|&holder| tx.delete(&parts[holder], space.hint_key())),
    }
}
