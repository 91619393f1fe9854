//! The command line of `peat-node`: what may be said, and what each thing said means.
//!
//! clap only splits the words; every value is parsed here, so that all mistakes are told at once, each
//! with what was given, what is wrong and what would be right. A secret is never repeated.

mod access;
mod agent;
mod discovery;
mod limits;
mod parse;
mod relay;
#[cfg(test)]
mod tests;

pub(crate) use parse::{shown, store_key, wrong as example};

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::{ClientLimits, Discovery, Formation, PeerAddress, Relays, Timing, Topology, WatchedAgent};
use crate::api::Listen;
use crate::api::access::AccessSettings;
use crate::api::access::tokens::NewToken;
use crate::core::engine::Traffic;
use crate::ops::cli::{Ask, Upkeep, ask, token, upkeep};
use crate::store::StoreKey;

const EXAMPLES: &str = "\
Examples:
  A node for the application on this machine, data in ./data:
    peat-node --listen tcp://127.0.0.1:50051 --data-dir ./data

  Two nodes of one formation; the second dials the first, which logs its --peer value at start:
    export PEAT_NODE_SHARED_KEY=$(head -c 32 /dev/urandom | base64)
    peat-node --data-dir ./a --app-id fleet --iroh-udp-port 7777
    peat-node --data-dir ./b --app-id fleet --listen tcp://127.0.0.1:50052 \\
      --peer ENDPOINT_ID@127.0.0.1:7777

  Nodes behind address translators, with a relay of your own; one is enough to find the others:
    peat-node --app-id fleet --discovery-mode gossip --relay https://relay.fleet.example \\
      --peer ENDPOINT_ID@https://relay.fleet.example

  Nodes that find each other on the local network, whatever their addresses are:
    peat-node --data-dir ./c --app-id fleet --discovery-mode mdns

  Nodes behind one name, all with the same mesh port, such as the pods of a headless service:
    peat-node --app-id fleet --iroh-udp-port 7777 \\
      --discovery-mode dns --discovery-service peat-mesh.fleet.svc.cluster.local.

  Ask a running node how it is, how its peers are, and how far they are behind:
    peat-node status --api tcp://127.0.0.1:50051
    peat-node peers
    peat-node lag --max-seconds 30 --json

  The same by hand:
    curl -H 'content-type: application/json' -d '{}' \\
      http://127.0.0.1:50051/peat.sidecar.v1.PeatSidecar/GetStatus

Environment:
  Every flag can be given by the variable named beside it; an empty variable counts as unset, and
  the flag wins. RUST_LOG sets what is logged (default: info), NO_COLOR switches colours off.

Exit codes:
  0  stopped cleanly by SIGTERM or SIGINT, with everything acknowledged durable
  1  could not start, or was told twice to stop
  2  a flag or variable is wrong
  The commands have codes of their own: see 'peat-node status --help'.";

/// Keeps JSON documents, serves them to the application beside it, and synchronises them with its peers.
///
/// One port serves gRPC, gRPC-Web and Connect (plain HTTP with JSON). Let only the application reach it, or ask
/// for certificates or tokens. Peers are reached over QUIC (UDP); there is no central server.
#[derive(Parser)]
#[command(name = "peat-node", version, after_long_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Flags {
    /// Without one, the node runs.
    #[command(subcommand)]
    command: Option<Commands>,

    /// Where the API listens: tcp://host:port or unix:///path
    #[arg(long, env = "PEAT_NODE_LISTEN", value_name = "URL", default_value = "tcp://0.0.0.0:50051")]
    #[arg(help_heading = "This node")]
    listen: String,

    /// Mode of the Unix socket that the API listens on, in octal: who may connect [default: 0660]
    #[arg(long, env = "PEAT_NODE_LISTEN_MODE", value_name = "MODE", help_heading = "Access to the API")]
    listen_mode: Option<String>,

    /// Certificate of the API's port, PEM file, with those of intermediate authorities after it: calls must be with TLS then.
    /// Read again when it changes, as the other files here
    #[arg(long, env = "PEAT_NODE_TLS_CERT", value_name = "FILE", help_heading = "Access to the API")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    tls_cert: Option<OsString>,

    /// Key of that certificate, PEM file
    #[arg(long, env = "PEAT_NODE_TLS_KEY", value_name = "FILE", help_heading = "Access to the API")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    tls_key: Option<OsString>,

    /// Authority that the certificates of clients must come from, PEM file; whoever has none is refused
    #[arg(long, env = "PEAT_NODE_TLS_CLIENT_CA", value_name = "FILE", help_heading = "Access to the API")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    tls_client_ca: Option<OsString>,

    /// Tokens, of which every call must have one: a file with a JSON object per line, made with 'peat-node token new'
    #[arg(long, env = "PEAT_NODE_TOKENS", value_name = "FILE", help_heading = "Access to the API")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    tokens: Option<OsString>,

    /// Origins whose web pages may call the API from a browser, with commas: scheme://host[:port], or * with --tokens
    #[arg(long, env = "PEAT_NODE_ALLOW_ORIGIN", value_name = "ORIGINS", help_heading = "Access to the API")]
    allow_origin: Option<String>,

    /// Directory of the store and of the node's key; created if missing
    #[arg(long, env = "PEAT_NODE_DATA_DIR", value_name = "DIR", default_value = "/data/peat-node")]
    #[arg(value_parser = clap::builder::ValueParser::os_string(), help_heading = "This node")]
    data_dir: OsString,

    /// Where /metrics, /healthz and /readyz are served, to everyone who gets there: tcp://host:port,
    /// unix:///path or none
    #[arg(long, env = "PEAT_NODE_METRICS_LISTEN", value_name = "URL", default_value = "none")]
    #[arg(help_heading = "This node")]
    metrics_listen: String,

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

    /// The secret before a change-over, accepted too until every node has the new one
    #[arg(long, env = "PEAT_NODE_SHARED_KEY_PREVIOUS", value_name = "BASE64", help_heading = "Formation")]
    shared_key_previous: Option<String>,

    /// Only these endpoint ids may take part: a file with one per line, read again when it changes
    #[arg(long, env = "PEAT_NODE_ALLOW_LIST", value_name = "FILE", help_heading = "Formation")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    allow_list: Option<OsString>,

    /// Peers to dial, with commas or repeated: endpoint_id@host:port, or endpoint_id@URL of the relay that the peer is
    /// reached through. One id may have several addresses
    #[arg(long, env = "PEAT_NODE_PEERS", value_name = "PEER", value_delimiter = ',', help_heading = "Mesh")]
    peer: Vec<String>,

    /// UDP port of the mesh [default: chosen by the system]
    #[arg(long, env = "PEAT_NODE_IROH_UDP_PORT", value_name = "PORT", help_heading = "Mesh")]
    #[arg(allow_negative_numbers = true)]
    iroh_udp_port: Option<String>,

    /// Address of this machine that the mesh listens on [default: all, IPv4 and IPv6]
    #[arg(long, env = "PEAT_NODE_MESH_ADDRESS", value_name = "IP", help_heading = "Mesh")]
    mesh_address: Option<String>,

    /// Whether to synchronise from the start: true or false
    #[arg(long, env = "PEAT_NODE_AUTO_SYNC", value_name = "BOOL", default_value = "true", help_heading = "Mesh")]
    auto_sync: String,

    /// Seconds between two packets on a connection on which nothing happens. More saves a metered link (at 3 about 110 kB
    /// an hour and peer), and a lost peer is noticed only after three of them. Give it to both ends
    #[arg(long, env = "PEAT_NODE_KEEP_ALIVE", value_name = "SECONDS", default_value = "3")]
    #[arg(allow_negative_numbers = true, help_heading = "Mesh")]
    keep_alive: String,

    /// What to ask peers for: collection or collection/id-prefix, with commas or repeated [default: everything]
    #[arg(long, env = "PEAT_NODE_INTEREST", value_name = "SELECTOR", value_delimiter = ',', help_heading = "Traffic")]
    interest: Vec<String>,

    /// Class of a collection, with commas or repeated: collection=command|state|telemetry|blob. Unless given:
    /// commands=command, tracks=telemetry, and state for all others
    #[arg(long, env = "PEAT_NODE_CLASSES", value_name = "COLLECTION=CLASS", value_delimiter = ',')]
    #[arg(help_heading = "Traffic")]
    class: Vec<String>,

    /// History that a collection keeps, and what a delete means in it, with commas or repeated:
    /// collection=full|latest|window:CHANGES|window:AGE|window:CHANGES:AGE (an age is 90s, 30m, 12h or 7d), then +keep,
    /// +immutable or +tombstone:SECONDS. Holds where nobody set a policy by SetCollection. Unless given: full+keep
    #[arg(long, env = "PEAT_NODE_HISTORY", value_name = "COLLECTION=POLICY", value_delimiter = ',')]
    #[arg(help_heading = "Traffic")]
    history: Vec<String>,

    /// Whom to have sessions with among those found: auto (all of up to 8 nodes, beyond that a few neighbours), mesh
    /// (all), hub (other hubs), spoke (two hubs). Peers given with --peer always count
    #[arg(long, env = "PEAT_NODE_TOPOLOGY", value_name = "KIND", default_value = "auto", help_heading = "Mesh")]
    topology: String,

    /// Where others find this node, with commas or repeated: host:port [default: the addresses of its interfaces]
    #[arg(long, env = "PEAT_NODE_ADVERTISE", value_name = "ADDRESS", value_delimiter = ',', help_heading = "Mesh")]
    advertise: Vec<String>,

    /// Seconds between two attempts to reach a peer that does not answer; more saves a metered link up to 3.7 kB/s
    /// a peer, and delays recovery by as much
    #[arg(long, env = "PEAT_NODE_DIAL_INTERVAL", value_name = "SECONDS", default_value = "1.3")]
    #[arg(allow_negative_numbers = true, help_heading = "Mesh")]
    dial_interval: String,

    /// Relays of your own, with commas or repeated, for peers behind address translators: https://host[:port]. Give the
    /// same to all nodes [default: none; then no relay is ever contacted]
    #[arg(long, env = "PEAT_NODE_RELAY", value_name = "URL", value_delimiter = ',', help_heading = "Relays")]
    relay: Vec<String>,

    /// Authority that the relays' certificates must come from, PEM file [default: those of the public web]
    #[arg(long, env = "PEAT_NODE_RELAY_CA", value_name = "FILE", help_heading = "Relays")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    relay_ca: Option<OsString>,

    /// Token that the relays ask for. Prefer the variable: others can read a command line
    #[arg(long, env = "PEAT_NODE_RELAY_TOKEN", value_name = "TOKEN", help_heading = "Relays")]
    relay_token: Option<String>,

    /// How peers are found beyond --peer, with commas: none, mdns (the local network), dns (a name), gossip (whom
    /// connected peers know)
    #[arg(long, env = "PEAT_NODE_DISCOVERY_MODE", value_name = "MODES", default_value = "none")]
    #[arg(value_delimiter = ',', help_heading = "Discovery")]
    discovery_mode: Vec<String>,

    /// For dns: the name that all peers are behind, such as a headless service: name or name:port
    /// [default port: that of --iroh-udp-port]
    #[arg(long, env = "PEAT_NODE_DISCOVERY_SERVICE", value_name = "NAME", help_heading = "Discovery")]
    discovery_service: Option<String>,

    /// For dns: seconds between two look-ups
    #[arg(long, env = "PEAT_NODE_DISCOVERY_INTERVAL", value_name = "SECONDS", default_value = "30")]
    #[arg(allow_negative_numbers = true, help_heading = "Discovery")]
    discovery_interval: String,

    /// For dns: the server to ask, IP or IP:port [default: as the system does]
    #[arg(long, env = "PEAT_NODE_DISCOVERY_NAMESERVER", value_name = "SERVER", help_heading = "Discovery")]
    discovery_nameserver: Option<String>,

    /// Largest document that clients of this node may write, in bytes. What peers send is taken all the same
    #[arg(long, env = "PEAT_NODE_MAX_DOCUMENT_BYTES", value_name = "BYTES", default_value = "1048576")]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    max_document_bytes: String,

    /// Deepest nesting of objects and arrays in it
    #[arg(long, env = "PEAT_NODE_MAX_DOCUMENT_DEPTH", value_name = "LEVELS", default_value = "64")]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    max_document_depth: String,

    /// Largest request to the API, in bytes
    #[arg(long, env = "PEAT_NODE_MAX_REQUEST_BYTES", value_name = "BYTES", default_value = "4194304")]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    max_request_bytes: String,

    /// Most documents that one request may write
    #[arg(long, env = "PEAT_NODE_MAX_PUT_DOCUMENTS", value_name = "NUMBER", default_value = "1000")]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    max_put_documents: String,

    /// Key that the store is encrypted with: 32 bytes in base64, or file:PATH of a file with them. A store that is new is made
    /// encrypted; one that is not is encrypted with 'peat-node rotate-key'
    #[arg(long, env = "PEAT_NODE_ENCRYPTION_KEY", value_name = "KEY", help_heading = "Encryption at rest")]
    encryption_key: Option<String>,

    /// UDS Remote Agent to watch: http://host:port, https://host:port, or host:port, which is with TLS if an authority is
    /// given. Its status and packages become documents
    #[arg(long, env = "PEAT_NODE_AGENT_ADDR", value_name = "ADDRESS")]
    #[arg(help_heading = "Watched agent")]
    agent_addr: Option<String>,

    /// Seconds between two polls of the agent; only what has changed is written
    #[arg(long, env = "PEAT_NODE_AGENT_POLL_INTERVAL", value_name = "SECONDS", default_value = "10")]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Watched agent")]
    agent_poll_interval: String,

    /// Certificate that the agent is shown, if it asks for one: PEM file, read again at every dial
    #[arg(long, env = "PEAT_NODE_AGENT_TLS_CERT", value_name = "FILE")]
    #[arg(help_heading = "Watched agent")]
    agent_tls_cert: Option<PathBuf>,

    /// Key of that certificate, PEM file
    #[arg(long, env = "PEAT_NODE_AGENT_TLS_KEY", value_name = "FILE")]
    #[arg(help_heading = "Watched agent")]
    agent_tls_key: Option<PathBuf>,

    /// Authority that the agent's certificate must come from, PEM file; needed for https
    #[arg(long, env = "PEAT_NODE_AGENT_TLS_CA", value_name = "FILE")]
    #[arg(help_heading = "Watched agent")]
    agent_tls_ca: Option<PathBuf>,
}

/// What may be said instead of flags.
#[derive(Subcommand)]
enum Commands {
    #[command(flatten)]
    Ask(ask::Words),
    #[command(flatten)]
    Upkeep(upkeep::Words),
    /// Tokens for the API
    Token {
        #[command(subcommand)]
        words: token::Words,
    },
}

/// What the binary was told, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API listens.
    pub listen: Listen,
    /// Who may use it.
    pub access: AccessSettings,
    /// Where metrics and probes are served; `None`: nowhere.
    pub metrics_listen: Option<Listen>,
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// What the store is encrypted with, if it is.
    pub encryption_key: Option<StoreKey>,
    /// Name of the node, if one was given.
    pub node_id: Option<String>,
    /// Who belongs together.
    pub formation: Formation,
    /// File with the endpoint ids that may take part, if not everyone who has the key may.
    pub allow_list: Option<PathBuf>,
    /// Peers to dial.
    pub peers: Vec<PeerAddress>,
    /// Address that the mesh listens on; `None`: all.
    pub mesh_address: Option<IpAddr>,
    /// UDP port of the mesh; 0: the system chooses.
    pub mesh_port: u16,
    /// Whether to synchronise from the start.
    pub auto_sync: bool,
    /// What the node carries, and in which order.
    pub traffic: Traffic,
    /// How peers are found that nobody named.
    pub discovery: Discovery,
    /// Whom to have sessions with among those.
    pub topology: Topology,
    /// Where others find this node.
    pub advertise: Vec<String>,
    /// Relays that may be used.
    pub relays: Relays,
    /// File with the authorities of their certificates, if they are not those of the public web.
    pub relay_ca: Option<PathBuf>,
    /// Timers of the mesh.
    pub timing: Timing,
    /// The agent to watch.
    pub agent: Option<WatchedAgent>,
    /// What clients may ask.
    pub limits: ClientLimits,
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
        let variable = variable(self.flag).map_or_else(String::new, |name| format!(" ({name})"));
        write!(f, "{}{variable}: {}\n    {}", self.flag, self.problem, self.remedy)
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

/// What a command line asks for.
#[derive(Debug, Clone)]
pub enum Asked {
    /// To run a node.
    Serve(Box<Settings>),
    /// To ask a running one.
    Question(Ask),
    /// To do something to a store.
    Upkeep(Upkeep),
    /// To make a token.
    Token(NewToken),
}

/// Reads a command line, whose first word is the name of the program, and the environment.
pub fn read<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Asked, FlagsError> {
    let matches = command().try_get_matches_from(words).map_err(FlagsError::Clap)?;
    let mut flags = Flags::from_arg_matches(&matches).map_err(FlagsError::Clap)?;
    match flags.command.take() {
        None => parse::settings(flags).map(|settings| Asked::Serve(Box::new(settings))).map_err(FlagsError::Bad),
        // The variables of a node may be set, and wrong, where one is asked.
        Some(Commands::Ask(words)) => ask::parse(words).map(Asked::Question).map_err(FlagsError::Bad),
        Some(Commands::Upkeep(words)) => upkeep::parse(words).map(Asked::Upkeep).map_err(FlagsError::Bad),
        Some(Commands::Token { words }) => token::parse(words).map(Asked::Token).map_err(FlagsError::Bad),
    }
}

/// clap's view of the flags, with the variables that are empty taken for unset and none shown by value:
/// some are secret, and help must not depend on where it is read.
fn command() -> clap::Command {
    let mut command = Flags::command().mut_args(without_empty_variable);
    let questions: Vec<String> = command.get_subcommands().map(|question| question.get_name().to_owned()).collect();
    for question in questions {
        command = command.mut_subcommand(question, |question| question.mut_args(without_empty_variable));
    }
    command
}

fn without_empty_variable(arg: clap::Arg) -> clap::Arg {
    let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let arg = arg.hide_env_values(true);
    if empty { arg.env(None::<&str>) } else { arg }
}

/// The environment variable of a flag, if it has one.
fn variable(flag: &str) -> Option<String> {
    let command = Flags::command();
    let everywhere = std::iter::once(&command).chain(command.get_subcommands()).flat_map(clap::Command::get_arguments);
    let arg = everywhere.into_iter().find(|arg| arg.get_long() == Some(flag.trim_start_matches('-')))?;
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}
