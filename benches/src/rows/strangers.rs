//! Row 9: a wrong shared key, or another app-id: refused with a reason, nothing read, nothing written.

use std::time::Duration;

use clap::Args;

use crate::node::{Ground, Node, shared_key};
use crate::report::Report;
use crate::workload::telemetry;
use crate::{Common, Failure};

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Seconds that strangers are given to get something across
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 8 }
    }
}

/// What a refusal says in the log of either side.
const REASON: &str = "app-id or shared key differ";

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let mut report = Report::new("9", "strangers: a wrong shared key, another app-id");
    let ground = Ground::new(common)?;
    // The friend is the control: what reaches it in this time would have reached a stranger.
    let friend = ("friend", ground.spec("friend")?);
    let mut key = ground.spec("wrong-key")?;
    key.shared_key = shared_key(2);
    let mut app = ground.spec("other-app")?;
    app.app_id = "bench-2".into();

    let mut a = Node::start(ground.spec("a")?).await?;
    let a_id = a.endpoint_id().await?;
    a.put("of-a", &telemetry(0)).await?;
    let mut others = Vec::new();
    for (n, (name, spec)) in [friend, ("wrong shared key", key), ("other app-id", app)].into_iter().enumerate() {
        let mut node = Node::start(spec).await?;
        node.put(&format!("of-{n}"), &telemetry(n as u64 + 1)).await?;
        // Both dial, so that each is once the one who knocks and once the one who answers.
        node.connect_to(&a_id, &a.spec.mesh_address()).await?;
        let id = node.endpoint_id().await?;
        a.connect_to(&id, &node.spec.mesh_address()).await?;
        others.push((name, id, node));
    }
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;

    let on_a = a.list().await?;
    let log_of_a = a.log();
    let connected = a.status().await?.connected_peers;
    report.value("documents on A: its own and the friend's", 1, on_a.len() as f64, "");
    report.value("sessions of A", 1, f64::from(connected), "");
    report.at_least("control: the friend's document on A", count(&on_a, "of-0"), 1.0, "");
    for (n, (name, id, node)) in others.iter_mut().enumerate() {
        let there = node.list().await?;
        if n == 0 {
            report.at_least("control: A's document on the friend", count(&there, "of-a"), 1.0, "");
            continue;
        }
        let foreign = there.iter().filter(|doc| **doc != format!("of-{n}")).count();
        report.at_most(format!("{name}: documents it read"), foreign as f64, 0.0, "");
        report.at_most(format!("{name}: documents it wrote to A"), count(&on_a, &format!("of-{n}")), 0.0, "");
        let sessions = node.status().await?.connected_peers;
        report.at_most(format!("{name}: sessions"), f64::from(sessions), 0.0, "");
        // Log lines name a peer by the start of its id.
        let (ours, theirs) = (refusal(&log_of_a, &id[..10]), refusal(&node.log(), &a_id[..10]));
        report.at_least(format!("{name}: refusal with its reason in A's log"), found(&ours), 1.0, "");
        report.at_least(format!("{name}: and in its own"), found(&theirs), 1.0, "");
        for (whose, line) in [("A", ours), (*name, theirs)] {
            if let Some(line) = line {
                report.note(format!("{whose}: {line}"));
            }
        }
    }
    report.note(format!("each dialled A and was dialled by A for {} s", options.seconds));
    Ok(report)
}

fn count(ids: &[String], id: &str) -> f64 {
    ids.iter().filter(|there| *there == id).count() as f64
}

fn refusal(log: &str, peer: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains(REASON) && line.contains(peer))?;
    Some(line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
}

fn found(line: &Option<String>) -> f64 {
    f64::from(u8::from(line.is_some()))
}
