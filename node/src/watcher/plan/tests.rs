use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::watcher::documents::AGENT_ID;

const ME: &str = "ship-7";
const T0: u64 = 1_800_000_000_000;

fn status(version: &str, time: u64) -> StatusAnswer {
    let is = |text: &str| Leaf::Is(text.to_owned());
    StatusAnswer {
        version: is(version),
        architecture: is("amd64"),
        k8s_node_status: is("Ready"),
        system_time: is(&time.to_string()),
        ..StatusAnswer::default()
    }
}

fn listing(names: &[(&str, u8)]) -> Listing {
    let document = |(name, version): &(&str, u8)| {
        let fields = json!({ AGENT_ID: ME, "name": name, "version": version });
        (format!("{ME}:{name}"), fields.as_object().expect("an object").clone())
    };
    Listing { documents: names.iter().map(document).collect(), whole: true, ..Listing::default() }
}

fn good(names: &[(&str, u8)], time: u64) -> Reports {
    Reports {
        status: Ok(status("1", time)),
        listings: [Ok(listing(names)), Ok(Listing { whole: true, ..Listing::default() })],
    }
}

fn silence() -> Reports {
    let gone = || CallError::Unreachable("no connection".into());
    Reports { status: Err(gone()), listings: [Err(gone()), Err(gone())] }
}

/// A store, and how the agent did: what the shell keeps.
#[derive(Default)]
struct Node {
    stored: Stored,
    health: Health,
    now_ms: u64,
}

impl Node {
    fn new() -> Self {
        Self { now_ms: T0, ..Self::default() }
    }

    /// One poll, ten seconds after the last. Returns what was written.
    fn poll(&mut self, reports: &Reports) -> Vec<Edit> {
        self.now_ms += 10_000;
        let plan = plan(ME, &self.stored, reports, &self.health, self.now_ms);
        self.health = plan.health;
        for edit in plan.edits.clone() {
            self.apply(edit);
        }
        plan.edits
    }

    fn apply(&mut self, Edit { collection, id, change }: Edit) {
        let of = |stored: &mut Stored| {
            Collection::ALL
                .iter()
                .position(|c| c.name() == collection)
                .map(|at| std::mem::take(&mut stored.listings[at]))
        };
        match change {
            Change::Platform(ours) => {
                assert_eq!((collection, id.as_str()), (PLATFORMS, ME));
                self.stored.platform = Some(overlay(self.stored.platform.as_ref(), ME, &ours));
            }
            change => {
                let mut documents = of(&mut self.stored).expect("one of the two collections");
                match change {
                    Change::Put(fields) => documents.insert(id, fields),
                    _ => documents.remove(&id),
                };
                let at = Collection::ALL.iter().position(|c| c.name() == collection).expect("as before");
                self.stored.listings[at] = documents;
            }
        }
    }

    fn platform(&self) -> serde_json::Value {
        Value::Object(self.stored.platform.clone().expect("there is one"))
    }
}

#[test]
fn the_life_of_an_agent() {
    let mut node = Node::new();
    let mut told = String::new();
    let mut note = |what: &str, node: &Node, edits: Vec<Edit>| {
        told.push_str(&format!("{what}: {} writes\n", edits.len()));
        if edits.iter().any(|edit| edit.collection == PLATFORMS) {
            told.push_str(&format!("  {}\n", node.platform()));
        }
    };
    let edits = node.poll(&good(&[("a", 1), ("b", 1)], 1));
    note("first poll", &node, edits);
    let edits = node.poll(&good(&[("a", 1), ("b", 1)], 2));
    note("only the time differs", &node, edits);
    let edits = node.poll(&good(&[("a", 2)], 3));
    note("a has a new version, b is gone", &node, edits);
    for missed in 1..=4 {
        let edits = node.poll(&silence());
        note(&format!("no answer, {missed}"), &node, edits);
    }
    let edits = node.poll(&good(&[("a", 2)], 4));
    note("it is back", &node, edits);
    for missed in 1..=3 {
        let reports = Reports { listings: [Err(CallError::NotJson), Ok(Listing::default())], ..good(&[], 5) };
        let edits = node.poll(&reports);
        note(&format!("one list only, {missed}"), &node, edits);
    }
    let mut away = good(&[("a", 2)], 6);
    away.status = Ok(StatusAnswer { k8s_node_status: Leaf::Is("NotReady".into()), ..status("1", 6) });
    let edits = node.poll(&away);
    note("its cluster is not ready", &node, edits);
    insta::assert_snapshot!(told);
}

#[test]
fn an_agent_that_never_answered_is_no_platform() {
    let mut node = Node::new();
    for _ in 0..10 {
        assert_eq!(node.poll(&silence()), []);
    }
}

#[test]
fn after_a_restart_while_the_agent_is_away_the_time_it_was_last_known_to_be_well_stays() {
    let mut node = Node::new();
    node.poll(&good(&[("a", 1)], 1));
    let last_good = node.platform()["agent"]["last_good"].clone();
    node.health = Health::default();
    for _ in 0..limits::AGENT_STALE_POLLS {
        node.poll(&silence());
    }
    let agent = node.platform()["agent"].clone();
    assert_eq!((&agent["state"], &agent["last_good"]), (&json!("stale"), &last_good));
    let since = agent["stale_since"].clone();
    // And again: it is stale already, and nothing has to be written.
    node.health = Health::default();
    for _ in 0..10 {
        assert_eq!(node.poll(&silence()), []);
    }
    assert_eq!(node.platform()["agent"]["stale_since"], since);
}

#[test]
fn what_an_application_knows_of_the_platform_stays() {
    let mut node = Node::new();
    let theirs = json!({ "id": ME, "name": "Ship Seven", "latitude": 54.5, "status": 2, "callsign": "S7" });
    node.stored.platform = theirs.as_object().cloned();
    node.poll(&good(&[], 1));
    let platform = node.platform();
    assert_eq!(
        (&platform["name"], &platform["latitude"], &platform["callsign"]),
        (&json!("Ship Seven"), &json!(54.5), &json!("S7"))
    );
    assert_eq!((&platform["status"], &platform["platform_type"]), (&json!(1), &json!("uds-agent")));
    node.stored.platform.as_mut().expect("there").insert("latitude".into(), json!(55.0));
    assert_eq!(node.poll(&good(&[], 2)), [], "it moved, which is not ours to say");
    // Somebody at a desk deletes it, and the agent is still there.
    node.stored.platform = None;
    assert_eq!(node.poll(&good(&[], 3)).len(), 1);
}

#[test]
fn a_status_that_cannot_be_read_in_full_keeps_what_it_had() {
    let mut node = Node::new();
    node.poll(&good(&[], 1));
    let mut partly = good(&[], 2);
    partly.status = Ok(StatusAnswer { architecture: Leaf::Unreadable, ..status("2", 2) });
    node.poll(&partly);
    let agent = node.platform()["agent"].clone();
    assert_eq!(
        (&agent["version"], &agent["architecture"], &agent["state"]),
        (&json!("2"), &json!("amd64"), &json!("ok"))
    );
}

#[test]
fn a_list_in_doubt_adds_only_while_there_is_room() {
    let mut node = Node::new();
    let many = |from: usize| {
        let names: Vec<String> = (from..from + 700).map(|i| format!("p{i}")).collect();
        let names: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut reports = good(&names, 1);
        if let Ok(listing) = &mut reports.listings[0] {
            listing.whole = false;
        }
        reports
    };
    for round in 0..5 {
        node.poll(&many(round * 700));
        assert!(node.stored.listings[0].len() <= limits::MAX_AGENT_DOCUMENTS);
    }
    let doubtful = plan(ME, &node.stored, &many(7000), &node.health, 0);
    assert_eq!((doubtful.edits.iter().filter(|e| e.collection != PLATFORMS).count(), doubtful.no_room), (0, 700));
}

/// What an agent may do in one poll.
fn reports() -> impl Strategy<Value = Reports> {
    let names = proptest::collection::btree_map(proptest::sample::select(vec!["a", "b", "c", "d", "e"]), 0u8..3, 0..5);
    let list = (names, any::<bool>())
        .prop_map(|(names, whole)| Listing { whole, ..listing(&names.into_iter().collect::<Vec<_>>()) });
    let answer = || prop_oneof![1 => Just(Err(CallError::NotJson)), 4 => list.clone().prop_map(Ok)];
    let text = prop_oneof![Just(Leaf::Absent), Just(Leaf::Unreadable), "[ab]{0,1}".prop_map(Leaf::Is),];
    let status = (text, any::<u64>()).prop_map(|(run_mode, time)| StatusAnswer { run_mode, ..status("1", time) });
    let status = prop_oneof![1 => Just(Err(CallError::NotJson)), 4 => status.prop_map(Ok)];
    (status, answer(), answer())
        .prop_map(|(status, deployments, packages)| Reports { status, listings: [deployments, packages] })
}

fn only_times_differ(reports: &Reports) -> Reports {
    let mut again = reports.clone();
    if let Ok(status) = &mut again.status {
        status.system_time = Leaf::Is("later".into());
    }
    again
}

proptest! {
    #[test]
    fn the_same_again_is_no_write(polls in proptest::collection::vec(reports(), 1..12)) {
        let mut node = Node::new();
        for reports in &polls {
            node.poll(reports);
        }
        let last = only_times_differ(polls.last().expect("one at least"));
        // A state that is told only after some polls has its one write then.
        for _ in 0..limits::AGENT_STALE_POLLS {
            node.poll(&last);
        }
        prop_assert_eq!(node.poll(&last), vec![]);
    }

    #[test]
    fn nothing_is_removed_on_doubt(polls in proptest::collection::vec(reports(), 1..12)) {
        let mut node = Node::new();
        for reports in &polls {
            let edits = node.poll(reports);
            let removed = edits.iter().filter(|edit| edit.change == Change::Delete);
            for edit in removed {
                let at = Collection::ALL.iter().position(|c| c.name() == edit.collection).expect("no platform is removed");
                let listing = reports.listings[at].as_ref().expect("removed although there was no answer");
                prop_assert!(listing.whole && !listing.documents.contains_key(&edit.id));
            }
        }
    }

    #[test]
    fn after_a_whole_answer_the_documents_are_those_of_the_answer(polls in proptest::collection::vec(reports(), 1..12)) {
        let mut node = Node::new();
        for reports in &polls {
            node.poll(reports);
            for (stored, report) in node.stored.listings.iter().zip(&reports.listings) {
                if let Ok(listing) = report {
                    for (id, fields) in &listing.documents {
                        prop_assert_eq!(stored.get(id), Some(fields));
                    }
                    prop_assert!(!listing.whole || stored.len() == listing.documents.len());
                }
            }
            if reports.is_good() {
                let platform = node.platform();
                prop_assert_eq!(&platform["agent"]["state"], "ok");
                prop_assert!(platform["agent"].get("stale_since").is_none());
            }
        }
    }

    #[test]
    fn each_document_is_written_at_most_once_and_only_if_it_differs(polls in proptest::collection::vec(reports(), 1..12)) {
        let mut node = Node::new();
        for reports in &polls {
            let before = (node.stored.listings.clone(), node.stored.platform.clone());
            let edits = node.poll(reports);
            let names: BTreeSet<_> = edits.iter().map(|edit| (edit.collection, edit.id.clone())).collect();
            prop_assert_eq!(names.len(), edits.len());
            for edit in &edits {
                if let Change::Put(fields) = &edit.change {
                    let at = Collection::ALL.iter().position(|c| c.name() == edit.collection).expect("a list");
                    prop_assert!(before.0[at].get(&edit.id) != Some(fields));
                }
            }
            if edits.iter().any(|edit| edit.collection == PLATFORMS) {
                prop_assert_ne!(&node.stored.platform, &before.1);
            }
        }
    }
}
