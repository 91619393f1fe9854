//! When one direction of a link lets something through, and as what kind of link.

use super::link;
use crate::physics::LinkParams;
use crate::plan::{FaultClass, NodeIndex};
use crate::record::{FaultRecord, Life, RunRecord};
use crate::time::SimTime;

/// A stretch of time; both ends belong to it. What happens at the very moment of a cut may have come before it or
/// after it, and a bound must allow the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: SimTime,
    pub(super) to: SimTime,
}

impl Span {
    const ALWAYS: Span = Span { from: SimTime::ZERO, to: SimTime::MAX };
}

/// A stretch in which a link is up and does not change.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    /// What leaves in it passes …
    departures: Span,
    /// … if it has arrived by then: a cut kills what is in flight.
    cut_at: SimTime,
    params: LinkParams,
}

/// One direction of one link over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passage {
    windows: Vec<Window>,
    senders: Vec<Span>,
    receivers: Vec<Span>,
}

impl Passage {
    /// `None`: no link leads there.
    pub(super) fn of(record: &RunRecord, from: NodeIndex, to: NodeIndex) -> Option<Self> {
        let base = record.topology.link(from, to)?;
        let mut windows = Vec::new();
        let clogs = lasting(record, from, to, |fault| fault.spec.class == FaultClass::Clog);
        for up in up(record, from, to) {
            for (of_a_kind, params) in kinds(record, from, to, base, up) {
                // A clog keeps what it is given; what was on its way arrives.
                for departures in gaps(&clogs, of_a_kind) {
                    windows.push(Window { departures, cut_at: up.to, params: params.clone() });
                }
            }
        }
        Some(Passage { windows, senders: runs(record, from), receivers: runs(record, to) })
    }

    /// The earliest moment at which `size` bytes that one end has at `at` can be at the other. Who sends may wait, and
    /// need not know what it is waiting for.
    pub(super) fn earliest_arrival(&self, at: SimTime, size: usize) -> Option<SimTime> {
        let mut best: Option<SimTime> = None;
        for window in &self.windows {
            if best.is_some_and(|best| window.departures.from >= best) {
                break;
            }
            for sender in &self.senders {
                let from = at.max(window.departures.from).max(sender.from);
                let to = window.departures.to.min(sender.to);
                if from > to {
                    continue;
                }
                for receiver in &self.receivers {
                    let arrival = window.arrival(Span { from, to }, receiver.from, size);
                    let arrival = arrival.filter(|arrival| *arrival <= receiver.to.min(window.cut_at));
                    best = best.into_iter().chain(arrival).min();
                }
            }
        }
        best
    }

    /// The link as it is at a moment; `None` while it is cut.
    pub(super) fn params(&self, at: SimTime) -> Option<&LinkParams> {
        let open = |window: &&Window| window.departures.from <= at && at < window.departures.to;
        self.windows.iter().find(open).map(|window| &window.params)
    }

    /// The stretches within `of` in which nothing can pass: the link is cut, or one of the ends does not run.
    pub(super) fn closed(&self, of: Span) -> Vec<Span> {
        let ups: Vec<Span> = self.windows.iter().flat_map(|window| window.contacts(of)).collect();
        let mut closed: Vec<Span> =
            [ups.as_slice(), &self.senders, &self.receivers].into_iter().flat_map(|open| gaps(open, of)).collect();
        closed.sort_by_key(|span| (span.from, span.to));
        let mut merged: Vec<Span> = Vec::new();
        for span in closed {
            match merged.last_mut() {
                Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
                _ => merged.push(span),
            }
        }
        merged
    }
}

impl Window {
    /// When the schedule of the link has a contact, within `of`.
    fn contacts(&self, of: Span) -> Vec<Span> {
        let within = Span { from: of.from.max(self.departures.from), to: of.to.min(self.departures.to) };
        if self.params.schedule.is_none() || within.from >= within.to {
            return vec![self.departures];
        }
        let (mut contacts, mut since) = (Vec::new(), within.from);
        while since < within.to
            && let Some((from, to)) = link::next_gap(&self.params, since, within.to)
        {
            contacts.push(Span { from: since, to: from });
            since = to;
        }
        contacts.push(Span { from: since, to: within.to });
        contacts
    }

    /// The arrival of what leaves as early as possible within `departures` and is there at `not_before` at the earliest.
    fn arrival(&self, departures: Span, not_before: SimTime, size: usize) -> Option<SimTime> {
        let arrives = |at: SimTime| link::earliest_arrival(&self.params, at, size);
        let soon = |at: SimTime| arrives(at).is_some_and(|arrival| arrival < not_before);
        if !soon(departures.from) {
            return arrives(departures.from);
        }
        if soon(departures.to) {
            return None;
        }
        // Later departures never arrive earlier, so halving finds the first that is late enough.
        let (mut early, mut late) = (departures.from.as_nanos(), departures.to.as_nanos());
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            if soon(SimTime::from_nanos(middle)) { early = middle } else { late = middle }
        }
        arrives(SimTime::from_nanos(late))
    }
}

/// When no fault cuts the link. A cut that heals at once still ends a stretch: what was in flight is dead.
fn up(record: &RunRecord, from: NodeIndex, to: NodeIndex) -> Vec<Span> {
    let cuts = lasting(record, from, to, |fault| matches!(fault.spec.class, FaultClass::Cut | FaultClass::Reset));
    let (mut up, mut since) = (Vec::new(), SimTime::ZERO);
    for cut in cuts {
        if cut.from >= since {
            up.push(Span { from: since, to: cut.from });
        }
        since = since.max(cut.to);
    }
    if since < SimTime::MAX {
        up.push(Span { from: since, to: SimTime::MAX });
    }
    up
}

/// When faults of some kind held the link, in order of their beginning.
fn lasting(record: &RunRecord, from: NodeIndex, to: NodeIndex, which: impl Fn(&FaultRecord) -> bool) -> Vec<Span> {
    let faults = record.faults.iter().filter(|fault| which(fault) && fault.spec.pairs.contains(&(from, to)));
    let mut spans: Vec<Span> = faults
        .filter_map(|fault| Some(Span { from: fault.applied?, to: fault.healed.unwrap_or(SimTime::MAX) }))
        .collect();
    spans.sort_by_key(|span| span.from);
    spans
}

/// What kind of link it is within a stretch: the latest degradation that has not healed, or its own nature.
fn kinds(
    record: &RunRecord,
    from: NodeIndex,
    to: NodeIndex,
    base: &LinkParams,
    within: Span,
) -> Vec<(Span, LinkParams)> {
    let mut degraded: Vec<(Span, &LinkParams)> = Vec::new();
    for fault in record.faults.iter().filter(|fault| !fault.spec.becomes.is_empty()) {
        let position = fault.spec.pairs.iter().position(|pair| *pair == (from, to));
        if let (Some(applied), Some(params)) = (fault.applied, position.and_then(|at| fault.spec.becomes.get(at))) {
            degraded.push((Span { from: applied, to: fault.healed.unwrap_or(SimTime::MAX) }, params));
        }
    }
    // Stable: of two that begin at once the one that was declared later counts.
    degraded.sort_by_key(|(span, _)| span.from);
    let mut edges: Vec<SimTime> = degraded.iter().flat_map(|(span, _)| [span.from, span.to]).collect();
    edges.retain(|edge| within.from < *edge && *edge < within.to);
    edges.extend([within.from, within.to]);
    edges.sort_unstable();
    edges.dedup();
    if edges.len() < 2 {
        return vec![(within, base.clone())];
    }
    let kind = |edges: &[SimTime]| {
        let (from, to) = (edges[0], edges[1]);
        let latest = degraded.iter().rfind(|(span, _)| span.from <= from && to <= span.to);
        (Span { from, to }, latest.map_or(base, |(_, params)| *params).clone())
    };
    edges.windows(2).map(kind).collect()
}

/// When a node runs. A world that records no starts runs all of them all the time.
fn runs(record: &RunRecord, node: NodeIndex) -> Vec<Span> {
    if record.lives.is_empty() {
        return vec![Span::ALWAYS];
    }
    let (mut runs, mut since) = (Vec::new(), None);
    for life in record.lives.iter().filter(|life| life.node == node) {
        match (life.event, since) {
            (Life::Crashed, Some(from)) => {
                runs.push(Span { from, to: life.at });
                since = None;
            }
            (Life::Started | Life::Restarted, None) => since = Some(life.at),
            _ => {}
        }
    }
    runs.extend(since.map(|from| Span { from, to: SimTime::MAX }));
    runs
}

/// What of `of` none of the ascending stretches covers.
fn gaps(open: &[Span], of: Span) -> Vec<Span> {
    let (mut gaps, mut since) = (Vec::new(), of.from);
    for span in open {
        if span.from > since {
            gaps.push(Span { from: since, to: span.from.min(of.to) });
        }
        since = since.max(span.to);
        if since >= of.to {
            break;
        }
    }
    if since < of.to {
        gaps.push(Span { from: since, to: of.to });
    }
    gaps.retain(|gap| gap.from < gap.to);
    gaps
}
