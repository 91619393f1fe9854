//! What a question shows the node that is asked: a token, and with TLS a certificate.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::api::Listen;
use crate::api::access::file::{FileError, Named};
use crate::api::access::tls::{certificates, private_key};
use crate::api::access::tokens::is_token;
use crate::config::flags::{BadFlag, example, shown};
use crate::limits;

const TOKEN: &str = "--api-token";
const CA: &str = "--api-tls-ca";
const NAME: &str = "--api-tls-name";
const CERT: &str = "--api-tls-cert";
const KEY: &str = "--api-tls-key";

/// The flags.
#[derive(Args)]
pub(crate) struct Words {
    /// Token that the node asks for, or file:PATH of a file with it. Prefer the variable: others can read a command line
    #[arg(long, env = "PEAT_NODE_API_TOKEN", value_name = "TOKEN")]
    api_token: Option<String>,

    /// Authority of the node's certificate, PEM file: the node is called with TLS
    #[arg(long, env = "PEAT_NODE_API_TLS_CA", value_name = "FILE")]
    api_tls_ca: Option<PathBuf>,

    /// Name or address that its certificate must be for [default: the host of --api]
    #[arg(long, env = "PEAT_NODE_API_TLS_NAME", value_name = "NAME")]
    api_tls_name: Option<String>,

    /// Certificate that the node is shown, if it asks for one, PEM file
    #[arg(long, env = "PEAT_NODE_API_TLS_CERT", value_name = "FILE")]
    api_tls_cert: Option<PathBuf>,

    /// Key of that certificate, PEM file
    #[arg(long, env = "PEAT_NODE_API_TLS_KEY", value_name = "FILE")]
    api_tls_key: Option<PathBuf>,
}

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Credentials {
    /// What stands in the header.
    pub(super) token: Option<Token>,
    /// How TLS is spoken, if it is.
    pub(super) tls: Option<Tls>,
}

impl Credentials {
    /// What may be missing if the node closes the connection.
    pub(super) fn doubt(&self) -> &'static str {
        match &self.tls {
            None => "if it speaks TLS, give --api-tls-ca",
            Some(Tls { identity: None, .. }) => "if it asks for a certificate, give --api-tls-cert and --api-tls-key",
            Some(_) => "it may not accept the certificate of --api-tls-cert, or was stopped",
        }
    }
}

/// A token, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// As a header has it.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a token)")
    }
}

/// Files for TLS. They are read when the node is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    ca: Named,
    identity: Option<(Named, Named)>,
    name: ServerName<'static>,
}

/// Checks every word; the error has all that are bad. `api`: `None` if it is wrong itself, which is told already.
pub(super) fn parse(words: Words, api: Option<&Listen>) -> Result<Credentials, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let token = words.api_token.map(|given| token(&given)).transpose().map_err(|flag| bad.push(flag)).ok().flatten();
    let named = |flag, path: Option<PathBuf>| path.map(|path| Named { flag, path });
    let (ca, cert, key) = (named(CA, words.api_tls_ca), named(CERT, words.api_tls_cert), named(KEY, words.api_tls_key));
    if ca.is_none() {
        let given = [(NAME, words.api_tls_name.is_some()), (CERT, cert.is_some()), (KEY, key.is_some())];
        for (flag, _) in given.into_iter().filter(|(_, given)| *given) {
            bad.push(example(
                flag,
                format!("it was given, but there is no {CA}"),
                format!("name the authority with {CA}"),
            ));
        }
        return if bad.is_empty() { Ok(Credentials { token, tls: None }) } else { Err(bad) };
    }
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (cert, _) => {
            let (missing, there) = if cert.is_some() { (KEY, CERT) } else { (CERT, KEY) };
            let problem = format!("it is missing: {there} is of no use without it");
            bad.push(example(missing, problem, "give both or none"));
            None
        }
    };
    let name = match (words.api_tls_name, api) {
        (Some(name), _) => server_name(NAME, name).map_err(|flag| bad.push(flag)).ok(),
        (None, Some(Listen::Tcp(address))) => {
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            server_name("--api", host).map_err(|flag| bad.push(flag)).ok()
        }
        (None, Some(Listen::Unix(_))) => {
            bad.push(example(CA, "it was given, but --api is a Unix socket".into(), "leave it out"));
            None
        }
        (None, None) => None,
    };
    match (ca, name) {
        (Some(ca), Some(name)) if bad.is_empty() => Ok(Credentials { token, tls: Some(Tls { ca, identity, name }) }),
        _ => Err(bad),
    }
}

fn server_name(flag: &'static str, name: String) -> Result<ServerName<'static>, BadFlag> {
    let problem = format!("{} is neither a host name nor an IP address", shown(&name));
    ServerName::try_from(name)
        .map_err(|_| example(flag, problem, format!("write for example: {NAME} node.fleet.example")))
}

fn token(given: &str) -> Result<Token, BadFlag> {
    const MAKE: &str = "make one with: peat-node token new --name NAME --scope read";
    let text = match given.strip_prefix("file:") {
        None => given.to_owned(),
        Some(path) => {
            let read = Named { flag: TOKEN, path: path.into() }.read(limits::MAX_KEY_FILE_BYTES);
            let read =
                read.map_err(|e| e.problem).and_then(|bytes| String::from_utf8(bytes).map_err(|e| e.to_string()));
            read.map_err(|why| example(TOKEN, format!("the file {} cannot be read: {why}", shown(path)), MAKE))?
        }
    };
    let text = text.trim();
    if !is_token(text) {
        let (least, most) = (limits::API_TOKEN_BYTES.start(), limits::API_TOKEN_BYTES.end());
        let problem = format!("it is not {least} to {most} printable ASCII characters (not shown: it is a secret)");
        return Err(example(TOKEN, problem, MAKE));
    }
    Ok(Token(text.into()))
}

impl Tls {
    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// Reads the files.
    pub(super) fn load(&self) -> io::Result<Arc<ClientConfig>> {
        self.config().map_err(io::Error::other)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, FileError> {
        let read = |file: &Named| file.read(limits::MAX_API_PEM_BYTES);
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, &read(&self.ca)?)? {
            roots.add(certificate).map_err(|e| self.ca.wrong(e))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| self.ca.wrong(e))?.with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let (chain, key_der) = (certificates(cert, &read(cert)?)?, private_key(key, &read(key)?)?);
                builder.with_client_auth_cert(chain, key_der).map_err(|e| key.wrong(e))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}
