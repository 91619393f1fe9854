//! Several writers: what survives, what wins, and that all see the same.

use super::*;

/// Two replicas with `base` in common; one puts `left`, the other `right`. What both show afterwards.
fn merged(base: &str, left: &str, right: &str) -> String {
    let mut a = replica(1);
    if !base.is_empty() {
        put(&mut a, base);
    }
    let mut b = copy(2, &a);
    put(&mut a, left);
    put(&mut b, right);
    converge(&mut [&mut a, &mut b]);
    rendered(&a)
}

#[test]
fn edits_of_different_fields_both_survive() {
    assert_eq!(merged(r#"{"a":1,"b":1}"#, r#"{"a":2,"b":1}"#, r#"{"a":1,"b":2}"#), r#"{"a":2,"b":2}"#);
    assert_eq!(merged(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, r#"{"a":1,"c":3}"#), r#"{"a":1,"b":2,"c":3}"#);
    assert_eq!(merged(r#"{"a":1,"b":1}"#, r#"{"b":1}"#, r#"{"a":1,"b":2}"#), r#"{"b":2}"#);
}

#[test]
fn edits_of_different_nested_fields_both_survive() {
    assert_eq!(
        merged(r#"{"p":{"q":{"x":1,"y":1}}}"#, r#"{"p":{"q":{"x":2,"y":1}}}"#, r#"{"p":{"q":{"x":1,"y":2}}}"#),
        r#"{"p":{"q":{"x":2,"y":2}}}"#
    );
}

#[test]
fn edits_of_different_list_elements_both_survive() {
    assert_eq!(merged(r#"{"l":[1,2,3]}"#, r#"{"l":[9,2,3]}"#, r#"{"l":[1,2,8]}"#), r#"{"l":[9,2,8]}"#);
    assert_eq!(merged(r#"{"l":[1,2,3]}"#, r#"{"l":[0,1,2,3]}"#, r#"{"l":[1,2]}"#), r#"{"l":[0,1,2]}"#);
    assert_eq!(
        merged(
            r#"{"l":[{"i":1,"v":0},{"i":2,"v":0}]}"#,
            r#"{"l":[{"i":1,"v":0},{"i":2,"v":5}]}"#,
            r#"{"l":[{"i":0,"v":0},{"i":1,"v":0},{"i":2,"v":0,"w":1}]}"#
        ),
        r#"{"l":[{"i":0,"v":0},{"i":1,"v":0},{"i":2,"v":5,"w":1}]}"#
    );
}

#[test]
fn a_pair_of_numbers_stays_a_pair() {
    let both = merged(r#"{"at":[1.5,2.5]}"#, r#"{"at":[2.5,3.5]}"#, r#"{"at":[0.5,1.5]}"#);
    assert_eq!(both.matches(',').count(), 1, "{both}");
}

#[test]
fn the_same_document_created_twice_merges_field_by_field() {
    assert_eq!(merged("", r#"{"a":1}"#, r#"{"b":2}"#), r#"{"a":1,"b":2}"#);
}

#[test]
fn the_same_nested_object_created_twice_reads_as_the_union() {
    let mut a = replica(1);
    let mut b = replica(2);
    put(&mut a, r#"{"p":{"q":{"x":1},"only_a":1}}"#);
    put(&mut b, r#"{"p":{"q":{"y":2},"only_b":2}}"#);
    converge(&mut [&mut a, &mut b]);
    assert_eq!(rendered(&a), r#"{"p":{"q":{"x":1,"y":2},"only_a":1,"only_b":2}}"#);
    // What the loser brought can be changed, replaced and removed like anything else.
    for text in [
        r#"{"p":{"only_a":5,"only_b":6,"q":{"x":7,"y":8}}}"#,
        r#"{"p":{"only_a":5,"q":{"y":8}}}"#,
        r#"{"p":{"q":3}}"#,
        r#"{"p":{"q":{"z":1}}}"#,
        r#"{"p":{"z":1,"a":{}}}"#,
        r#"{"p":{"a":{},"z":1}}"#,
    ] {
        put(&mut a, text).unwrap();
        assert_eq!(rendered(&a), text);
        assert_eq!(put(&mut a, text), None);
        converge(&mut [&mut a, &mut b]);
    }
}

#[test]
fn a_delete_beats_an_edit_that_did_not_know_of_it() {
    let mut a = replica(1);
    put(&mut a, r#"{"a":1}"#);
    let mut b = copy(2, &a);
    a.delete(0).unwrap().unwrap();
    put(&mut b, r#"{"a":2,"b":2}"#);
    converge(&mut [&mut a, &mut b]);
    assert!(a.is_deleted());
    // Whoever knows of the delete creates afresh: nothing of the edit is left.
    put(&mut b, r#"{"c":3}"#);
    converge(&mut [&mut a, &mut b]);
    assert_eq!(rendered(&a), r#"{"c":3}"#);
}

#[test]
fn a_late_edit_of_the_deleted_document_does_not_mix_into_its_successor() {
    let mut a = replica(1);
    put(&mut a, r#"{"a":1}"#);
    let mut late = copy(2, &a);
    put(&mut late, r#"{"a":1,"ghost":true}"#);
    a.delete(0).unwrap();
    put(&mut a, r#"{"a":5}"#);
    converge(&mut [&mut a, &mut late]);
    assert_eq!(rendered(&a), r#"{"a":5}"#);
    put(&mut late, r#"{"a":6}"#);
    converge(&mut [&mut a, &mut late]);
    assert_eq!(rendered(&a), r#"{"a":6}"#);
}

#[test]
fn two_concurrent_deletes_are_one() {
    let mut a = replica(1);
    put(&mut a, r#"{"a":1}"#);
    let mut b = copy(2, &a);
    a.delete(1).unwrap().unwrap();
    b.delete(2).unwrap().unwrap();
    converge(&mut [&mut a, &mut b]);
    assert!(a.is_deleted());
    put(&mut a, r#"{"b":1}"#);
    converge(&mut [&mut a, &mut b]);
    assert_eq!(rendered(&b), r#"{"b":1}"#);
}

#[test]
fn a_delete_concurrent_with_a_re_creation_wins() {
    let mut a = replica(1);
    put(&mut a, r#"{"a":1}"#);
    let mut b = copy(2, &a);
    a.delete(1).unwrap();
    put(&mut a, r#"{"a":2}"#);
    b.delete(2).unwrap();
    converge(&mut [&mut a, &mut b]);
    assert!(a.is_deleted() && b.is_deleted());
}

#[test]
fn concurrent_re_creations_merge_field_by_field() {
    let mut a = replica(1);
    put(&mut a, r#"{"a":1}"#);
    a.delete(1).unwrap();
    let mut b = copy(2, &a);
    put(&mut a, r#"{"x":1}"#);
    put(&mut b, r#"{"y":1}"#);
    converge(&mut [&mut a, &mut b]);
    assert_eq!(rendered(&a), r#"{"x":1,"y":1}"#);
}
