//! What to write: a pure function of what was stored last, what the agent answered, and how it did before.
//!
//! Three rules, each with a property test. *Quiet*: the same answers again are no write. *Never on doubt*: a document is
//! removed only when its list came, could be read in full, and lacks it. *Convergent*: after a poll whose answers are
//! whole, the documents are those of the answers, whatever was there before.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::answers::{Leaf, StatusAnswer};
use super::documents::{Collection, Fields, Listing, content};
use super::{CallError, PLATFORMS};
use crate::limits;

/// What one poll gave, call by call.
#[derive(Debug, Clone)]
pub struct Reports {
    /// `GET /status`.
    pub status: Result<StatusAnswer, CallError>,
    /// The lists, in the order of [`Collection::ALL`].
    pub listings: [Result<Listing, CallError>; Collection::ALL.len()],
}

impl Reports {
    /// Whether every call was answered, and every field of it could be read.
    pub fn is_good(&self) -> bool {
        self.status.as_ref().is_ok_and(StatusAnswer::is_whole)
            && self.listings.iter().all(|listing| listing.as_ref().is_ok_and(|listing| listing.whole))
    }

    /// Whether no call was answered with anything that could be used.
    pub fn is_silent(&self) -> bool {
        self.status.is_err() && self.listings.iter().all(Result::is_err)
    }
}

/// The documents of the agent as they are in the store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// `platforms/{agent-id}`, with whatever an application keeps there too.
    pub platform: Option<Fields>,
    /// The other documents of this agent by id, in the order of [`Collection::ALL`].
    pub listings: [BTreeMap<String, Fields>; Collection::ALL.len()],
}

/// How the agent did in this run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Polls in a row that gave nothing.
    pub silent_polls: u32,
    /// Polls in a row that did not give everything.
    pub imperfect_polls: u32,
    /// When a poll last gave everything, in milliseconds since the epoch.
    pub last_good_ms: Option<u64>,
}

/// How the agent is, as the mesh is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It answers.
    #[default]
    Ok,
    /// It answers some calls, or some fields cannot be read.
    Degraded,
    /// It stopped answering.
    Stale,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Degraded, Self::Stale];

    /// As in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Stale => "stale",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Where the document has the time at which this state began.
    fn since(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::Degraded => Some("degraded_since"),
            Self::Stale => Some("stale_since"),
        }
    }
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Of which collection.
    pub collection: &'static str,
    /// Which document.
    pub id: String,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is this now.
    Put(Fields),
    /// [`overlay`] it: the rest of the document is somebody else's.
    Platform(Platform),
    /// It is gone.
    Delete,
}

/// Our part of `platforms/{agent-id}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// PlatformStatus of the contract.
    pub status: i64,
    /// What the agent reported, and how it is.
    pub agent: Fields,
}

/// What one poll leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The writes.
    pub edits: Vec<Edit>,
    /// How the agent does now.
    pub health: Health,
    /// The same as the mesh is told.
    pub state: State,
    /// New documents that did not fit under [`limits::MAX_AGENT_DOCUMENTS`].
    pub no_room: u32,
}

const READY: i64 = 1;
const DEGRADED: i64 = 3;
const OFFLINE: i64 = 4;

/// Decides. `now_ms` is for stamps only.
pub fn plan(agent_id: &str, stored: &Stored, reports: &Reports, before: &Health, now_ms: u64) -> Plan {
    let good = reports.is_good();
    let health = Health {
        silent_polls: if reports.is_silent() { before.silent_polls.saturating_add(1) } else { 0 },
        imperfect_polls: if good { 0 } else { before.imperfect_polls.saturating_add(1) },
        last_good_ms: if good { Some(now_ms) } else { before.last_good_ms },
    };
    let known = agent_of(stored.platform.as_ref());
    let told = known.and_then(|agent| State::from_name(agent.get("state")?.as_str()?)).unwrap_or_default();
    let state = match health {
        Health { silent_polls, .. } if silent_polls >= limits::AGENT_STALE_POLLS => State::Stale,
        Health { imperfect_polls, .. } if imperfect_polls >= limits::AGENT_STALE_POLLS => State::Degraded,
        _ if good => State::Ok,
        _ => told,
    };
    let mut edits = Vec::new();
    let mut no_room = 0;
    let lists = Collection::ALL.into_iter().zip(&stored.listings).zip(&reports.listings);
    for ((collection, stored), report) in lists {
        if let Ok(listing) = report {
            no_room += list_edits(collection, stored, listing, &mut edits);
        }
    }
    // An agent that never answered is no platform: a mistyped address must not invent one.
    if reports.status.is_ok() || known.is_some() {
        let platform = platform(known, reports, &health, state, now_ms);
        if !shows(stored.platform.as_ref(), agent_id, &platform) {
            edits.push(Edit { collection: PLATFORMS, id: agent_id.into(), change: Change::Platform(platform) });
        }
    }
    Plan { edits, health, state, no_room }
}

fn list_edits(
    collection: Collection,
    stored: &BTreeMap<String, Fields>,
    listing: &Listing,
    edits: &mut Vec<Edit>,
) -> u32 {
    let mut edit = |id: &String, change| edits.push(Edit { collection: collection.name(), id: id.clone(), change });
    let mut room = limits::MAX_AGENT_DOCUMENTS.saturating_sub(stored.len());
    if listing.whole {
        for id in stored.keys().filter(|id| !listing.documents.contains_key(*id)) {
            edit(id, Change::Delete);
            room += 1;
        }
    }
    let mut no_room = 0;
    for (id, fields) in &listing.documents {
        match stored.get(id) {
            Some(known) if content(known) == content(fields) => {}
            Some(_) => edit(id, Change::Put(fields.clone())),
            // Only while nothing is removed: a list that is never whole must not grow the store without end.
            None if room == 0 => no_room += 1,
            None => {
                room -= 1;
                edit(id, Change::Put(fields.clone()));
            }
        }
    }
    no_room
}

/// The agent's fields in the document, and what was reported for each.
fn reported(status: &StatusAnswer) -> impl Iterator<Item = (&'static str, &Leaf<String>)> {
    [
        ("version", &status.version),
        ("architecture", &status.architecture),
        ("classification", &status.classification),
        ("k8s_version", &status.k8s_version),
        (K8S_NODE_STATUS, &status.k8s_node_status),
        ("zarf_version", &status.zarf_version),
        ("run_mode", &status.run_mode),
        (SYSTEM_TIME, &status.system_time),
    ]
    .into_iter()
}

const K8S_NODE_STATUS: &str = "k8s_node_status";
/// Differs in every answer. Told with the next change of anything else, and no reason to write by itself.
const SYSTEM_TIME: &str = "system_time";
/// Likewise: while the agent is well, this would be a write a poll.
const LAST_GOOD: &str = "last_good";

fn agent_of(platform: Option<&Fields>) -> Option<&Fields> {
    platform?.get("agent")?.as_object()
}

fn platform(known: Option<&Fields>, reports: &Reports, health: &Health, state: State, now_ms: u64) -> Platform {
    let kept = |key: &str| known.and_then(|known| known.get(key)).filter(|value| value.is_string()).cloned();
    let mut agent = Fields::new();
    let mut insert = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            agent.insert(key.into(), value);
        }
    };
    insert("state", Some(state.name().into()));
    let nothing = StatusAnswer::default();
    for (key, leaf) in reported(reports.status.as_ref().unwrap_or(&nothing)) {
        let value = match leaf {
            _ if reports.status.is_err() => kept(key),
            Leaf::Unreadable => kept(key),
            Leaf::Is(text) if !text.is_empty() => Some(text.as_str().into()),
            Leaf::Is(_) | Leaf::Absent => None,
        };
        insert(key, value);
    }
    insert(LAST_GOOD, health.last_good_ms.map(|ms| stamp(ms).into()).or_else(|| kept(LAST_GOOD)));
    if let Some(since) = state.since() {
        insert(since, Some(kept(since).unwrap_or_else(|| stamp(now_ms).into())));
    }
    let node_ready =
        agent.get(K8S_NODE_STATUS).and_then(Value::as_str).is_none_or(|node| node.eq_ignore_ascii_case("ready"));
    let status = match state {
        State::Ok if node_ready => READY,
        State::Ok | State::Degraded => DEGRADED,
        State::Stale => OFFLINE,
    };
    Platform { status, agent }
}

/// UTC to the second, as RFC 3339 has it.
fn stamp(ms: u64) -> String {
    // The last second that the format has: the year 9999.
    const LAST: u64 = 253_402_300_799;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs((ms / 1000).min(LAST))).to_string()
}

/// Whether a document has our part already, but for what is no reason to write.
fn shows(document: Option<&Fields>, agent_id: &str, ours: &Platform) -> bool {
    let settled = |agent: &Fields| {
        let mut agent = agent.clone();
        agent.shift_remove(SYSTEM_TIME);
        agent.shift_remove(LAST_GOOD);
        agent
    };
    document.is_some_and(|document| {
        let id = document.get("id").and_then(Value::as_str) == Some(agent_id);
        let status = document.get("status").and_then(Value::as_i64) == Some(ours.status);
        let agent = agent_of(Some(document)).is_some_and(|agent| settled(agent) == settled(&ours.agent));
        id && status && agent
    })
}

/// Our part over a document. Where the platform is and what it is called may be known better by somebody else: fields
/// that are not ours stay, and its name and type are only given to a document that has none.
pub fn overlay(current: Option<&Fields>, agent_id: &str, ours: &Platform) -> Fields {
    let mut document = current.cloned().unwrap_or_default();
    document.insert("id".into(), agent_id.into());
    document.entry("platform_type").or_insert_with(|| PLATFORM_TYPE.into());
    document.entry("name").or_insert_with(|| agent_id.into());
    document.insert("status".into(), ours.status.into());
    document.insert("agent".into(), Value::Object(ours.agent.clone()));
    document
}

/// `platform_type` of a watched agent.
const PLATFORM_TYPE: &str = "uds-agent";

#[cfg(test)]
mod tests;
