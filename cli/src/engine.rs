//! `--engine`: what runs a scenario.

use clap::ValueEnum;
use peat_scenarios::Unsupported;
use peat_sim::Engine;

use crate::output;
use crate::source::Sourced;

/// The engines by the names that people type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum EngineChoice {
    /// One runtime, from event to event: the fastest
    #[default]
    Fabric,
    /// turmoil: a runtime a host, ticks of 1 ms, crash and bounce; up to 50 nodes
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

    /// Says which of the scenarios it cannot run, and whether there are any.
    pub fn refuses_any<'a>(self, scenarios: impl IntoIterator<Item = &'a Sourced>) -> bool {
        let can = self.engine().capabilities();
        let refusals = scenarios.into_iter().filter_map(|sourced| can.admit(&sourced.scenario).err());
        let refusals: Vec<Unsupported> = refusals.collect();
        let help = if self == Self::Fabric { "" } else { "  = help: `--engine fabric` runs it\n" };
        for refusal in &refusals {
            output::complain(&format!("error: {refusal}\n{help}"));
        }
        !refusals.is_empty()
    }
}
