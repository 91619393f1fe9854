//! The words of a question, and what they mean.

use std::time::Duration;

use clap::{Args, ColorChoice, Subcommand};

use super::credentials::{self, Credentials};
use crate::api::Listen;
use crate::config::flags::{BadFlag, example, shown};

const EXITS: &str = "\
Exit codes:
  0  the node is ready
  1  the node answered and is not ready
  2  a flag or variable is wrong
  3  nobody answered";

const PEERS_EXITS: &str = "\
States:
  in sync      a session is up, and nothing has to be sent
  behind       a session is up, and the peer lacks changes of this node
  reconciling  a session is up, and it is still being learned what differs
  away         there was a session and is none now; for a wanted peer that is dialled all the time
  never seen   there has been no session since this node started

Exit codes:
  0  every wanted peer is connected
  1  a wanted peer is not
  2  a flag or variable is wrong
  3  nobody answered";

const LAG_EXITS: &str = "\
Acknowledgements are lazy (2.5 s): a peer that has everything may show a lag of up to 5 seconds.
Of changes older than this run of the node only the time since its start is counted. A peer that
has acknowledged nothing since the start counts as behind.

Examples:
  Wait until every peer has everything:
    until peat-node lag --max-changes 0 >/dev/null; do sleep 1; done

Exit codes:
  0  every peer is within the limits
  1  a peer is not
  2  a flag or variable is wrong
  3  nobody answered";

/// The subcommands, as clap splits them.
#[derive(Subcommand)]
pub(crate) enum Words {
    /// Ask a running node how it is
    #[command(after_long_help = EXITS)]
    Status(Where),
    /// Ask a running node who its peers are and how they are reached
    #[command(after_long_help = PEERS_EXITS)]
    Peers(Where),
    /// Ask a running node how far its peers are behind
    #[command(after_long_help = LAG_EXITS)]
    Lag(LagWords),
}

/// Whom to ask and how to tell.
#[derive(Args)]
pub(crate) struct Where {
    /// Where the node's API listens: tcp://host:port or unix:///path
    #[arg(long, env = "PEAT_NODE_LISTEN", value_name = "URL", default_value = "tcp://127.0.0.1:50051")]
    api: String,

    #[command(flatten)]
    credentials: credentials::Words,

    /// Print JSON for programs instead of a table
    #[arg(long)]
    json: bool,

    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", allow_negative_numbers = true)]
    timeout: String,

    /// When to use colours; NO_COLOR switches them off too
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

#[derive(Args)]
pub(crate) struct LagWords {
    /// Seconds that a peer may be behind
    #[arg(long, value_name = "SECONDS", default_value = "10", allow_negative_numbers = true)]
    max_seconds: String,

    /// Changes that a peer may be behind [default: any number]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    max_changes: Option<String>,

    #[command(flatten)]
    place: Where,
}

/// A question to a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// Whom.
    pub api: Listen,
    /// What it is shown.
    pub credentials: Credentials,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether programs read the answer.
    pub json: bool,
    /// Whether it has colours.
    pub color: ColorChoice,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Question {
    /// How the node is.
    Status,
    /// Who its peers are.
    Peers,
    /// Whether they are within a limit.
    Lag(LagLimit),
}

/// How far a peer may be behind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LagLimit {
    /// In time.
    pub age: Duration,
    /// In changes; `None`: any number.
    pub changes: Option<u64>,
}

/// Checks every word; the error has all that are bad.
pub(crate) fn parse(words: Words) -> Result<Ask, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let (question, place) = match words {
        Words::Status(place) => (Some(Question::Status), place),
        Words::Peers(place) => (Some(Question::Peers), place),
        Words::Lag(lag) => {
            let age = keep(&mut bad, seconds("--max-seconds", &lag.max_seconds, 0.0));
            let changes = keep(&mut bad, lag.max_changes.map(|count| whole("--max-changes", &count)).transpose());
            let limit = age.zip(changes).map(|(age, changes)| LagLimit { age, changes });
            (limit.map(Question::Lag), lag.place)
        }
    };
    let api = keep(&mut bad, api(&place.api));
    let credentials = credentials::parse(place.credentials, api.as_ref()).map_err(|flags| bad.extend(flags)).ok();
    let timeout = keep(&mut bad, seconds("--timeout", &place.timeout, 0.001));
    match (question, api, credentials, timeout) {
        (Some(question), Some(api), Some(credentials), Some(timeout)) => {
            Ok(Ask { question, api, credentials, timeout, json: place.json, color: place.color })
        }
        _ => Err(bad),
    }
}

fn keep<T>(bad: &mut Vec<BadFlag>, parsed: Result<T, BadFlag>) -> Option<T> {
    parsed.map_err(|flag| bad.push(flag)).ok()
}

/// Where a node listens is where it is asked; "every address" is not one that can be called.
pub(super) fn api(given: &str) -> Result<Listen, BadFlag> {
    let remedy = "write for example: --api tcp://127.0.0.1:50051 or --api unix:///run/peat/peat.sock";
    let listen: Listen = given.parse().map_err(|e: crate::api::ListenError| example("--api", e.to_string(), remedy))?;
    Ok(match listen {
        Listen::Tcp(address) => Listen::Tcp(match address.rsplit_once(':') {
            Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
            Some(("[::]", port)) => format!("[::1]:{port}"),
            _ => address,
        }),
        unix => unix,
    })
}

/// Longest time that makes sense to a person; far below where arithmetic on times would fail.
const MOST_SECONDS: f64 = 1e9;

fn seconds(flag: &'static str, given: &str, least: f64) -> Result<Duration, BadFlag> {
    let parsed = given.parse().ok().filter(|n| (least..=MOST_SECONDS).contains(n));
    parsed.map(Duration::from_secs_f64).ok_or_else(|| {
        let problem = format!("{} is not a number of seconds from {least} to {MOST_SECONDS}", shown(given));
        example(flag, problem, format!("write for example: {flag} 2.5"))
    })
}

fn whole(flag: &'static str, given: &str) -> Result<u64, BadFlag> {
    given.parse().map_err(|_| {
        let problem = format!("{} is not a whole number", shown(given));
        example(flag, problem, format!("write for example: {flag} 100"))
    })
}
