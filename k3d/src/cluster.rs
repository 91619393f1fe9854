//! World `k3d`: Helm-deployed nodes in two or more Kubernetes clusters, with an emulator at each cluster's edge.
//!
//! ```text
//!   cluster alpha (k3d, or a context)          one Docker network           cluster bravo
//!  ┌─────────────────────────────────┐                                  ┌──────────────────┐
//!  │ pod alpha-edge-0 ◀─ NodePort ───┼──▶ edge of alpha ◀──▶ edge of bravo ◀──▶ NodePort … │
//!  │ pod alpha-edge-1 …              │      shapes what leaves alpha    └──────────────────┘
//!  └─────────────────────────────────┘
//! ```
//!
//! Everything is a [`Plan`] first: which objects there will be, and every command line in order, with the way back. `--plan` prints it,
//! the tests compare it, and [`execute`] does it and nothing else.
//!
//! Each node is a Helm release of its own with one replica, so that every node can be taken away alone: a StatefulSet gives up its
//! last replica only. Inside a cluster, nodes talk over the cluster's own network: nothing can be put between two pods from outside, so
//! a scenario that shapes or cuts links there is refused ([`admit`]).

pub mod admit;
pub mod execute;
mod faults;
pub mod ground;
mod phases;
mod places;
mod text;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use peat_scenarios::Scenario;
use peat_scenarios::plan::{NodeIndex, Plan as ScenarioPlan, Step as ScenarioStep};
use serde::Serialize;

pub(crate) use phases::from_sources;
pub(crate) use places::fingerprint;
pub use places::{ClusterPlace, Host, NodePlace, Places};

use crate::tool::Line;

/// How often a line is tried. What fails three times is not a matter of load.
pub const TRIES: u32 = 3;
/// Before the second try; each pause is twice the one before. An engine on a busy machine needs seconds to come round.
pub const PAUSE: Duration = Duration::from_secs(2);

/// What people may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Clusters that exist, by name in the scenario: context of the kubeconfig. The others are made by k3d.
    pub contexts: BTreeMap<String, String>,
    /// The image of the nodes, `name:tag`; `None`: built from `binary`.
    pub image: Option<String>,
    /// Build the image of the nodes from sources, by `deploy/Dockerfile` on this base image.
    pub base: Option<String>,
    /// The image of the edges, which has `ddil`; `None`: built from this program.
    pub edge_image: Option<String>,
    /// The node's binary, for the image.
    pub binary: String,
    /// This program, for the image of the edges.
    pub harness: String,
    /// The chart.
    pub chart: String,
    /// `deploy/image.sh`.
    pub image_script: String,
    /// Leave everything as it is in the end.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            contexts: BTreeMap::new(),
            image: None,
            base: None,
            edge_image: None,
            binary: "target/release/peat-node".into(),
            harness: "target/release/ddil".into(),
            chart: "deploy/chart/peat-node".into(),
            image_script: "deploy/image.sh".into(),
            keep: false,
        }
    }
}

/// Everything that a run on clusters would create and do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What everything is named after. It follows from scenario and seed, so that what an earlier run left behind is found.
    pub run: String,
    /// Who is where.
    pub places: Places,
    /// What is done before the scenario begins.
    pub set_up: Vec<Phase>,
    /// What is done while it runs, as the scenario's timeline says.
    pub timeline: Vec<Event>,
    /// What is gathered in the end.
    pub collect: Phase,
    /// What is done when it is over, whatever came of it, and after Ctrl-C. Each line is run, also if one before failed.
    pub clean_up: Phase,
    /// Leave out `clean_up`.
    pub keep: bool,
}

/// Steps that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// What it is for.
    pub name: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What there is afterwards that was not there before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub makes: Vec<Object>,
    /// What is gone afterwards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<Object>,
    /// The cluster that is gone with everything in it, or has nothing of the run left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empties: Option<String>,
    /// What is done.
    #[serde(flatten)]
    pub act: Act,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "act")]
pub enum Act {
    /// A program runs to its end.
    Run(Line),
    /// A program runs until the world ends, or the same is done anew; a port that it prints becomes the variable `port`.
    Keep {
        /// For whom: one per name.
        name: String,
        /// The variable that is set to the port in the first line that it prints.
        port: String,
        /// The program.
        #[serde(flatten)]
        line: Line,
    },
    /// A node's API is called.
    Call {
        /// The node.
        node: String,
        /// The method.
        method: &'static str,
        /// The message, as JSON with places of variables.
        message: String,
        /// The variable that is set to its endpoint id.
        #[serde(skip_serializing_if = "Option::is_none")]
        sets: Option<String>,
    },
    /// An edge is started. Its standard input and output are the channel to it, as long as it runs.
    Open {
        /// The edge's cluster.
        edge: String,
        /// The program.
        #[serde(flatten)]
        line: Line,
        /// Its ports.
        ports: Vec<EdgePort>,
    },
    /// An edge changes its links.
    Links {
        /// The edge's cluster.
        edge: String,
        /// How.
        step: ScenarioStep,
    },
}

/// A port of an edge, as far as it is known before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgePort {
    /// The node that sends here.
    #[serde(skip)]
    pub faces: NodeIndex,
    /// The node that it stands for.
    #[serde(skip)]
    pub stands_for: NodeIndex,
    /// Both, by name: `alpha-edge-0 -> bravo-edge-1`.
    pub way: String,
    /// Where it listens.
    pub listen: String,
    /// Where to whoever it faces.
    pub node: String,
    /// The way there translates addresses: it is answered where it was heard last.
    pub roams: bool,
}

/// Something that the world makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Object {
    /// Of what kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The cluster it is in; empty: outside.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// What happens while the scenario runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When, in words.
    pub when: String,
    /// What, in words.
    pub what: String,
    /// How.
    pub steps: Vec<Step>,
}

impl Step {
    fn of(act: Act) -> Self {
        Step { makes: Vec::new(), takes: Vec::new(), empties: None, act }
    }

    fn run(line: Line) -> Self {
        Step::of(Act::Run(line))
    }

    fn taking(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        self.takes.push(Object { kind, name: name.into(), cluster: String::new() });
        self
    }

    fn emptying(self, cluster: &str) -> Self {
        Step { empties: Some(cluster.to_owned()), ..self }
    }

    /// Is the object gone after it?
    pub fn removes(&self, object: &Object) -> bool {
        self.takes.contains(object) || self.empties.as_ref().is_some_and(|cluster| *cluster == object.cluster)
    }

    fn making(mut self, kind: &'static str, name: impl Into<String>, cluster: &str) -> Self {
        self.makes.push(Object { kind, name: name.into(), cluster: cluster.to_owned() });
        self
    }
}

impl Phase {
    fn new(name: &str, steps: Vec<Step>) -> Self {
        Phase { name: name.to_owned(), steps }
    }
}

impl Plan {
    /// What running `scenario`, expanded to `plan`, would do. The scenario has been admitted ([`admit::admit`]).
    pub fn new(scenario: &Scenario, plan: &ScenarioPlan, options: &Options) -> Self {
        let places = Places::new(plan, options);
        let builder = phases::Builder { plan, places: &places, options };
        Plan {
            scenario: scenario.name.clone(),
            seed: plan.seed,
            run: places.run.clone(),
            set_up: builder.set_up(),
            timeline: faults::timeline(plan, &places, options),
            collect: builder.collect(),
            clean_up: builder.clean_up(),
            keep: options.keep,
            places,
        }
    }

    /// Every step of it, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let set_up = self.set_up.iter().flat_map(|phase| &phase.steps);
        let timeline = self.timeline.iter().flat_map(|event| &event.steps);
        set_up.chain(timeline).chain(&self.collect.steps).chain(&self.clean_up.steps)
    }

    /// What takes an object away in the end.
    pub fn takers<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = &'a Step> {
        self.clean_up.steps.iter().filter(move |step| step.removes(object))
    }

    /// Everything that it makes, in order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.steps().flat_map(|step| &step.makes)
    }
}

#[cfg(test)]
mod tests;
