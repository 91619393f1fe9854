//! The timeline of a scenario as commands.

use std::time::Duration;

use peat_scenarios::SimTime;
use peat_scenarios::model::Trouble;
use peat_scenarios::plan::{NodeIndex, Plan, Step as ScenarioStep, Topology, Trigger};
use peat_scenarios::report::span;

use super::phases::{api, claim, connect, identity, install};
use super::{Act, ClusterPlace, Event, Options, Places, Step};
use crate::edge;
use crate::tool::Line;

/// Time until a machine that was stopped has its control plane, and until its pods run again.
const MACHINE_LIMIT: Duration = Duration::from_secs(240);

/// Everything that happens while the scenario runs: nodes that join, then the faults as they are declared.
pub fn timeline(plan: &Plan, places: &Places, options: &Options) -> Vec<Event> {
    let late = plan.topology.nodes.iter().filter(|node| !places.node(node.index).from_start);
    let joins = late.map(|node| Event {
        when: format!("at {}", moment(node.joins_at)),
        what: format!("{} joins", node.name),
        steps: join(plan, places, options, node.index),
    });
    let faults = plan.timeline.iter().map(|timed| {
        let fault = &plan.faults[timed.step.fault().index()];
        let verb = if timed.step.begins() { "begins" } else { "ends" };
        Event {
            when: when(plan, timed.trigger),
            what: format!("{} {verb}: {}", fault.name, fault.description),
            steps: steps(&plan.topology, places, &timed.step),
        }
    });
    joins.chain(faults).collect()
}

/// A node that is not there from the start; its peers are told of it, and it of them.
pub fn join(plan: &Plan, places: &Places, options: &Options, node: NodeIndex) -> Vec<Step> {
    let mut steps = vec![install(plan, places, options, node), api(places, node), identity(places, node)];
    let spec = plan.topology.node(node);
    // Of two that come at once the one declared later finds the other.
    let is_there = |other: &NodeIndex| (plan.topology.node(*other).joins_at, *other) < (spec.joins_at, node);
    let dialers = plan.topology.nodes.iter().filter(|other| other.peers.contains(&node)).map(|other| other.index);
    steps.extend(dialers.filter(is_there).map(|other| connect(places, other, node)));
    steps.extend(spec.peers.iter().copied().filter(is_there).map(|peer| connect(places, node, peer)));
    steps
}

/// What one step of the timeline is.
pub fn steps(topology: &Topology, places: &Places, step: &ScenarioStep) -> Vec<Step> {
    match step {
        ScenarioStep::Crash { node, .. } => crash(topology, places, *node),
        ScenarioStep::Restart { node, .. } => restart(topology, places, *node),
        ScenarioStep::Trouble { node, trouble, .. } => match trouble {
            Trouble::Pause => pause(places, *node, "pause"),
            Trouble::DataLoss => {
                let mut steps = crash(topology, places, *node);
                steps.extend(wipe(topology, places, *node));
                steps
            }
            // Refused before: see admit.
            _ => Vec::new(),
        },
        ScenarioStep::Recover { node, .. } => pause(places, *node, "unpause"),
        links => {
            let mut steps = Vec::new();
            for (at, cluster) in places.clusters.iter().enumerate() {
                let mine = |from: NodeIndex, to: NodeIndex| places.node(from).cluster == at && places.apart(from, to);
                if let Some(step) = edge::part(links, mine) {
                    steps.push(Step::of(Act::Links { edge: cluster.name.clone(), step }));
                }
            }
            steps
        }
    }
}

/// A node that is alone in a cluster of ours loses its whole machine; of several, one loses its pod.
pub fn crash(topology: &Topology, places: &Places, node: NodeIndex) -> Vec<Step> {
    match machine(places, node, "kill").filter(|_| alone(topology, places, node)) {
        Some(line) => vec![Step::run(line)],
        None => vec![Step::run(scale(places, node, 0)), Step::run(delete(places, node))],
    }
}

/// The end of a crash, or of the loss of a disk.
pub fn restart(topology: &Topology, places: &Places, node: NodeIndex) -> Vec<Step> {
    let mut steps = power_on(topology, places, node);
    steps.push(Step::run(scale(places, node, 1)));
    let status = cluster(places, node).kubectl("rollout status --timeout=180s");
    let status = status.with([format!("statefulset/{}", places.node(node).name)]).within(MACHINE_LIMIT);
    steps.extend([Step::run(status), api(places, node)]);
    steps
}

/// Takes the disk of a node that does not run.
pub fn wipe(topology: &Topology, places: &Places, node: NodeIndex) -> Vec<Step> {
    let mut steps = power_on(topology, places, node);
    if !steps.is_empty() {
        // The machine brings its pod back with it.
        steps.extend([Step::run(scale(places, node, 0)), Step::run(delete(places, node))]);
    }
    let claim = format!("persistentvolumeclaim/{}", claim(&places.node(node).pod));
    let delete = cluster(places, node).kubectl("delete --ignore-not-found --timeout=60s").with([claim]);
    steps.push(Step::run(delete));
    steps
}

/// Starts the machine of a node that is alone on one of ours. Of a machine that runs, `start` makes nothing.
fn power_on(topology: &Topology, places: &Places, node: NodeIndex) -> Vec<Step> {
    let Some(line) = machine(places, node, "start").filter(|_| alone(topology, places, node)) else {
        return Vec::new();
    };
    let ready = cluster(places, node).kubectl("wait --for=condition=Ready --timeout=180s node --all");
    vec![Step::run(line), Step::run(ready.within(MACHINE_LIMIT))]
}

/// `pause` or `unpause` the machine of a node.
pub fn pause(places: &Places, node: NodeIndex, verb: &str) -> Vec<Step> {
    machine(places, node, verb).into_iter().map(Step::run).collect()
}

/// Is it the only node of its cluster?
pub fn alone(topology: &Topology, places: &Places, node: NodeIndex) -> bool {
    let cluster = places.node(node).cluster;
    topology.nodes.iter().all(|other| other.index == node || places.node(other.index).cluster != cluster)
}

fn machine(places: &Places, node: NodeIndex, verb: &str) -> Option<Line> {
    places.cluster_of(node).machine().map(|machine| Line::new("docker", [verb, machine]))
}

fn scale(places: &Places, node: NodeIndex, replicas: u32) -> Line {
    let target = format!("statefulset/{}", places.node(node).name);
    cluster(places, node).kubectl("scale").with([target, format!("--replicas={replicas}")])
}

/// Scaling alone is polite: the pod would have its grace period.
fn delete(places: &Places, node: NodeIndex) -> Line {
    let pod = format!("pod/{}", places.node(node).pod);
    cluster(places, node).kubectl("delete --force --grace-period=0 --ignore-not-found --timeout=60s").with([pod])
}

fn cluster(places: &Places, node: NodeIndex) -> &ClusterPlace {
    places.cluster_of(node)
}

fn when(plan: &Plan, trigger: Trigger) -> String {
    let group = |position: u32| plan.topology.groups[position as usize].name.as_str();
    let after = |after: Duration, what: String| match after.is_zero() {
        true => format!("when {what}"),
        false => format!("{} after {what}", span(after)),
    };
    match trigger {
        Trigger::At(at) => format!("at {}", moment(at)),
        Trigger::Converged { after: time } => after(time, "all nodes hold the same".into()),
        Trigger::Writes { count, of, after: time } => {
            let of = of.map(|of| format!(" of {}", group(of))).unwrap_or_default();
            after(time, format!("{count} writes{of} are acknowledged"))
        }
        Trigger::Session { of, after: time } => {
            let ends: Vec<&str> = of.iter().flatten().map(|&of| group(of)).collect();
            let ends = if ends.is_empty() { String::new() } else { format!(" of {}", ends.join(" and ")) };
            after(time, format!("a session{ends} is open"))
        }
        Trigger::AfterFault { fault, after: time } => after(time, format!("{} began", plan.faults[fault.index()].name)),
    }
}

fn moment(at: SimTime) -> String {
    span(at.since(SimTime::ZERO))
}
