//! A node over a store and the loopback interface, for unit tests.

use std::sync::Arc;

use super::{Node, Plants, World};
use crate::config::{Formation, NodeConfig};
use crate::mesh::{self, SystemResolver, Underlay};
use crate::store::Store;

/// Starts a node that talks to nobody.
pub(crate) async fn lone_node(store: Store) -> Node {
    let mut config =
        NodeConfig::new("test-node", Formation { app_id: "test".into(), shared_key: None, previous_key: None });
    config.auto_sync = false;
    let loopback = Underlay::Udp(([127, 0, 0, 1], 0).into());
    let endpoint = mesh::bind(store.identity().clone(), loopback, &config.timing).await.expect("endpoint");
    let world = World {
        store,
        endpoint,
        resolver: Arc::new(SystemResolver),
        wall_clock: Arc::new(|| 0),
        seed: [1; 32],
        observer: None,
        plants: Plants::default(),
        pause: None,
    };
    Node::start(config, world).await.expect("node")
}
