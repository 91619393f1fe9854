//! What was lost with a disk.

use std::borrow::Cow;

use super::history::History;
use super::{Outcome, RunRecord};
use crate::plan::FaultClass;

impl RunRecord {
    /// The record as the checks look at it: an operation that only a disk had which was then lost may have happened or
    /// not, whatever its application was told. "Only": no other replica had shown it by then. Everything that some
    /// other replica had must survive, and so must what was acknowledged before a mere crash.
    pub fn judged(&self) -> Cow<'_, RunRecord> {
        let losses: Vec<_> = self
            .faults
            .iter()
            .filter(|fault| fault.spec.class == FaultClass::DataLoss)
            .filter_map(|fault| Some((fault.spec.node?, fault.applied?)))
            .collect();
        if losses.is_empty() {
            return Cow::Borrowed(self);
        }
        let history = History::of(self);
        let lost = |position: &usize| {
            let operation = &self.operations[*position];
            losses.iter().any(|&(node, at)| {
                let held = operation.node == node && operation.completed.is_some_and(|completed| completed <= at);
                let others = self.topology.nodes.iter().map(|other| other.index).filter(|other| *other != node);
                held && others
                    .into_iter()
                    .all(|other| history.first_shown(operation, other).is_none_or(|shown| shown > at))
            })
        };
        let acknowledged = (0..self.operations.len()).filter(|position| self.operations[*position].acknowledged());
        let lost: Vec<usize> = acknowledged.filter(lost).collect();
        let mut judged = self.clone();
        for position in lost {
            judged.operations[position].outcome = Outcome::Unknown;
        }
        Cow::Owned(judged)
    }
}
