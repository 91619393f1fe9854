//! Random documents, and random replicas with a random network between them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::json::Json;
use super::super::scalar::Scalar;
use super::*;

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-e]",
        1 => prop::sample::select(vec!["", "\u{1}", "\u{1}k", "\u{1}ka", "\u{1}o", "\u{1}t", "\u{1}g", "\u{1}1k"])
            .prop_map(str::to_owned),
        2 => ".{0,6}",
    ]
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Bool),
        (-3i64..3).prop_map(Scalar::Int),
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX]).prop_map(Scalar::Int),
        prop::sample::select(vec![u64::MAX, i64::MAX as u64 + 1]).prop_map(Scalar::Uint),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Scalar::F64),
        prop::sample::select(vec![1.0, 0.0, -0.0, 1e16, 5e-324]).prop_map(Scalar::F64),
        "[ab]?".prop_map(Scalar::Str),
        ".{0,8}".prop_map(Scalar::Str),
    ]
}

fn entries(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Vec<(String, Json)>> {
    prop::collection::vec((any_key(), value), 0..5).prop_map(|mut entries| {
        let mut seen = BTreeSet::new();
        entries.retain(|(key, _)| seen.insert(key.clone()));
        entries
    })
}

pub(super) fn any_object() -> impl Strategy<Value = JsonObject> {
    let value =
        any_scalar().prop_map(Json::Scalar).prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::List),
                entries(inner).prop_map(Json::Map),
            ]
        });
    entries(value).prop_map(JsonObject)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn text_survives_parse_put_and_render(object in any_object()) {
        let text = object.to_string();
        let parsed = parse(&text);
        prop_assert_eq!(&parsed, &object);
        let mut document = replica(1);
        document.put(&parsed, 0).unwrap().unwrap();
        prop_assert_eq!(rendered(&document), text.clone());
        prop_assert_eq!(rendered(&copy(2, &document)), text);
    }

    #[test]
    fn each_put_shows_exactly_its_json_and_repeats_for_nothing(
        objects in prop::collection::vec((any_object(), any::<bool>()), 1..8),
    ) {
        let mut document = replica(1);
        let mut follower = replica(2);
        for (object, delete_first) in objects {
            if delete_first && let Some(change) = document.delete(7).unwrap() {
                follower.apply(&change).unwrap().unwrap();
            }
            let change = document.put(&object, 0).unwrap();
            prop_assert_eq!(rendered(&document), object.to_string());
            prop_assert_eq!(document.put(&object, 0).unwrap(), None);
            if let Some(change) = change {
                prop_assert_eq!(follower.apply(&change).unwrap().unwrap().changes, change);
            }
            prop_assert_eq!(follower.render(), document.render());
        }
    }
}

const REPLICAS: usize = 3;

#[derive(Debug, Clone)]
enum Action {
    Put {
        by: usize,
        object: JsonObject,
    },
    Delete {
        by: usize,
    },
    /// One change out of all there are, in any order and as often as it comes: what the network does.
    Deliver {
        to: usize,
        which: prop::sample::Index,
    },
    /// What one replica is missing, as a session sends it.
    Sync {
        from: usize,
        to: usize,
    },
}

fn any_action() -> impl Strategy<Value = Action> {
    let by = 0..REPLICAS;
    prop_oneof![
        4 => (by.clone(), any_object()).prop_map(|(by, object)| Action::Put { by, object }),
        1 => by.clone().prop_map(|by| Action::Delete { by }),
        3 => (by.clone(), any::<prop::sample::Index>()).prop_map(|(to, which)| Action::Deliver { to, which }),
        2 => (by.clone(), by).prop_map(|(from, to)| Action::Sync { from, to }),
    ]
}

/// A change that some replica made, and what that replica knew then.
struct Made {
    bytes: Vec<u8>,
    hash: [u8; 32],
    is_delete: bool,
    knew: Vec<[u8; 32]>,
}

fn made(bytes: Vec<u8>, is_delete: bool, log: &[Made], document: &Document) -> Made {
    let hash = Change::from_bytes(bytes.clone()).unwrap().hash().0;
    let knew = log.iter().map(|made| made.hash).filter(|hash| document.knows(hash)).collect();
    Made { bytes, hash, is_delete, knew }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn replicas_converge_whatever_the_network_does(actions in prop::collection::vec(any_action(), 1..30)) {
        let mut replicas: Vec<Document> = (0..REPLICAS).map(|i| replica(i as u8 + 1)).collect();
        let mut log: Vec<Made> = Vec::new();
        for action in actions {
            match action {
                Action::Put { by, object } => {
                    if let Some(bytes) = replicas[by].put(&object, 0).unwrap() {
                        log.push(made(bytes, false, &log, &replicas[by]));
                    }
                    prop_assert_eq!(rendered(&replicas[by]), object.to_string());
                }
                Action::Delete { by } => {
                    if let Some(bytes) = replicas[by].delete(1).unwrap() {
                        log.push(made(bytes, true, &log, &replicas[by]));
                    }
                    prop_assert_eq!(replicas[by].render(), None);
                }
                Action::Deliver { to, which } if !log.is_empty() => {
                    let change = which.get(&log);
                    let before = (replicas[to].heads(), replicas[to].render());
                    match replicas[to].apply(&change.bytes) {
                        Ok(Some(applied)) => prop_assert_eq!(&applied.changes, &change.bytes),
                        Ok(None) => prop_assert!(replicas[to].knows(&change.hash)),
                        Err(ApplyError::MissingDependencies { .. }) => {
                            prop_assert_eq!(before, (replicas[to].heads(), replicas[to].render()));
                        }
                        Err(error) => prop_assert!(false, "{error}"),
                    }
                }
                Action::Deliver { .. } => {}
                Action::Sync { from, to } => {
                    let changes = replicas[from].changes_since(&replicas[to].heads()).concat();
                    replicas[to].apply(&changes).unwrap();
                    // What an edit cannot know is never lost by it.
                    for hash in &replicas[from].heads() {
                        prop_assert!(replicas[to].knows(hash));
                    }
                }
            }
        }
        let everything: Vec<u8> = log.iter().rev().flat_map(|made| made.bytes.clone()).collect();
        for document in &mut replicas {
            document.apply(&everything).unwrap();
        }
        let reloaded = copy(9, &replicas[0]);
        for document in replicas.iter().chain([&reloaded]) {
            prop_assert_eq!(document.heads(), replicas[0].heads());
            prop_assert_eq!(document.render(), replicas[0].render());
            prop_assert_eq!(document.presence(), replicas[0].presence());
        }
        // The documented rule: deleted while some delete is unknown to every put.
        let standing = |delete: &Made| log.iter().all(|put| put.is_delete || !put.knew.contains(&delete.hash));
        let deleted = log.iter().any(|made| made.is_delete && standing(made));
        prop_assert_eq!(replicas[0].is_deleted(), deleted);
    }

    /// Each replica keeps to its own field, nested field and list element. Nothing gets lost.
    #[test]
    fn edits_of_different_places_all_survive(
        edits in prop::collection::vec((0..REPLICAS, 0..3usize, any::<i32>()), 1..25),
        syncs in prop::collection::vec((0..REPLICAS, 0..REPLICAS), 25),
        common in any::<bool>(),
    ) {
        let show = |values: &[[i32; 3]]| {
            let row = |place: usize| -> String {
                values.iter().enumerate().map(|(i, v)| format!("\"r{i}\":{},", v[place])).collect()
            };
            let list: Vec<String> = values.iter().map(|v| format!("{{\"v\":{}}}", v[2])).collect();
            parse(&format!("{{{}\"s\":{{{}\"t\":0}},\"u\":[{}]}}", row(0), row(1), list.join(",")))
        };
        let mut wanted = vec![[0i32; 3]; REPLICAS];
        let mut first = replica(1);
        first.put(&show(&wanted), 0).unwrap();
        let mut replicas: Vec<Document> = (0..REPLICAS).map(|i| copy(i as u8 + 10, &first)).collect();
        if !common {
            // Everybody creates the document: the list has to be common, the maps have not.
            for (i, document) in replicas.iter_mut().enumerate() {
                *document = replica(i as u8 + 10);
                document.put(&show(&wanted), 0).unwrap();
            }
        }
        for ((by, place, value), (from, to)) in edits.into_iter().zip(syncs) {
            let place = if common { place } else { place % 2 };
            wanted[by][place] = value;
            let mut object = parse(&rendered(&replicas[by]));
            edit(&mut object, by, place, value);
            replicas[by].put(&object, 0).unwrap();
            let changes = replicas[from].changes_since(&replicas[to].heads()).concat();
            replicas[to].apply(&changes).unwrap();
        }
        let mut all: Vec<&mut Document> = replicas.iter_mut().collect();
        converge(&mut all);
        let shown = parse(&rendered(&replicas[0]));
        let mut again = shown.clone();
        for (by, values) in wanted.iter().enumerate() {
            for (place, value) in values.iter().enumerate() {
                edit(&mut again, by, place, *value);
            }
        }
        if common {
            prop_assert_eq!(again, shown);
        } else {
            // A replica that only ever created with 0 may be outvoted by nobody: 0 is what all created.
            prop_assert_eq!(again.to_string(), shown.to_string());
        }
    }
}

/// Sets the place of replica `by`: its root field, its field of `s`, or `v` of its element of `u`.
fn edit(object: &mut JsonObject, by: usize, place: usize, value: i32) {
    let name = format!("r{by}");
    let value = Json::Scalar(Scalar::Int(value.into()));
    let set = |entries: &mut Vec<(String, Json)>, name: &str, value: Json| match entries
        .iter_mut()
        .find(|(key, _)| key == name)
    {
        Some(entry) => entry.1 = value,
        None => entries.push((name.to_owned(), value)),
    };
    let inner = |object: &mut JsonObject, key: &str| object.0.iter().position(|(k, _)| k == key).unwrap();
    match place {
        0 => set(&mut object.0, &name, value),
        1 => {
            let at = inner(object, "s");
            let Json::Map(entries) = &mut object.0[at].1 else { panic!("s is an object") };
            set(entries, &name, value);
        }
        _ => {
            let at = inner(object, "u");
            let Json::List(items) = &mut object.0[at].1 else { panic!("u is an array") };
            let Json::Map(entries) = &mut items[by] else { panic!("elements are objects") };
            set(entries, "v", value);
        }
    }
}
