//! The accept loop of the binary.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use connectrpc::Dispatcher;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listen::{BindError, Listen, Listener};
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
}

impl Server {
    /// Binds. A Unix socket that a killed process left behind is replaced; one that is answered on, or a
    /// file that is no socket, is an error. The socket's mode is 0660.
    pub async fn bind(at: &Listen) -> Result<Self, BindError> {
        let listener = Listener::bind(at).await?;
        let address = listener.address().unwrap_or_else(|| at.clone());
        Ok(Self { listener, address })
    }

    /// The address that was bound, with the port that the system chose.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Accepts and serves until `shutdown` is cancelled. Then it stops accepting, gives requests under
    /// way [`limits::SHUTDOWN_GRACE`] to finish, and drops what is left. Above
    /// [`limits::MAX_API_CONNECTIONS`] new connections wait in the system's backlog.
    pub async fn serve(self, node: NodeHandle, shutdown: CancellationToken) {
        let api = Api::complete(node, shutdown.clone());
        let mut connections = JoinSet::new();
        let places = Arc::new(Semaphore::new(limits::MAX_API_CONNECTIONS));
        {
            let mut cancelled = pin!(shutdown.cancelled());
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = cancelled.as_mut() => break,
                    _ = connections.join_next(), if !connections.is_empty() => continue,
                    accepted = self.accept(&api, &places) => accepted,
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
        drop(self);
        let drained =
            tokio::time::timeout(limits::SHUTDOWN_GRACE, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(connections = connections.len(), "closing API connections that did not finish in time");
        }
    }

    /// The next connection as a future that serves it. Cancel safe: a connection is not lost, since
    /// nothing is awaited after it was accepted.
    async fn accept<D: Dispatcher>(
        &self,
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
        let serving: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = match &self.listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and awaited: collecting them into full packets costs 40 ms.
                stream.set_nodelay(true)?;
                Box::pin(api.serve(stream))
            }
            Listener::Unix(listener, _) => Box::pin(api.serve(listener.accept().await?.0)),
        };
        Ok(async move {
            serving.await;
            drop(place);
        })
    }
}
