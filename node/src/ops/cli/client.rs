//! The call: three methods over one connection, all within one time limit.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;

use hyper_util::rt::TokioIo;
use peat_proto::client::*;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use super::Credentials;
use super::ask::Ask;
use super::credentials::Token;
use crate::api::Listen;

/// What a node said of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub status: GetStatusResponse,
    pub peers: Vec<PeerInfo>,
    pub stats: GetSyncStatsResponse,
}

/// Asks; the error is for people.
pub(super) async fn answer(ask: &Ask) -> Result<Answer, String> {
    match tokio::time::timeout(ask.timeout, call(ask.api.clone(), &ask.credentials)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(problem)) => Err(problem.told(&ask.api, &ask.credentials)),
        Err(_) => Err(format!("{} did not answer within {:?}; --timeout allows it more", ask.api, ask.timeout)),
    }
}

enum Problem {
    /// There was no connection.
    Connect(String),
    /// There was one, and no answer.
    Answer(tonic::Status),
}

impl Problem {
    fn told(self, api: &Listen, credentials: &Credentials) -> String {
        match self {
            Self::Connect(why) => format!(
                "no node answers at {api}: {why}\n    is it running? --api, or PEAT_NODE_LISTEN, says where it listens"
            ),
            Self::Answer(status) => {
                format!("{api} answered, but not to the question: {}", reason(&status, credentials))
            }
        }
    }
}

pub(super) fn reason(status: &tonic::Status, credentials: &Credentials) -> String {
    // It came from the connection, not from the node. Who is refused by TLS 1.3 learns no more than that.
    if status.source().is_some() {
        return format!("the connection was closed; {}", credentials.doubt());
    }
    match status.message() {
        "" => status.code().to_string(),
        message => message.chars().filter(|c| !c.is_control()).collect(),
    }
}

async fn call(api: Listen, credentials: &Credentials) -> Result<Answer, Problem> {
    let mut client = connect(api, credentials).await.map_err(|error| Problem::Connect(innermost(&error)))?;
    let status = client.get_status(GetStatusRequest {}).await.map_err(Problem::Answer)?.into_inner();
    let peers = client.list_peers(ListPeersRequest {}).await.map_err(Problem::Answer)?.into_inner().peers;
    let stats = client.get_sync_stats(GetSyncStatsRequest {}).await.map_err(Problem::Answer)?.into_inner();
    Ok(Answer { status, peers, stats })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Box<dyn Stream>>>> + Send>>;

/// A client that shows its token with every call.
pub(super) type Client = PeatSidecarClient<InterceptedService<Channel, Bearer>>;

/// The header with the token.
#[derive(Clone)]
pub(super) struct Bearer(Option<Token>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            let value: Result<MetadataValue<_>, _> = token.header().parse();
            let mut value = value.map_err(|_| tonic::Status::invalid_argument("the token cannot stand in a header"))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub(super) async fn connect(api: Listen, credentials: &Credentials) -> Result<Client, tonic::transport::Error> {
    let Credentials { token, tls } = credentials.clone();
    let connector = tower::service_fn(move |_| -> Connecting {
        let (api, tls) = (api.clone(), tls.clone());
        Box::pin(async move {
            let stream: Box<dyn Stream> = match (api, tls) {
                (Listen::Tcp(address), None) => Box::new(TcpStream::connect(address).await?),
                (Listen::Tcp(address), Some(tls)) => {
                    let connector = TlsConnector::from(tls.load()?);
                    Box::new(connector.connect(tls.name(), TcpStream::connect(address).await?).await?)
                }
                (Listen::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
            };
            Ok(TokioIo::new(stream))
        })
    });
    // The name is not looked up: the connector knows where to go.
    let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await?;
    Ok(PeatSidecarClient::with_interceptor(channel, Bearer(token)))
}

/// What the system said, without the layers around it, and without the number that is added for programmers.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
