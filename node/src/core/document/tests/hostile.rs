//! Input of a peer that is broken or means harm.

use proptest::prelude::*;

use super::*;

/// A replica with some of everything, and changes of another one that it has not seen.
fn scene() -> (Document, Vec<Vec<u8>>) {
    let mut a = replica(1);
    put(&mut a, r#"{"a":1,"n":{"x":1},"l":[1,{"y":2},3],"s":"text"}"#);
    let mut b = copy(2, &a);
    let changes = vec![
        put(&mut b, r#"{"a":2,"n":{"x":2},"l":[1,{"y":3},3],"s":"text"}"#).unwrap(),
        put(&mut b, r#"{"a":2,"n":{"x":2,"z":[]},"l":[0,1,{"y":3},3,4],"s":"other"}"#).unwrap(),
        b.delete(9).unwrap().unwrap(),
        put(&mut b, r#"{"q":{"r":[1,2]}}"#).unwrap(),
    ];
    (a, changes)
}

/// Applies and checks that an error leaves no trace and a success leaves a usable document.
pub(super) fn apply_safely(document: &mut Document, input: &[u8]) -> Result<Option<Applied>, ApplyError> {
    let state = |document: &Document| (document.heads(), document.render(), document.presence());
    let before = state(document);
    // One of a long history, which is not copied for each change, comes to the same.
    let mut long = document.clone();
    long.history_bytes = SPARE_FROM_BYTES;
    let result = document.apply(input);
    for _ in 0..2 {
        match (&result, long.apply(input)) {
            (Ok(_), Ok(_)) => {}
            (Err(one), Err(other)) => assert_eq!(*one, other),
            (one, other) => panic!("{one:?} and {other:?}"),
        }
        assert_eq!(state(document), state(&long));
    }
    put(&mut long, r#"{"and":"on"}"#);
    assert_eq!(rendered(&long), r#"{"and":"on"}"#);
    assert!(apply_to_copy(&long).is_ok());
    match &result {
        Err(_) | Ok(None) => {
            assert_eq!(before, (document.heads(), document.render(), document.presence()));
        }
        Ok(Some(applied)) => {
            let mut reloaded = copy(9, document);
            assert_eq!(reloaded.render(), document.render());
            assert_eq!(reloaded.heads(), document.heads());
            reloaded.put(&parse("{\"after\":1}"), 0).unwrap();
            assert_eq!(rendered(&reloaded), "{\"after\":1}");
            assert!(reloaded.changes_since(&before.0).concat().len() > applied.changes.len());
        }
    }
    result
}

fn apply_to_copy(document: &Document) -> Result<Option<Applied>, ApplyError> {
    replica(8).apply(&document.changes_since(&[]).concat())
}

/// Makes the checksum right again, as a peer that means harm would.
fn seal(mut chunk: Vec<u8>) -> Vec<u8> {
    let hash = incoming::guarded(|| Change::from_bytes(chunk.clone()).ok().map(|change| change.hash()));
    if let Ok(Some(hash)) = hash {
        chunk[4..8].copy_from_slice(&hash.0[..4]);
    }
    chunk
}

#[test]
fn changes_apply_in_any_order_within_one_call_and_once() {
    let (mut document, changes) = scene();
    let mut input: Vec<u8> = changes.iter().rev().flatten().copied().collect();
    input.extend_from_slice(&changes[1]);
    let applied = document.apply(&input).unwrap().unwrap();
    assert_eq!(applied, Applied { changes: changes.concat(), count: 4 });
    assert_eq!(document.apply(&input).unwrap(), None);
    assert_eq!(document.apply(&[]).unwrap(), None);
}

#[test]
fn a_snapshot_brings_what_is_missing() {
    let (mut document, changes) = scene();
    let mut other = document.clone();
    other.apply(&changes.concat()).unwrap();
    let applied = document.apply(&other.save()).unwrap().unwrap();
    assert_eq!(applied.changes, changes.concat());
    assert_eq!(replica(3).apply(&other.save()).unwrap().unwrap().count, 5);
}

#[test]
fn missing_dependencies_are_named() {
    let (mut document, changes) = scene();
    let error = apply_safely(&mut document, &changes[2]).unwrap_err();
    let needed = Change::from_bytes(changes[1].clone()).unwrap().hash().0;
    assert_eq!(error, ApplyError::MissingDependencies { missing: vec![needed] });
    // The rest of the input does not go in without it.
    let both = [changes[0].clone(), changes[2].clone()].concat();
    assert!(matches!(apply_safely(&mut document, &both), Err(ApplyError::MissingDependencies { .. })));
}

#[test]
fn an_actor_that_forgot_its_sequence_number_is_refused() {
    let (mut document, _) = scene();
    let mut first_life = copy(5, &document);
    let mut second_life = copy(5, &document);
    let one = put(&mut first_life, r#"{"life":1}"#).unwrap();
    let two = put(&mut second_life, r#"{"life":2}"#).unwrap();
    document.apply(&one).unwrap().unwrap();
    let error = apply_safely(&mut document, &two).unwrap_err();
    assert_eq!(error, ApplyError::DuplicateSequence { actor: "05".repeat(16), sequence: 1 });
    let (mut fresh, _) = scene();
    assert!(matches!(apply_safely(&mut fresh, &[one, two].concat()), Err(ApplyError::DuplicateSequence { .. })));
}

#[test]
fn too_much_at_once_is_refused_unread() {
    let (mut document, _) = scene();
    let error = apply_safely(&mut document, &vec![0; MAX_APPLY_BYTES + 1]).unwrap_err();
    assert_eq!(error, ApplyError::TooLarge { limit: MAX_APPLY_BYTES, actual: MAX_APPLY_BYTES + 1 });
}

#[test]
fn compressed_changes_are_refused_unread() {
    let (mut document, changes) = scene();
    let mut chunk = changes[0].clone();
    chunk[8] = 2;
    assert!(matches!(apply_safely(&mut document, &chunk), Err(ApplyError::Malformed { offset: 0, .. })));
}

/// Ten bytes that claim 2^60 operations: Automerge would walk through them before it looks at the
/// checksum.
#[test]
fn a_change_that_claims_endless_operations_is_refused_at_once() {
    let (mut document, _) = scene();
    let run = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    // No dependencies, actor 7, sequence 1, first operation 1, time 0, no message, no other actors,
    // and one column: actions, a run of the same value.
    let mut contents = vec![0, 1, 7, 1, 1, 0, 0, 0, 1, 0x42, run.len() as u8 + 1];
    contents.extend(run);
    contents.push(1);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, contents.len() as u8];
    chunk.extend(contents);
    let error = apply_safely(&mut document, &chunk).unwrap_err();
    assert_eq!(error, ApplyError::Oversized { offset: 0, what: "operations", limit: limits::MAX_CHUNK_ROWS });
}

/// A snapshot does not store the number of a change's first operation, it is worked out from what the
/// change builds on. Automerge 0.12 accepts another number, saves the document, and the snapshot does
/// not load: found by forging, kept here.
#[test]
fn a_change_that_numbers_its_operations_wrongly_is_refused() {
    let (_, changes) = scene();
    // Magic, checksum, type and length come first, then one dependency, actor and sequence number.
    let length = changes[0][9..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let at = 9 + length + (1 + 32) + (1 + 16) + 1;
    let right = changes[0][at];
    for wrong in [1, right - 1, right + 1, right + 20] {
        let (mut document, _) = scene();
        let mut chunk = changes[0].clone();
        chunk[at] = wrong;
        let error = apply_safely(&mut document, &seal(chunk)).unwrap_err();
        assert!(matches!(error, ApplyError::Inconsistent { sequence: 1, .. }), "{error}");
    }
}

/// Automerge 0.12 accepts and saves a lone end of a mark, but does not load what it saved: one change
/// of a peer would have cost the document at the next restart.
#[test]
fn operations_that_documents_do_not_use_are_refused() {
    use automerge::marks::{ExpandMark, Mark};
    let (mut document, _) = scene();
    let foreign = |edit: &dyn Fn(&mut Transaction<'_>)| {
        let mut doc = Automerge::new().with_actor(actor(8));
        let mut tx = doc.transaction();
        edit(&mut tx);
        tx.commit();
        doc.get_changes(&[]).iter().flat_map(|change| change.raw_bytes().to_vec()).collect::<Vec<u8>>()
    };
    let inputs = [
        foreign(&|tx| {
            let text = tx.put_object(ROOT, "t", automerge::ObjType::Text).unwrap();
            tx.splice_text(&text, 0, 0, "abc").unwrap();
            tx.mark(&text, Mark::new("bold".to_owned(), true, 0, 2), ExpandMark::Both).unwrap();
        }),
        foreign(&|tx| tx.put(ROOT, "c", ScalarValue::counter(1)).unwrap()),
    ];
    for input in inputs {
        assert!(matches!(apply_safely(&mut document, &input), Err(ApplyError::Foreign { sequence: 1, .. })));
    }
}

#[test]
fn every_truncation_is_refused() {
    let (mut document, changes) = scene();
    for length in 1..changes[0].len() {
        assert!(matches!(
            apply_safely(&mut document, &changes[0][..length]),
            Err(ApplyError::Malformed { offset: 0, .. })
        ));
    }
    let snapshot = document.save();
    for length in (1..snapshot.len()).step_by(7) {
        assert!(apply_safely(&mut document, &snapshot[..length]).is_err());
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (mut document, changes) = scene();
    for bit in 0..changes[0].len() * 8 {
        let mut chunk = changes[0].clone();
        chunk[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(
                apply_safely(&mut document, &chunk),
                // A length or a count that is flipped may claim anything.
                Err(ApplyError::Malformed { .. } | ApplyError::Oversized { .. })
            ),
            "bit {bit}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let (mut document, _) = scene();
        let mut input = if magic { vec![0x85, 0x6f, 0x4a, 0x83] } else { Vec::new() };
        input.extend(bytes);
        let result = apply_safely(&mut document, &input);
        prop_assert!(input.is_empty() || result.is_err());
    }

    /// A valid checksum over changed contents: the peer means it.
    #[test]
    fn forged_changes_are_applied_whole_or_refused(
        which in 0usize..4,
        edits in prop::collection::vec((9usize..400, any::<u8>()), 1..4),
    ) {
        let (mut document, changes) = scene();
        let mut chunk = changes[which].clone();
        for (at, byte) in edits {
            let at = at % chunk.len();
            if at > 8 {
                chunk[at] = byte;
            }
        }
        let input = [changes[..which].concat(), seal(chunk)].concat();
        let _ = apply_safely(&mut document, &input);
    }
}

/// A long document that is edited here and there in turn keeps what it needs to go back, and no more.
#[test]
fn a_long_document_goes_back_to_where_it_was() {
    let (mut ours, mut theirs) = (replica(1), replica(2));
    put(&mut ours, r#"{"n":0}"#);
    theirs.apply(&ours.changes_since(&[]).concat()).unwrap();
    for n in 1..400 {
        let text = format!(r#"{{"n":{n},"note":"{}"}}"#, "x".repeat(60));
        let change = if n % 3 == 0 { put(&mut ours, &text) } else { put(&mut theirs, &text) }.unwrap();
        let (from, to) = if n % 3 == 0 { (&ours, &mut theirs) } else { (&theirs, &mut ours) };
        assert_eq!(to.apply(&change).unwrap().unwrap().count, 1);
        assert_eq!(from.heads(), to.heads());
        if n % 50 == 7 {
            // Of an object that does not exist: Automerge panics half-way.
            let forged = seal(change.iter().map(|byte| if *byte == b'n' { b'm' } else { *byte }).collect());
            let before = (ours.heads(), ours.render());
            let _ = ours.clone().apply(&forged);
            assert!(ours.apply(&forged[..forged.len() - 1]).is_err());
            assert_eq!((ours.heads(), ours.render()), before);
        }
    }
    assert!(ours.spare.is_some() && ours.approximate_bytes() > ours.history_bytes());
    let spare = ours.spare.as_ref().unwrap().restore().unwrap();
    assert_eq!(spare.get_heads(), ours.doc().get_heads());
}
