//! What is found becomes what is dialled.

use std::sync::Arc;

use iroh::SecretKey;

use super::*;
use crate::config::{Formation, NodeConfig, PeerAddress, Topology};
use crate::mesh::{SystemResolver, Underlay, bind};
use crate::store::Intent;

fn config(topology: Topology) -> NodeConfig {
    let mut config =
        NodeConfig::new("test-node", Formation { app_id: "test".into(), shared_key: None, previous_key: None });
    config.topology = topology;
    config
}

async fn mesh(topology: Topology) -> Mesh {
    mesh_of(&config(topology)).await
}

async fn mesh_of(config: &NodeConfig) -> Mesh {
    let loopback = Underlay::Udp(([127, 0, 0, 1], 0).into());
    let endpoint = bind(SecretKey::from_bytes(&[1; 32]), loopback, &config.timing).await.expect("endpoint");
    let mesh = Mesh::new(config, endpoint, Arc::new(SystemResolver), 1);
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

/// What a member tells would otherwise have every node of the formation call wherever the member likes.
#[tokio::test]
async fn only_relays_that_the_operator_named_are_contacted() {
    let (ours, theirs) = ("https://relay.fleet.example/", "https://elsewhere.example/");
    let mut config = config(Topology::Auto);
    config.relays.urls.push(ours.parse().expect("a URL"));
    let mesh = mesh_of(&config).await;
    let told = |relay: &str| vec!["10.0.0.2:7777".to_owned(), relay.to_owned()];
    mesh.set_found(Source::Gossip, BTreeMap::from([(peer(2), told(ours)), (peer(3), told(theirs))]), Now::ZERO);
    assert_eq!(mesh.addresses(&peer(2)), told(ours));
    assert_eq!(mesh.addresses(&peer(3)), ["10.0.0.2:7777"]);
    let wanted = Intent::Wanted { addresses: vec![theirs.to_owned()] };
    mesh.load_intents(vec![(peer(3), wanted)], vec![], Now::ZERO).expect("fine");
    assert_eq!(mesh.addresses(&peer(3)), [theirs, "10.0.0.2:7777"], "this one the operator did name");
}

/// A restart without `--relay` keeps the wish and says what is wrong with it.
#[tokio::test]
async fn a_node_without_relays_says_so_when_it_is_to_use_one() {
    let mesh = mesh(Topology::Auto).await;
    let told = mesh.resolve("https://relay.fleet.example/").await.expect_err("no means");
    assert_eq!(told, "https://relay.fleet.example/ is a relay, and this node was started without --relay");
    let id = iroh::EndpointId::from_bytes(&peer(2)).expect("an id");
    let named = PeerAddress { id, addresses: vec!["https://relay.fleet.example/".into()] };
    let refused = mesh.load_intents(vec![], vec![named], Now::ZERO).expect_err("no means").to_string();
    assert!(
        refused.ends_with("start it with --relay https://relay.fleet.example/, or give addresses alone"),
        "{refused}"
    );
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
