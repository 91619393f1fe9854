//! Two sides with histories that stand in for documents: a set of changes, each with what it builds on.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::index::{Index, Meta};
use super::super::key::DocKey;
use super::super::outbox::{Base, Outbox};
use super::super::wire::{Cell, Control, Form, Heads, Id, Next, Ordinal, Pair, Read, Recall, Set, Told, Turn};
use super::*;

type Hash = [u8; 32];

/// A change: what it builds on, and its number at this side.
#[derive(Debug, Clone)]
struct Change {
    hash: Hash,
    deps: Vec<Hash>,
    seq: u64,
}

/// One side: its documents and what it still has to send.
#[derive(Default)]
struct Side {
    index: Index,
    docs: BTreeMap<DocKey, Vec<Change>>,
    outbox: Outbox,
    seq: u64,
    /// Stored bytes of each document, beyond a few.
    large_bytes: u64,
}

impl History for Side {
    fn recall(&self, key: &DocKey, heads: &Marks) -> Recall {
        let history: Vec<Hash> = self.docs[key].iter().map(|change| change.hash).collect();
        heads.recall(&history, &self.heads(key))
    }
}

impl Side {
    fn heads(&self, key: &DocKey) -> Heads {
        let changes = &self.docs[key];
        let built_on: BTreeSet<&Hash> = changes.iter().flat_map(|change| &change.deps).collect();
        let heads: BTreeSet<Hash> = changes.iter().map(|c| c.hash).filter(|hash| !built_on.contains(hash)).collect();
        heads.into_iter().collect()
    }

    /// Adds changes, which the peer may lack when `live`.
    fn add(&mut self, key: &DocKey, changes: impl IntoIterator<Item = (Hash, Vec<Hash>)>, live: bool) {
        self.seq += 1;
        let doc = self.docs.entry(key.clone()).or_default();
        for (hash, deps) in changes {
            if doc.iter().any(|change| change.hash == hash) {
                continue;
            }
            assert!(deps.iter().all(|dep| doc.iter().any(|c| c.hash == *dep)), "{key}: a change without its past");
            doc.push(Change { hash, deps, seq: self.seq });
        }
        let meta = Meta {
            seq: self.seq,
            heads: self.heads(key),
            deleted: false,
            folded: 0,
            snapshot_bytes: 0,
            tail_bytes: 100 + self.large_bytes,
            checkpoints: vec![],
            base: None,
        };
        self.index.set(key, meta);
        if live {
            self.outbox.mark(key, self.seq);
        }
    }

    /// Makes `edits` changes of a document, one after the other.
    fn edit(&mut self, key: &DocKey, author: u64, edits: u64, live: bool) {
        for _ in 0..edits {
            let deps = if self.docs.contains_key(key) { self.heads(key) } else { vec![] };
            let mut hasher = blake3::Hasher::new();
            hasher.update(key.id().as_bytes()).update(&author.to_le_bytes()).update(&deps.concat());
            let hash = *hasher.finalize().as_bytes();
            self.add(key, [(hash, deps)], live);
        }
    }

    fn receive(&mut self, side: &mut Reconcile, turn: Turn) -> Result<Outcome, ReconcileError> {
        side.receive(&View::everything(&self.index, self), turn)
    }

    /// What of a document a peer with this base may lack.
    fn changes_for(&self, key: &DocKey, base: &Base) -> Vec<(Hash, Vec<Hash>)> {
        let changes = &self.docs[key];
        let history: Vec<Hash> = changes.iter().map(|change| change.hash).collect();
        let mut has: BTreeSet<Hash> = match base {
            Base::Before(seq) => changes.iter().filter(|c| c.seq < *seq).map(|c| c.hash).collect(),
            Base::Has(marks) => marks.among(&history).into_iter().collect(),
        };
        for change in changes.iter().rev() {
            if has.contains(&change.hash) {
                has.extend(&change.deps);
            }
        }
        changes.iter().filter(|c| !has.contains(&c.hash)).map(|c| (c.hash, c.deps.clone())).collect()
    }
}

fn key(id: u64) -> DocKey {
    DocKey::new("c", format!("{id:05}")).expect("valid")
}

/// Two sides with `documents` in common, of four changes each.
fn common(documents: u64) -> [Side; 2] {
    [(), ()].map(|()| {
        let mut side = Side::default();
        (0..documents).for_each(|id| side.edit(&key(id), 0, 4, false));
        side
    })
}

/// What a conversation cost.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cost {
    messages: usize,
    bytes: usize,
}

/// Lets two sides talk to the end, and does something to them before each message.
fn converse(sides: &mut [Side; 2], salt: u64, mut meanwhile: impl FnMut(&mut [Side; 2], usize)) -> Cost {
    let (first, turn) = Reconcile::begin(&View::everything(&sides[0].index, &sides[0]), salt);
    let mut talk = [first, Reconcile::wait(!salt)];
    let mut done = [false, false];
    let mut cost = Cost::default();
    let mut turn = Some(turn);
    let mut to = 1;
    while let Some(said) = turn.take() {
        let payload = Control::Reconcile(said.clone()).encode(&mut Ordinal::default());
        assert_eq!(Control::decode(&payload, &mut Ordinal::default()), Ok(Control::Reconcile(said.clone())));
        cost.messages += 1;
        cost.bytes += payload.len();
        assert!(cost.messages < 1000, "endless reconciliation");
        meanwhile(sides, cost.messages);
        let outcome = sides[to].receive(&mut talk[to], said).expect("honest");
        for (key, has) in outcome.send {
            sides[to].outbox.mark_reconciled(key, has);
        }
        for (key, has) in outcome.expect {
            sides[to].outbox.expect(key, has);
        }
        done[to] |= outcome.done;
        turn = outcome.reply;
        to = 1 - to;
    }
    assert_eq!(done, [true, true], "both know that they are done");
    cost
}

/// Sends what the outboxes hold until they are empty; returns the changes that were sent each way.
fn exchange(sides: &mut [Side; 2]) -> [usize; 2] {
    let mut sent = [0, 0];
    while sides.iter().any(|side| !side.outbox.is_empty()) {
        let before = sent;
        for from in 0..2 {
            let Some((key, base)) = sides[from].outbox.pop() else { continue };
            let changes = sides[from].changes_for(&key, &base);
            sent[from] += changes.len().max(1);
            if !changes.is_empty() {
                sides[1 - from].add(&key, changes, false);
                sides[1 - from].outbox.arrived(&key);
            }
        }
        assert_ne!(sent, before, "both wait for each other");
    }
    assert_eq!(sides[0].index.fingerprint(), sides[1].index.fingerprint(), "the same documents in the end");
    sent
}

#[test]
fn equal_sets_cost_two_messages() {
    for documents in [0, 1, 200, 1000] {
        let cost = converse(&mut common(documents), 1, |_, _| {});
        assert_eq!(cost.messages, 2);
        assert!(cost.bytes < 2000, "{cost:?}");
    }
}

#[test]
fn an_empty_side_gets_everything_without_listing_it() {
    for full in 0..2 {
        let mut sides = common(0);
        (0..2000).for_each(|id| sides[full].edit(&key(id), 7, 1, false));
        let cost = converse(&mut sides, 1, |_, _| {});
        assert!(cost.messages <= 3 && cost.bytes < 2000, "{cost:?}");
        assert_eq!(exchange(&mut sides)[full], 2000);
    }
}

#[test]
fn one_side_that_is_ahead_sends_what_it_has_more_and_the_other_nothing() {
    for ahead in 0..2 {
        let mut sides = common(1000);
        (0..100).for_each(|n| sides[ahead].edit(&key(n * 7), 7, 2, false));
        let cost = converse(&mut sides, 1, |_, _| {});
        // One sketch in twenty is too small.
        assert!(cost.messages <= 7, "{cost:?}");
        let sent = exchange(&mut sides);
        assert_eq!((sent[ahead], cost.bytes < 14_000), (200, true), "{sent:?} {cost:?}");
        // What was expected, and turned out to be nothing, is popped once.
        assert!(sent[1 - ahead] <= 100, "{sent:?}");
    }
}

#[test]
fn concurrent_edits_of_a_long_history_cost_about_twice_what_is_needed() {
    for longer in 0..2 {
        let mut sides = common(300);
        for n in 0..10 {
            let key = key(n);
            let (one, other) = sides.split_at_mut(1);
            one[0].edit(&key, 1, 200, false);
            let history = one[0].docs[&key].iter().map(|c| (c.hash, c.deps.clone())).collect::<Vec<_>>();
            other[0].add(&key, history, false);
            sides[longer].edit(&key, 2, 20, false);
            sides[1 - longer].edit(&key, 3, 3, false);
        }
        converse(&mut sides, 1, |_, _| {});
        let sent = exchange(&mut sides);
        assert!(sent[longer] >= 200 && sent[1 - longer] >= 30, "{sent:?}");
        assert!(sent[0] + sent[1] <= 10 * (2 * 23 + 10), "{sent:?} of histories of 2,000");
    }
}

#[test]
fn documents_that_are_too_large_to_be_compared_arrive_all_the_same() {
    let mut sides = common(300);
    for side in &mut sides {
        side.large_bytes = limits::MAX_RECONCILE_LOAD_BYTES / 4;
    }
    (0..20).for_each(|n| sides[0].edit(&key(n), 1, 1, false));
    (10..30).for_each(|n| sides[1].edit(&key(n), 2, 1, false));
    converse(&mut sides, 1, |_, _| {});
    exchange(&mut sides);
}

#[test]
fn all_different_is_listed_rather_than_sketched() {
    let mut sides = common(0);
    (0..3000).for_each(|id| sides[(id % 2) as usize].edit(&key(id), 1, 1, false));
    let cost = converse(&mut sides, 1, |_, _| {});
    assert!(cost.messages <= 5 && cost.bytes < 3000 * 10, "{cost:?}");
    exchange(&mut sides);
}

#[test]
fn two_percent_of_ten_thousand_cost_what_the_protocol_says() {
    let mut sides = common(0);
    for side in &mut sides {
        (0..10_000).for_each(|id| side.edit(&key(id), 0, 1, false));
    }
    (0..200).for_each(|n| sides[usize::from(n % 2 == 0)].edit(&key(n * 49), 7, 1, false));
    let cost = converse(&mut sides, 1, |_, _| {});
    assert!(cost.messages == 5 && cost.bytes < 200 * 90, "{cost:?}");
}

#[test]
fn documents_whose_names_begin_alike_do_not_wait_for_each_other() {
    // Two documents, each on one side only, were taken for two versions of one: the teller waited for a change that
    // never came. With 3,000 documents on each side, half of all salts have such a pair.
    for salt in 0..6 {
        let mut sides = common(0);
        (0..6000).for_each(|id| sides[(id % 2) as usize].edit(&key(id), 1, 1, false));
        converse(&mut sides, salt, |_, _| {});
        let sent = exchange(&mut sides);
        assert!(sent[0] + sent[1] <= 6010, "{sent:?}");
    }
}

/// What happens to a document.
#[derive(Debug, Clone, Copy)]
struct Edit {
    side: usize,
    doc: u64,
    edits: u64,
    /// Before which message; 0: before the conversation.
    at: usize,
}

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    let late = prop_oneof![3 => Just(0usize), 2 => 1usize..6];
    let edit = (0usize..2, 0u64..700, 1u64..4, late).prop_map(|(side, doc, edits, at)| Edit { side, doc, edits, at });
    prop::collection::vec(edit, 0..most)
}

fn apply(sides: &mut [Side; 2], edits: &[Edit], at: usize) {
    for edit in edits.iter().filter(|edit| edit.at == at) {
        sides[edit.side].edit(&key(edit.doc), edit.side as u64 + 1, edit.edits, at > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_come_to_the_same_documents_whatever_changes_meanwhile(
        documents in prop_oneof![0u64..20, 150u64..500],
        edits in prop_oneof![edits(6), edits(60), edits(800)],
        salt: u64,
    ) {
        let mut sides = common(documents);
        apply(&mut sides, &edits, 0);
        let cost = converse(&mut sides, salt, |sides, message| apply(sides, &edits, message));
        prop_assert!(cost.messages <= 9, "{cost:?}");
        exchange(&mut sides);
    }

    #[test]
    fn without_changes_meanwhile_nothing_is_sent_that_is_not_needed(
        documents in prop_oneof![0u64..20, 150u64..500],
        edits in edits(100),
        salt: u64,
    ) {
        let mut sides = common(documents);
        let edits: Vec<Edit> = edits.into_iter().map(|edit| Edit { at: 0, ..edit }).collect();
        apply(&mut sides, &edits, 0);
        let differs = |own: &Side, other: &Side, key: &DocKey| other.index.get(key).is_none_or(|meta| meta.heads != own.heads(key));
        let different: BTreeSet<DocKey> = (0..2)
            .flat_map(|own| {
                let (own, other) = (&sides[own], &sides[1 - own]);
                own.docs.keys().filter(|key| differs(own, other, key)).cloned().collect::<Vec<_>>()
            })
            .collect();
        converse(&mut sides, salt, |_, _| {});
        for from in 0..2 {
            let mut outbox = std::mem::take(&mut sides[from].outbox);
            while let Some((key, base)) = outbox.pop() {
                prop_assert!(different.contains(&key), "{key} does not differ");
                let needed = sides[from].docs[&key].len() - sides[1 - from].docs.get(&key).map_or(0, |doc| {
                    sides[from].docs[&key].iter().filter(|c| doc.iter().any(|d| d.hash == c.hash)).count()
                });
                let sent = sides[from].changes_for(&key, &base).len();
                // At most what was made since the newest change that was named.
                prop_assert!(sent >= needed && sent <= 2 * needed + 4, "{sent} sent of {key}, {needed} needed");
            }
        }
    }

    #[test]
    fn hostile_turns_neither_panic_nor_last(
        turns in prop::collection::vec(hostile_turn(), 1..8),
        begins: bool,
        salt: u64,
    ) {
        let [side, _] = common(300);
        let view = View::everything(&side.index, &side);
        let mut talk = if begins { Reconcile::begin(&view, salt).0 } else { Reconcile::wait(salt) };
        for turn in turns {
            match talk.receive(&view, turn) {
                Ok(outcome) => {
                    prop_assert!(outcome.send.len() + outcome.expect.len() <= 600);
                    if let Some(reply) = outcome.reply {
                        let payload = Control::Reconcile(reply.clone()).encode(&mut Ordinal::default());
                        prop_assert_eq!(
                            Control::decode(&payload, &mut Ordinal::default()),
                            Ok(Control::Reconcile(reply))
                        );
                    }
                }
                Err(_) => break,
            }
        }
    }
}

/// Any turn that the wire lets through.
fn hostile_turn() -> impl Strategy<Value = Turn> {
    let cut = (any::<u64>(), 0u8..4, any::<u16>(), 0u8..8).prop_map(|(salt, bits, index, attempt)| Cut {
        salt,
        bits,
        index: index % (1 << bits),
        attempt,
    });
    let cell =
        (any::<i32>(), any::<u64>(), any::<u32>()).prop_map(|(deviation, ids, checks)| Cell { deviation, ids, checks });
    let ids =
        || prop::collection::btree_set(any::<u64>(), 0..40).prop_map(|ids| ids.into_iter().map(Id).collect::<Vec<_>>());
    let set = prop_oneof![
        ids().prop_map(Set::Ids),
        prop::collection::vec(cell, 16..200).prop_map(Set::Cells),
        Just(Set::Cells(vec![Cell { deviation: 0, ids: 0, checks: 0 }; 128])),
    ];
    let count = prop_oneof![0u64..1000, any::<u64>()];
    let told = (cut.clone(), count, set).prop_map(|(cut, count, set)| Told { cut, count, set });
    let tell = (prop::collection::vec(Just(Recall::Ahead), 0..2), prop::option::of(told));
    let form = prop_oneof![Just(Form::Ids), (16u32..5000).prop_map(Form::Cells)];
    let next = prop_oneof![Just(Next::Last), (cut.clone(), form).prop_map(|(cut, form)| Next::Ask(cut, form))];
    let read = (cut, ids(), ids(), next).prop_map(|(cut, wants, pairs, next)| {
        let pairs = pairs.into_iter().map(|id| Pair { id, tag: 0, heads: vec![] }).collect();
        Read { cut, wants, pairs, next }
    });
    prop_oneof![tell.prop_map(|(recalls, told)| Turn::Tell(Tell { recalls, told })), read.prop_map(Turn::Read),]
}

#[test]
fn a_peer_that_never_has_enough_is_stopped() {
    let [side, _] = common(300);
    let view = View::everything(&side.index, &side);
    let (mut talk, _) = Reconcile::begin(&view, 1);
    let cut = Cut { salt: 1, bits: 0, index: 0, attempt: 0 };
    let greedy = Turn::Read(Read { cut, wants: vec![], pairs: vec![], next: Next::Ask(cut, Form::Cells(16)) });
    let ended = (0..100).find_map(|_| talk.receive(&view, greedy.clone()).err());
    assert!(matches!(ended, Some(ReconcileError::TooLong { .. })), "{ended:?}");
}

#[test]
fn a_peer_that_tells_nothing_readable_is_stopped() {
    let [side, _] = common(300);
    let view = View::everything(&side.index, &side);
    let mut talk = Reconcile::wait(1);
    let cut = Cut { salt: 1, bits: 0, index: 0, attempt: 0 };
    let mut told = Told { cut, count: 1 << 40, set: Set::Cells(vec![Cell { deviation: 3, ids: 1, checks: 1 }; 128]) };
    for _ in 0..20 {
        let turn = Turn::Tell(Tell { recalls: vec![], told: Some(told.clone()) });
        let reply = match talk.receive(&view, turn) {
            Ok(outcome) => outcome.reply,
            Err(error) => {
                assert!(matches!(error, ReconcileError::Unreadable { .. } | ReconcileError::NotDue(_)), "{error}");
                return;
            }
        };
        if let Some(Turn::Read(Read { next: Next::Ask(cut, Form::Cells(cells)), .. })) = reply {
            let cells = vec![Cell { deviation: 3, ids: 1, checks: 1 }; cells as usize];
            told = Told { cut, count: 1 << 40, set: Set::Cells(cells) };
        }
    }
    panic!("it goes on for ever");
}
