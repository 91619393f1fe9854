//! Peers on the local network, by DNS-SD over multicast DNS (RFC 6762, RFC 6763).
//!
//! `mdns-sd` speaks the protocol on a thread of its own; what may be believed of what it hears is decided in
//! [`neighbours`]. Its records keep a dead node for two minutes. That is too long, so a neighbour whose session ended is
//! asked for at once, and its records flushed if it does not answer (RFC 6762, section 10.4).

mod neighbours;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iroh::EndpointId;
use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::super::admission::FormationKey;
use super::{NewsLog, Source};
use crate::core::batch::PeerId;
use crate::core::session::Now;
use crate::limits;
use crate::node::Shared;
use neighbours::{Announcement, Neighbours, SERVICE, TXT_APP, TXT_ID, TXT_PROOF, Verdict};

/// Why one run of the daemon ended.
enum Ended {
    Stopping,
    /// Start anew, after a pause.
    Failed(String),
}

/// Announces this node and tells the mesh who else is announced, until the node stops.
pub(super) async fn announce_and_browse(shared: Arc<Shared>, app_id: String, keys: Vec<FormationKey>) {
    let mut log = NewsLog::default();
    loop {
        let neighbours = Neighbours::new(shared.mesh.endpoint().id(), app_id.clone(), keys.clone());
        let ended = match Daemon::start(&shared.mesh.endpoint().bound_sockets(), &neighbours) {
            Ok(daemon) => {
                let ended = browse(&shared, &daemon, neighbours).await;
                daemon.goodbye().await;
                ended
            }
            Err(error) => Ended::Failed(error.to_string()),
        };
        let why = match ended {
            Ended::Stopping => return,
            Ended::Failed(why) => why,
        };
        if log.is_news(&why) {
            tracing::warn!("mDNS: {why}; it is tried again every {:?}", limits::MDNS_RESTART_PAUSE);
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = sleep(limits::MDNS_RESTART_PAUSE) => {}
        }
    }
}

async fn browse(shared: &Shared, daemon: &Daemon, mut neighbours: Neighbours) -> Ended {
    let events = match daemon.0.browse(SERVICE) {
        Ok(events) => events,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let mut lines = LogBudget::default();
    let mut ticks = interval(limits::NEIGHBOUR_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Ended::Stopping,
            _ = ticks.tick() => {
                if let Err(why) = check(shared, daemon, &mut neighbours).await {
                    return Ended::Failed(why);
                }
            }
            event = events.recv_async() => {
                let changed = match event {
                    Ok(ServiceEvent::ServiceResolved(service)) => resolved(shared, &mut neighbours, &service, &mut lines),
                    Ok(ServiceEvent::ServiceRemoved(_, full_name)) => left(shared, &mut neighbours, &full_name, &mut lines),
                    Ok(_) => false,
                    // The daemon closes the channel when it is full.
                    Err(_) => return Ended::Failed("more is announced than can be heard".into()),
                };
                if changed {
                    shared.mesh.set_found(Source::Mdns, neighbours.members(), shared.now());
                }
            }
        }
    }
}

/// Sees to it that neighbours which fell silent are asked for, and that the daemon's memory stays bounded.
async fn check(shared: &Shared, daemon: &Daemon, neighbours: &mut Neighbours) -> Result<(), String> {
    let records = daemon.records().await?;
    if records > limits::MAX_MDNS_RECORDS {
        return Err(format!("{records} records are announced; the limit is {}", limits::MAX_MDNS_RECORDS));
    }
    for full_name in neighbours.take_doubtful(|peer| shared.mesh.has_session(peer), shared.now()) {
        tracing::debug!("is {full_name} still there?");
        daemon.0.verify(full_name, limits::NEIGHBOUR_VERIFY_TIMEOUT).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Takes an announcement. Returns whether it changed anything.
fn resolved(shared: &Shared, neighbours: &mut Neighbours, service: &ResolvedService, lines: &mut LogBudget) -> bool {
    let said = Announcement {
        full_name: &service.fullname,
        app_id: service.get_property_val_str(TXT_APP),
        endpoint_id: service.get_property_val_str(TXT_ID),
        proof: service.get_property_val_str(TXT_PROOF),
        port: service.port,
        addresses: service.addresses.iter().map(ScopedIp::to_ip_addr).collect(),
    };
    let networks = std::cell::OnceCell::new();
    let on_link = |ip: &IpAddr| networks.get_or_init(own_networks).iter().any(|network| network.contains(ip));
    match neighbours.announced(&said, on_link, shared.now()) {
        Verdict::Arrived(peer) => {
            lines.write(shared.now(), &peer, "is on the local network");
            true
        }
        Verdict::Moved => true,
        Verdict::Known | Verdict::Itself => false,
        verdict @ (Verdict::Foreign | Verdict::Malformed | Verdict::OffLink | Verdict::Full) => {
            tracing::debug!("{:?} is not taken: {verdict:?}", service.fullname);
            false
        }
    }
}

fn left(shared: &Shared, neighbours: &mut Neighbours, full_name: &str, lines: &mut LogBudget) -> bool {
    let Some(peer) = neighbours.left(full_name) else { return false };
    lines.write(shared.now(), &peer, "left the local network");
    true
}

/// A network that one of this machine's interfaces is on.
struct Network {
    address: IpAddr,
    mask: IpAddr,
}

impl Network {
    fn contains(&self, ip: &IpAddr) -> bool {
        match (self.address, self.mask, ip) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(ip)) => (own & mask) == (*ip & mask),
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(ip)) => (own & mask) == (*ip & mask),
            _ => false,
        }
    }
}

fn own_networks() -> Vec<Network> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let networks =
        interfaces.into_iter().filter(|interface| !interface.is_loopback()).map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(v4) => Network { address: v4.ip.into(), mask: v4.netmask.into() },
            if_addrs::IfAddr::V6(v6) => Network { address: v6.ip.into(), mask: v6.netmask.into() },
        });
    networks.collect()
}

/// The daemon, with this node announced. Dropping it ends its thread.
struct Daemon(ServiceDaemon);

impl Daemon {
    /// `sockets` are those of the mesh.
    fn start(sockets: &[SocketAddr], own: &Neighbours) -> Result<Self, mdns_sd::Error> {
        let v4 = sockets.iter().find(|socket| socket.is_ipv4());
        let v6 = sockets.iter().find(|socket| socket.is_ipv6());
        let port = v4.or(v6).map_or(0, SocketAddr::port);
        let daemon = Self(ServiceDaemon::new()?);
        // A service has one port and all the addresses of its host, so a family that the mesh does not listen on at that
        // port is left out.
        for (family, socket) in [(IfKind::IPv4, v4), (IfKind::IPv6, v6)] {
            if socket.is_none_or(|socket| socket.port() != port) {
                daemon.0.disable_interface(family)?;
            }
        }
        daemon.0.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        daemon.0.register(service(own, v4.into_iter().chain(v6).map(SocketAddr::ip), port)?)?;
        Ok(daemon)
    }

    /// Records that it holds, and moments at which it means to look at them.
    async fn records(&self) -> Result<i64, String> {
        let metrics = self.0.get_metrics().map_err(|e| e.to_string())?;
        let metrics = timeout(limits::MDNS_ANSWER_TIMEOUT, metrics.recv_async()).await;
        let metrics = metrics.ok().and_then(Result::ok).ok_or("the daemon does not answer")?;
        Ok(metrics
            .iter()
            .filter(|(name, _)| name.starts_with("cached-") || *name == "timer")
            .map(|(_, count)| count)
            .sum())
    }

    /// Withdraws the announcement and waits until that has been sent.
    async fn goodbye(self) {
        if let Ok(done) = self.0.shutdown() {
            // An error or a timeout leaves it to the others to notice.
            let _ = timeout(limits::MDNS_ANSWER_TIMEOUT, done.recv_async()).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.shutdown();
    }
}

fn service(own: &Neighbours, bound_to: impl Iterator<Item = IpAddr>, port: u16) -> Result<ServiceInfo, mdns_sd::Error> {
    let instance = neighbours::instance(&own.me());
    let host = format!("{instance}.local.");
    let bound_to: Vec<IpAddr> = bound_to.filter(|ip| !ip.is_unspecified()).collect();
    let mut service = ServiceInfo::new(SERVICE, &instance, &host, &bound_to[..], port, &own.own_record()[..])?;
    if bound_to.is_empty() {
        service = service.enable_addr_auto();
    } else {
        service.set_interfaces(bound_to.into_iter().map(IfKind::Addr).collect());
    }
    service.set_requires_probe(false);
    Ok(service)
}

/// Lines about comings and goings that the link may cause in a minute: it is not to fill the disk.
#[derive(Debug, Default)]
struct LogBudget {
    minute: u64,
    written: usize,
}

impl LogBudget {
    fn write(&mut self, now: Now, peer: &PeerId, what: &str) {
        let Ok(peer) = EndpointId::from_bytes(peer) else { return };
        let minute = now.as_secs() / Duration::from_secs(60).as_secs();
        if minute != self.minute {
            *self = Self { minute, written: 0 };
        }
        self.written += 1;
        if self.written <= limits::MAX_NEIGHBOUR_LINES {
            tracing::info!(peer = %peer.fmt_short(), "{what}");
        } else {
            tracing::debug!(peer = %peer.fmt_short(), "{what}");
        }
    }
}
