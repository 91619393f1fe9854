//! The JSON that a document holds now, with the Automerge objects it lives in.
//!
//! Two replicas that create the same nested object concurrently leave two map objects under one
//! key. Automerge shows one of them and hides the other with all its fields. Here maps in conflict
//! read as their **union**, as if all had been one map: a key that only one of them has is seen, and
//! of a key that several have the latest operation wins. Operations have a total order that is the
//! same on every replica. Lists and scalars in conflict: the winner alone.

use std::collections::BTreeMap;

use automerge::{Automerge, ObjId, ObjType, Prop, ReadDoc, ScalarValueRef, Value, ValueRef};

use super::json::Json;
use super::keys::{KeySpace, Meaning, rendered_order};
use super::limits::MAX_DEPTH;
use super::scalar::Scalar;

/// A value with its place in the document.
#[derive(Debug)]
pub(super) enum Node {
    Scalar(Scalar),
    List(ListNode),
    Map(MapNode),
}

#[derive(Debug)]
pub(super) struct ListNode {
    pub(super) id: ObjId,
    pub(super) items: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct MapNode {
    /// The map objects that are read as one, the winner first.
    pub(super) parts: Vec<ObjId>,
    /// The order hint in force and the parts that carry one.
    pub(super) hint: Option<String>,
    pub(super) hint_holders: Vec<usize>,
    /// In rendered order.
    pub(super) fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) node: Node,
    /// Indices of the parts that have this key, ascending.
    pub(super) holders: Vec<usize>,
}

/// One visible value of a key or element, before its container is read.
pub(super) struct Candidate {
    /// The operation that wrote it, which for a container is also the object.
    pub(super) id: ObjId,
    content: Content,
}

impl Candidate {
    pub(super) fn is_map(&self) -> bool {
        matches!(self.content, Content::Object(ObjType::Map | ObjType::Table))
    }
}

enum Content {
    Scalar(Scalar),
    Object(ObjType),
}

/// What is known of a key while the parts are being walked.
struct Found {
    candidates: Vec<Candidate>,
    holders: Vec<usize>,
}

/// Reads the map that `parts` (the winner first) form together.
pub(super) fn read_map(doc: &Automerge, parts: Vec<ObjId>, space: &KeySpace, depth: usize) -> MapNode {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let mut hint = None;
    let mut hint_holders = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        for item in doc.map_range(part, ..) {
            let key = match space.decode(&item.key) {
                Meaning::Field(key) => key,
                Meaning::OrderHint => {
                    hint_holders.push(index);
                    if let (None, ValueRef::Scalar(ScalarValueRef::Str(text))) = (&hint, &item.value) {
                        hint = Some(text.to_string());
                    }
                    continue;
                }
                Meaning::Other => continue,
            };
            let candidates = if item.conflict {
                candidates_of(doc, part, item.key.as_ref().into())
            } else {
                vec![candidate(&item.value, item.id())]
            };
            match found.get_mut(key) {
                Some(known) => {
                    known.candidates.extend(candidates);
                    known.holders.push(index);
                }
                None => {
                    found.insert(key.to_owned(), Found { candidates, holders: vec![index] });
                }
            }
        }
    }
    let mut slots: Vec<Option<Field>> = Vec::with_capacity(found.len());
    let order = {
        let keys: Vec<&str> = found.keys().map(String::as_str).collect();
        rendered_order(&keys, hint.as_deref())
    };
    for (key, Found { candidates, holders }) in found {
        slots.push(Some(Field { key, node: resolve(doc, candidates, depth), holders }));
    }
    let fields = order.into_iter().filter_map(|index| slots[index].take()).collect();
    MapNode { parts, hint, hint_holders, fields }
}

fn read_list(doc: &Automerge, id: ObjId, depth: usize) -> ListNode {
    let items = doc
        .list_range(&id, ..)
        .map(|item| {
            let candidates = if item.conflict {
                candidates_of(doc, &id, item.index.into())
            } else {
                vec![candidate(&item.value, item.id())]
            };
            resolve(doc, candidates, depth)
        })
        .collect();
    ListNode { id, items }
}

fn candidate(value: &ValueRef<'_>, id: ObjId) -> Candidate {
    let content = match value {
        ValueRef::Scalar(scalar) => Content::Scalar(Scalar::from_register(scalar)),
        ValueRef::Object(kind) => Content::Object(*kind),
    };
    Candidate { id, content }
}

/// All visible values of a key or element.
pub(super) fn candidates_of(doc: &Automerge, object: &ObjId, prop: Prop) -> Vec<Candidate> {
    let all = doc.get_all(object, prop).unwrap_or_default();
    all.into_iter()
        .map(|(value, id)| match value {
            Value::Object(kind) => Candidate { id, content: Content::Object(kind) },
            Value::Scalar(scalar) => candidate(&ValueRef::Scalar(scalar.into_owned().into()), id),
        })
        .collect()
}

/// The value that the candidates show; `depth` is that of the container they are in.
pub(super) fn resolve(doc: &Automerge, mut candidates: Vec<Candidate>, depth: usize) -> Node {
    candidates.sort_by(|a, b| b.id.cmp(&a.id));
    let mut candidates = candidates.into_iter();
    let (winner, kind) = match candidates.next() {
        Some(Candidate { content: Content::Scalar(scalar), .. }) => return Node::Scalar(scalar),
        Some(Candidate { id, content: Content::Object(kind) }) if depth < MAX_DEPTH => (id, kind),
        // Deeper than anything this layer writes: hostile or foreign, and reading recurses.
        Some(_) | None => return Node::Scalar(Scalar::Null),
    };
    match kind {
        ObjType::List => Node::List(read_list(doc, winner, depth + 1)),
        ObjType::Text => Node::Scalar(Scalar::Str(doc.text(&winner).unwrap_or_default())),
        ObjType::Map | ObjType::Table => {
            let mut parts = vec![winner];
            parts.extend(candidates.filter_map(|candidate| match candidate.content {
                Content::Object(ObjType::Map | ObjType::Table) => Some(candidate.id),
                _ => None,
            }));
            Node::Map(read_map(doc, parts, &KeySpace::of_incarnation(0), depth + 1))
        }
    }
}

impl MapNode {
    /// What a client would have to put to get this.
    pub(super) fn to_entries(&self) -> Vec<(String, Json)> {
        self.fields.iter().map(|field| (field.key.clone(), field.node.to_json())).collect()
    }
}

impl Node {
    fn to_json(&self) -> Json {
        match self {
            Node::Scalar(scalar) => Json::Scalar(scalar.clone()),
            Node::List(list) => Json::List(list.items.iter().map(Node::to_json).collect()),
            Node::Map(map) => Json::Map(map.to_entries()),
        }
    }

    /// Whether this is exactly `json`, order of keys included.
    pub(super) fn equals(&self, json: &Json) -> bool {
        match (self, json) {
            (Node::Scalar(a), Json::Scalar(b)) => a == b,
            (Node::List(a), Json::List(b)) => {
                a.items.len() == b.len() && a.items.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Node::Map(a), Json::Map(b)) => {
                a.fields.len() == b.len()
                    && a.fields.iter().zip(b).all(|(a, (key, b))| a.key == *key && a.node.equals(b))
            }
            _ => false,
        }
    }
}
