//! World k3d through the built binary, as far as it goes without a cluster: the plan, and what is refused before anything is made.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ddil(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddil"));
    let output = command.args(arguments).env_remove("RUST_LOG").env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_plan_is_printed_without_clusters_or_tools() {
    let text = ddil(&["run", "two-cluster-blackout", "--world", "k3d", "--plan"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    // The whole of it is a snapshot of the crate that makes it.
    let headings: Vec<&str> = text.out.lines().filter(|line| line.starts_with(char::is_uppercase)).collect();
    insta::assert_snapshot!(headings.join("\n"));
    let json = ddil(&["run", "two-cluster-blackout", "--world", "k3d", "--plan", "--json"]);
    assert_eq!(json.code, Some(0), "{}", json.err);
    let plan: Value = serde_json::from_str(&json.out).unwrap();
    // Everything that the text numbers is a step of the document.
    let steps = |of: &Value| of["steps"].as_array().unwrap().len();
    let all = |of: &Value| of.as_array().unwrap().iter().map(steps).sum::<usize>();
    let count = all(&plan["set_up"]) + all(&plan["timeline"]) + steps(&plan["collect"]) + steps(&plan["clean_up"]);
    let numbered = text
        .out
        .lines()
        .filter(|line| line.trim_start().split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok()));
    assert_eq!(numbered.count(), count);
}

#[test]
fn what_clusters_cannot_do_is_told_before_anything_is_made() {
    let ended = ddil(&["run", "disk-full", "--world", "k3d"]);
    assert_eq!(ended.code, Some(2), "{}", ended.out);
    insta::assert_snapshot!(ended.err);
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
        let ended = ddil(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        said.push_str(&ended.err);
    }
    insta::assert_snapshot!(said);
}
