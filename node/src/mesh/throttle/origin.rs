//! Where a first packet came from, and whom that may stand for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use iroh::TransportAddr;
use iroh::endpoint::IncomingAddr;

/// The socket that somebody speaks from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// UDP.
    Ip(SocketAddr),
    /// Through a relay, which vouches for the endpoint id.
    Relay {
        /// The relay's URL.
        url: String,
        /// Who speaks through it.
        peer: [u8; 32],
    },
    /// Whatever the world's own transport uses.
    Custom(u64, Vec<u8>),
}

/// What one party can have many sockets of: failures are counted for it as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// One address: behind it may be a site.
    V4(Ipv4Addr),
    /// One /64: whoever has an IPv6 address has as many as there are.
    V6([u8; 8]),
    /// One relay: endpoint ids are free, so all who come through it are one party until they are friends.
    Relay(String),
    /// One address of the world's own transport.
    Custom(u64, Vec<u8>),
    /// Somebody whom we dialled.
    Dialed([u8; 32]),
}

impl Origin {
    /// Who may be behind it.
    pub fn source(&self) -> Source {
        match self {
            Self::Ip(address) => match address.ip() {
                IpAddr::V4(ip) => Source::V4(ip),
                IpAddr::V6(ip) => Source::V6(*ip.octets().first_chunk().expect("sixteen octets")),
            },
            Self::Relay { url, .. } => Source::Relay(url.clone()),
            Self::Custom(id, data) => Source::Custom(*id, data.clone()),
        }
    }
}

impl From<IncomingAddr> for Origin {
    fn from(address: IncomingAddr) -> Self {
        match address {
            // An IPv4 address on a dual-stack socket is the same party as on another.
            IncomingAddr::Ip(address) => Self::Ip(SocketAddr::new(address.ip().to_canonical(), address.port())),
            IncomingAddr::Relay { url, endpoint_id } => {
                Self::Relay { url: url.to_string(), peer: *endpoint_id.as_bytes() }
            }
            IncomingAddr::Custom(address) => Self::Custom(address.id(), address.data().to_vec()),
            // Kinds that iroh may add: one party each by what they show.
            other => Self::Custom(u64::MAX, TransportAddr::from(other).to_string().into_bytes()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(prefix) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(prefix);
                write!(f, "{}/64", Ipv6Addr::from(octets))
            }
            Self::Relay(url) => write!(f, "relay {url}"),
            Self::Custom(id, data) => {
                write!(f, "transport {id:x} ")?;
                data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Dialed(peer) => {
                f.write_str("dialled ")?;
                peer.iter().take(5).try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> String {
        let address: SocketAddr = address.parse().expect("an address");
        Origin::from(IncomingAddr::Ip(address)).source().to_string()
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(source("192.0.2.7:1"), "192.0.2.7");
        assert_eq!(source("192.0.2.7:2"), "192.0.2.7");
        assert_eq!(source("[::ffff:192.0.2.7]:2"), "192.0.2.7");
        assert_eq!(source("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::/64");
        assert_eq!(source("[2001:db8:1:2:ffff::1]:9"), "2001:db8:1:2::/64");
        assert_eq!(source("[2001:db8:1:3::1]:9"), "2001:db8:1:3::/64");
    }
}
