//! The metrics listener: `/metrics`, `/healthz`, `/readyz` over HTTP/1.1, for scrapers and probes.
//!
//! Apart from the API, so that it can be bound where only the machinery of operations reaches it, and up before the
//! store is opened, so that a long recovery is not taken for a dead process. One request a connection, each within
//! [`limits::METRICS_TIMEOUT`], at most [`limits::MAX_METRICS_CONNECTIONS`] at once.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::api::access::AccessCounts;
use crate::api::{BindError, Listen, Listener, SOCKET_MODE};
use crate::limits;
use crate::node::NodeHandle;

const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "peat-node\n\n/metrics  figures for Prometheus\n/healthz  whether the process is alive\n\
                     /readyz   whether it can serve, and if not, why\n";
/// Pause after a failed accept, which is most likely a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The node that the listener speaks of, once there is one.
#[derive(Clone, Default)]
pub struct Watched {
    node: Arc<OnceLock<NodeHandle>>,
    access: Arc<OnceLock<Arc<AccessCounts>>>,
    stopping: CancellationToken,
}

impl Watched {
    /// Nobody yet. `stopping` is cancelled when the process is told to stop.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { stopping, ..Self::default() }
    }

    /// Who is refused at the API's port is counted there. Only the first counts.
    pub fn guarded(&self, counts: Arc<AccessCounts>) {
        let _ = self.access.set(counts);
    }

    /// The node has started. Only the first one counts.
    pub fn started(&self, node: NodeHandle) {
        let _ = self.node.set(node);
    }

    /// Why the node is not ready to serve; `None`: it is.
    pub fn unready(&self) -> Option<String> {
        match self.node.get() {
            _ if self.stopping.is_cancelled() => Some("shutting down".into()),
            None => Some("starting: the store is being opened".into()),
            Some(node) => node.unready(),
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<String> {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are served\n".into());
            refused.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/" => text(StatusCode::OK, TEXT, INDEX.into()),
            "/healthz" => text(StatusCode::OK, TEXT, "alive\n".into()),
            "/readyz" => match self.unready() {
                None => text(StatusCode::OK, TEXT, "ready\n".into()),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
            },
            "/metrics" => match self.node.get() {
                Some(node) => text(
                    StatusCode::OK,
                    metrics::CONTENT_TYPE,
                    metrics::encode(node.figures(), self.access.get().map(|counts| counts.figures())),
                ),
                None => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "there are no metrics before the start\n".into()),
            },
            _ => text(StatusCode::NOT_FOUND, TEXT, format!("there is no such page; there are:\n\n{INDEX}")),
        }
    }
}

fn text(status: StatusCode, media_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// A bound listener that does not accept yet.
pub struct MetricsListener {
    listener: Listener,
    address: Listen,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl MetricsListener {
    /// Binds. A Unix socket as for the API.
    pub async fn bind(at: &Listen) -> Result<Self, BindError> {
        let listener = Listener::bind(at, SOCKET_MODE).await?;
        let address = listener.address().unwrap_or_else(|| at.clone());
        Ok(Self { listener, address })
    }

    /// The address that was bound, with the port that the system chose.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Answers until `stop` is cancelled, which should be after the node has stopped: that it is stopping is worth
    /// telling.
    pub async fn serve(self, watched: Watched, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(limits::MAX_METRICS_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut stopped = pin!(stop.cancelled());
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((place, self.accept().await?))
            };
            let accepted = tokio::select! {
                biased;
                () = stopped.as_mut() => return,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                accepted = next => accepted,
            };
            match accepted {
                Ok((place, stream)) => {
                    let watched = watched.clone();
                    connections.spawn(async move {
                        // Slow readers are cut off: who cannot take a page in this time has gone.
                        let _ = timeout(limits::METRICS_TIMEOUT, answer(stream, &watched)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Pin<Box<dyn Stream>>> {
        Ok(match &self.listener {
            Listener::Tcp(listener) => Box::pin(listener.accept().await?.0),
            Listener::Unix(listener, _) => Box::pin(listener.accept().await?.0),
        })
    }
}

/// Answers one request.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, watched: &Watched) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(watched.answer(request.method(), request.uri().path()))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::METRICS_TIMEOUT)
        .max_buf_size(limits::MAX_METRICS_REQUEST_BYTES)
        .keep_alive(false)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Sends bytes and reads until the connection is closed.
    async fn exchange(watched: &Watched, request: &[u8]) -> String {
        let (mut near, far) = tokio::io::duplex(64 << 10);
        let (served, told) = tokio::join!(answer(far, watched), async {
            // The listener may have had enough before it has read everything.
            let _ = near.write_all(request).await;
            let mut told = String::new();
            near.read_to_string(&mut told).await.expect("text");
            told
        });
        drop(served);
        told
    }

    #[tokio::test]
    async fn before_the_start_a_process_is_alive_and_not_ready() {
        let watched = Watched::default();
        let get = async |path: &str| exchange(&watched, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await;
        let alive = get("/healthz").await;
        assert!(alive.starts_with("HTTP/1.1 200") && alive.ends_with("\r\n\r\nalive\n"), "{alive}");
        let ready = get("/readyz").await;
        assert!(
            ready.starts_with("HTTP/1.1 503") && ready.ends_with("not ready: starting: the store is being opened\n")
        );
        assert!(get("/metrics").await.starts_with("HTTP/1.1 503"));
        assert!(get("/nonsense").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_process_that_is_told_to_stop_is_alive_and_not_ready() {
        let watched = Watched::default();
        watched.stopping.cancel();
        assert!(exchange(&watched, b"GET /healthz HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200"));
        let ready = exchange(&watched, b"GET /readyz HTTP/1.1\r\n\r\n").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("not ready: shutting down\n"), "{ready}");
    }

    #[tokio::test]
    async fn whoever_asks_for_anything_but_a_page_is_refused() {
        let watched = Watched::default();
        let post = exchange(&watched, b"POST /metrics HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await;
        assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD"), "{post}");
        let head = exchange(&watched, b"HEAD /healthz HTTP/1.1\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("alive"), "{head}");
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(limits::MAX_METRICS_REQUEST_BYTES * 2));
        let refused = exchange(&watched, long.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
        assert_eq!(exchange(&watched, b"\x16\x03\x01").await.find("HTTP/1.1 200"), None);
    }

    #[tokio::test]
    async fn each_connection_has_one_answer() {
        let two = exchange(&Watched::default(), b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n").await;
        assert_eq!(two.matches("HTTP/1.1 200").count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_cut_off() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let served = timeout(limits::METRICS_TIMEOUT * 2, answer(far, &Watched::default())).await;
        assert!(served.is_ok(), "it is still waiting");
        drop(near);
    }
}
