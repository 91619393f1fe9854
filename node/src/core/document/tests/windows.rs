//! Documents that are begun anew with what they have, and what is carried over to them.

use automerge::transaction::Transactable;

use super::super::limits::MAX_CARRIED;
use super::*;

/// Merges all of `from` into `into`.
fn give(from: &Document, into: &mut Document) -> Merged {
    into.merge(Incoming::parse(&from.save(), from.base()).unwrap()).unwrap()
}

fn carried(merged: Merged) -> Carried {
    match merged {
        Merged::Replaced(_, Some(carried)) => carried,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_history_is_begun_anew_with_the_same_bytes_and_goes_on_as_it_was() {
    let mut one = replica(1);
    put(&mut one, r#"{"old":1}"#);
    one.delete(5).unwrap();
    put(&mut one, r#"{"b":1,"a":[1,{"x":"y"}],"":null}"#);
    let mut two = copy(2, &one);
    assert_eq!(one.begin_window().unwrap(), two.begin_window().unwrap());
    assert_eq!((one.heads(), one.change_count()), (two.heads(), 1));
    assert_eq!(rendered(&one), r#"{"b":1,"a":[1,{"x":"y"}],"":null}"#);
    assert_eq!(one.base().map(|base| base.counter), Some(3));
    // Nothing happened since: it is begun anew all the same, above.
    let before = one.base();
    one.begin_window().unwrap();
    assert!(one.base() > before);
    let loaded = Document::load(actor(9), Some(&one.save()), std::iter::empty()).unwrap().with_base(one.base());
    assert_eq!((loaded.heads(), rendered(&loaded)), (one.heads(), rendered(&one)));
}

#[test]
fn an_edit_is_carried_over_one_base_or_several_and_only_once() {
    let mut one = replica(1);
    put(&mut one, r#"{"a":[1,2],"b":1,"c":1}"#);
    let (mut two, mut three) = (copy(2, &one), copy(3, &one));
    let edit = put(&mut two, r#"{"a":[1,2,3],"b":2}"#).unwrap();
    three.apply(&edit).unwrap();
    one.begin_window().unwrap();
    put(&mut one, r#"{"a":[0,1,2],"b":1,"c":1,"d":1}"#);
    // Two gets the first base, and one what it carried over. Three gets only the second base, which contains that.
    let first = carried(give(&one, &mut two));
    assert!(!first.united);
    one.apply(&first.changes).unwrap();
    assert_eq!((rendered(&one), one.heads()), (rendered(&two), two.heads()));
    assert_eq!(rendered(&one), r#"{"a":[0,1,2,3],"b":2,"d":1}"#);
    put(&mut one, r#"{"a":[0,1,2,3],"b":3,"d":1}"#);
    one.begin_window().unwrap();
    let merged = give(&one, &mut three);
    assert!(matches!(merged, Merged::Replaced(_, None)), "{merged:?}");
    assert_eq!(rendered(&three), r#"{"a":[0,1,2,3],"b":3,"d":1}"#);
}

#[test]
fn a_great_many_edits_are_carried_over_as_one() {
    let mut one = replica(1);
    put(&mut one, r#"{"n":0,"gone":1,"kept":1}"#);
    let mut two = copy(2, &one);
    for n in 1..=MAX_CARRIED + 1 {
        put(&mut two, &format!(r#"{{"kept":1,"n":{n},"w{}":1}}"#, n % 10));
    }
    put(&mut one, r#"{"n":0,"gone":1,"kept":2}"#);
    one.begin_window().unwrap();
    let more = carried(give(&one, &mut two));
    one.apply(&more.changes).unwrap();
    assert_eq!((one.heads(), one.change_count()), (two.heads(), 2));
    assert_eq!(rendered(&one), format!(r#"{{"n":{},"kept":2,"w7":1}}"#, MAX_CARRIED + 1));
}

#[test]
fn deletes_and_what_is_created_after_them_are_carried_over() {
    let mut one = replica(1);
    put(&mut one, r#"{"a":1}"#);
    let (mut two, mut three) = (copy(2, &one), copy(3, &one));
    two.delete(7_000).unwrap();
    let mut four = copy(4, &two);
    put(&mut four, r#"{"again":1}"#);
    put(&mut three, r#"{"a":2}"#);
    put(&mut one, r#"{"a":1,"b":1}"#);
    one.begin_window().unwrap();
    for (other, expected) in
        [(&mut two, None), (&mut four, Some(r#"{"again":1}"#)), (&mut three, Some(r#"{"a":2,"b":1}"#))]
    {
        give(&one, other);
        assert_eq!(other.render().as_deref(), expected);
    }
    assert_eq!(two.deleted_at_ms(), Some(7_000));
    // The delete did not know of the edit, and who created again knew the delete, by whomever it was carried over.
    give(&two, &mut three);
    assert!(three.is_deleted());
    give(&four, &mut three);
    assert_eq!(rendered(&three), r#"{"again":1}"#);
}

#[test]
fn whatever_a_base_says_that_it_contains_is_no_way_to_hurt_anybody() {
    let content = parse(r#"{"a":2}"#);
    let stamp = Stamp { incarnation: 0, counter: 99, writer: NOBODY, check: 0 };
    for message in ["w1:", "w1:////", "w1:____", "w1:AQ", "w1:AAAA", "w2:AA", "", "w1:_____w8"] {
        let mut base = replica(1);
        base.begin_with(stamp, Some(message.to_owned()), |tx| tx.put(ROOT, "a", 2)).unwrap();
        let mut document = replica(2);
        put(&mut document, r#"{"b":1}"#);
        give(&base, &mut document);
        let text = rendered(&document);
        // Without a record it is as in class latest; with one that names nothing it is that of an island.
        assert!(text == content.to_string() || text == r#"{"a":2,"b":1}"#, "{message}: {text}");
    }
    // A change that claims to stand for another one is carried over like any.
    let mut document = replica(1);
    put(&mut document, r#"{"b":1}"#);
    let mut other = copy(2, &document);
    document.begin_window().unwrap();
    let commit = CommitOptions::default().with_message("c1:AAAA".to_owned());
    other.put_as(&parse(r#"{"b":1,"c":1}"#), commit).unwrap();
    give(&document, &mut other);
    assert_eq!(rendered(&other), r#"{"b":1,"c":1}"#);
    assert_eq!(other.doc().get_heads().len(), 1);
}
