//! One connection: HTTP/1.1 or HTTP/2 with prior knowledge, told apart by the first bytes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use connectrpc::{Chain, CompressionRegistry, ConnectRpcService, Dispatcher, GzipProvider, Limits, Router};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use peat_proto::server::PeatSidecarServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tower_http::cors::CorsLayer;
use tower_http::map_response_body::MapResponseBodyLayer;

use super::access::pages::{Answer, Origins};
use super::access::{Gate, Gated};
use super::service::Sidecar;
use crate::node::NodeHandle;

/// An HTTP/1.1 client must have sent the head of its next request within this time: without it, a client
/// that trickles bytes would hold one of the connections for ever.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// An HTTP/2 client is asked for a sign of life at this interval, so that a subscriber that vanished
/// without a word is noticed although it never sends anything by itself.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// The time it has to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves one connection until the client closes it, or until `shutdown` is cancelled and the requests
/// under way are answered; subscriptions end with `unavailable` then.
///
/// Everything that the connection spawns is owned by this future: dropping it drops all of that too, as
/// a crash would. It reads no clock but tokio's, and needs no runtime feature but timers.
pub async fn serve_connection<IO>(node: NodeHandle, io: IO, shutdown: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Api::bare(node, shutdown).serve(io).await;
}

/// The service with its limits, made once for all connections.
pub(super) struct Api<D> {
    service: Gated<D>,
    /// Answers browsers that ask for pages of other origins.
    pages: Option<CorsLayer>,
    shutdown: CancellationToken,
}

impl<D> Clone for Api<D> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), pages: self.pages.clone(), shutdown: self.shutdown.clone() }
    }
}

impl Api<PeatSidecarServer<Sidecar>> {
    /// The methods.
    pub(super) fn bare(node: NodeHandle, shutdown: CancellationToken) -> Self {
        let request_bytes = node.limits().request_bytes;
        Self::of(PeatSidecarServer::new(Sidecar::new(node, shutdown.clone())), request_bytes, shutdown)
    }
}

impl Api<Chain<PeatSidecarServer<Sidecar>, Router>> {
    /// The methods, health and reflection.
    pub(super) fn complete(node: NodeHandle, shutdown: CancellationToken) -> Self {
        let request_bytes = node.limits().request_bytes;
        let sidecar = PeatSidecarServer::new(Sidecar::new(node.clone(), shutdown.clone()));
        Self::of(Chain(sidecar, super::health::router(node, shutdown.clone())), request_bytes, shutdown)
    }
}

impl<D: Dispatcher> Api<D> {
    fn of(dispatcher: D, request_bytes: usize, shutdown: CancellationToken) -> Self {
        let limits = Limits::default().with_max_request_body_size(request_bytes).with_max_message_size(request_bytes);
        // The crates beside ours bring zstd with them; one decompressor is attack surface enough.
        let compression = CompressionRegistry::new().register(GzipProvider::new());
        let service = ConnectRpcService::new(dispatcher).with_limits(limits).with_compression(compression);
        Self { service: Gated::open(service), pages: None, shutdown }
    }

    /// The same behind a gate, if there is one.
    pub(super) fn behind(self, gate: Option<Arc<Gate>>) -> Self {
        Self { service: self.service.behind(gate), ..self }
    }

    /// The same for pages of some origins, too.
    pub(super) fn for_pages(self, origins: Option<&Origins>) -> Self {
        Self { pages: origins.map(Origins::layer), ..self }
    }

    /// Resolves when the server stops.
    pub(super) async fn stopping(&self) {
        self.shutdown.cancelled().await;
    }

    pub(super) async fn serve<IO>(self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, pages, shutdown } = self;
        match pages {
            None => serve_http(service, io, shutdown).await,
            // Outside of the gate: such a question comes without a token.
            Some(pages) => {
                let service = MapResponseBodyLayer::new(Answer::from).layer(service);
                serve_http(pages.layer(service), io, shutdown).await;
            }
        }
    }
}

/// Serves one connection.
async fn serve_http<S, B, IO>(service: S, io: IO, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (_owner, spawner) = task_owner();
    let mut http = auto::Builder::new(spawner);
    // A `date` header would be a reading of the clock in every answer, and nobody here needs it.
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).auto_date_header(false);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .auto_date_header(false);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(service)));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "API connection ended");
    }
}

/// Tasks of one connection. Dropping it aborts them.
struct TaskOwner(Arc<Mutex<Option<JoinSet<()>>>>);

/// Gives hyper a way to spawn, but not to keep alive.
#[derive(Clone)]
struct TaskSpawner(Arc<Mutex<Option<JoinSet<()>>>>);

fn task_owner() -> (TaskOwner, TaskSpawner) {
    let tasks = Arc::new(Mutex::new(Some(JoinSet::new())));
    (TaskOwner(tasks.clone()), TaskSpawner(tasks))
}

impl Drop for TaskOwner {
    fn drop(&mut self) {
        // Taken out of the lock first: an aborted task may hold the last other clone of it.
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(tasks);
    }
}

impl<F> Executor<F> for TaskSpawner
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without an owner the connection is gone, and so is the reason to run.
        let Some(tasks) = tasks.as_mut() else { return };
        while let Some(finished) = tasks.try_join_next() {
            if let Err(error) = finished {
                tracing::error!(%error, "a request failed");
            }
        }
        tasks.spawn(async move {
            future.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets its flag when it is dropped.
    struct Bell(Arc<std::sync::atomic::AtomicBool>);

    impl Drop for Bell {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn dropping_a_connection_drops_its_requests() {
        let (owner, spawner) = task_owner();
        let rung = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let bell = Bell(rung.clone());
        // A request that never ends by itself and, as hyper's may, holds the spawner.
        let held = spawner.clone();
        spawner.execute(async move {
            let _both = (bell, held);
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        assert!(!rung.load(std::sync::atomic::Ordering::SeqCst));
        drop(owner);
        tokio::task::yield_now().await;
        assert!(rung.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[tokio::test]
    async fn what_is_spawned_after_the_end_never_runs() {
        let (owner, spawner) = task_owner();
        drop(owner);
        spawner.execute(async { unreachable!("the connection is gone") });
        tokio::task::yield_now().await;
    }
}
