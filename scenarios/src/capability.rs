//! What a world can do, and what a scenario asks of it.
//!
//! A fault that is silently left out is the commonest lie of tools like this one. So each world, and each of its
//! engines, declares what it can do, and a scenario that asks for more is refused before anything starts, with
//! everything that is missing named at once.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::{Composite, Discovery, Event, FaultKind, LinkShape, Scenario, Trouble, When, WorkloadKind};

/// Something that not every world can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Links that carry nothing, in both directions or in one.
    CutLinks,
    /// Links that change.
    ChangeLinks,
    /// Telling both ends of a session that it is over.
    ResetSessions,
    /// Links that hold what they are given.
    ClogLinks,
    /// Links that carry only what belongs to open connections.
    CutDials,
    /// Stopping a node without a farewell, and starting it on what its disk kept.
    CrashNodes,
    /// Keeping a node from running.
    PauseNodes,
    /// Starting a node on an empty disk.
    LoseDisks,
    /// Stopping a node in the middle of a sync.
    TearWrites,
    /// Disks that refuse writes.
    FillDisks,
    /// Disks that are slow.
    SlowDisks,
    /// Disks that refuse reads.
    FailReads,
    /// Putting out the calendar of one node.
    SkewClocks,
    /// Seeing when all nodes hold the same.
    SeeConvergence,
    /// Seeing when operations are acknowledged.
    SeeWrites,
    /// Seeing when sessions come up.
    SeeSessions,
    /// Nodes that tell each other of their peers.
    Gossip,
    /// Agents beside nodes.
    Agents,
}

impl Capability {
    /// Every one.
    pub const ALL: [Capability; 18] = [
        Capability::CutLinks,
        Capability::ChangeLinks,
        Capability::ResetSessions,
        Capability::ClogLinks,
        Capability::CutDials,
        Capability::CrashNodes,
        Capability::PauseNodes,
        Capability::LoseDisks,
        Capability::TearWrites,
        Capability::FillDisks,
        Capability::SlowDisks,
        Capability::FailReads,
        Capability::SkewClocks,
        Capability::SeeConvergence,
        Capability::SeeWrites,
        Capability::SeeSessions,
        Capability::Gossip,
        Capability::Agents,
    ];

    /// What it cannot do without, in the words of a refusal: "cannot …".
    pub const fn verb(self) -> &'static str {
        match self {
            Capability::CutLinks => "cut links",
            Capability::ChangeLinks => "change links",
            Capability::ResetSessions => "reset sessions",
            Capability::ClogLinks => "clog links",
            Capability::CutDials => "cut dials only",
            Capability::CrashNodes => "crash nodes",
            Capability::PauseNodes => "pause nodes",
            Capability::LoseDisks => "empty disks",
            Capability::TearWrites => "stop a node in the middle of a sync",
            Capability::FillDisks => "fill disks",
            Capability::SlowDisks => "slow down disks",
            Capability::FailReads => "make reads fail",
            Capability::SkewClocks => "put out the clock of one node",
            Capability::SeeConvergence => "see when all nodes hold the same",
            Capability::SeeWrites => "see when writes are acknowledged",
            Capability::SeeSessions => "see when sessions come up",
            Capability::Gossip => "let nodes find each other",
            Capability::Agents => "run agents",
        }
    }
}

/// What a world can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The world and its engine, for people: `sim/fabric`.
    pub world: String,
    /// Everything it can do.
    pub can: BTreeSet<Capability>,
    /// Most nodes that it can run; `None`: as many as a scenario may have.
    pub nodes: Option<u32>,
}

impl Capabilities {
    /// A world that can do everything.
    pub fn all(world: &str) -> Self {
        Capabilities { world: world.to_owned(), can: Capability::ALL.into(), nodes: None }
    }

    /// A world that can do just this.
    pub fn only(world: &str, can: impl IntoIterator<Item = Capability>) -> Self {
        Capabilities { world: world.to_owned(), can: can.into_iter().collect(), nodes: None }
    }

    /// The same with a limit on nodes.
    #[must_use]
    pub fn at_most(self, nodes: u32) -> Self {
        Capabilities { nodes: Some(nodes), ..self }
    }

    /// Whether the world can run the scenario; if not, everything that it lacks.
    pub fn admit(&self, scenario: &Scenario) -> Result<(), Unsupported> {
        let mut lacks: Vec<String> = needs(scenario)
            .into_iter()
            .filter(|(_, capability)| !self.can.contains(capability))
            .map(|(who, capability)| format!("{who}: it cannot {}", capability.verb()))
            .collect();
        if let Some(most) = self.nodes.filter(|most| scenario.nodes() > *most) {
            lacks.push(format!("{} nodes: it runs at most {most}", scenario.nodes()));
        }
        if lacks.is_empty() {
            return Ok(());
        }
        Err(Unsupported { scenario: scenario.name.clone(), world: self.world.clone(), lacks })
    }
}

/// A world lacks something that a scenario asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Unsupported {
    /// The scenario.
    pub scenario: String,
    /// The world.
    pub world: String,
    /// Who asks for what, a line each; never empty.
    pub lacks: Vec<String>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot run in world {}:", self.scenario, self.world)?;
        self.lacks.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Everything that a scenario asks of a world, and who asks, in order of declaration.
pub fn needs(scenario: &Scenario) -> Vec<(String, Capability)> {
    let mut needs = Vec::new();
    for (_, group) in scenario.groups() {
        if group.discovery == Discovery::Gossip {
            needs.push((format!("group `{}` (discovery = \"gossip\")", group.name), Capability::Gossip));
        }
    }
    for workload in &scenario.workloads {
        if matches!(workload.kind, WorkloadKind::Agent { .. }) {
            needs.push((format!("workload on `{}` (agent)", workload.on.join("`, `")), Capability::Agents));
        }
    }
    for fault in &scenario.faults {
        let who = format!("fault `{}` ({})", fault.id, fault.kind.name());
        if let When::On { event, .. } = &fault.when {
            let capability = match event {
                Event::Converged => Capability::SeeConvergence,
                Event::Writes { .. } => Capability::SeeWrites,
                Event::Session { .. } => Capability::SeeSessions,
            };
            needs.push((who.clone(), capability));
        }
        needs.extend(of_kind(&fault.kind).iter().map(|capability| (who.clone(), *capability)));
    }
    needs
}

fn of_kind(kind: &FaultKind) -> &'static [Capability] {
    match kind {
        FaultKind::Partition { .. }
        | FaultKind::OneWayCut { .. }
        | FaultKind::Blackout { .. }
        | FaultKind::Flap { .. } => &[Capability::CutLinks],
        FaultKind::DialOnlyPartition { .. } => &[Capability::CutDials],
        FaultKind::Reset { .. } => &[Capability::CutLinks, Capability::ResetSessions],
        FaultKind::Clog { .. } => &[Capability::ClogLinks],
        FaultKind::Degrade { shape: LinkShape { .. }, .. } | FaultKind::Bufferbloat { .. } => {
            &[Capability::ChangeLinks]
        }
        FaultKind::Node { trouble, .. } => match trouble {
            Trouble::Crash => &[Capability::CrashNodes],
            Trouble::TornWrite | Trouble::UnsyncedLoss => &[Capability::CrashNodes, Capability::TearWrites],
            Trouble::DataLoss => &[Capability::CrashNodes, Capability::LoseDisks],
            Trouble::Pause => &[Capability::PauseNodes],
            Trouble::DiskFull => &[Capability::FillDisks],
            Trouble::DiskSlow { .. } => &[Capability::SlowDisks],
            Trouble::ReadError => &[Capability::FailReads],
            Trouble::ClockJump { .. } | Trouble::ClockSkew { .. } => &[Capability::SkewClocks],
        },
        FaultKind::Composite(composite) => match composite {
            Composite::Churn { .. } => &[Capability::CrashNodes],
            Composite::ReconnectStorm { .. } => &[Capability::CutLinks, Capability::ResetSessions],
            Composite::RollingOutage { .. }
            | Composite::Swizzle { .. }
            | Composite::DataMule { .. }
            | Composite::IslandMerge { .. } => &[Capability::CutLinks],
        },
        FaultKind::Heal { .. } | FaultKind::Restart { .. } => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::library;
    use crate::model::Fault;
    use crate::testing::{scenario, secs};

    #[test]
    fn a_world_names_everything_that_it_lacks_at_once() {
        let mut scenario = scenario();
        scenario.faults.push(Fault::clog("jam", "alpha", "bravo").after_writes(10).lasting(secs(5)));
        scenario.faults.push(Fault::node("full", "alpha-0", Trouble::DiskFull).at(secs(9)).lasting(secs(5)));
        let bare = Capabilities::only("sim/core", [Capability::CutLinks, Capability::CrashNodes]).at_most(3);
        let refusal = bare.admit(&scenario).unwrap_err();
        insta::assert_snapshot!(refusal);
    }

    #[test]
    fn a_world_that_can_do_everything_runs_the_whole_library() {
        for shipped in library() {
            let scenario = shipped.scenario().unwrap();
            assert_eq!(Capabilities::all("sim").admit(&scenario), Ok(()));
            // And each of its needs is one that a lesser world can lack.
            for (who, need) in needs(&scenario) {
                let lesser = Capability::ALL.into_iter().filter(|other| *other != need);
                let refusal = Capabilities::only("lesser", lesser).admit(&scenario).unwrap_err();
                assert!(refusal.lacks.iter().any(|line| line.starts_with(&who)), "{refusal}");
            }
        }
    }
}
