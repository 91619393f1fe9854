//! Shards, and what they must not be made into.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::check::Verdict;
use crate::report::{Paint, Report};
use crate::sweep::{Measure, ShardError, Sweep, SweepEntry, Trial, summary};
use crate::testing::{good, scenario, secs};

/// A sweep over small scenarios that differ in their names only.
fn plan(entries: usize, from: u64, runs: u32) -> SweepPlan {
    let entry = |at: usize| {
        let mut scenario = scenario();
        scenario.name = format!("small-blackout-{at}");
        SweepEntry { source: format!("./small {at}.toml"), scenario }
    };
    let entries = (0..entries).map(entry).collect();
    SweepPlan { world: "sim/ideal".to_owned(), options: String::new(), from, runs, entries }
}

/// A run whose figures follow from the trial, with numbers that a careless reader of JSON gets wrong by a bit.
fn run(measures: &[Measure], trial: Trial) -> SweptRun {
    let salt = (trial.seed as f64 + 0.1).ln() / (trial.entry as f64 + 3.0);
    let spoilt = |(at, measure): (usize, &Measure)| {
        let value = match (at as u64 + trial.seed % 11) % 11 {
            7 => f64::INFINITY,
            _ => salt * (at as f64 + 1.0) * 1e-3,
        };
        Measure { value, limit: (at % 2 == 0).then_some(salt * 0.7), ..measure.clone() }
    };
    let failed = trial.seed % 5 == 3;
    SweptRun {
        seed: trial.seed,
        verdict: if failed { Verdict::SloBreach } else { Verdict::Pass },
        failed: failed.then(|| "converge-within".to_owned()).into_iter().collect(),
        measures: measures.iter().enumerate().map(spoilt).collect(),
        trace_hash: (!trial.seed.is_multiple_of(7)).then(|| format!("{:032x}", trial.seed)),
        reproduce: format!("ddil run './small {}.toml' --seed {}", trial.entry, trial.seed),
    }
}

fn figures() -> Vec<Measure> {
    static FIGURES: OnceLock<Vec<Measure>> = OnceLock::new();
    let measured = || {
        let (scenario, record) = good();
        SweptRun::judged(&scenario, &Report::of(&scenario, &record)).measures
    };
    FIGURES.get_or_init(measured).clone()
}

fn shard(plan: &SweepPlan, measures: &[Measure], shard: Shard) -> ShardResult {
    let trials = plan.trials().filter(|trial| shard.holds(*trial));
    let runs = trials.map(|trial| (trial.entry, run(measures, trial))).collect();
    ShardResult { shard, program: "1.2.3".to_owned(), plan: plan.clone(), runs }
}

/// Everything that is told of a sweep.
fn told(plan: &SweepPlan, runs: &[Vec<SweptRun>]) -> String {
    let sweep = |(entry, runs): (&SweepEntry, &Vec<SweptRun>)| Sweep::new(&entry.scenario, &plan.world, runs.clone());
    let sweeps: Vec<Sweep> = plan.entries.iter().zip(runs).map(sweep).collect();
    let judged: Vec<(&Sweep, Verdict)> = sweeps.iter().map(|sweep| (sweep, Verdict::Pass)).collect();
    let mut told = summary(&judged, Verdict::Pass, Paint::Plain);
    for sweep in &sweeps {
        told += &sweep.text(Verdict::Pass, Paint::Plain);
        told += &serde_json::to_string_pretty(&(sweep.runs(), sweep.spreads())).unwrap();
    }
    told
}

fn unsharded(plan: &SweepPlan, measures: &[Measure]) -> String {
    let mut runs = vec![Vec::new(); plan.entries.len()];
    plan.trials().for_each(|trial| runs[trial.entry].push(run(measures, trial)));
    told(plan, &runs)
}

/// Written, read, and named.
fn passed_on(results: &[ShardResult]) -> Vec<(String, ShardResult)> {
    let read = |result: &ShardResult| ShardResult::parse(&result.line()).unwrap_or_else(|error| panic!("{error}"));
    results.iter().map(|result| (format!("{}.json", result.shard.index), read(result))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn shards_in_any_order_make_the_report_of_the_whole(
        entries in 1usize..4,
        runs in 1u32..40,
        of in 1u32..12,
        from in prop_oneof![Just(1u64), 0..1_000_000u64, Just(u64::MAX - 50)],
        order in any::<Vec<prop::sample::Index>>(),
    ) {
        let (plan, measures) = (plan(entries, from, runs), figures());
        let all: Vec<ShardResult> = (0..of).map(|index| shard(&plan, &measures, Shard { index, of })).collect();
        let mut shards = passed_on(&all);
        for (at, other) in order.iter().enumerate() {
            let (one, other) = (at % shards.len(), other.index(shards.len()));
            shards.swap(one, other);
        }
        // A pod that was started twice.
        let again = shards[0].clone();
        shards.push(again);
        let merged = merge(shards).unwrap_or_else(|error| panic!("{error}"));
        prop_assert!(merged.plan == plan);
        prop_assert_eq!(told(&merged.plan, &merged.runs), unsharded(&plan, &measures));
    }

    #[test]
    fn every_trial_is_in_one_shard_and_every_scenario_is_spread(
        entries in 1usize..50, rounds in 1u32..20, of in 1u32..80,
    ) {
        let plan = SweepPlan { entries: vec![plan(1, 1, 1).entries.remove(0); entries], ..plan(1, 1, entries as u32 * rounds) };
        let mut shares = vec![vec![0u32; entries]; of as usize];
        for trial in plan.trials() {
            let holders: Vec<u32> = (0..of).filter(|index| Shard { index: *index, of }.holds(trial)).collect();
            prop_assert_eq!(holders.len(), 1);
            shares[holders[0] as usize][trial.entry] += 1;
        }
        for entry in 0..entries {
            let of_entry = || shares.iter().map(|share| share[entry]);
            prop_assert!(of_entry().max().unwrap() - of_entry().min().unwrap() <= 1);
        }
    }
}

fn four() -> Vec<ShardResult> {
    let (plan, measures) = (plan(2, 1, 20), figures());
    (0..4).map(|index| shard(&plan, &measures, Shard { index, of: 4 })).collect()
}

fn refusal(change: impl FnOnce(&mut Vec<ShardResult>)) -> String {
    let mut shards = four();
    change(&mut shards);
    merge(passed_on(&shards)).unwrap_err().to_string()
}

#[test]
fn what_would_make_another_report_is_refused_by_name() {
    let refusals = [
        merge(Vec::new()).unwrap_err().to_string(),
        refusal(|shards| drop(shards.remove(2))),
        refusal(|shards| drop(shards.drain(1..))),
        refusal(|shards| shards[3].program = "1.2.4".to_owned()),
        refusal(|shards| shards[1] = shard(&plan(2, 1, 20), &figures(), Shard { index: 1, of: 5 })),
        refusal(|shards| shards[1] = shard(&plan(2, 1, 24), &figures(), Shard { index: 1, of: 4 })),
        refusal(|shards| shards[1] = shard(&plan(3, 1, 20), &figures(), Shard { index: 1, of: 4 })),
        refusal(|shards| shards[1].plan.world = "sim/turmoil".to_owned()),
        refusal(|shards| shards[1].plan.options = " --plant echo-loop".to_owned()),
        refusal(|shards| shards[1].plan.entries[1].scenario.duration += secs(1)),
        refusal(|shards| drop(shards[3].runs.pop())),
        refusal(|shards| {
            let stranger = shards[1].runs[0].clone();
            shards[2].runs.push(stranger);
        }),
        refusal(|shards| {
            let again = shards[2].runs[0].clone();
            shards[2].runs.push(again);
        }),
        refusal(|shards| {
            let mut again = shards[2].clone();
            again.runs[1].1.trace_hash = Some("another".to_owned());
            shards.push(again);
        }),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_shard_that_the_world_failed_gives_way_to_the_one_that_was_started_again() {
    for failed_first in [true, false] {
        let mut shards = four();
        let mut failed = shards[2].clone();
        let (_, run) = &mut failed.runs[0];
        *run = SweptRun::not_run(run.seed, "no thread".to_owned(), run.reproduce.clone());
        shards.insert(if failed_first { 0 } else { 4 }, failed);
        let merged = merge(passed_on(&shards)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(told(&merged.plan, &merged.runs), unsharded(&plan(2, 1, 20), &figures()));
    }
}

fn unreadable(change: impl FnOnce(&mut Value)) -> ShardError {
    let mut value: Value = serde_json::from_str(&four()[1].line()).unwrap();
    change(&mut value);
    ShardResult::parse(&value.to_string()).unwrap_err()
}

#[test]
fn what_is_no_shard_is_refused_by_its_field() {
    let line = four()[1].line();
    let told = [
        ShardResult::parse(&line[..line.len() / 2]).unwrap_err(),
        unreadable(|value| value["format"] = json!("ddil.run")),
        unreadable(|value| value["schema"] = json!(2)),
        unreadable(|value| value["shard"]["index"] = json!(4)),
        unreadable(|value| value["shard"]["of"] = json!(0)),
        unreadable(|value| value["plan"]["runs"] = json!(4_000_000)),
        unreadable(|value| value["plan"]["from"] = json!(u64::MAX)),
        unreadable(|value| value["plan"]["scenarios"] = json!([])),
        unreadable(|value| value["runs"][2]["scenario"] = json!(2)),
        unreadable(|value| value["runs"][1]["measures"][0]["value"] = json!("NaN")),
        unreadable(|value| value["runs"][1]["measures"][0]["value"] = json!(0.5)),
    ];
    insta::assert_snapshot!(told.map(|error| error.to_string()).join("\n"));
}

#[test]
fn a_shard_is_read_as_it_is_written() {
    for text in ["0/1", "3/64", "4095/4096"] {
        assert_eq!(text.parse::<Shard>().map(|shard| shard.to_string()), Ok(text.to_owned()));
    }
    let errors = ["64/64", "1", "1/0", "-1/4", "0/4097", "a/b"].map(|text| text.parse::<Shard>().unwrap_err());
    insta::assert_snapshot!(errors.join("\n"));
}
