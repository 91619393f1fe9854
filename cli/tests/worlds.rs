//! Real worlds through the built binary: real nodes, or a refusal before anything starts.
//!
//! Where namespaces cannot be made, the runs print that they are skipped. What is refused is refused everywhere.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use terminal::{fresh, text};

/// Two nodes, 14 seconds, and a fault of each sort that this world can do.
const STORY: &str = r#"
name = "two-in-namespaces"
purpose = "a link that is cut, a node that is killed and one that stands still, on real processes"
duration = "16s"
settle = "5s"

[[cluster]]
name = "alpha"
[[cluster.group]]
name = "a"
count = 1

[[cluster]]
name = "bravo"
[[cluster.group]]
name = "b"
count = 1

[[link]]
between = ["a", "b"]
latency = "20ms"

[[workload]]
kind = "edit"
on = ["a", "b"]
start = "500ms"
every = "200ms"
documents = 3

[[fault]]
kind = "clog"
id = "jam"
between = ["a", "b"]
at = "2s"
for = "1s"

[[fault]]
kind = "partition"
id = "storm"
between = ["a", "b"]
when = "converged"
after = "100ms"
for = "1500ms"

[[fault]]
kind = "crash"
id = "fall"
node = "b-0"
at = "7s"

[[fault]]
kind = "restart"
node = "b-0"
at = "8s"

[[fault]]
kind = "pause"
id = "freeze"
node = "a-0"
at = "9s"
for = "1s"

[expect]
converge_within = "10s"
"#;

fn ddil(place: &Path, arguments: &[&str]) -> Command {
    let mut command = terminal::ddil(arguments);
    command.current_dir(place).env("TMPDIR", place);
    command
}

fn seen(output: &Output) -> String {
    let code = output.status.code().unwrap();
    format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr))
}

/// The node of this build: beside ddil if the whole workspace is built, and built otherwise.
fn node() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_ddil")).with_file_name("peat-node");
    if !path.is_file() {
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--locked", "-p", "peat-node"]);
        let profile = path.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
        command.args(if profile == "debug" { vec![] } else { vec!["--profile", profile] });
        assert!(command.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    path
}

/// Why no namespaces can be made here; `None`: they can.
fn barred() -> Option<String> {
    let plain = ["--net", "--mount", "--pid", "--fork", "--mount-proc"];
    let made = [&plain[..], &["--net", "--mount", "--pid", "--fork", "--mount-proc", "--user", "--map-root-user"]].map(
        |flags| {
            let output = Command::new("unshare").args(flags).args(["--", "ip", "link", "set", "lo", "up"]).output();
            output.map_err(|error| error.to_string()).and_then(|output| match output.status.success() {
                true => Ok(()),
                false => Err(text(&output.stderr).trim().to_owned()),
            })
        },
    );
    if made.iter().any(Result::is_ok) { None } else { made.into_iter().find_map(Result::err) }
}

macro_rules! or_skip {
    ($test:literal) => {
        if let Some(why) = barred() {
            eprintln!("SKIPPED {}: no namespaces can be made here: {why}", $test);
            return;
        }
    };
}

/// Processes whose command line or environment has this text.
fn processes_of(place: &Path) -> Vec<String> {
    let of = place.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let lines = entries.filter_map(|process| fs::read(process.join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(of)).collect()
}

/// Waits until something is so; the limit is for a machine on which six builds go on.
#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("not so after a minute: {what}");
}

#[test]
fn real_nodes_live_through_every_sort_of_fault_and_the_report_is_the_same() {
    or_skip!("real_nodes_live_through_every_sort_of_fault_and_the_report_is_the_same");
    let place = fresh("real-nodes");
    fs::write(place.join("story.toml"), STORY).unwrap();
    let node = node();
    let arguments = ["run", "story.toml", "--world", "process", "--node", node.to_str().unwrap()];
    let output = ddil(&place, &arguments).args(["--json", "--record", "record.json"]).output().unwrap();
    let document: Value = serde_json::from_str(text(&output.stdout)).unwrap_or_else(|_| panic!("{}", seen(&output)));
    let run = &document["runs"][0];
    assert_eq!(run["verdict"], "PASS", "{}", text(&output.stdout));
    assert_eq!(run["run"]["world"], "process");
    assert!(run["precision"]["datagrams"].as_u64().unwrap() > 100, "{}", run["precision"]);
    // Each fault bit, or the verdict would not be PASS; each has its figures.
    assert_eq!(run["faults"].as_array().unwrap().len(), 4);
    // The record reads back, and gives the same reports as any other.
    let again =
        ddil(&place, &["report", "record.json", "--html", "report.html", "--junit", "report.xml"]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", seen(&again));
    // And nothing is left.
    let left = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| name.starts_with("ddil-")).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(processes_of(&place), Vec::<String>::new());
}

/// Begins a run in a process group of its own, and waits until its nodes have databases.
fn begun(place: &Path) -> std::process::Child {
    fs::write(place.join("story.toml"), STORY).unwrap();
    let node = node();
    let arguments = ["run", "story.toml", "--world", "process", "--node", node.to_str().unwrap()];
    let mut command = ddil(place, &arguments);
    let child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("both nodes run", || processes_of(place).iter().filter(|line| line.contains("--node-id")).count() == 2);
    child
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, "--", process]).status().unwrap().success());
}

#[test]
fn an_interrupt_leaves_neither_processes_nor_files() {
    or_skip!("an_interrupt_leaves_neither_processes_nor_files");
    let place = fresh("interrupted-world");
    let child = begun(&place);
    // As a terminal does: to the whole group.
    signal("-INT", &format!("-{}", child.id()));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted"), "{}", text(&output.stderr));
    assert_eq!(processes_of(&place), Vec::<String>::new());
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "only the story is there");
}

#[test]
fn not_even_a_killed_run_leaves_processes() {
    or_skip!("not_even_a_killed_run_leaves_processes");
    let place = fresh("killed-world");
    let mut child = begun(&place);
    signal("-KILL", &child.id().to_string());
    child.wait().unwrap();
    until("all of it has ended", || processes_of(&place).is_empty());
}

#[test]
fn what_this_world_cannot_do_it_refuses_by_name_before_anything_starts() {
    let place = fresh("refusals");
    fs::write(place.join("story.toml"), STORY).unwrap();
    fs::write(place.join("node"), "").unwrap();
    fs::write(place.join("bare.toml"), "name = 'bare'\ncommand = ['server', '{api}']\n").unwrap();
    fs::write(place.join("wrong.toml"), "name = 'wrong'\ncommand = ['server', '{apo}']\n").unwrap();
    let refused = |arguments: &[&str]| seen(&ddil(&place, arguments).output().unwrap());
    let process = |arguments: &[&str]| refused(&[&["run", "--world", "process"], arguments].concat());
    insta::assert_snapshot!("disks", process(&["disk-full", "torn-write", "story.toml"]));
    insta::assert_snapshot!(
        "clocks_and_resets",
        process(&["clock-jump", "reconnect-storm", "agents-out-of-sight", "gossip-islands"])
    );
    insta::assert_snapshot!("too_many_nodes", process(&["two-hundred-spokes"]));
    insta::assert_snapshot!("another_engine", process(&["outage-1m", "--engine", "turmoil"]));
    insta::assert_snapshot!("too_short", process(&["outage-1m", "--time-scale", "0.001"]));
    insta::assert_snapshot!("too_long", process(&["outage-1m", "--time-scale", "2"]));
    insta::assert_snapshot!("a_node_that_is_not_there", {
        process(&["story.toml", "--node", "nowhere"]).replace(place.to_str().unwrap(), "HERE")
    });
    insta::assert_snapshot!(
        "an_adapter_that_says_too_little",
        process(&["thin-link", "latest-telemetry", "--adapter", "bare.toml"])
    );
    insta::assert_snapshot!("an_adapter_with_a_slip", process(&["story.toml", "--adapter", "wrong.toml"]));
    insta::assert_snapshot!(
        "an_adapter_for_nobody",
        process(&["story.toml", "--node", "node", "--adapter", "c=bare.toml"])
    );
    insta::assert_snapshot!("nodes_of_a_simulation", refused(&["run", "outage-1m", "--node", "node"]));
}
