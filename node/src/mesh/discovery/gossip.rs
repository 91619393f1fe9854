//! Tends to members and neighbours: says where this node is, hands what gossip learned to the mesh, lets go of
//! sessions that nobody needs, and keeps what was learned.
//!
//! The task runs in every mode, since neighbours are remembered over a restart however they were found; without
//! gossip it only wakes when sessions come and go.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Source;
use crate::core::membership::Myself;
use crate::core::session::Now;
use crate::limits;
use crate::mesh::Mesh;
use crate::node::{Shared, lock};

/// Runs for ever.
pub(in crate::mesh) async fn run(shared: Arc<Shared>) {
    let mesh = &shared.mesh;
    let round = mesh.timing.dial_interval * limits::DEAD_ROUND_INTERVALS;
    let mut next_round = shared.now() + round;
    let mut ages_due = shared.now() + limits::MEMBER_AGES_KEPT;
    let (mut keep_due, mut kept) = (None::<Now>, None::<Now>);
    loop {
        let now = shared.now();
        if mesh.discovery.gossip {
            tend_members(&shared, now);
        }
        mesh.choose(now);
        let mut wakes_at = mesh.weigh_sessions(&shared).into_iter().collect::<Vec<_>>();
        if next_round <= now {
            mesh.next_round(now);
            next_round = now + round;
        }
        if mesh.keep.swap(false, Ordering::Relaxed) {
            let soonest = kept.map_or(now, |at| at + limits::MEMBERS_KEPT_EVERY);
            keep_due.get_or_insert(soonest.max(now + limits::MEMBERS_KEPT_AFTER));
        }
        if ages_due <= now || keep_due.is_some_and(|at| at <= now) {
            mesh.keep_members(&shared, ages_due <= now).await;
            (keep_due, kept) = (None, Some(now));
            if ages_due <= now {
                ages_due = now + limits::MEMBER_AGES_KEPT;
            }
        }
        wakes_at.extend(keep_due.into_iter().chain([ages_due]));
        if mesh.has_dead() {
            wakes_at.push(next_round);
        }
        if mesh.discovery.gossip {
            wakes_at.extend(lock(&mesh.membership).deadline());
            // The interfaces are listed a moment after binding.
            let starting = now < limits::ADDRESSES_LISTED_WITHIN;
            if mesh.advertise.is_empty() {
                wakes_at.push(now + if starting { limits::CHOICE_PAUSE } else { limits::ADDRESS_INTERVAL });
            }
        }
        let wake_at = wakes_at.into_iter().min().expect("ages are always due");
        tokio::select! {
            biased;
            // News comes in bursts.
            () = mesh.tend.notified() => tokio::time::sleep(limits::CHOICE_PAUSE).await,
            () = tokio::time::sleep_until(shared.instant(wake_at)) => {}
        }
    }
}

fn tend_members(shared: &Shared, now: Now) {
    let mesh = &shared.mesh;
    let myself = Myself { role: mesh.role(), addresses: own_addresses(mesh) };
    let is_listed = !myself.addresses.is_empty() || now >= limits::ADDRESSES_LISTED_WITHIN;
    let (changed, members) = {
        let mut membership = lock(&mesh.membership);
        let mut rng = lock(&shared.rng);
        membership.set_calendar((shared.wall_clock)(), now);
        if is_listed {
            membership.announce(myself, now, &mut *rng);
        }
        membership.advance(now, &mut *rng);
        shared.wake_control(&membership.take_wakes());
        let changed = membership.take_changed();
        let members: Vec<_> = if changed.is_empty() {
            vec![]
        } else {
            membership.members().map(|record| (record.id, record.role, record.addresses.clone())).collect()
        };
        (changed, members)
    };
    if changed.is_empty() {
        return;
    }
    mesh.set_roles(members.iter().map(|(id, role, _)| (*id, *role)).collect());
    let found: BTreeMap<_, _> = members.into_iter().map(|(id, _, addresses)| (id, addresses)).collect();
    let alive: Vec<_> = changed.into_iter().filter(|id| found.contains_key(id)).collect();
    mesh.set_found(Source::Gossip, found, now);
    // Whoever signed something new was there a moment ago.
    alive.iter().for_each(|id| mesh.sign_of_life(shared, id));
}

/// Where this node may be found: what the operator says, or else its interfaces; never an address of a kind that no socket
/// of ours is bound to, nor one that means something else on another machine, unless there is no other. And the relay
/// through which it is reached where none of them is.
fn own_addresses(mesh: &Mesh) -> Vec<String> {
    let relay = mesh.home_relay().map(|relay| relay.url);
    let direct = if mesh.advertise.is_empty() { direct_addresses(mesh) } else { mesh.advertise.clone() };
    direct.into_iter().take(limits::MAX_MEMBER_ADDRESSES - usize::from(relay.is_some())).chain(relay).collect()
}

fn direct_addresses(mesh: &Mesh) -> Vec<String> {
    let bound = mesh.endpoint().bound_sockets();
    let reachable = |address: &SocketAddr| {
        let family = bound.iter().any(|socket| socket.is_ipv4() == address.is_ipv4());
        let link_local = match address.ip() {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        family && !link_local && !address.ip().is_unspecified() && address.port() != 0
    };
    let listed = mesh.endpoint().addr();
    let mut known: Vec<SocketAddr> = listed.ip_addrs().chain(&bound).copied().filter(reachable).collect();
    known.sort_unstable();
    known.dedup();
    if known.iter().any(|address| !address.ip().is_loopback()) {
        known.retain(|address| !address.ip().is_loopback());
    }
    known.iter().map(SocketAddr::to_string).collect()
}
