//! TLS on the API's port: the files, their renewal, and the handshake.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::counts::{AccessCounts, count, set};
use super::file::{FileError, Files, Look, Named};
use super::quiet::Quiet;
use crate::limits;

/// The files that TLS needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate, followed by those of intermediate authorities.
    pub cert: Named,
    /// Its key.
    pub key: Named,
    /// Authorities of which one must have issued the client's certificate; `None`: clients show none.
    pub client_ca: Option<Named>,
}

/// What every TLS record of a handshake begins with.
const HANDSHAKE: u8 = 22;
/// What HTTP/2 with prior knowledge begins with.
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2";
const NOT_TLS: &str = "this port speaks TLS: call it with https://";

impl TlsFiles {
    fn all(&self) -> Vec<Named> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).cloned().collect()
    }

    /// Of what [`TlsFiles::all`] has.
    fn parse(&self, contents: &[Vec<u8>]) -> Result<Arc<ServerConfig>, FileError> {
        let content = |index: usize| contents.get(index).map_or(&[][..], Vec::as_slice);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| self.cert.wrong(e))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(file, content(2))? {
                    roots
                        .add(certificate)
                        .map_err(|e| file.wrong(format_args!("a certificate cannot be used: {e}")))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|e| file.wrong(e))?)
            }
        };
        let chain = certificates(&self.cert, content(0))?;
        let mut config = builder.with_single_cert(chain, private_key(&self.key, content(1))?).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => {
                self.key.wrong(format_args!("it is not the key of {}", self.cert.flag))
            }
            other => self.key.wrong(format_args!("it cannot be used with {}: {other}", self.cert.flag)),
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.client_ca.is_some() {
            // A resumed session shows no certificate, so one that has expired meanwhile would not be noticed.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

/// The certificates of a PEM file.
pub(crate) fn certificates(file: &Named, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(file.wrong("no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        Err(_) => Err(file.wrong("the PEM in it is cut short or not base64")),
    }
}

/// The key of a PEM file.
pub(crate) fn private_key(file: &Named, pem: &[u8]) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| file.wrong("no private key in PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted)"))
}

/// TLS as it is now.
pub(in crate::api) struct Tls {
    settings: TlsFiles,
    current: Mutex<Arc<ServerConfig>>,
    places: Semaphore,
    counts: Arc<AccessCounts>,
    failed: Quiet,
}

impl Tls {
    /// Reads the files. What it returns with them is for [`Tls::look`].
    pub(super) fn open(settings: &TlsFiles, counts: Arc<AccessCounts>) -> Result<(Self, Files), FileError> {
        let (files, contents) = Files::open(settings.all(), limits::MAX_API_PEM_BYTES)?;
        let current = Mutex::new(settings.parse(&contents)?);
        let places = Semaphore::new(limits::MAX_API_HANDSHAKES);
        Ok((Self { settings: settings.clone(), current, places, counts, failed: Quiet::default() }, files))
    }

    /// Whether clients must show a certificate.
    pub(super) fn asks_for_certificates(&self) -> bool {
        self.settings.client_ca.is_some()
    }

    /// Takes up what a look at the files gave.
    pub(super) fn look(&self, files: &mut Files) {
        let trouble = match files.look() {
            Look::Unchanged => return,
            Look::Changed(contents) => match self.settings.parse(&contents) {
                Ok(config) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
                    set(&self.counts.tls_unusable, 0);
                    tracing::info!("TLS of the API: the files have changed and are used for new connections");
                    return;
                }
                Err(trouble) => trouble,
            },
            Look::Unreadable(trouble) => trouble,
        };
        tracing::error!("{trouble}; TLS of the API goes on as before");
        set(&self.counts.tls_unusable, 1);
    }

    /// The handshake, within its time. `None`: there is nobody to serve.
    pub(in crate::api) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let _place = self.places.acquire().await.ok()?;
        let from = stream.peer_addr().map_or_else(|_| "somebody".into(), |peer| peer.to_string());
        let why = match timeout(limits::API_HANDSHAKE_TIMEOUT, self.handshake(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took more than {:?}", limits::API_HANDSHAKE_TIMEOUT),
        };
        count(&self.counts.handshakes);
        if let Some(unsaid) = self.failed.line() {
            tracing::warn!(unsaid, "TLS handshake with {from} on the API's port failed: {why}");
        }
        None
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0; 1];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            refuse_plain(stream).await?;
            return Err(io::Error::other("the client does not speak TLS"));
        }
        let config = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// Says what is wrong in words that the client's HTTP understands.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    let mut begin = [0; HTTP_2_PREFACE.len()];
    let read = stream.read(&mut begin).await?;
    if HTTP_2_PREFACE.starts_with(&begin[..read.min(3)]) && read >= 3 {
        stream.write_all(&go_away()).await?;
    } else {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{NOT_TLS}\n",
            NOT_TLS.len() + 1
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    stream.shutdown().await?;
    // What the client goes on sending is read for a while: closing before that would take the answer from it again.
    let mut rest = stream.take(limits::MAX_PLAIN_DRAIN_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

/// An empty SETTINGS and a GOAWAY (INADEQUATE_SECURITY) with the reason: RFC 9113, 6.5 and 6.8.
fn go_away() -> Vec<u8> {
    let length = u8::try_from(8 + NOT_TLS.len()).expect("the text is short");
    let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    frames.extend([0, 0, length, 7, 0, 0, 0, 0, 0]);
    frames.extend([0, 0, 0, 0, 0, 0, 0, 0xc]);
    frames.extend(NOT_TLS.as_bytes());
    frames
}
