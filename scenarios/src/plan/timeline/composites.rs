//! Faults that are several: each part is an elementary fault with a name, a beginning and an end of its own.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::{Compiled, Elementary, Pairs, below, stream, unit};
use crate::model::{Composite, End, Fault, FaultKind, Trouble};
use crate::plan::{FaultClass, FaultIndex, NodeIndex, Trigger};

/// Idea and name from FoundationDB's simulation ("swizzle-clogging").
const HALF: u32 = 2;

/// One part: from, for how long, what.
type Part = (Duration, Duration, Elementary);

impl Compiled<'_> {
    pub(super) fn compose(&mut self, fault: &Fault) {
        let whole = fault.end.after().expect("invariant: validation demands `for` of a composite fault");
        // A stream of its own beside the one that chooses the moment.
        let mut rng = stream(self.seed, &format!("{}/parts", fault.id));
        let mut parts = match &fault.kind {
            FaultKind::Flap { between: (a, b), period, down } => self.flap(a, b, *period, *down, whole),
            FaultKind::Composite(composite) => self.parts(composite, whole, &mut rng),
            _ => unreachable!("invariant: only composite faults have parts"),
        };
        parts.sort_by_key(|(from, ..)| *from);
        let mut first: Option<(FaultIndex, Duration)> = None;
        for (position, (from, lasts, elementary)) in parts.into_iter().enumerate() {
            // After an event nobody knows when the first part begins; the others follow it.
            let trigger = match (self.trigger(fault, from), first) {
                (Trigger::At(at), _) => Trigger::At(at),
                (_, Some((first, began))) => Trigger::AfterFault { fault: first, after: from - began },
                (event, None) => event,
            };
            let name = format!("{}#{}", fault.id, position + 1);
            let family = Some(fault.id.clone());
            let index = self.push(name, family, fault.kind.name(), trigger, End::After(lasts), elementary);
            first = first.or(Some((index, from)));
        }
    }

    fn parts(&self, composite: &Composite, whole: Duration, rng: &mut ChaCha8Rng) -> Vec<Part> {
        match composite {
            Composite::Churn { group, every, down } => self.churn(group, *every, *down, whole, rng),
            Composite::RollingOutage { groups } => {
                let outage = |group: &String| (group.clone(), self.all_links(group));
                staggered(groups.iter().map(outage).collect(), whole, rng)
            }
            Composite::Swizzle { groups, share } => {
                let mut nodes: Vec<NodeIndex> = groups.iter().flat_map(|group| self.members(group)).collect();
                shuffle(&mut nodes, rng);
                let picked = ((nodes.len() as f64 * share).round() as usize).clamp(2, nodes.len());
                nodes.truncate(picked);
                let cut = |node: NodeIndex| (self.topology.name(node).to_owned(), self.links_of(node));
                staggered(nodes.into_iter().map(cut).collect(), whole, rng)
            }
            Composite::ReconnectStorm { group } => {
                let links = Elementary::of_links(FaultClass::Reset, self.all_links(group), group.clone());
                vec![(Duration::ZERO, whole, links)]
            }
            Composite::DataMule { mule, stops, stay, travel } => self.mule(mule, stops, *stay, *travel, whole),
            Composite::IslandMerge { islands } => self.islands(islands, whole),
        }
    }

    fn flap(&self, a: &str, b: &str, period: Duration, down: Duration, whole: Duration) -> Vec<Part> {
        let drops = (0u32..).map(|n| period * n).take_while(|from| *from + down <= whole);
        let cut = || Elementary::of_links(FaultClass::Cut, self.both_ways(a, b), format!("{a} | {b}"));
        drops.map(|from| (from, down, cut())).collect()
    }

    /// Crashes at exponential distances, so that nothing about one tells when the next comes. Who is down is not
    /// chosen again.
    fn churn(&self, group: &str, every: Duration, down: Duration, whole: Duration, rng: &mut ChaCha8Rng) -> Vec<Part> {
        let nodes = self.members(group);
        let mut up_at = vec![Duration::ZERO; nodes.len()];
        let mut parts = Vec::new();
        // The first at once: a fault that begins does something.
        let mut at = Duration::ZERO;
        while at + down <= whole {
            let up: Vec<usize> = (0..nodes.len()).filter(|n| up_at[*n] <= at).collect();
            if !up.is_empty() {
                let chosen = up[below(rng, up.len())];
                // A restart takes its time: whoever comes back lives as long as it was down.
                up_at[chosen] = at + down * 2;
                let (node, what) = (Some(nodes[chosen]), self.topology.name(nodes[chosen]).to_owned());
                let (class, trouble) = (FaultClass::Crash, Some(Trouble::Crash));
                parts.push((at, down, Elementary { class, pairs: Vec::new(), node, what, shape: None, trouble }));
            }
            let gap = every.mul_f64(-(1.0 - unit(rng)).ln());
            at += Duration::from_millis(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        parts
    }

    /// Cut off from every stop but the one where it is.
    fn mule(&self, mule: &str, stops: &[String], stay: Duration, travel: Duration, whole: Duration) -> Vec<Part> {
        let mut parts = Vec::new();
        for (position, stop) in stops.iter().enumerate() {
            let cut = || Elementary::of_links(FaultClass::Cut, self.both_ways(mule, stop), format!("{mule} | {stop}"));
            let mut since = Duration::ZERO;
            let arrivals = (0u32..).map(|n| (n, (stay + travel) * n)).take_while(|(_, at)| *at < whole);
            for (_, at) in arrivals.filter(|(n, _)| *n as usize % stops.len() == position) {
                if at > since {
                    parts.push((since, at - since, cut()));
                }
                since = at + stay;
            }
            if since < whole {
                parts.push((since, whole - since, cut()));
            }
        }
        parts
    }

    /// All apart at first; then one after the other joins those before it, the last at the end.
    fn islands(&self, islands: &[Vec<String>], whole: Duration) -> Vec<Part> {
        let mut parts = Vec::new();
        for (position, island) in islands.iter().enumerate().skip(1) {
            let mut pairs: Pairs = Vec::new();
            for earlier in islands[..position].iter().flatten() {
                pairs.extend(island.iter().flat_map(|group| self.both_ways(group, earlier)));
            }
            let lasts = whole * position as u32 / (islands.len() as u32 - 1);
            let what = format!("{} | {}", island.join(", "), islands[..position].concat().join(", "));
            parts.push((Duration::ZERO, lasts, Elementary::of_links(FaultClass::Cut, pairs, what)));
        }
        parts
    }

    /// Those of a node to all others.
    fn links_of(&self, node: NodeIndex) -> Pairs {
        let all: Vec<NodeIndex> = self.topology.nodes.iter().map(|other| other.index).collect();
        let mut pairs = self.routes(&[node], &all);
        pairs.extend(self.routes(&all, &[node]));
        pairs
    }
}

/// Cut one by one in the first half of the time, and healed one by one, in another order, in the second.
fn staggered(cuts: Vec<(String, Pairs)>, whole: Duration, rng: &mut ChaCha8Rng) -> Vec<Part> {
    let count = cuts.len();
    let mut order: Vec<usize> = (0..count).collect();
    shuffle(&mut order, rng);
    if count > 1 && order.is_sorted() {
        order.rotate_left(1);
    }
    let step = whole / HALF / count.max(1) as u32;
    let part = |(position, (what, pairs)): (usize, (String, Pairs))| {
        let from = step * position as u32;
        let heals_in = order.iter().position(|chosen| *chosen == position).unwrap_or(0) as u32;
        // The last heal is the end of the whole.
        let heal = whole - step * (count as u32 - 1 - heals_in);
        (from, heal - from, Elementary::of_links(FaultClass::Cut, pairs, what))
    };
    cuts.into_iter().enumerate().map(part).collect()
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}
