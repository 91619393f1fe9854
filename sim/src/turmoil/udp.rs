//! Datagrams of the mesh in turmoil's UDP.
//!
//! Physics is asked when a datagram is sent and says when it arrives. The datagram crosses turmoil at once, with
//! that time in front of it:
//!
//! | bytes | little-endian |
//! |---|---|
//! | 8 | sequence number in the run |
//! | 4 | sender, 4 receiver: positions in the topology |
//! | 8 | sent at, 8 arrives at: nanoseconds of scenario time |
//! | rest | the datagram |
//!
//! The receiving host holds it until then. Held at the sender, it would die with a sender that crashes while
//! the datagram is on its way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};

use ::turmoil::net::UdpSocket;
use bytes::{Buf, BufMut, Bytes};
use futures::future::{self, Either};
use peat_scenarios::SimTime;
use peat_scenarios::plan::NodeIndex;

use crate::net::{Carrier, Flight, Net};

/// The port at which every node receives datagrams of the mesh.
pub const MESH_PORT: u16 = 7777;

/// What stands in front of a datagram.
const HEADER_BYTES: usize = 32;
/// The longest UDP datagram, and what stands in front of it.
const FRAME_BYTES: usize = (1 << 16) + HEADER_BYTES;

/// The sending half. The socket belongs to the receiving half, which the host owns: when the host crashes, both
/// its port and what this could send are gone, whoever still holds the endpoint.
struct Udp {
    socket: Weak<UdpSocket>,
    addresses: Arc<[IpAddr]>,
}

impl std::fmt::Debug for Udp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Udp")
    }
}

impl Carrier for Udp {
    fn carry(&self, flight: Flight) {
        let Some(socket) = self.socket.upgrade() else { return };
        let to = self.addresses[flight.to.index()];
        // A link that turmoil was told to cut swallows it; there are no other errors between known hosts.
        let _ = socket.try_send_to(&encode(&flight), (to, MESH_PORT));
    }
}

/// Opens the socket of the current host. The future receives, for as long as it is polled.
pub(super) async fn open(
    net: Net,
    addresses: Arc<[IpAddr]>,
) -> io::Result<(Arc<dyn Carrier>, impl Future<Output = ()> + Send + 'static)> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, MESH_PORT)).await?);
    let carrier = Arc::new(Udp { socket: Arc::downgrade(&socket), addresses });
    Ok((carrier, receive(net, socket)))
}

async fn receive(net: Net, socket: Arc<UdpSocket>) {
    let mut held: BinaryHeap<Reverse<Flight>> = BinaryHeap::new();
    let mut frame = vec![0; FRAME_BYTES];
    loop {
        let now = net.journal().now();
        while held.peek().is_some_and(|Reverse(first)| first.arrives_at <= now) {
            if let Some(Reverse(flight)) = held.pop() {
                net.land(flight);
            }
        }
        let due = match held.peek() {
            Some(Reverse(first)) => Either::Left(tokio::time::sleep_until(net.journal().instant(first.arrives_at))),
            None => Either::Right(future::pending()),
        };
        tokio::select! {
            biased;
            received = socket.recv_from(&mut frame) => {
                // What a stranger in the same simulation sends to this port is not of the mesh.
                let flight = received.ok().and_then(|(length, _)| decode(&frame[..length]));
                held.extend(flight.map(Reverse));
            }
            () = due => {}
        }
    }
}

fn encode(flight: &Flight) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + flight.payload.len());
    frame.put_u64_le(flight.sequence);
    frame.put_u32_le(flight.from.0);
    frame.put_u32_le(flight.to.0);
    frame.put_u64_le(flight.sent_at.as_nanos());
    frame.put_u64_le(flight.arrives_at.as_nanos());
    frame.put_slice(&flight.payload);
    frame
}

fn decode(mut frame: &[u8]) -> Option<Flight> {
    if frame.len() < HEADER_BYTES {
        return None;
    }
    let sequence = frame.get_u64_le();
    let (from, to) = (NodeIndex(frame.get_u32_le()), NodeIndex(frame.get_u32_le()));
    let (sent_at, arrives_at) = (SimTime::from_nanos(frame.get_u64_le()), SimTime::from_nanos(frame.get_u64_le()));
    Some(Flight { arrives_at, sequence, sent_at, from, to, payload: Bytes::copy_from_slice(frame) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_shorter_is() {
        let flight = Flight {
            arrives_at: SimTime::from_nanos(9),
            sequence: 7,
            sent_at: SimTime::from_nanos(8),
            from: NodeIndex(1),
            to: NodeIndex(2),
            payload: Bytes::from_static(b"datagram"),
        };
        let frame = encode(&flight);
        let back = decode(&frame).unwrap();
        assert_eq!(format!("{flight:?}"), format!("{back:?}"));
        assert!(decode(&frame[..HEADER_BYTES - 1]).is_none());
    }
}
