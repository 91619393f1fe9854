//! The parts on the path of every document, one at a time. The whole takes about half a minute:
//! `cargo bench -p peat-benches`.

// Real time is the point here.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use peat_node::core::batch::{Batch, DocRows};
use peat_node::core::document::{ActorId, Document, JsonLimits, JsonObject};
use peat_node::core::index::{Index, Meta};
use peat_node::core::key::DocKey;
use peat_node::core::reconcile::Reconcile;
use peat_node::core::wire::{Data, Ordinal, Update};
use peat_node::store::Store;
use peat_scenarios::SimTime;
use peat_scenarios::physics::Link;
use peat_scenarios::profiles::Profile;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Documents in the index: a fleet of two brigades.
const INDEXED: u64 = 10_000;

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
    group.bench_function("render", |b| b.iter(|| base.render()));
    group.bench_function("save", |b| b.iter(|| base.save()));
    group.bench_function("load", |b| b.iter(|| Document::load(actor(1), Some(black_box(&saved)), std::iter::empty())));
    group.finish();
}

fn wire(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire");
    let mut document = Document::new(actor(1));
    let changes = document.put(&parse(&telemetry(1)), 0).expect("a put").expect("a change");
    let update = Data::Update(Update { key: key(7), changes, through: 1_000_000 });
    let payload = update.encode(&mut Ordinal::default());
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("encode an update", |b| b.iter(|| black_box(&update).encode(&mut Ordinal::default())));
    group.bench_function("decode an update", |b| b.iter(|| Data::decode(black_box(&payload), &mut Ordinal::default())));
    group.finish();
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("index of 10,000");
    let mut index = Index::default();
    for n in 0..INDEXED {
        index.set(&key(n), meta(n + 1));
    }
    let mut differs = Index::default();
    for n in 0..INDEXED {
        let seq = if n % 1000 == 7 { INDEXED + n } else { n + 1 };
        differs.set(&key(n), meta(seq));
    }
    group.throughput(Throughput::Elements(INDEXED));
    group.bench_function("fingerprint", |b| b.iter(|| index.fingerprint(None, None)));
    group.bench_function("reconcile, 10 differ", |b| b.iter(|| reconcile(&index, &differs)));
    group.finish();
}

/// Runs both sides to the end; returns messages and documents to send.
fn reconcile(ours: &Index, theirs: &Index) -> (usize, usize) {
    let (mut dialer, mut message) = Reconcile::begin(ours);
    let mut acceptor = Reconcile::wait();
    let (mut messages, mut send) = (0, 0);
    for turn in 0.. {
        let (side, index) = if turn % 2 == 0 { (&mut acceptor, theirs) } else { (&mut dialer, ours) };
        let outcome = side.receive(index, message).expect("honest sides");
        messages += 1;
        send += outcome.send.len();
        match outcome.reply {
            Some(reply) => message = reply,
            None => break,
        }
    }
    (messages, send)
}

fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("durable commit");
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open_dir(directory.path()).expect("a store");
    let committer = store.committer();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut next = 0;
    for documents in [1u64, 64] {
        group.throughput(Throughput::Elements(documents));
        group.bench_function(format!("{documents} documents"), |b| {
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

fn physics(c: &mut Criterion) {
    let mut group = c.benchmark_group("link physics");
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

fn meta(seq: u64) -> Meta {
    let mut head = [0; 32];
    head[..8].copy_from_slice(&seq.to_le_bytes());
    Meta { seq, heads: vec![head], deleted: false, folded: 0, snapshot_bytes: 0, tail_bytes: 200, checkpoints: vec![] }
}

/// New documents of one change of 200 bytes each.
fn batch(from: u64, documents: u64) -> Batch {
    let rows = |n| DocRows { meta: meta(n + 1), snapshot: None, tail: vec![(n + 1, vec![7; 200])] };
    Batch {
        last: from + documents,
        changes: documents as usize,
        docs: (from..from + documents).map(|n| (key(n), rows(n))).collect(),
        seen: BTreeMap::new(),
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
