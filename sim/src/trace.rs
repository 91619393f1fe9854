//! The trace: a hash over everything that happened, in order, and on request the events themselves.
//!
//! Two runs are the same run exactly when their hashes are equal. Every datagram is in it with its bytes
//! (ciphertext included), and so is every application event with its content. When two hashes differ,
//! the kept events of both runs tell where they first part: [`first_difference`].

use peat_scenarios::SimTime;

/// What kind of event; its number goes into the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A datagram was handed to a link.
    Sent = 1,
    /// A datagram reached the end of its link, or was found dead there.
    Arrived = 2,
    /// An operation was issued at a node.
    Invoked = 3,
    /// An operation ended.
    Completed = 4,
    /// A Subscribe stream delivered an event.
    Visible = 5,
    /// A step of the timeline was taken.
    Step = 6,
    /// A node started, crashed or restarted.
    Life = 7,
    /// What a node says it did: dials, sessions, commits.
    Node = 8,
    /// All running nodes were seen to hold the same documents, or no longer.
    Convergence = 9,
    /// The final state of a replica.
    Final = 10,
}

impl Kind {
    /// True for what happens on the wire, false for what an application or operator would notice.
    pub fn is_datagram(self) -> bool {
        matches!(self, Kind::Sent | Kind::Arrived)
    }
}

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: SimTime,
    /// What kind.
    pub kind: Kind,
    /// For people.
    pub text: String,
    /// Digest of all that was hashed for it.
    pub digest: u64,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.at, self.text)
    }
}

/// Position of the first event in which two runs differ; `None` when they are the same.
pub fn first_difference(one: &[Event], other: &[Event]) -> Option<usize> {
    let common = one.iter().zip(other).position(|(a, b)| a != b);
    common.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// Collects the events of a run.
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    kept: Option<Vec<Event>>,
    scratch: Vec<u8>,
    application_events: u64,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), kept: keep.then(Vec::new), scratch: Vec::new(), application_events: 0 }
    }

    /// Adds an event. `parts` is what is hashed, `text` is only made when events are kept.
    pub(crate) fn add(&mut self, at: SimTime, kind: Kind, parts: &[&[u8]], text: impl FnOnce() -> String) {
        self.application_events += u64::from(!kind.is_datagram());
        self.scratch.clear();
        self.scratch.extend_from_slice(&at.as_nanos().to_le_bytes());
        self.scratch.push(kind as u8);
        for part in parts {
            // The length first: otherwise "ab","c" and "a","bc" would be the same event.
            self.scratch.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.scratch.extend_from_slice(part);
        }
        self.hasher.update(&self.scratch);
        if let Some(kept) = &mut self.kept {
            let mut first = [0; 8];
            first.copy_from_slice(&blake3::hash(&self.scratch).as_bytes()[..8]);
            kept.push(Event { at, kind, text: text(), digest: u64::from_le_bytes(first) });
        }
    }

    /// The hash so far, 32 hex digits.
    pub(crate) fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..32].to_owned()
    }

    /// How many events were not datagrams: while this stands still, no document has changed.
    pub(crate) fn application_events(&self) -> u64 {
        self.application_events
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.kept.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(parts: &[&[u8]]) -> Trace {
        let mut trace = Trace::new(true);
        trace.add(SimTime::ZERO, Kind::Sent, parts, String::new);
        trace
    }

    #[test]
    fn boundaries_between_parts_count() {
        assert_ne!(trace(&[b"ab", b"c"]).hash(), trace(&[b"a", b"bc"]).hash());
        assert_eq!(trace(&[b"ab", b"c"]).hash(), trace(&[b"ab", b"c"]).hash());
    }

    #[test]
    fn the_first_difference_is_found() {
        let (mut one, mut other) = (trace(&[b"a"]).take_events(), trace(&[b"a"]).take_events());
        assert_eq!(first_difference(&one, &other), None);
        one.extend(trace(&[b"b"]).take_events());
        assert_eq!(first_difference(&one, &other), Some(1));
        other.extend(trace(&[b"c"]).take_events());
        assert_eq!(first_difference(&one, &other), Some(1));
    }
}
