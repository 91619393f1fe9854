//! Doing what a plan says, and nothing else.
//!
//! Infrastructure fails: an engine is busy, an image takes its time. Every line of the set-up is tried [`TRIES`] times with a growing
//! pause; what fails for good is trouble of the world ([`GroundError`]), never a finding about the nodes. Whatever was begun is taken away again,
//! by the lines of the plan's clean-up that are for it, whether or not the ones before went well.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use peat_scenarios::plan::Topology;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Act, EdgePort, Object, PAUSE, Phase, Plan, Step, TRIES};
use crate::edge;
use crate::emulator::{PortSetup, Setup};
use crate::ground::{GroundError, Links};
use crate::tool::process::{Failure, Kept, Processes};
use crate::tool::{Line, Variables, fill};

/// What carries lines out: processes, or a stand-in that writes down what it is asked.
#[expect(async_fn_in_trait, reason = "a run is one task, which nobody sends to another thread")]
pub trait Hands {
    /// A program that runs until this is dropped.
    type Kept;

    /// Runs a line to its end, and gives what it printed.
    async fn run(&self, line: &Line) -> Result<String, Failure>;

    /// Starts a line that runs until it is dropped, and gives the first line that it prints.
    async fn keep(&self, line: &Line) -> Result<(Self::Kept, String), Failure>;

    /// Starts a line whose standard output and input are a channel.
    async fn open(&self, line: &Line) -> Result<(Self::Kept, Channel), Failure>;

    /// Waits.
    async fn pause(&self, span: std::time::Duration);
}

/// What a program says, and what it is told.
pub type Channel = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

impl Hands for Processes {
    type Kept = Kept;

    async fn run(&self, line: &Line) -> Result<String, Failure> {
        Processes::run(self, line).await
    }

    async fn keep(&self, line: &Line) -> Result<(Kept, String), Failure> {
        Processes::keep(self, line).await
    }

    async fn open(&self, line: &Line) -> Result<(Kept, Channel), Failure> {
        let (kept, stdout, stdin) = Processes::open(self, line)?;
        Ok((kept, (Box::new(stdout), Box::new(stdin))))
    }

    async fn pause(&self, span: std::time::Duration) {
        tokio::time::sleep(span).await;
    }
}

/// A plan that is being done.
pub struct Execution<H: Hands> {
    hands: H,
    plan: Plan,
    topology: Topology,
    variables: Variables,
    /// Programs that run as long as this does, by name.
    kept: BTreeMap<String, H::Kept>,
    /// Edges that are open, by cluster, until they are taken.
    edges: Vec<(String, Links)>,
    /// What was made, or may have been.
    begun: BTreeSet<Object>,
}

impl<H: Hands> Execution<H> {
    /// Nothing is done yet. `variables`: a folder, and the keys of the formations.
    pub fn new(hands: H, plan: Plan, topology: Topology, variables: Variables) -> Self {
        let (kept, edges, begun) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Execution { hands, plan, topology, variables, kept, edges, begun }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The nodes and links of the run.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The value of a variable, if it is set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Puts variables in their places.
    pub fn filled(&self, template: &str) -> Result<String, GroundError> {
        fill(template, &self.variables).map_err(|error| GroundError(error.to_string()))
    }

    /// The edges that were opened, in order of their clusters.
    pub fn take_edges(&mut self) -> Vec<(String, Links)> {
        std::mem::take(&mut self.edges)
    }

    /// Makes the world, up to the point at which nodes are told of each other: that is the runner's, because it is the same in all
    /// worlds. On failure everything is taken away again.
    pub async fn set_up(&mut self) -> Result<(), GroundError> {
        let phases = self.plan.set_up.clone();
        for Phase { name, steps } in phases {
            for step in steps {
                if let Err(error) = self.persist(&step).await {
                    let left = self.clean_up().await;
                    let left: String = left.iter().map(|line| format!("\n  not taken away: {line}")).collect();
                    return Err(GroundError(format!("{name}: {error}{left}")));
                }
            }
        }
        Ok(())
    }

    /// Does steps that belong to the timeline, each tried as often as in the set-up: a fault that was not done because an engine was busy
    /// says nothing about the nodes.
    pub async fn perform(&mut self, steps: &[Step]) -> Result<(), GroundError> {
        for step in steps {
            self.persist(step).await?;
        }
        Ok(())
    }

    async fn persist(&mut self, step: &Step) -> Result<(), GroundError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            self.begun.extend(step.makes.iter().cloned());
            match self.once(step).await {
                Ok(()) => return Ok(()),
                // It will not be there the next time either.
                Err(Trouble { lasting: true, what }) => return Err(GroundError(what)),
                Err(Trouble { what, .. }) if attempt == TRIES => {
                    return Err(GroundError(format!("{what}\n  tried {TRIES} times")));
                }
                Err(_) => {}
            }
            self.undo(step).await;
            self.hands.pause(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// Takes away what a step may have made by half, so that it can be tried again.
    async fn undo(&self, step: &Step) {
        let outside: Vec<&Object> = step.makes.iter().filter(|object| object.cluster.is_empty()).collect();
        for taker in &self.plan.clean_up.steps {
            if let Act::Run(line) = &taker.act
                && outside.iter().any(|object| taker.removes(object))
            {
                // It may not be there at all.
                let _ = self.line(line).await;
            }
        }
    }

    async fn once(&mut self, step: &Step) -> Result<(), Trouble> {
        match &step.act {
            Act::Run(line) => {
                let printed = self.line(line).await?;
                if let Some(variable) = &line.sets {
                    let value = printed.trim();
                    if value.is_empty() {
                        return Err(Trouble::passing(format!("{line}\n  printed nothing")));
                    }
                    self.variables.insert(variable.clone(), value.to_owned());
                }
            }
            Act::Keep { name, port, line } => {
                // The one before leads to a pod that is gone.
                self.kept.remove(name);
                let (kept, printed) = self.hands.keep(&self.fill(line)?).await?;
                let found = port_in(&printed)
                    .ok_or_else(|| Trouble::passing(format!("{line}\n  printed no port: {printed}")))?;
                self.kept.insert(name.clone(), kept);
                self.variables.insert(port.clone(), found.to_string());
            }
            Act::Open { edge, line, ports } => {
                let setup = self.setup(edge, ports)?;
                let (kept, (answers, requests)) = self.hands.open(&self.fill(line)?).await?;
                let links = Links::open(answers, requests, &setup).await;
                let links = links.map_err(|error| Trouble::passing(format!("{line}\n  {error}")))?;
                self.kept.insert(format!("edge of {edge}"), kept);
                self.edges.push((edge.clone(), links));
            }
            // The runner's own client calls nodes, and its links are those of the edges.
            Act::Call { .. } | Act::Links { .. } => {}
        }
        Ok(())
    }

    fn setup(&self, edge: &str, ports: &[EdgePort]) -> Result<Setup, Trouble> {
        let address = |template: &str| -> Result<SocketAddr, Trouble> {
            let text = self.filled(template).map_err(|error| Trouble::lasting(error.0))?;
            text.parse().map_err(|_| Trouble::lasting(format!("edge of {edge}: `{text}` is not an address and a port")))
        };
        let ports = ports.iter().map(|port| {
            Ok(PortSetup {
                faces: port.faces,
                stands_for: port.stands_for,
                bind: address(&port.listen)?,
                node: address(&port.node)?,
                roams: port.roams,
                entering: !port.roams,
            })
        });
        let (topology, seed) = (edge::leaving(&self.topology, edge), self.plan.seed);
        Ok(Setup { topology, seed, ports: ports.collect::<Result<_, Trouble>>()? })
    }

    fn fill(&self, line: &Line) -> Result<Line, Trouble> {
        line.filled(&self.variables).map_err(|error| Trouble::lasting(format!("{line}: {error}")))
    }

    async fn line(&self, line: &Line) -> Result<String, Trouble> {
        Ok(self.hands.run(&self.fill(line)?).await?)
    }

    /// What a line prints, for whom it is not vital.
    pub async fn ask(&self, line: &Line) -> Option<String> {
        self.line(line).await.ok()
    }

    /// Logs, events and metrics, by the line that gave them. What cannot be had is said in its place.
    pub async fn collect(&self) -> Vec<(String, String)> {
        let mut collected = Vec::new();
        for step in &self.plan.collect.steps {
            if let Act::Run(line) = &step.act {
                let text = self.line(line).await.unwrap_or_else(|trouble| trouble.what);
                collected.push((line.to_string(), text));
            }
        }
        collected
    }

    /// Takes away what was begun, unless the plan says to keep it. What cannot be taken away is returned, a line each.
    pub async fn clean_up(&mut self) -> Vec<String> {
        self.kept.clear();
        self.edges.clear();
        if self.plan.keep {
            return Vec::new();
        }
        let mut left = Vec::new();
        let steps = self.plan.clean_up.steps.clone();
        for step in steps {
            if !self.begun.iter().any(|object| step.removes(object)) {
                continue;
            }
            let Act::Run(line) = &step.act else { continue };
            match self.line(line).await {
                Ok(_) => self.begun.retain(|object| !step.removes(object)),
                Err(trouble) => left.push(trouble.what),
            }
        }
        left
    }
}

/// Why a step was not done.
struct Trouble {
    what: String,
    /// Trying again is of no use.
    lasting: bool,
}

impl Trouble {
    fn passing(what: String) -> Self {
        Trouble { what, lasting: false }
    }

    fn lasting(what: String) -> Self {
        Trouble { what, lasting: true }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble { lasting: matches!(failure, Failure::Absent { .. }), what: failure.to_string() }
    }
}

/// The port in `Forwarding from 127.0.0.1:41753 -> 50051`.
fn port_in(printed: &str) -> Option<u16> {
    printed.split_whitespace().find_map(|word| word.rsplit_once(':')?.1.parse().ok())
}

#[cfg(test)]
pub(super) mod tests;
