//! The four guarantees of a session between an application and its node, per document. Together they are causal
//! consistency.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{CheckResult, Findings, brief};
use crate::plan::{DocKey, FaultClass, NodeIndex, OpId};
use crate::record::history::{DocHistory, History, Registers};
use crate::record::{OpKind, OpRecord, RunRecord};
use crate::report::{count, plural};
use crate::time::SimTime;

/// The highest counter of each register, and the operation that raised it to that.
type Raised<'r> = BTreeMap<&'r str, (u64, &'r OpRecord)>;

/// What a node's application read of a document.
struct Read<'r> {
    by: OpId,
    at: SimTime,
    text: &'r Arc<str>,
}

/// All four. Those about reads only where something was read.
pub(super) fn check(record: &RunRecord, history: &History<'_>) -> Vec<CheckResult> {
    let mut judge = Judge::new(record, history);
    for (key, doc) in &history.docs {
        // What a delete leaves of writes beside it is for `deletes-stay` to say.
        if !history.deleted(key) {
            judge.excuses.get_mut().clear();
            judge.reads(key, doc);
            judge.states(key, doc);
        }
    }
    judge.results()
}

struct Judge<'r> {
    record: &'r RunRecord,
    history: &'r History<'r>,
    finals: BTreeMap<&'r DocKey, Vec<(NodeIndex, &'r Arc<str>)>>,
    /// How low an application may have put a register of the present document after it had a value: to find that out costs
    /// a walk through its history.
    excuses: RefCell<BTreeMap<(String, u64), Option<u64>>>,
    reads: u64,
    states: u64,
    own: Findings,
    back: Findings,
    half: Findings,
    causes: Findings,
}

impl<'r> Judge<'r> {
    fn new(record: &'r RunRecord, history: &'r History<'r>) -> Self {
        let mut finals: BTreeMap<&DocKey, Vec<(NodeIndex, &Arc<str>)>> = BTreeMap::new();
        for replica in record.finals.iter().filter(|replica| replica.running) {
            for (key, doc) in &replica.docs {
                finals.entry(key).or_default().extend(doc.json.as_ref().map(|text| (replica.node, text)));
            }
        }
        let [own, back, half, causes] = [(); 4].map(|()| Findings::default());
        Judge { record, history, finals, excuses: RefCell::default(), reads: 0, states: 0, own, back, half, causes }
    }

    /// Read your writes, and monotonic reads: each read of a node in turn, and what the node holds at the end.
    fn reads(&mut self, key: &DocKey, doc: &DocHistory<'r>) {
        let losses = self.record.faults.iter().filter(|fault| fault.spec.class == FaultClass::DataLoss);
        let losses: Vec<(NodeIndex, SimTime)> =
            losses.filter_map(|fault| Some((fault.spec.node?, fault.applied?))).collect();
        let mut nodes: BTreeMap<NodeIndex, Vec<Read<'_>>> = BTreeMap::new();
        for operation in &doc.operations {
            let read = operation.read.as_ref().map(|text| Read { by: operation.op, at: operation.invoked, text });
            nodes.entry(operation.node).or_default().extend(read);
        }
        for (node, reads) in &mut nodes {
            if reads.is_empty() {
                continue;
            }
            let last = self.finals.get(key).into_iter().flatten().find(|(of, _)| of == node);
            reads.extend(last.map(|(_, text)| Read { by: OpId(u64::MAX), at: SimTime::MAX, text }));
            let own: Vec<&OpRecord> =
                doc.operations.iter().copied().filter(|op| op.node == *node && is_write(op)).collect();
            let mut before: Option<&Read<'_>> = None;
            for read in &*reads {
                self.reads += 1;
                let (history, name) = (self.history, self.record.topology.name(*node));
                let shown = history.registers(read.text);
                // A disk that was lost is not asked for what it had.
                let since =
                    losses.iter().copied().filter(|(of, at)| of == node && *at <= read.at).map(|(_, at)| at).max();
                let is_kept = |at: SimTime| since.is_none_or(|since| at >= since);
                let is_before = |op: &OpRecord| {
                    op.op < read.by && is_kept(op.invoked) && op.completed.is_some_and(|end| end <= read.at)
                };
                let done = own.iter().filter(|op| op.acknowledged() && is_before(op));
                if let Some((register, counter, value)) = self.lacking(key, shown, &raised(done.copied())) {
                    let when = moment(read.at);
                    self.own.add(|| {
                        let text = brief(read.text);
                        format!("{name} {when}: {key} `{register}` is {value}, it had written {counter}: {text}")
                    });
                }
                if let Some(before) = before.replace(read).filter(|before| is_kept(before.at)) {
                    let seen = history.registers(before.text);
                    if let Some((register, counter, value)) = self.missing(key, shown, seen) {
                        let when = moment(read.at);
                        self.back.add(|| {
                            let earlier = moment(before.at);
                            format!("{name} {when}: {key} `{register}` is {value}, it had read {counter} {earlier}")
                        });
                    }
                }
            }
        }
    }

    /// Monotonic writes, and writes that follow reads: every state that anyone was shown.
    fn states(&mut self, key: &DocKey, doc: &DocHistory<'r>) {
        let mut authors: BTreeMap<NodeIndex, Vec<&OpRecord>> = BTreeMap::new();
        for operation in doc.operations.iter().copied().filter(|operation| is_write(operation)) {
            authors.entry(operation.node).or_default().push(operation);
        }
        // One author and nothing read: one register that rises, which `session-order` follows.
        if !authors.values().flatten().any(|operation| operation.read.is_some() || operation.writes.len() > 1) {
            return;
        }
        let streams = doc
            .seen
            .iter()
            .flat_map(|(node, stream)| stream.iter().map(move |seen| (*node, Some(seen.at), &seen.json)));
        let shown = streams.filter_map(|(node, at, json)| Some((node, at, json.as_ref()?)));
        let finals: Vec<_> =
            self.finals.get(key).into_iter().flatten().map(|(node, text)| (*node, None, *text)).collect();
        let mut judged: BTreeSet<&str> = BTreeSet::new();
        for (node, at, text) in shown.chain(finals) {
            if !judged.insert(text) {
                continue;
            }
            self.states += 1;
            let registers = self.history.registers(text);
            for operations in authors.values() {
                let Some(last) = operations.iter().rposition(|operation| shows_some(registers, operation)) else {
                    continue;
                };
                let latest = operations[last];
                let where_and_when = || {
                    let name = self.record.topology.name(node);
                    format!("{name} {}: {key}", moment(at.unwrap_or(SimTime::MAX)))
                };
                let author = self.record.topology.name(latest.node);
                let due = operations[..last].iter().copied().filter(|operation| operation.acknowledged());
                if let Some((register, counter, value)) = self.lacking(key, registers, &raised(due.chain([latest]))) {
                    let place = where_and_when();
                    self.half.add(|| {
                        let text = brief(text);
                        format!(
                            "{place} shows what {author} wrote at {}, but `{register}` {value} of {counter}: {text}",
                            latest.invoked
                        )
                    });
                }
                let Some(read) = &latest.read else { continue };
                let known = self.history.registers(read);
                if let Some((register, counter, value)) = self.missing(key, registers, known) {
                    let place = where_and_when();
                    self.causes.add(|| {
                        let wrote = latest.invoked;
                        format!("{place} shows what {author} wrote at {wrote} having read `{register}` {counter}, but has {value}")
                    });
                }
            }
        }
    }

    /// A register of what was written that a state does not show, unless an application put it back.
    fn lacking<'w>(&self, key: &DocKey, shown: &Registers, written: &Raised<'w>) -> Option<(&'w str, u64, u64)> {
        written.iter().find_map(|(register, (counter, _))| {
            self.behind(key, shown, register, *counter).map(|at| (*register, *counter, at))
        })
    }

    /// The same of what was read.
    fn missing<'w>(&self, key: &DocKey, shown: &Registers, read: &'w Registers) -> Option<(&'w str, u64, u64)> {
        read.iter().find_map(|(register, counter)| {
            self.behind(key, shown, register, *counter).map(|at| (register.as_str(), *counter, at))
        })
    }

    fn behind(&self, key: &DocKey, shown: &Registers, register: &str, counter: u64) -> Option<u64> {
        let value = shown.get(register).copied().unwrap_or(0);
        if value >= counter {
            return None;
        }
        let mut excuses = self.excuses.borrow_mut();
        let low = excuses.entry((register.to_owned(), counter));
        let low = *low.or_insert_with(|| self.history.overwritten(key, register, counter));
        low.is_none_or(|low| value < low).then_some(value)
    }

    fn results(self) -> Vec<CheckResult> {
        let (reads, states) = (plural(self.reads, "read"), plural(self.states, "state"));
        let mut results = Vec::new();
        if self.reads > 0 {
            let good = format!("{reads} show what their own application had written before");
            results.push(CheckResult::from_findings(
                "read-your-writes",
                self.own,
                "reads lack what their own application had written",
                good,
            ));
            let good = format!("{reads}, none shows less than the one before");
            results.push(CheckResult::from_findings(
                "monotonic-reads",
                self.back,
                "reads show less than earlier ones",
                good,
            ));
        }
        if self.states > 0 {
            let good = format!("{states} show writes whole, and with those that their authors made before");
            results.push(CheckResult::from_findings(
                "monotonic-writes",
                self.half,
                "states show a write and not all before it",
                good,
            ));
            let good = format!("{} show what the authors of their writes had read", count(self.states));
            let bad = "states show a write and not what its author had read";
            results.push(CheckResult::from_findings("writes-follow-reads", self.causes, bad, good));
        }
        results
    }
}

fn is_write(operation: &OpRecord) -> bool {
    operation.kind != OpKind::Delete && operation.may_have_happened()
}

fn shows_some(registers: &Registers, operation: &OpRecord) -> bool {
    operation.writes.iter().any(|(name, counter)| registers.get(&**name).is_some_and(|at| at >= counter))
}

fn raised<'r>(operations: impl Iterator<Item = &'r OpRecord>) -> Raised<'r> {
    let mut raised = Raised::new();
    for operation in operations {
        for (register, counter) in &operation.writes {
            let highest = raised.entry(register).or_insert((*counter, operation));
            if *counter > highest.0 {
                *highest = (*counter, operation);
            }
        }
    }
    raised
}

fn moment(at: SimTime) -> String {
    if at == SimTime::MAX { "at the end".to_owned() } else { format!("at {at}") }
}
