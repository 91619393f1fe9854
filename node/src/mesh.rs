//! The mesh: one iroh endpoint, admission, sessions, reconnect.
//!
//! [`peers`] knows who is wanted and who is connected, and decides between two connections of one pair;
//! [`dialer`] and [`acceptor`] bring connections up; [`link`] runs one session over one connection.

mod acceptor;
pub(crate) mod admission;
pub mod allow_list;
mod congestion;
mod dialer;
mod discovery;
mod link;
mod peers;
mod relay;
pub mod throttle;

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use iroh::endpoint::transports::CustomTransport;
use iroh::endpoint::{BindOpts, PortmapperConfig, QuicTransportConfig, presets};
use iroh::{Endpoint, RelayMode, SecretKey, TransportAddr};

pub use admission::{AdmissionCounters, AdmissionSnapshot, Refusal};
pub(crate) use peers::{CloseCode, Mesh};

use crate::config::{Discovery, Formation, Relays, Timing};
use crate::node::Shared;

/// Names the protocol in the TLS handshake; the version is negotiated in the admission frame.
pub const ALPN: &[u8] = b"peat/1";

/// The network under the endpoint.
pub enum Underlay {
    /// UDP on this address; port 0 lets the system choose.
    Udp(SocketAddr),
    /// UDP on every address of this machine, IPv4 and, if the machine has it, IPv6, both at this port; 0 lets the
    /// system choose one.
    UdpEverywhere {
        /// The port.
        port: u16,
    },
    /// A transport that the world supplies (seam 1).
    Custom(Arc<dyn CustomTransport>),
}

/// The endpoint could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("the mesh endpoint cannot be bound to {to}: {detail}")]
pub struct BindError {
    /// What it was to be bound to.
    pub to: String,
    /// Why it failed.
    pub detail: String,
}

/// Turns the text of an address (`host:port`, or whatever a simulated network uses) into transport
/// addresses.
pub trait AddressResolver: Send + Sync {
    /// Errors are for people.
    fn resolve<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<TransportAddr>, String>> + Send + 'a>>;

    /// The text that would resolve to an address, if there is one.
    fn text(&self, address: &TransportAddr) -> Option<String> {
        match address {
            TransportAddr::Ip(address) => Some(address.to_string()),
            TransportAddr::Relay(url) => Some(url.to_string()),
            _ => None,
        }
    }
}

/// `host:port` by the system's resolver; numeric addresses never cause a look-up.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemResolver;

impl AddressResolver for SystemResolver {
    fn resolve<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<TransportAddr>, String>> + Send + 'a>> {
        Box::pin(async move {
            if let Ok(numeric) = address.parse::<SocketAddr>() {
                return Ok(vec![TransportAddr::Ip(numeric)]);
            }
            let found = tokio::net::lookup_host(address).await.map_err(|e| format!("{address}: {e}"))?;
            Ok(found.map(TransportAddr::Ip).collect())
        })
    }
}

/// Binds an endpoint that talks to nobody but the peers it is given: no relay, no address look-up, no
/// DNS, no mDNS, no port mapping.
pub async fn bind(secret: SecretKey, underlay: Underlay, timing: &Timing) -> Result<Endpoint, BindError> {
    bind_with_relays(secret, underlay, timing, &Relays::default()).await
}

/// Binds an endpoint that also talks to these relays, and asks the system's DNS for their names. The node must be told
/// of them too ([`crate::config::NodeConfig::relays`]).
pub async fn bind_with_relays(
    secret: SecretKey,
    underlay: Underlay,
    timing: &Timing,
    relays: &Relays,
) -> Result<Endpoint, BindError> {
    let Underlay::UdpEverywhere { port: 0 } = underlay else { return bind_to(secret, underlay, timing, relays).await };
    let mut attempts = 0;
    loop {
        let port = free_port().map_err(|e| BindError { to: "a free UDP port".into(), detail: e.to_string() })?;
        attempts += 1;
        match bind_to(secret.clone(), Underlay::UdpEverywhere { port }, timing, relays).await {
            // Somebody took it in between.
            Err(_) if attempts < FREE_PORT_ATTEMPTS => {}
            bound => return bound,
        }
    }
}

/// Ports that are tried before binding to a free one fails.
const FREE_PORT_ATTEMPTS: usize = 4;

/// A UDP port that is free now. Both families are to have the same one, since what announces a node names one port for all
/// its addresses.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}

async fn bind_to(
    secret: SecretKey,
    underlay: Underlay,
    timing: &Timing,
    relays: &Relays,
) -> Result<Endpoint, BindError> {
    let to = match &underlay {
        Underlay::Udp(address) => address.to_string(),
        Underlay::UdpEverywhere { port } => format!("UDP port {port}"),
        Underlay::Custom(_) => "a custom transport".into(),
    };
    let fail = |detail: String| BindError { to: to.clone(), detail };
    let idle = timing.idle_timeout.try_into().map_err(|_| fail("the idle timeout is too long".into()))?;
    let transport = QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .default_path_max_idle_timeout(timing.idle_timeout)
        .keep_alive_interval(timing.keep_alive)
        .default_path_keep_alive_interval(timing.keep_alive)
        .congestion_controller_factory(Arc::new(congestion::CubicSinceAnswered))
        // Offload gave sporadic EIO and false idle timeouts on virtual Ethernet.
        .enable_segmentation_offload(false);
    let transport = admission::confine(transport).build();
    // The endpoint never looks a name up; this keeps it from reading the system's configuration.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(secret)
        .relay_mode(RelayMode::Disabled)
        .clear_relay_transports()
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .dns_resolver(iroh::dns::DnsResolver::with_nameserver(nowhere))
        .alpns(vec![ALPN.to_vec(), discovery::identify::ALPN.to_vec()])
        .transport_config(transport);
    let builder = match underlay {
        Underlay::Udp(address) => {
            builder.clear_ip_transports().bind_addr(address).map_err(|e| fail(format!("{e:#}")))?
        }
        Underlay::UdpEverywhere { port } => {
            let may_lack = BindOpts::default().set_is_required(false);
            let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            let builder = builder.clear_ip_transports().bind_addr(v4).map_err(|e| fail(format!("{e:#}")))?;
            builder.bind_addr_with_opts(v6, may_lack).map_err(|e| fail(format!("{e:#}")))?
        }
        Underlay::Custom(custom) => builder.clear_ip_transports().add_custom_transport(custom),
    };
    let builder = if relays.is_empty() { builder } else { relay::permit(builder, relays) };
    builder.bind().await.map_err(|e| fail(format!("{e:#}")))
}

/// Starts the tasks that dial and accept, and those that find peers.
pub(crate) fn spawn_tasks(shared: &Arc<Shared>, discovery: Discovery, relays: Relays, formation: &Formation) {
    shared.spawn(dialer::supervise(Arc::clone(shared)));
    shared.spawn(acceptor::accept(Arc::clone(shared)));
    if !relays.is_empty() {
        shared.spawn(relay::follow(Arc::clone(shared), relays));
    }
    discovery::spawn_tasks(shared, discovery, formation);
    shared.spawn(discovery::gossip::run(Arc::clone(shared)));
}
