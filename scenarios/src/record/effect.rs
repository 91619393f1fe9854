//! What a fault did. A fault that did nothing was not survived: [`crate::check`] calls such a run VACUOUS.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::plan::FaultClass;
use crate::report::{bytes, plural, span};

/// What a fault did, as far as it can be counted; what does not apply is zero and is left out of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultEffect {
    /// Datagrams that did not pass: refused by a link that was cut, killed on their way, or refused because they
    /// would have opened a connection.
    #[serde(skip_serializing_if = "zero")]
    pub datagrams_blocked: u64,
    /// Datagrams that had to wait for the end: in a clogged link, or before a node that was paused.
    #[serde(skip_serializing_if = "zero")]
    pub datagrams_held: u64,
    /// Datagrams that a changed link was given.
    #[serde(skip_serializing_if = "zero")]
    pub datagrams_carried: u64,
    /// Longest time that one of them spent in the queue of a changed link, where the fault makes a queue.
    #[serde(rename = "queue_wait_ns", with = "crate::physics::nanos", skip_serializing_if = "Duration::is_zero")]
    pub queue_wait: Duration,
    /// Time that directions of links were held, added up over the directions.
    #[serde(rename = "links_held_ns", with = "crate::physics::nanos", skip_serializing_if = "Duration::is_zero")]
    pub links_held: Duration,
    /// Ends of sessions that were told at once.
    #[serde(skip_serializing_if = "zero")]
    pub sessions_reset: u64,
    /// Time that the node was down.
    #[serde(rename = "node_down_ns", with = "crate::physics::nanos", skip_serializing_if = "Duration::is_zero")]
    pub node_down: Duration,
    /// Time that the node did not run although it was not down.
    #[serde(rename = "node_paused_ns", with = "crate::physics::nanos", skip_serializing_if = "Duration::is_zero")]
    pub node_paused: Duration,
    /// Bytes of writes that reached the disk only in part, of the part that did not.
    #[serde(skip_serializing_if = "zero")]
    pub bytes_torn: u64,
    /// Bytes that the disk lost: not synced, or all that it held.
    #[serde(skip_serializing_if = "zero")]
    pub bytes_lost: u64,
    /// Writes that the disk refused.
    #[serde(skip_serializing_if = "zero")]
    pub writes_refused: u64,
    /// Reads that the disk refused.
    #[serde(skip_serializing_if = "zero")]
    pub reads_refused: u64,
    /// Syncs that took longer.
    #[serde(skip_serializing_if = "zero")]
    pub syncs_delayed: u64,
    /// Times that the node read its calendar while that was out.
    #[serde(skip_serializing_if = "zero")]
    pub clock_readings: u64,
    /// How far out it was at most, in milliseconds, as it was read.
    #[serde(skip_serializing_if = "zero_signed")]
    pub clock_offset_ms: i64,
    /// Operations that applications issued meanwhile, anywhere.
    #[serde(skip_serializing_if = "zero")]
    pub operations: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn zero_signed(value: &i64) -> bool {
    *value == 0
}

impl FaultEffect {
    /// Adds what another part of the same composite fault did.
    pub fn add(&mut self, other: &FaultEffect) {
        self.datagrams_blocked += other.datagrams_blocked;
        self.datagrams_held += other.datagrams_held;
        self.datagrams_carried += other.datagrams_carried;
        self.queue_wait = self.queue_wait.max(other.queue_wait);
        self.links_held += other.links_held;
        self.sessions_reset += other.sessions_reset;
        self.node_down += other.node_down;
        self.node_paused += other.node_paused;
        self.bytes_torn += other.bytes_torn;
        self.bytes_lost += other.bytes_lost;
        self.writes_refused += other.writes_refused;
        self.reads_refused += other.reads_refused;
        self.syncs_delayed += other.syncs_delayed;
        self.clock_readings += other.clock_readings;
        if other.clock_offset_ms.abs() > self.clock_offset_ms.abs() {
            self.clock_offset_ms = other.clock_offset_ms;
        }
        self.operations += other.operations;
    }

    /// Why a fault of this class did not bite with such an effect; `None`: it did. `docs/scenarios.md` has the table.
    pub fn toothless(&self, class: FaultClass) -> Option<&'static str> {
        let (bit, why) = match class {
            FaultClass::Cut => (self.datagrams_blocked > 0, "not one datagram was dropped"),
            FaultClass::Reset => (self.sessions_reset > 0, "no session was there to be reset"),
            FaultClass::Clog => (self.datagrams_held > 0, "not one datagram was held"),
            FaultClass::DialCut => (self.datagrams_blocked > 0, "nobody tried to open a connection"),
            FaultClass::Degrade => (self.datagrams_carried > 0, "not one datagram was sent over the degraded link"),
            FaultClass::Bloat => (self.queue_wait >= limits::BLOAT_BITES, "no queue ever built up"),
            FaultClass::Crash => (!self.node_down.is_zero(), "the node was not running"),
            FaultClass::TornWrite => (self.bytes_torn > 0, "no write was torn"),
            FaultClass::UnsyncedLoss => (self.bytes_lost > 0, "nothing was lost that had not been synced"),
            FaultClass::DataLoss => (self.bytes_lost > 0, "the disk held nothing"),
            FaultClass::Pause => {
                (self.datagrams_held > 0 && !self.node_paused.is_zero(), "nothing waited for the paused node")
            }
            FaultClass::DiskFull => (self.writes_refused > 0, "nothing was written to the full disk"),
            FaultClass::DiskSlow => (self.syncs_delayed > 0, "the slow disk was not synced"),
            FaultClass::ReadError => (self.reads_refused > 0, "nothing was read from the disk"),
            FaultClass::Clock => (self.clock_readings > 0, "nobody read the clock"),
        };
        (!bit).then_some(why)
    }

    /// In a line: what it did, in the order of the fields; empty when it did nothing.
    pub fn words(&self) -> String {
        let counted = [
            (self.datagrams_blocked, "datagram", "blocked"),
            (self.datagrams_held, "datagram", "held"),
            (self.datagrams_carried, "datagram", "carried"),
            (self.sessions_reset, "session end", "told"),
            (self.writes_refused, "write", "refused"),
            (self.reads_refused, "read", "refused"),
            (self.syncs_delayed, "sync", "delayed"),
            (self.clock_readings, "reading", "of the clock"),
        ];
        let mut words: Vec<String> = Vec::new();
        for (number, noun, verb) in counted.into_iter().filter(|(number, ..)| *number > 0) {
            words.push(format!("{} {verb}", plural(number, noun)));
        }
        let bytes_gone = [(self.bytes_torn, "torn off"), (self.bytes_lost, "lost")];
        let gone = bytes_gone.into_iter().filter(|(number, _)| *number > 0);
        words.extend(gone.map(|(number, verb)| format!("{} {verb}", bytes(number as f64))));
        if !self.queue_wait.is_zero() {
            words.push(format!("{} in the queue at most", span(self.queue_wait)));
        }
        if self.clock_offset_ms != 0 {
            let sign = if self.clock_offset_ms < 0 { "late" } else { "ahead" };
            let off = Duration::from_millis(self.clock_offset_ms.unsigned_abs());
            words.push(format!("{} {sign} at most", span(off)));
        }
        if self.operations > 0 {
            words.push(format!("{} meanwhile", plural(self.operations, "operation")));
        }
        words.join(", ")
    }
}
