//! What physics decides reaches the inbox: every copy, every flipped bit, and nothing out of contact.

use std::time::Duration;

use peat_scenarios::model::{Contact, LinkSchedule, LinkShape, LinkSpec, Workload};
use peat_scenarios::profiles::Profile;
use peat_scenarios::{RunRecord, Scenario, plan};

use super::*;
use crate::clock::SimClock;
use crate::fabric::Fabric;
use crate::hooks;
use crate::trace::Trace;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What the second host's inbox holds after `datagrams` equal ones were sent to it over a link of this shape.
fn received(shape: LinkShape, datagrams: usize) -> (Vec<Bytes>, LinkCounters) {
    // A thread of its own: its clock is the simulation's.
    std::thread::spawn(move || send(shape, datagrams)).join().unwrap()
}

fn send(shape: LinkShape, datagrams: usize) -> (Vec<Bytes>, LinkCounters) {
    let _entered = hooks::enter(1);
    let scenario = Scenario::builder("one-way")
        .cluster("c", |cluster| cluster.group("a", 1).group("b", 1))
        .link(LinkSpec::shaped("a", "b", shape))
        .workload(Workload::heartbeat(["a"], seconds(30)))
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let plan = plan::expand(&scenario, 1);
        let record = RunRecord::new(&scenario, &plan, "", "sim", "fabric");
        let journal = Journal::new(record, Trace::new(false), SimClock::Tokio);
        let net = Net::new(&plan.topology, 1, journal.clone());
        let fabric = Fabric::new(net.clone());
        let [a, b] = [0, 1].map(|host| LifeKey { host: NodeIndex(host), life: 0 });
        let _interface = fabric.transport(b.host, b.life);
        net.activate(a.host, a.life);
        net.activate(b.host, b.life);
        journal.start_clock();
        let delivering = tokio::spawn(fabric.clone().run());
        for _ in 0..datagrams {
            net.offer(a, b.host, &[0; 100]).into_iter().flatten().for_each(|flight| fabric.carry(flight));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(seconds(10)).await;
        delivering.abort();
        let counters = net.counters(&[(a.host, b.host)]);
        let mut state = net.lock();
        let inbox = state.inboxes.get_mut(&b).unwrap();
        (inbox.waiting.drain(..).map(|(_, payload)| payload).collect(), counters)
    })
}

#[test]
fn every_copy_is_delivered_and_the_corrupted_ones_with_flipped_bits() {
    let shape = LinkShape { duplicate: Some(0.3), corrupt: Some(0.2), ..LinkShape::profile(Profile::Wan) };
    let (payloads, counters) = received(shape, 200);
    let flipped = payloads.iter().filter(|payload| payload.iter().any(|byte| *byte != 0)).count();
    assert_eq!((payloads.len() as u64, flipped as u64), (counters.arrived, counters.corrupted));
    assert!(counters.duplicated > 30 && counters.corrupted > 20, "{counters:?}");
    assert_eq!(counters.offered + counters.duplicated, counters.dropped() + counters.arrived);
}

#[test]
fn a_link_without_contact_delivers_what_was_sent_within_one() {
    let schedule =
        LinkSchedule::Contacts { contacts: vec![Contact::new(Duration::ZERO, Duration::from_millis(50))], every: None };
    let shape = LinkShape {
        latency: Some(seconds(2)),
        jitter: Some(Duration::ZERO),
        loss: Some(0.0),
        schedule: Some(schedule),
        ..LinkShape::profile(Profile::Wan)
    };
    let (payloads, counters) = received(shape, 100);
    assert_eq!((payloads.len(), counters.no_contact, counters.cut()), (50, 50, 0));
}
