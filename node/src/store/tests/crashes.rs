//! A run of 1,000 operations, and a power cut at every single write of it, plain and encrypted: whatever was acknowledged is
//! there, the store opens, and a check finds nothing wrong.
//!
//! The run is made once and its journal kept; the disk that each cut leaves behind is built from the journal.

use rand::RngExt;

use super::disk::{Cut, Step};
use super::*;

const OPERATIONS: u32 = 1000;
const DOCUMENTS: u32 = 40;
/// Every so many cuts everything is compared and checked; at every other one only what a commit changes.
const THOROUGH_EVERY: usize = 8;

/// What was durable after a commit, and the steps of the disk until then.
struct Commit {
    steps: usize,
    last: Seq,
    /// Newest change and heads of each document.
    heads: Vec<(DocKey, Seq, Vec<[u8; 32]>)>,
}

fn commit_of(disk: &Disk, store: &Store) -> Commit {
    let stored = store.stored().expect("readable");
    let heads = stored.docs.into_iter().map(|(key, meta)| (key, meta.seq, meta.heads)).collect();
    Commit { steps: disk.steps(), last: stored.last, heads }
}

/// Puts, edits and deletes; as many to a commit as a few clients would have under way.
async fn run(disk: &Disk, encrypted: bool) -> Vec<Commit> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let store = open_as(disk, encrypted);
    let mut core = core_over(&store, 1);
    let mut commits = vec![commit_of(disk, &store)];
    let mut done = 0;
    while done < OPERATIONS {
        for _ in 0..rng.random_range(1..8u32).min(OPERATIONS - done) {
            let key = key(&format!("d{}", rng.random_range(0..DOCUMENTS)));
            if rng.random_ratio(1, 8) {
                core.delete(&key, 0).expect("delete");
            } else {
                let noise: String =
                    (0..rng.random_range(0..60)).map(|_| format!("{:x}", rng.random::<u32>())).collect();
                core.put(&key, &json(&format!(r#"{{"at":{done},"noise":"{noise}"}}"#)), 0).expect("put");
            }
            done += 1;
        }
        let Some(batch) = core.take_batch() else { continue };
        let last = batch.last;
        store.committer().commit(batch).await.expect("commit");
        core.committed(last, Duration::ZERO);
        commits.push(commit_of(disk, &store));
    }
    // Closing writes too.
    drop(core);
    drop(store);
    commits
}

async fn cut_at_every_write(encrypted: bool) {
    let disk = Disk::default();
    let commits = run(&disk, encrypted).await;
    let journal = disk.journal();
    let mut cut = Cut::default();
    let (mut newest, mut cuts, mut kept, mut ahead_count) = (0, 0, 0, 0);
    for (done, step) in journal.into_iter().enumerate() {
        let writes = !matches!(step, Step::Sync);
        cut.survive(step);
        let done = done + 1;
        if done < commits[0].steps || !writes {
            continue;
        }
        while commits.get(newest + 1).is_some_and(|next| next.steps <= done) {
            newest += 1;
        }
        let left = cut.disk(done as u64);
        let found = try_open_as(&left, encrypted).unwrap_or_else(|error| panic!("cut after step {done}: {error}"));
        let state = commit_of(&left, &found);
        let ahead = usize::from(state.last > commits[newest].last);
        let expected = commits.get(newest + ahead).unwrap_or_else(|| panic!("step {done}: nobody wrote that"));
        assert_eq!((state.last, &state.heads), (expected.last, &expected.heads), "cut after step {done}");
        *if ahead == 0 { &mut kept } else { &mut ahead_count } += 1;
        if cuts % THOROUGH_EVERY == 0 {
            let checked = found.check().expect("can be looked at");
            assert!(checked.is_sound(), "cut after step {done}: {checked:?}");
        }
        cuts += 1;
    }
    println!("{cuts} cuts in {} commits: {kept} found the last commit, {ahead_count} the one under way", commits.len());
    assert!(cuts > 2000 && ahead_count > 0, "{cuts} cuts, {ahead_count} of them past the point of no return");
}

#[tokio::test]
async fn a_power_cut_at_every_write_of_a_thousand_operations_loses_nothing() {
    cut_at_every_write(false).await;
}

#[tokio::test]
async fn the_same_holds_for_an_encrypted_store() {
    cut_at_every_write(true).await;
}
