//! What the emulator itself is worth: datagrams through one link, sent and received by this program, against what the
//! model says.

mod measure;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use peat_scenarios::Scenario;
use peat_scenarios::model::{LinkSpec, Workload};
use peat_scenarios::physics::LinkCounters;
use peat_scenarios::plan::{self, NodeIndex};
use serde::Serialize;

use super::{Emulator, PortSetup, Strays, nanos};

pub use measure::{Measured, measure};

/// Sequence number and time of sending.
const STAMP_BYTES: usize = 16;
/// After the last datagram was sent, the receiver waits for this long beyond the delay of the link.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is sent.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// How many.
    pub datagrams: u64,
    /// Bytes of payload of each.
    pub bytes: usize,
    /// How many a second; 0: as fast as this machine sends.
    pub per_second: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// Datagrams that arrived.
    pub received: u64,
    /// What the emulator's link counted.
    pub counters: LinkCounters,
    /// What did not go through the model.
    pub strays: Strays,
    /// From the first datagram sent to the last received, less the delay of the link.
    pub took: Duration,
    /// From the first datagram received to the last.
    pub flowed: Duration,
    /// Delay of each datagram less what the model gave it at least, in nanoseconds; sorted.
    #[serde(skip)]
    pub delays: Histogram<u64>,
    /// How much later than the model's moment the emulator handed each on, in nanoseconds.
    #[serde(skip)]
    pub lateness: Histogram<u64>,
}

/// A scenario of two nodes and one link, to take the topology from.
fn pair(link: LinkSpec) -> io::Result<Scenario> {
    Scenario::builder("emulator-trial")
        .purpose("two sockets and the link between them")
        .duration(Duration::from_secs(60))
        .cluster("c", |cluster| cluster.group("a", 1).group("b", 1))
        .link(link)
        .workload(Workload::heartbeat(["a"], Duration::from_secs(30)))
        .build()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    super::widen(&socket)?;
    Ok(socket)
}

/// Sends a load over a link between the groups `a` and `b`, on this machine's loopback.
pub fn run(link: LinkSpec, seed: u64, load: Load) -> io::Result<Outcome> {
    let plan = plan::expand(&pair(link)?, seed);
    let (a, b) = (NodeIndex(0), NodeIndex(1));
    let (sender, receiver) = (socket()?, socket()?);
    let (facing_a, facing_b) = (socket()?, socket()?);
    let entry: SocketAddr = facing_a.local_addr()?;
    let port =
        |faces, stands_for, node| PortSetup { faces, stands_for, bind: node, node, roams: false, entering: false };
    let ports = vec![(port(a, b, sender.local_addr()?), facing_a), (port(b, a, receiver.local_addr()?), facing_b)];
    let least = plan.topology.link(a, b).expect("invariant: the scenario has this link").latency;
    let emulator = Emulator::over(plan.topology, seed, ports)?;
    emulator.handle().begin();
    let began = now();
    let sending = std::thread::spawn(move || send(&sender, entry, load, began));
    let (received, delays, first, last) = receive(&receiver, least, began, sending)?;
    let handle = emulator.handle();
    let (counters, strays, lateness) = (handle.counters(&[(a, b)]), handle.end().strays, handle.lateness());
    emulator.stop()?;
    let (took, flowed) = (last.saturating_sub(least), last.saturating_sub(first));
    Ok(Outcome { sent: load.datagrams, received, counters, strays, took, flowed, delays, lateness })
}

/// Paced on this thread by the clock: a timer's own error would be measured with the emulator's.
fn send(socket: &UdpSocket, to: SocketAddr, load: Load, began: Instant) -> io::Result<()> {
    let mut payload = vec![0; load.bytes.max(STAMP_BYTES)];
    for number in 0..load.datagrams {
        if let Some(nanos) = (number * 1_000_000_000).checked_div(load.per_second) {
            let due = Duration::from_nanos(nanos);
            while let Some(left) = due.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
                if left > Duration::from_micros(200) {
                    pause(left - Duration::from_micros(150));
                } else {
                    std::hint::spin_loop();
                }
            }
        }
        let sent = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        payload[..8].copy_from_slice(&number.to_le_bytes());
        payload[8..16].copy_from_slice(&sent.to_le_bytes());
        socket.send_to(&payload, to)?;
    }
    Ok(())
}

type Received = (u64, Histogram<u64>, Duration, Duration);

fn receive(
    socket: &UdpSocket,
    least: Duration,
    began: Instant,
    sending: std::thread::JoinHandle<io::Result<()>>,
) -> io::Result<Received> {
    let mut delays = nanos();
    let (mut received, mut first, mut last) = (0, None, Duration::ZERO);
    let mut buffer = vec![0; 65_536];
    socket.set_read_timeout(Some(least + PATIENCE))?;
    let mut sending = Some(sending);
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let at = began.elapsed();
                let stamp = buffer.get(8..16).filter(|_| length >= STAMP_BYTES);
                let Some(sent) = stamp.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) else {
                    continue;
                };
                let delay = at.saturating_sub(Duration::from_nanos(sent)).saturating_sub(least);
                delays.saturating_record(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
                first.get_or_insert(at);
                (received, last) = (received + 1, at);
            }
            // A signal, of a child that ended: a receive with a timeout is not taken up again by itself.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                // Nothing for so long: if all was sent, all that will arrive has.
                match sending.take() {
                    None => return Ok((received, delays, first.unwrap_or_default(), last)),
                    Some(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")))?,
                }
            }
            Err(error) => return Err(error),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the emulator works in real time, and so does what measures it")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the sender has a thread of its own and nothing else to do")]
fn pause(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use peat_scenarios::model::LinkShape;

    #[test]
    fn what_is_sent_arrives_or_was_lost_by_the_model() {
        let shape = LinkShape { latency: Some(Duration::from_millis(5)), loss: Some(0.1), ..LinkShape::default() };
        let link = LinkSpec::shaped("a", "b", shape);
        let load = Load { datagrams: 5_000, bytes: 200, per_second: 20_000 };
        let outcome = run(link, 3, load).unwrap();
        assert_eq!(outcome.counters.offered, load.datagrams);
        assert_eq!(outcome.received + outcome.counters.loss, load.datagrams);
        assert_eq!(outcome.strays, Strays::default());
        assert!((400..600).contains(&outcome.counters.loss), "{}", outcome.counters.loss);
        assert_eq!(outcome.lateness.len(), outcome.received);
    }

    #[test]
    fn a_slow_link_takes_as_long_as_its_bandwidth_says() {
        // 100 datagrams of 972 + 28 bytes at 8 Mbit/s: 1 ms each.
        let shape = LinkShape {
            latency: Some(Duration::from_millis(1)),
            bandwidth_bps: Some(8_000_000),
            queue_bytes: Some(1 << 20),
            ..LinkShape::default()
        };
        let link = LinkSpec::shaped("a", "b", shape);
        let outcome = run(link, 3, Load { datagrams: 100, bytes: 972, per_second: 0 }).unwrap();
        assert_eq!(outcome.received, 100);
        assert!(outcome.took >= Duration::from_millis(100), "{:?}", outcome.took);
    }
}
