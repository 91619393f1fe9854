//! The asking side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use iroh::{EndpointId, SecretKey};
use noq::crypto::rustls::QuicClientConfig;
use noq::{ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig, VarInt};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use tokio::time::timeout;

use super::super::super::admission::{FormationKey, Refusal};
use super::super::super::peers::CloseCode;
use super::{ALPN, Binding, EXPORT_LABEL, PROOF_BYTES};
use crate::limits;

/// The name that TLS wants to hear. iroh's servers take none, and none is sent.
const SERVER_NAME: &str = "peat.invalid";

/// Asks who is at an address.
pub(in crate::mesh::discovery) struct Asker {
    /// Shown to whoever is asked, and to nobody else.
    identity: EndpointId,
    config: ClientConfig,
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

/// Why an address has not told who is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::mesh::discovery) enum AskError {
    /// It is of another formation, or of none.
    #[error("{}", Refusal::Formation.describe())]
    Stranger,
    /// It does not answer, or not as a node of this version does.
    #[error("{0}")]
    NoAnswer(String),
}

/// There is no socket to ask from, or no key to ask with.
#[derive(Debug, thiserror::Error)]
#[error("nobody can be asked for an endpoint id: {0}")]
pub(in crate::mesh::discovery) struct AskerError(String);

impl Asker {
    /// `secret` is made for asking; it must not be the node's.
    pub fn new(secret: &SecretKey) -> Result<Self, AskerError> {
        let config = client_config(secret).map_err(|e| AskerError(e.to_string()))?;
        let any = |ip: IpAddr| Endpoint::client(SocketAddr::new(ip, 0));
        // A machine may lack one of the families.
        let (v4, v6) = (any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into()));
        match (v4, v6) {
            (Err(e), Err(_)) => Err(AskerError(e.to_string())),
            (v4, v6) => Ok(Self { identity: secret.public(), config, v4: v4.ok(), v6: v6.ok() }),
        }
    }

    /// Whose mesh port this is, proved. Cancel safe.
    pub async fn ask(&self, address: SocketAddr, keys: &[FormationKey]) -> Result<EndpointId, AskError> {
        let limit = limits::ADMISSION_TIMEOUT;
        let asked = timeout(limit, self.ask_without_limit(address, keys)).await;
        asked.unwrap_or_else(|_| Err(AskError::NoAnswer(format!("no answer within {limit:?}"))))
    }

    async fn ask_without_limit(&self, address: SocketAddr, keys: &[FormationKey]) -> Result<EndpointId, AskError> {
        let socket = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = socket.as_ref().ok_or_else(|| AskError::NoAnswer("this machine has no such network".into()))?;
        let connecting = socket.connect_with(self.config.clone(), address, SERVER_NAME);
        let connection = connecting.map_err(|e| AskError::NoAnswer(e.to_string()))?.await.map_err(failed)?;
        let _closing = CloseWhenDone(&connection);

        let answerer = shown_key(&connection).ok_or_else(|| AskError::NoAnswer("it showed no ed25519 key".into()))?;
        let mut exported = [0; 32];
        let export = connection.export_keying_material(&mut exported, EXPORT_LABEL, b"");
        export.map_err(|_| AskError::NoAnswer("no keying material can be exported".into()))?;
        let binding = Binding { exported, asker: *self.identity.as_bytes(), answerer: *answerer.as_bytes() };

        let (mut send, mut receive) = connection.open_bi().await.map_err(failed)?;
        let question = binding.question(keys);
        let lost = |e: &dyn std::fmt::Display| {
            connection.close_reason().map_or_else(|| AskError::NoAnswer(e.to_string()), failed)
        };
        send.write_all(&question).await.map_err(|e| lost(&e))?;
        send.finish().map_err(|e| lost(&e))?;
        let answer = receive.read_to_end(PROOF_BYTES).await.map_err(|e| lost(&e))?;
        if binding.is_answered_by(&answer, keys) { Ok(answerer) } else { Err(AskError::Stranger) }
    }
}

/// Ends the connection however asking ends, so that the other side need not wait for a timeout.
struct CloseWhenDone<'a>(&'a Connection);

impl Drop for CloseWhenDone<'_> {
    fn drop(&mut self) {
        self.0.close(VarInt::from_u32(0), b"");
    }
}

fn failed(error: ConnectionError) -> AskError {
    let refused = VarInt::from(CloseCode::Refused(Refusal::Formation).code());
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == refused => AskError::Stranger,
        other => AskError::NoAnswer(other.to_string()),
    }
}

/// The key that the other side has shown and, by the TLS handshake, holds.
fn shown_key(connection: &Connection) -> Option<EndpointId> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let [key] = shown.as_slice() else { return None };
    key_of(key)
}

/// The ed25519 key in a raw public key.
fn key_of(shown: &CertificateDer<'_>) -> Option<EndpointId> {
    let key = EndpointId::from_bytes(shown.last_chunk::<32>()?).ok()?;
    let due = rustls::sign::public_key_to_spki(&alg_id::ED25519, key.as_bytes());
    (due.as_ref() == shown.as_ref()).then_some(key)
}

fn client_config(secret: &SecretKey) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let provider = Arc::new(ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyRawKey(provider)))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(certified(secret)?))));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.enable_sni = false;
    // Every question is a full handshake: a proof is bound to one session.
    tls.resumption = rustls::client::Resumption::disabled();
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(limits::ADMISSION_TIMEOUT.try_into()?))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        // Never used, but iroh warns about every connection that cannot do it.
        .max_remote_nat_traversal_addresses(1)
        // As for the mesh's own endpoint.
        .enable_segmentation_offload(false);
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// The key pair as TLS takes it: PKCS #8 version 1 around the 32 bytes of an ed25519 secret (RFC 8410, section 7).
fn certified(secret: &SecretKey) -> Result<CertifiedKey, rustls::Error> {
    const HEADER: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [&HEADER[..], &secret.to_bytes()].concat();
    let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der))?;
    let public = rustls::sign::public_key_to_spki(&alg_id::ED25519, secret.public().as_bytes());
    Ok(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], key))
}

/// Takes any raw ed25519 key: who it belongs to is what we want to know. That the other side holds it is checked here
/// as always; that it may be believed, by the proofs.
#[derive(Debug)]
struct AnyRawKey(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyRawKey {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match key_of(shown) {
            Some(_) if others.is_empty() => Ok(ServerCertVerified::assertion()),
            _ => Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
