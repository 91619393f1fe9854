//! A record, indexed by document: who wrote what, and what each replica saw when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Change, OpKind, OpRecord, RunRecord};
use crate::plan::{DocKey, NodeIndex, registers};
use crate::time::SimTime;

/// Register name to counter.
pub type Registers = BTreeMap<String, u64>;

/// What a replica saw of a document at one moment.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: SimTime,
    /// The text, or `None` for a delete.
    pub json: Option<Arc<str>>,
}

/// The life of one document.
#[derive(Debug, Default)]
pub struct DocHistory<'a> {
    /// Operations on it, in order of issue.
    pub operations: Vec<&'a OpRecord>,
    /// What each replica saw, in order of time.
    pub seen: BTreeMap<NodeIndex, Vec<Seen>>,
}

/// A record, indexed. Each distinct document text is parsed once.
#[derive(Debug)]
pub struct History<'a> {
    /// By document.
    pub docs: BTreeMap<DocKey, DocHistory<'a>>,
    parsed: BTreeMap<Arc<str>, Registers>,
    none: Registers,
}

impl<'a> History<'a> {
    /// Indexes a record.
    pub fn of(record: &'a RunRecord) -> Self {
        let mut docs: BTreeMap<DocKey, DocHistory<'a>> = BTreeMap::new();
        let mut texts: BTreeSet<&Arc<str>> = BTreeSet::new();
        for operation in &record.operations {
            docs.entry(operation.key.clone()).or_default().operations.push(operation);
            texts.extend(&operation.json);
            texts.extend(&operation.read);
        }
        for event in &record.visibility {
            let json = match &event.change {
                Change::Upsert(json) => Some(json.clone()),
                Change::Delete => None,
            };
            if let Change::Upsert(json) = &event.change {
                texts.insert(json);
            }
            let history = docs.entry(event.key.clone()).or_default();
            history.seen.entry(event.node).or_default().push(Seen { at: event.at, json });
        }
        for replica in &record.finals {
            texts.extend(replica.docs.values().filter_map(|doc| doc.json.as_ref()));
        }
        for snapshot in &record.restart_snapshots {
            texts.extend(snapshot.docs.values());
        }
        let parsed = texts.into_iter().map(|text| (text.clone(), registers(text))).collect();
        History { docs, parsed, none: Registers::new() }
    }

    /// The registers of a text of the record.
    pub fn registers(&self, json: &str) -> &Registers {
        self.parsed.get(json).unwrap_or(&self.none)
    }

    /// Does the text contain everything that the operation wrote as its own, or something later?
    pub fn shows(&self, json: &str, operation: &OpRecord) -> bool {
        let registers = self.registers(json);
        operation.writes.iter().all(|(name, counter)| registers.get(&**name).is_some_and(|at| at >= counter))
    }

    /// Whether the document was deleted by an operation that may have happened.
    pub fn deleted(&self, key: &DocKey) -> bool {
        let is_delete = |operation: &&OpRecord| operation.kind == OpKind::Delete && operation.may_have_happened();
        self.docs.get(key).is_some_and(|doc| doc.operations.iter().any(is_delete))
    }

    /// The lowest value that a register may have been put back to after it was `counter`: some
    /// application wrote the whole document with a lower value although its replica had shown it
    /// `counter` before the write ended. That is the application's doing (a read-modify-write that
    /// raced with an arrival), not the mesh's. `None`: nobody did.
    pub fn overwritten(&self, key: &DocKey, register: &str, counter: u64) -> Option<u64> {
        let doc = self.docs.get(key)?;
        let lowers = doc.operations.iter().filter(|operation| operation.may_have_happened());
        lowers
            .filter_map(|operation| {
                let json = operation.json.as_ref()?;
                let value = self.registers(json).get(register).copied().unwrap_or(0);
                let end = operation.completed.unwrap_or(SimTime::MAX);
                (value < counter && self.knew(doc, operation.node, register, counter, end)).then_some(value)
            })
            .min()
    }

    /// Had `node` seen the register at `counter` or later by `end`, in its stream or by its own hand?
    fn knew(&self, doc: &DocHistory<'_>, node: NodeIndex, register: &str, counter: u64, end: SimTime) -> bool {
        let high = |value: Option<&u64>| value.is_some_and(|value| *value >= counter);
        let seen = doc.seen.get(&node).into_iter().flatten().any(|seen| {
            seen.at <= end && seen.json.as_ref().is_some_and(|json| high(self.registers(json).get(register)))
        });
        let own = || {
            doc.operations.iter().any(|operation| {
                operation.node == node
                    && operation.completed.is_some_and(|completed| completed <= end)
                    && operation.writes.iter().any(|(name, value)| &**name == register && *value >= counter)
            })
        };
        seen || own()
    }

    /// A put or edit of a document by a node that knew, or may have known, that it had been
    /// deleted: it brings the document back on purpose.
    pub fn revived(&self, key: &DocKey) -> bool {
        let Some(doc) = self.docs.get(key) else {
            return false;
        };
        doc.operations.iter().any(|put| {
            let end = put.completed.unwrap_or(SimTime::MAX);
            let told = || {
                let stream = doc.seen.get(&put.node).into_iter().flatten();
                stream.into_iter().any(|seen| seen.json.is_none() && seen.at <= end)
            };
            let own = || {
                doc.operations.iter().any(|delete| {
                    delete.kind == OpKind::Delete
                        && delete.may_have_happened()
                        && delete.node == put.node
                        && delete.invoked <= end
                })
            };
            put.kind != OpKind::Delete && put.json.is_some() && put.may_have_happened() && (told() || own())
        })
    }

    /// When a replica first showed an operation: its registers, or for a delete, the document gone.
    /// `None` when it never did, or had nothing to show because it never had the document.
    pub fn first_shown(&self, operation: &OpRecord, node: NodeIndex) -> Option<SimTime> {
        let stream = self.docs.get(&operation.key)?.seen.get(&node)?;
        let shown = stream.iter().find(|seen| match (&seen.json, operation.kind) {
            (None, OpKind::Delete) => true,
            (Some(json), OpKind::Put | OpKind::Edit) => self.shows(json, operation),
            _ => false,
        });
        shown.map(|seen| seen.at)
    }
}
