//! World `docker`: a container for each node, each in a private network, and the emulator in a container between the networks.
//!
//! ```text
//!   node alpha-0 ── network of alpha-0 ──┐
//!   node alpha-1 ── network of alpha-1 ──┤ emulator ── control network ── runner
//!   node bravo-0 ── network of bravo-0 ──┘
//! ```
//!
//! The networks are internal: a container has no route out of its own, so that the only way to another node is the emulator, whatever
//! addresses nodes tell each other. The runner is on the machine of the engine and reaches containers by the bridges.
//!
//! Containers are made, started, paused and removed through the `testcontainers` crate; networks, kills and what an interrupted run
//! left through the client of the engine under it. Everything has the label of its run: [`sweep`].

mod containers;
mod engine;
mod image;
mod legs;
mod places;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peat_scenarios::plan;
use peat_scenarios::{Capabilities, Capability, RunRecord, Scenario};

use crate::ground::{self, GroundError};
use crate::run::{self, Event, Watching};

pub use engine::{reachable, sweep};

/// Nodes of a run: each is a container and a network, and an engine on a workstation carries tens.
pub const NODES_MAX: u32 = 24;

/// A container that the engine was about to make when Ctrl-C was pressed is there by then.
const AGAIN: Duration = Duration::from_millis(500);

/// What this world can do.
pub fn capabilities() -> Capabilities {
    ground::capabilities("docker", NODES_MAX, [Capability::SeeSessions])
}

/// What a run in containers is made of.
pub struct Trial<'a> {
    /// What is run.
    pub scenario: &'a Scenario,
    /// Everything random that is not the machine's own follows from it.
    pub seed: u64,
    /// What the person typed to name the scenario, for the line that runs it again.
    pub source: String,
    /// Where the nodes' image comes from.
    pub image: Image<'a>,
    /// This program, for the emulator's image.
    pub program: &'a Path,
    /// Leave everything as it is in the end.
    pub keep: bool,
}

/// Where an image comes from.
#[derive(Debug, Clone, Copy)]
pub enum Image<'a> {
    /// The engine has it: `name:tag`.
    Ready(&'a str),
    /// It is made around this binary, from nothing.
    Binary(&'a Path),
    /// It is built from sources by `deploy/Dockerfile`, on this base image, from the top of the repository.
    Sources(&'a str),
}

/// The run that is going on, for whoever interrupts it.
static CURRENT: Mutex<Option<String>> = Mutex::new(None);

/// Takes away what the run that is going on has made. For the handler of Ctrl-C: it blocks, and the run goes on meanwhile in vain.
pub fn leave() {
    let run = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let (Some(run), Ok(runtime)) = (run, runtime) {
        runtime.block_on(async {
            // The run may be about to make something the first time. What cannot be removed is named by
            // `docker ps --filter label=ddil.run`.
            let _ = sweep(&run).await;
            tokio::time::sleep(AGAIN).await;
            let _ = sweep(&run).await;
        });
    }
}

/// Runs a scenario in containers. Blocks until the run is over.
///
/// # Errors
///
/// There is no engine, or the world could not be made or the nodes not be started: nothing is said about them.
pub fn run(trial: Trial<'_>, watching: Watching<'_>) -> Result<(RunRecord, Vec<Event>), GroundError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| GroundError::of("the runtime cannot be made", error))?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let began = tokio::time::Instant::now();
        let Trial { scenario, seed, source, image, program, keep } = trial;
        let plan = plan::expand(scenario, seed);
        let record = RunRecord::new(scenario, &plan, &source, "docker", "");
        let name = places::run_name(&plan);
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = (!keep).then(|| name.clone());
        let done = match containers::prepare(&plan, &name, image, program, keep).await {
            Ok((ground, links)) => run::run(plan, record, watching, ground, links).await,
            Err(error) => Err(error),
        };
        // On the way out of an error nobody has cleared the ground.
        if !keep && done.is_err() && reachable().await.is_ok() {
            let _ = sweep(&name).await;
        }
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
        done.map(|(mut record, events)| {
            record.wall = began.elapsed();
            (record, events)
        })
    })
}
