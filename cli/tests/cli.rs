//! What a person at a terminal meets, through the built binary.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use terminal::{ISLAND, ddil, directory, exits, ran, seen, text};

macro_rules! snapshots {
    ($($test:ident: [$($argument:literal),*]),+ $(,)?) => {
        $(#[test]
        fn $test() {
            insta::assert_snapshot!(seen(&ran(&[$($argument),*])));
        })+
    };
}

snapshots! {
    help: ["--help"],
    help_of_run: ["run", "--help"],
    help_of_sweep: ["sweep", "--help"],
    help_of_explain: ["explain", "--help"],
    help_of_diff: ["diff", "--help"],
    help_of_fidelity: ["fidelity", "--help"],
    a_prediction_without_its_run: ["fidelity", "--sim", "a.json"],
    a_fidelity_of_the_simulation: ["fidelity", "outage-1m", "--world", "sim"],
    a_fidelity_in_twice_the_time: ["fidelity", "outage-1m", "--time-scale", "2"],
    a_fidelity_of_a_stranger: ["fidelity", "zulu"],
    a_fidelity_of_no_records: ["fidelity", "--sim", "a.json", "--real", "b.json"],
    help_of_plants: ["plants", "--help"],
    help_of_list: ["list", "--help"],
    help_of_check: ["check", "--help"],
    help_of_report: ["report", "--help"],
    help_of_new: ["new", "--help"],
    help_of_schema: ["schema", "--help"],
    help_of_emulator: ["emulator", "--help"],
    nothing_asked: [],
    list: ["list"],
    list_as_json: ["list", "--json"],
    links: ["links"],
    help_of_links: ["links", "--help"],
    a_slip_in_a_name: ["run", "two-cluster-blakcout"],
    a_stranger: ["run", "zulu"],
    a_missing_file: ["run", "no-such-file.toml"],
    a_shipped_name_with_a_suffix: ["run", "line-of-five.toml"],
    two_bad_names_among_good_ones: ["run", "line-of-five", "line-of-fvie", "zulu"],
    a_bad_flag: ["run", "line-of-five", "--sead", "3"],
    a_bad_seed: ["run", "line-of-five", "--seed", "many"],
    help_of_replay: ["replay", "--help"],
    help_of_engines: ["engines", "--help"],
    engines_that_cannot: ["engines", "outage-1m", "clogged-link"],
    engines_of_a_stranger: ["engines", "zulu"],
    one_run_is_no_replay: ["replay", "line-of-five", "--times", "1"],
    too_many_nodes_for_turmoil: ["run", "outage-1m", "two-hundred-spokes", "--engine", "turmoil"],
    no_scenario: ["run"],
    no_seeds: ["sweep", "line-of-five", "--seeds", "0"],
    seeds_beyond_the_last: ["sweep", "line-of-five", "--from", "18446744073709551615", "--seeds", "2"],
    a_sweep_of_a_stranger: ["sweep", "zulu"],
    a_stranger_explained: ["explain", "zulu"],
    a_diff_of_nothing: ["diff", "no-such.json", "neither.json"],
    two_revisions_of_nothing: ["diff", "git:HEAD", "git:HEAD"],
    a_gate_that_nothing_fails: ["diff", "a.json", "b.json", "--fail-on-regression=NaN"],
    a_sweep_of_nothing: ["sweep"],
    no_such_shard: ["sweep", "line-of-five", "--shard", "64/64"],
    a_merge_that_runs_something: ["sweep", "line-of-five", "--merge", "a.json"],
    a_merge_of_nothing: ["sweep", "--merge", "a.json"],
    a_library_without_a_stranger: ["sweep", "--library", "--except", "zulu"],
    a_bug_that_there_is_not: ["plants", "weeds"],
    an_unknown_plant: ["run", "line-of-five", "--plant", "weeds"],
}

#[test]
fn good_and_bad_files_are_checked() {
    let at = directory("checked");
    fs::write(at.join("good.toml"), ISLAND).unwrap();
    fs::write(at.join("bad.toml"), ISLAND.replace("\"wan\"", "\"wam\"").replace("for = \"10s\"", "fro = \"10s\""))
        .unwrap();
    fs::write(at.join("binary.toml"), [0xff, 0xfe]).unwrap();
    fs::write(at.join("long.toml"), "#".repeat(300_000)).unwrap();
    let check = |files: &[&str]| ddil(&[&["check"], files].concat()).current_dir(&at).output().unwrap();
    insta::assert_snapshot!("check_good", seen(&check(&["good.toml"])));
    insta::assert_snapshot!("check_bad", seen(&check(&["bad.toml"])));
    insta::assert_snapshot!("check_many", seen(&check(&["good.toml", "bad.toml", "binary.toml", "long.toml", "."])));
}

#[test]
fn a_trace_is_read_from_beside_its_scenario_wherever_that_is() {
    let at = directory("traced");
    fs::create_dir_all(at.join("traces")).unwrap();
    let island = |trace: &str| ISLAND.replace("\"wan\"", &format!("\"wan\"\nschedule = {{ trace = \"{trace}\" }}"));
    fs::write(at.join("traces/pass.csv"), "time_s,rate_bps,delay_ms,loss\n0,1000000,30,\n40,down,,\n").unwrap();
    fs::write(at.join("traces/long"), "1\n".repeat(3 << 20)).unwrap();
    for (name, trace) in
        [("good", "traces/pass.csv"), ("folder", "traces"), ("long", "traces/long"), ("up", "../pass.csv")]
    {
        fs::write(at.join(format!("{name}.toml")), island(trace)).unwrap();
    }
    let check =
        |files: &[&str]| ddil(&[&["check"], files].concat()).current_dir(at.parent().unwrap()).output().unwrap();
    let names = ["good", "folder", "long", "up"].map(|name| format!("traced/{name}.toml"));
    insta::assert_snapshot!("check_traces", seen(&check(&names.each_ref().map(String::as_str))));
}

#[test]
fn the_named_links_are_told_with_every_parameter() {
    let output = ran(&["links", "--json"]);
    exits(&output, 0);
    let links: Value = serde_json::from_slice(&output.stdout).unwrap();
    let geo = links.as_array().unwrap().iter().find(|link| link["name"] == "geo").unwrap();
    assert_eq!(
        (&geo["forward"]["bandwidth_bps"], &geo["back"]["bandwidth_bps"]),
        (&2_000_000.into(), &20_000_000.into())
    );
    assert_eq!(geo["forward"]["latency_ns"], 270_000_000);
}

#[test]
fn a_file_that_is_no_scenario_is_not_run() {
    let at = directory("not-run");
    fs::write(at.join("bad.toml"), ISLAND.replace("count = 1", "count = 0")).unwrap();
    let output = ddil(&["run", "bad.toml", "--json"]).current_dir(&at).output().unwrap();
    insta::assert_snapshot!(seen(&output));
}

#[test]
fn the_flagship_passes_and_says_so_in_json() {
    let output = ran(&["run", "two-cluster-blackout", "--json"]);
    exits(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verdict"], "PASS");
    assert_eq!(document["exit_code"], 0);
    let run = &document["runs"][0];
    assert_eq!(run["run"]["scenario"], "two-cluster-blackout");
    assert_eq!(run["reproduce"], format!("ddil run two-cluster-blackout --seed {}", run["run"]["seed"]));
    assert!(output.stderr.is_empty(), "{}", seen(&output));
}

#[test]
fn a_planted_bug_fails_with_the_line_that_reproduces_it() {
    let output = ran(&["run", "--plant", "dropped-change", "line-of-five", "--seed", "7"]);
    exits(&output, 1);
    let last = text(&output.stdout).lines().last().unwrap();
    assert_eq!(last, "reproduce: ddil run line-of-five --plant dropped-change --seed 7");
}

#[test]
fn a_file_is_run_and_logged() {
    let at = directory("repeated");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let mut command = ddil(&["run", "island.toml", "-v", "--seed", "5"]);
    let output = command.current_dir(&at).output().unwrap();
    exits(&output, 0);
    let (report, log) = (text(&output.stdout), text(&output.stderr));
    assert!(!report.contains('\x1b'), "colours in a pipe:\n{report}");
    assert!(log.contains("   00m20.000s storm begins: "), "{log}");
}

/// A link that nobody uses is cut: nothing was survived.
#[test]
fn a_partition_without_traffic_is_vacuous() {
    let at = directory("vacuous");
    let spare = "\n[[cluster]]\nname = \"spare\"\n[[cluster.group]]\nname = \"spare-edge\"\ncount = 1\n\n[[link]]\n";
    let idle = "between = [\"shore-edge\", \"spare-edge\"]\nprofile = \"wan\"\npeering = \"none\"\n";
    let mesh = "\n[[link]]\nbetween = [\"island-edge\", \"spare-edge\"]\nprofile = \"wan\"\n";
    let cut = ISLAND
        .replace("between = [\"shore-edge\", \"island-edge\"]\nat", "between = [\"shore-edge\", \"spare-edge\"]\nat");
    fs::write(at.join("idle.toml"), format!("{cut}{spare}{idle}{mesh}")).unwrap();
    let output = ddil(&["run", "idle.toml"]).current_dir(&at).output().unwrap();
    exits(&output, 4);
    let report = text(&output.stdout);
    assert!(report.contains("storm: not one datagram was dropped"), "{report}");
    assert!(report.lines().any(|line| line.starts_with("VACUOUS")), "{report}");
}

#[test]
fn a_file_is_replayed_here_and_in_children_under_load_with_one_hash() {
    let at = directory("replayed");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let mut command = ddil(&["replay", "island.toml", "--times", "3", "--load", "--seed", "5"]);
    let output = command.current_dir(&at).output().unwrap();
    exits(&output, 0);
    assert!(text(&output.stdout).contains("3 runs, every other one under load, one trace hash"), "{}", seen(&output));
    assert!(output.stderr.is_empty(), "{}", seen(&output));
}

#[test]
fn a_run_that_the_real_clock_got_into_is_caught_in_both_places() {
    let at = directory("leaky");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let mut command = ddil(&["replay", "island.toml", "--times", "3", "--leak"]);
    let output = command.current_dir(&at).output().unwrap();
    exits(&output, 6);
    let told = text(&output.stdout);
    assert!(told.contains("3 runs, 2 of them not the first"), "{told}");
    for part in ["runs 1 and 2 part here:", "both:  ", "run 1: ", "run 2: "] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
    // Without what let the clock in, it would not come again.
    assert!(told.ends_with("\nreproduce: ddil replay island.toml --seed 1 --times 3 --leak\n"), "{told}");
}

/// A fault that the chosen engine cannot make: nothing starts, and everything that is missing is named.
#[test]
fn an_engine_refuses_a_scenario_before_anything_starts() {
    let output = ran(&["run", "line-of-five", "clogged-link", "--engine", "turmoil"]);
    exits(&output, 2);
    assert!(output.stdout.is_empty(), "{}", seen(&output));
    let refusal = "error: clogged-link cannot run in world sim/turmoil:\n  fault `short` (clog): it cannot clog links\n  \
                   fault `long` (clog): it cannot clog links\n";
    assert_eq!(text(&output.stderr), refusal);
}

#[test]
fn colours_are_a_choice() {
    let coloured = |arguments: &[&str], no_color: bool| {
        let mut command = ddil(arguments);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        command.output().unwrap().stdout.contains(&0x1b)
    };
    assert!(!coloured(&["list"], false));
    assert!(coloured(&["list", "--color", "always"], false));
    assert!(coloured(&["list", "--color", "always"], true), "the flag is nearer than the environment");
    assert!(!coloured(&["list", "--color", "never"], false));
}

#[test]
fn several_scenarios_end_with_the_gravest() {
    let at = directory("several");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    // The same network, with a service level that no network meets.
    let strict =
        ISLAND.replace("\"island\"\npurpose", "\"strict\"\npurpose") + "\n[expect]\nconverge_within = \"1ms\"\n";
    fs::write(at.join("strict.toml"), strict).unwrap();
    let output = ddil(&["run", "strict.toml", "island.toml", "--json"]).current_dir(&at).output().unwrap();
    exits(&output, 3);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verdict"], "SLO-BREACH");
    let each: Vec<&Value> = document["runs"].as_array().unwrap().iter().map(|run| &run["verdict"]).collect();
    assert_eq!(each, ["SLO-BREACH", "PASS"]);
    let output = ddil(&["run", "strict.toml", "island.toml"]).current_dir(&at).output().unwrap();
    exits(&output, 3);
    let rows: Vec<&str> = text(&output.stdout).lines().skip_while(|line| *line != "All scenarios").collect();
    assert!(rows[1].starts_with("  SLO-BREACH       strict  seed 1 "), "{rows:?}");
    assert!(rows[2].starts_with("  PASS             island  seed 1 "), "{rows:?}");
}

#[test]
fn an_explanation_reads_well() {
    let at = directory("explained");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    let output = ddil(&["explain", "island.toml", "--slowest", "3"]).current_dir(&at).output().unwrap();
    insta::assert_snapshot!(seen(&output));
    let output = ddil(&["explain", "island.toml", "--slowest", "1", "--json"]).current_dir(&at).output().unwrap();
    exits(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let slowest = &document["explanation"]["slowest"][0];
    let parts: u64 = slowest["parts"].as_object().unwrap().values().map(|part| part.as_u64().unwrap()).sum();
    assert_eq!(slowest["latency_ns"].as_u64(), Some(parts));
    let alone = ddil(&["run", "island.toml", "--json"]).current_dir(&at).output().unwrap();
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!(document["trace_hash"], alone["runs"][0]["trace_hash"]);
}

#[test]
fn two_documents_are_compared() {
    let at = directory("compared");
    fs::write(at.join("island.toml"), ISLAND).unwrap();
    // The same island over a longer link: slower, and too slow for a new demand.
    let far = ISLAND.replace("profile = \"wan\"", "profile = \"wan\"\nlatency = \"50ms\"");
    fs::write(at.join("far.toml"), far + "\n[expect]\nconnected_p99_within = \"40ms\"\n").unwrap();
    for (scenario, file) in [("island.toml", "old.json"), ("far.toml", "new.json")] {
        let output = ddil(&["run", scenario, "--json"]).current_dir(&at).output().unwrap();
        fs::write(at.join(file), output.stdout).unwrap();
    }
    let diff = |arguments: &[&str]| ddil(&[&["diff"], arguments].concat()).current_dir(&at).output().unwrap();
    insta::assert_snapshot!("diff_of_the_same", seen(&diff(&["old.json", "old.json"])));
    insta::assert_snapshot!("diff_of_another", seen(&diff(&["old.json", "new.json"])));
    insta::assert_snapshot!("diff_in_markdown", seen(&diff(&["new.json", "old.json", "--markdown"])));
    exits(&diff(&["old.json", "old.json", "--fail-on-regression"]), 0);
    let output = diff(&["old.json", "new.json", "--json"]);
    exits(&output, 1);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["scenarios"][0]["verdicts"][0]["new"], "SLO-BREACH");
}

/// A repository of two revisions, and a `cargo` that makes of each a binary that prints what the revision says.
#[cfg(unix)]
fn revisions(at: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let repository = at.join("repository");
    let _ = fs::remove_dir_all(&repository);
    fs::create_dir_all(&repository).unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"];
        let done = Command::new("git").args(identity).args(arguments).current_dir(&repository).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    git(&["init", "--quiet"]);
    for (tag, value) in [("v1", 1.0), ("v2", 2.0)] {
        let run = |seed: u64| {
            format!(
                r#"{{"seed":{seed},"verdict":"PASS","failed":[],"trace_hash":"{tag}","measures":[
                {{"name":"converged","unit":"seconds","value":{value},"limit":null,"better":"less"}}]}}"#
            )
        };
        let answer = format!(r#"{{"scenario":"outage-1m","source":"x","runs":[{},{}]}}"#, run(1), run(2));
        fs::write(repository.join("answer.json"), answer).unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", tag]);
        git(&["tag", tag]);
    }
    let cargo = at.join("cargo");
    let script = "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --target-dir ] && target=$2; shift; done\n\
        [ -n \"$SLOW\" ] && echo building >&2 && sleep 60\n\
        mkdir -p \"$target/release\"\n\
        { echo '#!/bin/sh'; echo 'cat <<END'; cat answer.json; echo; echo END; } > \"$target/release/ddil\"\n\
        chmod +x \"$target/release/ddil\"\n";
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    repository
}

#[cfg(unix)]
fn diff_of_revisions(test: &str, new: &str) -> (Command, PathBuf, PathBuf) {
    let at = directory(test);
    let (repository, temporary) = (revisions(&at), at.join("tmp"));
    fs::create_dir_all(&temporary).unwrap();
    let mut command = ddil(&["diff", "git:v1", new, "--scenario", "outage-1m", "--seeds", "2"]);
    command.current_dir(&repository).env("CARGO", at.join("cargo")).env("TMPDIR", &temporary);
    (command, repository, temporary)
}

/// Nothing of the comparison is left: no folder, no worktree.
#[cfg(unix)]
fn is_tidy(repository: &Path, temporary: &Path) {
    let left: Vec<_> = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let list = Command::new("git").args(["worktree", "list"]).current_dir(repository).output().unwrap();
    assert_eq!(text(&list.stdout).lines().count(), 1, "{}", text(&list.stdout));
}

#[cfg(unix)]
#[test]
fn two_revisions_are_built_run_compared_and_cleared_away() {
    let (mut command, repository, temporary) = diff_of_revisions("revisions", "git:v2");
    let output = command.arg("--fail-on-regression").output().unwrap();
    exits(&output, 1);
    let commit = |tag: &str| {
        let name = Command::new("git").args(["rev-parse", "--short", tag]).current_dir(&repository).output().unwrap();
        text(&name.stdout).trim().to_owned()
    };
    insta::assert_snapshot!(seen(&output).replace(&commit("v1"), "COMMIT").replace(&commit("v2"), "COMMIT"));
    is_tidy(&repository, &temporary);
    let (mut command, repository, temporary) = diff_of_revisions("revisions", "git:v3");
    let output = command.output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("error: no revision is called `v3`"), "{}", seen(&output));
    is_tidy(&repository, &temporary);
}

#[cfg(unix)]
#[test]
fn an_interrupted_comparison_leaves_nothing_behind() {
    let (mut command, repository, temporary) = diff_of_revisions("interrupted-revisions", "git:v2");
    let mut child = command.env("SLOW", "1").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.starts_with("git:v1 ("), "{first}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    is_tidy(&repository, &temporary);
}

#[test]
fn planted_bugs_are_caught_by_the_check_that_is_there_for_each() {
    let output = ran(&["plants", "wrong-formation", "lost-event", "--json"]);
    exits(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verdict"], "PASS");
    let bugs = document["bugs"].as_array().unwrap();
    let told = bugs.iter().map(|bug| (bug["bug"].as_str().unwrap(), bug["expected"].as_str().unwrap()));
    assert_eq!(told.collect::<Vec<_>>(), [("lost-event", "stream-complete"), ("wrong-formation", "isolation")]);
    for bug in bugs {
        assert_eq!((&bug["control"], &bug["good"]), (&"PASS".into(), &true.into()), "{bug}");
        assert!(bug["caught_by"].as_array().unwrap().iter().any(|check| check["name"] == bug["expected"]), "{bug}");
    }
    let output = ran(&["plants", "wrong-formation"]);
    exits(&output, 0);
    let last = text(&output.stdout).lines().last().unwrap();
    assert!(last.starts_with("PASS  1 bug, each caught by the check that is there for it"), "{last}");
}

/// Ctrl-C once the first of many reports is there: it stays, and the rest is not run.
#[test]
fn an_interrupt_ends_the_run_with_130() {
    let many = ["two-cluster-blackout"; 20];
    let mut child = ddil(&[&["run", "line-of-five"], &many[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, "line-of-five\n");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    exits(&output, 130);
    assert!(text(&output.stderr).starts_with("interrupted"), "{}", seen(&output));
}

/// `ddil list | head -1`: nobody reads the rest, and nobody wants to hear of it.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = ddil(&["list", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    exits(&output, 0);
    assert!(output.stderr.is_empty(), "{}", seen(&output));
}
