//! `ddil check`: is this file a scenario?

use peat_scenarios::report::{plural, span};
use peat_scenarios::{Scenario, plan};

use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::{output, source};

/// Validates every file; one bad file does not hide the next.
pub fn check(arguments: &CheckArgs) -> Exit {
    let mut invalid = 0;
    for file in &arguments.files {
        match source::read(file) {
            Ok(scenario) => output::print(&format!("{file}: {}\n", summary(&scenario))),
            Err(error) => {
                if invalid > 0 {
                    output::tell("\n");
                }
                invalid += 1;
                output::complain(&error.to_string());
            }
        }
    }
    if invalid == 0 {
        return Exit::Pass;
    }
    if arguments.files.len() > 1 {
        output::complain(&format!("\nerror: {invalid} of {} files are not valid scenarios\n", arguments.files.len()));
    }
    Exit::Usage
}

/// What was understood: a slip that is still valid (a group of 30 instead of 3) shows here.
fn summary(scenario: &Scenario) -> String {
    let operations = plan::expand(scenario, scenario.seed).operations.len();
    format!(
        "ok: {}, {} in {}, {}, {}, {} of scenario time",
        scenario.name,
        plural(scenario.nodes().into(), "node"),
        plural(scenario.clusters.len() as u64, "cluster"),
        plural(scenario.faults.iter().filter(|fault| fault.kind.begins()).count() as u64, "fault"),
        plural(operations as u64, "operation"),
        span(scenario.duration),
    )
}
