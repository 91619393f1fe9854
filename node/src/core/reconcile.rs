//! Range-based set reconciliation for peers with no common watermark.
//!
//! The idea is Meyer's range-based set reconciliation (2022): compare fingerprints of key ranges, cut the
//! ranges that differ, and list a range once it is small. Messages alternate, so the state is only what is
//! still to be said. `docs/protocol.md` has the messages.

use std::collections::VecDeque;

use super::index::Index;
use super::key::DocKey;
use super::wire::{Heads, Item, Range, RangeBody};
use crate::limits;

/// A range with at most this many documents on either side is listed instead of cut.
const LIST_BELOW: u64 = 16;
/// A range that differs is cut into this many.
const PARTS: usize = 16;

/// One side of a reconciliation.
#[derive(Debug)]
pub struct Reconcile {
    /// What is still to be said.
    todo: VecDeque<Range>,
    /// Whether our last message was empty.
    sent_empty: bool,
    /// Whether it is our turn.
    our_turn: bool,
}

/// Why a reconciliation message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The peer spoke although it was our turn.
    #[error("reconciliation message out of turn")]
    OutOfTurn,
    /// The peer makes us say more than two honest sides ever would.
    #[error("{pending} ranges pending; the limit for {documents} documents is {limit}")]
    TooMuch {
        /// Ranges that we would have to answer.
        pending: usize,
        /// Documents that we have.
        documents: usize,
        /// The limit.
        limit: usize,
    },
}

/// What a message led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Documents to send, with the heads that the peer has.
    pub send: Vec<(DocKey, Heads)>,
    /// Our next message, if it is due.
    pub reply: Option<Vec<Range>>,
    /// Whether both sides are done.
    pub done: bool,
}

impl Reconcile {
    /// The side that begins; also returns its first message.
    pub fn begin(index: &Index) -> (Self, Vec<Range>) {
        let whole = Range { from: None, upto: None, body: fingerprint(index, None, None) };
        (Self { todo: VecDeque::new(), sent_empty: false, our_turn: false }, vec![whole])
    }

    /// The side that waits for the first message.
    pub fn wait() -> Self {
        Self { todo: VecDeque::new(), sent_empty: false, our_turn: false }
    }

    /// Answers a message.
    pub fn receive(&mut self, index: &Index, message: Vec<Range>) -> Result<Outcome, ReconcileError> {
        if self.our_turn {
            return Err(ReconcileError::OutOfTurn);
        }
        let mut outcome = Outcome::default();
        let got_empty = message.is_empty();
        for range in message {
            self.answer(index, range, &mut outcome.send);
        }
        let limit = 2 * index.len() + limits::MAX_RECONCILE_ITEMS * PARTS;
        if self.todo.len() > limit {
            return Err(ReconcileError::TooMuch { pending: self.todo.len(), documents: index.len(), limit });
        }
        if got_empty && self.sent_empty && self.todo.is_empty() {
            outcome.done = true;
            self.our_turn = true;
            return Ok(outcome);
        }
        let count = self.todo.len().min(limits::MAX_RECONCILE_ITEMS);
        let reply: Vec<Range> = self.todo.drain(..count).collect();
        self.sent_empty = reply.is_empty();
        // Both have just said that they have nothing more: the peer concludes the same from our reply.
        outcome.done = got_empty && reply.is_empty();
        self.our_turn = outcome.done;
        outcome.reply = Some(reply);
        Ok(outcome)
    }

    fn answer(&mut self, index: &Index, range: Range, send: &mut Vec<(DocKey, Heads)>) {
        let Range { from, upto, body } = range;
        match body {
            RangeBody::Fingerprint { count, sum } => {
                let (own_count, own_sum) = index.fingerprint(from.as_ref(), upto.as_ref());
                if (own_count, own_sum.to_le_bytes()) == (count, sum) {
                    return;
                }
                if own_count <= LIST_BELOW {
                    let items = index
                        .range(from.as_ref(), upto.as_ref())
                        .map(|(key, meta)| Item { key: key.clone(), heads: meta.heads.clone() })
                        .collect();
                    self.todo.push_back(Range { from, upto, body: RangeBody::Items(items) });
                } else if count <= LIST_BELOW {
                    // The same question back makes the peer list its few.
                    let body = RangeBody::Fingerprint { count: own_count, sum: own_sum.to_le_bytes() };
                    self.todo.push_back(Range { from, upto, body });
                } else {
                    self.cut(index, from, upto, own_count);
                }
            }
            RangeBody::Items(theirs) => {
                let mut answer = Vec::new();
                let mut listed = theirs.iter().peekable();
                for (key, meta) in index.range(from.as_ref(), upto.as_ref()) {
                    while let Some(only_theirs) = listed.next_if(|item| item.key < *key) {
                        answer.push(Item { key: only_theirs.key.clone(), heads: vec![] });
                    }
                    match listed.next_if(|item| item.key == *key) {
                        Some(item) if item.heads == meta.heads => {}
                        Some(item) => {
                            answer.push(Item { key: key.clone(), heads: meta.heads.clone() });
                            send.push((key.clone(), item.heads.clone()));
                        }
                        None => send.push((key.clone(), vec![])),
                    }
                }
                answer.extend(listed.map(|item| Item { key: item.key.clone(), heads: vec![] }));
                if !answer.is_empty() {
                    self.todo.push_back(Range { from, upto, body: RangeBody::Answer(answer) });
                }
            }
            RangeBody::Answer(items) => send.extend(items.into_iter().map(|item| (item.key, item.heads))),
        }
    }

    fn cut(&mut self, index: &Index, from: Option<DocKey>, upto: Option<DocKey>, count: u64) {
        let step = (count as usize).div_ceil(PARTS);
        let mut bounds: Vec<Option<DocKey>> =
            index.range(from.as_ref(), upto.as_ref()).step_by(step).skip(1).map(|(key, _)| Some(key.clone())).collect();
        bounds.push(upto);
        let mut low = from;
        for high in bounds {
            let body = fingerprint(index, low.as_ref(), high.as_ref());
            self.todo.push_back(Range { from: low, upto: high.clone(), body });
            low = high;
        }
    }
}

fn fingerprint(index: &Index, from: Option<&DocKey>, upto: Option<&DocKey>) -> RangeBody {
    let (count, sum) = index.fingerprint(from, upto);
    RangeBody::Fingerprint { count, sum: sum.to_le_bytes() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::index::Meta;
    use super::*;

    fn index(documents: &[(u16, u8)]) -> Index {
        let mut index = Index::default();
        for (i, (id, head)) in documents.iter().enumerate() {
            let key = DocKey::new("c", format!("{id:05}")).expect("valid");
            let meta = Meta {
                seq: i as u64 + 1,
                heads: vec![[*head; 32]],
                deleted: false,
                folded: 0,
                snapshot_bytes: 0,
                tail_bytes: 0,
                checkpoints: vec![],
            };
            index.set(&key, meta);
        }
        index
    }

    /// Lets two sides talk to the end; returns what each would send and the number of messages.
    fn converse(a: &Index, b: &Index) -> ([Vec<(DocKey, Heads)>; 2], usize) {
        let (side_a, first) = Reconcile::begin(a);
        let mut sides = [side_a, Reconcile::wait()];
        let mut send = [vec![], vec![]];
        let mut done = [false, false];
        let (mut message, mut to, mut count) = (Some(first), 1, 0);
        while let Some(ranges) = message.take() {
            count += 1;
            assert!(count < 10_000, "endless reconciliation");
            let outcome = sides[to].receive([a, b][to], ranges).expect("honest");
            send[to].extend(outcome.send);
            done[to] |= outcome.done;
            message = outcome.reply;
            to = 1 - to;
        }
        assert_eq!(done, [true, true], "both know that they are done");
        (send, count)
    }

    fn differing(own: &Index, other: &Index) -> Vec<(DocKey, Heads)> {
        own.after(None)
            .filter(|(key, meta)| other.get(key).is_none_or(|theirs| theirs.heads != meta.heads))
            .map(|(key, _)| (key.clone(), other.get(key).map_or_else(Vec::new, |theirs| theirs.heads.clone())))
            .collect()
    }

    fn check(a: &Index, b: &Index) {
        let ([mut from_a, mut from_b], _) = converse(a, b);
        from_a.sort();
        from_b.sort();
        assert_eq!(from_a, differing(a, b));
        assert_eq!(from_b, differing(b, a));
    }

    #[test]
    fn equal_sets_cost_one_fingerprint_and_two_empty_messages() {
        let documents: Vec<_> = (0..1000).map(|i| (i, 1)).collect();
        assert_eq!(converse(&index(&documents), &index(&documents)).1, 3);
    }

    #[test]
    fn an_empty_side_gets_everything_without_listing_it() {
        let documents: Vec<_> = (0..20_000).map(|i| (i, 1)).collect();
        let ([from_full, from_empty], messages) = converse(&index(&documents), &index(&[]));
        assert_eq!((from_full.len(), from_empty.len()), (20_000, 0));
        assert!(messages <= 6, "{messages}");
    }

    proptest! {
        #[test]
        fn both_sides_learn_exactly_what_differs(
            common in prop::collection::btree_map(0u16..2000, 0u8..3, 0..400),
            edits in prop::collection::vec((any::<bool>(), 0u16..2000, 3u8..6), 0..60),
        ) {
            let mut sides = [common.clone(), common];
            for (side, id, head) in edits {
                sides[usize::from(side)].insert(id, head);
            }
            let [a, b] = sides.map(|side| index(&side.into_iter().collect::<Vec<_>>()));
            check(&a, &b);
        }
    }
}
