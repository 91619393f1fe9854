//! From the faults of a scenario to steps.

mod composites;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{FaultClass, FaultIndex, FaultSpec, NodeIndex, Step, TimedStep, Topology, Trigger};
use crate::model::{Direction, End, Event, Fault, FaultKind, LinkShape, Scenario, Trouble, When, directed};

type Pairs = Vec<(NodeIndex, NodeIndex)>;

/// Steps in order of declaration, each automatic end right after its beginning, and their faults.
pub(super) fn compile(scenario: &Scenario, topology: &Topology, seed: u64) -> (Vec<TimedStep>, Vec<FaultSpec>) {
    let mut out = Compiled { topology, seed, steps: Vec::new(), faults: Vec::new(), open: BTreeMap::new() };
    for fault in &scenario.faults {
        match &fault.kind {
            FaultKind::Heal { ends } => out.end(ends, fault),
            FaultKind::Restart { node } => out.end(node, fault),
            FaultKind::Flap { .. } | FaultKind::Composite(_) => out.compose(fault),
            _ => out.begin(fault),
        }
    }
    (out.steps, out.faults)
}

struct Compiled<'a> {
    topology: &'a Topology,
    seed: u64,
    steps: Vec<TimedStep>,
    faults: Vec<FaultSpec>,
    /// What a `heal` (fault id) or `restart` (node name) ends: the latest of that name.
    open: BTreeMap<String, FaultIndex>,
}

/// What an elementary fault does.
struct Elementary {
    class: FaultClass,
    pairs: Pairs,
    node: Option<NodeIndex>,
    /// For people, behind the word for its kind.
    what: String,
    /// Of a degradation: what the links become.
    shape: Option<Becomes>,
    trouble: Option<Trouble>,
}

/// What degraded links become.
struct Becomes {
    /// The group from which `forward` goes.
    first: String,
    both: LinkShape,
    forward: Option<Box<LinkShape>>,
    back: Option<Box<LinkShape>>,
}

impl Elementary {
    fn of_links(class: FaultClass, pairs: Pairs, what: String) -> Self {
        Elementary { class, pairs, node: None, what, shape: None, trouble: None }
    }
}

/// The random stream of a fault: what one draws never moves another.
fn stream(seed: u64, id: &str) -> ChaCha8Rng {
    // FNV-1a: any fixed function of the name will do.
    let name = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&name.to_le_bytes());
    key[16..24].copy_from_slice(b"peatflts");
    ChaCha8Rng::from_seed(key)
}

/// Uniform in `[0, 1)`, from raw bits as in the physics.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform below `bound`, which is small.
fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u64() % bound.max(1) as u64).unwrap_or(0)
}

impl Compiled<'_> {
    fn begin(&mut self, fault: &Fault) {
        let times = fault.repeat.map_or(1, |repeat| repeat.times);
        for repetition in 0..times {
            let shift = fault.repeat.map_or(Duration::ZERO, |repeat| repeat.every * repetition);
            let name = match times {
                1 => fault.id.clone(),
                _ => format!("{}#{}", fault.id, repetition + 1),
            };
            let trigger = self.trigger(fault, shift);
            let elementary = self.elementary(&fault.kind);
            self.push(name, None, fault.kind.name(), trigger, fault.end, elementary);
            let index = FaultIndex(self.faults.len() as u32 - 1);
            self.open.insert(fault.id.clone(), index);
            if let FaultKind::Node { node, trouble } = &fault.kind
                && trouble.stops()
            {
                self.open.insert(node.clone(), index);
            }
        }
    }

    /// An elementary fault, and its end if it ends by itself.
    fn push(
        &mut self,
        name: String,
        family: Option<String>,
        kind: &str,
        trigger: Trigger,
        end: End,
        elementary: Elementary,
    ) -> FaultIndex {
        let index = FaultIndex(self.faults.len() as u32);
        let Elementary { class, pairs, node, what, shape, trouble } = elementary;
        let step = self.beginning(index, class, &pairs, node, shape.as_ref(), trouble);
        let becomes = match &step {
            Step::Degrade { links, .. } => links.iter().map(|(_, _, params)| params.clone()).collect(),
            _ => Vec::new(),
        };
        self.steps.push(TimedStep { trigger, step });
        let description = format!("{kind} {what}");
        self.faults.push(FaultSpec { name, family, class, description, pairs, node, becomes });
        if let End::After(after) = end {
            let step = self.ending(index);
            self.steps.push(TimedStep { trigger: Trigger::AfterFault { fault: index, after }, step });
        }
        index
    }

    fn end(&mut self, name: &str, entry: &Fault) {
        let index = *self.open.get(name).expect("invariant: validation has matched every end to a beginning");
        let step = self.ending(index);
        let trigger = self.trigger(entry, Duration::ZERO);
        self.steps.push(TimedStep { trigger, step });
    }

    fn ending(&self, fault: FaultIndex) -> Step {
        let spec = &self.faults[fault.index()];
        match spec.node {
            Some(node) if spec.class.stops() => Step::Restart { fault, node },
            Some(node) => Step::Recover { fault, node },
            None => Step::Heal { fault, pairs: spec.pairs.clone() },
        }
    }

    fn beginning(
        &self,
        fault: FaultIndex,
        class: FaultClass,
        pairs: &Pairs,
        node: Option<NodeIndex>,
        shape: Option<&Becomes>,
        trouble: Option<Trouble>,
    ) -> Step {
        let pairs = pairs.clone();
        match (node, trouble, shape) {
            (Some(node), Some(Trouble::Crash) | None, _) => Step::Crash { fault, node },
            (Some(node), Some(trouble), _) => Step::Trouble { fault, node, trouble },
            (None, _, Some(Becomes { first, both, forward, back })) => {
                let links = pairs.iter().filter_map(|&(from, to)| {
                    let direction = match self.topology.group_of(from) == first {
                        true => Direction::Forward,
                        false => Direction::Back,
                    };
                    let base = self.topology.link(from, to)?;
                    Some((from, to, directed(both, [forward, back], direction, base)))
                });
                Step::Degrade { fault, links: links.collect() }
            }
            (None, _, None) => match class {
                FaultClass::Reset => Step::Reset { fault, pairs },
                FaultClass::Clog => Step::Clog { fault, pairs },
                FaultClass::DialCut => Step::DialCut { fault, pairs },
                _ => Step::LinksDown { fault, pairs },
            },
        }
    }

    fn elementary(&self, kind: &FaultKind) -> Elementary {
        let links = |class, (a, b): &(String, String), sign: &str| {
            Elementary::of_links(class, self.both_ways(a, b), format!("{a} {sign} {b}"))
        };
        match kind {
            FaultKind::Partition { between } => links(FaultClass::Cut, between, "|"),
            FaultKind::DialOnlyPartition { between } => links(FaultClass::DialCut, between, "|"),
            FaultKind::Reset { between } => links(FaultClass::Reset, between, "|"),
            FaultKind::Clog { between } => links(FaultClass::Clog, between, "|"),
            FaultKind::Degrade { between, shape, forward, back } => {
                let (first, both) = (between.0.clone(), shape.clone());
                let becomes = Becomes { first, both, forward: forward.clone(), back: back.clone() };
                Elementary { shape: Some(becomes), ..links(FaultClass::Degrade, between, "~") }
            }
            FaultKind::Bufferbloat { between, bandwidth_bps, queue_bytes } => {
                let (bandwidth_bps, queue_bytes) = (Some(*bandwidth_bps), Some(*queue_bytes));
                let both = LinkShape { bandwidth_bps, queue_bytes, ..LinkShape::default() };
                let becomes = Becomes { first: between.0.clone(), both, forward: None, back: None };
                Elementary { shape: Some(becomes), ..links(FaultClass::Bloat, between, "~") }
            }
            FaultKind::OneWayCut { from, to } => {
                Elementary::of_links(FaultClass::Cut, self.one_way(from, to), format!("{from} -/-> {to}"))
            }
            FaultKind::Blackout { group } => {
                Elementary::of_links(FaultClass::Cut, self.all_links(group), group.clone())
            }
            FaultKind::Node { node, trouble } => {
                let class = match trouble {
                    Trouble::Crash => FaultClass::Crash,
                    Trouble::TornWrite => FaultClass::TornWrite,
                    Trouble::UnsyncedLoss => FaultClass::UnsyncedLoss,
                    Trouble::DataLoss => FaultClass::DataLoss,
                    Trouble::Pause => FaultClass::Pause,
                    Trouble::DiskFull => FaultClass::DiskFull,
                    Trouble::DiskSlow { .. } => FaultClass::DiskSlow,
                    Trouble::ReadError => FaultClass::ReadError,
                    Trouble::ClockJump { .. } | Trouble::ClockSkew { .. } => FaultClass::Clock,
                };
                let (index, trouble) = (Some(self.node(node)), Some(*trouble));
                Elementary { class, pairs: Vec::new(), node: index, what: node.clone(), shape: None, trouble }
            }
            FaultKind::Flap { .. } | FaultKind::Composite(_) | FaultKind::Heal { .. } | FaultKind::Restart { .. } => {
                unreachable!("invariant: these are not compiled as one beginning")
            }
        }
    }

    fn group(&self, name: &str) -> u32 {
        let group = self.topology.groups.iter().position(|group| group.name == name);
        group.expect("invariant: validation has resolved every group name") as u32
    }

    fn members(&self, name: &str) -> Vec<NodeIndex> {
        self.topology.members(self.group(name)).collect()
    }

    fn routes(&self, from: &[NodeIndex], to: &[NodeIndex]) -> Pairs {
        let pairs = from.iter().flat_map(|&a| to.iter().map(move |&b| (a, b)));
        pairs.filter(|&(a, b)| self.topology.link(a, b).is_some()).collect()
    }

    fn one_way(&self, from: &str, to: &str) -> Pairs {
        self.routes(&self.members(from), &self.members(to))
    }

    fn both_ways(&self, a: &str, b: &str) -> Pairs {
        let mut pairs = self.one_way(a, b);
        if a != b {
            pairs.extend(self.one_way(b, a));
        }
        pairs
    }

    /// Those of a group to all others.
    fn all_links(&self, group: &str) -> Pairs {
        let others = self.topology.groups.iter().filter(|other| other.name != group);
        others.flat_map(|other| self.both_ways(group, &other.name)).collect()
    }

    fn node(&self, name: &str) -> NodeIndex {
        self.topology.find(name).expect("invariant: validation has resolved every node name")
    }

    fn trigger(&self, fault: &Fault, shift: Duration) -> Trigger {
        match &fault.when {
            When::At(at) => Trigger::At((*at + shift).into()),
            When::Within(from, until) => {
                let at = *from + (*until - *from).mul_f64(unit(&mut stream(self.seed, &fault.id)));
                // Whole milliseconds, as the clocks of the worlds have them.
                let at = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
                Trigger::At((at + shift).into())
            }
            When::On { event, after } => {
                let after = *after + shift;
                match event {
                    Event::Converged => Trigger::Converged { after },
                    Event::Writes { count, of } => {
                        Trigger::Writes { count: *count, of: of.as_ref().map(|of| self.group(of)), after }
                    }
                    Event::Session { of } => {
                        let group = |n: usize| of.get(n).map(|of| self.group(of));
                        Trigger::Session { of: [group(0), group(1)], after }
                    }
                }
            }
        }
    }
}
