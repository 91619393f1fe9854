//! The key is changed while the power fails, and rows are damaged for a check to find.

use rand::RngExt;
use redb::ReadableTable;

use super::disk::Cut;
use super::*;
use crate::store::lasting::Lasting;
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
    let store = open(&Disk::default());
    let mut core = core_over(&store, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for number in 0..40 {
        let noise: String = (0..100).map(|_| format!("{:x}", rng.random::<u32>())).collect();
        let text = format!(r#"{{"n":{number},"noise":"{noise}"}}"#);
        core.put(&key("folded"), &json(&text), 0).expect("put");
        core.put(&key(&format!("d{}", number % 3)), &json(&format!(r#"{{"n":{number}}}"#)), 0).expect("put");
        commit(&store, &mut core).await.expect("commit");
    }
    core.delete(&key("d1"), 0).expect("delete");
    commit(&store, &mut core).await.expect("commit");
    store
}

/// A check that has never found anything is not trusted.
#[tokio::test]
async fn a_check_finds_what_was_planted() {
    type Plant = fn(&redb::WriteTransaction) -> Result<(), redb::Error>;
    fn edit(txn: &redb::WriteTransaction, id: &str, edit: impl FnOnce(&mut Meta)) -> Result<(), redb::Error> {
        let mut table = txn.open_table(tables::META)?;
        let mut meta: Meta = postcard::from_bytes(table.get(("c", id))?.expect("there").value()).expect("a meta row");
        edit(&mut meta);
        table.insert(("c", id), &postcard::to_stdvec(&meta).expect("encodes")[..])?;
        Ok(())
    }
    let plants: [(&str, Plant); 10] = [
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
