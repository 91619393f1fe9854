//! World k3d through the built binary, as far as it goes without a cluster: the plan, and what is refused before anything is made.

#![allow(clippy::unwrap_used)]

mod terminal;

use serde_json::Value;
use terminal::{exits, ran, text};

#[test]
fn a_plan_is_printed_without_clusters_or_tools() {
    let plan = ran(&["run", "two-cluster-blackout", "--world", "k3d", "--plan"]);
    exits(&plan, 0);
    let plan = text(&plan.stdout);
    // The whole of it is a snapshot of the crate that makes it.
    let headings: Vec<&str> = plan.lines().filter(|line| line.starts_with(char::is_uppercase)).collect();
    insta::assert_snapshot!(headings.join("\n"));
    let json = ran(&["run", "two-cluster-blackout", "--world", "k3d", "--plan", "--json"]);
    exits(&json, 0);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    // Everything that the text numbers is a step of the document.
    let steps = |of: &Value| of["steps"].as_array().unwrap().len();
    let all = |of: &Value| of.as_array().unwrap().iter().map(steps).sum::<usize>();
    let count = all(&json["set_up"]) + all(&json["timeline"]) + steps(&json["collect"]) + steps(&json["clean_up"]);
    let numbered =
        plan.lines().filter(|line| line.trim_start().split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok()));
    assert_eq!(numbered.count(), count);
}

#[test]
fn what_clusters_cannot_do_is_told_before_anything_is_made() {
    let ended = ran(&["run", "disk-full", "--world", "k3d"]);
    exits(&ended, 2);
    insta::assert_snapshot!(text(&ended.stderr));
}

#[test]
fn options_of_one_world_are_not_taken_in_silence_by_another() {
    let refused = [
        &["run", "outage-1m", "--plan"][..],
        &["run", "outage-1m", "--world", "docker", "--context", "a=b"],
        &["run", "outage-1m", "--world", "process", "--keep"],
        &["run", "outage-1m", "--world", "k3d", "--adapter", "x.toml"],
        &["run", "outage-1m", "--world", "docker", "--engine", "turmoil"],
    ];
    let mut said = String::new();
    for arguments in refused {
        let ended = ran(arguments);
        exits(&ended, 2);
        said.push_str(text(&ended.stderr));
    }
    insta::assert_snapshot!(said);
}
