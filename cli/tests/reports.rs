//! Reports in files, and what begins a scenario: `--out` and its kin, `report`, `new`, `schema`.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

fn directory(test: &str) -> PathBuf {
    terminal::fresh(&format!("reports/{test}"))
}

fn ddil(at: &Path, arguments: &[&str]) -> Output {
    terminal::ddil(arguments).current_dir(at).output().unwrap()
}

#[track_caller]
fn good(output: Output) -> String {
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && stderr.is_empty(), "{:?}\n{stdout}{stderr}", output.status.code());
    stdout
}

/// Exit code and stderr.
fn refused(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    format!("exit {}\n{}", output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr))
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const PAIR: &str = r#"
name = "NAME"
purpose = "two nodes lose each other for ten seconds"
duration = "40s"
settle = "10s"
[[cluster]]
name = "a"
[[cluster.group]]
name = "left"
count = 1
[[cluster]]
name = "b"
[[cluster.group]]
name = "right"
count = 1
[[link]]
between = ["left", "right"]
profile = "wan"
[[workload]]
kind = "put"
on = ["left", "right"]
every = "3s"
[[fault]]
kind = "partition"
id = "storm"
between = ["left", "right"]
at = "12s"
for = "8s"
"#;

#[test]
fn everything_that_can_be_kept_is_kept_and_the_record_gives_it_again() {
    let at = directory("kept");
    fs::write(at.join("pair.toml"), PAIR.replace("NAME", "pair")).unwrap();
    let text = good(ddil(&at, &["run", "pair.toml", "--out", "kept", "--qlog", "kept/qlog"]));
    let kept = |name: &str| read(at.join("kept").join(name));
    let mut names: Vec<String> =
        fs::read_dir(at.join("kept")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["events.jsonl", "junit.xml", "qlog", "record.json", "report.html", "summary.md", "trace.json"]);
    // What each looks like is tested where it is made; here: it is that, and of this run.
    assert!(kept("report.html").starts_with("<!doctype html>") && kept("report.html").ends_with("</html>\n"));
    assert!(kept("summary.md").starts_with("## ✅ pair: PASS"));
    assert!(kept("junit.xml").contains("<testsuite name=\"pair\""));
    let trace: Value = serde_json::from_str(&kept("trace.json")).unwrap();
    assert!(trace["traceEvents"].as_array().unwrap().len() > 50);
    let events = kept("events.jsonl");
    let lines: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["verdict"], "PASS");
    let qlog = kept("qlog/left-0--right-0.sqlog");
    assert!(qlog.starts_with('\u{1e}') && qlog.contains("quic:udp_datagram_dropped"));
    let record: Value = serde_json::from_str(&kept("record.json")).unwrap();
    let flights = &record["record"]["flights"];
    assert_eq!(flights["datagrams"], record["record"]["traffic"]["sent"]["datagrams"]);
    let classes = record["record"]["traffic"]["by_class"].as_array().unwrap();
    let slices = classes.iter().flat_map(|class| class["by_slice"].as_array().unwrap());
    assert!(slices.map(|bytes| bytes.as_u64().unwrap()).sum::<u64>() > 1_000, "{classes:?}");

    // The record gives all of it again, byte for byte.
    assert_eq!(good(ddil(&at, &["report", "kept/record.json"])), text);
    good(ddil(&at, &["report", "kept/record.json", "--out", "again"]));
    for name in ["report.html", "summary.md", "junit.xml", "events.jsonl", "trace.json", "record.json"] {
        assert!(read(at.join("again").join(name)) == kept(name), "{name} differs");
    }
    let json: Value = serde_json::from_str(&good(ddil(&at, &["report", "kept/record.json", "--json"]))).unwrap();
    assert_eq!(json["runs"][0]["verdict"], "PASS");
}

#[test]
fn several_scenarios_have_a_directory_each_and_summaries_over_all() {
    let at = directory("several");
    for name in ["one", "two"] {
        fs::write(at.join(format!("{name}.toml")), PAIR.replace("NAME", name)).unwrap();
    }
    let text = good(ddil(&at, &["run", "one.toml", "two.toml", "--out", "out", "--markdown", "-"]));
    assert!(text.starts_with("## 2 of 2 scenarios passed"), "{text}");
    assert_eq!(read(at.join("out/summary.md")), text);
    assert!(read(at.join("out/junit.xml")).matches("<testsuite ").count() == 2);
    assert!(at.join("out/one/report.html").is_file() && at.join("out/two/record.json").is_file());
}

#[test]
fn what_cannot_be_done_is_told_before_anything_runs() {
    let at = directory("refused");
    for name in ["one", "two"] {
        fs::write(at.join(format!("{name}.toml")), PAIR.replace("NAME", name)).unwrap();
    }
    fs::write(at.join("no-record.json"), "{\"format\":\"har\",\"schema\":1}").unwrap();
    let tried: [&[&str]; 6] = [
        &["run", "one.toml", "two.toml", "--html", "page.html"],
        &["run", "one.toml", "--markdown", "-", "--junit", "-"],
        &["run", "one.toml", "--events", "-", "--json"],
        &["report", "nothing.json"],
        &["report", "no-record.json"],
        &["report", "one.toml"],
    ];
    let told: Vec<String> = tried
        .iter()
        .map(|arguments| format!("$ ddil {}\n{}", arguments.join(" "), refused(&ddil(&at, arguments))))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_file_that_cannot_be_written_does_not_keep_the_others_from_it() {
    let at = directory("unwritable");
    fs::write(at.join("pair.toml"), PAIR.replace("NAME", "pair")).unwrap();
    let output = ddil(&at, &["run", "pair.toml", "--html", "nowhere/page.html", "--junit", "junit.xml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: cannot write `nowhere/page.html`: No such file or directory\n"
    );
    assert!(at.join("junit.xml").is_file());
}

#[test]
fn a_new_scenario_runs_as_it_is_and_nothing_is_overwritten() {
    let at = directory("new");
    insta::assert_snapshot!("new", good(ddil(&at, &["new", "my-ship"])));
    assert!(
        good(ddil(&at, &["check", "my-ship.toml"])).starts_with("my-ship.toml: ok: my-ship, 4 nodes in 2 clusters")
    );
    good(ddil(&at, &["run", "my-ship.toml"]));
    let twice = refused(&ddil(&at, &["new", "my-ship"]));
    let wrong = refused(&ddil(&at, &["new", "My Ship"]));
    insta::assert_snapshot!("not_new", format!("{twice}\n{wrong}"));
}

#[test]
fn the_schema_is_the_committed_one() {
    let committed = include_str!("../../docs/scenario.schema.json");
    assert_eq!(good(ddil(&directory("schema"), &["schema"])), committed);
}
