//! What a person reads.

use super::*;
use crate::testing::good;

#[test]
fn a_good_run_reads_well() {
    let (scenario, record) = good();
    let text = Report::of(&scenario, &record).text(Paint::Plain);
    insta::assert_snapshot!(text);
}

#[test]
fn a_failed_run_says_what_is_missing_where_and_how_to_see_it_again() {
    let (scenario, mut record) = good();
    let key = record.operations.iter().find(|op| op.key.id.starts_with("alpha-0-w2")).unwrap().key.clone();
    record.finals[2].docs.remove(&key);
    record.visibility.retain(|event| event.key != key || event.node.0 != 2);
    record.logs.insert("bravo-0".to_owned(), vec!["05m01.300s WARN session lost".to_owned()]);
    let report = Report::of(&scenario, &record);
    assert_eq!(report.verdict, Verdict::Fail);
    insta::assert_snapshot!(report.text(Paint::Plain));
}

#[test]
fn no_line_is_wider_than_the_page() {
    for (scenario, record) in crate::testing::library_runs() {
        let text = Report::of(scenario, record).text(Paint::Plain);
        for row in text.lines() {
            assert!(row.chars().count() <= WIDTH, "{}: {row}", scenario.name);
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let (scenario, record) = good();
    let report = Report::of(&scenario, &record);
    let coloured = report.text(Paint::Colour);
    assert!(coloured.contains("\u{1b}["));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    stripped.push_str(rest);
    assert_eq!(stripped, report.text(Paint::Plain));
}

#[test]
fn the_json_form_has_stable_names() {
    let (scenario, record) = good();
    let report = Report::of(&scenario, &record);
    let json = serde_json::to_value(report.json(false)).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "verdict",
            "exit_code",
            "run",
            "wall_ns",
            "trace_hash",
            "reproduce",
            "checks",
            "figures",
            "measures",
            "faults"
        ]
    );
    assert_eq!(json["verdict"], "PASS");
    assert_eq!(json["reproduce"], "ddil run small-blackout --seed 7");
    assert!(json["figures"]["connected"]["p50_ns"].as_u64().unwrap() > 0);
    let full = serde_json::to_value(report.json(true)).unwrap();
    assert!(full["record"]["finals"][0]["docs"][0][0]["collection"].is_string());
}
