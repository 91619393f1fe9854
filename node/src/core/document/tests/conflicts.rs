//! What is told of concurrent values, and of who deleted.

use super::*;

const ALL: ConflictBounds = ConflictBounds { conflicts: 1000, values: 1000, bytes: 1 << 20 };

/// Replica of the node whose endpoint id begins with `number`.
fn node(number: u8) -> Document {
    Document::new(actor_of(&[number; 32], [0xff; ACTOR_BYTES]))
}

fn put_at(document: &mut Document, text: &str, time_s: i64) {
    document.put(&parse(text), time_s).unwrap();
}

/// What `left` and `right` become of `base`, seen from both sides; conflicts as text.
fn conflicts(base: &str, left: &str, right: &str) -> String {
    let (mut a, mut b) = (node(0xaa), node(0xbb));
    if !base.is_empty() {
        put_at(&mut a, base, 1);
        b.apply(&a.save()).unwrap();
    }
    put_at(&mut a, left, 2);
    put_at(&mut b, right, 3);
    converge(&mut [&mut a, &mut b]);
    assert_eq!(a.conflicts(ALL), b.conflicts(ALL));
    let (found, more) = a.conflicts(ALL);
    assert!(!more);
    let value = |value: &Contender| {
        format!("{} by {} at {}", value.json, value.by.map_or("nobody".into(), |by| by.to_string()), value.at_ms)
    };
    let line = |conflict: &Conflict| {
        format!("{}: {}\n", conflict.path, conflict.values.iter().map(value).collect::<Vec<_>>().join(", "))
    };
    found.iter().map(line).collect()
}

#[test]
fn a_field_written_on_both_sides_shows_both_values_the_winner_first() {
    assert_eq!(
        conflicts(r#"{"a":1,"b":1}"#, r#"{"a":2,"b":2}"#, r#"{"a":3,"b":1}"#),
        "/a: 3 by bbbbbbbbbb at 3000, 2 by aaaaaaaaaa at 2000\n"
    );
    // Created on both sides.
    assert_eq!(conflicts("", r#"{"a":2}"#, r#"{"a":3}"#), "/a: 3 by bbbbbbbbbb at 3000, 2 by aaaaaaaaaa at 2000\n");
    // The later operation wins, whoever made it.
    assert_eq!(
        conflicts(r#"{"a":1,"x":0}"#, r#"{"A":0,"a":2,"x":0}"#, r#"{"a":3,"x":0}"#),
        "/a: 2 by aaaaaaaaaa at 2000, 3 by bbbbbbbbbb at 3000\n"
    );
}

#[test]
fn nested_places_have_a_json_pointer() {
    assert_eq!(
        conflicts(r#"{"p":{"a/b~c":[1,{"":1}]}}"#, r#"{"p":{"a/b~c":[2,{"":1}]}}"#, r#"{"p":{"a/b~c":[3,{"":3}]}}"#),
        "/p/a~1b~0c/0: 3 by bbbbbbbbbb at 3000, 2 by aaaaaaaaaa at 2000\n"
    );
    assert_eq!(
        conflicts(r#"{"p":[{"":1}]}"#, r#"{"p":[{"":2}]}"#, r#"{"p":[{"":3}]}"#),
        "/p/0/: 3 by bbbbbbbbbb at 3000, 2 by aaaaaaaaaa at 2000\n"
    );
}

#[test]
fn objects_are_united_and_only_what_is_in_both_conflicts() {
    assert_eq!(conflicts("", r#"{"p":{"x":1}}"#, r#"{"p":{"y":2}}"#), "");
    assert_eq!(
        conflicts("", r#"{"p":{"x":1,"y":1}}"#, r#"{"p":{"y":2}}"#),
        "/p/y: 1 by aaaaaaaaaa at 2000, 2 by bbbbbbbbbb at 3000\n"
    );
}

#[test]
fn an_object_or_array_can_win_or_lose_whole() {
    assert_eq!(
        conflicts(r#"{"p":1}"#, r#"{"p":{"x":[1,2]}}"#, r#"{"p":2}"#),
        "/p: 2 by bbbbbbbbbb at 3000, {\"x\":[1,2]} by aaaaaaaaaa at 2000\n"
    );
    assert_eq!(
        conflicts("", r#"{"p":[1]}"#, r#"{"p":[2]}"#),
        "/p: [2] by bbbbbbbbbb at 3000, [1] by aaaaaaaaaa at 2000\n"
    );
}

#[test]
fn equal_values_and_removals_are_no_conflict_and_a_write_ends_one() {
    assert_eq!(conflicts(r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":2}"#), "");
    assert_eq!(conflicts(r#"{"a":1,"b":1}"#, r#"{"b":1}"#, r#"{"a":2,"b":1}"#), "");
    let (mut a, mut b) = (node(1), node(2));
    put_at(&mut a, r#"{"a":1}"#, 1);
    put_at(&mut b, r#"{"a":2}"#, 1);
    converge(&mut [&mut a, &mut b]);
    assert_eq!(a.conflicts(ALL).0.len(), 1);
    put_at(&mut a, r#"{"a":3}"#, 2);
    assert_eq!(a.conflicts(ALL).0, []);
}

#[test]
fn no_more_are_told_than_asked_for() {
    let (mut a, mut b) = (node(1), node(2));
    put_at(&mut a, r#"{"a":1,"b":1,"c":1}"#, 1);
    put_at(&mut b, r#"{"a":2,"b":2,"c":2}"#, 1);
    converge(&mut [&mut a, &mut b]);
    let told = |bounds| {
        let (conflicts, more) = a.conflicts(bounds);
        (conflicts.len(), more)
    };
    assert_eq!(told(ConflictBounds { conflicts: 3, ..ALL }), (3, false));
    assert_eq!(told(ConflictBounds { conflicts: 2, ..ALL }), (2, true));
    // "/a", "1" and "2" each.
    assert_eq!(told(ConflictBounds { bytes: 12, ..ALL }), (3, false));
    assert_eq!(told(ConflictBounds { bytes: 11, ..ALL }), (2, true));
    let mut c = node(3);
    put_at(&mut c, r#"{"a":3}"#, 1);
    converge(&mut [&mut a, &mut c]);
    let (conflicts, more) = a.conflicts(ConflictBounds { values: 2, ..ALL });
    assert!(more && conflicts.iter().all(|conflict| conflict.values.len() == 2), "{conflicts:?}");
}

#[test]
fn a_delete_says_who_and_when() {
    let (mut a, mut b) = (node(0xaa), node(0xbb));
    put_at(&mut a, r#"{"a":1}"#, 1);
    assert_eq!(a.deletion(), None);
    b.apply(&a.save()).unwrap();
    a.delete(5001).unwrap();
    b.apply(&a.save()).unwrap();
    let deletion = b.deletion().unwrap();
    assert_eq!((deletion.by.unwrap().to_string().as_str(), deletion.at_ms), ("aaaaaaaaaa", 5001));
    put_at(&mut b, r#"{"a":2}"#, 9);
    assert_eq!(b.deletion(), None);
}

#[test]
fn what_is_taken_back_leaves_no_trace() {
    let mut a = node(1);
    put_at(&mut a, r#"{"a":1}"#, 1);
    let (heads, text) = (a.heads(), rendered(&a));
    put_at(&mut a, r#"{"a":2,"b":[1,2]}"#, 2);
    a.take_back(&heads).unwrap();
    assert_eq!((a.heads(), rendered(&a)), (heads, text));
    // The actor goes on as if nothing had been, and a peer takes what it makes.
    let mut b = node(2);
    put_at(&mut a, r#"{"a":3}"#, 3);
    b.apply(&a.save()).unwrap();
    put_at(&mut b, r#"{"a":4}"#, 4);
    a.apply(&b.changes_since(&a.heads()).concat()).unwrap();
    assert_eq!(rendered(&a), r#"{"a":4}"#);
    let mut fresh = node(3);
    put_at(&mut fresh, "{}", 1);
    fresh.take_back(&[]).unwrap();
    assert_eq!(fresh.presence(), Presence::Unwritten);
}
