//! Dials wanted peers, each on a task of its own.

use std::sync::Arc;

use iroh::{EndpointAddr, EndpointId};
use tokio::time::timeout;

use super::ALPN;
use super::admission::{self, AdmissionError, Refusal};
use super::link;
use super::peers::CloseCode;
use crate::core::batch::PeerId;
use crate::core::reconnect::Failure;
use crate::limits;
use crate::node::{Observation, Shared};

/// Carries out what the reconnect state machine decides, for ever.
pub(super) async fn supervise(shared: Arc<Shared>) {
    loop {
        let now = shared.now();
        let (due, deadline) = shared.mesh.reconnect(|machine| (machine.due(now), machine.deadline()));
        for (peer, attempt) in due {
            let task = dial(Arc::clone(&shared), peer, attempt);
            shared.spawn(task);
        }
        let at_deadline = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(shared.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.mesh.dial.notified() => {}
            () = at_deadline => {}
        }
    }
}

async fn dial(shared: Arc<Shared>, peer: PeerId, attempt: u32) {
    let Ok(id) = EndpointId::from_bytes(&peer) else { return };
    shared.observe(Observation::Dialing { peer: id, attempt });
    if let Err((failure, reason)) = try_dial(&shared, id).await {
        // One line for the first failure, then every minute or so: an outage of a day fits on a screen.
        if attempt == 1 || attempt.is_multiple_of(32) {
            tracing::info!(peer = %id.fmt_short(), attempt, "cannot connect: {reason}");
        } else {
            tracing::debug!(peer = %id.fmt_short(), attempt, "cannot connect: {reason}");
        }
        shared.mesh.dial_failed(&shared, &peer, failure);
    }
}

/// Connects, is admitted, and runs the session to its end.
async fn try_dial(shared: &Arc<Shared>, id: EndpointId) -> Result<(), (Failure, String)> {
    let unreachable = |reason: String| (Failure::Unreachable, reason);
    let mut transports = Vec::new();
    let mut unresolved = None;
    for address in shared.mesh.addresses(id.as_bytes()) {
        match shared.mesh.resolver.resolve(&address).await {
            Ok(found) => transports.extend(found),
            Err(reason) => unresolved = Some(reason),
        }
    }
    if transports.is_empty() {
        return Err(unreachable(unresolved.unwrap_or_else(|| "no address is known".into())));
    }
    let connect = shared.mesh.endpoint().connect(EndpointAddr::from_parts(id, transports), ALPN);
    let connection = timeout(shared.mesh.timing.dial_timeout, connect)
        .await
        .map_err(|_| unreachable(format!("no answer within {:?}", shared.mesh.timing.dial_timeout)))?
        .map_err(|e| unreachable(format!("{e:#}")))?;

    let admission = admission::dial(&connection, shared.mesh.endpoint().id(), &shared.mesh.key, shared.mesh.incarnation);
    let admitted = match timeout(limits::ADMISSION_TIMEOUT, admission).await {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(error)) => {
            let failure = match &error {
                AdmissionError::TheyRefused(Refusal::Formation | Refusal::Version)
                | AdmissionError::WeRefused(_)
                | AdmissionError::Malformed(_) => Failure::Refused,
                AdmissionError::TheyRefused(_) => Failure::Busy,
                AdmissionError::Lost(_) => Failure::Unreachable,
            };
            match &error {
                AdmissionError::WeRefused(refusal) => {
                    let reason = refusal.describe().to_owned();
                    tracing::warn!(peer = %id.fmt_short(), "refused: {reason}");
                    shared.observe(Observation::Refused { peer: id, reason });
                    CloseCode::Refused(*refusal).close(&connection);
                }
                AdmissionError::Malformed(_) => CloseCode::Protocol.close(&connection),
                _ => CloseCode::Goodbye.close(&connection),
            }
            return Err((failure, error.to_string()));
        }
        Err(_) => {
            CloseCode::Goodbye.close(&connection);
            return Err(unreachable("admission took too long".into()));
        }
    };
    if let Some(objection) = shared.mesh.objection(id.as_bytes()) {
        CloseCode::Refused(objection).close(&connection);
        return Err((Failure::Busy, objection.describe().into()));
    }
    match shared.mesh.take_place(&connection, true, admitted.incarnation, shared.now()) {
        Some(ticket) => link::run(shared, connection, admitted, true, ticket).await,
        None => CloseCode::Refused(Refusal::Duplicate).close(&connection),
    }
    Ok(())
}
