//! Classes and interest: what overtakes what, and what is not carried at all.

use super::super::class::Class;
use super::super::engine::Traffic;
use super::super::interest::Interest;
use super::super::key::DocKey;
use super::world::{Stream, World};

fn doc(collection: &str, id: usize) -> DocKey {
    DocKey::new(collection, format!("{id:04}")).expect("valid")
}

fn commit(world: &mut World, node: usize) {
    let now = world.now;
    world.nodes[node].begin_commit();
    world.nodes[node].finish_commit(now);
}

fn text(world: &mut World, node: usize, key: &DocKey) -> Option<String> {
    world.nodes[node].core.render(key).expect("healthy store").0
}

fn asking_for(selectors: &[&str]) -> Traffic {
    let selectors = selectors.iter().map(|s| s.parse().expect("a selector"));
    Traffic { interest: Interest::only(selectors).expect("an interest"), ..Traffic::default() }
}

/// A link that takes one frame at a time, with 300 telemetry documents waiting for it.
fn backlogged() -> World {
    let mut world = World::new(2, &[(0, 1)]);
    world.settle();
    world.window = 1;
    for i in 0..300 {
        world.nodes[0].put_in(&doc("tracks", i), r#"{"x":1}"#);
    }
    commit(&mut world, 0);
    world.collect(0);
    for _ in 0..10 {
        assert!(world.deliver(0, 1, Stream::Data(Class::Telemetry)), "telemetry flows");
    }
    world
}

#[test]
fn a_command_overtakes_a_telemetry_backlog() {
    let mut world = backlogged();
    let order = doc("commands", 1);
    world.nodes[0].put_in(&order, r#"{"go":true}"#);
    commit(&mut world, 0);
    world.collect(0);
    assert!(world.deliver(0, 1, Stream::Data(Class::Telemetry)), "one frame was on the wire already");
    assert!(world.deliver(0, 1, Stream::Data(Class::Command)), "the next is the command");
    assert_eq!(text(&mut world, 1, &order).as_deref(), Some(r#"{"go":true}"#));
}

#[test]
fn an_interrupted_backlog_does_not_make_other_classes_be_sent_again() {
    let mut world = backlogged();
    for i in 0..5 {
        world.nodes[0].put_in(&doc("plans", i), r#"{"x":1}"#);
    }
    commit(&mut world, 0);
    world.collect(0);
    for _ in 0..12 {
        let moved = [Class::State, Class::Telemetry].map(|class| world.deliver(0, 1, Stream::Data(class)));
        assert!(moved.contains(&true));
    }
    commit(&mut world, 1);
    assert!(text(&mut world, 1, &doc("plans", 4)).is_some(), "state came through");
    world.disconnect(0);
    world.window = usize::MAX;
    world.connect(0);
    while world.deliver(0, 0, Stream::Control) || world.deliver(0, 1, Stream::Control) {}
    assert!(world.deliver(0, 1, Stream::Data(Class::Telemetry)), "telemetry goes on");
    assert!(!world.deliver(0, 1, Stream::Data(Class::State)), "state is not sent again");
}

#[test]
fn a_backlog_in_flight_is_bounded_by_the_send_window() {
    let mut world = World::new(2, &[(0, 1)]);
    world.settle();
    for i in 0..5000 {
        world.nodes[0].put_in(&doc("tracks", i), r#"{"x":1}"#);
    }
    commit(&mut world, 0);
    world.collect(0);
    let bytes = world.data_in_flight() as u64;
    assert!(
        (crate::limits::FIRST_SEND_WINDOW..=crate::limits::FIRST_SEND_WINDOW + 300).contains(&bytes),
        "{bytes} bytes on a wire without end"
    );
    world.settle();
    assert!(text(&mut world, 1, &doc("tracks", 4999)).is_some());
}

#[test]
fn what_is_not_asked_for_is_not_carried_and_asking_for_it_brings_it() {
    // Hub, relay and edge in a line.
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    world.nodes[2].traffic = asking_for(&["plans", "commands/0007"]);
    world.crash(2);
    for i in 0..20 {
        world.nodes[0].put_in(&doc("plans", i), r#"{"x":1}"#);
        world.nodes[0].put_in(&doc("tracks", i), r#"{"x":1}"#);
        world.nodes[0].put_in(&doc("commands", i), r#"{"x":1}"#);
    }
    let own = doc("tracks", 99);
    world.nodes[2].put_in(&own, r#"{"mine":1}"#);
    world.settle();
    assert_eq!(world.nodes[2].core.documents().index().len(), 20 + 1 + 1);
    assert!(text(&mut world, 2, &doc("commands", 7)).is_some() && text(&mut world, 2, &doc("commands", 8)).is_none());
    assert!(text(&mut world, 0, &own).is_some(), "what a node writes is offered, whatever it asks for");

    // Live changes keep to it, and a resume does.
    for round in 0..2 {
        world.nodes[0].put_in(&doc("tracks", 100 + round), r#"{"x":1}"#);
        world.nodes[0].put_in(&doc("plans", 100 + round), r#"{"x":1}"#);
        world.settle();
        assert_eq!(world.nodes[2].core.documents().index().len(), 22 + 1 + round);
        world.disconnect(1);
    }

    world.nodes[2].traffic = Traffic::default();
    world.crash(2);
    world.settle();
    for node in 0..3 {
        assert_eq!(world.nodes[node].core.documents().index().len(), 65, "node {node}");
    }
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

#[test]
fn an_edge_that_reconnects_resumes_although_others_changed_what_it_does_not_ask_for() {
    let mut world = World::new(2, &[(0, 1)]);
    world.nodes[1].traffic = asking_for(&["plans"]);
    world.crash(1);
    world.nodes[0].put_in(&doc("plans", 1), r#"{"x":1}"#);
    world.settle();
    world.disconnect(0);
    for i in 0..100 {
        world.nodes[0].put_in(&doc("tracks", i), r#"{"x":1}"#);
    }
    world.nodes[0].put_in(&doc("plans", 1), r#"{"x":2}"#);
    commit(&mut world, 0);
    world.connect(0);
    while world.deliver(0, 0, Stream::Control) || world.deliver(0, 1, Stream::Control) {}
    let bytes = world.data_in_flight();
    assert!(bytes > 0 && bytes < 200, "{bytes} bytes for one change");
    world.settle();
    assert_eq!(text(&mut world, 1, &doc("plans", 1)).as_deref(), Some(r#"{"x":2}"#));
}
