//! Every check passes on a perfect world and fails on the bug that it is there for.

use std::sync::Arc;

use super::*;
use crate::figures::measure;
use crate::model::Scenario;
use crate::physics::LinkCounters;
use crate::plan::{DocKey, NodeIndex};
use crate::record::{Change, OpKind, Outcome, RunRecord, Visible};
use crate::testing::{good, run, secs};
use crate::time::SimTime;

fn judge(scenario: &Scenario, record: &RunRecord) -> Vec<CheckResult> {
    evaluate(scenario, record, &measure(record))
}

fn of<'r>(results: &'r [CheckResult], name: &str) -> &'r CheckResult {
    results.iter().find(|result| result.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Plants a bug in a good record; the named check must give the verdict.
fn planted(name: &str, verdict: Verdict, plant: impl FnOnce(&mut RunRecord)) -> CheckResult {
    let (scenario, mut record) = good();
    plant(&mut record);
    let results = judge(&scenario, &record);
    let result = of(&results, name).clone();
    assert_eq!(result.verdict, verdict, "{result:#?}");
    assert!(overall(&results) <= verdict);
    result
}

fn some_key(record: &RunRecord, kind: OpKind, prefix: &str) -> DocKey {
    let mut operations = record.operations.iter();
    let found = operations.find(|op| op.kind == kind && op.acknowledged() && op.key.id.starts_with(prefix));
    found.expect("such an operation").key.clone()
}

#[test]
fn a_perfect_world_passes_every_check() {
    let (scenario, record) = good();
    for result in judge(&scenario, &record) {
        assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
    }
}

#[test]
fn a_perfect_world_passes_the_safety_checks_of_the_whole_library() {
    for shipped in crate::library::library() {
        let scenario = shipped.scenario().unwrap();
        let record = run(&scenario);
        for result in judge(&scenario, &record) {
            assert!(result.verdict == Verdict::Pass, "{}: {result:#?}", shipped.name);
        }
    }
}

#[test]
fn convergence_sees_a_document_that_one_replica_lacks() {
    let result = planted("convergence", Verdict::Fail, |record| {
        let key = some_key(record, OpKind::Put, "alpha-0-w2");
        record.finals[2].docs.remove(&key);
    });
    assert!(result.evidence[0].contains("bravo-0: lacks it"), "{result:#?}");
}

#[test]
fn convergence_sees_equal_text_with_different_heads() {
    planted("convergence", Verdict::Fail, |record| {
        let doc = record.finals[1].docs.values_mut().next().unwrap();
        doc.heads = Some("other".to_owned());
    });
}

#[test]
fn convergence_needs_replicas_to_compare() {
    planted("convergence", Verdict::Inconclusive, |record| record.finals.truncate(1));
}

#[test]
fn an_edit_that_every_replica_lost_is_still_a_lost_write() {
    let result = planted("no-lost-write", Verdict::Fail, |record| {
        let key = some_key(record, OpKind::Edit, "shared");
        for replica in &mut record.finals {
            let doc = replica.docs.get_mut(&key).unwrap();
            let mut json: serde_json::Value = serde_json::from_str(doc.json.as_ref().unwrap()).unwrap();
            json["by"]["bravo-1"]["counter"] = 1.into();
            doc.json = Some(json.to_string().into());
        }
    });
    assert!(result.evidence[0].contains("`by.bravo-1` is 1"), "{result:#?}");
}

#[test]
fn an_unknown_write_may_be_there_or_not() {
    for removed in [true, false] {
        let (scenario, mut record) = good();
        let key = some_key(&record, OpKind::Put, "alpha-0-w2");
        record.operations.iter_mut().find(|op| op.key == key).unwrap().outcome = Outcome::Unknown;
        if removed {
            record.finals.iter_mut().for_each(|replica| drop(replica.docs.remove(&key)));
            record.visibility.retain(|event| event.key != key);
        }
        let results = judge(&scenario, &record);
        assert_eq!(of(&results, "no-lost-write").verdict, Verdict::Pass);
        assert_eq!(of(&results, "no-phantom").verdict, Verdict::Pass);
    }
}

#[test]
fn a_stale_whole_document_put_is_the_applications_doing() {
    let (scenario, mut record) = good();
    // alpha-0's last edit of a document writes back an old counter of bravo-1 that it had seen newer.
    let key = some_key(&record, OpKind::Edit, "shared");
    let end = record.operations.iter().rposition(|op| op.key == key && op.node == NodeIndex(0)).unwrap();
    let lower = |text: &Arc<str>| -> Arc<str> {
        let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
        json["by"]["bravo-1"]["counter"] = 1.into();
        json.to_string().into()
    };
    let written = record.operations[end].json.clone().unwrap();
    record.operations[end].json = Some(lower(&written));
    for replica in &mut record.finals {
        let doc = replica.docs.get_mut(&key).unwrap();
        doc.json = doc.json.as_ref().map(lower);
    }
    let results = judge(&scenario, &record);
    assert_eq!(of(&results, "no-lost-write").verdict, Verdict::Pass);
}

#[test]
fn a_value_that_nobody_wrote_is_a_phantom() {
    let result = planted("no-phantom", Verdict::Fail, |record| {
        let event = record.visibility.iter_mut().find(|event| &*event.key.collection == "platforms").unwrap();
        event.change = Change::Upsert(r#"{"id":"ghost"}"#.into());
    });
    assert!(result.evidence[0].contains("id=\"ghost\""), "{result:#?}");
}

#[test]
fn what_was_refused_must_not_appear() {
    planted("no-phantom", Verdict::Fail, |record| {
        let key = some_key(record, OpKind::Put, "alpha-0-w2");
        let put = record.operations.iter_mut().find(|op| op.key == key).unwrap();
        put.outcome = Outcome::Refused("invalid_argument".to_owned());
    });
}

#[test]
fn a_delete_that_nobody_issued_is_a_phantom() {
    planted("no-phantom", Verdict::Fail, |record| {
        let key = some_key(record, OpKind::Put, "alpha-0-w2");
        let at = SimTime::from_secs(590);
        record.visibility.push(Visible { at, node: NodeIndex(3), key, change: Change::Delete });
    });
}

#[test]
fn a_deleted_document_that_is_there_at_the_end_fails() {
    planted("deletes-stay", Verdict::Fail, |record| {
        let key = some_key(record, OpKind::Delete, "doomed");
        let text = record.operations.iter().find(|op| op.key == key).unwrap().json.clone();
        record.finals.iter_mut().for_each(|replica| replica.docs.get_mut(&key).unwrap().json = text.clone());
    });
}

#[test]
fn a_document_that_comes_back_on_a_stream_fails() {
    let result = planted("deletes-stay", Verdict::Fail, |record| {
        let key = some_key(record, OpKind::Delete, "doomed");
        let text = record.operations.iter().find(|op| op.key == key).unwrap().json.clone().unwrap();
        let at = SimTime::from_secs(500);
        record.visibility.push(Visible { at, node: NodeIndex(1), key, change: Change::Upsert(text) });
    });
    assert!(result.evidence[0].contains("came back"), "{result:#?}");
}

#[test]
fn a_put_by_someone_who_knew_of_the_delete_is_no_resurrection() {
    let (scenario, mut record) = good();
    let key = some_key(&record, OpKind::Delete, "doomed");
    let mut put = record.operations.iter().find(|op| op.key == key).unwrap().clone();
    let at = SimTime::from_secs(500);
    (put.node, put.invoked, put.completed) = (NodeIndex(1), at, Some(at));
    let text = put.json.clone().unwrap();
    record.operations.push(put);
    record.visibility.push(Visible { at, node: NodeIndex(1), key, change: Change::Upsert(text) });
    assert_eq!(of(&judge(&scenario, &record), "deletes-stay").verdict, Verdict::Pass);
}

#[test]
fn an_acknowledged_write_that_its_node_lost_in_the_crash_fails() {
    let result = planted("durability", Verdict::Fail, |record| {
        let key = DocKey::new("platforms", "alpha-1");
        record.restart_snapshots[0].docs.remove(&key);
    });
    assert!(result.evidence[0].contains("alpha-1 after its restart"), "{result:#?}");
}

#[test]
fn durability_that_nobody_looked_at_is_inconclusive() {
    planted("durability", Verdict::Inconclusive, |record| record.restart_snapshots.clear());
}

#[test]
fn a_stream_that_goes_back_fails() {
    planted("session-order", Verdict::Fail, |record| {
        let beats = |event: &&Visible| &*event.key.id == "bravo-0" && event.node == NodeIndex(0);
        let first = record.visibility.iter().find(beats).unwrap().clone();
        let last = record.visibility.iter().rfind(beats).unwrap().at;
        record.visibility.push(Visible { at: last + secs(1), ..first });
    });
}

#[test]
fn a_stream_that_missed_the_last_change_fails() {
    planted("stream-complete", Verdict::Fail, |record| {
        let beats = |event: &Visible| &*event.key.id == "bravo-0" && event.node == NodeIndex(0);
        let last = record.visibility.iter().rposition(beats).unwrap();
        record.visibility.remove(last);
    });
}

#[test]
fn a_cut_that_dropped_nothing_is_vacuous() {
    planted("faults-bit", Verdict::Vacuous, |record| {
        record.faults[0].at_apply = LinkCounters::default();
        record.faults[0].at_heal = LinkCounters::default();
    });
}

#[test]
fn a_fault_that_never_began_is_inconclusive() {
    planted("faults-bit", Verdict::Inconclusive, |record| record.faults[1].applied = None);
}

#[test]
fn a_slow_convergence_breaches_the_service_level() {
    let (mut scenario, record) = good();
    scenario.expect.converge_within = Some(std::time::Duration::from_millis(1_100));
    scenario.expect.reconnect_within = Some(std::time::Duration::from_millis(900));
    scenario.expect.connected_latency_p50_max_ratio = Some(1.0);
    scenario.expect.connected_p99_within = Some(std::time::Duration::from_millis(299));
    scenario.expect.bytes_per_operation_max = Some(1.0);
    scenario.expect.idle_bytes_per_second_max = Some(1.0);
    let results = judge(&scenario, &record);
    for name in [
        "converge-within",
        "reconnect-within",
        "connected-latency-ratio",
        "connected-p99-within",
        "bytes-per-operation",
        "idle-bytes",
    ] {
        let result = of(&results, name);
        assert_eq!(result.verdict, Verdict::SloBreach, "{result:#?}");
    }
    assert_eq!(overall(&results), Verdict::SloBreach);
}

#[test]
fn levels_without_samples_are_inconclusive() {
    let (scenario, mut record) = good();
    record.visibility.clear();
    record.faults.clear();
    let results = judge(&scenario, &record);
    assert_eq!(of(&results, "connected-latency-ratio").verdict, Verdict::Inconclusive);
}

#[test]
fn trouble_of_the_world_outranks_everything() {
    let (scenario, mut record) = good();
    record.finals[0].docs.clear();
    record.infra_errors.push("container alpha-0 was killed by the kernel".to_owned());
    assert_eq!(overall(&judge(&scenario, &record)), Verdict::InfraError);
}

#[test]
fn two_traces_of_one_seed_are_nondeterminism() {
    assert_eq!(same_trace(["a", "a"]).verdict, Verdict::Pass);
    assert_eq!(same_trace(["a", "b", "a"]).verdict, Verdict::Nondeterministic);
    assert_eq!(same_trace([]).verdict, Verdict::Inconclusive);
}

#[test]
fn exit_codes_are_those_of_the_design() {
    use Verdict::*;
    let codes = [Pass, Fail, SloBreach, Inconclusive, Vacuous, InfraError, Nondeterministic].map(Verdict::exit_code);
    assert_eq!(codes, [0, 1, 3, 4, 4, 5, 6]);
}
