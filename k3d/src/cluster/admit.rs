//! What clusters cannot do, said before anything is made.

use std::collections::BTreeSet;

use peat_scenarios::model::{LinkSpec, Trouble};
use peat_scenarios::physics::LinkParams;
use peat_scenarios::plan::{Plan, Step, Topology};
use peat_scenarios::profiles::Profile;
use peat_scenarios::{Capabilities, Scenario, Unsupported};

use super::faults::alone;
use super::{Options, Places};
use crate::edge::MAX_NODES;

/// The chart cuts longer names, and two could become one.
const NAME_CHARS: usize = 48;
/// Clusters of one machine each that a workstation carries; k3s alone takes half a GB.
const MAX_CLUSTERS: usize = 8;

/// What the world can do at all. That a pause needs a cluster of its own is known only of a scenario: [`admit`].
pub fn capabilities() -> Capabilities {
    crate::ground::capabilities("k3d", MAX_NODES, [])
}

/// Whether clusters can run a scenario, expanded to `plan`; if not, everything that they lack.
pub fn admit(scenario: &Scenario, plan: &Plan, options: &Options) -> Result<(), Unsupported> {
    let mut lacks = match capabilities().admit(scenario) {
        Ok(()) => Vec::new(),
        Err(unsupported) => unsupported.lacks,
    };
    let topology = &plan.topology;
    let clusters = scenario.clusters.len();
    if clusters > MAX_CLUSTERS {
        lacks.push(format!("{clusters} clusters: it makes at most {MAX_CLUSTERS}"));
    }
    for context in options.contexts.keys() {
        if scenario.clusters.iter().all(|cluster| cluster.name != *context) {
            let known: Vec<&str> = scenario.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            lacks.push(format!("--context {context}: there is no such cluster; there are {}", known.join(", ")));
        }
    }
    if !options.contexts.is_empty() {
        if options.contexts.len() < clusters {
            lacks.push(
                "--context: either every cluster exists or k3d makes them all; their networks would not meet".into(),
            );
        }
        if options.image.is_none() || options.edge_image.is_none() {
            let remedy = "name them with --image and --emulator-image";
            lacks.push(format!("--context: clusters that exist take their images from a registry; {remedy}"));
        }
    }
    for node in topology.nodes.iter().filter(|node| node.name.len() > NAME_CHARS) {
        lacks.push(format!("node `{}`: releases have names of at most {NAME_CHARS} characters", node.name));
    }
    lacks.extend(shaped_inside(scenario, topology));
    if topology.nodes.len() <= MAX_NODES as usize {
        lacks.extend(faults(plan, &Places::new(plan, options)));
    }
    if lacks.is_empty() {
        return Ok(());
    }
    Err(Unsupported { scenario: scenario.name.clone(), world: "k3d".into(), lacks })
}

/// Links inside a cluster are the cluster's own: what a scenario says of them beyond `lan` would be ignored.
fn shaped_inside(scenario: &Scenario, topology: &Topology) -> Vec<String> {
    let cluster = |group: &str| {
        let group = topology.groups.iter().find(|known| known.name == group);
        group.map(|group| group.cluster.as_str()).unwrap_or_default()
    };
    let position = |name: &str| topology.groups.iter().position(|group| group.name == name).unwrap_or_default() as u32;
    let lan: LinkParams = Profile::Lan.params();
    let inside = |link: &&LinkSpec| cluster(&link.between.0) == cluster(&link.between.1);
    let shaped = |link: &&LinkSpec| {
        let (a, b) = (position(&link.between.0), position(&link.between.1));
        let params = [topology.links.get(&(a, b)), topology.links.get(&(b, a))];
        params.into_iter().flatten().any(|params| *params != lan && *params != LinkParams::PERFECT)
    };
    let lacking = scenario.links.iter().filter(inside).filter(shaped);
    let lacking = lacking.map(|link| {
        let (a, b) = &link.between;
        format!(
            "link `{a}` - `{b}`: it cannot shape links inside cluster `{}`; their groups need clusters of their own",
            cluster(a)
        )
    });
    lacking.collect()
}

/// Faults that this scenario's clusters cannot do. Groups of one cluster without a link cannot be kept apart either, but that
/// only opens ways that nobody is told of.
fn faults(plan: &Plan, places: &Places) -> Vec<String> {
    let mut lacks = Vec::new();
    let mut told = BTreeSet::new();
    for timed in &plan.timeline {
        let fault = &plan.faults[timed.step.fault().index()];
        let why = match &timed.step {
            Step::LinksDown { pairs, .. } | Step::Clog { pairs, .. } | Step::DialCut { pairs, .. } => {
                pairs.iter().any(|&(a, b)| !places.apart(a, b)).then_some("touch links inside a cluster")
            }
            Step::Degrade { links, .. } => {
                links.iter().any(|(a, b, _)| !places.apart(*a, *b)).then_some("touch links inside a cluster")
            }
            Step::Trouble { node, trouble: Trouble::Pause, .. } => {
                let made = places.cluster_of(*node).machine().is_some();
                match (made, alone(&plan.topology, places, *node)) {
                    (true, true) => None,
                    (true, false) => Some("pause a node that shares its cluster: it pauses the cluster's machine"),
                    (false, _) => Some("pause a machine of a cluster that it did not make"),
                }
            }
            _ => None,
        };
        if let Some(why) = why
            && told.insert(fault.family.clone().unwrap_or_else(|| fault.name.clone()))
        {
            let kind = fault.description.split(' ').next().unwrap_or_default();
            lacks.push(format!("fault `{}` ({kind}): it cannot {why}", fault.family.as_deref().unwrap_or(&fault.name)));
        }
    }
    lacks
}
