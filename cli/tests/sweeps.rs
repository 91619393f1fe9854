//! Many runs and what is said of all: sweeps, whole and in shards, and both engines, through the built binary.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::fs;

use serde_json::Value;
use terminal::{ISLAND, ddil, directory, exits, seen, text};

#[test]
fn a_sweep_is_the_runs_of_its_seeds() {
    let at = directory("swept");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let output = ddil(&["sweep", "island.toml", "--seeds", "5", "--from", "3", "--jobs", "2", "--json"])
        .current_dir(&at)
        .output()
        .unwrap();
    exits(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verdict"], "PASS");
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    let alone = ddil(&["run", "island.toml", "--seed", "4", "--json"]).current_dir(&at).output().unwrap();
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!(runs[1]["trace_hash"], alone["runs"][0]["trace_hash"]);
    assert_eq!(runs[1]["reproduce"], alone["runs"][0]["reproduce"]);
    let converged = document["figures"].as_array().unwrap().iter().find(|of| of["name"] == "converged").unwrap();
    assert_eq!(converged["seeds"], 5);
    assert!(converged["p50"].as_f64().unwrap() <= converged["p99"].as_f64().unwrap(), "{converged}");
}

#[test]
fn a_sweep_tells_every_seed_that_fails_and_how_to_see_it_again() {
    let at = directory("swept-badly");
    let strict = ISLAND.to_owned() + "\n[expect]\nconverge_within = \"1ms\"\n";
    fs::write(at.join("strict.toml"), strict).unwrap();
    let output = ddil(&["sweep", "strict.toml", "--seeds", "2"]).current_dir(&at).output().unwrap();
    exits(&output, 3);
    let lines: Vec<&str> = text(&output.stdout).lines().map(str::trim).collect();
    for seed in 1..=2 {
        let again = format!("reproduce: ddil run strict.toml --seed {seed}");
        assert!(lines.contains(&again.as_str()), "{lines:#?}");
    }
    assert_eq!(lines.last(), Some(&"SLO-BREACH  2 seeds: beyond the bound at p99: converged"));
}

#[test]
fn a_sweep_over_several_scenarios_gives_each_its_share() {
    let at = directory("swept-together");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let strict = ISLAND.replacen("island", "strict", 1) + "\n[expect]\nconverge_within = \"1ms\"\n";
    fs::write(at.join("strict.toml"), strict).unwrap();
    let swept = |json: &[&str]| {
        let arguments = [&["sweep", "island.toml", "strict.toml", "--seeds", "3"], json].concat();
        let output = ddil(&arguments).current_dir(&at).output().unwrap();
        exits(&output, 3);
        output
    };
    let document: Value = serde_json::from_slice(&swept(&["--json"]).stdout).unwrap();
    let seeds = |at: usize| {
        let runs = document["scenarios"][at]["runs"].as_array().unwrap();
        runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((seeds(0), seeds(1)), (vec![1, 2], vec![1]));
    let output = swept(&[]);
    let lines: Vec<&str> = text(&output.stdout).lines().map(str::trim).collect();
    assert!(lines.contains(&"reproduce: ddil run strict.toml --seed 1"), "{lines:#?}");
    assert_eq!(lines.last(), Some(&"SLO-BREACH  3 runs of 2 scenarios"));
}

#[test]
fn shards_that_are_merged_are_the_sweep_to_the_byte() {
    let at = directory("swept-in-shards");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let strict = ISLAND.replacen("island", "strict", 1) + "\n[expect]\nconverge_within = \"1ms\"\n";
    fs::write(at.join("strict.toml"), strict).unwrap();
    let whole = ["sweep", "island.toml", "strict.toml", "--seeds", "5"];
    let there = |arguments: &[&str]| ddil(arguments).current_dir(&at).output().unwrap();
    let mut logs = String::from("a pod says something before\n");
    for shard in ["2/3", "0/3"] {
        let output = there(&[&whole[..], &["--shard", shard]].concat());
        exits(&output, 0);
        logs.push_str(text(&output.stdout));
    }
    fs::write(at.join("logs.txt"), logs).unwrap();
    let missing = there(&["sweep", "--merge", "logs.txt"]);
    exits(&missing, 2);
    insta::assert_snapshot!("a_shard_is_missing", seen(&missing));
    exits(&there(&[&whole[..], &["--shard", "1/3", "--result", "1.json"]].concat()), 0);
    for json in [&[][..], &["--json"]] {
        let expected = there(&[&whole[..], json].concat());
        exits(&expected, 3);
        let merged = there(&[&["sweep"], json, &["--merge", "logs.txt", "1.json"]].concat());
        exits(&merged, 3);
        assert_eq!(text(&merged.stdout), text(&expected.stdout));
    }
}

#[test]
fn a_sweep_on_the_other_engine_says_so_in_every_line_that_runs_it_again() {
    let at = directory("swept-by-turmoil");
    let strict = ISLAND.to_owned() + "\n[expect]\nconverge_within = \"1ms\"\n";
    fs::write(at.join("strict.toml"), strict).unwrap();
    let swept = ["sweep", "strict.toml", "--seeds", "1", "--engine", "turmoil"];
    let output = ddil(&swept).current_dir(&at).output().unwrap();
    exits(&output, 3);
    let told = text(&output.stdout);
    assert!(told.contains("world sim/turmoil"), "{told}");
    assert!(told.contains("reproduce: ddil run strict.toml --engine turmoil --seed 1"), "{told}");
}

#[test]
fn both_engines_tell_the_same_story() {
    let at = directory("engines");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let told = |json: &[&str]| {
        let output = ddil(&[&["engines", "island.toml"], json].concat()).current_dir(&at).output().unwrap();
        exits(&output, 0);
        output.stdout
    };
    let document: Value = serde_json::from_slice(&told(&["--json", "--seed", "9"])).unwrap();
    let scenario = &document["scenarios"][0];
    assert_eq!((&scenario["name"], &scenario["agree"]), (&"island".into(), &true.into()), "{document}");
    assert_eq!(scenario["verdicts"], serde_json::json!(["PASS", "PASS"]));
    assert!(scenario["apart_ns"].as_u64().unwrap() <= 1_000_000, "{document}");
    let lines = told(&[]);
    assert_eq!(text(&lines).lines().last(), Some("agree: the engines tell the same story of 1 of 1 scenario"));
}
