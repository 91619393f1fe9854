//! The agent over HTTP/2: prior knowledge without TLS (h2c), and over TLS, mutual or not.
//!
//! One connection, kept from poll to poll and dialled anew after any trouble with it. The three calls of a poll run on
//! it at once. Everything is owned by [`HttpAgent`]: dropping it closes the connection.

mod alert;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::tls::{self, TlsError, TlsFiles, plainly};
use super::{AgentSource, Answer, Answers, CallError};
use crate::limits;
use alert::{Alert, Noting};

const LIST_PACKAGES: &str = "/zarfapi.v1.ZarfAPIService/ListPackages";
const LIST_PULLED_PACKAGES: &str = "/registryapi.v1.RegistryService/ListPulledPackages";
const STATUS: &str = "/status";
const JSON: &str = "application/json";

/// Where an agent is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAddress {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `None`: without TLS.
    pub tls: Option<TlsFiles>,
}

impl AgentAddress {
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl std::fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

/// An agent that is called over the network.
pub struct HttpAgent {
    address: AgentAddress,
    connection: Option<Connection>,
}

struct Connection {
    requests: SendRequest<Bytes>,
    /// The task that moves its bytes.
    driver: JoinSet<()>,
    alert: Alert,
}

impl HttpAgent {
    /// Reads the files of TLS, so that what is wrong with them is told at the start. Nothing is dialled yet.
    pub fn new(address: AgentAddress) -> Result<Self, TlsError> {
        if let Some(tls) = &address.tls {
            tls.load()?;
        }
        Ok(Self { address, connection: None })
    }

    async fn connected(&mut self) -> Result<&mut Connection, CallError> {
        // The driver ends with the connection: the agent may have closed it since.
        if let Some(connection) = &mut self.connection
            && connection.driver.try_join_next().is_some()
        {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.dial().await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn dial(&self) -> Result<Connection, CallError> {
        let to = self.address.authority();
        let failed = |what: &str, error: &io::Error| CallError::Unreachable(format!("{what} {to}: {}", plainly(error)));
        let host = (self.address.host.as_str(), self.address.port);
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host(host).await.map_err(|e| failed("no address of", &e))?.collect();
        let stream = TcpStream::connect(&*addresses).await.map_err(|e| failed("no connection to", &e))?;
        // Requests are small and awaited: collecting them into full packets costs 40 ms.
        stream.set_nodelay(true).map_err(|e| failed("no connection to", &e))?;
        match &self.address.tls {
            None => Connection::over(stream, Alert::default()).await,
            Some(files) => {
                let config = files.load().map_err(|e| CallError::Unreachable(e.to_string()))?;
                let name = ServerName::try_from(self.address.host.clone()).map_err(|_| {
                    CallError::Unreachable(format!("{} is no name for a certificate", self.address.host))
                })?;
                let alert = Alert::default();
                let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| tls_failed(&to, &e))?;
                if stream.get_ref().1.alpn_protocol() != Some(tls::HTTP_2) {
                    return Err(CallError::Unreachable(format!("{to} does not speak HTTP/2 over TLS")));
                }
                Connection::over(Noting::new(stream, alert.clone()), alert).await
            }
        }
    }
}

fn tls_failed(to: &str, error: &io::Error) -> CallError {
    let why = match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(error) => tls::explained(error),
        None => format!("the TLS handshake fails: {}: does it speak TLS?", plainly(error)),
    };
    CallError::Unreachable(format!("{to}: {why}"))
}

impl Connection {
    async fn over<IO>(io: IO, alert: Alert) -> Result<Self, CallError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = h2::client::Builder::new();
        // Windows for a whole answer: with the least that HTTP/2 has, a large one would take fifty round trips.
        http.enable_push(false)
            .max_header_list_size(limits::MAX_AGENT_HEADER_BYTES)
            .initial_window_size(limits::MAX_AGENT_ANSWER_BYTES as u32)
            .initial_connection_window_size(2 * limits::MAX_AGENT_ANSWER_BYTES as u32);
        let handshake = http.handshake(io).await;
        let (requests, connection) = handshake.map_err(|error| broken(&error, &alert))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever waits for an answer is told the same.
            let _ = connection.await;
        });
        Ok(Self { requests, driver, alert })
    }

    async fn call(&self, request: Call, deadline: Instant, within: Duration) -> Answer {
        let answered = timeout_at(deadline, request.send(self.requests.clone(), &self.alert)).await;
        answered.unwrap_or(Err(CallError::TimedOut { within }))
    }
}

impl AgentSource for HttpAgent {
    fn address(&self) -> String {
        self.address.to_string()
    }

    async fn poll(&mut self, within: Duration) -> Answers {
        let deadline = Instant::now() + within;
        let base = self.address.to_string();
        let connection = match timeout_at(deadline, self.connected()).await {
            Ok(Ok(connection)) => &*connection,
            Ok(Err(error)) => return Answers::none(error),
            Err(_) => return Answers::none(CallError::TimedOut { within }),
        };
        let (status, packages, pulled_packages) = tokio::join!(
            connection.call(Call::get(&base, STATUS), deadline, within),
            connection.call(Call::list(&base, LIST_PACKAGES, within), deadline, within),
            connection.call(Call::list(&base, LIST_PULLED_PACKAGES, within), deadline, within),
        );
        // What is left of a large answer would still be on its way.
        let broken = |answer: &Answer| {
            use CallError::{TimedOut, TooLarge, Unreachable};
            matches!(answer, Err(Unreachable(_) | TimedOut { .. } | TooLarge { .. }))
        };
        if [&status, &packages, &pulled_packages].into_iter().any(broken) {
            self.connection = None;
        }
        Answers { status, packages, pulled_packages }
    }
}

/// One request.
struct Call {
    request: Result<Request<()>, http::Error>,
    body: Option<Bytes>,
}

impl Call {
    fn get(base: &str, path: &str) -> Self {
        let request = Request::builder().method(Method::GET).uri(format!("{base}{path}")).header(ACCEPT, JSON).body(());
        Self { request, body: None }
    }

    /// A call of Connect with an empty message.
    fn list(base: &str, path: &str, within: Duration) -> Self {
        let body = Bytes::from_static(b"{}");
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{base}{path}"))
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(CONTENT_LENGTH, body.len())
            .header("connect-protocol-version", "1")
            .header("connect-timeout-ms", within.as_millis().to_string())
            .body(());
        Self { request, body: Some(body) }
    }

    async fn send(self, requests: SendRequest<Bytes>, alert: &Alert) -> Answer {
        // The address was checked when it was parsed, so this is not expected to happen.
        let request = self.request.map_err(|error| CallError::Unreachable(error.to_string()))?;
        let is_list = self.body.is_some();
        let mut requests = requests.ready().await.map_err(|error| broken(&error, alert))?;
        let (answer, mut stream) =
            requests.send_request(request, self.body.is_none()).map_err(|error| broken(&error, alert))?;
        if let Some(body) = self.body {
            stream.send_data(body, true).map_err(|error| broken(&error, alert))?;
        }
        let (head, mut incoming) = answer.await.map_err(|error| broken(&error, alert))?.into_parts();
        let good = head.status == StatusCode::OK;
        // Go takes a handler's JSON for text/plain unless told otherwise; the calls of Connect always tell.
        if good && is_list && !is_json(&head.headers) {
            return Err(CallError::NotJson);
        }
        let mut body = Vec::new();
        while let Some(chunk) = incoming.data().await {
            let chunk = chunk.map_err(|error| broken(&error, alert))?;
            // First of all: what is not given back is missing from the window of the whole connection.
            incoming.flow_control().release_capacity(chunk.len()).map_err(|error| broken(&error, alert))?;
            if body.len() + chunk.len() > limits::MAX_AGENT_ANSWER_BYTES {
                return Err(CallError::TooLarge { limit: limits::MAX_AGENT_ANSWER_BYTES });
            }
            body.extend_from_slice(&chunk);
        }
        if good {
            Ok(body)
        } else {
            Err(CallError::Refused { status: head.status.as_u16(), code: connect_code(&body) })
        }
    }
}

fn broken(error: &h2::Error, alert: &Alert) -> CallError {
    if let Some(why) = alert.seen() {
        return CallError::Unreachable(tls::explained(&why));
    }
    let text = match error.get_io() {
        Some(error) => format!("the connection broke: {}", plainly(error)),
        None => {
            format!("HTTP/2 fails: {error}: is this the agent, and is it with TLS exactly if --agent-addr says https?")
        }
    };
    CallError::Unreachable(text)
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(JSON))
}

/// The code of an error of Connect. Its message is not taken: it may have anything in it.
fn connect_code(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct ConnectError {
        code: String,
    }
    /// Longer than any code of Connect.
    const MAX_CODE_BYTES: usize = 32;
    let ConnectError { code } = serde_json::from_slice(body).ok()?;
    let plain = code.len() <= MAX_CODE_BYTES && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    plain.then_some(code)
}
