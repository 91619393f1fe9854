//! What load balancers and tools expect beside the service itself: `grpc.health.v1.Health` and server reflection.
//!
//! Only on a listener, not on connections that a simulator makes: they would cost a thousand nodes a thousand
//! descriptor pools, and nobody there asks.

use std::sync::Arc;

use connectrpc::{ConnectError, Router};
use connectrpc_health::{Checker, HealthExt, HealthService, Status, StatusStream};
use connectrpc_reflection::Reflector;
use futures::stream;
use tokio_util::sync::CancellationToken;

use crate::node::NodeHandle;

/// Health and reflection of a node, with limits of their own: no request of theirs is longer than a name.
pub(super) fn router(node: NodeHandle, shutdown: CancellationToken) -> Router {
    let health = Arc::new(HealthService::new(NodeHealth { node, shutdown }));
    let router = health.register(Router::new());
    let router = connectrpc_health::apply_request_limits(router, connectrpc_health::request_limits());
    let reflector = Reflector::from_descriptor_set_bytes(peat_proto::FILE_DESCRIPTOR_SET)
        .expect("the definition that this program is generated from is valid");
    connectrpc_reflection::install(router, reflector)
}

/// Serving exactly when `/readyz` says ready.
struct NodeHealth {
    node: NodeHandle,
    shutdown: CancellationToken,
}

impl NodeHealth {
    fn status(&self) -> Status {
        match self.node.unready() {
            None if !self.shutdown.is_cancelled() => Status::Serving,
            _ => Status::NotServing,
        }
    }
}

/// The whole process, or its one service.
fn check_name(service: &str) -> Result<(), ConnectError> {
    match service {
        "" | peat_proto::SERVICE_NAME => Ok(()),
        _ => Err(ConnectError::not_found(format!("there is {} here, and no other service", peat_proto::SERVICE_NAME))),
    }
}

impl Checker for NodeHealth {
    async fn check(&self, service: &str) -> Result<Status, ConnectError> {
        check_name(service)?;
        Ok(self.status())
    }

    /// Ends after it has said that the node stops: it must not hold the stop up.
    async fn watch(&self, service: &str) -> Result<StatusStream, ConnectError> {
        check_name(service)?;
        let health = Self { node: self.node.clone(), shutdown: self.shutdown.clone() };
        Ok(StatusStream::new(stream::unfold(Some((health, None)), |state| async move {
            let (health, told): (Self, Option<Status>) = state?;
            if let Some(told) = told {
                tokio::select! {
                    biased;
                    () = health.shutdown.cancelled() => {}
                    () = health.node.readiness_change(told == Status::Serving) => {}
                }
            }
            let now = health.status();
            let over = health.shutdown.is_cancelled();
            Some((now, (!over).then_some((health, Some(now)))))
        })))
    }
}
