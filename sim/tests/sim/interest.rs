//! What a node does not ask for, it does not pay for.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::Scenario;
use peat_scenarios::check::Verdict;
use peat_scenarios::model::{LinkSpec, Workload};
use peat_scenarios::profiles::Profile;

use crate::judged::expect;

/// What the edge asks for.
const WANTED: [&str; 3] = ["commands", "plans", "weather"];

/// A hub, 98 platforms that only listen for commands, and an edge behind a satellite. With `noise`, everyone also
/// reports what the edge does not want.
fn fleet_of_a_hundred(noise: bool) -> Scenario {
    let seconds = Duration::from_secs;
    let built = Scenario::builder(if noise { "edge-of-a-fleet" } else { "edge-alone" })
        .duration(seconds(100))
        .settle(seconds(30))
        .seed(100)
        .cluster("fleet", |cluster| cluster.group("platform", 98).interested_in(["commands"]).group("hub", 1))
        .cluster("edge", |cluster| cluster.group("edge", 1).interested_in(WANTED))
        .link(LinkSpec::new("platform", "platform", Profile::Lan).peering(peat_scenarios::model::Peering::None))
        .link(LinkSpec::new("platform", "hub", Profile::Wan))
        .link(LinkSpec::new("hub", "edge", Profile::SatcomGeo))
        .workload(Workload::command(["hub"], "edge", seconds(10)))
        .workload(Workload::edit(["hub"], seconds(2), 5))
        .workload(Workload::put(["hub"], seconds(1)).collection("weather"));
    let built = match noise {
        true => built
            .workload(Workload::heartbeat(["platform"], seconds(30)))
            .workload(Workload::put(["platform"], seconds(40))),
        false => built,
    };
    built.build().unwrap_or_else(|error| panic!("{error}"))
}

/// The fleet writes several times what the edge wants. The link to the edge must not notice: what arrives there is
/// within a tenth of what arrives in a fleet that writes nothing else, keep-alives and all.
#[test]
fn an_edge_pays_for_the_three_collections_it_asked_for_and_for_nothing_else() {
    let received = |noise| {
        let scenario = fleet_of_a_hundred(noise);
        let record = expect(&scenario, Plants::default(), Verdict::Pass);
        let edge = record.topology.find("edge-0").unwrap();
        let written = record.operations.iter().filter(|operation| operation.acknowledged()).count();
        (record.traffic.received_by_node[edge.index()].bytes, written)
    };
    let ((all, written), (alone, wanted)) = (received(true), received(false));
    assert!(written > 3 * wanted, "{written} of all, {wanted} of what the edge wants");
    let ratio = all as f64 / alone as f64;
    println!("{written} writes, {wanted} of them wanted: {all} B at the edge, {alone} B without the rest, {ratio:.3}");
    assert!((0.9..=1.1).contains(&ratio), "{all} bytes arrived at the edge, {alone} without the rest: {ratio:.3}");
}
