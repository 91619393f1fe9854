//! Bar 6 of the documents: a subscriber that takes one event a second while much happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use peat_proto::client::{ChangeType, SubscribeRequest};
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::node::{Ground, Node, put};
use crate::report::Report;
use crate::workload::{COLLECTION, scalar};
use crate::{Common, Failure};

const WRITERS: u64 = 8;
const GROWTH_BAR_MB: f64 = 8.0;
const QUIET: Duration = Duration::from_secs(5);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Updates in all
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    updates: u64,
    /// Documents that they are of
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(8..=100_000))]
    documents: u64,
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { updates, documents } = *options;
    let title = format!("{updates} updates of {documents} documents, a subscriber takes one event a second");
    let mut report = Report::new("documents 6", title);
    let ground = Ground::new(common)?;
    let alone = grown_without_reader(&ground, options).await?;
    let node = Node::start(ground.spec("a")?).await?;
    write(&node, documents, documents).await?;
    let mut client = node.client.clone();
    let memory = node.process.memory_bytes().unwrap_or_default();

    let request = SubscribeRequest { collections: vec![COLLECTION.into()], ..Default::default() };
    let mut stream = client.subscribe(request).await?.into_inner();
    let (mut has, mut cursor, mut slow) = (BTreeMap::new(), String::new(), 0);
    let begin = Instant::now();
    let mut writing = std::pin::pin!(write(&node, updates, documents));
    loop {
        tokio::select! {
            done = &mut writing => {
                done?;
                break;
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        take(&mut stream, &mut has, &mut cursor).await?;
        slow += 1;
    }
    let took = begin.elapsed();
    let grown = node.process.memory_bytes().unwrap_or_default() as f64 - memory as f64;

    // The connection breaks; the reader goes on from where it was, as fast as it can.
    drop(stream);
    let request =
        SubscribeRequest { collections: vec![COLLECTION.into()], resume_cursor: cursor.clone(), ..Default::default() };
    let mut stream = client.subscribe(request).await?.into_inner();
    let begin = Instant::now();
    let mut fast = 0;
    while let Ok(taken) = tokio::time::timeout(QUIET, take(&mut stream, &mut has, &mut cursor)).await {
        taken?;
        fast += 1;
    }
    report.value("updates", updates as usize, updates as f64 / took.as_secs_f64(), "/s");
    report.value("events taken meanwhile, and after", slow + fast, slow as f64, "");
    report.value("events of the rest, after the connection broke", fast, fast as f64, "");
    report.value("time for them", fast, (begin.elapsed() - QUIET).as_secs_f64(), "s");
    let expected = finals(updates, documents);
    let wrong = expected.iter().filter(|(id, json)| has.get(*id) != Some(json)).count();
    let more = has.keys().filter(|id| !expected.contains_key(*id)).count();
    report.at_most("documents that the reader has otherwise or not, or too many", (wrong + more) as f64, 0.0, "");
    report.at_most("events of the rest, for each document", fast as f64 / documents as f64, 1.1, "");
    report.value("growth of the node's memory: the reader, and what was written", 1, grown / 1e6, "MB");
    report.value("growth of a node's memory without a reader", 1, alone / 1e6, "MB");
    report.at_most("growth by the reader alone", (grown - alone) / 1e6, GROWTH_BAR_MB, "MB");
    Ok(report)
}

/// The control: what the same updates cost a node of its own that nobody reads.
async fn grown_without_reader(ground: &Ground, options: &Options) -> Result<f64, Failure> {
    let node = Node::start(ground.spec("control")?).await?;
    write(&node, options.documents, options.documents).await?;
    let memory = node.process.memory_bytes().unwrap_or_default();
    write(&node, options.updates, options.documents).await?;
    Ok(node.process.memory_bytes().unwrap_or_default() as f64 - memory as f64)
}

async fn take(
    stream: &mut Streaming<peat_proto::client::DocumentChange>,
    has: &mut BTreeMap<String, String>,
    cursor: &mut String,
) -> Result<(), Failure> {
    let change = stream.message().await?.ok_or("the stream ended")?;
    match change.change_type() {
        ChangeType::Upsert => {
            has.insert(change.doc_id, change.json_data.unwrap_or_default());
        }
        ChangeType::Delete => {
            has.remove(&change.doc_id);
        }
        other => return Err(format!("{other:?} was not asked for").into()),
    }
    *cursor = change.cursor;
    Ok(())
}

/// Each document is written by one writer only, so that its last update is known.
async fn write(node: &Node, updates: u64, documents: u64) -> Result<(), Failure> {
    let mut writers = JoinSet::new();
    for which in 0..WRITERS {
        let mut client = node.spec.api.connect().await?;
        writers.spawn(async move {
            for n in (0..updates).filter(|n| n % documents % WRITERS == which) {
                put(&mut client, &id(n % documents), &scalar(n)).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(())
}

fn finals(updates: u64, documents: u64) -> BTreeMap<String, String> {
    let from = updates.saturating_sub(documents);
    let untouched = (updates..documents).map(|n| (id(n), scalar(n)));
    (from..updates).map(|n| (id(n % documents), scalar(n))).chain(untouched).collect()
}

fn id(n: u64) -> String {
    format!("doc-{n:06}")
}
