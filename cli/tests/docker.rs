//! World docker through the built binary, on the engine of this machine if there is one. `ci/docker` starts one where it can.
//!
//! Without a harness: what is skipped must be seen, and a harness swallows what a passing test prints.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use terminal::{ddil, text};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/two-by-two.toml");

/// A file that is the program of the nodes for whoever does not get as far as to start it.
fn any_program() -> &'static str {
    env!("CARGO_BIN_EXE_ddil")
}

/// Nobody listens at this socket: the run says nothing about the nodes, and says so.
fn without_an_engine_it_is_trouble_of_the_world() {
    let run = ddil(&["run", SCENARIO, "--world", "docker", "--node", any_program(), "--json"])
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .output()
        .unwrap();
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(5), "{said}");
    assert!(said.contains("no Docker engine answers") && said.contains("--world process"), "{said}");
    let document: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(document["verdict"], "INFRA-ERROR");
}

/// Is there an engine, by its own client or by ddil's?
fn engine() -> Result<(), String> {
    let asked = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    match asked {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => Err(text(&stderr).trim().to_owned()),
        Err(error) => Err(format!("docker: {error}")),
    }
}

fn left_behind() -> String {
    let list = |what: &[&str]| {
        let mut command = Command::new("docker");
        command.args(what).args(["--filter", "label=ddil.run", "--quiet"]);
        text(&command.output().unwrap().stdout).to_owned()
    };
    [list(&["ps", "--all"]), list(&["network", "ls"]), list(&["volume", "ls"])].concat()
}

fn two_by_two_pass_with_a_cut_a_pulled_plug_a_kill_and_a_pause(node: &Path) {
    let run = ddil(&["run", SCENARIO, "--world", "docker", "--json", "--node"]).arg(node).output().unwrap();
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{said}\n{}", text(&run.stdout));
    let document: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(document["verdict"], "PASS", "{said}");
    assert_eq!(left_behind(), "", "containers, networks or volumes of the run are still there");
}

fn main() {
    without_an_engine_it_is_trouble_of_the_world();
    println!("test without_an_engine_it_is_trouble_of_the_world ... ok");
    let name = "two_by_two_pass_with_a_cut_a_pulled_plug_a_kill_and_a_pause";
    let node = match std::env::var_os("NODE") {
        Some(node) => std::path::absolute(node).unwrap(),
        None => Path::new(env!("CARGO_BIN_EXE_ddil")).with_file_name("peat-node"),
    };
    let skipped = match engine() {
        Ok(()) if node.is_file() => None,
        Ok(()) => Some(format!("there is no {}: cargo build -p peat-node", node.display())),
        Err(why) => Some(format!("there is no Docker engine: {why}")),
    };
    match skipped {
        Some(why) => println!("test {name} ... SKIPPED: nothing was run in containers: {why}"),
        None => {
            two_by_two_pass_with_a_cut_a_pulled_plug_a_kill_and_a_pause(&node);
            println!("test {name} ... ok");
        }
    }
}
