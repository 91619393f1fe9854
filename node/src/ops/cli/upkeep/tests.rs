//! What an operator does to a store, from a directory to a directory.

use std::path::Path;

use super::*;
use crate::api::Server;
use crate::core::document::{JsonLimits, JsonObject};
use crate::core::key::DocKey;
use crate::limits;
use crate::node::testing::lone_node;
use crate::store::{FILE_NAME, Restorer, Store};

fn key(byte: u8) -> Option<StoreKey> {
    Some(StoreKey::new([byte; 32]))
}

fn place(directory: &Path, key: Option<StoreKey>) -> Place {
    Place { data_dir: directory.into(), key }
}

/// Three collections; one document has a history and another an awkward text.
fn fill(directory: &Path, key: Option<StoreKey>) {
    let store = Store::open_dir_with(directory, key).expect("opens");
    let mut writer = store.writer().expect("readable");
    let mut put = |collection: &str, id: &str, text: &str| {
        let json = JsonObject::parse(text, &JsonLimits::default()).expect("valid");
        writer.put(&DocKey::new(collection, id).expect("valid"), &json, 0).expect("written");
    };
    for number in 0..200 {
        put("a", "often", &format!(r#"{{"n":{number},"noise":"{}"}}"#, "x".repeat(number)));
    }
    put(
        "b",
        "exact",
        r#"{"big":18446744073709551615,"small":-9223372036854775808,"third":0.1,"text":"a\"b\nc\u0000"}"#,
    );
    for number in 0..50 {
        put("c", &format!("d{number:02}"), &format!(r#"{{"n":{number}}}"#));
    }
    writer.commit().expect("durable");
}

fn documents(directory: &Path, key: Option<StoreKey>) -> Vec<(DocKey, String)> {
    let store = Store::open_dir_to_read(directory, key).expect("opens");
    store.documents(&[]).expect("readable").map(|document| document.expect("readable")).collect()
}

async fn well(task: Task) -> Done {
    match work::work(task, 0).await {
        Ok(done) => done,
        Err(Failed(why)) => panic!("{why}"),
    }
}

async fn why_not(task: Task, directory: &Path) -> String {
    match work::work(task, 0).await {
        Ok(done) => panic!("it was done: {}", done.text),
        Err(Failed(why)) => why.replace(&directory.display().to_string(), "(dir)"),
    }
}

#[tokio::test]
async fn an_export_is_imported_as_it_was() {
    let (from, to) = (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    fill(from.path(), key(1));
    let file = to.path().join("lines");
    let export = |collections: Vec<String>, out| Task::Export { place: place(from.path(), key(1)), collections, out };
    assert_eq!(well(export(vec![], Some(file.clone()))).await.text, "52 documents\n");
    let lines = std::fs::read_to_string(&file).expect("written");
    insta::assert_snapshot!(lines.lines().nth(1).expect("a line"), @r#"{"collection":"b","doc_id":"exact","json_data":"{\"big\":18446744073709551615,\"small\":-9223372036854775808,\"third\":0.1,\"text\":\"a\\\"b\\nc\\u0000\"}"}"#);
    let import = || Task::Import { place: place(to.path(), None), collections: vec![], from: Some(file.clone()) };
    assert_eq!(well(import()).await.text, "52 documents taken, 0 lines refused\n");
    assert_eq!(documents(to.path(), None), documents(from.path(), key(1)));
    // Again: nothing changes, not even the history.
    let before = well(Task::Check(place(to.path(), None))).await.text;
    well(import()).await;
    assert_eq!(well(Task::Check(place(to.path(), None))).await.text, before);
    let some = to.path().join("some");
    assert_eq!(well(export(vec!["b".into()], Some(some.clone()))).await.text, "1 documents\n");
    insta::assert_snapshot!(why_not(export(vec![], Some(some)), to.path()).await, @"(dir)/some: File exists (os error 17)");
}

#[tokio::test]
async fn lines_that_are_no_documents_are_named_and_the_others_taken() {
    let directory = tempfile::tempdir().expect("temporary");
    let file = directory.path().join("lines");
    let lines = [
        r#"{"collection":"c","doc_id":"good","json_data":"{}"}"#,
        "",
        "nonsense",
        r#"{"collection":"","doc_id":"d","json_data":"{}"}"#,
        r#"{"collection":"c","doc_id":"d","json_data":"[]"}"#,
        r#"{"collection":"c","doc_id":"d","json":"{}"}"#,
        r#"{"collection":"c","doc_id":"good too","json_data":"{}"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).expect("written");
    let done = well(Task::Import { place: place(directory.path(), None), collections: vec![], from: Some(file) }).await;
    assert!(!done.well);
    insta::assert_snapshot!(done.text);
    assert_eq!(documents(directory.path(), None).len(), 2);
}

#[tokio::test]
async fn a_key_is_changed_and_a_store_encrypted_and_decrypted() {
    let directory = tempfile::tempdir().expect("temporary");
    let path = directory.path();
    fill(path, None);
    let content = documents(path, None);
    let identity = |key| Store::open_dir_to_read(path, key).expect("opens").identity().to_bytes();
    let who = identity(None);
    let rotate = |old: Option<StoreKey>, new: Option<StoreKey>, reencrypt| Task::RotateKey {
        place: place(path, old),
        new,
        reencrypt,
    };
    let bytes = || std::fs::read(path.join(FILE_NAME)).expect("readable");
    let steps = [(None, key(1), true), (key(1), key(2), false), (key(2), key(3), true), (key(3), None, true)];
    for (old, new, reencrypt) in steps {
        let before = bytes();
        well(rotate(old.clone(), new.clone(), reencrypt)).await;
        assert_eq!(documents(path, new.clone()), content);
        assert_eq!(identity(new.clone()), who);
        assert!(well(Task::Check(place(path, new))).await.well);
        assert!(Store::open_dir_to_read(path, old).is_err(), "the old key still opens it");
        let after = bytes();
        let records = |bytes: &[u8]| -> Vec<Vec<u8>> {
            bytes[16_384..]
                .chunks(4136)
                .filter(|record| record.iter().any(|byte| *byte != 0))
                .map(<[u8]>::to_vec)
                .collect()
        };
        let (before, after) = (records(&before), records(&after));
        let kept = before.iter().any(|record| after.contains(record));
        assert_eq!(kept, !reencrypt, "pages are written anew exactly if asked for");
    }
    insta::assert_snapshot!(why_not(rotate(key(1), key(2), false), path).await.replace(&path.display().to_string(), "(dir)"), @"the store at (dir)/peat.redb is not encrypted, but a key was given: leave out --encryption-key (PEAT_NODE_ENCRYPTION_KEY), or encrypt the store with peat-node rotate-key");
    assert_eq!(documents(path, None), content);
}

#[tokio::test]
async fn a_check_changes_nothing_and_keeps_away_from_a_running_node() {
    for key in [None, key(1)] {
        let directory = tempfile::tempdir().expect("temporary");
        fill(directory.path(), key.clone());
        let running = Store::open_dir_with(directory.path(), key.clone()).expect("opens");
        running.keep_node_id("anna").expect("kept");
        let check = |path: &Path| Task::Check(place(path, key.clone()));
        let told = why_not(check(directory.path()), directory.path()).await;
        assert_eq!(
            told,
            "the store at (dir)/peat.redb is in use: a node, or another command, runs on it; stop that first"
        );
        // As after a kill: redb has to repair it, in memory.
        let copy = tempfile::tempdir().expect("temporary");
        let file = copy.path().join(FILE_NAME);
        std::fs::copy(directory.path().join(FILE_NAME), &file).expect("copied");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o400)).expect("set");
        let before = std::fs::read(&file).expect("readable");
        let done = well(check(copy.path())).await;
        assert!(done.well, "{}", done.text);
        assert!(std::fs::read(&file).expect("readable") == before, "it was changed");
        drop(running);
        assert!(well(check(directory.path())).await.well);
    }
    let nothing = tempfile::tempdir().expect("temporary");
    insta::assert_snapshot!(why_not(Task::Check(place(nothing.path(), None)), nothing.path()).await, @"the store at (dir)/peat.redb cannot be opened: No such file or directory (os error 2)");
}

#[tokio::test]
async fn space_that_nothing_uses_is_given_back() {
    for key in [None, key(1)] {
        let directory = tempfile::tempdir().expect("temporary");
        fill(directory.path(), key.clone());
        // The file doubles as it grows.
        let store = Store::open_dir_with(directory.path(), key.clone()).expect("opens");
        let mut writer = store.writer().expect("readable");
        for number in 0..900 {
            let json = format!(r#"{{"n":{number},"noise":"{}"}}"#, "x".repeat(900));
            let json = JsonObject::parse(&json, &JsonLimits::default()).expect("valid");
            writer.put(&DocKey::new("d", number.to_string()).expect("valid"), &json, 0).expect("written");
        }
        writer.commit().expect("durable");
        drop(writer);
        drop(store);
        let content = documents(directory.path(), key.clone());
        let done = well(Task::Compact(place(directory.path(), key.clone()))).await;
        let bytes = |name: &str| done.json[name].as_u64().expect("a number");
        assert!(bytes("bytes_after") < bytes("bytes_before"), "{}", done.text);
        assert_eq!(std::fs::metadata(directory.path().join(FILE_NAME)).expect("there").len(), bytes("bytes_after"));
        assert_eq!(documents(directory.path(), key.clone()), content);
        assert!(well(Task::Check(place(directory.path(), key))).await.well);
    }
}

/// Over the API of a node that is being written to: what is copied is one moment, and no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_node_is_a_sound_store_without_its_key() {
    let directory = tempfile::tempdir().expect("temporary");
    fill(directory.path(), None);
    let node = lone_node(Store::open_dir(directory.path()).expect("opens")).await;
    let listen = Listen::Unix(directory.path().join("api.sock"));
    let server = Server::bind(&listen).await.expect("bound");
    let stop = tokio_util::sync::CancellationToken::new();
    let (mut serving, mut writing) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    serving.spawn(server.serve(node.handle().clone(), stop.clone()));
    let handle = node.handle().clone();
    writing.spawn(async move {
        for number in 0.. {
            handle.put("c", &format!("w{}", number % 30), &format!(r#"{{"n":{number}}}"#)).await.expect("written");
            // Where the disk is fast it never waits.
            tokio::task::yield_now().await;
        }
    });
    let copies = tempfile::tempdir().expect("temporary");
    let out = copies.path().join(FILE_NAME);
    let backup =
        || Task::Backup { api: listen.clone(), credentials: Credentials::default(), out: out.clone(), key: key(4) };
    let done = well(backup()).await;
    assert!(done.well, "{}", done.text);
    assert!(why_not(backup(), copies.path()).await.contains("File exists"));
    writing.shutdown().await;
    // A connection that is only aborted may hold the store a moment longer.
    stop.cancel();
    while serving.join_next().await.is_some() {}
    node.shutdown().await;
    let copy = Store::open_dir_to_read(copies.path(), key(4)).expect("opens");
    let origin = Store::open_dir_to_read(directory.path(), None).expect("opens");
    assert_ne!(copy.identity().to_bytes(), origin.identity().to_bytes());
    let stable = |store: &Store| -> Vec<(DocKey, String)> {
        let documents = store.documents(&[]).expect("readable").map(|document| document.expect("readable"));
        documents.filter(|(key, _)| !key.id().starts_with('w')).collect()
    };
    assert_eq!(stable(&copy), stable(&origin));
    assert_eq!(stable(&copy).len(), 52);
}

/// Chunks end anywhere in a table: what follows goes on exactly there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_many_chunks_has_every_row_once() {
    let directory = tempfile::tempdir().expect("temporary");
    fill(directory.path(), None);
    let node = lone_node(Store::open_dir(directory.path()).expect("opens")).await;
    let mut noise = 1_u64;
    for number in 0..60 {
        // What repeats itself would be packed.
        let long: String = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (noise >> 33) as u8 % 26)
        })
        .take(30 << 10)
        .collect();
        let text = format!(r#"{{"n":{number},"long":"{long}"}}"#);
        node.handle().put("c", &format!("long{number}"), &text).await.expect("written");
    }
    let copies = tempfile::tempdir().expect("temporary");
    let copy = Store::open_dir(copies.path()).expect("opens");
    let (mut restorer, mut chunks) = (Restorer::new(&copy), 0);
    {
        let mut backup = node.handle().backup().expect("the only one");
        while let Some(chunk) = backup.chunk().expect("readable") {
            assert!(chunk.len() < limits::BACKUP_CHUNK_BYTES + (64 << 10), "one row beyond the limit at most");
            restorer.take(&chunk).expect("whole");
            chunks += 1;
        }
    }
    restorer.finish().expect("ended");
    assert!(chunks >= 4, "{chunks}");
    node.shutdown().await;
    let all = |store: &Store| -> Vec<(DocKey, String)> {
        store.documents(&[]).expect("readable").map(|document| document.expect("readable")).collect()
    };
    let origin = Store::open_dir_to_read(directory.path(), None).expect("opens");
    assert_eq!(all(&copy), all(&origin));
    assert_eq!(all(&copy).len(), 52 + 60);
}
