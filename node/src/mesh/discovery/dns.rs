//! Peers behind a host name, such as that of a headless service: the name says which addresses there are, a handshake
//! with each says who is there.
//!
//! A look-up that fails changes nothing: discovery out of reach must not take the mesh down. An address that a good
//! answer no longer has is forgotten; a session with it lives on until it ends by itself.

mod roster;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Fuse, FusedFuture as _, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use iroh::SecretKey;
use n0_dns_resolver::{DnsProtocol, DnsResolver, Nameserver};
use rand::RngExt as _;
use tokio::time::{sleep_until, timeout};

use super::super::admission::FormationKey;
use super::identify::{AskError, Asker};
use super::{NewsLog, Source};
use crate::config::DnsName;
use crate::core::session::Now;
use crate::limits;
use crate::node::{Shared, lock};
use roster::{Roster, Silence};

/// What one look-up gave: the addresses of each family, if it was answered.
#[derive(Debug)]
struct Answer {
    v4: Option<Vec<IpAddr>>,
    v6: Option<Vec<IpAddr>>,
    /// Why one of them was not, or why there is nothing in either.
    trouble: Option<String>,
}

/// Looks the name up every interval and tells the mesh who is behind it, until the node stops.
pub(super) async fn follow(shared: Arc<Shared>, name: DnsName, interval: Duration, keys: Vec<FormationKey>) {
    let secret = SecretKey::from_bytes(&lock(&shared.rng).random());
    let asker = match Asker::new(&secret) {
        Ok(asker) => asker,
        Err(error) => {
            tracing::error!("discovery by DNS is off: {error}");
            return;
        }
    };
    let me = *shared.mesh.endpoint().id().as_bytes();
    let mut roster = Roster::new(me, name.port);
    let mut lookup_log = NewsLog::default();
    let mut next_lookup = Now::ZERO;
    let mut asked = FuturesUnordered::new();
    let mut lookup = pin!(Fuse::terminated());
    loop {
        let now = shared.now();
        if lookup.is_terminated() && now >= next_lookup {
            lookup.set(look_up(&name).fuse());
        }
        while let Some(address) = roster.take_due(now) {
            let (asker, keys) = (&asker, &keys);
            asked.push(async move { (address, asker.ask(address, keys).await) });
        }
        let lookup_due = lookup.is_terminated().then_some(next_lookup);
        let wake = [lookup_due, roster.deadline()].into_iter().flatten().min();
        let at_deadline = async {
            match wake {
                Some(at) => sleep_until(shared.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            answer = &mut lookup => {
                let now = shared.now();
                next_lookup = now + spread(interval, &shared);
                take_answer(&mut roster, &answer, &name, &mut lookup_log, now);
                roster.recheck(|peer| shared.mesh.has_session(peer), now);
                shared.mesh.set_found(Source::Dns, roster.members(), now);
            }
            Some((address, who)) = asked.next() => {
                let who = told(address, who);
                roster.told(address.ip(), who, shared.now());
                if who.is_ok() {
                    shared.mesh.set_found(Source::Dns, roster.members(), shared.now());
                }
            }
            () = at_deadline => {}
        }
    }
}

/// The interval, give or take the jitter.
fn spread(interval: Duration, shared: &Shared) -> Duration {
    let part = lock(&shared.rng).random_range(-limits::DISCOVERY_JITTER..=limits::DISCOVERY_JITTER);
    interval.mul_f64(1.0 + part)
}

fn take_answer(roster: &mut Roster, answer: &Answer, name: &DnsName, log: &mut NewsLog, now: Now) {
    let left_out = roster.resolved(answer.v4.as_deref(), answer.v6.as_deref(), now);
    let trouble = answer.trouble.clone().or_else(|| {
        let limit = limits::MAX_DISCOVERY_ADDRESSES;
        (left_out > 0).then(|| format!("it has {left_out} addresses over the limit of {limit}; they are left out"))
    });
    match trouble {
        Some(trouble) if log.is_news(&trouble) => tracing::warn!("{}: {trouble}; what was known is kept", name.host),
        None if log.is_news("") => tracing::info!("{} is looked up", name.host),
        _ => {}
    }
}

fn told(address: SocketAddr, who: Result<iroh::EndpointId, AskError>) -> Result<[u8; 32], Silence> {
    match who {
        Ok(id) => {
            tracing::debug!("{address} is {}", id.fmt_short());
            Ok(*id.as_bytes())
        }
        Err(error) => {
            tracing::debug!("{address} does not say who it is: {error}");
            Err(if error == AskError::Stranger { Silence::Stranger } else { Silence::NoAnswer })
        }
    }
}

/// Both families at once. A resolver for each look-up: the system's configuration may have changed, and an answer that
/// is as old as the interval is old enough.
async fn look_up(name: &DnsName) -> Answer {
    let resolver = match name.nameserver {
        Some(server) => DnsResolver::builder().nameserver(Nameserver::new(server, DnsProtocol::Udp)),
        None => DnsResolver::builder().use_system_config(),
    }
    .build();
    let both = async { tokio::join!(resolver.lookup_ipv4(&name.host), resolver.lookup_ipv6(&name.host)) };
    let Ok((v4, v6)) = timeout(limits::LOOKUP_TIMEOUT, both).await else {
        return Answer { v4: None, v6: None, trouble: Some("no nameserver answers".into()) };
    };
    answer(v4.map_err(|e| e.to_string()), v6.map_err(|e| e.to_string()))
}

/// An answer without an address is none: a name that lost its last address looks just like a broken server.
fn answer<A: Into<IpAddr>, B: Into<IpAddr>>(v4: Result<Vec<A>, String>, v6: Result<Vec<B>, String>) -> Answer {
    let v4 = v4.map(|addresses| addresses.into_iter().map(Into::into).collect::<Vec<IpAddr>>());
    let v6 = v6.map(|addresses| addresses.into_iter().map(Into::into).collect::<Vec<IpAddr>>());
    let count = v4.iter().chain(&v6).map(Vec::len).sum::<usize>();
    let trouble = v4.as_ref().err().or(v6.as_ref().err()).cloned();
    if count == 0 {
        return Answer { v4: None, v6: None, trouble: trouble.or_else(|| Some("the name has no address".into())) };
    }
    Answer { v4: v4.ok(), v6: v6.ok(), trouble }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn an_answer_without_an_address_changes_nothing() {
        let v4 = |addresses: &[Ipv4Addr]| Ok(addresses.to_vec());
        let no_v6 = || Ok(Vec::<Ipv6Addr>::new());
        let empty = answer(v4(&[]), no_v6());
        assert!(empty.v4.is_none() && empty.v6.is_none());
        assert_eq!(empty.trouble.as_deref(), Some("the name has no address"));

        let good = answer(v4(&[Ipv4Addr::LOCALHOST]), no_v6());
        assert_eq!((good.v4.map(|v4| v4.len()), good.v6.map(|v6| v6.len()), good.trouble), (Some(1), Some(0), None));

        let half = answer(v4(&[Ipv4Addr::LOCALHOST]), Err::<Vec<Ipv6Addr>, _>("SERVFAIL".into()));
        assert!(half.v4.is_some() && half.v6.is_none());
        assert_eq!(half.trouble.as_deref(), Some("SERVFAIL"));
    }
}
