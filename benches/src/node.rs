//! A `peat-node` process, and the client that talks to it.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use peat_proto::client::{
    ConnectPeerRequest, GetDocumentRequest, GetStatusRequest, GetStatusResponse, GetSyncStatsRequest,
    GetSyncStatsResponse, ListDocumentsRequest, PeatSidecarClient, PutDocumentRequest, StartSyncRequest,
    StopSyncRequest,
};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::process::Process;
use crate::workload::COLLECTION;
use crate::{Common, Failure};

/// A node that serves within this time is up.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often something that cannot be waited for is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Data directories of one measurement; removed at the end unless they are to be kept.
pub(crate) struct Ground {
    directory: Option<TempDir>,
    program: PathBuf,
    keep: bool,
}

impl Ground {
    pub(crate) fn new(common: &Common) -> Result<Self, Failure> {
        let program = match &common.node {
            Some(given) => given.clone(),
            None => std::env::current_exe()?.with_file_name("peat-node"),
        };
        if !program.is_file() {
            let missing = program.display();
            return Err(format!("{missing} is missing; build it with: cargo build --release -p peat-node").into());
        }
        let directory = tempfile::Builder::new().prefix("two-nodes-").tempdir_in(&common.dir)?;
        Ok(Self { directory: Some(directory), program, keep: common.keep })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.as_ref().expect("taken only on drop").path()
    }

    /// What a node needs that dials nobody, of the formation that all share.
    pub(crate) fn spec(&self, name: &str) -> Result<Spec, Failure> {
        Ok(Spec {
            name: name.into(),
            program: self.program.clone(),
            directory: self.path().join(name),
            api: Api::Tcp(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()),
            mesh_port: UdpSocket::bind("0.0.0.0:0")?.local_addr()?.port(),
            app_id: "bench".into(),
            shared_key: shared_key(1),
            namespace: None,
        })
    }

    /// Two nodes of one formation; the second has dialled the first.
    pub(crate) async fn pair(&self) -> Result<(Node, Node), Failure> {
        let mut a = Node::start(self.spec("a")?).await?;
        let mut b = Node::start(self.spec("b")?).await?;
        b.connect_to(&a.endpoint_id().await?, &a.spec.mesh_address()).await?;
        a.wait_connected().await?;
        b.wait_connected().await?;
        Ok((a, b))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take()
            && self.keep
        {
            eprintln!("kept: {}", directory.keep().display());
        }
    }
}

/// Base64 of 32 bytes that differ with `which`: 43 times 'A' and '=' would be zeros.
pub(crate) fn shared_key(which: u8) -> String {
    let letter = char::from(b'A' + which % 26);
    format!("{letter}{}=", "A".repeat(42))
}

/// Where the API of a node is.
#[derive(Clone, Debug)]
pub(crate) enum Api {
    /// A loopback port.
    Tcp(u16),
    /// A socket: reached from every network namespace.
    Unix(PathBuf),
}

impl Api {
    pub(crate) async fn connect(&self) -> Result<PeatSidecarClient<Channel>, Failure> {
        let channel = match self {
            Self::Tcp(port) => Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?,
            Self::Unix(path) => {
                let path = path.clone();
                let connector = tower::service_fn(move |_: http::Uri| {
                    let path = path.clone();
                    async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
                });
                Endpoint::from_static("http://node").connect_with_connector(connector).await?
            }
        };
        Ok(PeatSidecarClient::new(channel))
    }

    fn flag(&self) -> String {
        match self {
            Self::Tcp(port) => format!("tcp://127.0.0.1:{port}"),
            Self::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

/// How a node is started; starting it twice is a restart.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    name: String,
    program: PathBuf,
    directory: PathBuf,
    pub(crate) api: Api,
    mesh_port: u16,
    pub(crate) app_id: String,
    pub(crate) shared_key: String,
    /// Network namespace and the node's address in it.
    pub(crate) namespace: Option<(String, String)>,
}

impl Spec {
    /// Where its mesh is reached.
    pub(crate) fn mesh_address(&self) -> String {
        let host = self.namespace.as_ref().map_or("127.0.0.1", |(_, address)| address);
        format!("{host}:{}", self.mesh_port)
    }

    /// The shared key as it is, not in base64.
    pub(crate) fn shared_key_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Of 43 letters only the first is not 'A', which stands for six zero bits.
        bytes[0] = (self.shared_key.as_bytes()[0] - b'A') << 2;
        bytes
    }

    /// The file of its store.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("data/peat.redb")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("node.log")
    }

    /// Moves the API to a Unix socket.
    pub(crate) fn over_socket(mut self) -> Self {
        self.api = Api::Unix(self.directory.join("api.sock"));
        self
    }

    fn command(&self) -> Result<Command, Failure> {
        std::fs::create_dir_all(&self.directory)?;
        let mut command = match &self.namespace {
            None => Command::new(&self.program),
            Some((namespace, _)) => {
                // It replaces itself with the node, so the child is the node.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.program);
                command
            }
        };
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PEAT_NODE_")) {
            command.env_remove(name);
        }
        command
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .env("PEAT_NODE_SHARED_KEY", &self.shared_key)
            .args(["--listen", &self.api.flag(), "--app-id", &self.app_id, "--node-id", &self.name])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--iroh-udp-port", &self.mesh_port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(command)
    }
}

/// A running node. Dropping it kills it.
pub(crate) struct Node {
    pub(crate) spec: Spec,
    pub(crate) process: Process,
    pub(crate) client: PeatSidecarClient<Channel>,
}

impl Node {
    /// Returns once it answers.
    pub(crate) async fn start(spec: Spec) -> Result<Self, Failure> {
        let mut process = Process::start(&mut spec.command()?)?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(mut client) = spec.api.connect().await
                && client.get_status(GetStatusRequest {}).await.is_ok()
            {
                return Ok(Self { spec, process, client });
            }
            let log = || std::fs::read_to_string(spec.log_file()).unwrap_or_default();
            if let Some(status) = process.ended()? {
                return Err(format!("node {} ended at once with {status}:\n{}", spec.name, log()).into());
            }
            if Instant::now() > deadline {
                return Err(format!("node {} did not answer within {START_TIMEOUT:?}:\n{}", spec.name, log()).into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGKILL, and waits until it is gone; returns what starts it again.
    pub(crate) fn kill(self) -> Spec {
        drop(self.process);
        self.spec
    }

    pub(crate) async fn status(&mut self) -> Result<GetStatusResponse, Failure> {
        Ok(self.client.get_status(GetStatusRequest {}).await?.into_inner())
    }

    pub(crate) async fn endpoint_id(&mut self) -> Result<String, Failure> {
        Ok(self.status().await?.endpoint_addr)
    }

    pub(crate) async fn sync_stats(&mut self) -> Result<GetSyncStatsResponse, Failure> {
        Ok(self.client.get_sync_stats(GetSyncStatsRequest {}).await?.into_inner())
    }

    pub(crate) async fn connect_to(&mut self, endpoint_id: &str, address: &str) -> Result<(), Failure> {
        let (endpoint_id, addresses) = (endpoint_id.to_owned(), vec![address.to_owned()]);
        self.client.connect_peer(ConnectPeerRequest { endpoint_id, addresses, relay_url: String::new() }).await?;
        Ok(())
    }

    pub(crate) async fn wait_connected(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.status().await?.connected_peers == 0 {
            if Instant::now() > deadline {
                return Err(format!("node {} found no peer:\n{}", self.spec.name, self.log()).into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// StartSync or StopSync.
    pub(crate) async fn set_sync(&mut self, active: bool) -> Result<(), Failure> {
        if active {
            self.client.start_sync(StartSyncRequest {}).await?;
        } else {
            self.client.stop_sync(StopSyncRequest {}).await?;
        }
        Ok(())
    }

    /// Frame bytes that it handed to its peers since it started.
    pub(crate) async fn frames_sent(&mut self) -> Result<u64, Failure> {
        Ok(self.sync_stats().await?.bytes_sent)
    }

    pub(crate) async fn put(&mut self, id: &str, json: &str) -> Result<(), tonic::Status> {
        put(&mut self.client, id, json).await
    }

    pub(crate) async fn get(&mut self, id: &str) -> Result<Option<String>, Failure> {
        let request = GetDocumentRequest { collection: COLLECTION.into(), doc_id: id.into(), ..Default::default() };
        Ok(self.client.get_document(request).await?.into_inner().json_data)
    }

    pub(crate) async fn list(&mut self) -> Result<Vec<String>, Failure> {
        let request = ListDocumentsRequest { collection: COLLECTION.into(), ..Default::default() };
        Ok(self.client.list_documents(request).await?.into_inner().doc_ids)
    }

    /// What it logged so far, over all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.spec.log_file()).unwrap_or_default()
    }
}

/// Returns once the node has acknowledged it.
pub(crate) async fn put(client: &mut PeatSidecarClient<Channel>, id: &str, json: &str) -> Result<(), tonic::Status> {
    let (collection, doc_id, json_data) = (COLLECTION.into(), id.into(), json.into());
    client.put_document(PutDocumentRequest { collection, doc_id, json_data, ..Default::default() }).await?;
    Ok(())
}
