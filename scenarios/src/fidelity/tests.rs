//! A prediction beside a run that is wrong by a known amount.

use std::time::Duration;

use super::*;
use crate::record::{ClassTraffic, Count, Precision};
use crate::report::Paint;
use crate::testing::good;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The record of a perfect world, as if real processes had made it.
fn real(change: impl FnOnce(&mut RunRecord)) -> RunRecord {
    let (_, mut record) = good();
    (record.meta.world, record.meta.engine) = ("process".to_owned(), String::new());
    change(&mut record);
    record
}

fn beside(change: impl FnOnce(&mut RunRecord)) -> Fidelity {
    let (_, sim) = good();
    let real = real(change);
    Fidelity::of((&sim, Verdict::Pass), (&real, Verdict::Pass)).unwrap_or_else(|error| panic!("{error}"))
}

/// Everything that applications are told comes later.
fn told_later(record: &mut RunRecord, by: Duration) {
    record.visibility.iter_mut().for_each(|event| event.at += by);
}

/// Every acknowledgement comes later, and so does all that follows from it.
fn commits_later(record: &mut RunRecord, by: Duration) {
    for operation in &mut record.operations {
        operation.completed = operation.completed.map(|at| at + by);
    }
    // Once where it was written, and once where it came to.
    told_later(record, 2 * by);
}

fn row<'f>(fidelity: &'f Fidelity, phase: &str, measure: &str) -> &'f Row {
    let phase = fidelity.phases.iter().find(|of| of.name == phase).unwrap_or_else(|| panic!("no {phase}"));
    phase.rows.iter().find(|row| row.measure == measure).unwrap_or_else(|| panic!("no {measure} in {phase:?}"))
}

#[test]
fn a_run_is_as_it_was_predicted_when_it_is_the_same() {
    let same = beside(|_| ());
    assert!(same.holds());
    assert_eq!((same.rows(Standing::Outside), same.rows(Standing::Explained)), (0, 0));
    let names: Vec<&str> = same.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(
        names,
        ["before any fault", "sat", "sat + power", "sat (2)", "after sat", "the whole run"],
        "{:?}",
        same.unmatched
    );
    row(&same, "after sat", "converged after sat");
    row(&same, "after sat", "reconnected after sat");
}

#[test]
fn thirty_milliseconds_that_nothing_accounts_for_are_outside() {
    let late = beside(|record| told_later(record, ms(30)));
    let lost = row(&late, "sat", "sync latency p50");
    assert_eq!(lost.standing, Standing::Outside, "{lost:?}");
    let rest = lost.components.last().expect("a rest");
    assert!(!rest.known && (rest.difference() - 0.030).abs() < 1e-6, "{lost:?}");
    assert!(!late.holds());
}

#[test]
fn a_tail_that_nothing_explains_is_told_and_not_counted() {
    let (_, record) = good();
    let last = record.meta.duration;
    // One event in twenty comes late: no median moves.
    let slow = beside(|record| {
        record.visibility.iter_mut().step_by(20).for_each(|event| event.at = (event.at + ms(700)).min(last));
        record.visibility.sort_by_key(|event| event.at);
    });
    let tail = row(&slow, "the whole run", "sync latency p99");
    assert_eq!(tail.standing, Standing::Tail, "{tail:?}");
    assert_eq!(row(&slow, "the whole run", "sync latency p50").standing, Standing::Within);
    assert!(slow.text(Paint::Plain).contains(" tail"));
}

#[test]
fn slow_commits_explain_what_they_cost() {
    let slow = beside(|record| commits_later(record, ms(5)));
    let row = row(&slow, "sat", "sync latency p50");
    assert_eq!(row.standing, Standing::Explained, "{row:?}");
    let commits = row.components.iter().find(|component| component.name == "commits on the way").expect("commits");
    assert!((commits.difference() - 0.005).abs() < 1e-6, "{row:?}");
}

#[test]
fn links_that_the_world_knows_to_be_late_explain_what_they_cost() {
    let world = |late| {
        beside(|record| {
            told_later(record, ms(30));
            let (zero, hundredth) = (Duration::ZERO, late + ms(1));
            record.precision = Some(Precision {
                call_p50: zero,
                call_p99: zero,
                late_p50: late,
                late_p99: hundredth,
                late_max: hundredth,
                datagrams: 1_000,
                lost: 0,
            });
        })
    };
    assert_eq!(row(&world(ms(29)), "sat", "sync latency p50").standing, Standing::Explained);
    let exact = world(Duration::ZERO);
    assert_eq!(row(&exact, "sat", "sync latency p50").standing, Standing::Outside);
    assert!(exact.text(Paint::Plain).contains("clock error"));
}

#[test]
fn a_recovery_that_dialled_later_is_explained_by_the_pause_between_dials() {
    let by = Duration::from_secs(3);
    let slow = beside(|record| {
        let healed = record.faults[0].healed.expect("it healed");
        let after = |at: &mut SimTime| {
            if *at >= healed {
                *at += by;
            }
        };
        record.visibility.iter_mut().for_each(|event| after(&mut event.at));
        record.sessions.iter_mut().for_each(|event| after(&mut event.at));
        record.dials.iter_mut().for_each(|event| after(&mut event.at));
    });
    for measure in ["converged after sat", "reconnected after sat"] {
        let row = row(&slow, "after sat", measure);
        assert_eq!(row.standing, Standing::Explained, "{row:?}");
        let backoff = row.components.iter().find(|component| component.name == "reconnect backoff").expect("it");
        assert!((backoff.difference() - 3.0).abs() < 0.05, "{row:?}");
    }
}

#[test]
fn bytes_are_split_by_class_and_what_is_around_them() {
    let classes = |record: &mut RunRecord, state: u64| {
        let slices = record.traffic.by_slice.len();
        record.traffic.by_slice = vec![Count { datagrams: 10, bytes: 4_000 + state }; slices];
        let by_class = |class: &str, bytes| ClassTraffic { class: class.to_owned(), by_slice: vec![bytes; slices] };
        record.traffic.by_class = vec![by_class("state", state), by_class("telemetry", 500)];
    };
    let (_, mut sim) = good();
    classes(&mut sim, 3_000);
    let real = real(|record| classes(record, 9_000));
    let fidelity = Fidelity::of((&sim, Verdict::Pass), (&real, Verdict::Pass)).unwrap();
    let row = row(&fidelity, "the whole run", "bytes per second");
    assert_eq!(row.standing, Standing::Explained, "{row:?}");
    assert_eq!(row.components[0].name, "frames of class state");
    assert!((row.components[0].difference() - 600.0).abs() < 1.0, "{row:?}");
}

#[test]
fn what_never_happened_is_outside_and_another_verdict_is_told() {
    let (_, sim) = good();
    let mut real = real(|_| ());
    let healed = real.faults[0].healed.expect("it healed");
    real.visibility.retain(|event| event.at < healed);
    let fidelity = Fidelity::of((&sim, Verdict::Pass), (&real, Verdict::Fail)).unwrap();
    let never = row(&fidelity, "after sat", "converged after sat");
    assert_eq!((never.standing, never.real.is_infinite()), (Standing::Outside, true));
    assert!(fidelity.text(Paint::Plain).contains("another verdict"));
    assert!(!fidelity.holds());
}

#[test]
fn runs_of_two_plans_are_refused() {
    let (_, sim) = good();
    let refused = |change: &dyn Fn(&mut RunRecord)| {
        let real = real(change);
        Fidelity::of((&sim, Verdict::Pass), (&real, Verdict::Pass)).map(|_| ()).unwrap_err().to_string()
    };
    let told = [
        refused(&|record| record.meta.seed = 8),
        refused(&|record| record.meta.scenario = "another".to_owned()),
        refused(&|record| record.meta.time_scale = 0.1),
        refused(&|record| record.topology.nodes[1].name = "alpha-9".to_owned()),
        refused(&|record| record.faults[0].spec.name = "rain".to_owned()),
        Fidelity::of((&real(|_| ()), Verdict::Pass), (&sim, Verdict::Pass)).unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_fidelity_reads_well() {
    let slow = beside(|record| {
        commits_later(record, ms(5));
        let first = record.faults[0].applied.expect("it began");
        record.visibility.iter_mut().filter(|event| event.at < first).for_each(|event| event.at += ms(80));
    });
    // These two sync through gateways: that they have no session with each other does not explain it.
    let relayed = row(&slow, "before any fault", "sync latency p50");
    assert_eq!(relayed.standing, Standing::Outside, "{relayed:?}");
    let text = slow.text(Paint::Plain);
    assert!(text.lines().all(|row| row.chars().count() <= crate::report::WIDTH), "{text}");
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(markdown(std::slice::from_ref(&slow)));
    insta::assert_snapshot!(Fidelity::html(&[slow]).replace("<tr>", "\n<tr>").replace("<tbody>", "\n<tbody>"));
}

#[test]
fn names_from_outside_stay_text_in_the_page() {
    let (_, mut sim) = good();
    let mut other = real(|_| ());
    for record in [&mut sim, &mut other] {
        record.meta.purpose = "</p><script>alert(1)</script>".to_owned();
        record.faults[0].spec.name = "<img src=x>".to_owned();
    }
    let fidelity = Fidelity::of((&sim, Verdict::Pass), (&other, Verdict::Pass)).unwrap();
    let page = Fidelity::html(std::slice::from_ref(&fidelity));
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(!markdown(&[fidelity]).contains("<img"));
}
