//! What a node says of the lag of its peers: none when all is quiet, growing while they are away.

use std::time::Duration;

use super::super::lag::Lag;
use super::world::World;
use crate::limits;

const MINUTE: Duration = Duration::from_secs(60);

/// Lag of a node's one peer, whether it is there or away.
fn lag(world: &World, node: usize, peer: usize) -> Lag {
    let core = &world.nodes[node].core;
    let id = [peer as u8 + 1; 32];
    let present = core.sessions().find(|session| session.peer() == id).map(|session| session.peer_has());
    let has = present.or_else(|| core.lag().had(&id)).expect("it has been here");
    core.lag().of(has, core.documents().durable(), world.now)
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
        // What came from a peer is claimed lazily, and that is acknowledged lazily again.
        world.now += limits::ACK_DELAY * 4;
        world.settle();
        for (node, peer) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            assert_eq!(lag(&world, node, peer), Lag::default(), "{peer} as {node} sees it in round {round}");
        }
    }
}
