//! Accepts connections; each proves its membership before it costs more than a task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use iroh::EndpointId;
use iroh::endpoint::{Connection, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::admission::{self, AdmissionError, Offered, Refusal};
use super::discovery::identify;
use super::link;
use super::peers::CloseCode;
use crate::core::session::Now;
use crate::limits;
use crate::node::{Observation, Shared, lock};

/// Accepts for ever.
pub(super) async fn accept(shared: Arc<Shared>) {
    let pending = Arc::new(Semaphore::new(limits::MAX_PENDING_ADMISSIONS));
    let logged = Arc::new(RefusalLog::default());
    while let Some(incoming) = shared.mesh.endpoint().accept().await {
        let Ok(permit) = Arc::clone(&pending).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (task_shared, logged) = (Arc::clone(&shared), Arc::clone(&logged));
        shared.spawn(async move {
            let admitted = timeout(limits::ADMISSION_TIMEOUT, admit(&task_shared, incoming, &logged)).await;
            drop(permit);
            match admitted {
                Ok(Ok(Some((connection, admitted, ticket)))) => {
                    link::run(&task_shared, connection, admitted, false, ticket).await;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!("incoming connection: {error}"),
                Err(_) => tracing::debug!("incoming connection: admission took too long"),
            }
        });
    }
}

type Place = (Connection, admission::Admitted, u64);

async fn admit(shared: &Arc<Shared>, incoming: Incoming, logged: &RefusalLog) -> Result<Option<Place>, AdmissionError> {
    let lost = |e: &dyn std::fmt::Display| AdmissionError::Lost(e.to_string());
    let connection = incoming.accept().map_err(|e| lost(&e))?.await.map_err(|e| lost(&e))?;
    let peer = connection.remote_id();
    let (me, key) = (shared.mesh.endpoint().id(), &shared.mesh.key);
    if connection.alpn() == identify::ALPN {
        identify::answer(&connection, me, std::slice::from_ref(key)).await?;
        return Ok(None);
    }
    let offered = match admission::check_offer(&connection, me, key).await {
        Ok(offered) => offered,
        Err(error) => {
            if let AdmissionError::Malformed(_) = error {
                CloseCode::Protocol.close(&connection);
            }
            return Err(error);
        }
    };
    let incarnation = offered.incarnation;
    if let Some(refusal) = offered.refusal.or_else(|| shared.mesh.objection(peer.as_bytes())) {
        turn_away(shared, &connection, offered, refusal, logged).await;
        return Ok(None);
    }
    let Some(ticket) = shared.mesh.take_place(&connection, false, incarnation, shared.now()) else {
        turn_away(shared, &connection, offered, Refusal::Duplicate, logged).await;
        return Ok(None);
    };
    match offered.welcome(key, shared.mesh.incarnation).await {
        Ok(admitted) => Ok(Some((connection, admitted, ticket))),
        Err(error) => {
            shared.mesh.leave_place(shared, peer.as_bytes(), ticket);
            Err(error)
        }
    }
}

async fn turn_away(shared: &Shared, connection: &Connection, offered: Offered, refusal: Refusal, logged: &RefusalLog) {
    let (peer, reason) = (connection.remote_id(), refusal.describe());
    if matches!(refusal, Refusal::Formation | Refusal::Version) && logged.is_news(peer, shared.now()) {
        tracing::warn!(peer = %peer.fmt_short(), "refused: {reason}");
    } else {
        tracing::debug!(peer = %peer.fmt_short(), "refused: {reason}");
    }
    shared.observe(Observation::Refused { peer, reason: reason.into() });
    offered.refuse(refusal).await;
    CloseCode::Refused(refusal).close(connection);
}

/// One line per stranger and minute: a flood of them must not fill the disk.
#[derive(Default)]
struct RefusalLog(Mutex<BTreeMap<EndpointId, Now>>);

impl RefusalLog {
    fn is_news(&self, peer: EndpointId, now: Now) -> bool {
        let mut last = lock(&self.0);
        last.retain(|_, at| now.saturating_sub(*at) < limits::REFUSAL_LOG_INTERVAL);
        if last.contains_key(&peer) || last.len() >= limits::MAX_REFUSAL_LOG {
            return false;
        }
        last.insert(peer, now);
        true
    }
}
