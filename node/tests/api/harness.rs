//! A served node, and just enough HTTP to call it by hand.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use peat_node::api::access::Guard;
use peat_node::api::{Listen, Server, serve_connection};
use peat_node::config::{ClientLimits, Formation, NodeConfig, Timing};
use peat_node::mesh::{self, SystemResolver, Underlay};
use peat_node::node::{Plants, World};
use peat_node::store::Store;
use peat_node::{Node, NodeHandle};
use peat_proto::client::PeatSidecarClient;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};

pub type Client = PeatSidecarClient<Channel>;

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

/// A node with its server. Both end with it.
pub struct TestNode {
    node: Node,
    address: Listen,
    shutdown: CancellationToken,
    serving: AbortOnDropHandle<()>,
    /// Endpoint id, and where others find it.
    pub mesh: (String, String),
    directory: tempfile::TempDir,
    /// Its name, and the seed of its next life.
    next: (String, u8),
}

impl TestNode {
    pub async fn start() -> Self {
        Self::start_with(ClientLimits::default()).await
    }

    /// One that asks less of itself than it could.
    pub async fn start_with(limits: ClientLimits) -> Self {
        Self::start_in(temporary(), Listen::Tcp("127.0.0.1:0".into()), "test-node", 1, limits).await
    }

    /// One whose port is guarded.
    pub async fn start_behind(guard: Guard) -> Self {
        let listen = Listen::Tcp("127.0.0.1:0".into());
        Self::start_guarded(temporary(), listen, "test-node", 1, ClientLimits::default(), guard).await
    }

    pub async fn start_on_unix_socket() -> Self {
        let directory = temporary();
        let listen = Listen::Unix(directory.path().join("api.sock"));
        Self::start_in(directory, listen, "test-node", 1, ClientLimits::default()).await
    }

    /// One of several, each with its own seed.
    pub async fn start_as(name: &str, seed: u8) -> Self {
        Self::start_in(temporary(), Listen::Tcp("127.0.0.1:0".into()), name, seed, ClientLimits::default()).await
    }

    /// Makes the other node a peer of this one.
    pub async fn connect_to(&self, other: &Self) {
        let (endpoint_id, address) = other.mesh.clone();
        self.node.handle().connect_peer(&endpoint_id, vec![address], "").await.expect("wanted");
    }

    /// Stops it cleanly and starts it again over the same data.
    pub async fn restart(self) -> Self {
        let Self { node, shutdown, serving, directory, next: (name, seed), .. } = self;
        shutdown.cancel();
        serving.await.expect("served to the end");
        node.shutdown().await;
        Self::start_in(directory, Listen::Tcp("127.0.0.1:0".into()), &name, seed, ClientLimits::default()).await
    }

    async fn start_in(
        directory: tempfile::TempDir,
        listen: Listen,
        name: &str,
        seed: u8,
        limits: ClientLimits,
    ) -> Self {
        Self::start_guarded(directory, listen, name, seed, limits, Guard::default()).await
    }

    async fn start_guarded(
        directory: tempfile::TempDir,
        listen: Listen,
        name: &str,
        seed: u8,
        limits: ClientLimits,
        guard: Guard,
    ) -> Self {
        let timing = Timing::default();
        let store = Store::open_dir(directory.path()).expect("store");
        let loopback = Underlay::Udp(([127, 0, 0, 1], 0).into());
        let endpoint = mesh::bind(store.identity().clone(), loopback, &timing).await.expect("endpoint");
        let port = endpoint.bound_sockets().first().expect("bound").port();
        let mesh = (endpoint.id().to_string(), format!("127.0.0.1:{port}"));
        let formation = Formation { app_id: "test".into(), shared_key: Some([7; 32]), previous_key: None };
        let mut config = NodeConfig::new(name, formation);
        config.limits = limits;
        let world = World {
            store,
            endpoint,
            resolver: Arc::new(SystemResolver),
            wall_clock: Arc::new(|| 0),
            seed: [seed; 32],
            observer: None,
            plants: Plants::default(),
            pause: None,
        };
        let node = Node::start(config, world).await.expect("node");
        let server = Server::bind(&listen).await.expect("server").guarded(guard);
        let address = server.address().clone();
        let shutdown = CancellationToken::new();
        let serving = AbortOnDropHandle::new(tokio::spawn(server.serve(node.handle().clone(), shutdown.clone())));
        Self { node, address, shutdown, serving, mesh, directory, next: (name.into(), seed + 1) }
    }

    /// The standard gRPC client over an in-memory connection, as in a simulator.
    pub async fn client(&self) -> Client {
        self.client_and_connection().await.0
    }

    /// The client, and the task that serves its connection.
    pub async fn client_and_connection(&self) -> (Client, JoinHandle<()>) {
        let (channel, connection) = self.channel_and_connection().await;
        (PeatSidecarClient::new(channel), connection)
    }

    /// What a gRPC client of any kind is made of.
    pub async fn channel(&self) -> Channel {
        self.channel_and_connection().await.0
    }

    async fn channel_and_connection(&self) -> (Channel, JoinHandle<()>) {
        let (near, far) = tokio::io::duplex(64 << 10);
        let node: NodeHandle = self.node.handle().clone();
        let connection = tokio::spawn(serve_connection(node, far, self.shutdown.clone()));
        let mut near = Some(TokioIo::new(near));
        let connector = tower::service_fn(move |_| {
            let near = near.take().ok_or_else(|| std::io::Error::other("there is one connection only"));
            std::future::ready(near)
        });
        let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await;
        (channel.expect("connected"), connection)
    }

    pub fn handle(&self) -> &NodeHandle {
        self.node.handle()
    }

    /// Stops as the binary does.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.expect("served to the end");
        self.node.shutdown().await;
    }

    /// One request, written by hand, over HTTP/1.1.
    pub async fn post(&self, method: &str, content_type: &str, body: &[u8]) -> Answer {
        self.open(method, content_type, body).await.complete().await
    }

    /// Sends a request by hand and reads the head of the answer.
    pub async fn open(&self, method: &str, content_type: &str, body: &[u8]) -> OpenAnswer {
        let io: Box<dyn Io> = match &self.address {
            Listen::Tcp(address) => Box::new(TcpStream::connect(address).await.expect("connected")),
            Listen::Unix(path) => Box::new(UnixStream::connect(path).await.expect("connected")),
        };
        let method = format!("/peat.sidecar.v1.PeatSidecar/{method}");
        OpenAnswer::request(io, &method, &format!("content-type: {content_type}\r\n"), body).await
    }

    /// `host:port` of a node on TCP.
    pub fn tcp(&self) -> &str {
        match &self.address {
            Listen::Tcp(address) => address,
            Listen::Unix(path) => panic!("it listens on {}", path.display()),
        }
    }
}

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A complete answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// An answer whose body is still coming.
pub struct OpenAnswer {
    io: Box<dyn Io>,
    pub status: u16,
    length: Option<usize>,
    unread: Vec<u8>,
}

impl OpenAnswer {
    /// Sends a request with some header lines, and reads the head of the answer.
    pub async fn request(mut io: Box<dyn Io>, path: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\n{headers}content-length: {}\r\n\r\n", body.len());
        io.write_all(head.as_bytes()).await.expect("sent");
        // A server may refuse, and answer, before it has read everything.
        let _ = io.write_all(body).await;
        Self::read_head(io).await
    }

    /// The rest.
    pub async fn complete(mut self) -> Answer {
        let mut body = Vec::new();
        match self.length {
            Some(length) => {
                body.resize(length, 0);
                self.io.read_exact(&mut body).await.expect("the whole body");
            }
            None => {
                while let Some(chunk) = self.chunk().await {
                    body.extend_from_slice(&chunk);
                }
            }
        }
        Answer { status: self.status, body }
    }

    async fn read_head(mut io: Box<dyn Io>) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map(|l| l.parse().expect("number"));
        Self { io, status, length, unread: Vec::new() }
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = Vec::new();
        while !size.ends_with(b"\r\n") {
            size.push(self.io.read_u8().await.ok()?);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&size).expect("hex").trim(), 16).expect("hex");
        let mut chunk = vec![0; size + 2];
        self.io.read_exact(&mut chunk).await.expect("a chunk");
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// The next message of a stream.
    pub async fn frame(&mut self) -> Frame {
        loop {
            if let Some((frame, rest)) = Frame::split(&self.unread) {
                self.unread = rest.to_vec();
                return frame;
            }
            let chunk = self.chunk().await.expect("more of the stream");
            self.unread.extend(chunk);
        }
    }
}

/// A message in the envelope that gRPC, gRPC-Web and Connect streams share.
pub struct Frame {
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (flags, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        Some((Self { flags: *flags, payload: payload.into() }, rest))
    }
}

/// One message in its envelope.
pub fn envelope(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("small").to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// Every message of a complete body.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = Frame::split(bytes) {
        frames.push(frame);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a frame was cut short");
    frames
}
