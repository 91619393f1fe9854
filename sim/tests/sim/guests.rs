//! Nodes as guests in a turmoil simulation of somebody else's: the example of `docs/turmoil.md`, and what it promises.

use std::time::Duration;

use peat_proto::client::{GetDocumentRequest, PutDocumentRequest};
use peat_scenarios::Scenario;
use peat_scenarios::model::{LinkSpec, Workload};
use peat_scenarios::profiles::Profile;
use peat_sim::turmoil::{Mesh, builder, connect, simulate};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ship_and_shore() -> Scenario {
    Scenario::builder("ship-and-shore")
        .duration(seconds(120))
        .cluster("ship", |cluster| cluster.group("ship", 1))
        .cluster("shore", |cluster| cluster.group("shore", 1))
        .link(LinkSpec::new("ship", "shore", Profile::SatcomGeo))
        .workload(Workload::heartbeat(["ship"], seconds(30)))
        .build()
        .unwrap()
}

async fn put(node: &str, id: &str) -> turmoil::Result {
    let (collection, json_data) = ("log".to_owned(), r#"{"course":270}"#.to_owned());
    let request = PutDocumentRequest { collection, doc_id: id.to_owned(), json_data, ..Default::default() };
    connect(node).await?.put_document(request).await?;
    Ok(())
}

async fn holds(node: &str, id: &str) -> turmoil::Result<bool> {
    let request = GetDocumentRequest { collection: "log".into(), doc_id: id.into(), ..Default::default() };
    Ok(connect(node).await?.get_document(request).await?.into_inner().json_data.is_some())
}

/// The ship writes behind a partition and then loses its power; when it is back and the link is whole, the shore
/// gets what was acknowledged. Says how the run ended, and the hash of it.
fn story(seed: u64) -> (Result<(), String>, String) {
    let scenario = ship_and_shore();
    simulate(seed, move || {
        let mut sim = builder(seed).build();
        let mesh = Mesh::new(&scenario, seed);
        assert_eq!(mesh.names().collect::<Vec<_>>(), ["ship-0", "shore-0"]);
        mesh.install(&mut sim);
        sim.client("bridge", async {
            tokio::time::sleep(seconds(5)).await;
            put("ship-0", "1").await?;
            tokio::time::sleep(seconds(2)).await;
            assert!(holds("shore-0", "1").await?, "300 ms away, two seconds later");
            turmoil::partition("ship-0", "shore-0");
            put("ship-0", "2").await?;
            tokio::time::sleep(seconds(30)).await;
            assert!(!holds("shore-0", "2").await?, "the partition is none");
            Ok(())
        });
        let ended = sim.run().map_err(|error| error.to_string()).and_then(|()| {
            sim.crash("ship-0");
            sim.bounce("ship-0");
            sim.repair("ship-0", "shore-0");
            sim.client("pier", async {
                tokio::time::sleep(seconds(20)).await;
                assert!(holds("ship-0", "2").await?, "what was acknowledged is gone");
                assert!(holds("shore-0", "2").await?, "what was acknowledged did not arrive");
                Ok(())
            });
            sim.run().map_err(|error| error.to_string())
        });
        (ended, mesh.trace_hash())
    })
    .unwrap()
}

#[test]
fn what_a_ship_writes_behind_a_partition_and_before_a_crash_reaches_the_shore() {
    let (ended, hash) = story(7);
    ended.unwrap();
    let (ended, again) = story(7);
    ended.unwrap();
    assert_eq!(hash, again);
    assert_ne!(hash, story(8).1, "another seed is another run");
}
