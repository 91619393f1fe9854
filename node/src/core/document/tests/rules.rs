//! One writer: what a put writes, how a document is shown, deleted and stored.

use super::*;

/// Operations in a change of one chunk.
fn operations(change: &[u8]) -> usize {
    Change::from_bytes(change.to_vec()).unwrap().len()
}

#[test]
fn a_put_writes_only_what_differs() {
    let mut document = replica(1);
    put(&mut document, r#"{"a":1,"b":{"c":"x","d":[1,2,{"e":true}]},"f":null}"#);
    let mut edit = |text: &str| {
        let written = put(&mut document, text).map(|change| operations(&change));
        assert_eq!(rendered(&document), text);
        assert_eq!(put(&mut document, text), None);
        written
    };
    assert_eq!(edit(r#"{"a":1,"b":{"c":"x","d":[1,2,{"e":true}]},"f":null}"#), None);
    assert_eq!(edit(r#"{"a":2,"b":{"c":"x","d":[1,2,{"e":true}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"a":2,"b":{"c":"y","d":[1,2,{"e":true}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"a":2,"b":{"c":"y","d":[1,2,{"e":false}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"a":2,"b":{"c":"y","d":[1,9,2,{"e":false}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"a":2,"b":{"c":"y","d":[9,2,{"e":false}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"a":2.0,"b":{"c":"y","d":[9,2,{"e":false}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"b":{"c":"y","d":[9,2,{"e":false}]},"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"b":7,"f":null}"#), Some(1));
    assert_eq!(edit(r#"{"b":{},"f":null}"#), Some(1));
    assert_eq!(edit("{}"), Some(2));
}

/// Automerge takes a put of 0.0 over -0.0 for a put of the same value and drops it.
#[test]
fn the_sign_of_zero_is_content() {
    let mut document = replica(1);
    for text in ["{\"a\":0.0,\"l\":[0.0]}", "{\"a\":-0.0,\"l\":[-0.0]}", "{\"a\":0.0,\"l\":[0.0]}"] {
        put(&mut document, text).unwrap();
        assert_eq!(rendered(&document), text);
        assert_eq!(rendered(&copy(2, &document)), text);
        assert_eq!(put(&mut document, text), None);
    }
}

#[test]
fn key_order_is_kept_and_costs_nothing_when_ascending() {
    let mut document = replica(1);
    let created = put(&mut document, r#"{"a":1,"b":2,"c":3}"#).unwrap();
    assert_eq!(operations(&created), 3);
    // One register more, and again one to take it away.
    for text in [r#"{"b":2,"a":1,"c":3}"#, r#"{"c":3,"b":2,"a":1}"#, r#"{"a":1,"b":2,"c":3}"#] {
        assert_eq!(operations(&put(&mut document, text).unwrap()), 1);
        assert_eq!(rendered(&document), text);
    }
    // Keys that follow in ascending order need no new hint.
    put(&mut document, r#"{"z":0,"a":1}"#);
    assert_eq!(operations(&put(&mut document, r#"{"z":0,"a":1,"b":2}"#).unwrap()), 1);
    assert_eq!(rendered(&document), r#"{"z":0,"a":1,"b":2}"#);
}

#[test]
fn a_map_with_too_many_keys_out_of_order_is_shown_sorted() {
    let keys: Vec<String> = (0..4_000).rev().map(|i| format!("\"key{i:05}\":{i}")).collect();
    let mut document = replica(1);
    let text = format!("{{{}}}", keys.join(","));
    put(&mut document, &text);
    assert_eq!(put(&mut document, &text), None);
    let mut sorted = keys;
    sorted.sort();
    assert_eq!(rendered(&document), format!("{{{}}}", sorted.join(",")));
}

#[test]
fn no_user_key_collides_with_a_control_key() {
    let text = "{\"\":0,\"\\u0001\":1,\"\\u0001g\":2,\"\\u0001k\":3,\"\\u0001o\":4,\"\\u0001t\":5,\"\\u00011k\":6}";
    let mut document = replica(1);
    put(&mut document, text);
    assert_eq!(put(&mut document, text), None);
    document.delete(0).unwrap().unwrap();
    assert_eq!(document.render(), None);
    put(&mut document, text);
    assert_eq!(parse(&rendered(&document)).to_string(), parse(text).to_string());
}

#[test]
fn unwritten_live_and_deleted_are_three_states() {
    let mut document = replica(1);
    assert_eq!(document.presence(), Presence::Unwritten);
    assert_eq!(document.delete(0).unwrap(), None);
    assert_eq!(document.render(), None);

    put(&mut document, "{}").unwrap();
    assert_eq!(document.presence(), Presence::Live);
    assert_eq!(rendered(&document), "{}");
    assert_eq!(put(&mut document, "{}"), None);

    document.delete(0).unwrap().unwrap();
    assert_eq!(document.presence(), Presence::Deleted);
    assert_eq!(document.delete(0).unwrap(), None);
    assert_eq!(document.render(), None);

    put(&mut document, "{}").unwrap();
    assert_eq!(rendered(&document), "{}");
}

#[test]
fn deleting_and_creating_again_works_many_times_and_survives_a_reload() {
    let mut document = replica(1);
    for round in 0..5 {
        let text = format!("{{\"z\":{round},\"a\":{{\"y\":{round},\"b\":[]}}}}");
        put(&mut document, &text);
        assert_eq!(rendered(&copy(2, &document)), text);
        document.delete(round).unwrap().unwrap();
        assert!(copy(2, &document).is_deleted());
    }
}

#[test]
fn snapshot_and_tail_load_to_the_same_document() {
    let mut document = replica(1);
    put(&mut document, r#"{"a":1}"#);
    let snapshot = document.save();
    let tail: Vec<Vec<u8>> = (2..10).map(|i| put(&mut document, &format!("{{\"a\":{i}}}")).unwrap()).collect();
    let loaded = Document::load(actor(2), Some(&snapshot), tail.iter().map(Vec::as_slice)).unwrap();
    assert_eq!((loaded.heads(), loaded.render()), (document.heads(), document.render()));
    // A hole in the tail is noticed.
    let holed = Document::load(actor(2), Some(&snapshot), tail[1..].iter().map(Vec::as_slice));
    assert!(matches!(holed, Err(LoadError::Tail(ApplyError::MissingDependencies { .. }))));
    assert!(matches!(
        Document::load(actor(2), Some(&snapshot[..40]), std::iter::empty()),
        Err(LoadError::Snapshot { .. })
    ));
}

#[test]
fn changes_since_ignores_hashes_it_does_not_know() {
    let mut document = replica(1);
    let first = put(&mut document, r#"{"a":1}"#).unwrap();
    let base = document.heads();
    let second = put(&mut document, r#"{"a":2}"#).unwrap();
    assert_eq!(document.changes_since(&base).concat(), second);
    assert_eq!(document.changes_since(&[]).concat(), [first, second.clone()].concat());
    assert_eq!(document.changes_since(&[[7; 32], base[0]]).concat(), second);
    assert_eq!(document.changes_since(&document.heads()).concat(), Vec::<u8>::new());
}

#[test]
fn a_document_at_the_depth_limit_is_stored_and_shown() {
    let text = format!("{{\"a\":{}{}}}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    let mut document = replica(1);
    put(&mut document, &text);
    assert_eq!(rendered(&document), text);
}

/// The alignment gives an insertion that it moved behind an equal run a stale index of the old list: the put of `[1,1,2]`
/// over `[0,1]` left `[1,2,1]`.
#[test]
fn an_insertion_after_an_equal_run_is_where_it_was_put() {
    for (old, new) in [("[0,1]", "[1,1,2]"), ("[0,1,2]", "[1,2,1,2]"), ("[3,0,1]", "[3,1,1,2]")] {
        let mut document = replica(1);
        put(&mut document, &format!("{{\"l\":{old}}}"));
        put(&mut document, &format!("{{\"l\":{new}}}"));
        assert_eq!(rendered(&document), format!("{{\"l\":{new}}}"));
    }
}

/// A peer is sent what is durable, from a document that has gone on since.
#[test]
fn changes_up_to_earlier_heads_are_exactly_those() {
    let (mut document, mut other) = (replica(1), replica(2));
    put(&mut document, r#"{"a":1}"#);
    let first = document.heads();
    other.apply(&document.save()).unwrap();
    put(&mut document, r#"{"a":2}"#);
    put(&mut other, r#"{"a":1,"b":1}"#);
    document.apply(&other.changes_since(&first).concat()).unwrap();
    let forked = document.heads();
    let expected = [vec![], document.changes_since(&first), document.changes_since(&[])];
    put(&mut document, r#"{"a":3}"#);
    put(&mut document, r#"{"a":4}"#);
    assert_eq!([&forked, &first, &vec![]].map(|have| document.changes_between(have, &forked)), expected);
    assert_eq!(document.changes_between(&[], &first).len(), 1);
    assert_eq!(document.changes_between(&forked, &first), Vec::<Vec<u8>>::new());
}
