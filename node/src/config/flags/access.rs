//! The flags that say who may use the API. They are checked together: one without the other is a mistake.

use std::ffi::OsString;

use super::parse::{shown, wrong};
use super::{BadFlag, Flags};
use crate::api::Listen;
use crate::api::access::AccessSettings;
use crate::api::access::file::Named;
use crate::api::access::pages::Origins;
use crate::api::access::tls::TlsFiles;

const MODE: &str = "--listen-mode";
const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";
const CLIENT_CA: &str = "--tls-client-ca";
const TOKENS: &str = "--tokens";
const ORIGIN: &str = "--allow-origin";

/// The locks of the API's port. `listen`: `None` if it is wrong itself, which is told already.
pub(super) fn access(flags: &Flags, listen: Option<&Listen>) -> Result<AccessSettings, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let is_tcp = listen.map(|listen| matches!(listen, Listen::Tcp(_)));
    let socket_mode = flags.listen_mode.as_deref().and_then(|given| {
        if is_tcp == Some(true) {
            let problem = "it was given, but --listen is no Unix socket".into();
            bad.push(wrong(MODE, problem, "leave it out, or write for example: --listen unix:///run/peat/peat.sock"));
        }
        mode(given).map_err(|flag| bad.push(flag)).ok()
    });
    let mut file = |flag, given: &Option<OsString>| {
        let given = given.as_ref()?;
        if given.is_empty() {
            bad.push(wrong(flag, "it is empty".into(), format!("write for example: {flag} ./file")));
        }
        Some(Named { flag, path: given.into() })
    };
    let (cert, key) = (file(CERT, &flags.tls_cert), file(KEY, &flags.tls_key));
    let (client_ca, tokens) = (file(CLIENT_CA, &flags.tls_client_ca), file(TOKENS, &flags.tokens));
    if is_tcp == Some(false) {
        for given in [&cert, &key, &client_ca].into_iter().flatten() {
            let remedy = "leave it out: a Unix socket does not leave the machine; its mode says who may connect";
            bad.push(wrong(given.flag, "it was given, but --listen is a Unix socket".into(), remedy));
        }
    }
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key, client_ca }),
        (None, None) => {
            if client_ca.is_some() {
                let problem = format!("it was given, but there is no {CERT}");
                bad.push(wrong(CLIENT_CA, problem, format!("give {CERT} and {KEY} too: who the node is comes first")));
            }
            None
        }
        (Some(_), None) => {
            bad.push(wrong(KEY, format!("it is missing: {CERT} is of no use without its key"), "give both or none"));
            None
        }
        (None, Some(_)) => {
            let problem = format!("it is missing: {KEY} is of no use without its certificate");
            bad.push(wrong(CERT, problem, "give both or none"));
            None
        }
    };
    let origins = flags.allow_origin.as_deref().and_then(|given| match given.parse() {
        Ok(Origins::All) if tokens.is_none() => {
            let problem =
                format!("* would let every page that somebody here opens use the node, as there are no {TOKENS}");
            bad.push(wrong(ORIGIN, problem, format!("name the origins of your pages, or give {TOKENS} too")));
            None
        }
        Ok(origins) => Some(origins),
        Err(error) => {
            let remedy = "write for example: --allow-origin https://console.fleet.example,http://localhost:3000";
            bad.push(wrong(ORIGIN, error.to_string(), remedy));
            None
        }
    });
    if bad.is_empty() { Ok(AccessSettings { socket_mode, tls, tokens, origins }) } else { Err(bad) }
}

/// Octal, as chmod has it. An owner that may not connect would be a node that nobody can call.
fn mode(given: &str) -> Result<u32, BadFlag> {
    let digits = given.strip_prefix("0o").unwrap_or(given);
    let octal = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| {
        let problem =
            format!("{} is not an octal mode from 0600 to 0777 that lets the owner read and write", shown(given));
        wrong(MODE, problem, "write for example: --listen-mode 0600, or 0660 for the group too")
    })
}
