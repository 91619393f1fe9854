//! Several writes at once: all or none, on condition, and once.

use std::time::Duration;

use proptest::prelude::*;

use super::super::document::{JsonLimits, JsonObject};
use super::super::documents::{DocumentError, Refusal};
use super::super::engine::Traffic;
use super::super::key::DocKey;
use super::super::policy::{self, Policies};
use super::super::receipts::{Fingerprint, RequestName};
use super::super::transaction::{Edit, Operation, OperationError, Rejection, Transaction, Twice, Written};
use super::super::version::Version;
use super::world::{Node, World, key};

const LIMITS: JsonLimits = JsonLimits { max_bytes: 60, max_depth: 3 };
const NOW: Duration = Duration::from_secs(1);

fn parse(text: &str) -> JsonObject {
    JsonObject::parse(text, &JsonLimits::default()).expect("valid JSON")
}

fn put(id: &str, text: &str) -> Operation {
    Operation { key: key(id), edit: Edit::Put(parse(text)), expected: None }
}

fn patch(id: &str, text: &str) -> Operation {
    Operation { key: key(id), edit: Edit::Patch(parse(text), LIMITS), expected: None }
}

fn delete(id: &str) -> Operation {
    Operation { key: key(id), edit: Edit::Delete, expected: None }
}

impl Operation {
    fn if_version(mut self, version: &str) -> Self {
        self.expected = Some(Version::parse(version).expect("a version"));
        self
    }
}

fn write(node: &mut Node, operations: Vec<Operation>) -> Result<Written, Rejection> {
    node.core.write(&Transaction::new(operations, None).expect("different documents"), 5, NOW)
}

fn write_once(node: &mut Node, name: &str, operation: Operation) -> Result<Written, Rejection> {
    let text = format!("{operation:?}");
    let name = RequestName { key: name.into(), fingerprint: Fingerprint::of("test", [Some(text.as_str())]) };
    node.core.write(&Transaction::new(vec![operation], Some(name)).expect("one document"), 5, NOW)
}

fn commit(node: &mut Node) {
    node.begin_commit();
    node.finish_commit(NOW);
}

fn refused(result: Result<Written, Rejection>) -> (usize, OperationError) {
    match result.expect_err("refused") {
        Rejection::Operation { index, cause } => (index, cause),
        other => panic!("{other}"),
    }
}

fn one_node() -> Node {
    World::new(1, &[]).nodes.remove(0)
}

/// One with a policy for all collections.
fn one_node_with(policy: &str) -> Node {
    let mut node = one_node();
    let mut policies = Policies::default();
    for collection in ["c", "tracks"] {
        policies.configure(collection, policy.parse().expect("a policy")).expect("a collection");
    }
    node.traffic = Traffic { policies, ..Traffic::default() };
    node.crash();
    node
}

#[test]
fn all_writes_are_in_one_batch_with_their_versions() {
    let mut node = one_node();
    let written =
        write(&mut node, vec![put("a", r#"{"v":1}"#), patch("b", r#"{"v":2}"#), delete("c")]).expect("written");
    assert_eq!((written.seq, written.versions.len(), written.versions[2].as_str()), (2, 3, ""));
    assert_eq!(written.versions[0], node.core.read(&key("a"), false).expect("read").version.encode());
    commit(&mut node);
    assert_eq!(node.core.documents().durable(), 2);
    node.crash();
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!(node.core.documents().version(&key("b")).encode(), written.versions[1], "also after a restart");
}

#[test]
fn one_document_cannot_be_written_twice() {
    let twice = Transaction::new(vec![put("a", "{}"), put("b", "{}"), delete("a")], None);
    assert_eq!(twice.expect_err("refused"), Twice { first: 0, second: 2 });
}

#[test]
fn a_write_that_cannot_be_made_takes_the_others_back() {
    let mut node = one_node();
    write(&mut node, vec![put("a", r#"{"v":1}"#)]).expect("written");
    commit(&mut node);
    // Not durable yet, so that what is in the cache is all there is of it.
    write(&mut node, vec![put("a", r#"{"v":2}"#), put("d", r#"{"v":1}"#)]).expect("written");
    let before = node.core.read(&key("a"), false).expect("read");

    let too_large = format!(r#"{{"text":"{}"}}"#, "x".repeat(100));
    let (index, cause) = refused(write(
        &mut node,
        vec![put("a", r#"{"v":3}"#), delete("d"), put("new", "{}"), patch("e", &too_large), put("f", "{}")],
    ));
    assert!(matches!(cause, OperationError::Patched(_)), "{cause}");
    assert_eq!(index, 3);
    assert_eq!(node.core.read(&key("a"), false).expect("read"), before);
    assert_eq!(node.read("d").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!((node.read("new"), node.read("f")), (None, None));

    // The actor goes on where it was, and what it writes can be read after a restart.
    write(&mut node, vec![put("a", r#"{"v":4}"#), put("new", r#"{"v":5}"#)]).expect("written");
    commit(&mut node);
    node.crash();
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":4}"#));
    assert_eq!(node.read("new").as_deref(), Some(r#"{"v":5}"#));
    assert_eq!(node.read("d").as_deref(), Some(r#"{"v":1}"#));
}

#[test]
fn a_document_that_was_begun_anew_is_taken_back_too() {
    let mut node = one_node_with("latest");
    write(&mut node, vec![put("a", r#"{"v":1}"#), put("d", r#"{"v":1}"#)]).expect("written");
    commit(&mut node);
    // Not durable yet, so that what is in the cache is all there is of it.
    write(&mut node, vec![put("a", r#"{"v":2}"#)]).expect("written");
    let before = node.core.read(&key("a"), false).expect("read");

    let too_large = format!(r#"{{"text":"{}"}}"#, "x".repeat(100));
    let operations = vec![put("a", r#"{"v":3}"#), delete("d"), put("new", "{}"), patch("e", &too_large)];
    let (index, cause) = refused(write(&mut node, operations));
    assert!(matches!(cause, OperationError::Patched(_)), "{cause}");
    assert_eq!(index, 3);
    assert_eq!(node.core.read(&key("a"), false).expect("read"), before);
    assert_eq!(node.read("d").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!(node.read("new"), None);

    let written = write(&mut node, vec![patch("a", r#"{"w":1}"#)]).expect("written");
    commit(&mut node);
    node.crash();
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":2,"w":1}"#));
    assert_eq!(node.core.documents().version(&key("a")).encode(), written.versions[0]);
    let base = node.core.documents().index().get(&key("a")).and_then(|meta| meta.base);
    assert_eq!(
        base.map(|base| base.counter),
        Some(3),
        "a patch, too, begins it anew, and what was taken back counts for nothing"
    );
}

#[test]
fn policies_hold_in_transactions() {
    let mut node = one_node_with("immutable");
    write(&mut node, vec![put("a", r#"{"v":1}"#)]).expect("written");
    write(&mut node, vec![put("a", r#"{"v":1}"#), patch("a2", r#"{"v":1}"#)]).expect("the same content is no write");
    let reserved = DocKey::new(policy::COLLECTION, "c").expect("valid");
    for edit in [put("a", "{}"), patch("a", r#"{"w":1}"#), delete("a"), Operation { key: reserved, ..put("a", "{}") }] {
        let (index, cause) = refused(write(&mut node, vec![put("b", "{}"), edit]));
        let OperationError::Document(DocumentError::Refused(refusal)) = cause else { panic!("{cause}") };
        assert!(matches!(refusal, Refusal::Immutable { .. } | Refusal::Reserved { .. }), "{refusal}");
        assert_eq!((index, node.read("b")), (1, None));
    }
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":1}"#));
}

#[test]
fn a_condition_holds_for_the_version_that_was_read_only() {
    let mut node = one_node();
    let first =
        write(&mut node, vec![put("a", r#"{"v":1}"#).if_version("")]).expect("there was none").versions.remove(0);
    let (_, cause) = refused(write(&mut node, vec![put("a", r#"{"v":2}"#).if_version("")]));
    assert!(matches!(cause, OperationError::Exists(_)), "{cause}");
    let second =
        write(&mut node, vec![patch("a", r#"{"w":1}"#).if_version(&first)]).expect("unchanged").versions.remove(0);
    let (index, cause) = refused(write(&mut node, vec![put("b", "{}"), delete("a").if_version(&first)]));
    assert!(matches!(&cause, OperationError::Changed(it) if it.current == second), "{cause}");
    assert_eq!((index, node.read("b")), (1, None));
    let third = write(&mut node, vec![delete("a").if_version(&second)]).expect("unchanged").versions.remove(0);
    // A deleted document is as good as none, and has a version all the same.
    let fourth = write(&mut node, vec![put("a", r#"{"v":1}"#).if_version(&third)]).expect("still deleted");
    assert_ne!(fourth.versions[0], first, "the same content is not the same version");
    write(&mut node, vec![delete("a")]).expect("deleted");
    write(&mut node, vec![put("a", "{}").if_version("")]).expect("deleted is not there");
    let (_, cause) = refused(write(&mut node, vec![delete("never").if_version(&first)]));
    assert!(matches!(&cause, OperationError::Changed(it) if it.current.is_empty()), "{cause}");
}

#[test]
fn a_named_request_is_carried_out_once_also_across_a_restart() {
    let mut node = one_node();
    let first = write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("written");
    let again = write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("answered");
    assert_eq!(again, first, "also while the first is not durable");
    commit(&mut node);
    write(&mut node, vec![put("a", r#"{"v":2}"#)]).expect("somebody else");
    commit(&mut node);
    node.crash();
    let again = write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("answered");
    assert_eq!((&again.versions, again.seq), (&first.versions, 0));
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":2}"#), "it was not written again");
    let other = write_once(&mut node, "k", put("a", r#"{"v":3}"#)).expect_err("another request");
    assert!(matches!(other, Rejection::KeyReused(_)), "{other}");
}

#[test]
fn a_named_request_that_was_lost_in_a_crash_is_carried_out() {
    let mut node = one_node();
    write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("written");
    node.begin_commit();
    node.crash();
    assert_eq!(node.read("a"), None);
    write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("written");
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":1}"#));
}

#[test]
fn a_named_request_that_changed_nothing_is_remembered_too() {
    let mut node = one_node();
    write(&mut node, vec![put("a", r#"{"v":1}"#)]).expect("written");
    commit(&mut node);
    let durable = node.core.documents().durable();
    let nothing = write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("nothing to do");
    assert!(nothing.seq > durable, "the receipt must become durable");
    commit(&mut node);
    write(&mut node, vec![put("a", r#"{"v":2}"#)]).expect("written");
    commit(&mut node);
    node.crash();
    write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("answered");
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":2}"#));
}

#[test]
fn a_named_request_that_was_refused_may_be_tried_again() {
    let mut node = one_node();
    let written = write(&mut node, vec![put("a", "{}")]).expect("written");
    let when_it_was = |version: &str| put("a", r#"{"v":1}"#).if_version(version);
    refused(write_once(&mut node, "k", when_it_was("")));
    write_once(&mut node, "k", when_it_was(&written.versions[0])).expect("written");
}

#[test]
fn a_failed_commit_takes_receipts_back_with_the_writes() {
    let mut node = one_node();
    write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("written");
    node.begin_commit();
    node.core.commit_failed();
    assert_eq!(node.read("a"), None);
    let again = write_once(&mut node, "k", put("a", r#"{"v":1}"#)).expect("carried out");
    assert_eq!(node.read("a").as_deref(), Some(r#"{"v":1}"#));
    assert!(again.seq > 0);
}

#[test]
fn a_number_without_a_change_confuses_no_peer() {
    let mut world = World::new(2, &[(0, 1)]);
    world.settle();
    for round in 0..3 {
        write(&mut world.nodes[0], vec![put("a", &format!(r#"{{"v":{round}}}"#))]).expect("written");
        let same = put("a", &format!(r#"{{"v":{round}}}"#));
        write_once(&mut world.nodes[0], &format!("k{round}"), same).expect("nothing to do");
        world.settle();
        assert_eq!(world.nodes[1].read("a"), Some(format!(r#"{{"v":{round}}}"#)));
        world.disconnect(0);
        write_once(&mut world.nodes[0], &format!("l{round}"), put("b", "{}")).expect("written");
        world.crash(0);
        world.settle();
    }
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Transactions of random writes, some of which cannot be made, with commits and crashes between: what is there is what
    /// those wrote that were accepted and, before a crash, durable.
    #[test]
    fn a_transaction_happens_or_does_not(
        latest in any::<bool>(),
        steps in prop::collection::vec(
            (prop::collection::vec((0..6u8, 0..4u8, 0..40usize), 1..5), any::<[bool; 2]>()), 1..12),
    ) {
        let mut node = one_node_with(if latest { "latest" } else { "full" });
        let mut shown = [const { None::<String> }; 6];
        let mut durable = shown.clone();
        for (writes, [commits, crashes]) in steps {
            let mut after = shown.clone();
            let mut fails = None;
            let mut operations: Vec<Operation> = Vec::new();
            for (document, what, size) in writes {
                let id = document.to_string();
                if operations.iter().any(|operation| operation.key == key(&id)) {
                    continue;
                }
                let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(2 * size));
                let place = &mut after[usize::from(document)];
                let index = operations.len();
                operations.push(match what {
                    0 => {
                        *place = None;
                        delete(&id)
                    }
                    1 => {
                        if place.is_some() {
                            fails.get_or_insert((0, index));
                        }
                        *place = Some(text.clone());
                        put(&id, &text).if_version("")
                    }
                    2 => {
                        if text.len() > LIMITS.max_bytes {
                            fails.get_or_insert((1, index));
                        }
                        *place = Some(text.clone());
                        patch(&id, &text)
                    }
                    _ => {
                        *place = Some(text.clone());
                        put(&id, &text)
                    }
                });
            }
            match write(&mut node, operations) {
                Ok(_) => {
                    prop_assert_eq!(fails, None);
                    shown = after;
                }
                Err(_) => prop_assert!(fails.is_some()),
            }
            if commits {
                commit(&mut node);
                durable = shown.clone();
            }
            if crashes {
                node.crash();
                shown = durable.clone();
            }
            for (document, text) in shown.iter().enumerate() {
                prop_assert_eq!(&node.read(&document.to_string()), text);
            }
        }
    }
}
