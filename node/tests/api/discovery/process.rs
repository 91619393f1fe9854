//! A `peat-node` process, asked over its Unix socket.

use std::ffi::OsStr;
use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use peat_proto::client::{GetStatusRequest, PeatSidecarClient, PutDocumentRequest};
use tokio::net::UnixStream;
use tonic::transport::Endpoint;

use crate::harness::Client;

pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A process of its own. It is killed, and its data is gone, when this is dropped.
pub struct NodeProcess {
    child: Child,
    /// How it was started.
    command: Command,
    directory: tempfile::TempDir,
}

impl NodeProcess {
    /// Starts it; in a network namespace, if one is named.
    pub fn start<A: AsRef<OsStr>>(namespace: Option<&str>, arguments: impl IntoIterator<Item = A>) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let binary = env!("CARGO_BIN_EXE_peat-node");
        let mut command = match namespace {
            None => Command::new(binary),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, binary]);
                command
            }
        };
        command
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .arg("--listen")
            .arg(format!("unix://{}", directory.path().join("api.sock").display()))
            .args(arguments)
            .env("RUST_LOG", "warn,peat_node=debug")
            .env("PEAT_NODE_SHARED_KEY", KEY)
            .stderr(File::create(directory.path().join("log")).expect("log file"))
            .stdin(Stdio::null());
        let child = command.spawn().expect("started");
        Self { child, command, directory }
    }

    /// Starts it again, with the data that it had.
    pub fn restart(&mut self) {
        self.kill();
        self.child = self.command.spawn().expect("started");
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub async fn client(&self) -> Client {
        let path: PathBuf = self.directory.path().join("api.sock");
        eventually("the API answers", Duration::from_secs(30), || async {
            let path = path.clone();
            let connector = tower::service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await;
            channel.ok().map(PeatSidecarClient::new)
        })
        .await
    }

    pub async fn connected(&self) -> u32 {
        let status = self.client().await.get_status(GetStatusRequest {}).await.expect("status");
        status.into_inner().connected_peers
    }

    pub async fn endpoint_id(&self) -> String {
        self.client().await.get_status(GetStatusRequest {}).await.expect("status").into_inner().endpoint_addr
    }

    pub async fn put(&self, doc_id: &str) {
        let put = PutDocumentRequest {
            collection: "c".into(),
            doc_id: doc_id.into(),
            json_data: "{}".into(),
            ..Default::default()
        };
        self.client().await.put_document(put).await.expect("put");
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        // Blocking here would keep our side of its connections open.
        for _ in 0..3_000 {
            match self.child.try_wait().expect("a child") {
                Some(ended) => return assert!(ended.success(), "{}", self.log()),
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("it does not stop: {}", self.log());
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.child.id(), self.log());
        }
    }
}

/// Waits until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut answer: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until each of the nodes has that many sessions. Returns how long it took.
pub async fn meshed(nodes: &[&NodeProcess], sessions: u32, limit: Duration) -> Duration {
    let began = Instant::now();
    for node in nodes {
        let what = format!("{sessions} sessions each");
        eventually(&what, limit, || async { (node.connected().await == sessions).then_some(()) }).await;
    }
    began.elapsed()
}
