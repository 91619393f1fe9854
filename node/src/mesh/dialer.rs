//! Dials wanted peers, each on a task of its own.

use std::sync::Arc;

use futures::future::join_all;
use iroh::endpoint::Connection;
use iroh::{EndpointAddr, EndpointId};
use tokio::time::timeout;

use super::ALPN;
use super::admission::{self, AdmissionError, Admitted, Refusal};
use super::link;
use super::peers::CloseCode;
use super::throttle::Source;
use crate::core::batch::PeerId;
use crate::core::reconnect::Failure;
use crate::limits;
use crate::node::{Observation, Shared, lock};

/// Carries out what the reconnect state machine decides, for ever.
pub(super) async fn supervise(shared: Arc<Shared>) {
    loop {
        let now = shared.now();
        let (due, deadline) = shared.mesh.reconnect(|machine| {
            let due = machine.due(now, &mut *lock(&shared.rng));
            (due, machine.deadline(now))
        });
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
    if !shared.mesh.allows(id.as_bytes()) {
        if attempt == 1 {
            tracing::warn!(peer = %id.fmt_short(), "not dialled: {}", Refusal::NotAllowed.describe());
        }
        return shared.mesh.dial_failed(&shared, &peer, attempt, Failure::Refused);
    }
    shared.observe(Observation::Dialing { peer: id, attempt });
    match connect(&shared, id, attempt).await {
        Ok(Some(Connected { connection, admitted, ticket })) => {
            link::run(&shared, connection, admitted, true, ticket).await;
        }
        // Another connection of the pair was faster.
        Ok(None) => shared.mesh.dial_failed(&shared, &peer, attempt, Failure::Unreachable),
        Err((failure, reason)) => {
            // One line for the first failure, then every minute or so: an outage of a day fits on a screen.
            if attempt == 1 || attempt.is_multiple_of(32) {
                tracing::info!(peer = %id.fmt_short(), attempt, "cannot connect: {reason}");
            } else {
                tracing::debug!(peer = %id.fmt_short(), attempt, "cannot connect: {reason}");
            }
            shared.dial_failed(peer, &reason);
            shared.mesh.dial_failed(&shared, &peer, attempt, failure);
        }
    }
}

/// A dial that became a session.
struct Connected {
    connection: Connection,
    admitted: Admitted,
    ticket: u64,
}

type DialFailed = (Failure, String);

/// Connects and is admitted; `None`: another connection of the pair was faster.
async fn connect(shared: &Arc<Shared>, id: EndpointId, attempt: u32) -> Result<Option<Connected>, DialFailed> {
    let unreachable = |reason: String| (Failure::Unreachable, reason);
    let mut transports = Vec::new();
    let mut unresolved = None;
    let addresses = shared.mesh.addresses(id.as_bytes());
    // Side by side: one name that hangs must not hold up the others.
    let resolving = addresses.iter().map(|address| timeout(limits::RESOLVE_TIMEOUT, shared.mesh.resolve(address)));
    for (address, resolved) in addresses.iter().zip(join_all(resolving).await) {
        match resolved {
            Ok(Ok(found)) => transports.extend(found),
            Ok(Err(reason)) => unresolved = Some(reason),
            Err(_) => unresolved = Some(format!("{address} does not resolve within {:?}", limits::RESOLVE_TIMEOUT)),
        }
    }
    if transports.is_empty() {
        return Err(unreachable(unresolved.unwrap_or_else(|| "no address is known".into())));
    }
    let slow = attempt.is_multiple_of(limits::SLOW_DIAL_EVERY);
    let limit = if slow { limits::SLOW_DIAL_TIMEOUT } else { limits::DIAL_TIMEOUT };
    let connecting = shared.mesh.endpoint().connect(EndpointAddr::from_parts(id, transports), ALPN);
    let connection = timeout(limit, connecting)
        .await
        .map_err(|_| unreachable(format!("no answer within {limit:?}")))?
        .map_err(|e| unreachable(format!("{e:#}")))?;

    if !shared.mesh.begin_admission(id.as_bytes()) {
        CloseCode::Refused(Refusal::Duplicate).close(&connection);
        return Ok(None);
    }
    let admitted = admit(shared, connection, id).await;
    shared.mesh.end_admission(id.as_bytes());
    admitted
}

/// Proves membership to a peer that answered, and has it prove its own.
async fn admit(shared: &Arc<Shared>, connection: Connection, id: EndpointId) -> Result<Option<Connected>, DialFailed> {
    let (me, keys) = (shared.mesh.endpoint().id(), &shared.mesh.keys);
    let admission = admission::dial(&connection, me, keys, shared.mesh.incarnation);
    let admitted = match timeout(limits::ADMISSION_TIMEOUT, admission).await {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(error)) => return Err((turned_away(shared, &connection, id, &error), error.to_string())),
        Err(_) => {
            CloseCode::TooSlow.close(&connection);
            return Err((Failure::Unreachable, "admission took too long".into()));
        }
    };
    if let Some(objection) = shared.mesh.objection(id.as_bytes()) {
        CloseCode::Refused(objection).close(&connection);
        return Err((Failure::Busy, objection.describe().into()));
    }
    match shared.mesh.take_place(&connection, true, admitted.incarnation, shared.now()) {
        Ok(ticket) => Ok(Some(Connected { connection, admitted, ticket })),
        Err(Refusal::Duplicate) => {
            CloseCode::Refused(Refusal::Duplicate).close(&connection);
            Ok(None)
        }
        Err(refusal) => {
            CloseCode::Refused(refusal).close(&connection);
            Err((Failure::Refused, refusal.describe().into()))
        }
    }
}

fn turned_away(shared: &Shared, connection: &Connection, peer: EndpointId, error: &AdmissionError) -> Failure {
    match error {
        AdmissionError::WeRefused(refusal) => {
            let reason = refusal.describe();
            // It is dialled again and again; a line a minute says as much.
            if shared.mesh.note_refusal(Source::Dialed(*peer.as_bytes()), shared.now()) {
                tracing::warn!(peer = %peer.fmt_short(), "refused: {reason}");
            }
            shared.observe(Observation::Refused { peer, reason: reason.into() });
            CloseCode::Refused(*refusal).close(connection);
            Failure::Refused
        }
        AdmissionError::Malformed(_) => {
            CloseCode::Protocol.close(connection);
            Failure::Refused
        }
        AdmissionError::TheyRefused(Refusal::Formation | Refusal::Version | Refusal::NotAllowed) => {
            CloseCode::Goodbye.close(connection);
            Failure::Refused
        }
        AdmissionError::TheyRefused(_) => {
            CloseCode::Goodbye.close(connection);
            Failure::Busy
        }
        AdmissionError::Lost(_) => Failure::Unreachable,
    }
}
