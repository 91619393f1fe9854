//! Any server of the API: how it is started, and what it is told.
//!
//! An adapter is a TOML file:
//!
//! ```toml
//! name = "peat-node 0.1.0"
//! command = ["/opt/peat/0.1.0/peat-node", "--listen", "tcp://{api}", "--data-dir", "{data}",
//!            "--node-id", "{name}", "--app-id", "{formation}", "--shared-key", "{key}", "--iroh-udp-port", "{mesh_port}"]
//! # How a peer is written where the server takes `ip:port`; `{id}` is what GetStatus calls `endpoint_addr`.
//! peer_address = "{ip}:{port}"
//!
//! [env]
//! RUST_LOG = "info"
//! ```
//!
//! The server must speak `peat.sidecar.v1` and take its peers by ConnectPeer; everything else is in the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;

/// Length of an adapter file: a command line and some variables.
const FILE_BYTES: usize = 64 * 1024;
/// Words of a command line, and variables.
const WORDS: usize = 256;

/// How a server is started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// What reports call it.
    pub name: String,
    /// Program and arguments, with [`Place`]s.
    command: Vec<String>,
    /// Environment variables beyond those of this process, with [`Place`]s.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// How ConnectPeer is told where a peer is.
    #[serde(default = "ip_and_port")]
    peer_address: String,
}

fn ip_and_port() -> String {
    "{ip}:{port}".into()
}

/// Why an adapter cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdapterError {
    /// Not TOML, or not this TOML.
    #[error("{file}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// More than an adapter needs.
    #[error("{file}: {what}: {actual}, the limit is {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        actual: usize,
        /// How much there may be.
        limit: usize,
    },
    /// Nothing to start.
    #[error("{file}: `command` is empty: give the program and its arguments")]
    NoCommand {
        /// The file.
        file: String,
    },
    /// A word in braces that means nothing.
    #[error("{file}: `{{{name}}}` in `{field}` means nothing; there are {known}")]
    UnknownPlace {
        /// The file.
        file: String,
        /// Where it is.
        field: String,
        /// The word.
        name: String,
        /// The words that mean something.
        known: String,
    },
}

/// What stands for each word in braces, for one node.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// `{name}`: the node's name.
    pub name: &'a str,
    /// `{api}`: where it serves the API, `ip:port`.
    pub api: &'a str,
    /// `{mesh_port}`: its UDP port.
    pub mesh_port: u16,
    /// `{data}`: its own directory.
    pub data: &'a Path,
    /// `{formation}`: the application id.
    pub formation: &'a str,
    /// `{key}`: the formation's shared key, base64.
    pub key: &'a str,
}

/// The words that [`Place`] knows.
const WORDS_OF_A_NODE: [&str; 6] = ["name", "api", "mesh_port", "data", "formation", "key"];
/// Those of `peer_address`.
const WORDS_OF_A_PEER: [&str; 3] = ["id", "ip", "port"];

impl Adapter {
    /// This product's node, as `program`.
    pub fn peat_node(program: &Path) -> Self {
        let words =
            ["--listen", "tcp://{api}", "--data-dir", "{data}", "--node-id", "{name}", "--app-id", "{formation}"];
        let more = ["--shared-key", "{key}", "--iroh-udp-port", "{mesh_port}", "--discovery-mode", "none"];
        let program = program.to_string_lossy().replace('{', "{{").replace('}', "}}");
        let arguments = words.into_iter().chain(more).map(str::to_owned);
        Self {
            name: "peat-node".into(),
            command: std::iter::once(program).chain(arguments).collect(),
            env: BTreeMap::new(),
            peer_address: ip_and_port(),
        }
    }

    /// Reads and validates a file's text; `file` is only for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, AdapterError> {
        let file = file.to_owned();
        if text.len() > FILE_BYTES {
            return Err(AdapterError::TooLarge { file, what: "bytes", actual: text.len(), limit: FILE_BYTES });
        }
        let parsed = toml::from_str::<Self>(text);
        let adapter = parsed.map_err(|error| AdapterError::Syntax { file: file.clone(), reason: error.to_string() })?;
        let words = adapter.command.len() + adapter.env.len();
        if words > WORDS {
            return Err(AdapterError::TooLarge { file, what: "words and variables", actual: words, limit: WORDS });
        }
        if adapter.command.first().is_none_or(String::is_empty) {
            return Err(AdapterError::NoCommand { file });
        }
        let check = |field: String, template: &str, known: &[&str]| match expand(template, |word| {
            known.contains(&word).then(String::new)
        }) {
            Ok(_) => Ok(()),
            Err(name) => {
                let known = known.iter().map(|word| format!("{{{word}}}")).collect::<Vec<_>>().join(", ");
                Err(AdapterError::UnknownPlace { file: file.clone(), field, name, known })
            }
        };
        for (n, word) in adapter.command.iter().enumerate() {
            check(format!("command[{n}]"), word, &WORDS_OF_A_NODE)?;
        }
        for (name, value) in &adapter.env {
            check(format!("env.{name}"), value, &WORDS_OF_A_NODE)?;
        }
        check("peer_address".into(), &adapter.peer_address, &WORDS_OF_A_PEER)?;
        Ok(adapter)
    }

    /// The program, its arguments, and the variables, for one node.
    pub fn command(&self, place: &Place<'_>) -> (Vec<OsString>, Vec<(OsString, OsString)>) {
        let fill = |template: &String| {
            let filled = expand(template, |word| match word {
                "name" => Some(place.name.to_owned()),
                "api" => Some(place.api.to_owned()),
                "mesh_port" => Some(place.mesh_port.to_string()),
                "data" => Some(place.data.to_string_lossy().into_owned()),
                "formation" => Some(place.formation.to_owned()),
                "key" => Some(place.key.to_owned()),
                _ => None,
            });
            OsString::from(filled.expect("invariant: parse has looked at every word in braces"))
        };
        let env = self.env.iter().map(|(name, value)| (OsString::from(name), fill(value)));
        (self.command.iter().map(fill).collect(), env.collect())
    }

    /// What ConnectPeer is told of where a peer is.
    pub fn peer_address(&self, id: &str, ip: &str, port: u16) -> String {
        let filled = expand(&self.peer_address, |word| match word {
            "id" => Some(id.to_owned()),
            "ip" => Some(ip.to_owned()),
            "port" => Some(port.to_string()),
            _ => None,
        });
        filled.expect("invariant: parse has looked at every word in braces")
    }
}

/// Replaces words in braces; doubled braces stand for themselves. The error is the word that means nothing.
fn expand(template: &str, meaning: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
        } else if brace == "{" {
            let (word, after) = rest.split_once('}').ok_or_else(|| rest.to_owned())?;
            out.push_str(&meaning(word).ok_or_else(|| word.to_owned())?);
            rest = after;
        } else {
            return Err("}".into());
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(data: &Path) -> Place<'_> {
        Place { name: "a-0", api: "10.78.0.2:50051", mesh_port: 4433, data, formation: "f", key: "a2V5" }
    }

    #[test]
    fn words_in_braces_are_filled_and_doubled_braces_stand() {
        let text = r#"
            name = "other"
            command = ["/opt/x", "--at={api}", "--json", "{{\"n\":\"{name}\"}}", "{data}/db"]
            peer_address = "quic://{id}@{ip}:{port}"
            [env]
            KEY = "{key}"
        "#;
        let adapter = Adapter::parse("x.toml", text).unwrap();
        let (words, env) = adapter.command(&place(Path::new("/tmp/d")));
        assert_eq!(words, ["/opt/x", "--at=10.78.0.2:50051", "--json", r#"{"n":"a-0"}"#, "/tmp/d/db"]);
        assert_eq!(env, [("KEY".into(), "a2V5".into())]);
        assert_eq!(adapter.peer_address("ab", "10.78.1.1", 7), "quic://ab@10.78.1.1:7");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let error = |text: &str| Adapter::parse("x.toml", text).unwrap_err().to_string();
        insta::assert_snapshot!(error("name = 'x'\ncommand = ['a', '{date}']"));
        insta::assert_snapshot!(error("name = 'x'\ncommand = []"));
        insta::assert_snapshot!(error("name = 'x'\ncommand = ['a', '{api']"));
        insta::assert_snapshot!(error("name = 'x'\ncommnd = ['a']"));
    }

    #[test]
    fn a_path_with_braces_is_a_path() {
        let adapter = Adapter::peat_node(Path::new("/tmp/{x}/peat-node"));
        assert_eq!(adapter.command(&place(Path::new("/d"))).0[0], "/tmp/{x}/peat-node");
    }
}
