//! The engine: networks, and what only its own client can do.

#[expect(clippy::disallowed_types, reason = "what the client of the engine takes; each has one entry")]
use std::collections::HashMap;

use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, VolumeCreateRequest,
};
use testcontainers::bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptions,
};
use testcontainers::core::client::docker_client_instance;

use super::places::Net;
use crate::ground::GroundError;

/// Every container, network and volume of a run has it, with the run's name.
pub const LABEL: &str = "ddil.run";

/// What to do without an engine.
const REMEDY: &str = "start one (on Debian: apt-get install docker.io, then dockerd), name another in DOCKER_HOST, or run \
                      with --world process, which needs none";

/// A client of the engine, if one answers.
pub async fn reachable() -> Result<Docker, GroundError> {
    let absent =
        |why: &dyn std::fmt::Display| GroundError(format!("no Docker engine answers: {why}\n  = help: {REMEDY}"));
    let docker = docker_client_instance().await.map_err(|error| absent(&error))?;
    docker.ping().await.map_err(|error| absent(&error))?;
    Ok(docker)
}

/// Makes an internal network.
pub async fn create_network(docker: &Docker, run: &str, name: &str, net: Net) -> Result<(), GroundError> {
    let config = IpamConfig {
        subnet: Some(net.subnet()),
        ip_range: Some(net.dynamic()),
        gateway: Some(net.host().to_string()),
        ..Default::default()
    };
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".into()),
        // No way out: what a node sends goes to the emulator or nowhere.
        internal: Some(true),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        labels: Some(labels(run)),
        ..Default::default()
    };
    let made = docker.create_network(request).await;
    made.map(drop).map_err(|error| GroundError::of(format!("the network {name} cannot be made"), error))
}

#[expect(clippy::disallowed_types, reason = "the client's own type; nobody iterates over it")]
fn labels(run: &str) -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), run.to_owned())])
}

/// Makes a volume. One that a mount makes by itself has no label, and would be left behind.
pub async fn create_volume(docker: &Docker, run: &str, name: &str) -> Result<(), GroundError> {
    let request = VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels(run)), ..Default::default() };
    let made = docker.create_volume(request).await;
    made.map(drop).map_err(|error| GroundError::of(format!("the volume {name} cannot be made"), error))
}

/// Puts a container on a network, at the emulator's address there.
pub async fn connect(docker: &Docker, network: &str, container: &str, net: Net) -> Result<(), GroundError> {
    let ipam_config = EndpointIpamConfig { ipv4_address: Some(net.emulator().to_string()), ..Default::default() };
    let endpoint = EndpointSettings { ipam_config: Some(ipam_config), ..Default::default() };
    let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(endpoint) };
    let done = docker.connect_network(network, request).await;
    done.map_err(|error| GroundError::of(format!("the emulator cannot be put on the network {network}"), error))
}

/// Takes a container off a network.
pub async fn disconnect(docker: &Docker, network: &str, container: &str) -> Result<(), GroundError> {
    let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
    let done = docker.disconnect_network(network, request).await;
    done.map_err(|error| GroundError::of(format!("the emulator cannot be taken off the network {network}"), error))
}

/// Ends a container without a warning.
pub async fn kill(docker: &Docker, container: &str) -> Result<(), GroundError> {
    let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    let done = docker.kill_container(container, Some(options)).await;
    done.map_err(|error| GroundError::of(format!("the container {container} cannot be killed"), error))
}

/// Takes away everything that has the label of a run. What cannot be removed is returned, a line each.
#[expect(clippy::disallowed_types, reason = "the client's own type; nobody iterates over it")]
pub async fn sweep(run: &str) -> Result<Vec<String>, GroundError> {
    let docker = reachable().await?;
    let filters = HashMap::from([("label", vec![format!("{LABEL}={run}")])]);
    let failed = |error| GroundError::of("the engine does not say what is left", error);
    let mut left = Vec::new();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    for container in docker.list_containers(Some(options)).await.map_err(failed)? {
        let id = container.id.unwrap_or_default();
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        if let Err(error) = docker.remove_container(&id, Some(options)).await {
            left.push(format!("container {id}: {error}"));
        }
    }
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    for network in docker.list_networks(Some(options)).await.map_err(failed)? {
        let name = network.name.unwrap_or_default();
        if let Err(error) = docker.remove_network(&name).await {
            left.push(format!("network {name}: {error}"));
        }
    }
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    for volume in docker.list_volumes(Some(options)).await.map_err(failed)?.volumes.unwrap_or_default() {
        if let Err(error) = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await {
            left.push(format!("volume {}: {error}", volume.name));
        }
    }
    for image in super::image::of_run(run) {
        if docker.inspect_image(&image).await.is_err() {
            continue;
        }
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        if let Err(error) = docker.remove_image(&image, Some(options), None).await {
            left.push(format!("image {image}: {error}"));
        }
    }
    Ok(left)
}
