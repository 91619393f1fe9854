//! The first exchange on a connection: mutual proof of the formation, bound to the TLS session.
//! `docs/protocol.md` has the bytes.

use iroh::EndpointId;
use iroh::endpoint::{Connection, RecvStream, SendStream};

use crate::config::Formation;
use crate::core::wire::{self, Deframer};
use crate::limits;

/// Version of the protocol.
const VERSION: u8 = 1;
const ROLE_DIALER: &[u8; 8] = b"dialer  ";
const ROLE_ACCEPTOR: &[u8; 8] = b"acceptor";
const KEY_CONTEXT: &str = "peat 2026 formation key";
const EXPORT_LABEL: &[u8] = b"peat admission";
const WELCOME: u8 = 1;
const REFUSAL: u8 = 0;

/// Proves membership of a formation without showing its key.
#[derive(Clone)]
pub struct FormationKey([u8; 32]);

impl FormationKey {
    /// Derives the key that both proofs are made with.
    pub fn new(formation: &Formation) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&formation.shared_key.unwrap_or([0; 32]));
        hasher.update(formation.app_id.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// A keyed hash for another protocol of the formation: `purpose` keeps the protocols apart. The parts must be of
    /// fixed lengths but for the last.
    pub(super) fn seal(&self, purpose: &[u8; 8], parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(purpose);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn proof(&self, role: &[u8; 8], binding: &Binding) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(role).update(&binding.exported);
        hasher.update(binding.dialer.as_bytes()).update(binding.acceptor.as_bytes());
        hasher.finalize()
    }
}

/// What a proof is bound to.
struct Binding {
    exported: [u8; 32],
    dialer: EndpointId,
    acceptor: EndpointId,
}

impl Binding {
    fn new(connection: &Connection, dialer: EndpointId, acceptor: EndpointId) -> Result<Self, AdmissionError> {
        let mut exported = [0; 32];
        connection
            .export_keying_material(&mut exported, EXPORT_LABEL, b"")
            .map_err(|_| AdmissionError::Malformed("no keying material can be exported".into()))?;
        Ok(Self { exported, dialer, acceptor })
    }
}

/// Why a peer is turned away; the number goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// App-id or shared key differ.
    Formation = 1,
    /// No common version.
    Version = 2,
    /// A limit is reached.
    Busy = 3,
    /// StopSync is in force.
    Stopped = 4,
    /// DisconnectPeer is in force.
    Unwanted = 5,
    /// The other connection of this pair is kept.
    Duplicate = 6,
}

impl Refusal {
    fn from_code(code: u8) -> Option<Self> {
        let all = [Self::Formation, Self::Version, Self::Busy, Self::Stopped, Self::Unwanted, Self::Duplicate];
        all.into_iter().find(|refusal| *refusal as u8 == code)
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Formation => "app-id or shared key differ",
            Self::Version => "no common protocol version",
            Self::Busy => "too many sessions",
            Self::Stopped => "synchronisation is stopped",
            Self::Unwanted => "the peer was disconnected by its operator",
            Self::Duplicate => "the other connection of this pair is kept",
        }
    }
}

/// Why admission failed.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// We turned the peer away.
    #[error("refused: {}", .0.describe())]
    WeRefused(Refusal),
    /// The peer turned us away.
    #[error("refused by the peer: {}", .0.describe())]
    TheyRefused(Refusal),
    /// The peer did not keep to the protocol.
    #[error("malformed admission: {0}")]
    Malformed(String),
    /// The connection broke or time ran out.
    #[error("{0}")]
    Lost(String),
}

/// An admitted peer's control stream.
pub struct Admitted {
    /// Control frames to the peer.
    pub send: SendStream,
    /// Control frames from the peer.
    pub receive: ControlReader,
    /// Drawn anew at every start of the peer.
    pub incarnation: u64,
}

/// A frame reader over a stream.
pub struct ControlReader {
    stream: RecvStream,
    deframer: Deframer,
}

impl ControlReader {
    /// Reads frames of at most `limit` bytes.
    pub fn new(stream: RecvStream, limit: usize) -> Self {
        Self { stream, deframer: Deframer::new(limit) }
    }

    /// Accepts larger frames from now on.
    fn raise_limit(&mut self, limit: usize) {
        self.deframer.set_limit(limit);
    }

    /// Whether everything that has come so far was handed out.
    pub fn is_drained(&self) -> bool {
        !self.deframer.is_inside_frame()
    }

    /// The next payload; `None` at the end of the stream. Not cancel safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadFrameError> {
        loop {
            if let Some(payload) = self.deframer.next_payload()? {
                return Ok(Some(payload.to_vec()));
            }
            let chunk = self.stream.read_chunk(READ_BYTES).await.map_err(|e| ReadFrameError::Lost(e.to_string()))?;
            match chunk {
                Some(chunk) => self.deframer.push(&chunk),
                None if self.deframer.is_inside_frame() => {
                    return Err(ReadFrameError::Lost("the stream ended inside a frame".into()));
                }
                None => return Ok(None),
            }
        }
    }
}

/// Taken from the stream at once.
const READ_BYTES: usize = 64 << 10;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFrameError {
    /// It is not acceptable.
    #[error(transparent)]
    Frame(#[from] wire::FrameError),
    /// The stream or its connection broke.
    #[error("{0}")]
    Lost(String),
}

impl From<ReadFrameError> for AdmissionError {
    fn from(error: ReadFrameError) -> Self {
        match error {
            ReadFrameError::Frame(e) => Self::Malformed(e.to_string()),
            ReadFrameError::Lost(e) => Self::Lost(e),
        }
    }
}

/// The dialer's side. `me` is our endpoint id.
pub async fn dial(
    connection: &Connection,
    me: EndpointId,
    key: &FormationKey,
    incarnation: u64,
) -> Result<Admitted, AdmissionError> {
    let lost = |e: &dyn std::fmt::Display| AdmissionError::Lost(e.to_string());
    let binding = Binding::new(connection, me, connection.remote_id())?;
    let (mut send, receive) = connection.open_bi().await.map_err(|e| lost(&e))?;
    let offer = hello(VERSION, &key.proof(ROLE_DIALER, &binding), incarnation);
    send.write_all(&wire::frame(&offer)).await.map_err(|e| lost(&e))?;

    let mut receive = ControlReader::new(receive, limits::MAX_ADMISSION_FRAME_BYTES);
    let answer = receive.next().await?.ok_or_else(|| lost(&"the peer closed the stream"))?;
    match answer.split_first() {
        Some((&REFUSAL, [code])) => {
            let refusal = Refusal::from_code(*code);
            Err(refusal.map_or_else(
                || AdmissionError::Malformed(format!("unknown refusal {code}")),
                AdmissionError::TheyRefused,
            ))
        }
        Some((&WELCOME, rest)) => {
            let (proof, incarnation) = split_hello(rest)?;
            // blake3::Hash compares in constant time.
            if key.proof(ROLE_ACCEPTOR, &binding) != proof {
                return Err(AdmissionError::WeRefused(Refusal::Formation));
            }
            receive.raise_limit(limits::MAX_FRAME_BYTES);
            Ok(Admitted { send, receive, incarnation })
        }
        _ => Err(AdmissionError::Malformed("unknown answer".into())),
    }
}

/// The acceptor's side, first half: reads and checks the dialer's offer. Nothing has been said to it yet.
pub async fn check_offer(
    connection: &Connection,
    me: EndpointId,
    key: &FormationKey,
) -> Result<Offered, AdmissionError> {
    let lost = |e: &dyn std::fmt::Display| AdmissionError::Lost(e.to_string());
    let binding = Binding::new(connection, connection.remote_id(), me)?;
    let (send, receive) = connection.accept_bi().await.map_err(|e| lost(&e))?;
    let mut receive = ControlReader::new(receive, limits::MAX_ADMISSION_FRAME_BYTES);
    let offer = receive.next().await?.ok_or_else(|| lost(&"the peer closed the stream"))?;
    let (refusal, incarnation) = match offer.split_first() {
        Some((&VERSION, rest)) => {
            let (proof, incarnation) = split_hello(rest)?;
            let holds = key.proof(ROLE_DIALER, &binding) == proof;
            ((!holds).then_some(Refusal::Formation), incarnation)
        }
        _ => (Some(Refusal::Version), 0),
    };
    receive.raise_limit(limits::MAX_FRAME_BYTES);
    Ok(Offered { send, receive, binding, refusal, incarnation })
}

/// A dialer whose offer was read.
pub struct Offered {
    send: SendStream,
    receive: ControlReader,
    binding: Binding,
    /// Why the offer is not acceptable, if it is not.
    pub refusal: Option<Refusal>,
    /// Drawn anew at every start of the peer.
    pub incarnation: u64,
}

impl Offered {
    /// Admits the dialer and proves ourselves to it.
    pub async fn welcome(mut self, key: &FormationKey, incarnation: u64) -> Result<Admitted, AdmissionError> {
        let proof = key.proof(ROLE_ACCEPTOR, &self.binding);
        let mut answer = vec![WELCOME];
        answer.extend(hello(VERSION, &proof, incarnation).split_off(1));
        let written = self.send.write_all(&wire::frame(&answer)).await;
        written.map_err(|e| AdmissionError::Lost(e.to_string()))?;
        Ok(Admitted { send: self.send, receive: self.receive, incarnation: self.incarnation })
    }

    /// Turns the dialer away with a reason. Returns once it has it, or is gone.
    pub async fn refuse(mut self, refusal: Refusal) {
        let answer = wire::frame(&[REFUSAL, refusal as u8]);
        if self.send.write_all(&answer).await.is_ok() && self.send.finish().is_ok() {
            // The reason must arrive before the close does. An error means that the peer is gone.
            let _ = self.send.stopped().await;
        }
    }
}

fn hello(version: u8, proof: &blake3::Hash, incarnation: u64) -> Vec<u8> {
    let mut frame = vec![version];
    frame.extend_from_slice(proof.as_bytes());
    frame.extend_from_slice(&incarnation.to_le_bytes());
    frame
}

fn split_hello(rest: &[u8]) -> Result<([u8; 32], u64), AdmissionError> {
    let wrong = || AdmissionError::Malformed(format!("{} bytes where 40 are due", rest.len()));
    let (proof, incarnation) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
    let incarnation: [u8; 8] = incarnation.try_into().map_err(|_| wrong())?;
    Ok((*proof, u64::from_le_bytes(incarnation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formation(app_id: &str, key: Option<u8>) -> FormationKey {
        FormationKey::new(&Formation { app_id: app_id.into(), shared_key: key.map(|k| [k; 32]) })
    }

    fn binding(exported: u8) -> Binding {
        let id = |k: u8| iroh::SecretKey::from_bytes(&[k; 32]).public();
        Binding { exported: [exported; 32], dialer: id(1), acceptor: id(2) }
    }

    #[test]
    fn a_proof_holds_for_one_formation_role_connection_and_pair() {
        let proof = formation("fleet", Some(1)).proof(ROLE_DIALER, &binding(7));
        assert_eq!(proof, formation("fleet", Some(1)).proof(ROLE_DIALER, &binding(7)));
        let reversed = Binding { dialer: binding(7).acceptor, acceptor: binding(7).dialer, ..binding(7) };
        for other in [
            formation("fleet", Some(2)).proof(ROLE_DIALER, &binding(7)),
            formation("fleet", None).proof(ROLE_DIALER, &binding(7)),
            formation("other", Some(1)).proof(ROLE_DIALER, &binding(7)),
            formation("fleet", Some(1)).proof(ROLE_ACCEPTOR, &binding(7)),
            formation("fleet", Some(1)).proof(ROLE_DIALER, &binding(8)),
            formation("fleet", Some(1)).proof(ROLE_DIALER, &reversed),
        ] {
            assert_ne!(proof, other);
        }
    }
}
