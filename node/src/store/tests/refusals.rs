//! Stores that cannot be used, and what the operator is told.

use super::*;

fn told(result: Result<Store, StoreError>, directory: &Path) -> String {
    result.expect_err("refused").to_string().replace(&directory.display().to_string(), "(dir)")
}

#[test]
fn a_store_of_another_format_is_refused() {
    let disk = Disk::default();
    let store = open(&disk);
    store.handle.write(|db| tables::set_info(db, "format", &7u32.to_le_bytes())).expect("written");
    drop(store);
    let error = try_open(&disk).expect_err("refused");
    assert!(matches!(error, StoreError::Format { found: 7, known: FORMAT, .. }), "{error:?}");
    insta::assert_snapshot!(error, @"the store at a storage backend has format 7, this version knows 3; use the version that wrote it");
    // Refusing changes nothing.
    assert!(matches!(try_open(&disk), Err(StoreError::Format { found: 7, .. })));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let disk = Disk::default();
    {
        let db = redb::Database::builder().create_with_backend(disk.clone()).expect("created");
        let txn = db.begin_write().expect("begun");
        txn.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).expect("opened");
        txn.commit().expect("committed");
    }
    insta::assert_snapshot!(try_open(&disk).expect_err("refused"), @"the store at a storage backend cannot be read: Table 'info' does not exist");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join(FILE_NAME);
    let content = "notes on nothing in particular\n".repeat(1000);
    std::fs::write(&file, &content).expect("written");
    insta::assert_snapshot!(told(Store::open_dir(directory.path()), directory.path()), @"the store at (dir)/peat.redb cannot be opened: I/O error: Not a redb database: magic number mismatch");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), content);
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    insta::assert_snapshot!(told(Store::open_dir(&file), directory.path()), @"the store at (dir)/file/peat.redb cannot be created: File exists (os error 17)");
}

#[test]
fn a_store_in_use_is_refused_to_a_second_process() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let first = Store::open_dir(directory.path()).expect("opens");
    insta::assert_snapshot!(told(Store::open_dir(directory.path()), directory.path()), @"the store at (dir)/peat.redb is in use: a node, or another command, runs on it; stop that first");
    drop(first);
    Store::open_dir(directory.path()).expect("opens once the first is gone");
}

const KEY: [u8; 32] = [1; 32];

#[test]
fn an_encrypted_store_opens_with_its_key_and_with_no_other() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    let with = |key: Option<[u8; 32]>| Store::open_dir_with(path, key.map(StoreKey::new));
    let identity = with(Some(KEY)).expect("created").identity().to_bytes();
    assert_eq!(with(Some(KEY)).expect("opened").identity().to_bytes(), identity);
    insta::assert_snapshot!(told(with(Some([2; 32])), path), @"the key given as --encryption-key does not open the store at (dir)/peat.redb: it is not the key of this store");
    insta::assert_snapshot!(told(with(None), path), @"the store at (dir)/peat.redb is encrypted: give its key with --encryption-key or PEAT_NODE_ENCRYPTION_KEY");
    // Refusing changes nothing.
    assert_eq!(with(Some(KEY)).expect("opened").identity().to_bytes(), identity);
}

#[test]
fn a_plain_store_is_refused_with_a_key() {
    let directory = tempfile::tempdir().expect("temporary directory");
    drop(Store::open_dir(directory.path()).expect("created"));
    let with_key = || Store::open_dir_with(directory.path(), Some(StoreKey::new(KEY)));
    insta::assert_snapshot!(told(with_key(), directory.path()), @"the store at (dir)/peat.redb is not encrypted, but a key was given: leave out --encryption-key (PEAT_NODE_ENCRYPTION_KEY), or encrypt the store with peat-node rotate-key");
    Store::open_dir(directory.path()).expect("unharmed");
}

#[test]
fn an_encrypted_store_of_a_later_layout_or_with_damaged_key_slots_is_refused() {
    let disk = Disk::default();
    drop(open_as(&disk, true));
    let whole = disk.bytes();
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    drop(open_as(&Disk::with(bytes.clone()), true));
    bytes[4096 + 50] ^= 1;
    insta::assert_snapshot!(try_open_as(&Disk::with(bytes), true).expect_err("refused"), @"the store at a storage backend cannot be opened: both key slots are damaged; restore a backup");
    // Both copies of the header.
    let mut bytes = whole;
    (bytes[8192 + 40], bytes[12_288 + 40]) = (!bytes[8192 + 40], !bytes[12_288 + 40]);
    insta::assert_snapshot!(try_open_as(&Disk::with(bytes), true).expect_err("refused"), @"the store at a storage backend cannot be opened: both copies of the database's header are damaged; restore a backup");
}
