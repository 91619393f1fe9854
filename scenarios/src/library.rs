//! The shipped scenarios, embedded so that they run from anywhere.

use thiserror::Error;

use crate::limits;
use crate::model::{Scenario, ScenarioError};
use crate::suggest::closest;

/// A shipped scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name, also in the file.
    pub name: &'static str,
    /// Its path in the repository.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(Shipped {
            name: $name,
            path: concat!("scenarios/library/", $name, ".toml"),
            text: include_str!(concat!("../library/", $name, ".toml")),
        }),+]
    };
}

const LIBRARY: &[Shipped] = shipped![
    "two-cluster-blackout",
    "flapping-link",
    "one-way-cut",
    "crash-during-partition",
    "late-joiner",
    "line-of-five",
    "degraded-radio",
    "outage-1m",
    "outage-1h",
    "latest-telemetry",
    "window-plans",
    "contact-plan",
    "bufferbloat",
    "bursty-radio",
    "asymmetric-satellite",
    "written-in-the-dark",
    "delete-against-edit",
    "three-way-partition",
    "nobody-starves",
    "restart-with-an-old-cursor",
    "uneven-knowledge",
    "down-at-the-start",
    "hot-document",
    "delete-burst",
    "agents-out-of-sight",
    "hub-out-of-reach",
    "fleet-scales-up",
    "outage-24h",
    "two-hundred-spokes",
    "thin-link",
    "gossip-islands",
    "disk-full",
    "clock-jump",
    "paused-node",
    "swizzle",
    "churn",
    "data-loss-rejoin",
    "data-mule",
    "island-merge",
    "reconnect-storm",
    "dial-only-partition",
    "clogged-link",
    "torn-write",
    "five-nodes-ten-minutes",
    "backlog-of-5000",
];

/// No shipped scenario has that name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no scenario is called `{name}`{}; shipped: {}",
    suggestion.map(|right| format!(", did you mean `{right}`?")).unwrap_or_default(),
    LIBRARY.iter().map(|shipped| shipped.name).collect::<Vec<_>>().join(", "))]
pub struct UnknownScenario {
    /// What was asked for.
    pub name: String,
    /// What was probably meant.
    pub suggestion: Option<&'static str>,
}

/// All shipped scenarios, the flagship first.
pub fn library() -> &'static [Shipped] {
    LIBRARY
}

/// The shipped scenario called `name`.
pub fn find(name: &str) -> Result<Shipped, UnknownScenario> {
    LIBRARY.iter().find(|shipped| shipped.name == name).copied().ok_or_else(|| UnknownScenario {
        name: name.to_owned(),
        suggestion: closest(name, LIBRARY.iter().map(|shipped| shipped.name)),
    })
}

/// What `ddil new` writes.
const STARTER: &str = include_str!("starter.toml");

/// A commented scenario to begin with, under a name of one's own; why that is no name, otherwise.
pub fn starter(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(wrong) = name.chars().find(|c| !allowed(*c)) {
        return Err(format!("it has `{}` in it", wrong.escape_default()));
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || name.ends_with('-') {
        return Err("it begins with a letter, and ends with one or a digit".to_owned());
    }
    if name.len() > limits::NAME_CHARS {
        return Err(format!("it has {} characters; at most {} are allowed", name.len(), limits::NAME_CHARS));
    }
    Ok(STARTER.replace("NAME", name))
}

impl Shipped {
    /// Reads and validates it.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        Scenario::parse(self.path, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::expand;

    #[test]
    fn every_shipped_scenario_is_valid_and_modest() {
        for shipped in library() {
            let scenario = shipped.scenario().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, shipped.name);
            let operations = expand(&scenario, scenario.seed).operations.len();
            assert!((100..=5_100).contains(&operations), "{}: {operations} operations", shipped.name);
        }
    }

    #[test]
    fn every_shipped_scenario_survives_a_round_trip_through_toml() {
        for shipped in library() {
            let scenario = shipped.scenario().unwrap();
            let text = scenario.to_toml();
            let again = Scenario::parse("again.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(again, scenario);
        }
    }

    #[test]
    fn every_library_file_is_embedded() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/library");
        let files = std::fs::read_dir(directory).unwrap().filter_map(Result::ok);
        let mut files: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
        files.sort();
        let mut embedded: Vec<String> = library().iter().map(|shipped| format!("{}.toml", shipped.name)).collect();
        embedded.sort();
        assert_eq!(files, embedded);
    }

    #[test]
    fn the_example_of_the_documentation_is_valid() {
        let page = include_str!("../../docs/scenarios.md");
        // What comes before the reference are parts of one.
        let (_, reference) = page.split_once("## Reference").unwrap();
        let example = reference.split("```toml").nth(1).and_then(|rest| rest.split("```").next());
        let scenario = Scenario::parse("docs/scenarios.md", example.unwrap());
        assert_eq!(scenario.unwrap_or_else(|error| panic!("{error}")).name, "island");
    }

    #[test]
    fn the_starter_is_valid_under_any_name_that_is_one() {
        for name in ["a", "ship-loses-satellite", "x2"] {
            let text = starter(name).unwrap();
            let scenario = Scenario::parse("starter.toml", &text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, name);
        }
        for wrong in ["", "2x", "-", "a-", "A", "a b", "a\"b", "../a", "a\n", &"a".repeat(limits::NAME_CHARS + 1)] {
            assert!(starter(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_slip_in_the_name_is_recognised() {
        let error = find("two-cluster-blakcout").unwrap_err();
        assert_eq!(error.suggestion, Some("two-cluster-blackout"));
        assert!(error.to_string().contains("did you mean `two-cluster-blackout`?"), "{error}");
    }
}
