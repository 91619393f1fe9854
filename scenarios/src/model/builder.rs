//! A scenario in Rust, for `#[test]`s.

mod faults;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Away, Class, Cluster, Discovery, Expect, Fault, Group, KeptHistory, LinkSpec, Scenario, ScenarioError, Selector,
    Workload, WorkloadKind, lower,
};
use crate::limits;

/// Builds a [`Scenario`]; what it takes is what a file says, one to one.
///
/// ```
/// use std::time::Duration;
/// use peat_scenarios::model::{Fault, LinkSpec, Peering, Scenario, Workload};
/// use peat_scenarios::profiles::Profile;
///
/// let minutes = |n: u64| Duration::from_secs(60 * n);
/// let scenario = Scenario::builder("island")
///     .purpose("an island loses its link for two minutes")
///     .duration(minutes(10))
///     .cluster("shore", |cluster| cluster.group("shore-edge", 2))
///     .cluster("island", |cluster| cluster.group("island-edge", 2))
///     .link(LinkSpec::new("shore-edge", "island-edge", Profile::Wan).peering(Peering::Gateway))
///     .workload(Workload::heartbeat(["shore-edge", "island-edge"], Duration::from_secs(30)))
///     .fault(Fault::partition("storm", "shore-edge", "island-edge").at(minutes(3)).lasting(minutes(2)))
///     .build()
///     .expect("valid");
/// assert_eq!(scenario.nodes(), 4);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    scenario: Scenario,
    settle: Option<Duration>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Builder {
            scenario: Scenario {
                name: name.to_owned(),
                purpose: format!("{name}, built in Rust"),
                duration: Duration::from_secs(600),
                settle: Duration::ZERO,
                seed: 1,
                clusters: Vec::new(),
                links: Vec::new(),
                workloads: Vec::new(),
                faults: Vec::new(),
                expect: Expect::default(),
            },
            settle: None,
        }
    }

    /// What it is there to show.
    pub fn purpose(mut self, purpose: &str) -> Self {
        self.scenario.purpose = purpose.to_owned();
        self
    }

    /// Length of the run; ten minutes if not given.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.scenario.duration = duration;
        self
    }

    /// Time at the end without writes; a tenth of the run, at most a minute, if not given.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = Some(settle);
        self
    }

    /// The seed; 1 if not given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.scenario.seed = seed;
        self
    }

    /// A cluster with its groups.
    pub fn cluster(mut self, name: &str, groups: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> Self {
        let cluster = Cluster { name: name.to_owned(), groups: Vec::new() };
        self.scenario.clusters.push(groups(ClusterBuilder(cluster)).0);
        self
    }

    /// A link between two groups, or inside one.
    pub fn link(mut self, link: LinkSpec) -> Self {
        self.scenario.links.push(link);
        self
    }

    /// A workload.
    pub fn workload(mut self, workload: Workload) -> Self {
        self.scenario.workloads.push(workload);
        self
    }

    /// The next entry of the timeline.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.scenario.faults.push(fault);
        self
    }

    /// The service levels.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.scenario.expect = expect;
        self
    }

    /// Validates exactly as a file is validated; messages name fields instead of lines.
    pub fn build(mut self) -> Result<Scenario, ScenarioError> {
        let duration = self.scenario.duration;
        self.scenario.settle = self.settle.unwrap_or_else(|| default_settle(duration));
        lower::validate(&self.scenario)
    }
}

pub(super) fn default_settle(duration: Duration) -> Duration {
    (duration / 10).min(limits::SETTLE_DEFAULT_MAX)
}

/// The groups of a cluster.
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterBuilder(Cluster);

impl ClusterBuilder {
    /// A group that is there from the start.
    pub fn group(self, name: &str, count: u32) -> Self {
        self.push(name, count, None)
    }

    fn push(mut self, name: &str, count: u32, joins_at: Option<Duration>) -> Self {
        let (interest, discovery, classes) = (Vec::new(), Discovery::None, BTreeMap::new());
        let (history, formation) = (BTreeMap::new(), None);
        let name = name.to_owned();
        self.0.groups.push(Group { name, count, joins_at, interest, formation, discovery, classes, history });
        self
    }

    /// What the group just added asks its peers for: `tracks`, `commands/ship-7`.
    pub fn interested_in<'a>(mut self, wanted: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(group) = self.0.groups.last_mut() {
            // One that cannot be read is kept as it is and refused by the validation.
            let selector = |text: &str| {
                let unread = Selector { collection: String::new(), prefix: text.to_owned() };
                Selector::parse(text).unwrap_or(unread)
            };
            group.interest = wanted.into_iter().map(selector).collect();
        }
        self
    }

    /// The formation of the group just added.
    pub fn of_formation(mut self, name: &str) -> Self {
        if let Some(group) = self.0.groups.last_mut() {
            group.formation = Some(name.to_owned());
        }
        self
    }

    /// How the group just added finds peers.
    pub fn discovering(mut self, discovery: Discovery) -> Self {
        if let Some(group) = self.0.groups.last_mut() {
            group.discovery = discovery;
        }
        self
    }

    /// The class of a collection in the group just added.
    pub fn class(mut self, collection: &str, class: Class) -> Self {
        if let Some(group) = self.0.groups.last_mut() {
            group.classes.insert(collection.to_owned(), class);
        }
        self
    }

    /// How much history a collection keeps in the group just added.
    pub fn history(mut self, collection: &str, kept: KeptHistory) -> Self {
        if let Some(group) = self.0.groups.last_mut() {
            group.history.insert(collection.to_owned(), kept);
        }
        self
    }

    /// A group that starts, empty, at `joins_at`.
    pub fn late_group(self, name: &str, count: u32, joins_at: Duration) -> Self {
        self.push(name, count, Some(joins_at))
    }
}

impl Workload {
    fn new<'a>(on: impl IntoIterator<Item = &'a str>, kind: WorkloadKind) -> Self {
        let on = on.into_iter().map(str::to_owned).collect();
        Workload { on, start: Duration::ZERO, until: None, only_during: None, kind }
    }

    /// Every node rewrites its own document.
    pub fn heartbeat<'a>(on: impl IntoIterator<Item = &'a str>, every: Duration) -> Self {
        Workload::new(on, WorkloadKind::Heartbeat { every })
    }

    /// Every node writes new documents to `tracks`.
    pub fn put<'a>(on: impl IntoIterator<Item = &'a str>, every: Duration) -> Self {
        Workload::new(on, WorkloadKind::Put { every, collection: "tracks".to_owned() })
    }

    /// Every node edits its part of `documents` documents in `plans`.
    pub fn edit<'a>(on: impl IntoIterator<Item = &'a str>, every: Duration, documents: u32) -> Self {
        Workload::new(on, WorkloadKind::Edit { every, collection: "plans".to_owned(), documents })
    }

    /// The nodes delete `documents` documents of `orders` in turn, one `every`.
    pub fn delete<'a>(on: impl IntoIterator<Item = &'a str>, every: Duration, documents: u32) -> Self {
        let collection = "orders".to_owned();
        Workload::new(on, WorkloadKind::Delete { every, collection, documents, from: None, contended_by: None })
    }

    /// Every node writes `documents` documents of its own to `telemetry` at once.
    pub fn burst<'a>(on: impl IntoIterator<Item = &'a str>, documents: u32) -> Self {
        let (collection, every) = ("telemetry".to_owned(), limits::OPERATION_EVERY);
        Workload::new(on, WorkloadKind::Burst { collection, documents, versions: 1, every })
    }

    /// Every node commands the nodes of `to` in turn.
    pub fn command<'a>(on: impl IntoIterator<Item = &'a str>, to: &str, every: Duration) -> Self {
        let (collection, to) = ("commands".to_owned(), to.to_owned());
        Workload::new(on, WorkloadKind::Command { every, collection, to })
    }

    /// Every node watches an agent with so many packages, of which one changes every so often.
    pub fn agent<'a>(on: impl IntoIterator<Item = &'a str>, documents: u32, every: Duration) -> Self {
        Workload::new(on, WorkloadKind::Agent { every, documents, away: None })
    }

    /// For agents: they do not answer for a time.
    pub fn away(mut self, from: Duration, lasts: Duration) -> Self {
        if let WorkloadKind::Agent { away, .. } = &mut self.kind {
            *away = Some(Away { from, lasts });
        }
        self
    }

    /// For bursts: each document is written that often, from one version to the next `spacing`.
    pub fn versions(mut self, count: u32, spacing: Duration) -> Self {
        if let WorkloadKind::Burst { versions, every, .. } = &mut self.kind {
            (*versions, *every) = (count, spacing);
        }
        self
    }

    /// When it begins.
    pub fn start(mut self, start: Duration) -> Self {
        self.start = start;
        self
    }

    /// When it ends.
    pub fn until(mut self, until: Duration) -> Self {
        self.until = Some(until);
        self
    }

    /// It pauses except while this fault lasts.
    pub fn only_during(mut self, fault: &str) -> Self {
        self.only_during = Some(fault.to_owned());
        self
    }

    /// Where it writes; heartbeats stay in `platforms`, and packages of agents in `deployments`.
    pub fn collection(mut self, name: &str) -> Self {
        match &mut self.kind {
            WorkloadKind::Heartbeat { .. } | WorkloadKind::Agent { .. } => {}
            WorkloadKind::Put { collection, .. }
            | WorkloadKind::Edit { collection, .. }
            | WorkloadKind::Delete { collection, .. }
            | WorkloadKind::Burst { collection, .. }
            | WorkloadKind::Command { collection, .. } => *collection = name.to_owned(),
        }
        self
    }

    /// For deletes: when the first happens.
    pub fn deleting_from(mut self, at: Duration) -> Self {
        if let WorkloadKind::Delete { from, .. } = &mut self.kind {
            *from = Some(at);
        }
        self
    }

    /// For deletes: the first node of `group` edits each document at the moment of its delete.
    pub fn contended_by(mut self, group: &str) -> Self {
        if let WorkloadKind::Delete { contended_by, .. } = &mut self.kind {
            *contended_by = Some(group.to_owned());
        }
        self
    }
}
