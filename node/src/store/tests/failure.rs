//! The disk is full.

use super::*;
use crate::node::Watching;
use crate::node::WriteError;
use crate::node::testing::lone_node;

#[tokio::test]
async fn a_batch_that_cannot_be_written_is_taken_back_whole() {
    let disk = Disk::default();
    let store = open(&disk);
    let mut core = core_over(&store, 1);
    core.put(&key("kept"), &json(r#"{"v":1}"#), 0).expect("put");
    core.put(&key("deleted"), &json(r#"{"v":1}"#), 0).expect("put");
    commit(&store, &mut core).await.expect("commit");
    let content = Content::of(&store);

    core.put(&key("kept"), &json(r#"{"v":2}"#), 0).expect("put");
    core.put(&key("new"), &json(r#"{"v":2}"#), 0).expect("put");
    core.delete(&key("deleted"), 0).expect("delete");
    disk.fill();
    let CommitFailed(why) = commit(&store, &mut core).await.expect_err("no space");
    assert!(why.contains("No space left on device"), "{why}");
    // Written while the batch was under way.
    core.put(&key("kept"), &json(r#"{"v":3}"#), 0).expect("put");
    core.commit_failed();

    let text = |core: &mut Core, id| core.render(&key(id)).expect("readable").0;
    assert_eq!(text(&mut core, "kept").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!(text(&mut core, "deleted").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!(text(&mut core, "new"), None);
    assert_eq!(core.documents().uncommitted_bytes(), 0);
    assert_eq!(core.take_batch(), None);

    // A restart finds the state before.
    let reopened = open(&disk.image());
    assert_eq!(Content::of(&reopened), content);
    assert_eq!(texts(&reopened, 2), [("deleted".into(), r#"{"v":1}"#.into()), ("kept".into(), r#"{"v":1}"#.into())]);
}

#[tokio::test]
async fn a_node_on_a_full_disk_refuses_writes_and_reads_what_it_has_at_hand() {
    let disk = Disk::default();
    let node = lone_node(open(&disk)).await;
    let handle = node.handle();
    handle.put("c", "kept", r#"{"v":1}"#).await.expect("put");
    assert_eq!(handle.unready(), None);
    disk.fill();
    for (id, text) in [("kept", r#"{"v":2}"#), ("new", "{}")] {
        let error = handle.put("c", id, text).await.expect_err("no space");
        assert!(matches!(&error, WriteError::NotDurable(why) if why.contains("No space left")), "{error}");
    }
    assert!(matches!(handle.delete("c", "kept").await, Err(WriteError::NotDurable(_))));
    assert_eq!(handle.get("c", "kept").await.expect("readable").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!(handle.get("c", "new").await.expect("readable"), None);
    assert_eq!(handle.list("c").await.expect("readable"), ["kept"]);
    handle.readiness_change(true).await;
    let why = handle.unready().expect("a node that cannot write is not ready");
    assert!(why.contains("No space left"), "{why}");
    let page = crate::ops::metrics::encode(handle.figures(), None);
    assert!(page.contains("peat_ready 0\n") && page.contains("peat_store_documents 1\n"), "{page}");
    node.shutdown().await;

    let node = lone_node(open(&disk.image())).await;
    assert_eq!(node.handle().get("c", "kept").await.expect("readable").as_deref(), Some(r#"{"v":1}"#));
    node.handle().put("c", "kept", r#"{"v":3}"#).await.expect("there is space again");
    node.shutdown().await;
}

/// Once a write has failed redb refuses everything that it does not have in its cache; so the store is opened anew, for reading at
/// first, and for writing as soon as that works.
#[tokio::test(start_paused = true)]
async fn a_node_on_a_full_disk_reads_everything_and_writes_again_once_there_is_room() {
    for encrypted in [false, true] {
        let disk = Disk::default();
        let store = open_as(&disk, encrypted);
        let mut core = core_over(&store, 1);
        for number in 0..200 {
            core.put(&key(&format!("d{number}")), &json(&format!(r#"{{"n":{number}}}"#)), 0).expect("put");
        }
        commit(&store, &mut core).await.expect("commit");
        drop((core, store));
        let node = lone_node(open_as(&disk, encrypted)).await;
        let handle = node.handle();
        let mut events = handle.subscribe(Watching::default()).expect("subscribed");
        for _ in 0..200 {
            events.next().await.expect("running").expect("readable");
        }
        disk.fill();
        let error = handle.put("c", "new", "{}").await.expect_err("no space");
        assert!(error.to_string().contains("No space left"), "{error}");
        handle.readiness_change(true).await;
        // Not one of them has been read yet.
        for number in 0..200 {
            let text = handle.get("c", &format!("d{number}")).await.expect("readable");
            assert_eq!(text, Some(format!(r#"{{"n":{number}}}"#)));
        }
        assert!(handle.put("c", "new", "{}").await.is_err());
        disk.empty();
        handle.readiness_change(false).await;
        assert_eq!(handle.get("c", "new").await.expect("readable"), None, "it was refused");
        handle.put("c", "d7", r#"{"n":"again"}"#).await.expect("there is room");
        let event = events.next().await.expect("running").expect("readable");
        assert_eq!(event.doc_id, "d7", "nothing else happened");
        node.shutdown().await;
        let store = open_as(&disk.image(), encrypted);
        let checked = store.check().expect("can be looked at");
        assert!(checked.is_sound() && checked.documents == 200, "{checked:?}");
        assert!(texts(&store, 9).contains(&("d7".into(), r#"{"n":"again"}"#.into())));
    }
}

/// Whoever waits for a write that was lost is told so, even when it looks only after the store has recovered and numbers have gone on.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_lost_is_never_acknowledged_by_a_later_one() {
    let disk = Disk::default();
    let node = lone_node(open(&disk)).await;
    let handle = node.handle();
    handle.put("c", "kept", "{}").await.expect("put");
    for round in 0..20 {
        disk.fill();
        let lost = handle.put("c", "lost", "{}");
        let also_lost = handle.put("c", "also-lost", "{}");
        let (lost, also_lost) = tokio::join!(lost, also_lost);
        assert!(lost.is_err() && also_lost.is_err(), "round {round}: {lost:?} {also_lost:?}");
        disk.empty();
        handle.readiness_change(false).await;
        handle.put("c", &format!("kept-{round}"), "{}").await.expect("there is room");
    }
    assert_eq!(handle.list("c").await.expect("readable").len(), 21);
    node.shutdown().await;
    assert_eq!(texts(&open(&disk.image()), 9).len(), 21);
}

/// Whichever page of an encrypted store is damaged: what is in it is refused, and nothing is read as anything else. (With debug
/// assertions redb looks at every page when it opens, so most of these stores are refused as a whole; without, only what is in the page is.)
#[tokio::test]
async fn nothing_of_a_damaged_page_is_believed() {
    let disk = Disk::default();
    let store = open_as(&disk, true);
    let mut core = core_over(&store, 1);
    let noise = "x".repeat(3000);
    for number in 0..20 {
        core.put(&key(&format!("d{number:02}")), &json(&format!(r#"{{"noise":"{noise}{number}"}}"#)), 0).expect("put");
    }
    commit(&store, &mut core).await.expect("commit");
    drop((core, store));
    const RECORD: usize = 4136;
    let whole = disk.bytes();
    let content = Content::of(&open_as(&disk, true));
    let (mut refused, mut unused) = (0, 0);
    for page in 1..(whole.len() - 16_384) / RECORD {
        let record = 16_384 + page * RECORD;
        if whole[record..][..24] == [0; 24] {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[record + 100] ^= 1;
        let Ok(store) = try_open_as(&Disk::with(bytes), true) else {
            refused += 1;
            continue;
        };
        let reader = store.reader();
        let wrong = content.docs.iter().filter(|(key, _, snapshot, tail)| {
            reader.snapshot(key).is_ok_and(|found| found != *snapshot)
                || reader.tail(key, 0).is_ok_and(|found| found != *tail)
        });
        assert_eq!(wrong.count(), 0, "page {page} was believed");
        let sound = store.check().is_ok_and(|checked| checked.is_sound());
        *if sound { &mut unused } else { &mut refused } += 1;
    }
    assert!(refused > 10, "{refused} pages refused, {unused} not in use");
}
