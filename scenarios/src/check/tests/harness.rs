//! The checks of the harness issue: session guarantees, isolation, bounds, quiescence, flat recovery.

use super::*;
use crate::model::Fault;
use crate::record::{DialEvent, OpRecord, SessionEvent};

/// An edit with a read, of a document that several edit; the later half of them, so that there is a past.
fn a_late_edit(record: &RunRecord) -> usize {
    let edits = record.operations.iter().enumerate().filter(|(_, op)| op.kind == OpKind::Edit && op.acknowledged());
    let edits: Vec<(usize, &OpRecord)> = edits.filter(|(_, op)| op.key.id.starts_with("shared")).collect();
    let by_the_first = edits.iter().rev().find(|(_, op)| op.node == edits[0].1.node && op.key == edits[0].1.key);
    by_the_first.expect("the first author edits again").0
}

/// The text with the counter of an author in both places put to a number.
fn with(text: &str, author: &str, counter: u64) -> Arc<str> {
    let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
    json["by"][author]["counter"] = counter.into();
    for entry in json["entries"].as_array_mut().unwrap() {
        if entry["author"] == author {
            entry["counter"] = counter.into();
        }
    }
    json.to_string().into()
}

#[test]
fn a_read_that_lacks_ones_own_write_is_seen() {
    let result = planted("read-your-writes", Verdict::Fail, |record| {
        let at = a_late_edit(record);
        let name = record.topology.name(record.operations[at].node).to_owned();
        let read = record.operations[at].read.clone().unwrap();
        record.operations[at].read = Some(with(&read, &name, 0));
    });
    assert!(result.evidence[0].contains("it had written"), "{result:#?}");
}

#[test]
fn a_read_that_shows_less_than_the_one_before_is_seen() {
    let result = planted("monotonic-reads", Verdict::Fail, |record| {
        let at = a_late_edit(record);
        let me = record.topology.name(record.operations[at].node).to_owned();
        let read = record.operations[at].read.clone().unwrap();
        let json: serde_json::Value = serde_json::from_str(&read).unwrap();
        let other = json["by"].as_object().unwrap().keys().find(|author| **author != me).unwrap().clone();
        record.operations[at].read = Some(with(&read, &other, 0));
    });
    assert!(result.evidence[0].contains("it had read"), "{result:#?}");
}

/// An event of another node that shows an edit, and the edit.
fn a_state(record: &RunRecord) -> (usize, OpRecord) {
    let edit = record.operations[a_late_edit(record)].clone();
    let shows = |event: &Visible| match &event.change {
        Change::Upsert(text) => {
            let registers = crate::plan::registers(text);
            event.key == edit.key && edit.writes.iter().all(|(name, counter)| registers.get(&**name) == Some(counter))
        }
        Change::Delete => false,
    };
    let at = record.visibility.iter().position(|event| event.node != edit.node && shows(event)).expect("it was shown");
    (at, edit)
}

fn change(record: &mut RunRecord, at: usize, how: impl FnOnce(&str) -> Arc<str>) {
    let Change::Upsert(text) = &record.visibility[at].change else { unreachable!() };
    let changed = how(text);
    record.visibility[at].change = Change::Upsert(changed);
}

#[test]
fn half_a_write_is_seen() {
    let result = planted("monotonic-writes", Verdict::Fail, |record| {
        let (at, edit) = a_state(record);
        let author = record.topology.name(edit.node).to_owned();
        change(record, at, |text| {
            let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
            json["by"][&author]["counter"] = 0.into();
            json.to_string().into()
        });
    });
    assert!(result.evidence[0].contains("of 1") || result.evidence[0].contains("`by."), "{result:#?}");
}

#[test]
fn an_effect_without_its_cause_is_seen() {
    let result = planted("writes-follow-reads", Verdict::Fail, |record| {
        let (at, edit) = a_state(record);
        let me = record.topology.name(edit.node).to_owned();
        let read: serde_json::Value = serde_json::from_str(edit.read.as_deref().unwrap()).unwrap();
        let cause = read["by"].as_object().unwrap().keys().find(|author| **author != me).unwrap().clone();
        change(record, at, |text| with(text, &cause, 0));
    });
    assert!(result.evidence[0].contains("having read"), "{result:#?}");
}

#[test]
fn an_unknown_write_binds_nobody() {
    let (scenario, mut record) = good();
    let at = a_late_edit(&record);
    let (node, key) = (record.operations[at].node, record.operations[at].key.clone());
    let name = record.topology.name(node).to_owned();
    // All that the author wrote before timed out, and its last read shows none of it: neither did anyone else's.
    let counter = |op: &OpRecord| op.writes.iter().map(|(_, counter)| *counter).max();
    let last = counter(&record.operations[at]).unwrap();
    for op in
        record.operations.iter_mut().filter(|op| op.node == node && op.key == key && counter(op) == Some(last - 1))
    {
        op.outcome = Outcome::Unknown;
    }
    let read = record.operations[at].read.clone().unwrap();
    record.operations[at].read = Some(with(&read, &name, last - 2));
    let results = judge(&scenario, &record);
    let result = of(&results, "read-your-writes");
    assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
}

/// Two formations on one network, each with what it writes itself.
fn two_formations() -> (Scenario, RunRecord) {
    let scenario = Scenario::builder("two-formations")
        .duration(secs(120))
        .settle(secs(30))
        .cluster("c", |cluster| {
            let cluster = cluster.group("alpha", 2).of_formation("one");
            cluster.group("bravo", 2).of_formation("other")
        })
        .link(LinkSpec::new("alpha", "bravo", Profile::Wan))
        .workload(Workload::heartbeat(["alpha", "bravo"], secs(10)))
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let record = run(&scenario);
    (scenario, record)
}

#[test]
fn formations_that_keep_to_themselves_pass() {
    let (scenario, record) = two_formations();
    for result in judge(&scenario, &record) {
        assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
    }
    assert_eq!(of(&judge(&scenario, &record), "convergence").detail, "4 documents are equal on 4 replicas");
}

#[test]
fn a_document_or_a_session_of_another_formation_is_seen() {
    let plants: [fn(&mut RunRecord); 3] = [
        |record| {
            let (key, doc) = record.finals[0].docs.iter().next().map(|(key, doc)| (key.clone(), doc.clone())).unwrap();
            record.finals[3].docs.insert(key, doc);
        },
        |record| {
            let event = record.visibility.iter().find(|event| event.node.0 == 0).unwrap().clone();
            record.visibility.push(Visible { node: NodeIndex(2), ..event });
        },
        |record| {
            let (node, peer) = (NodeIndex(1), NodeIndex(2));
            record.sessions.push(SessionEvent { at: SimTime::from_secs(9), node, peer, up: true });
        },
    ];
    for plant in plants {
        let (scenario, mut record) = two_formations();
        plant(&mut record);
        assert_eq!(of(&judge(&scenario, &record), "isolation").verdict, Verdict::Fail);
    }
}

#[test]
fn what_grows_beyond_its_bound_is_named() {
    let (scenario, mut record) = good();
    let node = NodeIndex(2);
    record.gauge(SimTime::from_secs(5), node, "backlog", 7, 8);
    assert_eq!(of(&judge(&scenario, &record), "bounded").verdict, Verdict::Pass);
    record.gauge(SimTime::from_secs(6), node, "backlog", 90, 9);
    record.gauge(SimTime::from_secs(7), node, "backlog", 9, 9);
    let result = of(&judge(&scenario, &record), "bounded").clone();
    assert_eq!((result.verdict, record.gauges.len()), (Verdict::Fail, 1));
    assert_eq!(result.evidence, ["bravo-0 at 00m06.000s: backlog: 90 of 9"]);
}

#[test]
fn an_echo_after_the_end_is_heard_and_keep_alives_are_not() {
    let (scenario, mut record) = good();
    let calm = of(&judge(&scenario, &record), "quiescence").clone();
    assert_eq!(calm.verdict, Verdict::Pass, "{calm:#?}");
    let slice = &mut record.traffic.by_slice[58];
    (slice.datagrams, slice.bytes) = (slice.datagrams + 400, slice.bytes + 40_000);
    let loud = of(&judge(&scenario, &record), "quiescence").clone();
    assert_eq!(loud.verdict, Verdict::Fail, "{loud:#?}");
    // Who dials somebody who is not there may be heard.
    let at = SimTime::from_secs(585);
    record.dials.extend((0..20).map(|_| DialEvent { at, node: NodeIndex(0), peer: NodeIndex(2) }));
    assert_eq!(of(&judge(&scenario, &record), "quiescence").verdict, Verdict::Pass);
}

#[test]
fn a_recovery_that_grows_with_the_outage_is_seen() {
    let scenario = Scenario::builder("two-outages")
        .duration(secs(600))
        .settle(secs(60))
        .cluster("c", |cluster| cluster.group("alpha", 1).group("bravo", 1))
        .link(LinkSpec::new("alpha", "bravo", Profile::Wan))
        .workload(Workload::heartbeat(["alpha", "bravo"], secs(10)))
        .fault(Fault::partition("short", "alpha", "bravo").at(secs(30)).lasting(secs(30)))
        .fault(Fault::partition("long", "alpha", "bravo").at(secs(120)).lasting(secs(240)))
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let mut record = run(&scenario);
    assert_eq!(of(&judge(&scenario, &record), "recovery-flat").verdict, Verdict::Pass);
    for event in record.sessions.iter_mut().filter(|event| event.up && event.at > SimTime::from_secs(360)) {
        event.at += secs(38);
    }
    let result = of(&judge(&scenario, &record), "recovery-flat").clone();
    assert_eq!(result.verdict, Verdict::Fail);
    assert!(result.evidence[0].contains("39.00 s after long of 4m 00s, 1.00 s after short of 30.00 s"), "{result:#?}");
}

/// A check that is in no list is one that nobody has to prove.
#[test]
fn every_check_that_can_speak_of_nodes_is_known() {
    let with_everything = [good(), burst(), two_formations()];
    for result in with_everything.iter().flat_map(|(scenario, record)| judge(scenario, record)) {
        assert!(is_known(&result), "{} is not in KNOWN", result.name);
    }
}
