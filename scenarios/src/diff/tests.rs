//! Two sides, figure by figure.

use serde_json::{Value, json};

use super::*;
use crate::report::Paint;

/// A sweep of two seeds.
fn sweep(second: Value) -> Value {
    let figure = |name: &str, unit: &str, value: f64, better: &str| json!({ "name": name, "unit": unit, "value": value, "limit": null, "better": better });
    let figures = |converged: f64, bytes: f64| {
        json!([
            figure("converged", "seconds", converged, "less"),
            figure("acknowledged", "count", 120.0, "more"),
            figure("bytes", "bytes", bytes, "less"),
            figure("datagrams dropped", "count", 17.0, "neither"),
        ])
    };
    let mut run = json!({
        "seed": 2, "verdict": "PASS", "failed": [], "trace_hash": "b2", "measures": figures(2.0, 64_000.0),
    });
    for (name, value) in second.as_object().unwrap() {
        run[name] = value.clone();
    }
    json!({
        "verdict": "PASS", "scenario": "outage-1m", "source": "outage-1m",
        "runs": [
            { "seed": 1, "verdict": "PASS", "failed": [], "trace_hash": "a1", "measures": figures(1.5, 60_000.0) },
            run,
        ],
    })
}

fn side(label: &str, document: &Value) -> Side {
    Side::read(label, &document.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn measures(converged: Value, bytes: f64, dropped: f64) -> Value {
    json!([
        { "name": "converged", "unit": "seconds", "value": converged, "better": "less" },
        { "name": "acknowledged", "unit": "count", "value": 120.0, "better": "more" },
        { "name": "bytes", "unit": "bytes", "value": bytes, "better": "less" },
        { "name": "datagrams dropped", "unit": "count", "value": dropped, "better": "neither" },
        { "name": "flashes", "unit": "count", "value": 1.0, "better": "less" },
    ])
}

#[test]
fn a_side_is_the_same_as_itself() {
    let one = side("a.json", &sweep(json!({})));
    let diff = Diff::of(&one, &one, 0.0);
    insta::assert_snapshot!(diff.text(Paint::Plain));
    assert_eq!((diff.worse_verdicts(), diff.figures(Judgement::Same)), (0, 4));
}

#[test]
fn what_got_worse_and_better_is_told_with_the_verdicts() {
    let old = side("git:v1", &sweep(json!({})));
    let second = json!({
        "verdict": "FAIL", "failed": ["convergence"], "trace_hash": "c3",
        "measures": measures(Value::Null, 32_000.0, 18.0),
    });
    let diff = Diff::of(&old, &side("git:v2", &sweep(second)), 0.0);
    insta::assert_snapshot!(diff.text(Paint::Plain));
    insta::assert_snapshot!(diff.markdown());
    assert_eq!(diff.worse_verdicts(), 1);
    assert!(diff.scenarios[0].verdicts[0].is_worse());
}

#[test]
fn a_tolerance_makes_a_small_difference_none() {
    let old = side("a.json", &sweep(json!({})));
    let new = side("b.json", &sweep(json!({ "measures": measures(json!(2.08), 64_000.0, 17.0) })));
    assert_eq!(Diff::of(&old, &new, 0.0).figures(Judgement::Worse), 1);
    assert_eq!(Diff::of(&old, &new, 0.05).figures(Judgement::Worse), 0);
}

#[test]
fn a_regression_is_what_got_worse_by_more_than_a_share_and_a_step() {
    let old = side("a.json", &sweep(json!({})));
    let worse = |converged: Value, bytes: f64, share: f64| {
        let new = side("b.json", &sweep(json!({ "measures": measures(converged, bytes, 99.0) })));
        let diff = Diff::of(&old, &new, 0.0);
        diff.regressions(share).into_iter().map(|(_, figure)| figure.name.clone()).collect::<Vec<_>>()
    };
    // The median of two seeds is the lesser one: only the other seed got worse, and by no share of the median.
    assert_eq!(worse(json!(2.2), 64_000.0, 0.0), ["converged"]);
    assert_eq!(worse(json!(2.2), 64_000.0, 0.05), Vec::<String>::new());
    let both = |converged: f64, bytes: f64| {
        let mut document = sweep(json!({}));
        for run in document["runs"].as_array_mut().unwrap() {
            run["measures"] = measures(json!(converged), bytes, 17.0);
        }
        side("c.json", &document)
    };
    let over = |converged: f64, bytes: f64, share: f64| {
        let diff = Diff::of(&both(2.0, 64_000.0), &both(converged, bytes), 0.0);
        assert_eq!(diff.figures(Judgement::Worse), usize::from(converged > 2.0) + usize::from(bytes > 64_000.0));
        diff.regressions(share).into_iter().map(|(_, figure)| figure.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(over(2.09, 66_000.0, 0.05), Vec::<String>::new());
    assert_eq!(over(2.11, 66_000.0, 0.05), ["converged"]);
    assert_eq!(over(2.11, 70_000.0, 0.05), ["converged", "bytes"]);
    assert_eq!(over(f64::INFINITY, 64_000.0, 0.05), ["converged"]);
    assert_eq!(over(2.0005, 64_050.0, 0.0001), Vec::<String>::new());
    assert_eq!(over(1.0, 32_000.0, 0.0), Vec::<String>::new());
}

#[test]
fn more_is_better_where_it_is() {
    let of = |old, new, better| Change::of(old, new, better, 0.0);
    assert_eq!(of(1.0, 2.0, Better::More), Change::Better);
    assert_eq!(of(1.0, 2.0, Better::Less), Change::Worse);
    assert_eq!(of(1.0, f64::INFINITY, Better::Less), Change::Worse);
    assert_eq!(of(f64::INFINITY, f64::INFINITY, Better::Less), Change::None);
    assert_eq!(of(1.0, 2.0, Better::Neither), Change::Other);
}

#[test]
fn runs_and_sweeps_can_be_compared_and_strangers_are_told() {
    let run = json!({
        "verdict": "PASS", "exit_code": 0,
        "runs": [{
            "verdict": "SLO-BREACH", "run": { "scenario": "outage-1m", "source": "outage-1m", "seed": 2 },
            "checks": [{ "name": "converge-within", "verdict": "SLO-BREACH", "detail": "", "evidence": [] }],
            "trace_hash": "b2", "measures": measures(json!(2.0), 64_000.0, 17.0),
        }],
    });
    let diff = Diff::of(&side("sweep.json", &sweep(json!({}))), &side("run.json", &run), 0.0);
    assert_eq!(diff.only_old, [RunName { scenario: "outage-1m".to_owned(), seed: 1 }]);
    assert_eq!(diff.scenarios[0].verdicts[0].broken, ["converge-within"]);
    assert_eq!(diff.worse_verdicts(), 1);
    assert_eq!(diff.scenarios[0].unmatched, ["flashes"]);
}

#[test]
fn a_sweep_over_several_scenarios_is_a_side_of_all_of_them() {
    let mut other = sweep(json!({}));
    (other["scenario"], other["source"]) = (json!("line-of-five"), json!("./line.toml"));
    let both = json!({ "verdict": "PASS", "exit_code": 0, "scenarios": [sweep(json!({})), other] });
    let diff = Diff::of(&side("both.json", &both), &side("one.json", &sweep(json!({}))), 0.0);
    assert_eq!((diff.scenarios.len(), diff.only_old.len(), diff.only_new.len()), (1, 2, 0));
    let sources = [("outage-1m".to_owned(), vec![1, 2]), ("./line.toml".to_owned(), vec![1, 2])];
    assert_eq!(side("both.json", &both).sources(), sources);
}

#[test]
fn a_document_that_is_something_else_is_refused() {
    for (text, what) in [
        ("", "EOF"),
        ("[]", "invalid length 0"),
        (r#"{"runs": [{"verdict": "MAYBE", "seed": 1}], "scenario": "x"}"#, "unknown verdict `MAYBE`"),
        (r#"{"runs": [{"verdict": "PASS"}]}"#, "runs[0]: neither `run` nor `seed`"),
        (r#"{"verdict": "PASS"}"#, "missing field `runs`"),
        (r#"{"runs": [], "scenarios": []}"#, "missing field `runs`"),
        (
            r#"{"scenarios": [{"scenario": "x", "runs": [{"verdict": "PASS"}]}]}"#,
            "scenarios[0].runs[0]: neither `run` nor `seed`",
        ),
    ] {
        let error = Side::read("x.json", text).unwrap_err().to_string();
        assert!(error.contains("x.json") && error.contains(what), "{error}");
    }
}

#[test]
fn the_other_side_can_run_the_same_again() {
    assert_eq!(side("a.json", &sweep(json!({}))).sources(), [("outage-1m".to_owned(), vec![1, 2])]);
}
