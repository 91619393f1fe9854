//! Row 7: a black hole between two nodes that both go on writing; equal soon after it is gone, untouched by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clap::Args;

use crate::namespaces::{Router, again_inside};
use crate::node::{Ground, Node};
use crate::replica::{Replica, lacks};
use crate::report::Report;
use crate::stats::{Samples, millis};
use crate::workload::telemetry;
use crate::{Common, Failure};

const BAR: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
/// Documents that both sides edit, each a field of its own.
const SHARED: u64 = 20;
/// Every fifth write edits one of them, the others are new documents.
const EDIT_EVERY: u64 = 5;
/// What was on its way when the link was cut is not counted as passing through the hole.
const SETTLE: Duration = Duration::from_millis(200);
/// Each further hole is longer by this, so that it ends at another moment between two attempts to redial.
const SHIFT: Duration = Duration::from_millis(370);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Length of the hole
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Writes on each side during it
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    writes: u64,
    /// Holes, one after another; each further one is 0.37 s longer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 60, writes: 500, rounds: 1 }
    }
}

/// Runs itself again inside namespaces and takes over what that printed.
pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { seconds, writes, rounds } = options;
    let words = ["blackhole-inside".to_owned(), format!("--seconds={seconds}"), format!("--writes={writes}")];
    again_inside(common, words.into_iter().chain([format!("--rounds={rounds}")])).await
}

/// The measurement; this process is the router.
pub(crate) async fn run_inside(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { seconds, writes, rounds } = *options;
    let mut report = Report::new("7", format!("{seconds} s black hole, {writes} writes on each side during it"));
    let ground = Ground::new(common)?;
    let router = Router::build()?;
    let mut nodes = Vec::new();
    for (name, address) in Router::SIDES {
        let mut spec = ground.spec(name)?.over_socket();
        spec.namespace = Some((name.into(), address.into()));
        nodes.push(Node::start(spec).await?);
    }
    let (Some(mut b), Some(mut a)) = (nodes.pop(), nodes.pop()) else { unreachable!("two sides") };
    // Only B is told of A: the side that has to find back is alone with it.
    b.connect_to(&a.endpoint_id().await?, &a.spec.mesh_address()).await?;
    b.wait_connected().await?;
    a.wait_connected().await?;
    let (on_a, on_b) = (Replica::of(&mut a).await?, Replica::of(&mut b).await?);

    let mut truth = Truth::default();
    for n in 0..SHARED {
        a.put(&shared_id(n), &truth.text_of_shared(n)).await?;
    }
    on_b.wait_equal(&truth.all(), PATIENCE).await.ok_or("the two nodes did not agree before the hole")?;

    let (mut equal, mut first) = (Samples::default(), Samples::default());
    let (mut never, mut forwarded, mut dropped, mut leaked, mut frames, mut differed) = (0, 0, 0, 0, 0, 0);
    for round in 0..rounds {
        let hole = Duration::from_secs(seconds) + SHIFT * round as u32;
        router.cut()?;
        let cut_at = tokio::time::Instant::now();
        tokio::time::sleep(SETTLE).await;
        let packets_before = router.packets()?;
        let received_before = [a.sync_stats().await?.bytes_received, b.sync_stats().await?.bytes_received];
        let (known_to_a, known_to_b) = (ids(&on_a), ids(&on_b));

        let pause = hole.saturating_sub(SETTLE * 3).div_f64(writes.max(1) as f64);
        for n in 0..writes {
            tokio::time::sleep_until(cut_at + SETTLE + pause * n as u32).await;
            truth.write(&mut a, Side::A, round, n, writes).await?;
            truth.write(&mut b, Side::B, round, n, writes).await?;
        }
        tokio::time::sleep_until(cut_at + hole).await;
        let expected = truth.all();
        // The hole must have been one: nothing forwarded, no frame taken, no document of the other side told.
        leaked += foreign(&on_a, &known_to_a, "-b-") + foreign(&on_b, &known_to_b, "-a-");
        differed += on_a.read(|told| lacks(told, &expected)) + on_b.read(|told| lacks(told, &expected));
        let received = [a.sync_stats().await?.bytes_received, b.sync_stats().await?.bytes_received];
        frames += (received[0] - received_before[0]) + (received[1] - received_before[1]);
        let packets = router.packets()?;
        forwarded += packets.forwarded - packets_before.forwarded;
        dropped += packets.dropped - packets_before.dropped;

        let sessions = [a.status().await?.connected_peers, b.status().await?.connected_peers];
        let healed = Instant::now();
        router.heal()?;
        let news = async {
            let fresh_on_a = on_a.wait_until(PATIENCE, |told| told.keys().any(|id| is_news(id, &known_to_a, "-b-")));
            let fresh_on_b = on_b.wait_until(PATIENCE, |told| told.keys().any(|id| is_news(id, &known_to_b, "-a-")));
            tokio::join!(fresh_on_a, fresh_on_b)
        };
        if let (Some(at_a), Some(at_b)) = news.await {
            first.push(at_a.min(at_b).duration_since(healed));
        }
        let both = tokio::join!(on_a.wait_equal(&expected, PATIENCE), on_b.wait_equal(&expected, PATIENCE));
        match both {
            (Some(at_a), Some(at_b)) => equal.push(at_a.max(at_b).duration_since(healed)),
            _ => never += 1,
        }
        report.value(
            format!("sessions before heal {}: A, B together", round + 1),
            1,
            f64::from(sessions[0] + sessions[1]),
            "",
        );
    }
    // Once more from the stores, not from what the subscribers were told.
    let expected = truth.all();
    let mut differ = 0;
    for node in [&mut a, &mut b] {
        let there = node.list().await?;
        differ += there.len().abs_diff(expected.len());
        for (id, json) in &expected {
            differ += usize::from(node.get(id).await?.as_ref() != Some(json));
        }
    }

    report.times("heal until both sides are equal", &equal);
    report.times("heal until the first change crosses", &first);
    report.value("documents compared on each side", 2, expected.len() as f64, "");
    report.value("documents that a side lacked when the hole ended", 2, differed as f64, "");
    report.value("datagrams dropped in the hole", rounds as usize, dropped as f64, "");
    report.at_most("hole: datagrams that passed it", forwarded as f64, 0.0, "");
    report.at_most("hole: frame bytes taken by either node", frames as f64, 0.0, "B");
    report.at_most("hole: changes that either node was told of", leaked as f64, 0.0, "");
    report.at_least("hole: datagrams that it swallowed", dropped as f64, 1.0, "");
    report.at_most("holes after which the sides never agreed", never as f64, 0.0, "");
    report.at_most("documents that differ or lack in a store", differ as f64, 0.0, "");
    report.at_most("heal until both sides are equal, worst", millis(equal.percentile(100)), millis(BAR), "ms");
    report.note("network namespaces a and b behind a router whose forwarding is off: dropped without a word");
    report.note("only B was told of A; four of five writes are new documents, the fifth edits a document that the other side edits too");
    Ok(report)
}

#[derive(Debug, Clone, Copy)]
enum Side {
    A,
    B,
}

/// What both sides must hold in the end.
#[derive(Default)]
struct Truth {
    new: BTreeMap<String, String>,
    shared: [(u64, u64); SHARED as usize],
}

impl Truth {
    /// Writes number `n` of a side and remembers it.
    async fn write(&mut self, node: &mut Node, side: Side, round: u64, n: u64, writes: u64) -> Result<(), Failure> {
        let stamp = round * writes + n + 1;
        if n % EDIT_EVERY == EDIT_EVERY - 1 {
            let which = n / EDIT_EVERY % SHARED;
            let (seen_a, seen_b) = self.shared[which as usize];
            // A side sees its own edits; those of the other are as of before the hole.
            let (base_a, base_b) = parse_shared(&node.get(&shared_id(which)).await?.unwrap_or_default())?;
            let (text, merged) = match side {
                Side::A => (shared_text(stamp, base_b), (stamp, seen_b)),
                Side::B => (shared_text(base_a, stamp), (seen_a, stamp)),
            };
            node.put(&shared_id(which), &text).await?;
            self.shared[which as usize] = merged;
            return Ok(());
        }
        let (letter, salt) = match side {
            Side::A => ("a", 0),
            Side::B => ("b", 1 << 40),
        };
        let (id, json) = (format!("new-{letter}-{round}-{n:06}"), telemetry(stamp + salt));
        node.put(&id, &json).await?;
        self.new.insert(id, json);
        Ok(())
    }

    fn text_of_shared(&self, n: u64) -> String {
        let (a, b) = self.shared[n as usize];
        shared_text(a, b)
    }

    fn all(&self) -> BTreeMap<String, String> {
        let mut all = self.new.clone();
        all.extend((0..SHARED).map(|n| (shared_id(n), self.text_of_shared(n))));
        all
    }
}

fn shared_id(n: u64) -> String {
    format!("shared-{n:02}")
}

fn shared_text(a: u64, b: u64) -> String {
    format!(r#"{{"by_a":{a},"by_b":{b}}}"#)
}

fn parse_shared(text: &str) -> Result<(u64, u64), Failure> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let field = |name: &str| value[name].as_u64().ok_or_else(|| format!("a shared document became {text}"));
    Ok((field("by_a")?, field("by_b")?))
}

fn ids(replica: &Replica) -> BTreeSet<String> {
    replica.read(|told| told.keys().cloned().collect())
}

fn is_news(id: &str, known: &BTreeSet<String>, of: &str) -> bool {
    id.contains(of) && !known.contains(id)
}

/// Documents of the other side that were told since.
fn foreign(replica: &Replica, known: &BTreeSet<String>, of: &str) -> usize {
    replica.read(|told| told.keys().filter(|id| is_news(id, known, of)).count())
}
