//! TLS to the agent: who must answer, and who we say that we are.
//!
//! The files are read at every dial, not once: certificates of a cluster are short-lived and are replaced in place.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use crate::limits;

/// The only protocol that is offered.
pub(super) const HTTP_2: &[u8] = b"h2";

/// The files that TLS needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities of which one must have issued the agent's certificate.
    pub ca: PathBuf,
    /// Certificate and key that the agent is shown; `None`: it asks for none.
    pub identity: Option<Identity>,
}

/// What a client shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by those of intermediate authorities.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {}: {problem}", file.display())]
pub struct TlsError {
    /// Which flag named it.
    pub flag: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and what would be right; nothing of its content.
    pub problem: String,
}

const CA: &str = "--agent-tls-ca";
const CERT: &str = "--agent-tls-cert";
const KEY: &str = "--agent-tls-key";

impl TlsFiles {
    /// Reads the files.
    pub fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let wrong = |flag, file: &Path, problem: String| TlsError { flag, file: file.into(), problem };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(CA, &self.ca)? {
            roots.add(certificate).map_err(|e| wrong(CA, &self.ca, format!("a certificate cannot be used: {e}")))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| wrong(CA, &self.ca, e.to_string()))?.with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let chain = certificates(CERT, cert)?;
                let told = "no private key in PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted)";
                let key_der =
                    PrivateKeyDer::from_pem_slice(&read(KEY, key)?).map_err(|_| wrong(KEY, key, told.into()))?;
                let usable = builder.with_client_auth_cert(chain, key_der);
                usable.map_err(|e| match e {
                    rustls::Error::InconsistentKeys(_) => wrong(KEY, key, format!("it is not the key of {CERT}")),
                    other => wrong(KEY, key, format!("it cannot be used with {CERT}: {other}")),
                })?
            }
        };
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(flag: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |problem: &str| TlsError { flag, file: file.into(), problem: problem.into() };
    let pem = read(flag, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(wrong("no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        Err(_) => Err(wrong("the PEM in it is cut short or not base64")),
    }
}

fn read(flag: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |problem: String| TlsError { flag, file: file.into(), problem };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(|e| wrong(plainly(&e)))?;
    let most = limits::MAX_AGENT_PEM_BYTES;
    opened.take(most + 1).read_to_end(&mut bytes).map_err(|e| wrong(plainly(&e)))?;
    if bytes.len() as u64 > most {
        return Err(wrong(format!("it has more than {most} bytes, which is the limit")));
    }
    Ok(bytes)
}

/// What went wrong, with the flag that mends it.
pub(super) fn explained(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            let remedy = match why {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "it must be issued by an authority in --agent-tls-ca"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "it is not for the host of --agent-addr"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "it is not valid yet: compare the clocks"
                }
                _ => "it cannot be verified",
            };
            format!("the agent's certificate is refused: {remedy}")
        }
        rustls::Error::AlertReceived(alert) => {
            let remedy = match alert {
                AlertDescription::CertificateRequired => "it asks for a certificate: give --agent-tls-cert and -key",
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => {
                    "it does not accept the certificate of --agent-tls-cert: it must be one for clients, of an authority \
                     that the agent trusts"
                }
                AlertDescription::CertificateExpired => "the certificate of --agent-tls-cert has expired",
                AlertDescription::CertificateRevoked => "the certificate of --agent-tls-cert is revoked",
                AlertDescription::NoApplicationProtocol => "it does not speak HTTP/2",
                _ => "see its log",
            };
            format!("the agent refuses the TLS handshake ({alert:?}): {remedy}")
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS: write http:// in --agent-addr".into(),
        other => format!("TLS fails: {other}"),
    }
}

/// What the system said, without the number that is added for programmers.
pub(super) fn plainly(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
