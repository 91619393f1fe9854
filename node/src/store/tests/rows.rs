//! What is written is what is read.

use super::*;

/// A document of more than [`limits::TAIL_FOLD_BYTES`], different for each number.
fn large(number: usize) -> JsonObject {
    let text: String = (0..900).map(|i| format!("{:x}", i * 7919 + number * 104_729)).collect();
    json(&format!(r#"{{"number":{number},"text":"{text}"}}"#))
}

#[tokio::test]
async fn batches_read_back_as_they_were_written_folds_included() {
    let disk = Disk::default();
    let store = open(&disk);
    assert_eq!(store.stored().expect("readable").epoch, EPOCH);
    assert_eq!(store.identity().to_bytes(), IDENTITY);
    let mut core = core_over(&store, 1);
    let mut folds = 0;
    for number in 0..6 {
        core.put(&key("small"), &json(&format!(r#"{{"a":{number}}}"#)), 0).expect("put");
        core.put(&key("large"), &large(number), 0).expect("put");
        let batch = core.take_batch().expect("something to commit");
        let (last, rows) = (batch.last, batch.docs.clone());
        store.committer().commit(batch).await.expect("commit");
        core.committed(last, Duration::ZERO);

        let content = Content::of(&store);
        assert_eq!(content.last, last);
        for (key, meta, snapshot, tail) in &content.docs {
            assert_eq!(meta, &rows[key].meta);
            assert!(tail.iter().all(|(seq, _)| *seq > meta.folded), "a change row below the fold");
            assert!(rows[key].tail.iter().all(|row| tail.contains(row)));
            if let Some(folded) = &rows[key].snapshot {
                folds += 1;
                assert_eq!(snapshot.as_ref(), Some(folded));
            }
            let first = store.reader().first_in_tail(key, meta.folded + 1).expect("readable");
            assert_eq!(first, tail.first().map(|(seq, _)| *seq));
        }
    }
    assert!(folds > 0, "nothing was folded");
    assert_eq!(texts(&store, 2), [("large".into(), large(5).to_string()), ("small".into(), r#"{"a":5}"#.into())]);
}

#[tokio::test]
async fn a_deleted_document_stays_as_a_tombstone() {
    let store = open(&Disk::default());
    let mut core = core_over(&store, 1);
    core.put(&key("d"), &json(r#"{"a":1}"#), 0).expect("put");
    core.delete(&key("d"), 5).expect("delete");
    commit(&store, &mut core).await.expect("commit");
    assert_eq!(texts(&store, 2), []);
    assert!(Content::of(&store).docs[0].1.deleted);
}

#[tokio::test]
async fn a_document_begun_anew_keeps_its_base_and_nothing_before_it_and_a_forgotten_one_leaves_only_its_mark() {
    let store = open(&Disk::default());
    let mut core = core_over(&store, 1);
    // History that must go.
    core.put(&key("d"), &json(r#"{"a":1}"#), 0).expect("put");
    commit(&store, &mut core).await.expect("commit");
    core.set_policy("c", &"latest+tombstone:60".parse().expect("a policy"), 0).expect("a collection");
    for number in 2..5 {
        core.put(&key("d"), &json(&format!(r#"{{"a":{number}}}"#)), 0).expect("put");
        commit(&store, &mut core).await.expect("commit");
    }
    let content = Content::of(&store);
    let (_, meta, snapshot, tail) = content.docs.iter().find(|(at, ..)| *at == key("d")).expect("there");
    let base = meta.base.expect("a base");
    assert_eq!((base.counter, base.writer), (3, *store.identity().public().as_bytes()));
    assert!(tail.is_empty() && snapshot.is_some());
    // Another life knows all of it: the policy, the writer, the number.
    let mut core = core_over(&store, 2);
    core.put(&key("d"), &json(r#"{"a":5}"#), 0).expect("its writer");
    assert_eq!(core.documents().index().get(&key("d")).and_then(|meta| meta.base).map(|base| base.counter), Some(4));
    core.delete(&key("d"), 5).expect("delete");
    commit(&store, &mut core).await.expect("commit");
    let number = core.documents().durable();
    let nobody = Default::default();
    let forget = |core: &mut Core| core.forget_tombstones(&nobody, &nobody, 90_000).expect("readable");
    assert_eq!((forget(&mut core), forget(&mut core)), (0, 1));
    commit(&store, &mut core).await.expect("commit");
    let stored = store.stored().expect("readable");
    assert!(stored.docs.iter().all(|(at, _)| *at != key("d")));
    assert_eq!((stored.horizon.incarnation, stored.horizon.through), (2, number));
    let mut core = core_over(&store, 3);
    core.put(&key("d"), &json(r#"{"a":6}"#), 0).expect("put");
    assert_eq!(
        core.documents().index().get(&key("d")).and_then(|meta| meta.base).map(|base| base.incarnation),
        Some(2)
    );
}

#[tokio::test]
async fn watermarks_are_kept_and_forgotten() {
    let store = open(&Disk::default());
    let (a, b) = ([1; 32], [2; 32]);
    let committer = store.committer();
    let batch = |last, seen: &[(PeerId, Option<Seen>)]| Batch {
        last,
        seen: seen.iter().copied().collect(),
        ..Batch::default()
    };
    committer.commit(batch(1, &[(a, Some(seen(5))), (b, Some(seen(6)))])).await.expect("commit");
    assert_eq!(Content::of(&store).seen, [(a, seen(5)), (b, seen(6))]);
    committer.commit(batch(2, &[(a, Some(seen(7))), (b, None)])).await.expect("commit");
    assert_eq!(Content::of(&store).seen, [(a, seen(7))]);
    // Nothing said of a peer is nothing changed, and forgetting a stranger is no error.
    committer.commit(batch(3, &[(b, None)])).await.expect("commit");
    assert_eq!(Content::of(&store).seen, [(a, seen(7))]);
}

#[tokio::test]
async fn intents_replace_each_other_and_the_name_is_kept() {
    let disk = Disk::default();
    let store = open(&disk);
    let (a, b) = ([1; 32], [2; 32]);
    let wanted = |addresses: &[&str]| Intent::Wanted { addresses: addresses.iter().map(|a| (*a).into()).collect() };
    let committer = store.committer();
    committer.keep_intent(a, wanted(&["10.0.0.7:7777", "[fd00::7]:7777"])).await.expect("kept");
    committer.keep_intent(b, wanted(&[])).await.expect("kept");
    committer.keep_intent(b, Intent::Unwanted).await.expect("kept");
    assert_eq!(store.node_id(), None);
    store.keep_node_id("uav-é").expect("kept");
    drop((committer, store));
    let store = open(&disk);
    let expected = [(a, wanted(&["10.0.0.7:7777", "[fd00::7]:7777"])), (b, Intent::Unwanted)];
    assert_eq!(store.intents().expect("readable"), expected);
    assert_eq!(store.node_id().as_deref(), Some("uav-é"));
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_everything_committed() {
    let disk = Disk::default();
    let store = open(&disk);
    let mut core = core_over(&store, 1);
    for number in 0..5 {
        core.put(&key("large"), &large(number), 0).expect("put");
        core.put(&key(&number.to_string()), &json("{}"), 0).expect("put");
        commit(&store, &mut core).await.expect("commit");
    }
    core.put(&key("not durable"), &json("{}"), 0).expect("put");
    // The old store is still open: nothing was closed, no destructor ran.
    let reopened = try_open(&disk.image()).expect("the store opens");
    assert_eq!(Content::of(&reopened), Content::of(&store));
    assert_eq!(texts(&reopened, 2).len(), 6);
    // A store keeps its own identity and epoch, whatever a later start would have drawn.
    let mode = CommitMode::Inline(Arc::new(AtOnce));
    let other = Store::open_backend(disk.image(), mode, SecretKey::from_bytes(&[8; 32]), [8; 16]).expect("opens");
    assert_eq!((other.identity().to_bytes(), other.stored().expect("readable").epoch), (IDENTITY, EPOCH));
}

#[tokio::test]
async fn a_directory_holds_a_store_over_restarts() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let at = directory.path().join("a/b");
    let store = Store::open_dir(&at).expect("creates the directory");
    let mut core = core_over(&store, 1);
    core.put(&key("d"), &json(r#"{"a":1}"#), 0).expect("put");
    commit(&store, &mut core).await.expect("commit");
    let (content, identity) = (Content::of(&store), store.identity().to_bytes());
    // The core holds a reader.
    drop((core, store));
    let store = reopen(&at).await;
    assert_eq!(Content::of(&store), content);
    assert_eq!(store.identity().to_bytes(), identity);
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(at.join(FILE_NAME)).expect("the file is there").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }
}

/// The commit thread lets go of the file a moment after its last committer is gone; nothing tells when.
async fn reopen(at: &Path) -> Store {
    loop {
        match Store::open_dir(at) {
            Ok(store) => return store,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn rows_of_members_come_and_go_also_in_a_store_that_never_had_any() {
    let disk = Disk::default();
    let store = open(&disk);
    assert_eq!(store.members().expect("readable"), []);
    let row = |port: u16| MemberRow { addresses: vec![format!("10.0.0.7:{port}")], ..MemberRow::default() };
    let committer = store.committer();
    let write = |rows| committer.keep_members(rows);
    write(vec![([1; 32], Some(row(1))), ([2; 32], Some(row(2)))]).await.expect("kept");
    write(vec![([1; 32], None), ([2; 32], Some(row(3)))]).await.expect("kept");
    assert_eq!(store.members().expect("readable"), [([2; 32], row(3))]);
}
