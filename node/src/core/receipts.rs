//! What became of requests that carry an idempotency key, so that a repetition is answered and not carried out again.
//!
//! A receipt is written in the transaction of the write that it is about, so either both survive a crash or neither. It
//! is known to this node only: a client that turns to another node is on its own. Bounded by number, bytes and age, the
//! oldest goes first. Age is counted while the node runs, as no decision depends on a wall clock: after a restart a
//! receipt is kept for the full time again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::session::Now;
use super::wire::Seq;
use crate::limits;

/// What a receipt takes in memory besides its texts.
const RECEIPT_OVERHEAD_BYTES: usize = 160;

/// Names a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestName {
    /// Chosen by the client.
    pub key: String,
    /// Of everything else in the request.
    pub fingerprint: Fingerprint,
}

/// A digest of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of the method and the fields of a request, each of which may be absent.
    pub fn of<'a>(method: &'a str, fields: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for field in std::iter::once(Some(method)).chain(fields) {
            // Lengths keep fields apart; none is one more than any length.
            let length = field.map_or(u64::MAX, |field| field.len() as u64);
            hasher.update(&length.to_le_bytes()).update(field.unwrap_or_default().as_bytes());
        }
        Self(*hasher.finalize().as_bytes().first_chunk().expect("a hash is longer"))
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The key it came with.
    pub key: String,
    /// Of the request.
    pub fingerprint: Fingerprint,
    /// What it was answered.
    pub versions: Vec<String>,
}

/// The row of a receipt, by its number; `None` removes it.
pub type ReceiptRow = (u64, Option<Receipt>);

/// The key came with another request before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("idempotency_key was used for another request; take a new key for each request, the same for its repetitions")]
pub struct KeyReused;

#[derive(Debug)]
struct Held {
    receipt: Receipt,
    since: Now,
    /// What must be durable before it may be told.
    seq: Seq,
}

/// All receipts of a node, ascending by age.
#[derive(Debug, Default)]
pub struct Receipts {
    held: BTreeMap<u64, Held>,
    by_key: BTreeMap<String, u64>,
    bytes: usize,
    next: u64,
    /// Numbers of those that are not durable yet: waiting, and being committed.
    pending: Vec<u64>,
    in_flight: Vec<u64>,
}

impl Receipts {
    /// What a store holds.
    pub fn new(stored: Vec<(u64, Receipt)>) -> Self {
        let mut receipts = Self::default();
        for (number, receipt) in stored {
            receipts.insert(number, Held { receipt, since: Now::ZERO, seq: 0 });
        }
        receipts
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The answer to a request that was carried out before, and what must be durable before it is given.
    pub fn find(&self, name: &RequestName, now: Now) -> Result<Option<(&[String], Seq)>, KeyReused> {
        let held = self.by_key.get(&name.key).and_then(|number| self.held.get(number));
        match held.filter(|held| !held.is_over(now)) {
            None => Ok(None),
            Some(held) if held.receipt.fingerprint != name.fingerprint => Err(KeyReused),
            Some(held) => Ok(Some((&held.receipt.versions, held.seq))),
        }
    }

    /// Keeps the answer to a request that is durable once `seq` is. Returns the rows to write.
    pub fn keep(&mut self, name: &RequestName, versions: &[String], seq: Seq, now: Now) -> Vec<ReceiptRow> {
        let receipt = Receipt { key: name.key.clone(), fingerprint: name.fingerprint, versions: versions.to_vec() };
        let mut rows = Vec::new();
        // One that is over and was not removed yet.
        if let Some(old) = self.by_key.get(&name.key).copied() {
            self.remove(old);
            rows.push((old, None));
        }
        let number = self.next;
        self.insert(number, Held { receipt: receipt.clone(), since: now, seq });
        self.pending.push(number);
        rows.push((number, Some(receipt)));
        while let Some((&oldest, held)) = self.held.first_key_value()
            && oldest != number
            && (held.is_over(now) || self.held.len() > limits::MAX_RECEIPTS || self.bytes > limits::MAX_RECEIPT_BYTES)
        {
            self.remove(oldest);
            rows.push((oldest, None));
        }
        rows
    }

    /// The rows that were returned are being committed.
    pub fn taken(&mut self) {
        self.in_flight = std::mem::take(&mut self.pending);
    }

    /// And are durable.
    pub fn committed(&mut self) {
        self.in_flight.clear();
    }

    /// Nothing that is not durable ever will be.
    pub fn undo(&mut self) {
        let lost = [std::mem::take(&mut self.pending), std::mem::take(&mut self.in_flight)].concat();
        lost.into_iter().for_each(|number| self.remove(number));
    }

    fn insert(&mut self, number: u64, held: Held) {
        self.next = self.next.max(number + 1);
        self.bytes += held.bytes();
        self.by_key.insert(held.receipt.key.clone(), number);
        self.held.insert(number, held);
    }

    fn remove(&mut self, number: u64) {
        if let Some(held) = self.held.remove(&number) {
            self.bytes -= held.bytes();
            if self.by_key.get(&held.receipt.key) == Some(&number) {
                self.by_key.remove(&held.receipt.key);
            }
        }
    }
}

impl Held {
    fn is_over(&self, now: Now) -> bool {
        now.saturating_sub(self.since) > limits::RECEIPT_AGE
    }

    fn bytes(&self) -> usize {
        let versions: usize = self.receipt.versions.iter().map(|version| version.len() + size_of::<String>()).sum();
        RECEIPT_OVERHEAD_BYTES + 2 * self.receipt.key.len() + versions
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn name(key: &str, body: &str) -> RequestName {
        RequestName { key: key.into(), fingerprint: Fingerprint::of("Put", [Some(body)]) }
    }

    fn version(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    const START: Now = Duration::ZERO;

    #[test]
    fn a_repetition_gets_the_answer_of_the_first() {
        let mut receipts = Receipts::default();
        assert_eq!(receipts.find(&name("k", "a"), START), Ok(None));
        receipts.keep(&name("k", "a"), &version("v1"), 7, START);
        assert_eq!(receipts.find(&name("k", "a"), START), Ok(Some((&version("v1")[..], 7))));
        assert_eq!(receipts.find(&name("k", "b"), START), Err(KeyReused));
    }

    #[test]
    fn a_restart_forgets_nothing_and_begins_the_time_anew() {
        let mut receipts = Receipts::default();
        let rows = receipts.keep(&name("k", "a"), &version("v1"), 7, START);
        let stored = rows.into_iter().map(|(number, row)| (number, row.unwrap())).collect();
        let mut receipts = Receipts::new(stored);
        assert_eq!(receipts.find(&name("k", "a"), limits::RECEIPT_AGE), Ok(Some((&version("v1")[..], 0))));
        let rows = receipts.keep(&name("l", "a"), &version("v2"), 8, START);
        assert_eq!(rows[0].0, 1, "numbers go on");
    }

    #[test]
    fn what_is_over_is_forgotten_and_its_key_can_be_used_again() {
        let mut receipts = Receipts::default();
        receipts.keep(&name("k", "a"), &version("v1"), 7, START);
        let later = limits::RECEIPT_AGE + Duration::from_secs(1);
        assert_eq!(receipts.find(&name("k", "b"), later), Ok(None));
        let rows = receipts.keep(&name("k", "b"), &version("v2"), 8, later);
        assert_eq!(
            rows.iter().map(|(number, row)| (*number, row.is_some())).collect::<Vec<_>>(),
            [(0, false), (1, true)]
        );
        assert_eq!(receipts.find(&name("k", "b"), later), Ok(Some((&version("v2")[..], 8))));
        receipts.keep(&name("l", "a"), &version("v3"), 9, later);
        receipts.keep(&name("m", "a"), &version("v3"), 9, later * 2);
        assert_eq!(receipts.len(), 1);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
        let mut receipts = Receipts::default();
        for n in 0..=limits::MAX_RECEIPTS {
            receipts.keep(&name(&n.to_string(), "a"), &version("v"), 1, START);
        }
        assert_eq!(receipts.len(), limits::MAX_RECEIPTS);
        assert_eq!(receipts.find(&name("0", "a"), START), Ok(None));
        let large = vec!["v".repeat(684); limits::MAX_PUT_DOCUMENTS];
        for n in 0..100 {
            receipts.keep(&name(&format!("large {n}"), "a"), &large, 1, START);
            assert!(receipts.bytes <= limits::MAX_RECEIPT_BYTES);
        }
        assert!(receipts.find(&name("large 99", "a"), START).unwrap().is_some());
        let bytes: usize = receipts.held.values().map(Held::bytes).sum();
        assert_eq!(receipts.bytes, bytes);
        assert_eq!(receipts.by_key.len(), receipts.len());
    }

    #[test]
    fn what_did_not_become_durable_did_not_happen() {
        let mut receipts = Receipts::default();
        receipts.keep(&name("durable", "a"), &version("v1"), 1, START);
        receipts.taken();
        receipts.committed();
        receipts.keep(&name("in flight", "a"), &version("v2"), 2, START);
        receipts.taken();
        receipts.keep(&name("waiting", "a"), &version("v3"), 3, START);
        receipts.undo();
        assert!(receipts.find(&name("durable", "a"), START).unwrap().is_some());
        assert_eq!(receipts.len(), 1);
    }

    #[test]
    fn fields_are_kept_apart() {
        assert_ne!(Fingerprint::of("Put", [Some("ab"), Some("c")]), Fingerprint::of("Put", [Some("a"), Some("bc")]));
        assert_ne!(Fingerprint::of("Put", [Some(""), None]), Fingerprint::of("Put", [None, Some("")]));
    }
}
