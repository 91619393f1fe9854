//! What is found becomes what is dialled.

use std::sync::Arc;

use iroh::SecretKey;

use super::*;
use crate::config::{Formation, NodeConfig, Topology};
use crate::mesh::{SystemResolver, Underlay, bind};
use crate::store::Intent;

async fn mesh(topology: Topology) -> Mesh {
    let mut config =
        NodeConfig::new("test-node", Formation { app_id: "test".into(), shared_key: None, previous_key: None });
    config.topology = topology;
    let loopback = Underlay::Udp(([127, 0, 0, 1], 0).into());
    let endpoint = bind(SecretKey::from_bytes(&[1; 32]), loopback, &config.timing).await.expect("endpoint");
    let mesh = Mesh::new(&config, endpoint, Arc::new(SystemResolver), 1);
    mesh.set_active(true, Now::ZERO);
    mesh
}

fn peer(n: u8) -> PeerId {
    *SecretKey::from_bytes(&[n; 32]).public().as_bytes()
}

fn found(peers: impl IntoIterator<Item = u8>) -> BTreeMap<PeerId, Vec<String>> {
    peers.into_iter().map(|n| (peer(n), vec![format!("10.0.0.{n}:7777")])).collect()
}

/// Whom the mesh would dial within some seconds from a moment on.
fn dialled(mesh: &Mesh, from: u64) -> BTreeSet<PeerId> {
    use rand::SeedableRng;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let due = |at| mesh.reconnect(|machine| machine.due(Duration::from_secs(at), &mut rng));
    (from..from + 4).flat_map(due).map(|(id, _)| id).collect()
}

#[tokio::test]
async fn all_of_a_small_formation_are_dialled_but_not_ourselves_nor_whom_the_operator_withdrew() {
    let mesh = mesh(Topology::Auto).await;
    mesh.load_intents(vec![(peer(4), Intent::Unwanted)], vec![], Now::ZERO).expect("fine");
    mesh.set_found(Source::Mdns, found([1, 2, 3, 4]), Now::ZERO);
    assert_eq!(dialled(&mesh, 0), BTreeSet::from([peer(2), peer(3)]));
    assert_eq!(mesh.addresses(&peer(2)), ["10.0.0.2:7777"]);
}

#[tokio::test]
async fn who_is_found_no_more_is_dialled_no_more_unless_another_way_of_discovery_knows_it() {
    let mesh = mesh(Topology::Auto).await;
    mesh.set_found(Source::Mdns, found([2, 3]), Now::ZERO);
    mesh.set_found(Source::Dns, found([3, 5]), Now::ZERO);
    mesh.set_found(Source::Mdns, found([]), Duration::from_secs(1));
    assert_eq!(dialled(&mesh, 10), BTreeSet::from([peer(3), peer(5)]));
}

#[tokio::test]
async fn of_a_large_formation_a_few_are_dialled_and_others_in_place_of_those_that_do_not_answer() {
    let mesh = mesh(Topology::Auto).await;
    mesh.set_found(Source::Gossip, found(2..60), Now::ZERO);
    let first = dialled(&mesh, 0);
    assert_eq!(first.len(), limits::RING_NEIGHBOURS + limits::SHORTCUT_NEIGHBOURS);
    first.iter().for_each(|peer| mesh.pass_over(peer));
    mesh.choose(Duration::from_secs(10));
    let second = dialled(&mesh, 10);
    let still = second.intersection(&first).count();
    assert_eq!(second.len() - still, limits::RING_NEIGHBOURS + limits::SHORTCUT_NEIGHBOURS, "others are tried");
    assert_eq!(still, limits::DEAD_DIALLED, "and some of the dead");
}

#[tokio::test]
async fn a_spoke_dials_two_hubs_and_nobody_else() {
    let mesh = mesh(Topology::Spoke).await;
    mesh.set_roles((2..8).map(|n| (peer(n), if n < 5 { Role::Hub } else { Role::Spoke })).collect());
    mesh.set_found(Source::Gossip, found(2..12), Now::ZERO);
    let dialled = dialled(&mesh, 0);
    assert_eq!(dialled.len(), 2);
    assert!(dialled.is_subset(&(2..5).map(peer).collect()));
}
