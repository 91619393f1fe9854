//! The mesh: one iroh endpoint, admission, sessions, reconnect.
//!
//! [`peers`] knows who is wanted and who is connected, and decides between two connections of one pair;
//! [`dialer`] and [`acceptor`] bring connections up; [`link`] runs one session over one connection.

mod acceptor;
mod admission;
mod dialer;
mod discovery;
mod link;
mod peers;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use iroh::endpoint::transports::CustomTransport;
use iroh::endpoint::{PortmapperConfig, QuicTransportConfig, presets};
use iroh::{Endpoint, RelayMode, SecretKey, TransportAddr};

pub use admission::Refusal;
pub(crate) use peers::{CloseCode, Mesh};

use crate::config::Timing;
use crate::node::Shared;

/// Names the protocol in the TLS handshake; the version is negotiated in the admission frame.
pub const ALPN: &[u8] = b"peat/1";

/// The network under the endpoint.
pub enum Underlay {
    /// UDP on this address; port 0 lets the system choose.
    Udp(SocketAddr),
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
    let to = match &underlay {
        Underlay::Udp(address) => address.to_string(),
        Underlay::Custom(_) => "a custom transport".into(),
    };
    let fail = |detail: String| BindError { to: to.clone(), detail };
    let idle = timing.idle_timeout.try_into().map_err(|_| fail("the idle timeout is too long".into()))?;
    let transport = QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .default_path_max_idle_timeout(timing.idle_timeout)
        .keep_alive_interval(timing.keep_alive)
        .default_path_keep_alive_interval(timing.keep_alive)
        // Offload gave sporadic EIO and false idle timeouts on virtual Ethernet.
        .enable_segmentation_offload(false)
        .build();
    // The endpoint never looks a name up; this keeps it from reading the system's configuration.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(secret)
        .relay_mode(RelayMode::Disabled)
        .clear_relay_transports()
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .dns_resolver(iroh::dns::DnsResolver::with_nameserver(nowhere))
        .alpns(vec![ALPN.to_vec()])
        .transport_config(transport);
    let builder = match underlay {
        Underlay::Udp(address) => {
            builder.clear_ip_transports().bind_addr(address).map_err(|e| fail(format!("{e:#}")))?
        }
        Underlay::Custom(custom) => builder.clear_ip_transports().add_custom_transport(custom),
    };
    builder.bind().await.map_err(|e| fail(format!("{e:#}")))
}

/// Starts the tasks that dial and accept.
pub(crate) fn spawn_tasks(shared: &Arc<Shared>) {
    shared.spawn(dialer::supervise(Arc::clone(shared)));
    shared.spawn(acceptor::accept(Arc::clone(shared)));
}
