//! The disk is full.

use super::*;
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

/// Only what is in memory: once a write has failed, redb 4 refuses to read pages that it does not have in its
/// cache, until it is opened again.
#[tokio::test]
async fn a_node_on_a_full_disk_refuses_writes_and_reads_what_it_has_at_hand() {
    let disk = Disk::default();
    let node = lone_node(open(&disk)).await;
    let handle = node.handle();
    handle.put("c", "kept", r#"{"v":1}"#).await.expect("put");
    disk.fill();
    for (id, text) in [("kept", r#"{"v":2}"#), ("new", "{}")] {
        let error = handle.put("c", id, text).await.expect_err("no space");
        assert!(matches!(&error, WriteError::NotDurable(why) if why.contains("No space left")), "{error}");
    }
    assert!(matches!(handle.delete("c", "kept").await, Err(WriteError::NotDurable(_))));
    assert_eq!(handle.get("c", "kept").await.expect("readable").as_deref(), Some(r#"{"v":1}"#));
    assert_eq!(handle.get("c", "new").await.expect("readable"), None);
    assert_eq!(handle.list("c").await.expect("readable"), ["kept"]);
    node.shutdown().await;

    let node = lone_node(open(&disk.image())).await;
    assert_eq!(node.handle().get("c", "kept").await.expect("readable").as_deref(), Some(r#"{"v":1}"#));
    node.handle().put("c", "kept", r#"{"v":3}"#).await.expect("there is space again");
    node.shutdown().await;
}
