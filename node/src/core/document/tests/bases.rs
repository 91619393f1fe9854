//! Documents that are begun anew.

use super::*;

fn stamp(counter: u64, writer: u8) -> Stamp {
    Stamp { incarnation: 0, counter, writer: [writer; 32], check: 0 }
}

fn merge(document: &mut Document, chunks: &[u8], base: Option<Stamp>) -> Result<Merged, ApplyError> {
    document.merge(Incoming::parse(chunks, base)?)
}

#[test]
fn the_same_stamp_and_content_are_the_same_bytes_on_every_node() {
    let content = parse(r#"{"b":1,"a":{"x":[1,2]},"":null}"#);
    let (mut one, mut two) = (replica(1), replica(2));
    put(&mut two, r#"{"before":true}"#);
    assert_eq!(one.begin(stamp(3, 7), &content).unwrap(), two.begin(stamp(3, 7), &content).unwrap());
    assert_eq!((one.heads(), rendered(&one)), (two.heads(), rendered(&two)));
    assert_eq!((one.base(), one.history().len()), (two.base(), 1));
}

#[test]
fn the_higher_stamp_is_the_document_in_whatever_order_they_come() {
    let version = |counter, writer, text: &str| {
        let mut document = replica(1);
        let bytes = document.begin(stamp(counter, writer), &parse(text)).unwrap();
        (bytes, document.base())
    };
    let versions = [version(1, 9, r#"{"v":1}"#), version(2, 1, r#"{"v":2}"#), version(2, 3, r#"{"v":3}"#)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut document = replica(5);
        put(&mut document, r#"{"never":"kept"}"#);
        for at in order {
            merge(&mut document, &versions[at].0, None).unwrap();
        }
        assert_eq!((rendered(&document), document.base()), (r#"{"v":3}"#.to_owned(), versions[2].1));
        assert_eq!(document.history().len(), 1);
    }
}

#[test]
fn a_tombstone_is_above_every_version_that_it_did_not_know() {
    let mut deleted = replica(1);
    let before = stamp(3, 1);
    deleted.begin_deleted(Stamp::next_tombstone(Some(before), [2; 32]), 5).unwrap();
    let mut edited = replica(2);
    let edit = edited.begin(stamp(1_000, 1), &parse("{}")).unwrap();
    assert_eq!(merge(&mut deleted, &edit, None), Ok(Merged::Stale));
    assert!(deleted.is_deleted());
    assert!(Stamp::next(deleted.base(), [1; 32]) > deleted.base().unwrap());
}

#[test]
fn edits_over_a_base_merge_and_need_it_only_once() {
    let mut one = replica(1);
    let base = one.begin(stamp(1, 1), &parse(r#"{"a":1,"b":1}"#)).unwrap();
    let mut two = replica(2);
    assert!(matches!(merge(&mut two, &base, None), Ok(Merged::Replaced(_, None))));
    let edit = put(&mut one, r#"{"a":2,"b":1}"#).unwrap();
    put(&mut two, r#"{"a":1,"b":2}"#);
    assert!(matches!(merge(&mut two, &edit, one.base()), Ok(Merged::Added(_))));
    assert_eq!(rendered(&two), r#"{"a":2,"b":2}"#);
    // Without its base it is an edit of a document that is gone.
    assert_eq!(merge(&mut two, &edit, None), Ok(Merged::Stale));
    // And an edit of a version that is not here yet is not silently dropped.
    let missing = merge(&mut replica(3), &edit, one.base());
    assert!(matches!(missing, Err(ApplyError::MissingDependencies { .. })), "{missing:?}");
    // What is stored is loaded again.
    let loaded = Document::load(actor(9), Some(&base), [&edit[..]].into_iter()).unwrap().with_base(one.base());
    assert_eq!((loaded.heads(), rendered(&loaded)), (one.heads(), rendered(&one)));
    assert!(Document::travels_whole(&base));
}

#[test]
fn a_second_beginning_in_one_document_is_refused() {
    let mut one = replica(1);
    let base = one.begin(stamp(1, 1), &parse("{}")).unwrap();
    let stray = put(&mut replica(2), r#"{"a":1}"#).unwrap();
    let other = replica(3).begin(stamp(2, 1), &parse("{}")).unwrap();
    let mut document = replica(4);
    let refused = merge(&mut document, &[base.clone(), stray].concat(), None);
    assert!(matches!(refused, Err(ApplyError::Inconsistent { .. })), "{refused:?}");
    let refused = merge(&mut document, &[base.clone(), other].concat(), None);
    assert!(matches!(refused, Err(ApplyError::Foreign { .. })), "{refused:?}");
    let refused = merge(&mut document, &base, Some(stamp(9, 9)));
    assert!(matches!(refused, Err(ApplyError::Foreign { .. })), "{refused:?}");
    assert_eq!(document.presence(), Presence::Unwritten);
}
