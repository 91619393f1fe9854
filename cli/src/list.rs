//! `ddil list`: what can be run.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use peat_scenarios::library::{Shipped, library};
use peat_scenarios::report::{WIDTH, span};
use peat_scenarios::{Scenario, ScenarioError};
use serde::Serialize;

use crate::args::ListArgs;
use crate::exit::Exit;
use crate::output;

/// One entry of `ddil list --json`.
#[derive(Serialize)]
struct Entry {
    name: &'static str,
    purpose: String,
    nodes: u32,
    clusters: usize,
    duration: String,
    duration_ns: u64,
    path: &'static str,
}

/// Prints the library.
pub fn list(arguments: &ListArgs) -> Exit {
    let entries: Result<Vec<Entry>, ScenarioError> =
        library().iter().map(|shipped| Ok(Entry::new(shipped, shipped.scenario()?))).collect();
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            output::complain(&error.to_string());
            return Exit::Usage;
        }
    };
    match arguments.json {
        true => output::print(&crate::document::pretty(&entries)),
        false => output::print(&table(&entries)),
    }
    Exit::Pass
}

impl Entry {
    fn new(shipped: &Shipped, scenario: Scenario) -> Self {
        Entry {
            name: shipped.name,
            nodes: scenario.nodes(),
            clusters: scenario.clusters.len(),
            duration: span(scenario.duration),
            duration_ns: u64::try_from(scenario.duration.as_nanos()).unwrap_or(u64::MAX),
            purpose: scenario.purpose,
            path: shipped.path,
        }
    }
}

fn table(entries: &[Entry]) -> String {
    let mut table = bare_table();
    table.set_header(["NAME", "NODES", "CLUSTERS", "TIME", "PURPOSE"]);
    for entry in entries {
        let (nodes, clusters) = (entry.nodes.to_string(), entry.clusters.to_string());
        table.add_row([entry.name, &nodes, &clusters, &entry.duration, &entry.purpose]);
    }
    for number in 1..=3 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print_out(table)
}

/// A table without lines: on a terminal of its width, but no wider than a report, as long lines are hard to follow.
pub(crate) fn bare_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let width = table.width().unwrap_or(u16::MAX);
    table.set_width(width.min(u16::try_from(WIDTH).unwrap_or(u16::MAX)));
    table
}

/// Its text, the header in bold.
pub(crate) fn print_out(mut table: Table) -> String {
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    output::rows(&table, output::stdout_paint())
}
