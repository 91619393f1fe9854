use super::*;
use crate::check::Verdict;
use crate::model::{LinkSpec, Workload};
use crate::profiles::Profile;
use crate::record::Change;
use crate::testing::{run, secs};

fn scenario() -> Scenario {
    let built = Scenario::builder("agents")
        .duration(secs(600))
        .settle(secs(60))
        .cluster("east", |cluster| cluster.group("alpha", 2))
        .cluster("west", |cluster| cluster.group("bravo", 1))
        .link(LinkSpec::new("alpha", "bravo", Profile::SatcomLeo))
        .workload(Workload::agent(["alpha"], 4, secs(20)).away(secs(100), secs(60)));
    built.build().unwrap_or_else(|error| panic!("{error}"))
}

/// What a perfect world and a perfect watcher write down.
fn good() -> (Scenario, RunRecord) {
    let scenario = scenario();
    let record = run(&scenario);
    (scenario, record)
}

fn judged(plant: impl FnOnce(&mut RunRecord)) -> CheckResult {
    let (scenario, mut record) = good();
    plant(&mut record);
    check(&scenario, &record, &History::of(&record)).expect("there are agents")
}

fn failed(plant: impl FnOnce(&mut RunRecord)) -> String {
    let result = judged(plant);
    assert_eq!(result.verdict, Verdict::Fail, "{result:#?}");
    result.evidence[0].clone()
}

/// A document of the first agent that is there, or gone, at the end.
fn package(record: &RunRecord, kind: OpKind) -> DocKey {
    let mut last = BTreeMap::new();
    for report in reports(record) {
        last.insert(report.key.clone(), report.kind);
    }
    last.into_iter().find(|(_, found)| *found == kind).expect("there is one").0
}

#[test]
fn a_perfect_watcher_passes_and_its_stamps_are_no_phantoms() {
    let result = judged(|_| {});
    assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
    let (_, record) = good();
    let result = crate::check::phantom::check(&record, &History::of(&record));
    assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
}

#[test]
fn without_agents_there_is_nothing_to_judge() {
    let (scenario, record) = crate::testing::good();
    assert!(check(&scenario, &record, &History::of(&record)).is_none());
}

#[test]
fn a_package_that_a_replica_lacks_or_has_in_an_old_version_is_found() {
    let lacking = failed(|record| {
        let key = package(record, OpKind::Put);
        record.finals[2].docs.remove(&key);
    });
    assert!(lacking.starts_with("bravo-0: deployments/alpha-0:package-"), "{lacking}");
    let old = failed(|record| {
        let key = package(record, OpKind::Put);
        let doc = record.finals[2].docs.get_mut(&key).expect("there");
        doc.json = Some(r#"{"agent_id":"alpha-0","status":0}"#.into());
    });
    assert!(old.contains(r#"is {"agent_id":"alpha-0","status":0}"#), "{old}");
}

#[test]
fn a_package_that_stayed_or_that_no_agent_had_is_found() {
    let stayed = failed(|record| {
        let (gone, there) = (package(record, OpKind::Delete), package(record, OpKind::Put));
        let doc = record.finals[2].docs[&there].clone();
        record.finals[2].docs.insert(gone, doc);
    });
    assert!(stayed.ends_with("should be nothing"), "{stayed}");
    let stranger = failed(|record| {
        let doc = record.finals[0].docs[&package(record, OpKind::Put)].clone();
        record.finals[0].docs.insert(DocKey::new("deployments", "alpha-0:other"), doc);
    });
    assert_eq!(stranger, "alpha-0: no agent ever had deployments/alpha-0:other");
}

#[test]
fn an_agent_that_was_away_and_a_node_that_never_said_so_is_found() {
    let silent = failed(|record| {
        record.visibility.retain(|event| !matches!(&event.change, Change::Upsert(text) if text.contains("stale")));
    });
    assert!(silent.starts_with("alpha-0: its agent was away from"), "{silent}");
    let forgotten = failed(|record| {
        let name = record.topology.name(NodeIndex(1)).to_owned();
        record.see(secs(500).into(), NodeIndex(1), "platforms", &name, Some(r#"{ "agent": { "state": "stale" } }"#));
    });
    assert_eq!(forgotten, "alpha-1: says of its agent at the end: stale, should be ok");
}
