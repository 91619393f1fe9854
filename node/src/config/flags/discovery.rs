//! The flags of discovery. They are checked together: one without the other is a mistake.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::parse::{later, seconds, shown, wrong};
use super::{BadFlag, Flags};
use crate::config::{Discovery, DnsName};
use crate::limits;

const MODE: &str = "--discovery-mode";
const SERVICE: &str = "--discovery-service";
const INTERVAL: &str = "--discovery-interval";
const NAMESERVER: &str = "--discovery-nameserver";
const SERVICE_EXAMPLE: &str = "write for example: --discovery-service peat-mesh.fleet.svc.cluster.local:7777";

/// How peers are to be found. `mesh_port` is the port that `--iroh-udp-port` names, 0 if none.
pub(super) fn discovery(flags: &Flags, mesh_port: u16) -> Result<Discovery, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let mut keep = |flag: BadFlag| bad.push(flag);
    let mut found = Discovery::default();

    let modes = modes(&flags.discovery_mode).map_err(&mut keep).unwrap_or_default();
    found.mdns = modes.contains(&Mode::Mdns);
    found.gossip = modes.contains(&Mode::Gossip);
    let by_dns = modes.contains(&Mode::Dns);

    let nameserver = flags.discovery_nameserver.as_deref().map(nameserver).transpose().map_err(&mut keep);
    match (by_dns, &flags.discovery_service) {
        (true, Some(service)) => match dns_name(service, mesh_port) {
            Ok((host, port)) => found.dns = Some(DnsName { host, port, nameserver: nameserver.unwrap_or_default() }),
            Err(flag) => keep(flag),
        },
        (true, None) => keep(wrong(SERVICE, "it is missing: mode dns looks a name up".into(), SERVICE_EXAMPLE)),
        (false, Some(service)) => keep(unused(SERVICE, service)),
        (false, None) => {}
    }
    if let (false, Some(server)) = (by_dns, &flags.discovery_nameserver) {
        keep(unused(NAMESERVER, server));
    }
    match seconds(INTERVAL, &flags.discovery_interval).map(Duration::from_secs) {
        Ok(interval) if interval <= limits::MAX_DISCOVERY_INTERVAL => found.interval = interval,
        Ok(interval) => {
            let limit = limits::MAX_DISCOVERY_INTERVAL.as_secs();
            let problem = format!("{} seconds were given; the limit is {limit}", interval.as_secs());
            keep(wrong(INTERVAL, problem, "write for example: --discovery-interval 30"));
        }
        Err(flag) => keep(flag),
    }
    if bad.is_empty() { Ok(found) } else { Err(bad) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Mdns,
    Dns,
    Gossip,
}

fn modes(given: &[String]) -> Result<Vec<Mode>, BadFlag> {
    let mut modes = Vec::new();
    let mut none = false;
    for mode in given.iter().map(|mode| mode.trim()) {
        match mode {
            "none" => none = true,
            "mdns" => modes.push(Mode::Mdns),
            "dns" => modes.push(Mode::Dns),
            "gossip" => return Err(BadFlag { remedy: "leave it out of the list".into(), ..later(MODE, &shown(mode)) }),
            _ => {
                let problem = format!("{} is not one of none, mdns, dns, gossip", shown(mode));
                return Err(wrong(MODE, problem, "write for example: --discovery-mode mdns,dns"));
            }
        }
    }
    if none && !modes.is_empty() {
        let problem = format!("{} is none and another", shown(&given.join(",")));
        return Err(wrong(MODE, problem, "leave none out"));
    }
    Ok(modes)
}

fn unused(flag: &'static str, given: &str) -> BadFlag {
    let problem = format!("{} was given, but {MODE} has no dns", shown(given));
    wrong(flag, problem, format!("leave it out, or write: {MODE} dns"))
}

fn dns_name(given: &str, mesh_port: u16) -> Result<(String, u16), BadFlag> {
    let bad = |detail: &str| wrong(SERVICE, format!("{} {detail}", shown(given)), SERVICE_EXAMPLE);
    if given.parse::<IpAddr>().is_ok() || given.parse::<SocketAddr>().is_ok() {
        return Err(bad("is an address, and mode dns looks a name up"));
    }
    let (host, port) = match given.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| bad("has no port from 1 to 65535 after the colon"))?),
        None => (given, mesh_port),
    };
    if port == 0 {
        return Err(bad("has no port, and --iroh-udp-port names none: the mesh port of the peers is not known"));
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let good = |label: &&str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if host.len() > 253 || !labels.iter().all(good) {
        return Err(bad(
            "is not a host name: labels of 1 to 63 letters, digits, - and _ with dots between, 253 in all",
        ));
    }
    Ok((host.into(), port))
}

fn nameserver(given: &str) -> Result<SocketAddr, BadFlag> {
    const DNS_PORT: u16 = 53;
    let address = given.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)).or_else(|_| given.parse());
    address.map_err(|_| {
        let problem = format!("{} is not an IP address, with or without a port", shown(given));
        wrong(NAMESERVER, problem, format!("write for example: {NAMESERVER} 10.96.0.10:53"))
    })
}
