//! What followed each heal, restart and join.

use std::time::Duration;

use serde::Serialize;

use super::Shown;
use crate::limits;
use crate::plan::{FaultClass, NodeIndex};
use crate::record::connectivity::Connectivity;
use crate::record::history::History;
use crate::record::{Life, OpKind, RunRecord};
use crate::time::SimTime;

/// What there was to recover from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A link fault ended.
    Heal,
    /// A crashed node started again.
    Restart,
    /// A late joiner started, empty.
    Join,
}

/// How something that should happen went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    /// There was nothing to do: all was well at that moment.
    Nothing,
    /// The world does not record it.
    Unmeasured,
    /// Done, that long after.
    After(Duration),
    /// The next fault came first.
    Interrupted {
        /// That long after.
        after: Duration,
        /// What was still missing then.
        pending: u64,
    },
    /// Not by the end of the run.
    Never {
        /// What was missing.
        pending: u64,
    },
}

/// One recovery.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    /// What there was to recover from.
    pub cause: Cause,
    /// The fault's name, or the joining node's.
    pub name: String,
    /// When it could begin.
    pub at: SimTime,
    /// Every write acknowledged before, visible at every replica that could be reached.
    pub converged: Settled,
    /// Every session that the fault had ended, up again.
    pub reconnected: Settled,
}

/// What ended when, and the sessions that it may have ended.
type Trouble = (SimTime, Cause, String, Vec<(NodeIndex, NodeIndex)>);

pub(super) fn recoveries(
    record: &RunRecord,
    history: &History<'_>,
    table: &Shown,
    links: &Connectivity,
) -> Vec<Recovery> {
    let mut causes: Vec<Trouble> = Vec::new();
    let sessions = record.topology.sessions();
    let of_node =
        |node: NodeIndex| sessions.iter().copied().filter(|&(a, b)| a == node || b == node).collect::<Vec<_>>();
    for fault in &record.faults {
        let Some(healed) = fault.healed else { continue };
        let name = fault.spec.name.clone();
        match (fault.spec.class, fault.spec.node) {
            (class, Some(node)) if class.stops() => causes.push((healed, Cause::Restart, name, of_node(node))),
            (FaultClass::Pause, Some(node)) => causes.push((healed, Cause::Heal, name, of_node(node))),
            _ => {
                let cut = |&(a, b): &(NodeIndex, NodeIndex)| {
                    fault.spec.pairs.contains(&(a, b)) || fault.spec.pairs.contains(&(b, a))
                };
                let pairs = sessions.iter().copied().filter(cut).collect();
                causes.push((healed, Cause::Heal, name, pairs));
            }
        }
    }
    for life in record.lives.iter().filter(|life| life.event == Life::Started && life.at > SimTime::ZERO) {
        let node = record.topology.node(life.node);
        if node.joins_at > SimTime::ZERO {
            causes.push((life.at, Cause::Join, node.name.clone(), of_node(life.node)));
        }
    }
    causes.sort_by_key(|(at, ..)| *at);
    let recovery = |(at, cause, name, pairs): Trouble| Recovery {
        cause,
        name,
        at,
        converged: converged(record, history, table, links, at),
        reconnected: reconnected(record, &pairs, links, at),
    };
    causes.into_iter().map(recovery).collect()
}

/// The next fault that begins after `at`.
pub(super) fn next_fault(record: &RunRecord, at: SimTime) -> Option<SimTime> {
    record.faults.iter().filter_map(|fault| fault.applied).filter(|applied| *applied > at).min()
}

pub(super) fn settle(record: &RunRecord, at: SimTime, moments: Vec<Option<SimTime>>) -> Settled {
    let late = |limit: SimTime| moments.iter().filter(|moment| moment.is_none_or(|m| m > limit)).count() as u64;
    match next_fault(record, at) {
        Some(next) if late(next) > 0 => Settled::Interrupted { after: next.since(at), pending: late(next) },
        _ => match late(SimTime::MAX) {
            0 => match moments.into_iter().flatten().max() {
                Some(last) => Settled::After(last.since(at)),
                None => Settled::Nothing,
            },
            pending => Settled::Never { pending },
        },
    }
}

/// Everything acknowledged before `at` and not yet visible where it can now be reached.
fn converged(record: &RunRecord, history: &History<'_>, table: &Shown, links: &Connectivity, at: SimTime) -> Settled {
    let before = record.operations.iter().enumerate().filter(|(_, operation)| {
        operation.acknowledged() && operation.completed.is_some_and(|completed| completed <= at)
    });
    let mut moments = Vec::new();
    for (position, operation) in before {
        for node in &record.topology.nodes {
            if node.index == operation.node
                || !node.wants(&operation.key)
                || !links.throughout(operation.node, node.index, at, at)
            {
                continue;
            }
            let shown = table.at(position, node.index);
            let moot = shown.is_none() && (operation.kind == OpKind::Delete || history.deleted(&operation.key));
            if !moot && shown.is_none_or(|shown| shown > at) {
                moments.push(shown);
            }
        }
    }
    settle(record, at, moments)
}

/// The first moment from `at` on at which each lost session was up at both ends.
fn reconnected(record: &RunRecord, pairs: &[(NodeIndex, NodeIndex)], links: &Connectivity, at: SimTime) -> Settled {
    let next = next_fault(record, at);
    let end_up = |node: NodeIndex, peer: NodeIndex| {
        let mut events = record.sessions.iter().filter(|event| event.node == node && event.peer == peer);
        let before = events.clone().take_while(|event| event.at < at).last();
        let crash =
            record.lives.iter().filter(|life| life.node == node && life.event == Life::Crashed && life.at <= at);
        let crash = crash.map(|life| life.at).max();
        // A node that crashed reports no end of its sessions; one that never reports is not asked.
        let before = match (before, events.clone().next()) {
            (_, None) => return None,
            (Some(event), _) => Some(event.up && crash.is_none_or(|crash| crash < event.at)),
            (None, _) => None,
        };
        let lost_late = events.clone().any(|event| {
            let late = event.at >= at && event.at.since(at) <= limits::LATE_LOSS;
            !event.up && late && next.is_none_or(|next| event.at < next)
        });
        match before {
            Some(true) if !lost_late => None,
            Some(true) => {
                let mut later = events.skip_while(|event| event.up || event.at < at);
                Some(later.find(|event| event.up).map(|event| event.at))
            }
            _ => Some(events.find(|event| event.up && event.at >= at).map(|event| event.at)),
        }
    };
    if record.sessions.is_empty() {
        return Settled::Unmeasured;
    }
    // A session over a link that another fault still holds, or to a node that does not run, is not
    // to be had yet.
    let possible = |&(a, b): &(NodeIndex, NodeIndex)| {
        let held = record.faults.iter().any(|fault| {
            fault.spec.class.cuts()
                && fault.applied.is_some_and(|applied| applied <= at)
                && fault.healed.is_none_or(|healed| healed > at)
                && (fault.spec.pairs.contains(&(a, b)) || fault.spec.pairs.contains(&(b, a)))
        });
        !held && links.runs(a, at) && links.runs(b, at)
    };
    let moments = pairs.iter().filter(|pair| possible(pair)).flat_map(|&(a, b)| [end_up(a, b), end_up(b, a)]);
    settle(record, at, moments.flatten().collect())
}
