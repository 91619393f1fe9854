//! `--engine`: what runs a scenario.

use clap::ValueEnum;
use peat_scenarios::Scenario;
use peat_sim::Engine;

use crate::output;
use crate::source::Sourced;

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

    /// Says which of the scenarios it cannot run, and whether there are any.
    pub fn refuses_any<'a>(self, scenarios: impl IntoIterator<Item = &'a Sourced>) -> bool {
        let scenarios = scenarios.into_iter().map(|sourced| &sourced.scenario);
        let reasons: Vec<String> =
            scenarios.filter_map(|scenario: &Scenario| self.engine().refuses(scenario)).collect();
        for reason in &reasons {
            output::complain(&format!("error: {reason}\n  = help: `--engine fabric` runs it\n"));
        }
        !reasons.is_empty()
    }
}
