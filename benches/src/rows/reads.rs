//! Bars 2 and 4 of the documents: reads in a store of 100,000, and what such a store costs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use clap::Args;
use peat_proto::client::{GetDocumentRequest, ListDocumentsRequest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::node::{Api, Ground, Node, put};
use crate::report::Report;
use crate::stats::Samples;
use crate::workload::{COLLECTION, telemetry};
use crate::{Common, Failure};

const GET_BAR_PER_S: f64 = 20_000.0;
const PAGE_BAR: Duration = Duration::from_millis(5);
const PAGE: u32 = 1000;
const MEMORY_BAR_MB: f64 = 120.0;
const START_BAR: Duration = Duration::from_secs(1);
const DISK_BAR: f64 = 3.0;
const WRITERS: u64 = 64;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Documents stored
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    documents: u64,
    /// Clients that read, each with a connection of its own and one request under way
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    clients: u64,
    /// Length of each measurement of GetDocument in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { documents, clients, seconds } = *options;
    let mut report = Report::new("documents 2, 4", format!("reads of {documents} documents by {clients} clients"));
    let ground = Ground::new(common)?;
    let node = Node::start(ground.spec("a")?).await?;
    fill(&node, documents).await?;
    let memory = node.process.memory_bytes().unwrap_or_default();

    let seconds = Duration::from_secs(seconds);
    let warm = by_hand(&node, clients, documents, seconds).await?;
    report.times("GetDocument by Connect over HTTP/1.1", &warm);
    let rate = warm.len() as f64 / seconds.as_secs_f64();
    let grpc = by_tonic(&node, clients, documents, seconds).await?;
    report.times("GetDocument by tonic over HTTP/2", &grpc);
    report.value("the same", grpc.len(), grpc.len() as f64 / seconds.as_secs_f64(), "/s");

    let mut client = node.spec.api.connect().await?;
    for include_content in [false, true] {
        let mut request = ListDocumentsRequest {
            collection: COLLECTION.into(),
            page_size: PAGE,
            include_content,
            ..Default::default()
        };
        let (mut pages, mut listed) = (Samples::default(), 0);
        loop {
            let from = Instant::now();
            let page = client.list_documents(request.clone()).await?.into_inner();
            pages.push(from.elapsed());
            listed += page.doc_ids.len() as u64;
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        if listed != documents {
            return Err(format!("the pages have {listed} documents instead of {documents}").into());
        }
        let with = if include_content { "with" } else { "without" };
        report.times(format!("page of {PAGE}, {with} content"), &pages);
        if !include_content {
            report.at_most_time(format!("page of {PAGE}, p50"), pages.p50(), PAGE_BAR);
        }
    }
    report.at_least("GetDocument", rate, GET_BAR_PER_S, "/s");

    let after_reads = node.process.memory_bytes().unwrap_or_default();
    let mut node = node;
    // What the file takes of the disk: it is made longer by doubling, and what was never written takes nothing.
    let stored = std::fs::metadata(node.spec.database())?.blocks() * 512;
    let length = node.status().await?.store.and_then(|store| store.file_bytes).unwrap_or_default();
    let json: u64 = (0..documents).map(|n| telemetry(n).len() as u64).sum();
    let spec = node.kill();
    let from = Instant::now();
    let mut node = Node::start(spec).await?;
    report.at_most_time("start until it answers, after kill -9", from.elapsed(), START_BAR);
    let cold = by_hand(&node, clients, documents, seconds).await?;
    report.times("GetDocument after the restart, everything cold", &cold);
    report.value("the same", cold.len(), cold.len() as f64 / seconds.as_secs_f64(), "/s");
    let has = node.get(&id(documents - 1)).await?;
    report.at_most("acknowledged documents lost", f64::from(has.is_none()), 0.0, "");
    let restarted = node.process.memory_bytes().unwrap_or_default();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    report.value("resident memory after writing", 1, megabytes(memory), "MB");
    report.value("resident memory after the restart and reading", 1, megabytes(restarted), "MB");
    report.at_most("resident memory after writing and reading", megabytes(after_reads), MEMORY_BAR_MB, "MB");
    report.value("length of the database file, holes included", 1, megabytes(length), "MB");
    report.at_most("space of the database file over the JSON", stored as f64 / json as f64, DISK_BAR, "x");
    report.note("documents are read in a random order; the clients share this machine's cores with the node");
    Ok(report)
}

async fn fill(node: &Node, documents: u64) -> Result<(), Failure> {
    let mut writers = JoinSet::new();
    for which in 0..WRITERS {
        let mut client = node.spec.api.connect().await?;
        writers.spawn(async move {
            for n in (which..documents).step_by(WRITERS as usize) {
                put(&mut client, &id(n), &telemetry(n)).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(())
}

async fn by_tonic(node: &Node, clients: u64, documents: u64, during: Duration) -> Result<Samples, Failure> {
    let mut readers = JoinSet::new();
    for which in 0..clients {
        let mut client = node.spec.api.connect().await?;
        readers.spawn(async move {
            let (mut samples, mut random) = (Samples::default(), which + 1);
            let end = Instant::now() + during;
            while Instant::now() < end {
                let doc_id = id(next(&mut random) % documents);
                let request = GetDocumentRequest { collection: COLLECTION.into(), doc_id, ..Default::default() };
                let from = Instant::now();
                let found = client.get_document(request).await?.into_inner().json_data;
                samples.push(from.elapsed());
                found.ok_or_else(|| tonic::Status::not_found("an acknowledged document"))?;
            }
            Ok::<_, tonic::Status>(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(done) = readers.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}

/// Requests written by hand: a client that costs next to nothing, so that the node's figure is the node's.
async fn by_hand(node: &Node, clients: u64, documents: u64, during: Duration) -> Result<Samples, Failure> {
    let Api::Tcp(port) = node.spec.api else { return Err("only over TCP".into()) };
    let mut readers = JoinSet::new();
    for which in 0..clients {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        readers.spawn(async move {
            let mut stream = BufReader::new(stream);
            let (mut samples, mut random) = (Samples::default(), which + 1);
            let end = Instant::now() + during;
            while Instant::now() < end {
                let n = next(&mut random) % documents;
                let body = format!(r#"{{"collection":"{COLLECTION}","docId":"{}"}}"#, id(n));
                let request = format!(
                    "POST /peat.sidecar.v1.PeatSidecar/GetDocument HTTP/1.1\r\nhost: node\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let from = Instant::now();
                stream.write_all(request.as_bytes()).await?;
                let answer = answer(&mut stream).await?;
                samples.push(from.elapsed());
                if !answer.starts_with(br#"{"jsonData":"#) {
                    let answer = String::from_utf8_lossy(&answer).into_owned();
                    return Err(io::Error::other(format!("document {n}: {answer}")));
                }
            }
            Ok::<_, io::Error>(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(done) = readers.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}

/// The body of an answer, of known length or in chunks.
async fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let (mut line, mut length) = (String::new(), None);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse().map_err(io::Error::other)?);
        }
    }
    if let Some(length) = length {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        return Ok(body);
    }
    let mut body = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let from = body.len();
        // The chunk, and the end of its line.
        body.resize(from + length + 2, 0);
        stream.read_exact(&mut body[from..]).await?;
        body.truncate(from + length);
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Marsaglia's xorshift: which document is read matters, how random it is does not.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn id(n: u64) -> String {
    format!("doc-{n:06}")
}
