//! The first exchange on a connection: mutual proof of the formation, bound to the TLS session.
//! `docs/protocol.md` has the bytes, `docs/security.md` what they defend against.

mod counters;
pub(crate) mod frames;
mod proof;
pub(crate) mod refusal_log;

use iroh::EndpointId;
use iroh::endpoint::{Connection, QuicTransportConfigBuilder, RecvStream, SendStream, VarInt};

use crate::core::wire::{self, Deframer};
use crate::limits;

pub(crate) use counters::Counted;
pub use counters::{AdmissionCounters, AdmissionSnapshot};
use frames::{Answer, Offer, Offered, SPOKEN, Welcome};
pub(crate) use proof::Binding;
pub use proof::{FormationKey, Keyring};

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
    /// The endpoint id is not on the allow-list.
    NotAllowed = 7,
}

impl Refusal {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 7] =
        [Self::Formation, Self::Version, Self::Busy, Self::Stopped, Self::Unwanted, Self::Duplicate, Self::NotAllowed];

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == code)
    }

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Formation => "formation",
            Self::Version => "version",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::Unwanted => "unwanted",
            Self::Duplicate => "duplicate",
            Self::NotAllowed => "not-allowed",
        }
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
            Self::NotAllowed => "the endpoint id is not on the allow-list",
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

/// Gives a connection no more than admission needs: whoever has not proved anything yet can make us hold
/// [`limits::ADMISSION_WINDOW_BYTES`], and no stream but the one for the offer.
pub fn confine(transport: QuicTransportConfigBuilder) -> QuicTransportConfigBuilder {
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(limits::ADMISSION_WINDOW_BYTES))
        // Nobody here sends datagrams; a stranger's would be kept for nobody.
        .datagram_receive_buffer_size(None)
}

/// Gives an admitted connection what a session needs.
fn set_free(connection: &Connection) {
    connection.set_receive_window(VarInt::from_u32(limits::SESSION_WINDOW_BYTES));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(limits::MAX_DATA_STREAMS));
}

/// The dialer's side. `me` is our endpoint id.
pub async fn dial(
    connection: &Connection,
    me: EndpointId,
    keys: &Keyring,
    incarnation: u64,
) -> Result<Admitted, AdmissionError> {
    let lost = |e: &dyn std::fmt::Display| AdmissionError::Lost(e.to_string());
    let binding = Binding::new(connection, me, connection.remote_id())?;
    let (mut send, receive) = connection.open_bi().await.map_err(|e| lost(&e))?;
    let offer = keys.offer(&binding, Offered { incarnation, versions: SPOKEN.to_vec() });
    send.write_all(&wire::frame(&offer.encode())).await.map_err(|e| lost(&e))?;

    let mut receive = ControlReader::new(receive, limits::MAX_ADMISSION_FRAME_BYTES);
    let answer = receive.next().await?.ok_or_else(|| lost(&"the peer closed the stream"))?;
    let welcome = match Answer::decode(&answer)? {
        Answer::Refusal(refusal) => return Err(AdmissionError::TheyRefused(refusal)),
        Answer::Welcome(welcome) => welcome,
    };
    if !keys.accepts(&binding, &offer.offered, &welcome) {
        return Err(AdmissionError::WeRefused(Refusal::Formation));
    }
    if !offer.offered.versions.contains(&welcome.version) {
        return Err(AdmissionError::Malformed(format!("version {} was not offered", welcome.version)));
    }
    receive.raise_limit(limits::MAX_FRAME_BYTES);
    set_free(connection);
    Ok(Admitted { send, receive, incarnation: welcome.incarnation })
}

/// The acceptor's side, first half: reads and checks the dialer's offer. Nothing has been said to it yet.
pub async fn check_offer(connection: &Connection, me: EndpointId, keys: &Keyring) -> Result<Dialer, AdmissionError> {
    let lost = |e: &dyn std::fmt::Display| AdmissionError::Lost(e.to_string());
    let binding = Binding::new(connection, connection.remote_id(), me)?;
    let (send, receive) = connection.accept_bi().await.map_err(|e| lost(&e))?;
    let mut receive = ControlReader::new(receive, limits::MAX_ADMISSION_FRAME_BYTES);
    let offer = receive.next().await?.ok_or_else(|| lost(&"the peer closed the stream"))?;
    let offer = Offer::decode(&offer)?;
    // The proof first: a stranger learns nothing about versions or lists.
    let verdict = match keys.recognise(&binding, &offer) {
        None => Err(Refusal::Formation),
        Some(key) => match offer.offered.common_version(SPOKEN) {
            None => Err(Refusal::Version),
            Some(version) => Ok((key.clone(), version)),
        },
    };
    Ok(Dialer { send, receive, binding, offered: offer.offered, verdict })
}

/// A dialer whose offer was read.
pub struct Dialer {
    send: SendStream,
    receive: ControlReader,
    binding: Binding,
    offered: Offered,
    /// The key that it proved and the version to speak, or why its offer is not acceptable.
    verdict: Result<(FormationKey, u8), Refusal>,
}

impl Dialer {
    /// Why the offer is not acceptable, if it is not.
    pub fn refusal(&self) -> Option<Refusal> {
        self.verdict.as_ref().err().copied()
    }

    /// Drawn anew at every start of the peer.
    pub fn incarnation(&self) -> u64 {
        self.offered.incarnation
    }

    /// Admits the dialer and proves ourselves to it, if its offer was acceptable.
    pub async fn welcome(mut self, connection: &Connection, incarnation: u64) -> Result<Admitted, AdmissionError> {
        let (key, version) = self.verdict.map_err(AdmissionError::WeRefused)?;
        let proof = key.acceptor_proof(&self.binding, &self.offered, version, incarnation);
        let answer = Answer::Welcome(Welcome { version, incarnation, proof });
        set_free(connection);
        let written = self.send.write_all(&wire::frame(&answer.encode())).await;
        written.map_err(|e| AdmissionError::Lost(e.to_string()))?;
        self.receive.raise_limit(limits::MAX_FRAME_BYTES);
        Ok(Admitted { send: self.send, receive: self.receive, incarnation: self.offered.incarnation })
    }

    /// Turns the dialer away with a reason. Returns once it has it, or is gone.
    pub async fn refuse(mut self, refusal: Refusal) {
        let answer = wire::frame(&Answer::Refusal(refusal).encode());
        if self.send.write_all(&answer).await.is_ok() && self.send.finish().is_ok() {
            // The reason must arrive before the close does. An error means that the peer is gone.
            let _ = self.send.stopped().await;
        }
    }
}
