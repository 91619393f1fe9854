//! `ddil explain`: where the time went, and what the links would have allowed.

use peat_scenarios::check::Verdict;
use peat_scenarios::explain::Explanation;
use peat_scenarios::report::Report;
use peat_sim::RunOptions;
use serde_json::json;

use crate::args::ExplainArgs;
use crate::exit::Exit;
use crate::output::{self, quoted};
use crate::progress::Meter;
use crate::{document, interrupt, panics, plants, source};

/// Runs the scenario and explains its slowest operations. Its verdict is told, but it is not what was asked for: the
/// exit code says whether there is an explanation.
pub fn explain(arguments: &ExplainArgs) -> Exit {
    let sourced = match source::find(&arguments.scenario) {
        Ok(sourced) => sourced,
        Err(error) => {
            output::complain(&error.to_string());
            return Exit::Usage;
        }
    };
    interrupt::watch();
    let scenario = &sourced.scenario;
    let seed = arguments.seed.unwrap_or(scenario.seed);
    let typed = quoted(&arguments.scenario) + &plants::typed(&arguments.plant);
    Meter::start(scenario.name.clone(), format!("ddil explain {typed} --seed {seed}"), !arguments.told.no_progress);
    let mut options = RunOptions::seed(seed).with_transfers();
    options.source = typed;
    options.progress = Some(Box::new(|progress| Meter::advance(&progress)));
    plants::plant(&arguments.plant, &mut options);
    let done = peat_sim::run(scenario, options);
    Meter::finish();
    panics::tell(&format!("the simulation of {}", scenario.name));
    let record = match done {
        Ok(record) => record,
        Err(error) => {
            output::complain(&format!("error: {} could not be run: {error}\n", scenario.name));
            return Exit::Infrastructure;
        }
    };
    let report = Report::of(scenario, &record);
    let explanation = Explanation::of(&record);
    let slowest = arguments.slowest as usize;
    if arguments.told.json {
        let explained = explanation.json(slowest);
        output::print(&document::pretty(&json!({
            "verdict": report.verdict,
            "run": record.meta,
            "trace_hash": record.trace_hash,
            "reproduce": report.reproduce(),
            "explanation": explained,
        })));
    } else {
        let mut text = explanation.text(slowest, output::stdout_paint());
        if report.verdict != Verdict::Pass {
            text.push_str(&format!("\nverdict {}; what is wrong: {}\n", report.verdict, report.reproduce()));
        }
        output::print(&text);
    }
    Exit::Pass
}
