//! `--engine`: what runs a scenario.

use clap::ValueEnum;
use peat_scenarios::Capabilities;
use peat_sim::Engine;

/// The engines by the names that people type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum EngineChoice {
    // One runtime, from event to event. No doc comments here: they would make every help text three times as long.
    #[default]
    Fabric,
    // A runtime a host, in ticks.
    Turmoil,
}

impl EngineChoice {
    /// What the simulator calls it.
    pub fn engine(self) -> Engine {
        match self {
            EngineChoice::Fabric => Engine::Fabric,
            EngineChoice::Turmoil => Engine::Turmoil,
        }
    }

    /// The option that chooses it, after a space; nothing for the one that is chosen anyway.
    pub fn typed(self) -> &'static str {
        match self {
            EngineChoice::Fabric => "",
            EngineChoice::Turmoil => " --engine turmoil",
        }
    }

    /// What it can do.
    pub fn capabilities(self) -> Capabilities {
        self.engine().capabilities()
    }
}
