//! Concurrent edits against a model that knows nothing of Automerge.
//!
//! The model is a set of *writes*. A write says which key of which object it is about, what it put there (a scalar, an
//! object, nothing), and which writes of that key its author knew. A set of writes shows, under a key, one of those that
//! no other of the set replaces; where objects are among them and one of them is shown, all of them are, as one. That is the
//! whole rule for fields, and says what may be lost (what somebody knew and wrote over) and what may not (anything else).
//!
//! Which of several concurrent values is shown the model leaves open, and asks of all replicas that it be the same.
//! A write into several objects that are read as one is in one of them, the model does not say in which: if some of them
//! are replaced later and others not, it may have survived or not.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use proptest::prelude::*;

use super::*;

const REPLICAS: usize = 3;
const ALL: ConflictBounds = ConflictBounds { conflicts: 1000, values: 1000, bytes: 1 << 20 };

type WriteId = usize;
/// An object, by the write that made it; `None`: the document.
type Object = Option<WriteId>;

#[derive(Debug, Clone)]
enum Put {
    Nothing,
    Scalar(Value),
    Object,
}

#[derive(Debug)]
struct FieldWrite {
    /// It is in one of these.
    of: BTreeSet<Object>,
    key: String,
    put: Put,
    replaces: BTreeSet<WriteId>,
}

/// Objects that are read as one.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Those that are there.
    sure: BTreeSet<Object>,
    /// And those that may be.
    maybe: BTreeSet<Object>,
}

impl Place {
    fn root() -> Self {
        Self { sure: BTreeSet::from([None]), maybe: BTreeSet::new() }
    }

    fn all(&self) -> BTreeSet<Object> {
        self.sure.union(&self.maybe).copied().collect()
    }
}

/// All writes that anybody made.
#[derive(Debug, Default)]
struct Model {
    writes: Vec<FieldWrite>,
}

impl Model {
    /// What may be seen under a key by who knows `known`: the writes that are not replaced, those first that are
    /// certainly there.
    fn values(&self, known: &BTreeSet<WriteId>, place: &Place, key: &str) -> (Vec<WriteId>, Vec<WriteId>) {
        let all = place.all();
        let about = |id: &&WriteId| {
            let write = &self.writes[**id];
            write.key == key && !write.of.is_disjoint(&all)
        };
        let replaced: BTreeSet<WriteId> =
            known.iter().flat_map(|id| self.writes[*id].replaces.iter().copied()).collect();
        known
            .iter()
            .filter(about)
            .filter(|id| !replaced.contains(id) && !matches!(self.writes[**id].put, Put::Nothing))
            .partition(|id| self.writes[**id].of.is_subset(&place.sure))
    }

    fn objects_among(&self, sure: &[WriteId], maybe: &[WriteId]) -> Place {
        let objects = |ids: &[WriteId]| {
            ids.iter().copied().filter(|id| matches!(self.writes[*id].put, Put::Object)).map(Some).collect()
        };
        Place { sure: objects(sure), maybe: objects(maybe) }
    }

    /// Records that somebody who knows `known` and sees `seen` makes `wanted` of it.
    fn record(
        &mut self,
        known: &mut BTreeSet<WriteId>,
        place: &Place,
        seen: &Map<String, Value>,
        wanted: &Map<String, Value>,
    ) {
        for (key, value) in wanted {
            match (seen.get(key), value) {
                (Some(Value::Object(seen)), Value::Object(wanted)) => {
                    let (sure, maybe) = self.values(known, place, key);
                    let inner = self.objects_among(&sure, &maybe);
                    self.record(known, &inner, seen, wanted);
                }
                (Some(seen), value) if seen == value => {}
                (_, value) => self.write(known, place, key, value),
            }
        }
        for key in seen.keys().filter(|key| !wanted.contains_key(*key)) {
            self.push(known, place, key, Put::Nothing);
        }
    }

    fn write(&mut self, known: &mut BTreeSet<WriteId>, place: &Place, key: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                let object = self.push(known, place, key, Put::Object);
                let inner = Place { sure: BTreeSet::from([Some(object)]), maybe: BTreeSet::new() };
                for (key, value) in fields {
                    self.write(known, &inner, key, value);
                }
            }
            scalar => {
                self.push(known, place, key, Put::Scalar(scalar.clone()));
            }
        }
    }

    fn push(&mut self, known: &mut BTreeSet<WriteId>, place: &Place, key: &str, put: Put) -> WriteId {
        let (sure, maybe) = self.values(known, place, key);
        let replaces = sure.into_iter().chain(maybe).collect();
        self.writes.push(FieldWrite { of: place.all(), key: key.to_owned(), put, replaces });
        known.insert(self.writes.len() - 1);
        self.writes.len() - 1
    }

    /// Whether `seen` is what `known` may show. `conflicts`: what was told of them, which is checked where the model knows
    /// all of it.
    fn check(
        &self,
        known: &BTreeSet<WriteId>,
        place: &Place,
        seen: &Map<String, Value>,
        path: &str,
        conflicts: &[Conflict],
    ) {
        let keys: BTreeSet<&str> =
            self.writes.iter().map(|write| write.key.as_str()).chain(seen.keys().map(String::as_str)).collect();
        for key in keys {
            let path = format!("{path}/{key}");
            let (sure, maybe) = self.values(known, place, key);
            let scalars: BTreeSet<String> = sure
                .iter()
                .chain(&maybe)
                .filter_map(|id| match &self.writes[*id].put {
                    Put::Scalar(value) => Some(value.to_string()),
                    _ => None,
                })
                .collect();
            let objects = self.objects_among(&sure, &maybe);
            match seen.get(key) {
                None => assert!(sure.is_empty(), "{path} was lost"),
                Some(Value::Object(inner)) => {
                    assert!(!objects.all().is_empty(), "{path} is an object that nobody wrote, or that was replaced");
                    self.check(known, &objects, inner, &path, conflicts);
                }
                Some(scalar) => {
                    assert!(scalars.contains(&scalar.to_string()), "{path} is {scalar}, not one of {scalars:?}");
                }
            }
            if maybe.is_empty() && objects.all().is_empty() {
                let told = conflicts.iter().find(|conflict| conflict.path == path);
                let told: BTreeSet<String> =
                    told.into_iter().flat_map(|conflict| &conflict.values).map(|value| value.json.clone()).collect();
                let concurrent = if scalars.len() > 1 { scalars } else { BTreeSet::new() };
                assert_eq!(told, concurrent, "conflicts of {path}");
            }
        }
    }
}

/// RFC 7396, section 2, word for word.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let Value::Object(mut target) = (if target.is_object() { target } else { json!({}) }) else { unreachable!() };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let old = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(old, value));
        }
    }
    Value::Object(target)
}

/// In a document that is written whole, keys ascend: their order is content too, and not what this is about.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        other => other.clone(),
    }
}

fn fields(document: &Document) -> Map<String, Value> {
    document.render().map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..4i32).prop_map(|number| json!(number)),
        (0..4i32).prop_map(|number| json!(f64::from(number) + 0.5)),
        "[xy]".prop_map(|text| json!(text)),
        any::<bool>().prop_map(|truth| json!(truth)),
    ]
}

/// `null` where `nulls`; a patch is such a value.
fn any_fields(nulls: bool) -> impl Strategy<Value = Value> {
    let scalar = any_scalar();
    let leaf = if nulls { prop_oneof![2 => scalar, 1 => Just(Value::Null)].boxed() } else { scalar.boxed() };
    let value = leaf.prop_recursive(2, 8, 3, object_of);
    object_of(value)
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[abc]", value, 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

#[derive(Debug, Clone)]
enum Action {
    /// A document as a whole.
    Put {
        by: usize,
        value: Value,
    },
    /// What a client does that reads, changes something and writes.
    Edit {
        by: usize,
        patch: Value,
    },
    Patch {
        by: usize,
        patch: Value,
    },
    Sync {
        from: usize,
        to: usize,
    },
}

fn any_action() -> impl Strategy<Value = Action> {
    let by = 0..REPLICAS;
    prop_oneof![
        1 => (by.clone(), any_fields(false)).prop_map(|(by, value)| Action::Put { by, value }),
        3 => (by.clone(), any_fields(true)).prop_map(|(by, patch)| Action::Edit { by, patch }),
        4 => (by.clone(), any_fields(true)).prop_map(|(by, patch)| Action::Patch { by, patch }),
        3 => (by.clone(), by).prop_map(|(from, to)| Action::Sync { from, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_seen_is_what_the_model_allows(actions in prop::collection::vec(any_action(), 1..24)) {
        let mut replicas: Vec<Document> = (0..REPLICAS).map(|i| replica(i as u8 + 1)).collect();
        let mut known: Vec<BTreeSet<WriteId>> = vec![BTreeSet::new(); REPLICAS];
        let mut model = Model::default();
        for action in actions {
            let (by, wanted) = match &action {
                Action::Sync { from, to } => {
                    let changes = replicas[*from].changes_since(&replicas[*to].heads()).concat();
                    replicas[*to].apply(&changes).unwrap();
                    let learned = known[*from].clone();
                    known[*to].extend(learned);
                    let document = &replicas[*to];
                    model.check(&known[*to], &Place::root(), &fields(document), "", &document.conflicts(ALL).0);
                    continue;
                }
                Action::Put { by, value } => (*by, value.clone()),
                Action::Edit { by, patch } | Action::Patch { by, patch } => {
                    (*by, merge_patch(Value::Object(fields(&replicas[*by])), patch))
                }
            };
            let seen = fields(&replicas[by]);
            let Value::Object(fields_wanted) = &wanted else { unreachable!("documents are objects") };
            model.record(&mut known[by], &Place::root(), &seen, fields_wanted);
            let document = &mut replicas[by];
            match &action {
                Action::Patch { patch, .. } => {
                    document.patch(&parse(&sorted(patch).to_string()), &JsonLimits::default(), 0).unwrap();
                }
                _ => {
                    document.put(&parse(&sorted(&wanted).to_string()), 0).unwrap();
                }
            }
            prop_assert_eq!(&Value::Object(fields(document)), &wanted);
            model.check(&known[by], &Place::root(), fields_wanted, "", &document.conflicts(ALL).0);
        }
        let mut all: Vec<&mut Document> = replicas.iter_mut().collect();
        converge(&mut all);
        let everything = (0..model.writes.len()).collect();
        let conflicts = replicas[0].conflicts(ALL);
        model.check(&everything, &Place::root(), &fields(&replicas[0]), "", &conflicts.0);
        for document in &replicas {
            prop_assert_eq!(&document.conflicts(ALL), &conflicts);
        }
    }
}
