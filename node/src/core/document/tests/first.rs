//! First changes that are encoded here against those of Automerge.

use automerge::transaction::CommitOptions;
use proptest::prelude::*;

use super::super::first::FirstChange;
use super::super::write;
use super::properties::any_object;
use super::*;

/// The same by Automerge.
fn by_automerge(actor: &ActorId, time_s: i64, json: &JsonObject) -> (Vec<u8>, [u8; 32]) {
    let mut doc = Automerge::new().with_actor(actor.clone());
    let mut tx = doc.transaction();
    write::fill_fresh_root(&mut tx, &json.0, &KeySpace::of_incarnation(0)).unwrap();
    let (hash, _) = tx.commit_with(CommitOptions::default().with_time(time_s));
    let change = doc.get_change_by_hash(&hash.unwrap()).unwrap();
    (change.raw_bytes().to_vec(), change.hash().0)
}

fn check(actor: &ActorId, time_s: i64, json: &JsonObject) {
    let first = FirstChange::encode(actor, time_s, json);
    let (bytes, hash) = by_automerge(actor, time_s, json);
    assert_eq!(first.bytes(), bytes, "{json}");
    assert_eq!(first.hash(), &hash);
}

/// Only a change that a document may begin with is one, whatever its hash says.
#[test]
fn what_is_no_first_change_is_loaded() {
    let mut document = replica(1);
    put(&mut document, r#"{"a":1}"#);
    let head = document.heads();
    let second = put(&mut document, r#"{"a":2}"#).unwrap();
    assert!(Document::of_one_change(actor(1), &second, &document.heads()[0]).is_none());
    assert!(Document::of_one_change(actor(1), &document.save(), &document.heads()[0]).is_none());
    let first = document.changes_between(&[], &head).remove(0);
    assert!(Document::of_one_change(actor(1), &first, &head[0]).is_some());
    for length in 0..first.len() {
        assert!(Document::of_one_change(actor(1), &first[..length], &head[0]).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_bytes_are_those_of_automerge(
        json in any_object(),
        actor in prop::collection::vec(any::<u8>(), 1..60),
        time_s in prop_oneof![Just(0), Just(1_700_000_000), any::<i64>()],
    ) {
        if !json.is_empty() {
            check(&ActorId::from(actor), time_s, &json);
        }
    }

    /// Whatever is asked of a document that is one change, it answers as one that was loaded does.
    #[test]
    fn a_document_that_is_not_loaded_answers_like_one_that_is(json in any_object(), other in any_object()) {
        if json.is_empty() {
            return Ok(());
        }
        let mut lazy = replica(1);
        let change = lazy.put(&json, 7).unwrap().unwrap();
        let mut loaded = Document::load(actor(1), None, [&change[..]].into_iter()).unwrap();
        prop_assert!(!lazy.is_loaded() && loaded.is_loaded());
        prop_assert!(lazy.approximate_bytes() < loaded.approximate_bytes());
        prop_assert_eq!(lazy.heads(), loaded.heads());
        prop_assert_eq!(lazy.history(), loaded.history());
        prop_assert_eq!(lazy.changes_since(&[]), loaded.changes_since(&[]));
        prop_assert_eq!(lazy.changes_since(&loaded.heads()), loaded.changes_since(&loaded.heads()));
        prop_assert!(lazy.knows(&lazy.heads()[0]) && !lazy.knows(&[0; 32]));
        prop_assert_eq!(lazy.presence(), loaded.presence());
        for one in [&json, &other] {
            prop_assert_eq!(lazy.shows(one), loaded.shows(one));
        }
        prop_assert!(!lazy.is_loaded());
        let stored = Document::of_one_change(actor(1), &change, &lazy.heads()[0]).unwrap();
        prop_assert!(!stored.is_loaded());
        prop_assert_eq!((stored.heads(), stored.render()), (lazy.heads(), loaded.render()));
        for one in [&json, &other] {
            prop_assert_eq!(stored.shows(one), loaded.shows(one));
        }
        prop_assert!(Document::of_one_change(actor(1), &change, &[7; 32]).is_none());
        prop_assert_eq!(lazy.clone().render(), loaded.render());
        prop_assert_eq!(lazy.clone().save(), loaded.save());
        prop_assert_eq!(lazy.clone().delete(8).unwrap(), loaded.clone().delete(8).unwrap());
        prop_assert_eq!(lazy.put(&other, 9).unwrap(), loaded.put(&other, 9).unwrap());
        prop_assert_eq!(lazy.heads(), loaded.heads());
        prop_assert_eq!(lazy.render(), loaded.render());
    }
}

#[test]
fn long_lists_and_many_fields_are_the_same() {
    let items: Vec<String> = (0..300).map(|n| if n % 7 == 0 { "null".into() } else { (n / 3).to_string() }).collect();
    let fields: Vec<String> = (0..200).map(|n| format!("\"f{}\":{}", (n * 77) % 200, n % 4)).collect();
    let text = format!("{{\"list\":[{}],{},\"map\":{{\"b\":[],\"a\":{{}}}}}}", items.join(","), fields.join(","));
    check(&actor(3), -1, &parse(&text));
}
