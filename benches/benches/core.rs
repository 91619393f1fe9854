//! The parts on the path of every document, one at a time, each beside its floor where there is one: what the library
//! or the machine below it takes for the same, so that the difference is ours. The whole takes about a minute:
//! `cargo bench -p peat-benches --bench core`.

// Real time is the point here.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use automerge::transaction::Transactable;
use automerge::{AutoCommit, Change, ROOT, ScalarValue};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use peat_node::core::batch::{Batch, DocRows};
use peat_node::core::document::{ActorId, Document, JsonLimits, JsonObject};
use peat_node::core::index::{Index, Meta};
use peat_node::core::key::DocKey;
use peat_node::core::reconcile::{History, Marks, Reconcile, View};
use peat_node::core::wire::{Control, Data, Ordinal, Recall, Update};
use peat_node::store::{Store, StoreKey};
use peat_scenarios::SimTime;
use peat_scenarios::physics::Link;
use peat_scenarios::profiles::Profile;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Documents in the index: some ships, a fleet of two brigades, everything a country has.
const INDEXED: [u64; 3] = [1000, 10_000, 100_000];

fn telemetry(n: u64) -> String {
    format!(
        r#"{{"vessel":"ship-7","seq":{n},"lat":54.25,"lon":10.5,"speed_mps":7.5,"fuel_pct":{},"status":"under way","note":"on station"}}"#,
        n % 100
    )
}

fn parse(text: &str) -> JsonObject {
    let limits = JsonLimits { max_bytes: 1 << 20, max_depth: 64 };
    JsonObject::parse(text, &limits).expect("an object")
}

fn actor(n: u8) -> ActorId {
    ActorId::from([n; 12])
}

fn document(c: &mut Criterion) {
    let mut group = c.benchmark_group("document");
    let (first, second) = (parse(&telemetry(1)), parse(&telemetry(2)));
    let mut base = Document::new(actor(1));
    let created = base.put(&first, 0).expect("a put").expect("a change");
    let mut edited = base.clone();
    let change = edited.put(&second, 0).expect("a put").expect("a change");
    let saved = base.save();

    group.bench_function("parse", |b| b.iter(|| parse(black_box(&telemetry(1)))));
    group.bench_function("create", |b| b.iter(|| Document::new(actor(1)).put(black_box(&first), 0)));
    group.bench_function("put, 2 of 8 fields differ", |b| {
        b.iter_batched_ref(|| base.clone(), |document| document.put(black_box(&second), 0), BatchSize::SmallInput);
    });
    group.bench_function("put, nothing differs", |b| {
        b.iter_batched_ref(|| base.clone(), |document| document.put(black_box(&first), 0), BatchSize::SmallInput);
    });
    group.bench_function("apply a new document", |b| b.iter(|| Document::new(actor(2)).apply(black_box(&created))));
    group.bench_function("apply a change", |b| {
        b.iter_batched_ref(|| base.clone(), |document| document.apply(black_box(&change)), BatchSize::SmallInput);
    });
    automerge_floors(&mut group);
    group.bench_function("render", |b| b.iter(|| base.render()));
    group.bench_function("save", |b| b.iter(|| base.save()));
    group.bench_function("load", |b| b.iter(|| Document::load(actor(1), Some(black_box(&saved)), std::iter::empty())));
    group.finish();
}

/// The same document as Automerge has it: eight scalars in the root, and nothing of ours around them.
fn automerge_floors(group: &mut BenchmarkGroup<'_, WallTime>) {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&telemetry(1)).expect("an object");
    let create = || {
        let mut document = AutoCommit::new();
        for (name, value) in &fields {
            let value = match value {
                serde_json::Value::Number(number) => ScalarValue::F64(number.as_f64().unwrap_or_default()),
                other => ScalarValue::Str(other.to_string().into()),
            };
            document.put(ROOT, name, value).expect("a put");
        }
        document.commit();
        document
    };
    let edit = |document: &mut AutoCommit| {
        document.put(ROOT, "seq", 2).expect("a put");
        document.put(ROOT, "fuel_pct", 3).expect("a put");
        document.commit()
    };
    let base = create();
    let mut edited = base.clone();
    edit(&mut edited);
    let change: Vec<Change> = edited.get_last_local_change().into_iter().collect();
    let saved = base.clone().save();
    group.bench_function("floor: create in Automerge", |b| b.iter(create));
    group.bench_function("floor: put 2 fields in Automerge", |b| {
        b.iter_batched_ref(|| base.clone(), edit, BatchSize::SmallInput);
    });
    group.bench_function("floor: apply a change in Automerge", |b| {
        let apply = |document: &mut AutoCommit| document.apply_changes(black_box(change.clone()));
        b.iter_batched_ref(|| base.clone(), apply, BatchSize::SmallInput);
    });
    group.bench_function("floor: load in Automerge", |b| b.iter(|| AutoCommit::load(black_box(&saved))));
}

fn wire(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire");
    let mut document = Document::new(actor(1));
    let changes = document.put(&parse(&telemetry(1)), 0).expect("a put").expect("a change");
    let update = Data::Update(Update { key: key(7), changes, base: None, through: 1_000_000 });
    let payload = update.encode(&mut Ordinal::default());
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("encode an update", |b| b.iter(|| black_box(&update).encode(&mut Ordinal::default())));
    group.bench_function("floor: copy its bytes", |b| b.iter(|| black_box(&payload).to_vec()));
    group.bench_function("decode an update", |b| b.iter(|| Data::decode(black_box(&payload), &mut Ordinal::default())));
    group.finish();
}

fn index(c: &mut Criterion) {
    for documents in INDEXED {
        let mut group = c.benchmark_group(format!("index of {documents}"));
        group.throughput(Throughput::Elements(documents));
        let index = indexed(documents, 0);
        group.bench_function("fingerprint", |b| b.iter(|| index.fingerprint()));
        // What a reconciliation that looks at every document once, on both sides, cannot be below.
        let heads: Vec<[u8; 32]> = (0..documents).map(|n| meta(n + 1, n).heads[0]).collect();
        group.bench_function("floor: look at every head, twice", |b| {
            b.iter(|| sum(black_box(&heads)) ^ sum(black_box(&heads)))
        });
        // Of 1,000 documents one in a hundred is 10.
        for differing in BTreeSet::from([0, 10, documents / 100, documents / 10]) {
            let other = indexed(documents, differing);
            let Said { messages, bytes } = reconcile(&index, &other);
            // Whoever has another version must say which: a head of 32 bytes each.
            let floor = differing * 32;
            println!(
                "index of {documents}: {differing} differ: {messages} messages, {bytes} bytes; floor {floor} bytes"
            );
            group.bench_function(format!("reconcile, {differing} differ"), |b| b.iter(|| reconcile(&index, &other)));
        }
        group.finish();
    }
}

fn sum(heads: &[[u8; 32]]) -> u8 {
    heads.iter().flatten().fold(0, |sum, byte| sum ^ byte)
}

/// An index in which some documents have a version of their own.
fn indexed(documents: u64, differing: u64) -> Index {
    let mut index = Index::default();
    for n in 0..documents {
        let differs = n * 7919 % documents < differing;
        index.set(&key(n), meta(n + 1, if differs { documents + n } else { n }));
    }
    index
}

/// What a reconciliation costs on the wire.
struct Said {
    messages: usize,
    bytes: usize,
}

/// Stands for documents that are not there: the one who is asked never knows the other's version, the dearer case.
struct Unknown;

impl History for Unknown {
    fn recall(&self, _: &DocKey, heads: &Marks) -> Recall {
        heads.recall(&[[1; 32]], &vec![[1; 32]])
    }
}

/// Runs both sides to the end, through the encoding.
fn reconcile(ours: &Index, theirs: &Index) -> Said {
    let (dialer_view, acceptor_view) = (View::everything(ours, &Unknown), View::everything(theirs, &Unknown));
    let (mut dialer, first) = Reconcile::begin(&dialer_view, 1);
    let mut acceptor = Reconcile::wait(2);
    let mut said = Said { messages: 0, bytes: 0 };
    let mut next = Some(first);
    while let Some(turn) = next.take() {
        let payload = Control::Reconcile(turn).encode(&mut Ordinal::default());
        said.bytes += payload.len();
        let Ok(Control::Reconcile(turn)) = Control::decode(&payload, &mut Ordinal::default()) else {
            unreachable!("encoded above")
        };
        let to_acceptor = said.messages.is_multiple_of(2);
        let (side, view) = if to_acceptor { (&mut acceptor, &acceptor_view) } else { (&mut dialer, &dialer_view) };
        next = side.receive(view, turn).expect("honest sides").reply;
        said.messages += 1;
    }
    said
}

fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("durable commit");
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open_dir(directory.path()).expect("a store");
    let committer = store.committer();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut next = 0;
    let sealed_directory = tempfile::tempdir().expect("a directory");
    let sealed = Store::open_dir_with(sealed_directory.path(), Some(StoreKey::new([1; 32]))).expect("a store");
    let stores = [("", committer), (", encrypted", sealed.committer())];
    let floor_directory = tempfile::tempdir().expect("a directory");
    let floor = redb::Database::create(floor_directory.path().join("floor.redb")).expect("a database");
    for documents in [1u64, 64] {
        group.throughput(Throughput::Elements(documents));
        let mut next = 0;
        group.bench_function(format!("floor: {documents} rows of 200 bytes in redb"), |b| {
            b.iter_batched(
                || {
                    next += documents;
                    next - documents..next
                },
                |rows| commit_rows(&floor, rows).expect("a working disk"),
                BatchSize::PerIteration,
            );
        });
    }
    for ((how, committer), documents) in stores.iter().flat_map(|store| [(store, 1u64), (store, 64)]) {
        group.throughput(Throughput::Elements(documents));
        group.bench_function(format!("{documents} documents{how}"), |b| {
            b.iter_batched(
                || {
                    next += documents;
                    batch(next - documents, documents)
                },
                |batch| runtime.block_on(committer.commit(batch)).expect("a working disk"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

const ROWS: redb::TableDefinition<'static, u64, &'static [u8]> = redb::TableDefinition::new("rows");

fn commit_rows(database: &redb::Database, rows: std::ops::Range<u64>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(ROWS)?;
        for row in rows {
            table.insert(row, [7; 200].as_slice())?;
        }
    }
    Ok(transaction.commit()?)
}

fn physics(c: &mut Criterion) {
    let mut group = c.benchmark_group("link physics");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    group.bench_function("floor: one random draw", |b| b.iter(|| rng.next_u64()));
    for profile in [Profile::Lan, Profile::TacticalRadio] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut link = Link::new(profile.params());
        let mut now = SimTime::ZERO;
        group.bench_function(format!("offer a datagram to {}", profile.name()), |b| {
            b.iter(|| {
                now += Duration::from_millis(200);
                link.offer(now, black_box(1200), &mut rng)
            });
        });
    }
    group.finish();
}

fn key(n: u64) -> DocKey {
    DocKey::new("fleet", format!("ship-{n:06}")).expect("a valid key")
}

fn meta(seq: u64, version: u64) -> Meta {
    let mut head = [0; 32];
    head[..8].copy_from_slice(&version.to_le_bytes());
    Meta {
        seq,
        heads: vec![head],
        deleted: false,
        folded: 0,
        snapshot_bytes: 0,
        tail_bytes: 200,
        checkpoints: vec![],
        base: None,
    }
}

/// New documents of one change of 200 bytes each.
fn batch(from: u64, documents: u64) -> Batch {
    let rows = |n| DocRows { meta: meta(n + 1, n), snapshot: None, tail: vec![(n + 1, vec![7; 200])] };
    Batch {
        last: from + documents,
        changes: documents as usize,
        docs: (from..from + documents).map(|n| (key(n), rows(n))).collect(),
        ..Batch::default()
    }
}

fn main() {
    // A second a case is enough to see a factor; what needs more belongs into `two-nodes`.
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for part in [document, wire, index, store, physics] {
        part(&mut criterion);
    }
    criterion.final_summary();
}
