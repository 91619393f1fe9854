//! A node that watches an agent, and what becomes of it on every kind of bad day.

#[path = "agent/server.rs"]
pub mod server;

use std::time::Duration;

use peat_node::core::watch::Selection;
use peat_node::node::{Change, Watching};
use peat_node::watcher::http::{AgentAddress, HttpAgent};
use peat_node::watcher::plan::State;
use peat_node::watcher::tls::Identity;
use peat_node::watcher::{AgentCounts, AgentSource, AgentStatus, Answers, CallError};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use serde_json::{Value, json};

use super::binary::binary;
use super::exposition::Exposition;
use super::harness::TestNode;
use super::operator::Process;
use server::{Agent, Authority, PACKAGES, PULLED, Reply, STATUS, server_config};

/// Long enough that a poll ends in time on a busy machine.
const INTERVAL: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(20);

async fn watching(agent: &Agent) -> TestNode {
    let node = TestNode::start().await;
    let source = HttpAgent::new(agent.address()).expect("no files to read");
    node.handle().watch_agent(source, INTERVAL).expect("the first one");
    node
}

fn figures(node: &TestNode) -> AgentStatus {
    node.handle().status().agent.expect("watched")
}

async fn read(node: &TestNode, collection: &str, id: &str) -> Option<Value> {
    let text = node.handle().get(collection, id).await.expect("read")?;
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Waits for a version of the platform that is as wanted.
async fn platform(node: &TestNode, wanted: impl Fn(&Value) -> bool) -> Value {
    let selection = Selection { collections: ["platforms".into()].into(), ..Selection::default() };
    let of_platforms = Watching { selection, ..Watching::default() };
    let mut changes = node.handle().subscribe(of_platforms).expect("subscribed");
    loop {
        let event = changes.next().await.expect("running").expect("readable");
        let Change::Upsert(text) = event.change else { continue };
        let platform: Value = serde_json::from_str(&text).expect("JSON");
        if wanted(&platform) {
            return platform;
        }
    }
}

#[tokio::test]
async fn what_the_agent_has_appears_changes_and_disappears_and_nothing_else_is_written() {
    let mut agent = Agent::start().await;
    agent.set_packages(&json!([{ "name": "a", "version": "1", "status": 2 }, { "name": "b", "version": "1" }]));
    let tags = json!([{ "reference": "ghcr.io/a:1", "arch": "amd64", "totalBytes": "7" }]);
    let registries = json!({ "registries": [{ "name": "r", "packages": [{ "packageName": "a", "tags": tags }] }] });
    agent.reply(PULLED, Reply::json(&registries));
    let node = watching(&agent).await;
    agent.polled().await;
    let platform = read(&node, "platforms", "test-node").await.expect("created");
    assert_eq!((&platform["status"], &platform["agent"]["version"]), (&json!(1), &json!("1.2.3")));
    assert_eq!(node.handle().list("deployments").await.expect("listed"), ["test-node:a", "test-node:b"]);
    let pulled = read(&node, "packages", "test-node:ghcr.io/a:1").await.expect("created");
    assert_eq!((&pulled["total_bytes"], &pulled["registry"]), (&json!(7), &json!("r")));

    // The same again, but for the time: not one change more.
    let before = node.handle().status().store.last_change;
    agent.set_status(&json!({ "systemTime": "2026-11-21T07:00:00Z", "k8sNodeStatus": "Ready", "version": "1.2.3" }));
    agent.polled().await;
    agent.polled().await;
    assert_eq!(node.handle().status().store.last_change, before);
    assert_eq!(agent.connections.borrow().to_owned(), 1, "one connection serves all polls");

    agent.set_packages(&json!([{ "name": "a", "version": "2", "status": 2 }]));
    agent.polled().await;
    assert_eq!(read(&node, "deployments", "test-node:a").await.expect("there")["version"], "2");
    assert_eq!(read(&node, "deployments", "test-node:b").await, None);
    assert_eq!(node.handle().status().store.last_change, before + 2, "one update, one delete");
    let AgentCounts { written, removed, documents, .. } = figures(&node).counts;
    assert_eq!((written, removed, documents), (5, 1, 2));
    assert!(figures(&node).last_good_age.is_some_and(|age| age < LONG) && figures(&node).state == State::Ok);

    let calls = agent.requests();
    let call = |path: &str| calls.iter().find(|(_, asked, ..)| asked == path).expect("asked").clone();
    assert_eq!(call(STATUS), ("GET".into(), STATUS.into(), String::new(), vec![]));
    for path in [PACKAGES, PULLED] {
        assert_eq!(call(path), ("POST".into(), path.into(), "application/json".into(), b"{}".to_vec()));
    }
    node.stop().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_trusted_removes_nothing_and_is_counted() {
    let mut agent = Agent::start().await;
    agent.set_packages(&json!([{ "name": "a", "version": "1" }, { "name": "b", "version": "1" }]));
    let node = watching(&agent).await;
    agent.polled().await;
    let before = node.handle().status().store.last_change;
    let many = format!(r#"{{"packages":[{}]}}"#, vec!["{}"; 2000].join(","));
    let bad = [
        ("not JSON", Reply::text("<html>")),
        ("cut short", Reply::text(r#"{"packages":[{"name":"a""#)),
        ("another shape", Reply::text(r#"{"packages":{"name":"a"}}"#)),
        ("an error in disguise", Reply::text(r#"{"error":"not yet"}"#)),
        ("a page", Reply { content_type: "text/html", ..Reply::text("{}") }),
        ("an error", Reply { status: 503, ..Reply::text(r#"{"code":"unavailable","message":"hunter2"}"#) }),
        ("too large", Reply::text(&too_large())),
        ("too many", Reply::text(&many)),
        ("it never ends", Reply { stalls: true, ..Reply::text(r#"{"packages":[]}"#) }),
        ("one of several cannot be read", Reply::text(r#"{"packages":[{"name":7},{"name":"a","version":"1"}]}"#)),
    ];
    for (what, reply) in bad {
        agent.reply(PACKAGES, reply);
        agent.polled().await;
        let (why, _) = figures(&node).last_error.expect("told");
        assert!(why.starts_with("list-packages: ") && !why.contains("hunter2"), "{what}: {why}");
        assert_eq!(node.handle().list("deployments").await.expect("listed"), ["test-node:a", "test-node:b"], "{what}");
    }
    let status = figures(&node);
    assert!(status.counts.polls_failed >= 10 && status.counts.calls_failed[1].iter().sum::<u64>() >= 10, "{status:?}");
    // Only that the agent is degraded was written.
    assert_eq!((status.state, node.handle().status().store.last_change), (State::Degraded, before + 1));
    assert_eq!(read(&node, "platforms", "test-node").await.expect("there")["status"], 3);

    agent.set_packages(&json!([{ "name": "b", "version": "1" }]));
    agent.polled().await;
    assert_eq!(node.handle().list("deployments").await.expect("listed"), ["test-node:b"]);
    assert_eq!(figures(&node).state, State::Ok);
    node.stop().await;
}

fn too_large() -> String {
    format!(r#"{{"packages":[],"filler":"{}"}}"#, "x".repeat(5 << 20))
}

#[tokio::test]
async fn every_call_without_an_answer_says_why_and_the_next_one_is_not_in_its_way() {
    let agent = Agent::start().await;
    let mut source = HttpAgent::new(agent.address()).expect("no files to read");
    let rows = [
        ("an error", Reply { status: 503, ..Reply::text(r#"{"code":"unavailable","message":"hunter2"}"#) }),
        ("an error with more than a code", Reply { status: 500, ..Reply::text(r#"{"code":"Hunter2, oh"}"#) }),
        ("an error of a proxy", Reply { status: 502, content_type: "text/html", ..Reply::text("<html>") }),
        ("a page", Reply { content_type: "text/html", ..Reply::text("<html>") }),
        ("too large", Reply::text(&too_large())),
        ("with a character set", Reply { content_type: "application/json; charset=utf-8", ..Reply::text("{}") }),
    ];
    let mut text = String::new();
    for (what, reply) in rows {
        agent.reply(PACKAGES, reply);
        let answers = source.poll(LONG).await;
        text.push_str(&format!("{what}\n  {}\n", told(&answers)));
        assert!(answers.status.is_ok() && answers.pulled_packages.is_ok(), "{what}: {answers:?}");
    }
    agent.reply(PACKAGES, Reply::text(&too_large()));
    for _ in 0..20 {
        let answers = source.poll(LONG).await;
        assert!(matches!(answers.packages, Err(CallError::TooLarge { .. })) && answers.status.is_ok(), "{answers:?}");
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn an_agent_that_stops_is_marked_as_stale_and_unmarked_when_it_returns() {
    let mut agent = Agent::start().await;
    agent.set_packages(&json!([{ "name": "a", "version": "1" }]));
    let node = watching(&agent).await;
    agent.polled().await;
    let port = agent.port;
    drop(agent);

    let stale = tokio::time::timeout(LONG, platform(&node, |p| p["agent"]["state"] == "stale")).await.expect("in time");
    assert_eq!(stale["status"], 4);
    assert!(stale["agent"]["stale_since"].is_string() && stale["agent"]["last_good"].is_string(), "{stale}");
    assert_eq!(stale["agent"]["version"], "1.2.3", "what was known of it stays");
    assert_eq!(node.handle().list("deployments").await.expect("listed"), ["test-node:a"], "and so do its packages");
    let (why, _) = figures(&node).last_error.expect("told");
    assert!(why.contains("Connection refused"), "{why}");

    let agent = Agent::start_at(port, None).await;
    agent.set_packages(&json!([{ "name": "a", "version": "1" }]));
    let back = tokio::time::timeout(LONG, platform(&node, |p| p["agent"]["state"] == "ok")).await.expect("in time");
    assert_eq!((&back["status"], back["agent"].get("stale_since")), (&json!(1), None));
    node.stop().await;
}

#[tokio::test]
async fn documents_of_an_earlier_life_are_known_again_and_those_of_others_left_alone() {
    let mut agent = Agent::start().await;
    agent.set_packages(&json!([{ "name": "b" }]));
    let node = TestNode::start().await;
    let put = async |id: &str, text: &str| node.handle().put("deployments", id, text).await.expect("put");
    put("test-node:a", r#"{"agent_id":"test-node","name":"a"}"#).await;
    put("test-node:b", r#"{"name":"b","agent_id":"test-node"}"#).await;
    put("test-node:c", r#"{"name":"an application's"}"#).await;
    put("test-node-2:a", r#"{"agent_id":"test-node-2","name":"a"}"#).await;
    let before = node.handle().status().store.last_change;
    node.handle().watch_agent(HttpAgent::new(agent.address()).expect("valid"), INTERVAL).expect("the first one");
    agent.polled().await;
    let left = node.handle().list("deployments").await.expect("listed");
    assert_eq!(left, ["test-node-2:a", "test-node:b", "test-node:c"]);
    assert_eq!(node.handle().status().store.last_change, before + 2, "the platform, and a is gone: b is as it was");
    let again = node.handle().watch_agent(HttpAgent::new(agent.address()).expect("valid"), INTERVAL);
    assert_eq!(again.expect_err("there is one").to_string(), "an agent is watched already; a node watches one");

    // Somebody at a desk deletes what is still there: it comes back with the next poll.
    node.handle().delete("deployments", "test-node:b").await.expect("deleted");
    agent.polled().await;
    assert!(read(&node, "deployments", "test-node:b").await.is_some());
    node.stop().await;
}

#[tokio::test]
async fn no_secret_of_an_answer_reaches_the_store() {
    let mut agent = Agent::start().await;
    let credentials = json!({ "username": "admin", "password": "hunter2" });
    agent.set_status(&json!({ "version": "1", "k8sNodeStatus": "Ready", "token": "hunter2", "settings": credentials }));
    agent.set_packages(
        &json!([{ "name": "a", "credentials": credentials, "annotations": { "db-password": "hunter2", "title": "A" },
        "pods": [{ "env": "hunter2" }] }]),
    );
    let tags = json!([{ "reference": "r/a:1", "pullInfo": { "status": 1, "auth": "hunter2" } },
        { "reference": "admin:hunter2@r/a:1" }]);
    let registry = json!({ "name": "r", "host": "admin:hunter2@r", "credentials": credentials,
        "packages": [{ "packageName": "a", "tags": tags }] });
    agent.reply(PULLED, Reply::json(&json!({ "registries": [registry] })));
    let node = watching(&agent).await;
    agent.polled().await;
    let mut found = 0;
    for collection in ["platforms", "deployments", "packages"] {
        for (id, text) in node.handle().scan(collection).await.expect("read") {
            assert!(!text.contains("hunter2") && !text.contains("admin"), "{id} {text}");
            found += 1;
        }
    }
    let counts = figures(&node).counts;
    assert_eq!((found, counts.skipped, counts.annotations_left_out), (3, 1, 1));
    assert!(!format!("{:?}", figures(&node)).contains("hunter2"));
    node.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_an_agent_that_never_answers() {
    let mut agent = Agent::start().await;
    agent.reply(STATUS, Reply { stalls: true, ..Reply::text("{}") });
    let node = TestNode::start().await;
    let source = HttpAgent::new(agent.address()).expect("valid");
    node.handle().watch_agent(source, Duration::from_secs(3600)).expect("the first one");
    agent.connections.changed().await.expect("serving");
    let began = std::time::Instant::now();
    node.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

async fn poll(agent: &Agent, authority: &Authority, identity: Option<Identity>) -> Answers {
    let tls = Some(authority.files(identity));
    HttpAgent::new(AgentAddress { tls, ..agent.address() }).expect("readable").poll(LONG).await
}

fn told(answers: &Answers) -> String {
    match &answers.packages {
        Ok(body) => String::from_utf8(body.clone()).expect("text"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn tls_is_spoken_with_and_without_a_certificate_of_ours_and_every_refusal_says_what_to_do() {
    let (fleet, stranger) = (Authority::new("fleet"), Authority::new("stranger"));
    let open = Agent::start_at(0, Some(server_config(&fleet, "127.0.0.1", None))).await;
    let mutual = Agent::start_at(0, Some(server_config(&fleet, "127.0.0.1", Some(&fleet)))).await;
    let misnamed = Agent::start_at(0, Some(server_config(&fleet, "agent.example", None))).await;
    let plain = Agent::start().await;
    let ours = || Some(fleet.issue("node", ClientAuth));
    let mut old = server_config(&fleet, "127.0.0.1", None);
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let old = Agent::start_at(0, Some(old)).await;
    let rows = [
        ("TLS", poll(&open, &fleet, None).await),
        ("mutual TLS", poll(&mutual, &fleet, ours()).await),
        ("mutual TLS, no certificate", poll(&mutual, &fleet, None).await),
        ("mutual TLS, a stranger's certificate", poll(&mutual, &fleet, Some(stranger.issue("node", ClientAuth))).await),
        ("mutual TLS, a server's certificate", poll(&mutual, &fleet, Some(fleet.issue("server", ServerAuth))).await),
        ("an agent of somebody else", poll(&open, &stranger, None).await),
        ("a certificate for another name", poll(&misnamed, &fleet, None).await),
        ("no TLS there", poll(&plain, &fleet, None).await),
        ("no HTTP/2 there", poll(&old, &fleet, None).await),
        ("TLS there, none here", HttpAgent::new(open.address()).expect("valid").poll(LONG).await),
    ];
    let mut text = String::new();
    for (what, answers) in rows {
        let told = told(&answers);
        // Which port it was is chance.
        let told =
            [&open, &mutual, &misnamed, &plain, &old].iter().fold(told, |t, a| t.replace(&a.port.to_string(), "PORT"));
        text.push_str(&format!("{what}\n  {told}\n"));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_used_from_the_next_connection_on() {
    let fleet = Authority::new("fleet");
    let mutual = Agent::start_at(0, Some(server_config(&fleet, "127.0.0.1", Some(&fleet)))).await;
    let stranger = Authority::new("stranger").issue("node", ClientAuth);
    let tls = Some(fleet.files(Some(stranger.clone())));
    let mut source = HttpAgent::new(AgentAddress { tls, ..mutual.address() });
    // The stranger's directory is gone by now: that is told at the start.
    assert!(source.is_err());
    let ours = fleet.issue("node", ClientAuth);
    let expired = Authority::new("stranger");
    let theirs = expired.issue("node", ClientAuth);
    for file in [(&theirs.cert, &ours.cert), (&theirs.key, &ours.key)] {
        std::fs::copy(file.0, file.1).expect("copied");
    }
    let tls = Some(fleet.files(Some(ours.clone())));
    source = HttpAgent::new(AgentAddress { tls, ..mutual.address() });
    let mut source = source.expect("readable");
    assert!(source.poll(LONG).await.status.is_err());
    fleet.issue("node", ClientAuth);
    assert!(source.poll(LONG).await.status.is_ok());
}

#[tokio::test]
async fn a_call_that_is_not_answered_in_time_says_so() {
    let agent = Agent::start().await;
    agent.reply(PULLED, Reply { stalls: true, ..Reply::text(r#"{"registries":[]}"#) });
    let mut source = HttpAgent::new(agent.address()).expect("valid");
    let within = Duration::from_millis(300);
    let answers = source.poll(within).await;
    assert_eq!(answers.pulled_packages, Err(CallError::TimedOut { within }));
}

#[test]
fn files_of_no_use_are_told_at_the_start() {
    let fleet = Authority::new("fleet");
    let ours = fleet.issue("node", ClientAuth);
    let other = fleet.issue("other", ClientAuth);
    let address = |tls| AgentAddress { host: "localhost".into(), port: 1, tls: Some(tls) };
    let mut told = String::new();
    let mut note = |tls| {
        let error = HttpAgent::new(address(tls)).err().expect("of no use").to_string();
        let directory = fleet.ca().parent().expect("a directory").display().to_string();
        told.push_str(&format!("{}\n", error.replace(&directory, "DIR")));
    };
    let mut files = fleet.files(Some(ours.clone()));
    files.ca = fleet.ca().with_file_name("missing.pem");
    note(files);
    let mut files = fleet.files(Some(ours.clone()));
    files.ca = ours.key.clone();
    note(files);
    note(fleet.files(Some(Identity { cert: ours.key.clone(), ..ours.clone() })));
    note(fleet.files(Some(Identity { key: ours.cert.clone(), ..ours.clone() })));
    note(fleet.files(Some(Identity { key: other.key, ..ours })));
    insta::assert_snapshot!(told);
}

/// The binary over mutual TLS, as in a cluster: flags, documents, status and metrics in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_watches_an_agent_and_tells_how_it_is() {
    let fleet = Authority::new("fleet");
    let agent = Agent::start_at(0, Some(server_config(&fleet, "127.0.0.1", Some(&fleet)))).await;
    agent.set_packages(&json!([{ "name": "a", "version": "1" }]));
    let ours = fleet.issue("node", ClientAuth);
    let address = format!("127.0.0.1:{}", agent.port);
    let text = |path: std::path::PathBuf| path.to_str().expect("text").to_owned();
    let (ca, cert, key) = (text(fleet.ca()), text(ours.cert), text(ours.key));
    let tls = ["--agent-tls-ca", &ca, "--agent-tls-cert", &cert, "--agent-tls-key", &key];
    let arguments = [&["--agent-addr", &address, "--agent-poll-interval", "1"], &tls[..]].concat();
    let node = Process::start("ship-7", &arguments);
    let told =
        node.ask_until("status", |(_, told, _)| told.contains(" is ok, answered in full ").then(|| told.clone()));
    assert!(told.contains(&format!("agent        https://{address} is ok, answered in full")), "{told}");
    let watched = &node.ask_json("status")["agent"];
    assert_eq!((&watched["state"], &watched["documents"]), (&json!("ok"), &json!(1)));
    let (_, page) = node.page("/metrics").await;
    let page = Exposition::parse(&page);
    assert_eq!(page.value("peat_agent_state", &[("state", "ok")]), 1.0);
    assert!(page.value("peat_agent_documents_written_total", &[]) >= 2.0);
    assert!(!page.missing("peat_agent_last_good_age_seconds"));
}

#[test]
fn a_node_whose_documents_could_be_anothers_does_not_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut command = binary();
    command.args(["--listen", "tcp://127.0.0.1:0", "--node-id", "ship:7", "--agent-addr", "127.0.0.1:1", "--data-dir"]);
    let ended = command.arg(dir.path()).output().expect("ran");
    let told = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(
        told.contains(r#"the node id "ship:7" has a colon"#) && told.contains("choose a --node-id without"),
        "{told}"
    );
}
