//! An application beside a node: a tonic client on a connection to the node's real API server, in memory or over
//! turmoil's TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use peat_node::NodeHandle;
use peat_node::node::Pause;
use peat_proto::client::peat_sidecar_client::PeatSidecarClient;
use peat_scenarios::drive::Client;
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use turmoil::net::TcpStream;

use crate::tasks::Owned;

/// Bytes that one direction of the connection holds, as a socket buffer would.
const PIPE_BYTES: usize = 256 << 10;

/// Connects a client to a node. The connection ends when the returned serving side is dropped.
pub(crate) async fn connect(node: NodeHandle, pause: &Pause) -> Result<(Client, Owned), tonic::transport::Error> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    // Never cancelled: a simulated node crashes, it is not asked to stop.
    let serving = Owned::spawn(pause.hold(peat_node::api::serve_connection(node, theirs, CancellationToken::new())));
    let once = Arc::new(Mutex::new(Some(ours)));
    let connector = tower::service_fn(move |_| {
        let stream: Option<DuplexStream> = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            // A connection that is gone stays gone: the node crashed, and a client does not come back.
            stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))
        }
    });
    let channel = Endpoint::from_static("http://node.sim").connect_with_connector(connector).await?;
    Ok((PeatSidecarClient::new(channel), serving))
}

/// Connects a client to the API that a node serves in a turmoil simulation, over its TCP.
pub(crate) async fn over_turmoil(node: SocketAddr) -> Result<Client, tonic::transport::Error> {
    let connector = tower::service_fn(move |_| async move { TcpStream::connect(node).await.map(TokioIo::new) });
    let channel = Endpoint::from_static("http://node.sim").connect_with_connector(connector).await?;
    Ok(PeatSidecarClient::new(channel))
}
