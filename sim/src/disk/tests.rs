//! Random writes, syncs and crashes against a model; then redb over the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::*;

struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    fn clock(&self) -> Clock {
        let micros = self.0.clone();
        Arc::new(move || Duration::from_micros(micros.load(Ordering::Relaxed)))
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// Every byte after a crash is one that was durable or one that was written since; what was durable and
/// not written over is untouched.
#[test]
fn a_crash_keeps_what_was_synced_and_invents_nothing() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let clock = ManualClock::new();
        let disk = Disk::new(seed, clock.clock());
        let mut mount = disk.mount();
        const LEN: usize = 20_000;
        mount.set_len(LEN as u64).unwrap();
        mount.sync_data().unwrap();
        clock.pass(disk.until_durable() + Duration::from_micros(1));
        // Per byte: the durable value, and every value written since.
        let mut durable = vec![0_u8; LEN];
        let mut visible = durable.clone();
        let mut since: Vec<Vec<u8>> = vec![Vec::new(); LEN];
        for step in 0..60_u8 {
            match below(&mut rng, 10) {
                0..=5 => {
                    let offset = below(&mut rng, LEN as u64 - 3000) as usize;
                    let length = 1 + below(&mut rng, 3000) as usize;
                    let value = step + 1;
                    mount.write(offset as u64, &vec![value; length]).unwrap();
                    for at in offset..offset + length {
                        visible[at] = value;
                        since[at].push(value);
                    }
                }
                6 | 7 => {
                    mount.sync_data().unwrap();
                    clock.pass(disk.until_durable() + Duration::from_micros(1));
                    durable.clone_from(&visible);
                    since.iter_mut().for_each(Vec::clear);
                }
                8 => {
                    let mut seen = vec![0; LEN];
                    mount.read(0, &mut seen).unwrap();
                    assert_eq!(seen, visible, "seed {seed}: the process must read what it wrote");
                }
                _ => {
                    disk.crash();
                    assert!(mount.write(0, b"ghost").is_err(), "a dead process must not write");
                    mount = disk.mount();
                    let mut found = vec![0; LEN];
                    mount.read(0, &mut found).unwrap();
                    for at in 0..LEN {
                        let possible = found[at] == durable[at] || since[at].contains(&found[at]);
                        assert!(possible, "seed {seed}: byte {at} is {}, invented", found[at]);
                    }
                    durable.clone_from(&found);
                    visible = found;
                    since.iter_mut().for_each(Vec::clear);
                }
            }
        }
    }
}

#[test]
fn a_sync_covers_nothing_before_it_is_complete() {
    let clock = ManualClock::new();
    let disk = Disk::new(3, clock.clock());
    let mount = disk.mount();
    mount.set_len(512).unwrap();
    mount.sync_data().unwrap();
    let wait = disk.until_durable();
    assert!(wait >= SYNC_MIN && wait <= SYNC_MIN + SYNC_JITTER);
    clock.pass(wait + Duration::from_micros(1));
    assert_eq!(disk.until_durable(), Duration::ZERO);

    mount.write(0, &[1; 512]).unwrap();
    mount.sync_data().unwrap();
    // Issued while the sync was under way: a real process would still have been waiting.
    mount.write(0, &[2; 512]).unwrap();
    disk.crash();
    let mut found = [9; 512];
    disk.mount().read(0, &mut found).unwrap();
    assert!(found[0] == 0 || found[0] == 1, "write {} overtook a sync", found[0]);
}

#[test]
fn shrinking_and_growing_leaves_zeros() {
    let disk = Disk::new(3, ManualClock::new().clock());
    let mount = disk.mount();
    mount.write(0, &[7; 10_000]).unwrap();
    mount.set_len(5_000).unwrap();
    mount.set_len(10_000).unwrap();
    let mut found = vec![9; 10_000];
    mount.read(0, &mut found).unwrap();
    assert!(found[..5_000].iter().all(|byte| *byte == 7) && found[5_000..].iter().all(|byte| *byte == 0));
    assert!(mount.read(9_999, &mut [0; 2]).is_err());
}

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

/// What a store relies on: whatever a completed commit wrote is there after any number of crashes at any
/// moment, and the database opens.
#[test]
fn redb_over_it_never_loses_a_durable_commit() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + seed);
        let clock = ManualClock::new();
        let disk = Disk::new(seed, clock.clock());
        let mut model: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for life in 0..6 {
            let opened = Database::builder().create_with_backend(disk.mount());
            let database = opened.unwrap_or_else(|e| panic!("seed {seed}, life {life}: {e}"));
            clock.pass(disk.until_durable() + Duration::from_micros(1));
            let rows = rows(&database);
            for (key, value) in &model {
                assert_eq!(rows.get(key), Some(value), "seed {seed}, life {life}: durable row {key} is lost");
            }
            model = rows;
            for _ in 0..below(&mut rng, 8) {
                let mut after = model.clone();
                commit(&database, &mut rng, &mut after);
                if below(&mut rng, 4) == 0 {
                    // The power fails while the disk is syncing.
                    let share = below(&mut rng, 100);
                    clock.pass(disk.until_durable() * u32::try_from(share).unwrap() / 100);
                    if disk.until_durable() > Duration::ZERO {
                        let possible = [model.clone(), after];
                        disk.crash();
                        drop(database);
                        model = reopened(&disk, &clock, &possible, seed);
                        break;
                    }
                } else {
                    clock.pass(disk.until_durable() + Duration::from_micros(1));
                }
                model = after;
            }
            disk.crash();
        }
    }
}

fn commit(database: &Database, rng: &mut ChaCha8Rng, model: &mut BTreeMap<u64, Vec<u8>>) {
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(TABLE).unwrap();
        for _ in 0..=below(rng, 40) {
            let key = below(rng, 200);
            if below(rng, 5) == 0 {
                table.remove(key).unwrap();
                model.remove(&key);
            } else {
                let value = vec![below(rng, 256) as u8; below(rng, 3000) as usize];
                table.insert(key, value.as_slice()).unwrap();
                model.insert(key, value);
            }
        }
    }
    transaction.commit().unwrap();
}

fn rows(database: &Database) -> BTreeMap<u64, Vec<u8>> {
    let transaction = database.begin_read().unwrap();
    let Ok(table) = transaction.open_table(TABLE) else { return BTreeMap::new() };
    table.iter().unwrap().map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())).unwrap()).collect()
}

/// A commit that was under way happened entirely or not at all.
fn reopened(
    disk: &Disk,
    clock: &ManualClock,
    possible: &[BTreeMap<u64, Vec<u8>>],
    seed: u64,
) -> BTreeMap<u64, Vec<u8>> {
    let database = Database::builder().create_with_backend(disk.mount()).unwrap();
    clock.pass(disk.until_durable() + Duration::from_micros(1));
    let found = rows(&database);
    assert!(possible.contains(&found), "seed {seed}: a torn commit is half there");
    found
}
