//! `ddil links`: the named links.

use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint};
use peat_scenarios::model::Direction;
use peat_scenarios::physics::{LinkParams, Schedule};
use peat_scenarios::profiles::Profile;
use serde::Serialize;

use crate::args::LinksArgs;
use crate::exit::Exit;
use crate::{list, output};

/// One entry of `ddil links --json`.
#[derive(Serialize)]
struct Entry {
    name: &'static str,
    purpose: &'static str,
    forward: LinkParams,
    back: LinkParams,
}

/// Prints the profiles.
pub fn links(arguments: &LinksArgs) -> Exit {
    let entries: Vec<Entry> = Profile::ALL.into_iter().map(Entry::new).collect();
    match arguments.json {
        true => output::print(&crate::document::pretty(&entries)),
        false => output::print(&table(&entries)),
    }
    Exit::Pass
}

impl Entry {
    fn new(profile: Profile) -> Self {
        let [forward, back] = [Direction::Forward, Direction::Back].map(|direction| profile.params_of(direction));
        Entry { name: profile.name(), purpose: profile.purpose(), forward, back }
    }

    /// One figure, or two where the directions differ.
    fn both(&self, figure: impl Fn(&LinkParams) -> String) -> String {
        let (forward, back) = (figure(&self.forward), figure(&self.back));
        if forward == back { forward } else { format!("{forward} / {back}") }
    }
}

fn table(entries: &[Entry]) -> String {
    let mut table = list::bare_table();
    table.set_header(["NAME", "LATENCY", "JITTER", "LOSS", "RATE", "THERE", "WHAT IT IS"]);
    for entry in entries {
        table.add_row([
            entry.name.to_owned(),
            entry.both(|link| millis(link.latency)),
            entry.both(jitter),
            entry.both(loss),
            entry.both(|link| link.bandwidth_bps.map_or("-".to_owned(), rate)),
            entry.both(presence),
            entry.purpose.to_owned(),
        ]);
    }
    for number in 0..=5 {
        if let Some(column) = table.column_mut(number) {
            column.set_constraint(ColumnConstraint::ContentWidth);
            column.set_cell_alignment(if number == 0 { CellAlignment::Left } else { CellAlignment::Right });
        }
    }
    list::print_out(table)
}

fn millis(span: Duration) -> String {
    format!("{}ms", span.as_secs_f64() * 1e3)
}

fn jitter(link: &LinkParams) -> String {
    if link.jitter.is_zero() {
        return "-".to_owned();
    }
    let spread = link.spread.to_string();
    match spread.as_str() {
        "uniform" => millis(link.jitter),
        other => format!("{} {other}", millis(link.jitter)),
    }
}

/// Of all datagrams in the long run, the bursts included.
fn loss(link: &LinkParams) -> String {
    let bursts = link.bursts.map_or(0.0, |bursts| bursts.mean_loss());
    let all = 1.0 - (1.0 - link.loss) * (1.0 - bursts);
    match (all == 0.0, link.bursts.is_some()) {
        (true, _) => "-".to_owned(),
        (false, false) => format!("{}%", rounded(all * 100.0)),
        (false, true) => format!("{}% bursts", rounded(all * 100.0)),
    }
}

/// To two digits: a loss is not known better.
fn rounded(percent: f64) -> f64 {
    let scale = 10f64.powi(1 - percent.log10().floor() as i32);
    (percent * scale).round() / scale
}

fn rate(bps: u64) -> String {
    match bps {
        1_000_000_000.. => format!("{}G", bps as f64 / 1e9),
        1_000_000.. => format!("{}M", bps as f64 / 1e6),
        _ => format!("{}k", bps as f64 / 1e3),
    }
}

/// Share of the time in which there is a contact.
fn presence(link: &LinkParams) -> String {
    match link.schedule.as_deref() {
        None | Some(Schedule::Opportunities(_)) => "always".to_owned(),
        Some(Schedule::Windows(windows)) => format!("{:.0}%", windows.presence() * 100.0),
    }
}
