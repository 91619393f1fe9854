//! The command line of `peat-node`: what may be said, and what each thing said means.
//!
//! clap only splits the words; every value is parsed here, so that all mistakes are told at once, each
//! with what was given, what is wrong and what would be right. A secret is never repeated.

mod parse;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::{Formation, PeerAddress};
use crate::api::Listen;
use crate::core::engine::Traffic;

const EXAMPLES: &str = "\
Examples:
  A node for the application on this machine, data in ./data:
    peat-node --listen tcp://127.0.0.1:50051 --data-dir ./data

  Two nodes of one formation; the second dials the first, which logs its --peer value at start:
    export PEAT_NODE_SHARED_KEY=$(head -c 32 /dev/urandom | base64)
    peat-node --data-dir ./a --app-id fleet --iroh-udp-port 7777
    peat-node --data-dir ./b --app-id fleet --listen tcp://127.0.0.1:50052 \\
      --peer ENDPOINT_ID@127.0.0.1:7777

  Ask a node how it is:
    curl -H 'content-type: application/json' -d '{}' \\
      http://127.0.0.1:50051/peat.sidecar.v1.PeatSidecar/GetStatus

Environment:
  Every flag can be given by the variable named beside it; an empty variable counts as unset, and
  the flag wins. RUST_LOG sets what is logged (default: info), NO_COLOR switches colours off.

Exit codes:
  0  stopped cleanly by SIGTERM or SIGINT, with everything acknowledged durable
  1  could not start, or was told twice to stop
  2  a flag or variable is wrong";

/// Keeps JSON documents, serves them to the application beside it, and synchronises them with its peers.
///
/// One port serves gRPC, gRPC-Web and Connect (plain HTTP with JSON), without authentication: let only
/// the application reach it. Peers are reached over QUIC (UDP); there is no central server.
#[derive(Parser)]
#[command(name = "peat-node", version, after_long_help = EXAMPLES, max_term_width = 100)]
struct Flags {
    /// Where the API listens: tcp://host:port or unix:///path
    #[arg(long, env = "PEAT_NODE_LISTEN", value_name = "URL", default_value = "tcp://0.0.0.0:50051")]
    #[arg(help_heading = "This node")]
    listen: String,

    /// Directory of the store and of the node's key; created if missing
    #[arg(long, env = "PEAT_NODE_DATA_DIR", value_name = "DIR", default_value = "/data/peat-node")]
    #[arg(value_parser = clap::builder::ValueParser::os_string(), help_heading = "This node")]
    data_dir: OsString,

    /// Name of the node for people [default: a random UUID, then kept in the data directory]
    #[arg(long, env = "PEAT_NODE_NODE_ID", value_name = "NAME", help_heading = "This node")]
    node_id: Option<String>,

    /// Formation: only nodes with the same app-id and shared key exchange documents
    #[arg(long, env = "PEAT_NODE_APP_ID", value_name = "NAME", default_value = "peat-default")]
    #[arg(help_heading = "Formation")]
    app_id: String,

    /// Secret of the formation: 32 bytes in base64. Prefer the variable: others can read a command line
    #[arg(long, env = "PEAT_NODE_SHARED_KEY", value_name = "BASE64", help_heading = "Formation")]
    shared_key: Option<String>,

    /// Peers to dial, with commas or repeated: endpoint_id@host:port. One id may have several addresses
    #[arg(long, env = "PEAT_NODE_PEERS", value_name = "PEER", value_delimiter = ',', help_heading = "Mesh")]
    peer: Vec<String>,

    /// UDP port of the mesh [default: chosen by the system]
    #[arg(long, env = "PEAT_NODE_IROH_UDP_PORT", value_name = "PORT", help_heading = "Mesh")]
    #[arg(allow_negative_numbers = true)]
    iroh_udp_port: Option<String>,

    /// Whether to synchronise from the start: true or false
    #[arg(long, env = "PEAT_NODE_AUTO_SYNC", value_name = "BOOL", default_value = "true", help_heading = "Mesh")]
    auto_sync: String,

    /// What to ask peers for: collection or collection/id-prefix, with commas or repeated [default: everything]
    #[arg(long, env = "PEAT_NODE_INTEREST", value_name = "SELECTOR", value_delimiter = ',', help_heading = "Traffic")]
    interest: Vec<String>,

    /// Class of a collection, with commas or repeated: collection=command|state|telemetry|blob. Unless given:
    /// commands=command, tracks=telemetry, and state for all others
    #[arg(long, env = "PEAT_NODE_CLASSES", value_name = "COLLECTION=CLASS", value_delimiter = ',')]
    #[arg(help_heading = "Traffic")]
    class: Vec<String>,

    /// How peers are found beyond --peer: none, mdns, dns, gossip. Only none in this version
    #[arg(long, env = "PEAT_NODE_DISCOVERY_MODE", value_name = "MODES", default_value = "none")]
    #[arg(value_delimiter = ',', help_heading = "Discovery (not available in this version)")]
    discovery_mode: Vec<String>,

    /// DNS name to look peers up under
    #[arg(long, env = "PEAT_NODE_DISCOVERY_SERVICE", value_name = "NAME")]
    #[arg(help_heading = "Discovery (not available in this version)")]
    discovery_service: Option<String>,

    /// Seconds between two look-ups
    #[arg(long, env = "PEAT_NODE_DISCOVERY_INTERVAL", value_name = "SECONDS", default_value = "30")]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Discovery (not available in this version)")]
    discovery_interval: String,

    /// Encryption at rest: 32 bytes in base64
    #[arg(long, env = "PEAT_NODE_ENCRYPTION_KEY", value_name = "BASE64")]
    #[arg(help_heading = "Encryption at rest (not available in this version)")]
    encryption_key: Option<String>,

    /// Remote agent to watch: host:port
    #[arg(long, env = "PEAT_NODE_AGENT_ADDR", value_name = "ADDRESS")]
    #[arg(help_heading = "Watched agent (not available in this version)")]
    agent_addr: Option<String>,

    /// Seconds between two polls of the agent
    #[arg(long, env = "PEAT_NODE_AGENT_POLL_INTERVAL", value_name = "SECONDS", default_value = "10")]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Watched agent (not available in this version)")]
    agent_poll_interval: String,

    /// Client certificate for the agent, PEM file
    #[arg(long, env = "PEAT_NODE_AGENT_TLS_CERT", value_name = "FILE")]
    #[arg(help_heading = "Watched agent (not available in this version)")]
    agent_tls_cert: Option<PathBuf>,

    /// Key of the client certificate, PEM file
    #[arg(long, env = "PEAT_NODE_AGENT_TLS_KEY", value_name = "FILE")]
    #[arg(help_heading = "Watched agent (not available in this version)")]
    agent_tls_key: Option<PathBuf>,

    /// Authority that the agent's certificate must come from, PEM file
    #[arg(long, env = "PEAT_NODE_AGENT_TLS_CA", value_name = "FILE")]
    #[arg(help_heading = "Watched agent (not available in this version)")]
    agent_tls_ca: Option<PathBuf>,
}

/// What the binary was told, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API listens.
    pub listen: Listen,
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Name of the node, if one was given.
    pub node_id: Option<String>,
    /// Who belongs together.
    pub formation: Formation,
    /// Peers to dial.
    pub peers: Vec<PeerAddress>,
    /// UDP port of the mesh; 0: the system chooses.
    pub mesh_port: u16,
    /// Whether to synchronise from the start.
    pub auto_sync: bool,
    /// What the node carries, and in which order.
    pub traffic: Traffic,
}

/// One flag that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFlag {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// What was given and what is wrong with it; never a secret.
    pub problem: String,
    /// What to write instead, or do.
    pub remedy: String,
}

impl fmt::Display for BadFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}\n    {}", self.flag, variable(self.flag), self.problem, self.remedy)
    }
}

/// Why there are no settings.
#[derive(Debug)]
pub enum FlagsError {
    /// clap's answer: an unknown flag, or the text of `--help` or `--version`.
    Clap(clap::Error),
    /// Values that cannot be used, all of them.
    Bad(Vec<BadFlag>),
}

impl fmt::Display for FlagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clap(error) => error.fmt(f),
            Self::Bad(flags) => {
                for flag in flags {
                    writeln!(f, "error: {flag}")?;
                }
                write!(f, "\nFor every flag with examples, try 'peat-node --help'.")
            }
        }
    }
}

/// Reads a command line, whose first word is the name of the program, and the environment.
pub fn read<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Settings, FlagsError> {
    let matches = command().try_get_matches_from(words).map_err(FlagsError::Clap)?;
    let flags = Flags::from_arg_matches(&matches).map_err(FlagsError::Clap)?;
    parse::settings(flags).map_err(FlagsError::Bad)
}

/// clap's view of the flags, with the variables that are empty taken for unset and none shown by value:
/// some are secret, and help must not depend on where it is read.
fn command() -> clap::Command {
    Flags::command().mut_args(|arg| {
        let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        let arg = arg.hide_env_values(true);
        if empty { arg.env(None::<&str>) } else { arg }
    })
}

/// The environment variable of a flag.
fn variable(flag: &str) -> String {
    Flags::command()
        .get_arguments()
        .find(|arg| arg.get_long() == Some(flag.trim_start_matches('-')))
        .and_then(|arg| arg.get_env())
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
