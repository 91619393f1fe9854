//! The power fails at every write and every sync, from the moment that the store has been created: a cut before
//! that leaves a file that redb 4 refuses to open ("magic number mismatch"), with nothing in it yet.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::disk::Cut;
use super::*;

const BATCHES: u8 = 60;

/// What a run has acknowledged, and when.
struct Acknowledged {
    /// Steps of the disk until then.
    steps: usize,
    content: Content,
    texts: Vec<(String, String)>,
}

/// Commits batches of one to four writes: puts large enough to be folded soon, and deletes.
async fn run(disk: &Disk, rng: &mut ChaCha8Rng) -> Vec<Acknowledged> {
    let store = open(disk);
    let mut core = core_over(&store, 1);
    let acknowledged = |store: &Store, life| Acknowledged {
        steps: disk.steps(),
        content: Content::of(store),
        texts: texts(store, life),
    };
    let mut history = vec![acknowledged(&store, 2)];
    for number in 0..BATCHES {
        for write in 0..rng.random_range(1..5u8) {
            let key = key(&format!("d{}", rng.random_range(0..6)));
            if rng.random_ratio(1, 6) {
                core.delete(&key, 0).expect("delete");
            } else {
                let noise: String =
                    (0..rng.random_range(0..400)).map(|_| format!("{:x}", rng.random::<u32>())).collect();
                core.put(&key, &json(&format!(r#"{{"at":[{number},{write}],"noise":"{noise}"}}"#)), 0).expect("put");
            }
        }
        let Some(mut batch) = core.take_batch() else { continue };
        batch.seen.insert([rng.random_range(0..3); 32], Some(seen(number.into())));
        let last = batch.last;
        store.committer().commit(batch).await.expect("commit");
        core.committed(last, Duration::ZERO);
        history.push(acknowledged(&store, number + 3));
    }
    assert!(history.last().expect("some").content.docs.iter().any(|(_, meta, ..)| meta.folded > 0), "no folds");
    history
}

/// What was acknowledged is there; a batch that was under way is there whole or not at all; numbers never
/// go back; and the store that is found works on.
#[tokio::test]
async fn a_power_cut_at_any_step_loses_nothing_acknowledged_and_tears_no_batch() {
    let disk = Disk::default();
    let history = run(&disk, &mut ChaCha8Rng::seed_from_u64(60)).await;
    let journal = disk.journal();
    let created = history[0].steps;
    let mut cut = Cut::default();
    let (mut newest, mut outcomes) = (0, [0usize; 2]);
    for (done, step) in journal.into_iter().enumerate() {
        if done >= created {
            while history.get(newest + 1).is_some_and(|next| next.steps <= done) {
                newest += 1;
            }
            for seed in 0..2 {
                let found = open(&cut.disk(seed * 100_000 + done as u64));
                let content = Content::of(&found);
                let ahead = usize::from(content != history[newest].content);
                let expected = history.get(newest + ahead).unwrap_or_else(|| panic!("step {done}: unknown content"));
                assert_eq!(content, expected.content, "step {done}, seed {seed}");
                assert!(content.last >= history[newest].content.last, "step {done}: numbers went back");
                outcomes[ahead] += 1;
                if done % 16 == 0 {
                    assert_eq!(texts(&found, 200), expected.texts, "step {done}, seed {seed}");
                    works_on(&found).await;
                }
            }
        }
        cut.survive(step);
    }
    assert!(outcomes[0] > 100 && outcomes[1] > 0, "cuts before and after the point of no return: {outcomes:?}");
}

async fn works_on(store: &Store) {
    let mut core = core_over(store, 201);
    core.put(&key("after"), &json(r#"{"power":"back"}"#), 0).expect("put");
    commit(store, &mut core).await.expect("commit");
    let (texts, expected) = (texts(store, 202), ("after".to_owned(), r#"{"power":"back"}"#.to_owned()));
    assert!(texts.contains(&expected), "{texts:?}");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_disk() {
    let (one, two) = (Disk::default(), Disk::default());
    run(&one, &mut ChaCha8Rng::seed_from_u64(1)).await;
    run(&two, &mut ChaCha8Rng::seed_from_u64(1)).await;
    assert_eq!(one.steps(), two.steps());
    assert_eq!(Content::of(&open(&one.image())), Content::of(&open(&two.image())));
}
