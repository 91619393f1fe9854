//! Every check passes on a perfect world and fails on the bug that it is there for.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::figures::measure;
use crate::model::{Expect, LatencyLevel, LinkSpec, RttBound, Scenario, Workload};
use crate::plan::{DocKey, NodeIndex};
use crate::profiles::Profile;
use crate::record::{Change, FaultEffect, OpKind, Outcome, RunRecord, Visible};
use crate::testing::{good, library_runs, run, secs};
use crate::time::SimTime;

mod harness;

fn judge(scenario: &Scenario, record: &RunRecord) -> Vec<CheckResult> {
    evaluate(scenario, record, &measure(record))
}

fn of<'r>(results: &'r [CheckResult], name: &str) -> &'r CheckResult {
    results.iter().find(|result| result.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Of a check that can speak of nodes, whether it is in the list of those that must be proved.
fn is_known(result: &CheckResult) -> bool {
    result.name == "faults-bit" || Known::of(&result.name).is_some()
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
    let (mut failed, mut breached) = (Vec::new(), Vec::new());
    for (scenario, record) in library_runs() {
        // This world knows nothing of contacts, and what it delivers between them is no delivery: the simulator's runs are
        // held to `physics` there.
        let links = &record.topology.links;
        let has_contacts = links.values().any(|link| link.schedule.is_some());
        for result in judge(scenario, record) {
            assert!(is_known(&result), "{} is not in KNOWN", result.name);
            let exempt = has_contacts && result.name == "physics";
            if result.verdict == Verdict::SloBreach {
                breached.push((scenario.name.clone(), result.name));
            } else if result.verdict != Verdict::Pass && !exempt {
                failed.push(format!("{}: {result:#?}", scenario.name));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // How soon it recovers is its own: it detects a dead session after ten seconds, and dials each second.
    let known = [("clock-jump", "connected-within"), ("dial-only-partition", "reconnect-within")];
    assert_eq!(breached, known.map(|(scenario, check)| (scenario.to_owned(), check.to_owned())));
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
fn what_is_seen_before_light_could_bring_it_is_a_lie_of_the_world() {
    let result = planted("physics", Verdict::Fail, |record| {
        let beats = |event: &&mut Visible| &*event.key.id == "bravo-0" && event.node == NodeIndex(0);
        // The satellite takes 300 ms, and 28 bytes of header at 2 Mbit/s take 0.11 ms.
        record.visibility.iter_mut().find(beats).unwrap().at = {
            let beat = record.operations.iter().find(|op| &*op.key.id == "bravo-0").unwrap();
            beat.invoked + std::time::Duration::from_millis(299)
        };
    });
    assert!(result.evidence[0].contains("alpha-0 at"), "{result:#?}");
    assert!(result.evidence[0].ends_with("1.11 ms before it can be there"), "{result:#?}");
}

#[test]
fn a_delete_that_crosses_a_cut_is_a_lie_of_the_world() {
    planted("physics", Verdict::Fail, |record| {
        let cut = record.faults[0].applied.unwrap();
        let gone = |event: &&mut Visible| event.change == Change::Delete && event.node.0 >= 2 && event.at > cut;
        let event = record.visibility.iter_mut().find(gone).unwrap();
        event.at = record.faults[0].healed.unwrap();
    });
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
        record.faults[0].effect = FaultEffect::default();
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

/// A platform writes a burst three times over, while an edge hears of its own part only.
fn burst() -> (Scenario, RunRecord) {
    let scenario = Scenario::builder("burst")
        .duration(secs(60))
        .settle(secs(20))
        .cluster("c", |cluster| {
            let cluster = cluster.group("platform", 1).group("post", 1).group("edge", 1);
            cluster.interested_in(["telemetry/platform-0-w0-0000", "commands/edge"])
        })
        .link(LinkSpec::new("platform", "post", Profile::Wan))
        .link(LinkSpec::new("post", "edge", Profile::Wan))
        .workload(Workload::burst(["platform"], 12).versions(3, secs(2)).start(secs(5)))
        .workload(Workload::command(["platform"], "edge", secs(10)).start(secs(12)))
        .expect(Expect {
            latency: vec![LatencyLevel {
                collection: "commands".to_owned(),
                p50: None,
                p99: None,
                max: Some(Duration::from_millis(60)),
            }],
            ..Expect::default()
        })
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let mut record = run(&scenario);
    // The ideal world tells everyone everything.
    let edge = record.topology.find("edge-0").unwrap();
    let spec = record.topology.node(edge).clone();
    record.visibility.retain(|event| event.node != edge || spec.wants(&event.key));
    record.finals[edge.index()].docs.retain(|key, _| spec.wants(key));
    (scenario, record)
}

fn burst_planted(name: &str, verdict: Verdict, plant: impl FnOnce(&mut RunRecord)) -> CheckResult {
    let (scenario, mut record) = burst();
    plant(&mut record);
    let result = of(&judge(&scenario, &record), name).clone();
    assert_eq!(result.verdict, verdict, "{result:#?}");
    result
}

#[test]
fn a_burst_that_arrives_once_and_only_where_it_is_wanted_passes() {
    let (scenario, record) = burst();
    for result in judge(&scenario, &record) {
        assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
    }
}

fn last_of_burst(record: &RunRecord, node: u32) -> usize {
    let of = |event: &Visible| event.node.0 == node && &*event.key.collection == "telemetry";
    record.visibility.iter().rposition(of).unwrap()
}

#[test]
fn a_version_that_comes_twice_is_seen() {
    let result = burst_planted("latest-once", Verdict::Fail, |record| {
        let mut again = record.visibility[last_of_burst(record, 1)].clone();
        again.at = SimTime::from_secs(30);
        record.visibility.push(again);
    });
    assert!(result.evidence[0].contains("version 3 came again"), "{result:#?}");
}

#[test]
fn a_last_version_that_never_comes_is_seen() {
    let result = burst_planted("latest-once", Verdict::Fail, |record| {
        record.visibility.remove(last_of_burst(record, 2));
    });
    assert!(result.evidence[0].contains("never came in version 3"), "{result:#?}");
}

#[test]
fn an_older_version_that_was_on_its_way_is_counted_and_not_judged() {
    let result = burst_planted("latest-once", Verdict::Pass, |record| {
        let last = last_of_burst(record, 1);
        let key = record.visibility[last].key.clone();
        let before = record.visibility[..last].iter_mut().rfind(|event| event.key == key && event.node.0 == 1);
        before.unwrap().at = SimTime::from_millis(9_010);
    });
    assert!(result.detail.contains("1 of older versions"), "{result:#?}");
}

#[test]
fn what_nobody_asked_for_must_not_be_there() {
    let result = burst_planted("interest-kept", Verdict::Fail, |record| {
        let (key, doc) = record.finals[0].docs.iter().find(|(key, _)| key.id.ends_with("10")).unwrap();
        let (key, doc) = (key.clone(), doc.clone());
        record.finals[2].docs.insert(key, doc);
    });
    assert!(result.evidence[0].contains("edge-0 holds telemetry/platform-0-w0-00010"), "{result:#?}");
}

#[test]
fn a_single_command_that_comes_late_breaks_its_level() {
    let late = |record: &mut RunRecord| {
        let event =
            record.visibility.iter_mut().find(|event| &*event.key.collection == "commands" && event.node.0 == 2);
        let event = event.unwrap();
        event.at += Duration::from_secs(1);
    };
    let result = burst_planted("latency of commands", Verdict::SloBreach, late);
    assert!(result.detail.contains("max 1.0"), "{result:#?}");
}

#[test]
fn a_node_that_dials_too_often_after_a_heal_is_named() {
    let (mut scenario, mut record) = good();
    scenario.expect.dials_in_first_second_max = Some(3);
    let heal = SimTime::from_secs(300);
    let (node, peer) = (NodeIndex(0), NodeIndex(2));
    let before = record.dials.partition_point(|dial| dial.at < heal);
    for (number, millis) in [0, 10, 200, 999].into_iter().enumerate() {
        let at = heal + Duration::from_millis(millis);
        record.dials.insert(before + number, crate::record::DialEvent { at, node, peer });
    }
    let results = judge(&scenario, &record);
    let result = of(&results, "dials-in-first-second");
    assert_eq!(result.verdict, Verdict::SloBreach);
    assert!(result.detail.contains("at most 4 by one node (alpha-0 after sat"), "{result:#?}");
}

#[test]
fn the_first_byte_is_judged_in_each_direction() {
    let (mut scenario, mut record) = good();
    scenario.expect.first_byte_within = Some(RttBound { fixed: secs(2), round_trips: 2 });
    let result = of(&judge(&scenario, &record), "first-byte-within").clone();
    assert_eq!((result.verdict, result.detail.contains("worst of 2: 1.30 s of 3.20 s")), (Verdict::Pass, true));
    // What west wrote in the dark comes to east only ten seconds after the heal.
    let heal = SimTime::from_secs(300);
    let during: Vec<DocKey> = record
        .operations
        .iter()
        .filter(|op| op.node.0 >= 2 && op.completed.is_some_and(|at| (SimTime::from_secs(180)..heal).contains(&at)))
        .map(|op| op.key.clone())
        .collect();
    for event in record.visibility.iter_mut().filter(|event| event.node.0 < 2 && during.contains(&event.key)) {
        if (heal..heal + secs(10)).contains(&event.at) {
            event.at = heal + secs(10);
        }
    }
    record.visibility.sort_by_key(|event| event.at);
    let result = of(&judge(&scenario, &record), "first-byte-within").clone();
    assert_eq!(result.verdict, Verdict::SloBreach, "{result:#?}");
    assert!(result.evidence[0].contains("bravo to alpha"), "{result:#?}");
}

#[test]
fn two_islands_that_do_not_merge_are_seen() {
    let (mut scenario, mut record) = good();
    scenario.expect.connected_within = Some(secs(10));
    let result = of(&judge(&scenario, &record), "connected-within").clone();
    assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
    let heal = SimTime::from_secs(300);
    let across = |a: NodeIndex, b: NodeIndex| (a.0 < 2) != (b.0 < 2);
    record.sessions.retain(|event| event.at < heal || !across(event.node, event.peer));
    let result = of(&judge(&scenario, &record), "connected-within").clone();
    assert_eq!(result.verdict, Verdict::SloBreach);
    assert!(result.evidence[0].contains("sat at 05m00.000s: apart until the end"), "{result:#?}");
}
