//! What was predicted beside what came of it, through the built binary.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use terminal::{ISLAND, ddil, directory, exits, seen, text};

/// The island by both engines: two worlds that must agree, and one seed.
fn records(test: &str) -> PathBuf {
    let at = directory(test);
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    for engine in ["fabric", "turmoil"] {
        let arguments = ["run", "island.toml", "--engine", engine, "--record", &format!("{engine}.json")];
        exits(&ddil(&arguments).current_dir(&at).output().unwrap(), 0);
    }
    at
}

#[test]
fn the_second_engine_does_what_the_first_predicted() {
    let at = records("fidelity-of-engines");
    let files = ["--html", "page.html", "--markdown", "table.md"];
    let arguments = [&["fidelity", "--sim", "fabric.json", "--real", "turmoil.json"][..], &files].concat();
    let output = ddil(&arguments).current_dir(&at).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", seen(&output));
    exits(&output, 0);
    let told = text(&output.stdout);
    for part in [
        "predicted by sim/fabric",
        "against sim/turmoil",
        "before any fault",
        "storm",
        "after storm",
        "converged after storm",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
    assert!(fs::read_to_string(at.join("page.html")).unwrap().starts_with("<!doctype html>"));
    assert!(fs::read_to_string(at.join("table.md")).unwrap().starts_with("## 1 of 1 scenario as predicted"));
}

#[test]
fn a_world_that_shows_everything_later_is_not_as_predicted() {
    let at = records("fidelity-of-a-slow-world");
    let mut slow: Value = serde_json::from_str(&fs::read_to_string(at.join("turmoil.json")).unwrap()).unwrap();
    for event in slow["record"]["visibility"].as_array_mut().unwrap() {
        let later = event["at"].as_u64().unwrap() + 40_000_000;
        event["at"] = later.into();
    }
    fs::write(at.join("slow.json"), slow.to_string()).unwrap();
    let arguments = ["fidelity", "--sim", "fabric.json", "--real", "slow.json", "--json"];
    let output = ddil(&arguments).current_dir(&at).output().unwrap();
    exits(&output, 3);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["as_predicted"], false);
    let rows = document["scenarios"][0]["phases"].as_array().unwrap().last().unwrap()["rows"].as_array().unwrap();
    let latency = rows.iter().find(|row| row["measure"] == "sync latency p50").unwrap();
    assert_eq!(latency["standing"], "outside");
    let rest = latency["components"].as_array().unwrap().last().unwrap();
    assert!((rest["real"].as_f64().unwrap() - 0.040).abs() < 0.002, "{latency}");
}

#[test]
fn a_world_that_cannot_run_it_is_told_by_the_run_itself() {
    let at = directory("fidelity-of-no-world");
    let output = ddil(&["fidelity", "disk-full"]).current_dir(&at).output().unwrap();
    exits(&output, 2);
    let told = text(&output.stderr);
    assert!(told.contains("it cannot fill disks"), "{}", seen(&output));
    assert!(told.ends_with("error: disk-full cannot be run in world process\n"), "{}", seen(&output));
}
