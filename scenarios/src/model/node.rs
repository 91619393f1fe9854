//! What the nodes of a group are told besides their peers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Part of what exists: a collection, or those of its documents whose id begins with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// The collection.
    pub collection: String,
    /// What ids begin with; empty: all of the collection.
    pub prefix: String,
}

impl Selector {
    /// `tracks`, or `commands/ship-7`: the first `/` ends the collection.
    pub fn parse(text: &str) -> Option<Self> {
        let (collection, prefix) = text.split_once('/').unwrap_or((text, ""));
        let whole = !text.ends_with('/') && !collection.is_empty();
        whole.then(|| Selector { collection: collection.to_owned(), prefix: prefix.to_owned() })
    }

    /// Is the document part of it?
    pub fn selects(&self, collection: &str, id: &str) -> bool {
        self.collection == collection && id.starts_with(&self.prefix)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => f.write_str(&self.collection),
            prefix => write!(f, "{}/{prefix}", self.collection),
        }
    }
}

/// How a node finds peers besides those that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discovery {
    /// Not at all.
    #[default]
    None,
    /// Connected peers tell each other whom they know.
    Gossip,
}

impl Discovery {
    /// Every kind.
    pub const ALL: [Discovery; 2] = [Discovery::None, Discovery::Gossip];

    /// The word in scenario files.
    pub const fn name(self) -> &'static str {
        match self {
            Discovery::None => "none",
            Discovery::Gossip => "gossip",
        }
    }
}

/// A class of traffic, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Orders, and whatever else cannot wait.
    Command,
    /// What applications share.
    State,
    /// What is measured again and again.
    Telemetry,
    /// What is large.
    Blob,
}

impl Class {
    /// Every class, in order.
    pub const ALL: [Class; 4] = [Class::Command, Class::State, Class::Telemetry, Class::Blob];

    /// The word in scenario files.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Command => "command",
            Class::State => "state",
            Class::Telemetry => "telemetry",
            Class::Blob => "blob",
        }
    }
}

/// How much history the documents of a collection keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptHistory {
    /// Every change.
    Full,
    /// The latest version of each, by one writer.
    Latest,
    /// The newest changes; at least one of the two is not 0.
    Window {
        /// How many; 0: any number.
        changes: u64,
        /// How old the oldest of them may be, in seconds; 0: any age.
        age_s: u64,
    },
}

impl KeptHistory {
    /// How each kind is spelled in scenario files.
    pub const SPELLINGS: [&'static str; 4] = ["full", "latest", "window:CHANGES", "window:SECONDSs"];

    /// Reads the words of scenario files; `None`: not one of them.
    pub fn parse(words: &str) -> Option<Self> {
        match words {
            "full" => return Some(Self::Full),
            "latest" => return Some(Self::Latest),
            _ => {}
        }
        let (mut changes, mut age_s) = (0, 0);
        for bound in words.strip_prefix("window:")?.split(':') {
            let (place, number) = match bound.strip_suffix('s') {
                Some(seconds) => (&mut age_s, seconds),
                None => (&mut changes, bound),
            };
            let number = number.parse().ok().filter(|number| *number > 0 && *place == 0)?;
            *place = number;
        }
        Some(Self::Window { changes, age_s })
    }
}

impl fmt::Display for KeptHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full => f.write_str("full"),
            Self::Latest => f.write_str("latest"),
            Self::Window { changes, age_s: 0 } => write!(f, "window:{changes}"),
            Self::Window { changes: 0, age_s } => write!(f, "window:{age_s}s"),
            Self::Window { changes, age_s } => write!(f, "window:{changes}:{age_s}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_collection_or_a_part_of_one() {
        let tracks = Selector::parse("tracks").unwrap();
        assert!(tracks.selects("tracks", "any") && !tracks.selects("track", "any"));
        let orders = Selector::parse("commands/ship-7/urgent").unwrap();
        assert_eq!(orders.prefix, "ship-7/urgent");
        assert!(orders.selects("commands", "ship-7/urgent-1") && !orders.selects("commands", "ship-7"));
        assert_eq!(orders.to_string(), "commands/ship-7/urgent");
        for wrong in ["", "/", "/x", "tracks/"] {
            assert_eq!(Selector::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn histories_read_as_they_are_written() {
        for words in ["full", "latest", "window:20", "window:300s", "window:20:300s"] {
            assert_eq!(KeptHistory::parse(words).map(|kept| kept.to_string()).as_deref(), Some(words));
        }
        for wrong in ["window", "window:", "window:0", "window:1:2", "window:5d", "newest"] {
            assert_eq!(KeptHistory::parse(wrong), None, "{wrong}");
        }
    }
}
