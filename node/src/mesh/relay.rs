//! Relays: which ones the endpoint may use, and what is done when the nearest one goes and comes.
//!
//! iroh keeps a connection to the *home relay*, the nearest one that answers: others reach this node there. What it does when that
//! one goes is too slow for us, so it is pushed (`docs/relays.md`). Only relays that an operator named are ever
//! contacted: what other members tell of relays that nobody named here is passed over.

use std::sync::Arc;

use iroh::dns::DnsResolver;
use iroh::endpoint::{Builder, RelayStatus};
use iroh::tls::CaTlsConfig;
use iroh::{NetReportConfig, RelayConfig, RelayMap, RelayMode, RelayUrl, TransportAddr, Watcher};

use tokio::time::Instant;

use super::Mesh;
use crate::config::Relays;
use crate::core::relay_url;
use crate::limits;
use crate::node::{HomeRelay, Shared, lock};

/// Lets an endpoint use relays.
pub(super) fn permit(builder: Builder, relays: &Relays) -> Builder {
    // Names of relays are asked of whom the system asks, never of a public server in its place.
    let resolver = DnsResolver::builder().with_system_defaults().disable_fallback().build();
    let authorities = if relays.authorities.is_empty() {
        CaTlsConfig::embedded()
    } else {
        CaTlsConfig::custom_roots(relays.authorities.iter().cloned())
    };
    // Nothing depends on whether a portal stands between us and the relay.
    let mut probes = NetReportConfig::default();
    probes.captive_portal_check = false;
    builder
        .relay_mode(RelayMode::Custom(relay_map(relays)))
        .dns_resolver(resolver)
        .ca_tls_config(authorities)
        .net_report_config(probes)
}

fn relay_map(relays: &Relays) -> RelayMap {
    relays.urls.iter().map(|url| configured(relays, url)).collect()
}

fn configured(relays: &Relays, url: &RelayUrl) -> RelayConfig {
    let mut config = RelayConfig::from(url.clone());
    match &mut config.quic {
        Some(quic) if url.scheme() == "https" => quic.port = relays.quic_port,
        // A relay without TLS has no QUIC either.
        quic => *quic = None,
    }
    match &relays.token {
        Some(token) => config.with_auth_token(token.clone()),
        None => config,
    }
}

/// Follows the home relay for ever.
pub(super) async fn follow(shared: Arc<Shared>, relays: Relays) {
    let mut status = shared.mesh.endpoint().home_relay_status();
    let mut complained = false;
    // Each attempt of iroh to reach it changes its state, which must not put the review off.
    let mut review = None::<Instant>;
    loop {
        if look(&shared, status.get().first(), &mut complained) {
            review = None;
        } else {
            review.get_or_insert_with(|| Instant::now() + limits::RELAY_REVIEW);
        }
        let due = async {
            match review {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = status.updated() => if changed.is_err() { return },
            () = due => {
                ask_anew(&shared, &relays).await;
                review = None;
            }
        }
    }
}

/// Takes notice of the home relay's state. Returns whether there is a connection to it.
fn look(shared: &Shared, status: Option<&RelayStatus>, complained: &mut bool) -> bool {
    // None while none has answered. The last one may be there for all that, and its connection stand.
    let Some(status) = status else { return false };
    let now = HomeRelay { url: status.url().to_string(), connected: status.is_connected() };
    let before = shared.mesh.set_home_relay(now.clone());
    if now.connected && before.as_ref() != Some(&now) {
        let id = shared.mesh.endpoint().id();
        tracing::info!("connected to relay {0}; reach this node through it with: --peer {id}@{0}", now.url);
        *complained = false;
        // Whoever could not be reached without it may be there.
        shared.mesh.all_may_be_back(shared);
        shared.mesh.tend.notify_one();
    }
    let denied = status.auth_denied_reason().map(|reason| format!("it does not serve this node: {reason}"));
    let trouble = denied.or_else(|| status.last_error().map(|error| format!("{error:#}")));
    // Once until it is back: the stack below tries again and again.
    if let Some(trouble) = trouble
        && !now.connected
        && !std::mem::replace(complained, true)
    {
        tracing::warn!("no connection to relay {}: {trouble}", now.url);
    }
    now.connected
}

/// Has iroh measure the way to every relay, and take the nearest one that answers for its home.
async fn ask_anew(shared: &Shared, relays: &Relays) {
    // What is put in is there already: iroh only notices that it was.
    if let Some(url) = relays.urls.first() {
        shared.mesh.endpoint().insert_relay(url.clone(), Arc::new(configured(relays, url))).await;
    }
}

impl Mesh {
    /// Whether this node has the means to reach any relay.
    pub(super) fn has_relays(&self) -> bool {
        !self.relays.is_empty()
    }

    /// The relay where others reach this node. It stays the same while there is none.
    pub fn home_relay(&self) -> Option<HomeRelay> {
        lock(&self.home_relay).clone()
    }

    fn set_home_relay(&self, relay: HomeRelay) -> Option<HomeRelay> {
        lock(&self.home_relay).replace(relay)
    }

    /// Transport addresses of the text of an address.
    pub(super) async fn resolve(&self, address: &str) -> Result<Vec<TransportAddr>, String> {
        match relay_url::parse(address) {
            Ok(url) if self.has_relays() => Ok(vec![TransportAddr::Relay(url)]),
            Ok(url) => Err(format!("{url} is a relay, and this node was started without --relay")),
            Err(_) => self.resolver.resolve(address).await,
        }
    }
}
