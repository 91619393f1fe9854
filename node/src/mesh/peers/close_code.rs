//! Why we close connections.

use iroh::endpoint::{Connection, VarInt};

use super::Refusal;

/// Why we close a connection; the number goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// A clean stop.
    Goodbye,
    /// Turned away.
    Refused(Refusal),
    /// StopSync.
    Stopped,
    /// DisconnectPeer.
    Unwanted,
    /// The peer did not keep to the protocol.
    Protocol,
    /// A newer connection took over.
    Replaced,
    /// Nothing can be made durable any more.
    StoreFailed,
    /// The allow-list no longer has the peer.
    Revoked,
    /// The peer did not finish its admission in time.
    TooSlow,
}

impl CloseCode {
    /// The number that goes over the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Goodbye => 0,
            Self::Refused(refusal) => refusal as u8,
            Self::Stopped => Refusal::Stopped as u8,
            Self::Unwanted => Refusal::Unwanted as u8,
            Self::Protocol => 16,
            Self::Replaced => 17,
            Self::StoreFailed => 18,
            Self::Revoked => 19,
            Self::TooSlow => 20,
        }
    }

    /// As it stands in a QUIC close.
    pub fn number(self) -> VarInt {
        VarInt::from_u32(u32::from(self.code()))
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Refused(refusal) => refusal.describe(),
            Self::Stopped => Refusal::Stopped.describe(),
            Self::Unwanted => Refusal::Unwanted.describe(),
            Self::Protocol => "protocol error",
            Self::Replaced => "replaced by a newer connection",
            Self::StoreFailed => "the store failed",
            Self::Revoked => "revoked: the endpoint id was taken off the allow-list",
            Self::TooSlow => "admission took too long",
        }
    }

    /// Closes a connection with this code and its reason.
    pub fn close(self, connection: &Connection) {
        connection.close(self.number(), self.reason().as_bytes());
    }
}
