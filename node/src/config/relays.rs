//! The relays that a node may use, and whom it believes to be one.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use iroh::RelayUrl;
use iroh::defaults::DEFAULT_RELAY_QUIC_PORT;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::limits;

/// Relays that the operator runs. None: the node has no means to reach any.
#[derive(Clone, PartialEq, Eq)]
pub struct Relays {
    /// Where they are.
    pub urls: Vec<RelayUrl>,
    /// What they ask for before they serve a node.
    pub token: Option<String>,
    /// Authorities that their certificates may come from; none: those of the public web.
    pub authorities: Vec<CertificateDer<'static>>,
    /// UDP port at which those with TLS tell a node what its address looks like from there.
    pub quic_port: u16,
}

impl Default for Relays {
    fn default() -> Self {
        Self { urls: vec![], token: None, authorities: vec![], quic_port: DEFAULT_RELAY_QUIC_PORT }
    }
}

impl Relays {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// Trusts the authorities in a PEM file, and no others any more.
    pub fn trust_only(&mut self, file: &Path) -> Result<(), AuthorityError> {
        let fail = |detail: String| AuthorityError { file: file.display().to_string(), detail };
        let limit = limits::MAX_RELAY_CA_BYTES;
        let mut text = Vec::new();
        let opened = std::fs::File::open(file).map_err(|e| fail(e.to_string()))?;
        opened.take(limit + 1).read_to_end(&mut text).map_err(|e| fail(e.to_string()))?;
        if text.len() as u64 > limit {
            return Err(fail(format!("it has more than {limit} bytes")));
        }
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let found = found.map_err(|e| fail(format!("it is no PEM: {e}")))?;
        let mut roots = rustls::RootCertStore::empty();
        for (index, authority) in found.iter().enumerate() {
            roots.add(authority.clone()).map_err(|e| fail(format!("certificate {}: {e}", index + 1)))?;
        }
        if found.is_empty() {
            return Err(fail("it has no certificate".into()));
        }
        self.authorities = found;
        Ok(())
    }
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays")
            .field("urls", &self.urls)
            .field("token", &if self.token.is_some() { "set" } else { "none" })
            .field("authorities", &self.authorities.len())
            .field("quic_port", &self.quic_port)
            .finish()
    }
}

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "--relay-ca {file:?}: {detail}; give a PEM file with the certificate of the authority that the relays' certificates \
     come from"
)]
pub struct AuthorityError {
    file: String,
    detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_that_cannot_be_used_is_explained() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let told = |content: &[u8]| {
            let file = directory.path().join("ca.pem");
            std::fs::write(&file, content).expect("written");
            let told = Relays::default().trust_only(&file).expect_err("no authority").to_string();
            told.split_once("ca.pem\": ").expect("it names the file").1.to_owned()
        };
        assert!(told(b"").starts_with("it has no certificate; give a PEM file"));
        let not_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(told(not_one.as_bytes()).starts_with("certificate 1: "), "{}", told(not_one.as_bytes()));
        assert!(told(b"-----BEGIN CERTIFICATE-----\n!\n").starts_with("it is no PEM: "));
        assert!(told(&vec![b'\n'; (1 << 20) + 1]).starts_with("it has more than 1048576 bytes"));
        let missing = Relays::default().trust_only(&directory.path().join("none")).expect_err("missing");
        assert!(missing.to_string().contains("No such file"), "{missing}");
    }
}
