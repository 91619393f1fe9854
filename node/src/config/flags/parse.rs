//! From words to settings.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{BadFlag, Flags, Settings};
use crate::api::check_host_port;
use crate::config::{Formation, PeerAddress, Timing, Topology};
use crate::core::class::{ClassMap, ClassMapError};
use crate::core::engine::Traffic;
use crate::core::interest::{Interest, InterestError, Selector};
use crate::core::policy::Policies;
use crate::core::relay_url;
use crate::core::wire::members::is_address;
use crate::limits;
use crate::store::StoreKey;

/// Longest name of a node or a formation in bytes: both stand in log lines and handshakes.
const MAX_NAME_BYTES: usize = 128;
/// Longest piece of a bad value that is repeated in its error, in characters.
const SHOWN_CHARACTERS: usize = 80;
const KEY_EXAMPLE: &str = "make one with: head -c 32 /dev/urandom | base64";

/// Checks every flag; the error has all that are bad, in the order of the help text.
pub(super) fn settings(flags: Flags) -> Result<Settings, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let listen = keep(&mut bad, listen(&flags.listen));
    let access = super::access::access(&flags, listen.as_ref()).map_err(|flags| bad.extend(flags)).ok();
    let data_dir = keep(&mut bad, data_dir(flags.data_dir.clone()));
    let metrics_listen = keep(&mut bad, metrics_listen(&flags.metrics_listen));
    let node_id = keep(&mut bad, flags.node_id.clone().map(|id| name("--node-id", id, "--node-id ship-7")).transpose());
    let app_id = keep(&mut bad, name("--app-id", flags.app_id.clone(), "--app-id fleet-north"));
    let shared_key = keep(&mut bad, flags.shared_key.as_ref().map(|key| secret("--shared-key", key)).transpose());
    let previous_key = keep(&mut bad, previous_key(flags.shared_key_previous.as_deref(), &shared_key));
    let allow_list = keep(&mut bad, flags.allow_list.clone().map(allow_list).transpose());
    let peers = keep(&mut bad, peers(&flags.peer));
    let mesh_port = keep(&mut bad, flags.iroh_udp_port.as_deref().map_or(Ok(0), udp_port));
    let auto_sync = keep(&mut bad, truth("--auto-sync", &flags.auto_sync));
    let interest = keep(&mut bad, interest(&flags.interest));
    let classes = keep(&mut bad, classes(&flags.class));
    let policies = keep(&mut bad, policies(&flags.history));

    let mesh_address = keep(&mut bad, flags.mesh_address.as_deref().map(ip_address).transpose());
    let discovery = super::discovery::discovery(&flags, mesh_port.unwrap_or_default());
    let discovery = discovery.map_err(|flags| bad.extend(flags)).ok();
    let topology = keep(&mut bad, topology(&flags.topology));
    let advertise = keep(&mut bad, advertise(&flags.advertise));
    let relays = super::relay::relays(&flags).map_err(|flags| bad.extend(flags)).ok();
    if let (Some(peers), Some((relays, _))) = (&peers, &relays) {
        bad.extend(super::relay::unreachable(peers, relays));
    }
    let keep_alive = keep(&mut bad, seconds_within("--keep-alive", &flags.keep_alive, limits::KEEP_ALIVES));
    let dial_interval = keep(&mut bad, seconds_within("--dial-interval", &flags.dial_interval, limits::DIAL_INTERVALS));
    let client_limits = super::limits::client_limits(&flags).map_err(|flags| bad.extend(flags)).ok();
    let agent = super::agent::agent(&flags).map_err(|flags| bad.extend(flags)).ok();
    let encryption_key = flags.encryption_key.as_ref().map(|key| store_key("--encryption-key", key)).transpose();
    let encryption_key = keep(&mut bad, encryption_key);

    if !bad.is_empty() {
        return Err(bad);
    }
    let (Some(listen), Some(data_dir), Some(node_id)) = (listen, data_dir, node_id) else { return Err(bad) };
    let (Some(app_id), Some(shared_key), Some(peers)) = (app_id, shared_key, peers) else { return Err(bad) };
    let (Some(mesh_port), Some(auto_sync)) = (mesh_port, auto_sync) else { return Err(bad) };
    let (Some(interest), Some(classes), Some(policies), Some(metrics_listen)) =
        (interest, classes, policies, metrics_listen)
    else {
        return Err(bad);
    };
    let (Some(mesh_address), Some(discovery)) = (mesh_address, discovery) else { return Err(bad) };
    let (Some(previous_key), Some(allow_list)) = (previous_key, allow_list) else { return Err(bad) };
    let formation = Formation { app_id, shared_key, previous_key };
    let traffic = Traffic { classes, interest, policies };
    let (Some(topology), Some(advertise)) = (topology, advertise) else { return Err(bad) };
    let Some(agent) = agent else { return Err(bad) };
    let (Some(dial_interval), Some(keep_alive)) = (dial_interval, keep_alive) else { return Err(bad) };
    let Some((relays, relay_ca)) = relays else { return Err(bad) };
    let Some(encryption_key) = encryption_key else { return Err(bad) };
    let Some(client_limits) = client_limits else { return Err(bad) };
    let Some(access) = access else { return Err(bad) };
    let timing = Timing { dial_interval, ..Timing::default() }.with_keep_alive(keep_alive);
    Ok(Settings {
        listen,
        access,
        metrics_listen,
        data_dir,
        encryption_key,
        node_id,
        formation,
        allow_list,
        peers,
        mesh_address,
        mesh_port,
        auto_sync,
        traffic,
        discovery,
        topology,
        advertise,
        relays,
        relay_ca,
        timing,
        agent,
        limits: client_limits,
    })
}

/// `shared_key`: `None` if it is wrong itself, which is told already.
fn previous_key(given: Option<&str>, shared_key: &Option<Option<[u8; 32]>>) -> Result<Option<[u8; 32]>, BadFlag> {
    const FLAG: &str = "--shared-key-previous";
    let Some(given) = given else { return Ok(None) };
    let previous = secret(FLAG, given)?;
    match shared_key {
        Some(None) => Err(wrong(
            FLAG,
            "there is no --shared-key that it could be previous to".into(),
            "give the new key as --shared-key and the old one as --shared-key-previous",
        )),
        Some(Some(key)) if *key == previous => Err(wrong(
            FLAG,
            "it is the same key as --shared-key".into(),
            "leave it out unless a change-over is under way",
        )),
        _ => Ok(Some(previous)),
    }
}

fn allow_list(given: OsString) -> Result<PathBuf, BadFlag> {
    if given.is_empty() {
        return Err(wrong("--allow-list", "it is empty".into(), "write for example: --allow-list ./allowed-ids"));
    }
    Ok(given.into())
}

fn keep<T>(bad: &mut Vec<BadFlag>, parsed: Result<T, BadFlag>) -> Option<T> {
    parsed.map_err(|flag| bad.push(flag)).ok()
}

pub(crate) fn wrong(flag: &'static str, problem: String, remedy: impl Into<String>) -> BadFlag {
    BadFlag { flag, problem, remedy: remedy.into() }
}

/// A value in quotes, with nothing that a terminal would obey, cut to a length that can be read.
pub(crate) fn shown(value: &str) -> String {
    let mut start: String = value.chars().take(SHOWN_CHARACTERS).collect();
    if start.len() < value.len() {
        start.push('…');
    }
    format!("{start:?}")
}

fn listen(given: &str) -> Result<crate::api::Listen, BadFlag> {
    let example = "write for example: --listen tcp://127.0.0.1:50051 or --listen unix:///run/peat/peat.sock";
    given.parse().map_err(|e: crate::api::ListenError| wrong("--listen", e.to_string(), example))
}

/// Off unless asked for: the port would be the same for every node of a machine, and figures are not for everyone.
fn metrics_listen(given: &str) -> Result<Option<crate::api::Listen>, BadFlag> {
    if given == "none" {
        return Ok(None);
    }
    let example = "write for example: --metrics-listen tcp://127.0.0.1:9464, or none";
    let parsed = given.parse();
    parsed.map(Some).map_err(|e: crate::api::ListenError| wrong("--metrics-listen", e.to_string(), example))
}

fn data_dir(given: OsString) -> Result<PathBuf, BadFlag> {
    if given.is_empty() {
        return Err(wrong("--data-dir", "it is empty".into(), "write for example: --data-dir ./data"));
    }
    Ok(given.into())
}

fn name(flag: &'static str, given: String, example: &str) -> Result<String, BadFlag> {
    let problem = if given.is_empty() {
        "it is empty".into()
    } else if given.len() > MAX_NAME_BYTES {
        format!("{} has {} bytes; the limit is {MAX_NAME_BYTES}", shown(&given), given.len())
    } else if given.chars().any(char::is_control) {
        format!("{} has a control character", shown(&given))
    } else {
        return Ok(given);
    };
    Err(wrong(flag, problem, format!("write for example: {example}")))
}

fn secret(flag: &'static str, given: &str) -> Result<[u8; 32], BadFlag> {
    let decoded = STANDARD.decode(given.trim()).map_err(|_| {
        let what = format!("the {} characters given are not base64 (not shown: it is a secret)", given.chars().count());
        wrong(flag, what, KEY_EXAMPLE)
    })?;
    decoded.try_into().map_err(|decoded: Vec<u8>| {
        let what = format!("the key has {} bytes after base64; it must have 32", decoded.len());
        wrong(flag, what, KEY_EXAMPLE)
    })
}

/// A key of a store, or `file:` and the path of a file with one, as secrets are mounted.
pub(crate) fn store_key(flag: &'static str, given: &str) -> Result<StoreKey, BadFlag> {
    let Some(path) = given.trim().strip_prefix("file:") else { return secret(flag, given).map(StoreKey::new) };
    let unreadable = |why: String| wrong(flag, format!("the file {} {why}", shown(path)), KEY_EXAMPLE);
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limits::MAX_KEY_FILE_BYTES).read_to_string(&mut text))
        .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    secret(flag, &text)
        .map(StoreKey::new)
        .map_err(|bad| BadFlag { problem: format!("in the file {}: {}", shown(path), bad.problem), ..bad })
}

fn udp_port(given: &str) -> Result<u16, BadFlag> {
    given.parse().map_err(|_| {
        let problem = format!("{} is not a port from 0 to 65535", shown(given));
        wrong("--iroh-udp-port", problem, "write for example: --iroh-udp-port 7777")
    })
}

fn truth(flag: &'static str, given: &str) -> Result<bool, BadFlag> {
    match given {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(
            flag,
            format!("{} is neither true nor false", shown(given)),
            format!("write for example: {flag} false"),
        )),
    }
}

pub(super) fn seconds(flag: &'static str, given: &str) -> Result<u64, BadFlag> {
    given.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        let problem = format!("{} is not a whole number of seconds above 0", shown(given));
        wrong(flag, problem, format!("write for example: {flag} 30"))
    })
}

fn seconds_within(flag: &'static str, given: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, BadFlag> {
    let seconds = given.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|seconds| bounds.contains(seconds)).ok_or_else(|| {
        let (least, most) = (bounds.start().as_secs(), bounds.end().as_secs());
        let problem = format!("{} is not a number of seconds from {least} to {most}", shown(given));
        wrong(flag, problem, format!("write for example: {flag} 30"))
    })
}

fn ip_address(given: &str) -> Result<IpAddr, BadFlag> {
    given.parse().map_err(|_| {
        let problem = format!("{} is not an IP address", shown(given));
        wrong("--mesh-address", problem, "write for example: --mesh-address 10.0.0.7")
    })
}

/// Words as templates leave them: trimmed, and none that is empty.
pub(super) fn words(given: &[String]) -> impl Iterator<Item = &str> {
    given.iter().map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn interest(given: &[String]) -> Result<Interest, BadFlag> {
    let example = "write for example: --interest platforms,commands/ship-7.";
    let refuse = |error: InterestError| wrong("--interest", error.to_string(), example);
    let selectors: Vec<Selector> = words(given).map(str::parse).collect::<Result<_, _>>().map_err(refuse)?;
    if selectors.is_empty() { Ok(Interest::Everything) } else { Interest::only(selectors).map_err(refuse) }
}

fn classes(given: &[String]) -> Result<ClassMap, BadFlag> {
    let example = "write for example: --class tracks=telemetry,images=blob";
    let mut map = ClassMap::default();
    for pair in words(given) {
        // A collection may have an equals sign in it, a class has none.
        let Some((collection, class)) = pair.rsplit_once('=') else {
            return Err(wrong("--class", format!("{} has no = between collection and class", shown(pair)), example));
        };
        let set = class.parse().and_then(|class| map.set(collection, class));
        set.map_err(|e: ClassMapError| wrong("--class", e.to_string(), example))?;
    }
    Ok(map)
}

fn policies(given: &[String]) -> Result<Policies, BadFlag> {
    let example = "write for example: --history tracks=latest,orders=full+immutable";
    let mut policies = Policies::default();
    for pair in words(given) {
        let Some((collection, policy)) = pair.rsplit_once('=') else {
            let problem = format!("{} has no = between collection and policy", shown(pair));
            return Err(wrong("--history", problem, example));
        };
        let set = policy.parse().and_then(|policy| policies.configure(collection, policy));
        set.map_err(|e| wrong("--history", e.to_string(), example))?;
    }
    Ok(policies)
}

fn topology(given: &str) -> Result<Topology, BadFlag> {
    match given {
        "auto" => Ok(Topology::Auto),
        "mesh" => Ok(Topology::Mesh),
        "hub" => Ok(Topology::Hub),
        "spoke" => Ok(Topology::Spoke),
        _ => {
            let problem = format!("{} is not one of auto, mesh, hub, spoke", shown(given));
            Err(wrong("--topology", problem, "leave it out, or write: --topology spoke"))
        }
    }
}

fn advertise(given: &[String]) -> Result<Vec<String>, BadFlag> {
    const FLAG: &str = "--advertise";
    let example = "write for example: --advertise ship-7.fleet.example:7777";
    let given: Vec<&str> = words(given).collect();
    if given.len() > limits::MAX_MEMBER_ADDRESSES {
        let problem = format!("{} addresses were given; the limit is {}", given.len(), limits::MAX_MEMBER_ADDRESSES);
        return Err(wrong(FLAG, problem, "name fewer"));
    }
    for address in &given {
        check_host_port(address)
            .map_err(|detail| wrong(FLAG, format!("{} is no address: {detail}", shown(address)), example))?;
        if !is_address(address) {
            return Err(wrong(FLAG, format!("nobody can be reached at {}", shown(address)), example));
        }
    }
    Ok(given.into_iter().map(str::to_owned).collect())
}

/// Peers in the order in which their ids first stand; the addresses of one id are tried together.
fn peers(given: &[String]) -> Result<Vec<PeerAddress>, BadFlag> {
    let mut peers: Vec<PeerAddress> = Vec::new();
    let mut seen = BTreeSet::new();
    // A trailing comma, as templates leave one, names nobody.
    for text in words(given) {
        let (id, address) = peer(text)?;
        if !seen.insert((id, address.clone())) {
            continue;
        }
        match peers.iter_mut().find(|peer| peer.id == id) {
            Some(peer) => peer.addresses.push(address),
            None => peers.push(PeerAddress { id, addresses: vec![address] }),
        }
    }
    let too_many = |what: &str, actual: usize, limit: usize| {
        Err(wrong("--peer", format!("{actual} {what} were given; the limit is {limit}"), "name fewer"))
    };
    if peers.len() > limits::MAX_WANTED_PEERS {
        return too_many("peers", peers.len(), limits::MAX_WANTED_PEERS);
    }
    match peers.iter().find(|peer| peer.addresses.len() > limits::MAX_PEER_ADDRESSES) {
        Some(peer) => too_many("addresses of one peer", peer.addresses.len(), limits::MAX_PEER_ADDRESSES),
        None => Ok(peers),
    }
}

fn peer(text: &str) -> Result<(iroh::EndpointId, String), BadFlag> {
    let example = "write endpoint_id@host:port, or endpoint_id@https://relay, as the other node logs it at start; its \
                   endpoint id is also what its GetStatus shows as endpoint_addr";
    let bad = |detail: &str| wrong("--peer", format!("{} {detail}", shown(text)), example);
    let (id, address) = text.split_once('@').ok_or_else(|| bad("has no @ between endpoint id and address"))?;
    if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad("does not begin with an endpoint id, which is 64 hex digits"));
    }
    let id = id.parse().map_err(|_| bad("begins with 64 hex digits that are no ed25519 public key"))?;
    if address.contains("://") {
        let relay = relay_url::parse(address);
        let relay = relay.map_err(|e| bad(&format!("has no good URL of a relay after the @: {e}")))?;
        return Ok((id, relay.to_string()));
    }
    check_host_port(address).map_err(|detail| bad(&format!("has no good address after the @: {detail}")))?;
    if address.ends_with(":0") {
        return Err(bad("has no good address after the @: nobody can be reached at port 0"));
    }
    Ok((id, address.into()))
}
