//! What a node says of the lag of its peers: none when all is quiet, growing while they are away.

use std::time::Duration;

use super::super::class::Class;
use super::super::key::DocKey;
use super::super::lag::Lag;
use super::world::{Stream, World};

const MINUTE: Duration = Duration::from_secs(60);

/// Lag of a node's one peer, whether it is there or away.
fn lag(world: &World, node: usize, peer: usize) -> Lag {
    let core = &world.nodes[node].core;
    let id = [peer as u8 + 1; 32];
    match core.sessions().find(|session| session.peer() == id) {
        Some(session) => core.lag().of_present(session.lacking(), world.now).expect("it has acknowledged something"),
        None => core.lag().of(core.lag().had(&id).expect("been here"), core.documents().durable(), world.now),
    }
}

fn put(world: &mut World, node: usize, id: &str, json: &str) {
    let now = world.now;
    world.nodes[node].put(id, json);
    world.nodes[node].begin_commit();
    world.nodes[node].finish_commit(now);
}

#[test]
fn a_peer_that_goes_away_falls_behind_from_what_it_acknowledged_and_catches_up() {
    let mut world = World::new(2, &[(0, 1)]);
    put(&mut world, 0, "before", r#"{"v":1}"#);
    world.settle();
    assert_eq!(lag(&world, 0, 1), Lag::default());

    world.now += MINUTE;
    world.disconnect(0);
    assert_eq!(lag(&world, 0, 1), Lag::default(), "nothing has happened since");
    put(&mut world, 0, "first", r#"{"v":1}"#);
    world.now += MINUTE;
    put(&mut world, 0, "second", r#"{"v":1}"#);
    world.now += MINUTE;
    assert_eq!(lag(&world, 0, 1), Lag { changes: 2, age: MINUTE * 2 });

    world.settle();
    assert_eq!(lag(&world, 0, 1), Lag::default());
}

#[test]
fn after_all_is_quiet_nobody_is_behind_whoever_wrote() {
    let mut world = World::new(3, &[(0, 1), (1, 2)]);
    for round in 0..20 {
        for node in 0..3 {
            put(&mut world, node, &format!("{}", round % 7), &format!(r#"{{"by{node}":{round}}}"#));
        }
        world.settle();
        for (node, peer) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            assert_eq!(lag(&world, node, peer), Lag::default(), "{peer} as {node} sees it in round {round}");
        }
    }
}

/// A class that was quiet for long must not be taken for a peer that lacks something for as long.
#[test]
fn a_change_after_a_long_silence_of_its_class_is_young() {
    let mut world = World::new(2, &[(0, 1)]);
    let put_in = |world: &mut World, collection: &str, id: usize| {
        let (key, now) = (DocKey::new(collection, id.to_string()).expect("valid"), world.now);
        world.nodes[0].put_in(&key, r#"{"v":1}"#);
        world.nodes[0].begin_commit();
        world.nodes[0].finish_commit(now);
    };
    put_in(&mut world, "commands", 0);
    world.settle();
    for id in 0..50 {
        world.now += MINUTE;
        put_in(&mut world, "tracks", id);
        world.settle();
    }
    put_in(&mut world, "commands", 1);
    world.now += Duration::from_millis(200);
    assert_eq!(lag(&world, 0, 1), Lag { changes: 1, age: Duration::from_millis(200) });
}

/// What a peer brought itself is claimed lazily and acknowledged lazily again; it lacks nothing meanwhile.
#[test]
fn a_peer_does_not_lack_what_it_brought() {
    let mut world = World::new(2, &[(0, 1)]);
    put(&mut world, 1, "mine", r#"{"v":1}"#);
    put(&mut world, 0, "yours", r#"{"v":1}"#);
    world.settle();
    put(&mut world, 1, "news", r#"{"v":1}"#);
    world.collect(0);
    while world.deliver(0, 0, Stream::Data(Class::State)) {}
    let now = world.now;
    world.nodes[0].begin_commit();
    world.nodes[0].finish_commit(now);
    world.now += MINUTE;
    assert_eq!(lag(&world, 0, 1), Lag::default());
    assert_eq!(lag(&world, 1, 0), Lag { changes: 1, age: MINUTE });
}
