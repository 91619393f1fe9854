//! What happened when.

use std::collections::BTreeSet;
use std::time::Duration;

use super::format::{count, span, wrap};
use super::{Paint, WIDTH, line};
use crate::figures::{Figures, Recovery, Settled};
use crate::plan::NodeIndex;
use crate::record::{Life, RunRecord};
use crate::time::SimTime;

/// Lines shown; a flapping link makes hundreds.
const LINES: usize = 36;

/// Names in one line before the rest is counted.
const NAMES: usize = 3;

pub(super) fn render(record: &RunRecord, figures: &Figures, paint: Paint) -> String {
    let mut events: Vec<(SimTime, String)> = Vec::new();
    lives(record, &mut events);
    faults(record, &mut events);
    sessions(record, &mut events);
    for (position, recovery) in figures.recoveries.iter().enumerate() {
        let name = &recovery.name;
        // Nodes that join together converge together: one line.
        let said = |other: &Recovery| other.at == recovery.at && other.converged == recovery.converged;
        if figures.recoveries[..position].iter().any(said) {
            continue;
        }
        match recovery.converged {
            Settled::After(after) => {
                let text = format!("converged {} after {name}: all that was written is everywhere", span(after));
                events.push((recovery.at + after, text));
            }
            Settled::Interrupted { after, pending } => {
                events.push((recovery.at + after, format!("not converged after {name}: {} missing", count(pending))));
            }
            Settled::Nothing | Settled::Unmeasured | Settled::Never { .. } => {}
        }
    }
    events.push((record.meta.writes_end, "writes end".to_owned()));
    events.push((record.meta.duration, "end".to_owned()));
    events.sort_by_key(|(at, _)| *at);
    let mut out = String::new();
    let hidden = events.len().saturating_sub(LINES);
    let head = if hidden > 0 { LINES / 2 } else { events.len() };
    for (position, (at, text)) in events.iter().enumerate() {
        if position == head {
            line(&mut out, &format!("  {:>12}  … {hidden} more", ""));
        }
        if position < head || position >= head + hidden {
            let mut rows = wrap(text, WIDTH - 16).into_iter();
            let first = rows.next().unwrap_or_default();
            line(&mut out, &format!("  {}  {first}", paint.dim(&format!("{at:>12}"))));
            rows.for_each(|row| line(&mut out, &format!("{:16}{row}", "")));
        }
    }
    out
}

fn names(record: &RunRecord, nodes: &[NodeIndex]) -> String {
    let shown: Vec<&str> = nodes.iter().take(NAMES).map(|node| record.topology.name(*node)).collect();
    match nodes.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn lives(record: &RunRecord, events: &mut Vec<(SimTime, String)>) {
    let mut joins: Vec<(SimTime, Vec<NodeIndex>)> = Vec::new();
    for life in record.lives.iter().filter(|life| life.event == Life::Started) {
        let joins_at = record.topology.node(life.node).joins_at;
        match joins.last_mut() {
            Some((at, nodes)) if *at == joins_at => nodes.push(life.node),
            _ => joins.push((joins_at, vec![life.node])),
        }
    }
    for (at, nodes) in joins {
        let verb = if at == SimTime::ZERO { "start" } else { "join, empty" };
        let plural = if nodes.len() == 1 { "node" } else { "nodes" };
        let text = format!("{} {plural} {verb}: {}", nodes.len(), names(record, &nodes));
        events.push((at, text));
    }
}

fn faults(record: &RunRecord, events: &mut Vec<(SimTime, String)>) {
    for fault in &record.faults {
        let spec = &fault.spec;
        if let Some(applied) = fault.applied {
            events.push((applied, format!("{} begins: {}", spec.name, spec.description)));
        }
        let Some(healed) = fault.healed else { continue };
        let lasted = fault.applied.map(|applied| healed.since(applied)).unwrap_or_default();
        let did = match fault.effect.words() {
            words if words.is_empty() => String::new(),
            words => format!("; {words}"),
        };
        let text = match spec.class {
            class if class.stops() => format!("{} ends: node restarts after {}{did}", spec.name, span(lasted)),
            _ if spec.node.is_some() => format!("{} is over after {}{did}", spec.name, span(lasted)),
            _ => format!("{} heals after {}{did}", spec.name, span(lasted)),
        };
        events.push((healed, text));
    }
}

/// Sessions that change within a second of each other, in one line; each pair is named once.
fn sessions(record: &RunRecord, events: &mut Vec<(SimTime, String)>) {
    type Burst = (SimTime, bool, BTreeSet<(NodeIndex, NodeIndex)>);
    let mut bursts: Vec<Burst> = Vec::new();
    for change in &record.sessions {
        let pair = (change.node.min(change.peer), change.node.max(change.peer));
        let near = |burst: &&mut Burst| burst.1 == change.up && change.at.since(burst.0) <= Duration::from_secs(1);
        match bursts.iter_mut().rev().take(2).find(near) {
            Some(burst) => drop(burst.2.insert(pair)),
            None => bursts.push((change.at, change.up, [pair].into())),
        }
    }
    for (at, up, pairs) in bursts {
        let name =
            |(a, b): &(NodeIndex, NodeIndex)| format!("{}↔{}", record.topology.name(*a), record.topology.name(*b));
        let shown: Vec<String> = pairs.iter().take(NAMES).map(name).collect();
        let more = match pairs.len().saturating_sub(NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let word = if up { "up" } else { "lost" };
        let plural = if pairs.len() == 1 { "session" } else { "sessions" };
        let text = format!("{} {plural} {word}: {}{more}", pairs.len(), shown.join(", "));
        events.push((at, text));
    }
}
