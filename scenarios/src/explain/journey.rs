//! The way that an operation took to a replica, and where its time went.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::bound::Bound;
use super::link;
use super::parts::{Part, Parts};
use super::passage::Span;
use crate::plan::{DocKey, NodeIndex};
use crate::record::history::History;
use crate::record::transfer::{Flight, FrameEvent};
use crate::record::{Life, OpRecord, RunRecord};
use crate::time::SimTime;

/// A simulated clock ticks in milliseconds: a datagram that was not held up may still arrive that much late.
const GRAIN: Duration = Duration::from_millis(1);

type Pair = (NodeIndex, NodeIndex);

/// From one node to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Who sent it.
    pub from: NodeIndex,
    /// Who received it.
    pub to: NodeIndex,
    /// When the sender took it out of its outbox; `None` where that was not recorded.
    pub sent: Option<SimTime>,
    /// When the receiver had the whole frame.
    pub received: SimTime,
    /// When the receiver showed it.
    pub shown: SimTime,
}

/// What a record says of the transfers between nodes, by who and what.
pub(super) struct Journeys<'a> {
    record: &'a RunRecord,
    /// In order of arrival.
    received: BTreeMap<(NodeIndex, &'a DocKey), Vec<&'a FrameEvent>>,
    sent: BTreeMap<(Pair, &'a DocKey), Vec<&'a FrameEvent>>,
    /// By document: when, and how long.
    frames: BTreeMap<&'a DocKey, Vec<(SimTime, u32)>>,
    flights: BTreeMap<Pair, Vec<Flight>>,
    losses: BTreeMap<Pair, Vec<SimTime>>,
    /// When a node had a session with another.
    sessions: BTreeMap<Pair, Vec<Span>>,
    /// By the two, the lower first.
    dials: BTreeMap<Pair, Vec<SimTime>>,
}

impl<'a> Journeys<'a> {
    pub(super) fn of(record: &'a RunRecord) -> Self {
        let mut journeys = Journeys {
            record,
            received: BTreeMap::new(),
            sent: BTreeMap::new(),
            frames: BTreeMap::new(),
            flights: BTreeMap::new(),
            losses: BTreeMap::new(),
            sessions: sessions(record),
            dials: BTreeMap::new(),
        };
        for dial in &record.dials {
            let pair = (dial.node.min(dial.peer), dial.node.max(dial.peer));
            journeys.dials.entry(pair).or_default().push(dial.at);
        }
        let Some(transfers) = &record.transfers else { return journeys };
        for frame in &transfers.frames {
            if frame.sent {
                journeys.sent.entry(((frame.from, frame.to), &frame.key)).or_default().push(frame);
                journeys.frames.entry(&frame.key).or_default().push((frame.at, frame.bytes));
            } else {
                journeys.received.entry((frame.to, &frame.key)).or_default().push(frame);
            }
        }
        for flight in &transfers.flights {
            journeys.flights.entry((flight.from, flight.to)).or_default().push(*flight);
        }
        for loss in &transfers.losses {
            journeys.losses.entry((loss.from, loss.to)).or_default().push(loss.sent);
        }
        journeys.losses.values_mut().for_each(|losses| losses.sort_unstable());
        journeys
    }

    /// The shortest frame that carried a document between two moments: whatever brought an operation on it was no
    /// shorter. 0 if none is recorded.
    pub(super) fn least_bytes(&self, key: &DocKey, from: SimTime, to: SimTime) -> usize {
        let frames = self.frames.get(key).into_iter().flatten();
        let during = frames.filter(|(at, _)| from <= *at && *at <= to);
        during.map(|(_, bytes)| *bytes as usize).min().unwrap_or(0)
    }

    /// The hops from the origin of an operation to a replica that showed it at `shown`, in order.
    pub(super) fn hops(
        &self,
        history: &History<'_>,
        operation: &OpRecord,
        replica: NodeIndex,
        shown: SimTime,
    ) -> Vec<Hop> {
        let (mut hops, mut to, mut shown) = (Vec::new(), replica, shown);
        let begun = operation.completed.unwrap_or(operation.invoked);
        // A node had it when it showed it, and the one that wrote it when it was acknowledged.
        let had = |node: NodeIndex| {
            let shown = history.first_shown(operation, node);
            if node == operation.node { Some(shown.map_or(begun, |shown| shown.min(begun))) } else { shown }
        };
        while to != operation.node && hops.len() < self.record.topology.nodes.len() {
            let frames = self.received.get(&(to, &operation.key)).into_iter().flatten();
            let frames = frames.take_while(|frame| frame.at <= shown);
            let sendings = || frames.clone().filter_map(|frame| Some((frame, self.sending(frame)?)));
            let sure = sendings().filter_map(|(frame, sent)| Some((frame, sent, had(frame.from)?)));
            let sure = sure.filter(|(_, sent, had)| had <= sent && *had < shown);
            // What is durable is sent on at once, but shown only as part of the version of that moment: two changes that
            // cross may have a relay show the first with the second.
            let heard = |node: NodeIndex, by: SimTime| {
                let frames = self.received.get(&(node, &operation.key)).into_iter().flatten();
                let mut frames = frames.skip_while(|frame| frame.at < begun);
                frames.next().is_some_and(|frame| frame.at <= by)
            };
            let likely = sendings().filter(|(frame, sent)| frame.from != operation.node && heard(frame.from, *sent));
            let likely = likely.map(|(frame, sent)| (frame, sent, sent));
            let first = |(frame, ..): &(&&FrameEvent, SimTime, SimTime)| frame.at;
            let Some((frame, sent, had)) = sure.min_by_key(first).or_else(|| likely.min_by_key(first)) else {
                hops.push(Hop { from: operation.node, to, sent: None, received: shown, shown });
                break;
            };
            hops.push(Hop { from: frame.from, to, sent: Some(sent), received: frame.at, shown });
            (to, shown) = (frame.from, had);
        }
        hops.reverse();
        hops
    }

    /// When the frame that was received had been sent.
    fn sending(&self, received: &FrameEvent) -> Option<SimTime> {
        let sent = self.sent.get(&((received.from, received.to), &received.key))?;
        let before = sent.partition_point(|frame| frame.at <= received.at);
        let same = |frame: &&&FrameEvent| frame.check == received.check && frame.bytes == received.bytes;
        sent[..before].iter().rfind(same).map(|frame| frame.at)
    }

    /// Splits the time from `begun` to the end of the last hop.
    pub(super) fn split(&self, bound: &mut Bound<'a>, key: &DocKey, begun: SimTime, hops: &[Hop]) -> Parts {
        let mut parts = Parts::default();
        let mut now = begun;
        for hop in hops {
            // Each moment once, whatever the order of events within a tick.
            let sent = hop.sent.unwrap_or(hop.received).clamp(now, hop.shown.max(now));
            self.unsent(bound, key, hop, Span { from: now, to: sent }, &mut parts);
            let received = hop.received.clamp(sent, hop.shown.max(sent));
            if hop.sent.is_some() {
                self.under_way(bound, hop, Span { from: sent, to: received }, &mut parts);
            }
            let shown = hop.shown.max(received);
            parts.add(Part::Apply, shown.since(received));
            now = shown;
        }
        parts
    }

    /// From the moment at which the sender has it to that at which it takes it out of the outbox for the last time.
    fn unsent(&self, bound: &mut Bound<'a>, key: &DocKey, hop: &Hop, time: Span, parts: &mut Parts) {
        let Hop { from, to, .. } = *hop;
        let mut closed: Vec<Span> = Vec::new();
        for (from, to) in [(from, to), (to, from)] {
            closed.extend(bound.passage(from, to).map(|passage| passage.closed(time)).unwrap_or_default());
        }
        let up = self.sessions.get(&(from, to)).map(Vec::as_slice).unwrap_or_default();
        let dials = self.dials.get(&(from.min(to), from.max(to))).map(Vec::as_slice).unwrap_or_default();
        // What was sent before and did not get there is sent again.
        let sent = self.sent.get(&((from, to), key)).into_iter().flatten();
        let tried = sent.map(|frame| frame.at).find(|at| time.from <= *at && *at < time.to);
        let mut edges: Vec<SimTime> = closed.iter().chain(up).flat_map(|span| [span.from, span.to]).collect();
        edges.extend(dials);
        edges.extend(tried);
        for piece in pieces(time, edges) {
            let within = |spans: &[Span]| spans.iter().any(|span| span.from <= piece.from && piece.to <= span.to);
            let part = if within(&closed) {
                Part::Outage
            } else if within(up) {
                if tried.is_some_and(|tried| tried <= piece.from) { Part::Retransmission } else { Part::Queueing }
            } else {
                // Dials of which none led to the session are pauses with company.
                let next = up.iter().map(|span| span.from).find(|up| *up >= piece.to);
                let last = next.and_then(|next| dials.iter().rfind(|dial| **dial <= next));
                if last.is_some_and(|dial| *dial <= piece.from) { Part::Handshake } else { Part::Backoff }
            };
            parts.add(part, piece.to.since(piece.from));
        }
    }

    /// From the outbox to the whole frame at the other end.
    fn under_way(&self, bound: &mut Bound<'a>, hop: &Hop, time: Span, parts: &mut Parts) {
        let pair = (hop.from, hop.to);
        let passage = bound.passage(hop.from, hop.to);
        let flights = self.flights.get(&pair).map(Vec::as_slice).unwrap_or_default();
        let arrived = flights.partition_point(|flight| flight.arrived <= time.to);
        let last = flights[..arrived].last().map(|flight| flight.arrived);
        let brought = flights[..arrived].iter().rev().take_while(|flight| Some(flight.arrived) == last);
        let brought = brought.filter(|flight| flight.sent >= time.from).max_by_key(|flight| flight.sent);
        let (left, bytes, arrived) = match brought {
            Some(flight) => (flight.sent, flight.bytes as usize, flight.arrived),
            // Not recorded: all of it counts as one flight.
            None => (time.from, 0, time.to),
        };
        let closed = passage.map(|passage| passage.closed(time)).unwrap_or_default();
        let lost = self.losses.get(&pair).into_iter().flatten();
        let lost = lost.copied().find(|lost| time.from <= *lost && *lost < left);
        let mut edges: Vec<SimTime> = closed.iter().flat_map(|span| [span.from, span.to]).collect();
        edges.extend(lost);
        for piece in pieces(Span { from: time.from, to: left }, edges) {
            let part = match closed.iter().any(|span| span.from <= piece.from && piece.to <= span.to) {
                true => Part::Outage,
                false if lost.is_some_and(|lost| lost <= piece.from) => Part::Retransmission,
                false => Part::Queueing,
            };
            parts.add(part, piece.to.since(piece.from));
        }
        let flight = arrived.since(left);
        let nature = passage.and_then(|passage| link::longest_flight(passage.params(left)?, left, bytes));
        let held = nature.map_or(Duration::ZERO, |nature| flight.saturating_sub(nature));
        let held = if held <= GRAIN { Duration::ZERO } else { held };
        parts.add(Part::Queueing, held);
        parts.add(Part::Transfer, flight - held);
        // It was there and could not be read yet.
        parts.add(Part::Apply, time.to.since(arrived));
    }
}

/// A stretch cut at those of the edges that lie in it.
fn pieces(time: Span, mut edges: Vec<SimTime>) -> Vec<Span> {
    edges.retain(|edge| time.from < *edge && *edge < time.to);
    edges.extend([time.from, time.to]);
    edges.sort_unstable();
    edges.dedup();
    edges.windows(2).map(|ends| Span { from: ends[0], to: ends[1] }).collect()
}

/// When each node had a session with each other one, as it saw it. A crash ends those that it says nothing of.
fn sessions(record: &RunRecord) -> BTreeMap<Pair, Vec<Span>> {
    let mut sessions: BTreeMap<Pair, Vec<Span>> = BTreeMap::new();
    let crashes: Vec<(SimTime, NodeIndex)> =
        record.lives.iter().filter(|life| life.event == Life::Crashed).map(|life| (life.at, life.node)).collect();
    for event in &record.sessions {
        let spans = sessions.entry((event.node, event.peer)).or_default();
        let open = spans.last_mut().filter(|span| span.to == SimTime::MAX);
        match (open, event.up) {
            (Some(_), true) => {}
            (Some(open), false) => open.to = event.at,
            (None, true) => {
                let crash = crashes.iter().find(|(at, node)| *node == event.node && *at > event.at);
                let to = crash.map_or(SimTime::MAX, |(at, _)| *at);
                spans.push(Span { from: event.at, to });
            }
            (None, false) => {
                if let Some(last) = spans.last_mut() {
                    last.to = last.to.min(event.at);
                }
            }
        }
    }
    sessions
}
