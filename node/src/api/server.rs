//! The accept loop of the binary.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use connectrpc::Dispatcher;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::access::Guard;
use super::listen::{BindError, Listen, Listener, SOCKET_MODE};
use super::serve::Api;
use crate::limits;
use crate::node::NodeHandle;

/// Pause after a failed accept. Most failures are "too many open files": only time heals those, and
/// without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener that does not accept yet.
pub struct Server {
    listener: Listener,
    address: Listen,
    guard: Guard,
}

impl Server {
    /// Binds. A Unix socket that a killed process left behind is replaced; one that is answered on, or a
    /// file that is no socket, is an error. The socket's mode is 0660.
    pub async fn bind(at: &Listen) -> Result<Self, BindError> {
        Self::bind_with_mode(at, SOCKET_MODE).await
    }

    /// The same with another mode of the socket.
    pub async fn bind_with_mode(at: &Listen, mode: u32) -> Result<Self, BindError> {
        let listener = Listener::bind(at, mode).await?;
        let address = listener.address().unwrap_or_else(|| at.clone());
        Ok(Self { listener, address, guard: Guard::default() })
    }

    /// Behind a guard: without one, whoever reaches the port may use it.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// The address that was bound, with the port that the system chose.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Accepts and serves until `shutdown` is cancelled. Then it stops accepting, gives requests under
    /// way [`limits::SHUTDOWN_GRACE`] to finish, and drops what is left. Above
    /// [`limits::MAX_API_CONNECTIONS`] new connections wait in the system's backlog.
    pub async fn serve(self, node: NodeHandle, shutdown: CancellationToken) {
        let Self { listener, mut guard, .. } = self;
        let followed = guard.followed();
        let guard = Arc::new(guard);
        let api = Api::complete(node, shutdown.clone()).behind(guard.gate()).for_pages(guard.origins());
        let mut connections = JoinSet::new();
        let places = Arc::new(Semaphore::new(limits::MAX_API_CONNECTIONS));
        {
            let mut cancelled = pin!(shutdown.cancelled());
            let mut following = pin!(guard.follow(followed));
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = cancelled.as_mut() => break,
                    _ = connections.join_next(), if !connections.is_empty() => continue,
                    never = following.as_mut() => match never {},
                    accepted = accept(&listener, &guard, &api, &places) => accepted,
                };
                match accepted {
                    Ok(connection) => {
                        connections.spawn(connection);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept an API connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        // Closes the port, so that clients go elsewhere at once.
        drop(listener);
        let drained =
            tokio::time::timeout(limits::SHUTDOWN_GRACE, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(connections = connections.len(), "closing API connections that did not finish in time");
        }
    }
}

/// The next connection as a future that serves it, TLS handshake included. Cancel safe: a connection is not lost, since
/// nothing is awaited after it was accepted.
async fn accept<D: Dispatcher>(
    listener: &Listener,
    guard: &Arc<Guard>,
    api: &Api<D>,
    places: &Arc<Semaphore>,
) -> io::Result<impl Future<Output = ()> + Send + use<D>> {
    let place = match places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            tracing::warn!(limit = limits::MAX_API_CONNECTIONS, "all API connections are taken; others wait");
            places.clone().acquire_owned().await.map_err(io::Error::other)?
        }
    };
    let api = api.clone();
    let serving: Pin<Box<dyn Future<Output = ()> + Send>> = match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Answers are small and awaited: collecting them into full packets costs 40 ms.
            stream.set_nodelay(true)?;
            match guard.tls() {
                None => Box::pin(api.serve(stream)),
                Some(_) => Box::pin(serve_tls(guard.clone(), stream, api)),
            }
        }
        Listener::Unix(listener, _) => Box::pin(api.serve(listener.accept().await?.0)),
    };
    Ok(async move {
        serving.await;
        drop(place);
    })
}

async fn serve_tls<D: Dispatcher>(guard: Arc<Guard>, stream: TcpStream, api: Api<D>) {
    let Some(tls) = guard.tls() else { return };
    let accepted = tokio::select! {
        biased;
        () = api.stopping() => return,
        accepted = tls.accept(stream) => accepted,
    };
    if let Some(stream) = accepted {
        api.serve(stream).await;
    }
}
