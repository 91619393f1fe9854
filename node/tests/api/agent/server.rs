//! A small agent: HTTP/2 with prior knowledge, or over TLS, mutual or not. It answers what it was told to, and counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};
use peat_node::watcher::http::AgentAddress;
use peat_node::watcher::tls::{Identity, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub const STATUS: &str = "/status";
pub const PACKAGES: &str = "/zarfapi.v1.ZarfAPIService/ListPackages";
pub const PULLED: &str = "/registryapi.v1.RegistryService/ListPulledPackages";

/// What a path answers.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Of the body only a part comes, and then nothing more.
    pub stalls: bool,
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self::text(&value.to_string())
    }

    pub fn text(body: &str) -> Self {
        Self { status: 200, content_type: "application/json", body: body.into(), stalls: false }
    }
}

#[derive(Default)]
struct Script {
    replies: BTreeMap<String, Reply>,
    /// Method, path, content type and body of every request.
    requests: Vec<(String, String, String, Vec<u8>)>,
}

/// A running agent. It ends, and closes its connections, with it.
pub struct Agent {
    pub port: u16,
    script: Arc<Mutex<Script>>,
    polls: watch::Receiver<u64>,
    pub connections: watch::Receiver<u64>,
    _serving: JoinSet<()>,
}

impl Agent {
    pub async fn start() -> Self {
        Self::start_at(0, None).await
    }

    pub async fn start_at(port: u16, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let script = Arc::new(Mutex::new(Script::default()));
        let (counter, polls) = watch::channel(0);
        let (connected, connections) = watch::channel(0);
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&script);
        serving.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                connected.send_modify(|count| *count += 1);
                let (script, counter, acceptor) = (Arc::clone(&shared), counter.clone(), acceptor.clone());
                sessions.spawn(async move {
                    match acceptor {
                        None => serve(stream, script, counter).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, script, counter).await;
                            }
                        }
                    }
                });
            }
        });
        let agent = Self { port, script, polls, connections, _serving: serving };
        agent.set_status(&json!({ "version": "1.2.3", "k8sNodeStatus": "Ready" }));
        agent.set_packages(&json!([]));
        agent.reply(PULLED, Reply::text("{}"));
        agent
    }

    /// Without TLS.
    pub fn address(&self) -> AgentAddress {
        AgentAddress { host: "127.0.0.1".into(), port: self.port, tls: None }
    }

    pub fn reply(&self, path: &str, reply: Reply) {
        self.script.lock().expect("unpoisoned").replies.insert(path.into(), reply);
    }

    pub fn set_status(&self, status: &Value) {
        self.reply(STATUS, Reply::json(status));
    }

    pub fn set_packages(&self, packages: &Value) {
        self.reply(PACKAGES, Reply::json(&json!({ "packages": packages })));
    }

    pub fn requests(&self) -> Vec<(String, String, String, Vec<u8>)> {
        self.script.lock().expect("unpoisoned").requests.clone()
    }

    /// Waits until a poll that began after this call has been carried out. The next begins only then.
    pub async fn polled(&mut self) {
        let begun = *self.polls.borrow_and_update();
        // The one after the next one: the next one may have begun before this call.
        self.polls.wait_for(|count| *count >= begun + 2).await.expect("serving");
    }
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(io: IO, script: Arc<Mutex<Script>>, counter: watch::Sender<u64>) {
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    // Streams that stall are kept open with the connection.
    let mut held = Vec::new();
    let mut bodies = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            Some(_) = bodies.join_next() => continue,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let (head, mut body) = request.into_parts();
        if head.uri.path() == STATUS {
            counter.send_modify(|count| *count += 1);
        }
        let reply = script.lock().expect("unpoisoned").replies.get(head.uri.path()).cloned();
        let log = Arc::clone(&script);
        let request = Request::from_parts(head, ());
        bodies.spawn(async move {
            let mut bytes = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                bytes.extend_from_slice(&chunk);
            }
            let content_type = request.headers().get("content-type").map(|v| v.to_str().expect("text").to_owned());
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            log.lock().expect("unpoisoned").requests.push((method, path, content_type.unwrap_or_default(), bytes));
        });
        held.extend(answer(respond, reply));
    }
}

fn answer(mut respond: SendResponse<Bytes>, reply: Option<Reply>) -> Option<h2::SendStream<Bytes>> {
    let Some(reply) = reply else {
        let _ = respond.send_response(Response::builder().status(404).body(()).expect("valid"), true);
        return None;
    };
    let head = Response::builder().status(reply.status).header("content-type", reply.content_type);
    let mut stream = respond.send_response(head.body(()).expect("valid"), false).ok()?;
    if reply.stalls {
        let half = reply.body.len() / 2;
        let _ = stream.send_data(reply.body[..half].to_vec().into(), false);
        return Some(stream);
    }
    let _ = stream.send_data(reply.body.into(), true);
    None
}

/// An authority with its certificates, in files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("valid");
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, directory }
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate and its key, in files.
    pub fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let identity = Identity { cert: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) };
        std::fs::write(&identity.cert, certificate.pem()).expect("written");
        std::fs::write(&identity.key, key.serialize_pem()).expect("written");
        identity
    }

    /// What a client needs that trusts this authority.
    pub fn files(&self, identity: Option<Identity>) -> TlsFiles {
        TlsFiles { ca: self.ca(), identity }
    }
}

/// A server with a certificate for `name`; `clients`: the authority whose certificates it asks for.
pub fn server_config(authority: &Authority, name: &str, clients: Option<&Authority>) -> ServerConfig {
    let identity = authority.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.expect("valid");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&clients.ca())).expect("valid");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("valid"))
        }
    };
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    let mut config = builder.with_single_cert(vec![certificate(&identity.cert)], key).expect("valid");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).expect("a certificate")
}
