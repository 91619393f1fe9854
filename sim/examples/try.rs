//! Runs a shipped scenario several times: `try NAME TIMES [EVENTS_FILE]`.
#![allow(clippy::unwrap_used)]
use peat_scenarios::{library, report::{Paint, Report}};
use peat_sim::{RunOptions, first_difference};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let scenario = library::find(&args[1]).unwrap().scenario().unwrap();
    let times: usize = args[2].parse().unwrap();
    let keep = args.get(3);
    let mut first: Option<Vec<peat_sim::Event>> = None;
    for time in 0..times {
        let options = RunOptions::seed(std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(scenario.seed));
        let (record, events) = if keep.is_some() { peat_sim::run_with_events(&scenario, options).unwrap() } else { (peat_sim::run(&scenario, options).unwrap(), vec![]) };
        let report = Report::of(&scenario, &record);
        println!("{} {} wall {:.2?} datagrams {} ops {} visible {}", record.trace_hash.as_deref().unwrap(), report.verdict, record.wall, record.traffic.sent.datagrams, record.operations.len(), record.visibility.len());
        if time == 0 { println!("{}", report.text(Paint::Plain)); println!("{:?}", record.logs);
            if let Some(path) = keep { std::fs::write(path, events.iter().map(|e| format!("{e}\n")).collect::<String>()).unwrap(); } }
        match &first { None => first = Some(events), Some(f) => if let Some(at) = first_difference(f, &events) {
            for i in at.saturating_sub(8)..at + 4 { println!("A {:?}\nB {:?}", f.get(i).map(ToString::to_string), events.get(i).map(ToString::to_string)); }
        } }
    }
}
