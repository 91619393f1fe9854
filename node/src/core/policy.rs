//! Policies: how much history a collection keeps, and what a delete means in it.
//!
//! A policy that is set by request is a document of the reserved collection [`COLLECTION`], whose id is the collection that
//! it is for, and travels like any other. One that is configured holds on this node, for collections that have none
//! set by request. Nodes need not agree at every moment: what a document is, its own form says
//! ([`super::document::Stamp`]); a policy only decides what the next local write does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::key::{DocKey, check_collection};
use crate::limits;

/// The collection of policies. No client writes it but by SetCollection.
pub const COLLECTION: &str = "peat.collections";
/// The one field of a policy document. A single register, so that of two policies set at once one wins whole.
pub const FIELD: &str = "policy";

/// How much history the documents of a collection keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum History {
    /// Every change: any node may write, and concurrent edits merge.
    #[default]
    Full,
    /// The newest changes: as `Full`, but a document whose history has grown beyond this is begun anew.
    Window(Window),
    /// None: each document has one writer, and each of its versions takes the place of all before.
    Latest,
}

/// What a history may grow to. At least one of the two is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Changes; 0: any number.
    pub changes: u64,
    /// Age of the oldest change in seconds; 0: any.
    pub age_s: u64,
}

impl Window {
    fn validate(&self) -> Result<(), PolicyError> {
        let Self { changes, age_s } = *self;
        if changes == 0 && age_s == 0 {
            return Err(PolicyError::Unbounded);
        }
        if changes > limits::MAX_WINDOW_CHANGES {
            return Err(PolicyError::WindowChanges { given: changes });
        }
        if age_s > 0 && !(limits::MIN_WINDOW_S..=limits::MAX_WINDOW_S).contains(&age_s) {
            return Err(PolicyError::WindowAge { given: age_s });
        }
        Ok(())
    }

    /// Reads what follows `window:`, as in `1000`, `7d` or `1000:7d`; `None`: not that.
    fn parse(bounds: &str) -> Option<Self> {
        let mut window = Self::default();
        for bound in bounds.split(':') {
            let digits = bound.find(|c: char| !c.is_ascii_digit()).unwrap_or(bound.len());
            let (number, unit) = bound.split_at(digits);
            let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
            let seconds = match unit {
                "" => 0,
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return None,
            };
            let place = if seconds == 0 { &mut window.changes } else { &mut window.age_s };
            if std::mem::replace(place, number.checked_mul(seconds.max(1))?) != 0 {
                return None;
            }
        }
        Some(window)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("window")?;
        if self.changes > 0 {
            write!(f, ":{}", self.changes)?;
        }
        if self.age_s > 0 {
            write!(f, ":{}s", self.age_s)?;
        }
        Ok(())
    }
}

/// What a delete does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deletion {
    /// Hides the document; its tombstone and history are kept for ever.
    #[default]
    Keep,
    /// Hides the document, and forgets it once the tombstone is this old and every known member has it.
    Tombstone {
        /// Age in seconds.
        retention_s: u64,
    },
    /// Nothing: documents are created once and never changed or deleted.
    Immutable,
}

/// The policy of one collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    /// How much history is kept.
    pub history: History,
    /// What a delete does.
    pub deletion: Deletion,
}

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Set by request on some node, and the same on all.
    Agreed,
    /// Configured on this node.
    Configured,
}

/// Why a policy is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a collection.
    #[error("{0}")]
    Collection(String),
    /// The collection of policies itself.
    #[error("collection {COLLECTION:?} holds the policies of all others and has none of its own; name another one")]
    Reserved,
    /// Not a word of a policy.
    #[error(
        "{given:?} is not a part of a policy; those are full, latest, window:CHANGES, window:AGE or window:CHANGES:AGE (an age \
         is 90s, 30m, 12h or 7d), and keep, immutable or tombstone:SECONDS, with + between"
    )]
    Word {
        /// What was given, cut to a printable length.
        given: String,
    },
    /// A window that bounds nothing.
    #[error("a window needs a bound: give window_changes, window_seconds or both")]
    Unbounded,
    /// A window of more changes than anybody needs.
    #[error("window_changes is {given}; give it between 1 and {}, or keep full history", limits::MAX_WINDOW_CHANGES)]
    WindowChanges {
        /// What was given.
        given: u64,
    },
    /// A window that is shorter than it can be kept, or longer than anybody needs.
    #[error(
        "window_seconds is {given}; give it between {} and {}: windows are looked at once a minute",
        limits::MIN_WINDOW_S,
        limits::MAX_WINDOW_S
    )]
    WindowAge {
        /// What was given.
        given: u64,
    },
    /// A tombstone that would be forgotten at once.
    #[error(
        "retention_seconds is {given}; give it between {} and {}: longer than any node may be away",
        limits::MIN_RETENTION_S,
        limits::MAX_RETENTION_S
    )]
    Retention {
        /// What was given.
        given: u64,
    },
    /// More than the limit.
    #[error("more than {limit} collections have a policy of their own; leave those with the default out")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl Policy {
    /// Checks what types cannot.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if let History::Window(window) = self.history {
            window.validate()?;
        }
        match self.deletion {
            Deletion::Tombstone { retention_s: given }
                if !(limits::MIN_RETENTION_S..=limits::MAX_RETENTION_S).contains(&given) =>
            {
                Err(PolicyError::Retention { given })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.history {
            History::Full => f.write_str("full")?,
            History::Window(window) => window.fmt(f)?,
            History::Latest => f.write_str("latest")?,
        }
        match self.deletion {
            Deletion::Keep => Ok(()),
            Deletion::Tombstone { retention_s } => write!(f, "+tombstone:{retention_s}"),
            Deletion::Immutable => f.write_str("+immutable"),
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(given: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for word in given.split('+').map(str::trim) {
            let retention = word.strip_prefix("tombstone:").and_then(|seconds| seconds.parse().ok());
            let window = word.strip_prefix("window:").and_then(Window::parse);
            match (word, retention, window) {
                ("full", ..) => policy.history = History::Full,
                ("latest", ..) => policy.history = History::Latest,
                ("keep", ..) => policy.deletion = Deletion::Keep,
                ("immutable", ..) => policy.deletion = Deletion::Immutable,
                ("window", ..) => return Err(PolicyError::Unbounded),
                (_, Some(retention_s), _) => policy.deletion = Deletion::Tombstone { retention_s },
                (.., Some(window)) => policy.history = History::Window(window),
                _ => return Err(PolicyError::Word { given: word.chars().take(40).collect() }),
            }
        }
        policy.validate()?;
        Ok(policy)
    }
}

/// The policies of all collections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    configured: BTreeMap<String, Policy>,
    agreed: BTreeMap<String, Policy>,
}

impl Policies {
    /// The policy of a collection; `None`: nobody set one, and each document is what its form says.
    pub fn of(&self, collection: &str) -> Option<Policy> {
        self.agreed.get(collection).or_else(|| self.configured.get(collection)).copied()
    }

    /// Every collection that has one, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, Policy, Source)> {
        let only_here = self.configured.iter().filter(|(name, _)| !self.agreed.contains_key(*name));
        let mut all: Vec<_> = self.agreed.iter().map(|(name, policy)| (&**name, *policy, Source::Agreed)).collect();
        all.extend(only_here.map(|(name, policy)| (&**name, *policy, Source::Configured)));
        all.sort_unstable_by_key(|(name, ..)| *name);
        all.into_iter()
    }

    /// Configures the policy of a collection.
    pub fn configure(&mut self, collection: &str, policy: Policy) -> Result<(), PolicyError> {
        check_name(collection)?;
        self.configured.insert(collection.into(), policy);
        if self.configured.len() > limits::MAX_POLICIES {
            return Err(PolicyError::TooMany { limit: limits::MAX_POLICIES });
        }
        Ok(())
    }

    /// The document that sets the policy of a collection, if there is room for one more.
    pub fn document_of(&self, collection: &str) -> Result<DocKey, PolicyError> {
        check_name(collection)?;
        if !self.agreed.contains_key(collection) && self.agreed.len() >= limits::MAX_POLICIES {
            return Err(PolicyError::TooMany { limit: limits::MAX_POLICIES });
        }
        DocKey::new(COLLECTION, collection).map_err(|e| PolicyError::Collection(e.to_string()))
    }

    /// A policy document says this now. What cannot be read, of a newer version perhaps, is as if it were not there.
    pub fn learn(&mut self, collection: &str, text: Option<&str>) {
        let read = |text: &str| {
            let fields: serde_json::Value = serde_json::from_str(text).ok()?;
            fields.get(FIELD)?.as_str()?.parse::<Policy>().ok()
        };
        match text.and_then(read).filter(|_| check_name(collection).is_ok()) {
            Some(policy) => self.agreed.insert(collection.into(), policy),
            None => self.agreed.remove(collection),
        };
    }

    /// Forgets what was learned.
    pub fn unlearn(&mut self) {
        self.agreed.clear();
    }
}

/// The content of a policy document.
pub fn content(policy: &Policy) -> String {
    format!("{{\"{FIELD}\":\"{policy}\"}}")
}

fn check_name(collection: &str) -> Result<(), PolicyError> {
    check_collection(collection).map_err(|e| PolicyError::Collection(e.to_string()))?;
    if collection == COLLECTION { Err(PolicyError::Reserved) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_as_they_are_written() {
        let window = |changes, age_s| History::Window(Window { changes, age_s });
        let windows = [window(1000, 0), window(0, 604_800), window(5, 3600)];
        for history in [History::Full, History::Latest].into_iter().chain(windows) {
            for deletion in [Deletion::Keep, Deletion::Tombstone { retention_s: 86_400 }, Deletion::Immutable] {
                let policy = Policy { history, deletion };
                assert_eq!(policy.to_string().parse(), Ok(policy));
                let mut policies = Policies::default();
                policies.learn("tracks", Some(&content(&policy)));
                assert_eq!(policies.of("tracks"), Some(policy));
            }
        }
        assert_eq!("latest".parse::<Policy>().map(|p| p.deletion), Ok(Deletion::Keep));
        for (given, shown) in [("window:7d", "window:604800s"), ("window:12h:50", "window:50:43200s")] {
            assert_eq!(given.parse::<Policy>().map(|policy| policy.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_is_agreed_wins_over_what_is_configured() {
        let mut policies = Policies::default();
        let latest: Policy = "latest".parse().expect("a policy");
        policies.configure("tracks", latest).expect("a collection");
        policies.learn("tracks", Some(&content(&Policy::default())));
        assert_eq!(policies.of("tracks"), Some(Policy::default()));
        policies.learn("tracks", None);
        assert_eq!(policies.of("tracks"), Some(latest));
        // A version of tomorrow has words that this one does not know: it is as if nothing had been said.
        policies.learn("tracks", Some("{\"policy\":\"sometimes\"}"));
        assert_eq!(policies.of("tracks"), Some(latest));
        assert_eq!(policies.of("plans"), None);
    }

    #[test]
    fn bad_policies_are_explained() {
        let wrong = |text: &str| text.parse::<Policy>().expect_err(text).to_string();
        assert!(wrong("latest+forever").starts_with("\"forever\" is not a part of a policy"));
        for bad in
            ["window:", "window:0", "window:-1", "window:5w", "window:5:6", "window:1d:1h", "window:d", "window:1d:"]
        {
            assert!(wrong(bad).starts_with(&format!("{bad:?} is not a part of a policy")), "{bad}");
        }
        assert!(wrong("window+keep").starts_with("a window needs a bound"));
        assert!(wrong("window:5s").starts_with("window_seconds is 5; give it between 60 and"));
        assert!(wrong("window:99999999").starts_with("window_changes is 99999999; give it between 1 and"));
        assert!(wrong("window:99999999999999999999d").starts_with("\"window:99999999999999999999d\" is not"));
        assert!(wrong("tombstone:5").starts_with("retention_seconds is 5; give it between 60 and"));
        assert_eq!(Policies::default().configure(COLLECTION, Policy::default()), Err(PolicyError::Reserved));
    }
}
