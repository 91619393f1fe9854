//! What encryption at rest hides, and what it notices.

use super::*;

const SECRET: &str = "the-cargo-is-oranges";

async fn written(encrypted: bool) -> Disk {
    let disk = Disk::default();
    let store = open_as(&disk, encrypted);
    let mut core = core_over(&store, 1);
    for number in 0..50 {
        let text = format!(r#"{{"what":"{SECRET}","number":{number}}}"#);
        core.put(&key(&format!("{SECRET}-{number}")), &json(&text), 0).expect("put");
        commit(&store, &mut core).await.expect("commit");
    }
    disk
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

#[tokio::test]
async fn nothing_that_is_stored_can_be_read_from_the_disk() {
    // The secrets are found where there is no encryption, so this is able to find them.
    for encrypted in [false, true] {
        let bytes = written(encrypted).await.bytes();
        assert_eq!(holds(&bytes, SECRET.as_bytes()), !encrypted, "values and ids");
        assert_eq!(holds(&bytes, &IDENTITY), !encrypted, "the node's key");
        assert_eq!(holds(&bytes, b"snapshots"), !encrypted, "names of tables");
    }
}

#[tokio::test]
async fn a_store_with_a_page_of_another_place_or_another_time_is_not_believed() {
    let disk = written(true).await;
    let whole = disk.bytes();
    const RECORD: usize = 4136;
    let pages = (whole.len() - 16_384) / RECORD;
    let record = |page: usize| 16_384 + page * RECORD..16_384 + (page + 1) * RECORD;
    let used: Vec<usize> = (1..pages).filter(|page| whole[record(*page)].iter().any(|byte| *byte != 0)).collect();
    let (mut noticed, mut unused) = (0, 0);
    for pair in used.windows(2) {
        let mut bytes = whole.clone();
        bytes.copy_within(record(pair[0]), record(pair[1]).start);
        let sound = match try_open_as(&Disk::with(bytes), true) {
            Err(_) => false,
            Ok(store) => {
                let intact = store.check().is_ok_and(|checked| checked.is_sound());
                intact.then(|| texts(&store, 2)).is_some_and(|texts| texts.len() == 50)
            }
        };
        *if sound { &mut unused } else { &mut noticed } += 1;
    }
    // A page that is free at the moment is not looked at.
    assert!(noticed > 6, "{noticed} noticed, {unused} not in use");
}

#[test]
fn a_page_that_is_written_twice_never_looks_the_same() {
    let disk = Disk::default();
    let store = open_as(&disk, true);
    let image = disk.image();
    drop(store);
    // Randomness begins again with every life: the salts differ all the same, since the content does.
    let (one, two) = (image.image(), image);
    for (disk, value) in [(&one, b"1"), (&two, b"2")] {
        open_as(disk, true).keep_node_id(std::str::from_utf8(value).expect("text")).expect("kept");
    }
    let (one, two) = (one.bytes(), two.bytes());
    let mut differing = 0;
    for (one, two) in one[16_384..].chunks(4136).zip(two[16_384..].chunks(4136)) {
        if one != two {
            differing += 1;
            assert_ne!(one[..24], two[..24], "one key for two contents");
        }
    }
    assert!(differing > 0);
}
