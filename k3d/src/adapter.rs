//! Any server of the API: how it is started, and what it is told.
//!
//! An adapter is a TOML file:
//!
//! ```toml
//! name = "peat-node 0.1.0"
//! command = ["/opt/peat/0.1.0/peat-node", "--listen", "tcp://{api}", "--data-dir", "{data}",
//!            "--node-id", "{name}", "--app-id", "{formation}", "--shared-key", "{key}", "--iroh-udp-port", "{mesh_port}"]
//! # How a peer is written in ConnectPeer; `{id}` is what GetStatus calls `endpoint_addr`.
//! peer_address = "{ip}:{port}"
//! # Added to the command once for each selector, collection with a class, collection with a history.
//! interest = ["--interest", "{selector}"]
//! class = ["--class", "{collection}={class}"]
//! history = ["--history", "{collection}={history}"]
//! # Versions of documents are those of today's peat-node, so that equal documents have equal versions.
//! versions = "peat"
//!
//! [env]
//! RUST_LOG = "info"
//! ```
//!
//! The server must speak `peat.sidecar.v1` and take its peers by ConnectPeer; everything else is in the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use peat_scenarios::plan::NodeSpec;
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
    /// Arguments for each selector of an interest; empty: the server has no such thing.
    #[serde(default)]
    interest: Vec<String>,
    /// Arguments for each collection that has not its usual class.
    #[serde(default)]
    class: Vec<String>,
    /// Arguments for each collection that does not keep all history.
    #[serde(default)]
    history: Vec<String>,
    /// What versions of documents are.
    #[serde(default)]
    versions: Versions,
}

/// What a server calls the version of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Versions {
    /// Something of its own: no two servers are compared by it.
    #[default]
    Own,
    /// What today's peat-node calls it: equal documents have equal versions.
    Peat,
}

fn ip_and_port() -> String {
    "{ip}:{port}".into()
}

fn owned(of: &[&str]) -> Vec<String> {
    of.iter().map(|word| (*word).to_owned()).collect()
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
    /// The rest of what it is told.
    pub spec: &'a NodeSpec,
}

/// The words that [`Place`] knows.
const WORDS_OF_A_NODE: [&str; 6] = ["name", "api", "mesh_port", "data", "formation", "key"];
/// Those of `peer_address`.
const WORDS_OF_A_PEER: [&str; 3] = ["id", "ip", "port"];
/// Those of `interest`, `class` and `history`.
const WORDS_OF_AN_INTEREST: [&str; 1] = ["selector"];
const WORDS_OF_A_CLASS: [&str; 2] = ["collection", "class"];
const WORDS_OF_A_HISTORY: [&str; 2] = ["collection", "history"];

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
            interest: owned(&["--interest", "{selector}"]),
            class: owned(&["--class", "{collection}={class}"]),
            history: owned(&["--history", "{collection}={history}"]),
            versions: Versions::Peat,
        }
    }

    /// Are its versions those of today's peat-node?
    pub fn shows_heads(&self) -> bool {
        self.versions == Versions::Peat
    }

    /// What a node is to be told that this server has no words for; `None`: nothing.
    pub fn lacks(&self, spec: &NodeSpec) -> Option<&'static str> {
        let lack = |needed: bool, words: &[String]| needed && words.is_empty();
        if lack(!spec.interest.is_empty(), &self.interest) {
            return Some("`interest`");
        }
        if lack(!spec.classes.is_empty(), &self.class) {
            return Some("`class`");
        }
        lack(!spec.history.is_empty(), &self.history).then_some("`history`")
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
        let arrays: [(&str, &[String], &[&str]); 4] = [
            ("command", &adapter.command, &WORDS_OF_A_NODE),
            ("interest", &adapter.interest, &WORDS_OF_AN_INTEREST),
            ("class", &adapter.class, &WORDS_OF_A_CLASS),
            ("history", &adapter.history, &WORDS_OF_A_HISTORY),
        ];
        for (field, words, known) in arrays {
            for (n, word) in words.iter().enumerate() {
                check(format!("{field}[{n}]"), word, known)?;
            }
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
        let more = |words: &[String], meaning: &[(&str, String)]| {
            let filled = words.iter().map(|word| {
                let known = |name: &str| meaning.iter().find(|(of, _)| *of == name).map(|(_, text)| text.clone());
                expand(word, known).expect("invariant: parse has looked at every word in braces")
            });
            filled.map(OsString::from).collect::<Vec<_>>()
        };
        let mut command: Vec<OsString> = self.command.iter().map(fill).collect();
        for selector in &place.spec.interest {
            command.extend(more(&self.interest, &[("selector", selector.to_string())]));
        }
        for (collection, class) in &place.spec.classes {
            let meaning = [("collection", collection.clone()), ("class", class.name().to_owned())];
            command.extend(more(&self.class, &meaning));
        }
        for (collection, kept) in &place.spec.history {
            let meaning = [("collection", collection.clone()), ("history", kept.to_string())];
            command.extend(more(&self.history, &meaning));
        }
        (command, env.collect())
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
    use peat_scenarios::SimTime;
    use peat_scenarios::model::{Discovery, KeptHistory, Selector};
    use peat_scenarios::plan::NodeIndex;

    use super::*;

    fn spec() -> NodeSpec {
        NodeSpec {
            index: NodeIndex(0),
            name: "a-0".into(),
            group: 0,
            joins_at: SimTime::ZERO,
            peers: Vec::new(),
            interest: vec![Selector::parse("tracks").unwrap()],
            formation: String::new(),
            discovery: Discovery::None,
            classes: BTreeMap::new(),
            history: [("hot".to_owned(), KeptHistory::Latest)].into(),
        }
    }

    fn place<'a>(data: &'a Path, spec: &'a NodeSpec) -> Place<'a> {
        Place { name: "a-0", api: "10.78.0.2:50051", mesh_port: 4433, data, formation: "f", key: "a2V5", spec }
    }

    #[test]
    fn words_in_braces_are_filled_and_doubled_braces_stand() {
        let text = r#"
            name = "other"
            command = ["/opt/x", "--at={api}", "--json", "{{\"n\":\"{name}\"}}", "{data}/db"]
            peer_address = "quic://{id}@{ip}:{port}"
            interest = ["-i{selector}"]
            [env]
            KEY = "{key}"
        "#;
        let adapter = Adapter::parse("x.toml", text).unwrap();
        let (words, env) = adapter.command(&place(Path::new("/tmp/d"), &spec()));
        assert_eq!(words, ["/opt/x", "--at=10.78.0.2:50051", "--json", r#"{"n":"a-0"}"#, "/tmp/d/db", "-itracks"]);
        assert_eq!(adapter.lacks(&spec()), Some("`history`"));
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
        insta::assert_snapshot!(error("name = 'x'\ncommand = ['a']\nclass = ['--class', '{collection}:{kind}']"));
    }

    #[test]
    fn a_path_with_braces_is_a_path() {
        let adapter = Adapter::peat_node(Path::new("/tmp/{x}/peat-node"));
        let (words, _) = adapter.command(&place(Path::new("/d"), &spec()));
        assert_eq!(words[0], "/tmp/{x}/peat-node");
        assert_eq!(words[words.len() - 4..], ["--interest", "tracks", "--history", "hot=latest"]);
    }
}
