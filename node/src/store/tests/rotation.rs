//! The key is changed while the power fails, and rows are damaged for a check to find.

use rand::RngExt;
use redb::{ReadableDatabase, ReadableTable};

use super::disk::Cut;
use super::*;
use crate::store::lasting::Lasting;
use crate::store::row::{Row, encode_row};
use crate::store::sealed::rewrap;

fn with_key(disk: &Disk, byte: u8) -> Result<Store, StoreError> {
    let mode = CommitMode::Inline(Arc::new(AtOnce));
    let encryption = Encryption { key: StoreKey::new([byte; 32]), ..encryption() };
    Store::open_backend_with(disk.clone(), Some(encryption), mode, SecretKey::from_bytes(&IDENTITY), EPOCH)
}

#[test]
fn a_power_cut_during_a_change_of_the_key_leaves_a_store_that_one_of_the_two_opens() {
    let disk = Disk::default();
    with_key(&disk, 5).expect("created").keep_node_id("anna").expect("kept");
    let (old, new) = (StoreKey::new([5; 32]), StoreKey::new([6; 32]));
    let steps = disk.steps();
    rewrap(&Lasting::new(disk.clone()), &old, &new, &encryption().entropy).expect("changed");
    assert!(with_key(&disk.image(), 5).is_err() && with_key(&disk.image(), 6).is_ok());
    let mut cut = Cut::default();
    let mut opened = [0; 2];
    for (done, step) in disk.journal().into_iter().enumerate() {
        cut.survive(step);
        if done < steps {
            continue;
        }
        for seed in 0..40 {
            let left = cut.disk(seed);
            let one = [5, 6].map(|byte| with_key(&left.image(), byte).is_ok());
            assert!(one[0] || one[1], "step {done}, seed {seed}: nobody can open it");
            opened[0] += usize::from(one[0]);
            opened[1] += usize::from(one[1]);
            // The operator tries again with whichever opens.
            let old = if one[0] { &old } else { &new };
            rewrap(&Lasting::new(left.clone()), old, &new, &encryption().entropy).expect("changed");
            assert_eq!(with_key(&left, 6).expect("opens").node_id().as_deref(), Some("anna"));
        }
    }
    assert!(opened[0] > 0 && opened[1] > 0, "{opened:?}");
}

async fn sound() -> Store {
    sound_on(&Disk::default()).await
}

async fn sound_on(disk: &Disk) -> Store {
    let store = open(disk);
    let mut core = core_over(&store, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for number in 0..40 {
        let noise: String = (0..100).map(|_| format!("{:x}", rng.random::<u32>())).collect();
        let text = format!(r#"{{"n":{number},"noise":"{noise}"}}"#);
        core.put(&key("folded"), &json(&text), 0).expect("put");
        core.put(&key(&format!("d{}", number % 3)), &json(&format!(r#"{{"n":{number}}}"#)), 0).expect("put");
        commit(&store, &mut core).await.expect("commit");
    }
    core.put(&key("whole"), &json(r#"{"n":1}"#), 0).expect("put");
    core.delete(&key("d1"), 0).expect("delete");
    commit(&store, &mut core).await.expect("commit");
    core.set_policy("c", &"latest".parse().expect("a policy"), 0).expect("a collection");
    core.put(&key("begun"), &json(r#"{"n":1}"#), 0).expect("put");
    commit(&store, &mut core).await.expect("commit");
    store
}

/// What a store of format 2 has: every piece of a document in a row of its own.
fn as_format_2(store: &Store) {
    let txn = |db: &redb::Database| {
        let txn = db.begin_write()?;
        {
            let (mut metas, mut tail) = (txn.open_table(tables::META)?, txn.open_table(tables::TAIL)?);
            let mut snapshots = txn.open_table(tables::SNAPSHOTS)?;
            let mut rows: Vec<(String, String, Vec<u8>)> = vec![];
            for row in metas.iter()? {
                let (key, value) = row?;
                rows.push((key.value().0.to_owned(), key.value().1.to_owned(), value.value().to_vec()));
            }
            for (collection, id, row) in rows {
                let place = (collection.as_str(), id.as_str());
                let row = Row::decode(&row)?;
                if let Some((seq, change)) = row.change() {
                    tail.insert((place.0, place.1, seq), change)?;
                }
                if let Some(snapshot) = row.snapshot() {
                    snapshots.insert(place, snapshot)?;
                }
                let mut meta = postcard::to_stdvec(&row.meta).expect("encodes");
                meta.extend(row.meta.base.iter().flat_map(|base| postcard::to_stdvec(base).expect("encodes")));
                metas.insert(place, &meta[..])?;
            }
            txn.open_table(tables::INFO)?.insert("format", &2u32.to_le_bytes()[..])?;
        }
        Ok(txn.commit()?)
    };
    store.handle.write(txn).expect("written");
}

/// Whether there is anything of a document but its meta row.
fn has_pieces(store: &Store, id: &str) -> bool {
    let found = store.handle.read(|db| {
        let txn = db.begin_read()?;
        let snapshot = txn.open_table(tables::SNAPSHOTS)?.get(("c", id))?.is_some();
        Ok(snapshot || txn.open_table(tables::TAIL)?.range(("c", id, 0)..=("c", id, u64::MAX))?.next().is_some())
    });
    found.expect("readable")
}

#[tokio::test]
async fn a_store_of_format_2_is_brought_to_this_one() {
    let disk = Disk::default();
    let store = sound_on(&disk).await;
    let before = store.stored().expect("readable").docs;
    assert!(before.iter().any(|(_, meta)| meta.base.is_some()) && before.iter().any(|(_, meta)| meta.folded > 0));
    let texts =
        ["whole", "begun", "folded", "d0"].map(|id| Core::render(&mut core_over(&store, 9), &key(id)).expect("reads"));
    as_format_2(&store);
    drop(store);
    let old = disk.image();
    let store = open(&disk);
    assert_eq!(store.stored().expect("readable").docs, before);
    assert!(store.check().expect("looked at").is_sound());
    let mut core = core_over(&store, 2);
    assert_eq!(["whole", "begun", "folded", "d0"].map(|id| core.render(&key(id)).expect("reads")), texts);
    // The pieces are where they were, and come together with the next write.
    for id in ["begun", "whole"] {
        assert!(has_pieces(&store, id));
        core.put(&key(id), &json(r#"{"n":"new"}"#), 0).expect("put");
        commit(&store, &mut core).await.expect("commit");
        assert!(!has_pieces(&store, id));
    }
    assert!(store.check().expect("looked at").is_sound());
    // A power cut on the way leaves one format or the other.
    assert!(open(&old).check().expect("looked at").is_sound());
}

/// A check that has never found anything is not trusted.
#[tokio::test]
async fn a_check_finds_what_was_planted() {
    type Plant = fn(&redb::WriteTransaction) -> Result<(), redb::Error>;
    fn edit(txn: &redb::WriteTransaction, id: &str, edit: impl FnOnce(&mut Meta)) -> Result<(), redb::Error> {
        let mut table = txn.open_table(tables::META)?;
        let row = table.get(("c", id))?.expect("there").value().to_vec();
        let Row { mut meta, content } = Row::decode(&row)?;
        edit(&mut meta);
        table.insert(("c", id), &encode_row(&meta, content)[..])?;
        Ok(())
    }
    let plants: [(&str, Plant); 12] = [
        ("heads", |txn| edit(txn, "d0", |meta| meta.heads[0][0] ^= 1)),
        ("deleted", |txn| edit(txn, "d1", |meta| meta.deleted = false)),
        ("number above the last", |txn| edit(txn, "d0", |meta| meta.seq = 10_000)),
        ("size", |txn| edit(txn, "d2", |meta| meta.tail_bytes += 1)),
        ("checkpoint", |txn| edit(txn, "folded", |meta| meta.checkpoints[0].heads[0][0] ^= 1)),
        ("fold", |txn| edit(txn, "folded", |meta| meta.folded = meta.seq + 1)),
        ("lost meta", |txn| {
            txn.open_table(tables::META)?.remove(("c", "folded"))?;
            Ok(())
        }),
        ("lost snapshot", |txn| {
            txn.open_table(tables::SNAPSHOTS)?.remove(("c", "folded"))?;
            Ok(())
        }),
        ("garbage meta", |txn| {
            txn.open_table(tables::META)?.insert(("c", "d0"), &[0xff; 3][..])?;
            Ok(())
        }),
        ("garbage in the row", |txn| {
            let mut table = txn.open_table(tables::META)?;
            let mut row = table.get(("c", "whole"))?.expect("there").value().to_vec();
            row.pop();
            row.push(0xff);
            table.insert(("c", "whole"), &row[..])?;
            Ok(())
        }),
        ("change in the row and beside it", |txn| {
            txn.open_table(tables::TAIL)?.insert(("c", "whole", 1), &[0; 3][..])?;
            Ok(())
        }),
        ("orphan change", |txn| {
            txn.open_table(tables::TAIL)?.insert(("c", "who", 1), &[0; 3][..])?;
            Ok(())
        }),
    ];
    assert!(sound().await.check().expect("looked at").is_sound());
    let mut told = String::new();
    for (name, plant) in plants {
        let store = sound().await;
        let planted = store.handle.write(|db| {
            let txn = db.begin_write()?;
            plant(&txn)?;
            Ok(txn.commit()?)
        });
        planted.expect("planted");
        let checked = store.check().expect("looked at");
        assert!(!checked.is_sound(), "{name} was not found");
        told.push_str(&format!("{name}\n"));
        for problem in checked.problems {
            told.push_str(&format!("  {}: {}\n", problem.place, problem.problem));
        }
    }
    insta::assert_snapshot!(told);
}
