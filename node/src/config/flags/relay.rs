//! The flags of relays. They are checked together: one without the other is a mistake.

use std::path::PathBuf;

use iroh::RelayUrl;

use super::parse::{shown, words, wrong};
use super::{BadFlag, Flags};
use crate::config::{PeerAddress, Relays};
use crate::core::relay_url::{self, is_relay_url};
use crate::limits;

const RELAY: &str = "--relay";
const CA: &str = "--relay-ca";
const TOKEN: &str = "--relay-token";
const EXAMPLE: &str = "write for example: --relay https://relay.fleet.example";

/// The relays, and the file with the authorities of their certificates.
pub(super) fn relays(flags: &Flags) -> Result<(Relays, Option<PathBuf>), Vec<BadFlag>> {
    let mut bad = Vec::new();
    let urls = urls(&flags.relay).map_err(|flag| bad.push(flag)).unwrap_or_default();
    let given = words(&flags.relay).next().is_some();
    if let Some(token) = &flags.relay_token {
        bad.extend(token_problem(token, given, &urls).map(|(problem, remedy)| wrong(TOKEN, problem.into(), remedy)));
    }
    if let Some(file) = &flags.relay_ca {
        let told = shown(&file.to_string_lossy());
        if file.is_empty() {
            bad.push(wrong(CA, "it is empty".into(), "write for example: --relay-ca ./relay-ca.pem"));
        } else if !given {
            bad.push(wrong(CA, format!("{told} was given, but there is no {RELAY}"), EXAMPLE));
        } else if !urls.is_empty() && urls.iter().all(|url| url.scheme() == "http") {
            let problem = format!("{told} was given, but a relay at http:// shows no certificate");
            bad.push(wrong(CA, problem, "leave it out, or name the relay with https://"));
        }
    }
    let relays = Relays { urls, token: flags.relay_token.clone(), ..Relays::default() };
    if bad.is_empty() { Ok((relays, flags.relay_ca.clone().map(PathBuf::from))) } else { Err(bad) }
}

fn urls(given: &[String]) -> Result<Vec<RelayUrl>, BadFlag> {
    let mut urls = Vec::new();
    for text in words(given) {
        let url = relay_url::parse(text)
            .map_err(|e| wrong(RELAY, format!("{} is not the URL of a relay: {e}", shown(text)), EXAMPLE))?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    if urls.len() > limits::MAX_RELAYS {
        let problem = format!("{} relays were given; the limit is {}", urls.len(), limits::MAX_RELAYS);
        return Err(wrong(RELAY, problem, "name fewer"));
    }
    Ok(urls)
}

/// What is wrong with a token, which is never shown, and what to do.
fn token_problem(token: &str, relays_given: bool, urls: &[RelayUrl]) -> Option<(&'static str, &'static str)> {
    if !relays_given {
        Some(("a token was given, but there is no --relay", EXAMPLE))
    } else if urls.iter().any(|url| url.scheme() == "http") {
        Some(("a token would be readable on its way to a relay at http://", "name the relay with https://"))
    } else if token.len() > limits::MAX_RELAY_TOKEN_BYTES || !token.bytes().all(|b| b.is_ascii_graphic()) {
        Some((
            "it is not 1 to 4096 printable ASCII characters without spaces (not shown: it is a secret)",
            "give the token as the relay knows it",
        ))
    } else {
        None
    }
}

/// A peer behind a relay cannot be reached without one.
pub(super) fn unreachable(peers: &[PeerAddress], relays: &Relays) -> Option<BadFlag> {
    let behind = |peer: &&PeerAddress| peer.addresses.iter().any(|address| is_relay_url(address));
    let peer = peers.iter().find(behind).filter(|_| relays.is_empty())?;
    let relay = peer.addresses.iter().find(|address| is_relay_url(address))?;
    let problem = format!("a peer is named at the relay {}, but there is no {RELAY}", shown(relay));
    Some(wrong("--peer", problem, format!("write for example: {RELAY} {relay}")))
}
