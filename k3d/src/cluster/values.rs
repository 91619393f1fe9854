//! What the chart is given, and the objects that no chart makes. JSON, which is YAML.

use peat_scenarios::plan::NodeSpec;
use serde_json::{Map, Value, json};

use super::{ClusterPlace, NodePlace, Places};
use crate::tool::place;

/// Values of one node's release.
pub fn values(places: &Places, cluster: &ClusterPlace, place: &NodePlace, node: &NodeSpec) -> Value {
    let (repository, tag) = split(&places.image);
    let mut values = json!({
        "fullnameOverride": place.name,
        "replicas": 1,
        "image": {
            "repository": repository,
            "tag": tag,
            // Imported into clusters of our own; elsewhere a registry has it.
            "pullPolicy": if cluster.machine().is_some() { "Never" } else { "IfNotPresent" },
        },
        "formation": {
            "appId": places.formations[&place.formation].app_id,
            "sharedKey": { "existingSecret": place.formation },
        },
        // Whom a node finds is for the scenario to say.
        "discovery": { "modes": [] },
        "meshService": {
            "enabled": true,
            "type": "NodePort",
            "nodePortBase": place.node_port,
            "externalTrafficPolicy": "Local",
        },
        // Out of the cluster there is one way, and that is the edge. The other nodes here are releases of their own.
        "networkPolicy": { "mesh": { "peers": [
            { "ipBlock": { "cidr": format!("{}/32", cluster.edge) } },
            { "podSelector": { "matchLabels": { "app.kubernetes.io/name": "peat-node" } } },
        ] } },
        // Gone with the release: a run leaves nothing behind. A node that is scaled away keeps its disk.
        "persistence": { "size": "1Gi", "retention": { "whenDeleted": "Delete", "whenScaled": "Retain" } },
    });
    let mut traffic = Map::new();
    if !node.interest.is_empty() {
        let interest: Vec<String> = node.interest.iter().map(ToString::to_string).collect();
        traffic.insert("interest".into(), json!(interest));
    }
    if !node.classes.is_empty() {
        let classes = node.classes.iter().map(|(collection, class)| (collection.clone(), json!(class.name())));
        traffic.insert("classes".into(), Value::Object(classes.collect()));
    }
    if !node.history.is_empty() {
        let history = node.history.iter().map(|(collection, kept)| (collection.clone(), json!(kept.to_string())));
        traffic.insert("history".into(), Value::Object(history.collect()));
    }
    if !traffic.is_empty() {
        values["traffic"] = Value::Object(traffic);
    }
    values
}

/// The namespace, and the keys of the formations that have nodes here.
pub fn ground(places: &Places, at: usize) -> Value {
    let cluster = &places.clusters[at];
    let label = json!({ "app.kubernetes.io/part-of": places.run });
    let mut items = vec![json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": cluster.namespace, "labels": label },
    })];
    for (secret, formation) in &places.formations {
        if places.nodes.iter().any(|node| node.cluster == at && node.formation == *secret) {
            items.push(json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": secret, "namespace": cluster.namespace, "labels": label },
                "stringData": { "shared-key": place(&formation.key) },
            }));
        }
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// The edge of a cluster that is not ours: a pod with the network of the cluster's first machine, where the other edges reach it.
pub fn edge_pod(places: &Places, cluster: &ClusterPlace) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": cluster.edge_name,
            "namespace": cluster.namespace,
            "labels": { "app.kubernetes.io/part-of": places.run },
        },
        "spec": {
            "hostNetwork": true,
            "nodeName": place(&crate::tool::variable("MACHINE", &cluster.name)),
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "edge",
                "image": places.edge_image,
                "args": ["emulator"],
                // The channel to it; when that ends, so does it.
                "stdin": true,
                "stdinOnce": true,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                },
            }],
        },
    })
}

/// Name and tag of an image; a port of a registry is not a tag.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_registry_is_not_a_tag() {
        assert_eq!(split("registry.example:5000/peat-node:0.1.0"), ("registry.example:5000/peat-node", "0.1.0"));
        assert_eq!(split("registry.example:5000/peat-node"), ("registry.example:5000/peat-node", "latest"));
    }
}
