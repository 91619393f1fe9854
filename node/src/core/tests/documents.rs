//! Documents over a disk: what leaves is what is durable, wherever it was read from.

use automerge::ActorId;

use super::super::class::ClassMap;
use super::super::document::{JsonLimits, JsonObject};
use super::super::documents::Documents;
use super::super::key::DocKey;
use super::super::outbox::Base;
use super::super::policy::Policies;
use super::super::reconcile::{History, Marks};
use super::super::wire::{Mark, Recall};
use super::world::{Disk, key};

const SALT: u64 = 7;

fn over(disk: &Disk, life: u8) -> Documents {
    let stored = disk.stored([1; 16]);
    let actor = ActorId::from([life; 4].as_slice());
    Documents::new(Box::new(disk.clone()), stored, actor, ClassMap::default(), Policies::default())
}

fn put(documents: &mut Documents, key: &DocKey, json: &str) {
    let json = JsonObject::parse(json, &JsonLimits::default()).expect("valid JSON");
    documents.put(key, &json, 0).expect("healthy store").expect("a change");
}

fn commit(documents: &mut Documents, disk: &Disk) {
    let batch = documents.take_batch(false).expect("something to commit");
    disk.commit(&batch);
    documents.committed(batch.last);
}

/// What a peer says that has the durable version.
fn has_all_durable(documents: &Documents, key: &DocKey) -> Base {
    let Recall::Behind(marks) = documents.recall(key, &Marks::new(SALT, vec![Mark(1)])) else {
        panic!("nobody has a change with that mark");
    };
    assert!(!marks.is_empty());
    Base::Has(Marks::new(SALT, marks))
}

#[test]
fn a_loaded_document_sends_what_is_durable_of_it_and_no_more() {
    let (disk, key) = (Disk::default(), key("2"));
    let mut documents = over(&disk, 1);
    put(&mut documents, &key, r#"{"speed":1}"#);
    commit(&mut documents, &disk);
    let before = has_all_durable(&documents, &key);

    put(&mut documents, &key, r#"{"speed":2}"#);
    let pieces = documents.changes_for(&key, &before).expect("readable");
    assert!(pieces.is_empty(), "a change left before it was durable");
    assert_eq!(has_all_durable(&documents, &key), before, "a change was told of before it was durable");

    commit(&mut documents, &disk);
    let pieces = documents.changes_for(&key, &before).expect("readable");
    assert_eq!(pieces.len(), 1);
    assert_ne!(has_all_durable(&documents, &key), before);
    // A restart has nothing loaded and reads the disk.
    let restarted = over(&disk, 2);
    assert_eq!(restarted.cache_bytes(), 0);
    assert_eq!(restarted.changes_for(&key, &before).expect("readable"), pieces);
}
