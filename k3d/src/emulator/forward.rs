//! The sockets of a running emulator.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use peat_scenarios::SimTime;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::alarm::Alarm;
use super::{Handle, Pair, PortSetup};

/// The largest UDP payload there is.
const DATAGRAM_BYTES: usize = 65_535;
/// Datagrams that are taken from one socket, or handed on, before the others have their turn.
const BATCH: usize = 64;

struct Ports {
    /// By the node that they face and the one they stand for.
    by_pair: BTreeMap<Pair, UdpSocket>,
    /// When the alarm rings.
    alarm_at: Cell<Option<SimTime>>,
}

/// Forwards until told to stop, or until something fails that no model foresees.
pub(super) async fn forward(
    handle: Handle,
    sockets: Vec<(PortSetup, std::net::UdpSocket)>,
    until: Arc<Notify>,
) -> io::Result<()> {
    let mut by_pair = BTreeMap::new();
    for (port, socket) in sockets {
        socket.set_nonblocking(true)?;
        by_pair.insert((port.faces, port.stands_for), UdpSocket::from_std(socket)?);
    }
    let pairs: Vec<Pair> = by_pair.keys().copied().collect();
    let ports = Rc::new(Ports { by_pair, alarm_at: Cell::new(None) });
    let mut tasks = JoinSet::new();
    for pair in pairs {
        tasks.spawn_local(receive(handle.clone(), ports.clone(), pair));
    }
    tasks.spawn_local(deliver(handle, ports));
    tokio::select! {
        biased;
        () = until.notified() => Ok(()),
        // None of them ends unless something went wrong.
        Some(ended) = tasks.join_next() => ended.map_err(io::Error::other)?,
    }
}

async fn receive(handle: Handle, ports: Rc<Ports>, pair: Pair) -> io::Result<()> {
    let socket = &ports.by_pair[&pair];
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        socket.readable().await?;
        for _ in 0..BATCH {
            let (length, source) = match socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The node is not there at the moment: the kernel says so of an earlier datagram to it.
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(error),
            };
            let mut state = handle.lock();
            state.offer(pair, source, &buffer[..length]);
            let (next, set) = (state.in_flight.next(), ports.alarm_at.get());
            if next.is_some_and(|next| set.is_none_or(|set| next < set)) {
                handle.sooner.notify_one();
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn deliver(handle: Handle, ports: Rc<Ports>) -> io::Result<()> {
    let alarm = Alarm::new()?;
    loop {
        let mut handed_on = 0;
        let next = {
            let mut state = handle.lock();
            while handed_on < BATCH
                && let Some((port, node, arrival)) = state.take_arrived()
            {
                let sent = ports.by_pair[&port].try_send_to(&arrival.payload, node);
                state.handed_on(&arrival, sent.is_ok() || sent.is_err_and(|error| is_absence(&error)));
                handed_on += 1;
            }
            state.in_flight.next().map(|next| (next, state.now()))
        };
        ports.alarm_at.set(next.map(|(next, _)| next));
        match next {
            None => handle.sooner.notified().await,
            // There is more, after those that wait for their turn.
            Some(_) if handed_on == BATCH => tokio::task::yield_now().await,
            Some((next, now)) => {
                alarm.set(next.since(now))?;
                tokio::select! {
                    biased;
                    () = handle.sooner.notified() => {}
                    rang = alarm.rings() => rang?,
                }
            }
        }
    }
}

/// Nobody listens there now: a node that is down.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}
