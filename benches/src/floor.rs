//! The machine's floor: what no node can beat, measured in the same run as the figure it is compared with.
//!
//! One way of an iroh round trip of 200 bytes between two processes, and one durable redb commit of one
//! 200-byte row on the same disk. Paced like the workload, for a core that sleeps between two documents takes
//! its time to wake; and back to back, which is the best that it can do.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, TransportAddr};
use redb::{Database, TableDefinition};

use crate::Failure;
use crate::process::Process;
use crate::stats::Samples;
use crate::workload::telemetry;

const ALPN: &[u8] = b"peat-floor/1";
/// Size of the message of the round trip.
const MESSAGE_BYTES: usize = 200;

/// The echo: prints where it is, then answers until its parent kills it.
pub(crate) async fn echo() -> Result<(), Failure> {
    let endpoint = bind(Some(ALPN)).await?;
    let port = endpoint.bound_sockets().iter().find(|at| at.is_ipv4()).ok_or("the echo has no IPv4 socket")?.port();
    println!("{} {port}", endpoint.id());
    let incoming = endpoint.accept().await.ok_or("the echo's endpoint was closed")?;
    let connection = incoming.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let mut message = [0; MESSAGE_BYTES];
    while receive.read_exact(&mut message).await.is_ok() {
        send.write_all(&message).await?;
    }
    Ok(())
}

async fn bind(accepts: Option<&[u8]>) -> Result<Endpoint, Failure> {
    let alpns = accepts.map(<[u8]>::to_vec).into_iter().collect();
    Ok(Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled).alpns(alpns).bind().await?)
}

/// A ready round trip and a ready database.
pub(crate) struct Floor {
    _endpoint: Endpoint,
    _connection: Connection,
    _echo: Process,
    send: SendStream,
    receive: RecvStream,
    disk: Disk,
}

impl Floor {
    /// `directory` is on the disk that the nodes write to.
    pub(crate) async fn start(directory: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("echo").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut echo = Process::start(&mut command)?;
        let mut line = String::new();
        BufReader::new(echo.stdout().ok_or("the echo has no output")?).read_line(&mut line)?;
        let (id, port) = line.trim().split_once(' ').ok_or("the echo ended at once")?;
        let address = TransportAddr::Ip(([127, 0, 0, 1], port.parse::<u16>()?).into());
        let endpoint = bind(None).await?;
        let connection = endpoint.connect(EndpointAddr::from_parts(id.parse::<EndpointId>()?, [address]), ALPN).await?;
        let (send, receive) = connection.open_bi().await?;
        let disk = Disk::open(directory)?;
        let mut floor = Self { _endpoint: endpoint, _connection: connection, _echo: echo, send, receive, disk };
        // The first ones pay for the handshake and for growing the file.
        for _ in 0..20 {
            floor.round_trip().await?;
            floor.commit().await?;
        }
        Ok(floor)
    }

    /// One round trip.
    pub(crate) async fn round_trip(&mut self) -> Result<Duration, Failure> {
        let mut message = [7; MESSAGE_BYTES];
        let from = Instant::now();
        self.send.write_all(&message).await?;
        self.receive.read_exact(&mut message).await?;
        Ok(from.elapsed())
    }

    /// One durable commit.
    pub(crate) async fn commit(&mut self) -> Result<Duration, Failure> {
        self.disk.commit().await
    }

    /// Round trips without a pause.
    pub(crate) async fn round_trips(&mut self, count: usize) -> Result<Samples, Failure> {
        let mut samples = Samples::default();
        for _ in 0..count {
            samples.push(self.round_trip().await?);
        }
        Ok(samples)
    }

    /// Commits without a pause.
    pub(crate) async fn commits(&mut self, count: usize) -> Result<Samples, Failure> {
        self.disk.commits(count).await
    }
}

/// A database of its own on the disk that is measured.
pub(crate) struct Disk {
    db: Arc<Database>,
    next: u64,
}

impl Disk {
    const ROWS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("rows");

    /// Makes `floor.redb` in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        Ok(Self { db: Arc::new(Database::create(directory.join("floor.redb"))?), next: 0 })
    }

    /// One durable commit of one small row, timed on the thread that makes it.
    pub(crate) async fn commit(&mut self) -> Result<Duration, Failure> {
        self.commit_rows(1).await
    }

    /// One durable commit of some small rows.
    pub(crate) async fn commit_rows(&mut self, count: u64) -> Result<Duration, Failure> {
        let (db, first) = (Arc::clone(&self.db), self.next);
        self.next += count;
        let rows: Vec<(u64, String)> = (first..self.next).map(|key| (key, telemetry(key))).collect();
        tokio::task::spawn_blocking(move || {
            let from = Instant::now();
            let transaction = db.begin_write()?;
            {
                let mut table = transaction.open_table(Self::ROWS)?;
                for (key, row) in &rows {
                    table.insert(key, row.as_bytes())?;
                }
            }
            transaction.commit()?;
            Ok(from.elapsed())
        })
        .await?
    }

    /// Commits without a pause.
    pub(crate) async fn commits(&mut self, count: usize) -> Result<Samples, Failure> {
        let mut samples = Samples::default();
        for _ in 0..count {
            samples.push(self.commit().await?);
        }
        Ok(samples)
    }
}
