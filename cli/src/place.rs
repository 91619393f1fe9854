//! `--world` and what belongs to it: where scenarios run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use peat_scenarios::Capabilities;

use crate::clusters::Clusters;
use crate::engine::EngineChoice;
use crate::source::Sourced;

/// The worlds by the names that people type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum World {
    // In virtual time. No doc comments here: they would make every help text three times as long.
    #[default]
    Sim,
    // Processes of this machine.
    Process,
    // Containers of the Docker engine on this machine.
    Docker,
    // Pods of two or more clusters.
    K3d,
}

impl World {
    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            World::Sim => "sim",
            World::Process => "process",
            World::Docker => "docker",
            World::K3d => "k3d",
        }
    }

    /// Reads the name of one in real time.
    pub fn real(name: &str) -> Result<Self, String> {
        let real = [World::Process, World::Docker, World::K3d];
        real.into_iter().find(|world| world.name() == name).ok_or_else(|| {
            let names = real.map(World::name).join(", ");
            format!("the simulation is held against a world in real time: {names}")
        })
    }
}

/// Where and as what.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Worlds")]
pub struct Place {
    /// `sim`: virtual time. In real time: `process`, `docker` (containers), `k3d` (Kubernetes clusters)
    #[arg(long, value_name = "WORLD", value_enum, default_value_t)]
    pub world: World,

    /// Tell the story in this part of its time, above 0 and at most 1; links and bounds stay as they are
    #[arg(long, value_name = "F", value_parser = scale)]
    pub time_scale: Option<f64>,

    /// The program of the nodes in real worlds [default: peat-node beside ddil]
    #[arg(long, value_name = "PATH")]
    pub node: Option<PathBuf>,

    /// With --world process: another server, as FILE says, for all nodes or for those of GROUP
    #[arg(long, value_name = "[GROUP=]FILE")]
    pub adapter: Vec<String>,

    /// Of containers and clusters.
    #[command(flatten)]
    pub clusters: Clusters,
}

/// Reads a part of time.
pub fn scale(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| *factor > 0.0 && *factor <= 1.0);
    factor.ok_or_else(|| "give a number above 0 and at most 1, as in 0.1".to_owned())
}

impl Place {
    /// What it can do.
    pub fn capabilities(&self, engine: EngineChoice) -> Capabilities {
        match self.world {
            World::Sim => engine.capabilities(),
            World::Process => peat_k3d::process::capabilities(),
            World::Docker => peat_k3d::docker::capabilities(),
            World::K3d => peat_k3d::cluster::admit::capabilities(),
        }
    }

    /// What was typed to choose it, each option after a space.
    pub fn typed(&self) -> String {
        let mut typed = String::new();
        if self.world != World::Sim {
            typed.push_str(&format!(" --world {}", self.world.name()));
        }
        if let Some(factor) = self.time_scale {
            typed.push_str(&format!(" --time-scale {factor}"));
        }
        if let Some(node) = &self.node {
            typed.push_str(&format!(" --node {}", crate::output::quoted(&node.to_string_lossy())));
        }
        for adapter in &self.adapter {
            typed.push_str(&format!(" --adapter {}", crate::output::quoted(adapter)));
        }
        typed.push_str(&self.clusters.typed());
        typed
    }

    /// Options that do not go together, told before anything runs.
    pub fn check(&self, engine: EngineChoice) -> Result<(), String> {
        let refuse = |option: &str, of: &str| {
            Err(format!("error: {option} is of `--world {of}`\n  = help: leave it out, or choose that world\n"))
        };
        if let Some((option, of)) = self.clusters.misplaced(self.world == World::Docker, self.world == World::K3d) {
            return refuse(option, of);
        }
        match self.world {
            World::Sim if self.node.is_some() => refuse("--node", "process"),
            World::Sim if !self.adapter.is_empty() => refuse("--adapter", "process"),
            World::Docker | World::K3d if !self.adapter.is_empty() => refuse("--adapter", "process"),
            World::Process | World::Docker | World::K3d if engine != EngineChoice::default() => {
                refuse("--engine", "sim")
            }
            _ => Ok(()),
        }
    }

    /// The scenario in its part of time.
    pub fn scaled(&self, sourced: Sourced) -> Result<Sourced, String> {
        let Some(factor) = self.time_scale else { return Ok(sourced) };
        match sourced.scenario.scaled(factor) {
            Ok(scenario) => Ok(Sourced { scenario, ..sourced }),
            Err(error) => Err(format!("{error}  = help: --time-scale {factor} makes it too short\n")),
        }
    }
}
