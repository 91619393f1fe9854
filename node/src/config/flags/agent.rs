//! The flags of the watched agent. They are checked together: one without the other is a mistake.

use std::path::PathBuf;
use std::time::Duration;

use super::parse::{seconds, shown, wrong};
use super::{BadFlag, Flags};
use crate::api::check_host_port;
use crate::config::WatchedAgent;
use crate::limits;
use crate::watcher::http::AgentAddress;
use crate::watcher::tls::{Identity, TlsFiles};

const ADDRESS: &str = "--agent-addr";
const INTERVAL: &str = "--agent-poll-interval";
const CERT: &str = "--agent-tls-cert";
const KEY: &str = "--agent-tls-key";
const CA: &str = "--agent-tls-ca";
const ADDRESS_EXAMPLE: &str =
    "write for example: --agent-addr http://127.0.0.1:8080 or --agent-addr https://agent.example:8443";

/// The agent to watch, if any.
pub(super) fn agent(flags: &Flags) -> Result<Option<WatchedAgent>, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let mut keep = |flag: BadFlag| bad.push(flag);
    let interval = interval(&flags.agent_poll_interval).map_err(&mut keep).unwrap_or(limits::AGENT_POLL_INTERVAL);
    let files = [(CERT, &flags.agent_tls_cert), (KEY, &flags.agent_tls_key), (CA, &flags.agent_tls_ca)];
    let given: Vec<_> = files.into_iter().filter(|(_, file)| file.is_some()).map(|(flag, _)| flag).collect();
    let Some(address) = &flags.agent_addr else {
        for flag in given {
            keep(wrong(flag, format!("it was given, but there is no {ADDRESS}"), "leave it out, or name the agent"));
        }
        return if bad.is_empty() { Ok(None) } else { Err(bad) };
    };
    let address = Address::parse(address, !given.is_empty()).map_err(&mut keep).ok();
    let identity = match (&flags.agent_tls_cert, &flags.agent_tls_key) {
        (Some(cert), Some(key)) => Some(Identity { cert: cert.clone(), key: key.clone() }),
        (None, None) => None,
        (Some(_), None) => {
            keep(wrong(KEY, format!("it is missing: {CERT} is of no use without its key"), "give both or none"));
            None
        }
        (None, Some(_)) => {
            keep(wrong(
                CERT,
                format!("it is missing: {KEY} is of no use without its certificate"),
                "give both or none",
            ));
            None
        }
    };
    let tls = match &address {
        Some(Address { secure: false, .. }) => {
            for flag in given {
                let problem = format!("it was given, but {ADDRESS} is without TLS");
                keep(wrong(flag, problem, format!("leave it out, or write https:// in {ADDRESS}")));
            }
            None
        }
        Some(Address { secure: true, .. }) => tls(flags.agent_tls_ca.clone(), identity).map_err(&mut keep).ok(),
        None => None,
    };
    match address {
        Some(Address { host, port, .. }) if bad.is_empty() => {
            Ok(Some(WatchedAgent { address: AgentAddress { host, port, tls }, interval }))
        }
        _ => Err(bad),
    }
}

/// No authority by default: an agent's certificate is hardly ever from a public one, and those must not vouch for it.
fn tls(ca: Option<PathBuf>, identity: Option<Identity>) -> Result<TlsFiles, BadFlag> {
    let Some(ca) = ca else {
        let remedy = "name the authority that issued the agent's certificate; for a public one its bundle, such as \
                      /etc/ssl/certs/ca-certificates.crt";
        return Err(wrong(CA, format!("it is missing: {ADDRESS} is with TLS"), remedy));
    };
    Ok(TlsFiles { ca, identity })
}

fn interval(given: &str) -> Result<Duration, BadFlag> {
    let bounds = limits::AGENT_POLL_INTERVALS;
    let interval = Duration::from_secs(seconds(INTERVAL, given)?);
    if bounds.contains(&interval) {
        return Ok(interval);
    }
    let (least, most) = (bounds.start().as_secs(), bounds.end().as_secs());
    let problem = format!("{} is not a number of seconds from {least} to {most}", shown(given));
    Err(wrong(INTERVAL, problem, format!("write for example: {INTERVAL} 10")))
}

/// Where the agent is.
struct Address {
    host: String,
    port: u16,
    secure: bool,
}

impl Address {
    /// `http://host:port`, `https://host:port`, or `host:port`, which is with TLS if files for it are given.
    fn parse(given: &str, has_files: bool) -> Result<Self, BadFlag> {
        if given.contains('@') {
            // Not repeated: it may be a password.
            let problem =
                "there is an @ in it, and the agent takes no user and password (not shown: it may be a secret)";
            return Err(wrong(ADDRESS, problem.into(), ADDRESS_EXAMPLE));
        }
        let bad = |detail: &str| wrong(ADDRESS, format!("{} {detail}", shown(given)), ADDRESS_EXAMPLE);
        let (scheme, rest) = match given.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, given),
        };
        let secure = match scheme.as_deref() {
            Some("http") => false,
            Some("https") => true,
            None => has_files,
            Some(_) => return Err(bad("begins with neither http:// nor https://")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(bad("has a path: the calls of the agent have paths of their own"));
        }
        check_host_port(authority).map_err(|detail| bad(&format!("is no address: {detail}")))?;
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| bad("has no port from 1 to 65535"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.into(), port, secure })
    }
}
