//! Accepts connections: whoever knocks costs a look-up until its source is let through, a handshake until it has
//! proved its membership, and only then a session.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use iroh::endpoint::{Connection, ConnectionError, Incoming};
use tokio::time::{Instant, timeout_at};

use super::admission::{self, AdmissionError, Counted, Dialer, Refusal};
use super::discovery::identify;
use super::link;
use super::peers::CloseCode;
use super::throttle::{Origin, Outcome, Pass, Source, Verdict};
use crate::limits;
use crate::node::{Observation, Shared};

/// Accepts for ever.
pub(super) async fn accept(shared: Arc<Shared>) {
    tokio::select! {
        biased;
        () = admit_all(&shared) => {}
        () = summarise_refusals(&shared) => {}
    }
}

async fn admit_all(shared: &Arc<Shared>) {
    while let Some(incoming) = shared.mesh.endpoint().accept().await {
        let origin = Origin::from(incoming.remote_addr());
        match shared.mesh.knock(&origin, incoming.remote_addr_validated(), shared.now()) {
            Verdict::Admit(pass) => {
                let task = admit(Arc::clone(shared), incoming, pass);
                shared.spawn(task);
            }
            Verdict::Challenge => {
                shared.mesh.admissions.count(Counted::Challenged);
                if let Err(unable) = incoming.retry() {
                    unable.into_incoming().ignore();
                }
            }
            Verdict::Ignore => {
                shared.mesh.admissions.count(Counted::Ignored);
                if shared.mesh.note_refusal(origin.source(), shared.now()) {
                    tracing::warn!(source = %origin.source(), "not answered: too many admissions are under way");
                }
                incoming.ignore();
            }
        }
    }
}

async fn summarise_refusals(shared: &Shared) {
    loop {
        let deadline = shared.mesh.summarise_refusals(shared.now(), |summary| match &summary.source {
            Some(source) => tracing::warn!(%source, "{} more refused or not answered since", summary.suppressed),
            None => tracing::warn!("{} more refused or not answered of other sources", summary.suppressed),
        });
        let at_deadline = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(shared.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.mesh.refusal_noted.notified() => {}
            () = at_deadline => {}
        }
    }
}

/// Settles a pass, also when its task is aborted.
struct Settling<'a> {
    shared: &'a Shared,
    pass: Option<Pass>,
}

impl Settling<'_> {
    fn settle(&mut self, outcome: Outcome) {
        if let Some(pass) = self.pass.take() {
            self.shared.mesh.settle(pass, outcome, self.shared.now());
        }
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.settle(Outcome::Failed);
    }
}

async fn admit(shared: Arc<Shared>, incoming: Incoming, pass: Pass) {
    let mesh = &shared.mesh;
    let source = pass.origin().source();
    let mut settling = Settling { shared: &shared, pass: Some(pass) };
    let deadline = Instant::now() + limits::ADMISSION_TIMEOUT;
    let connection = match timeout_at(deadline, handshake(incoming)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(reason)) => return failed(&shared, &source, Counted::Lost, &reason),
        Err(_) => return failed(&shared, &source, Counted::TimedOut, "the handshake took too long"),
    };
    let admission = timeout_at(deadline, prove(&shared, &connection, &source));
    let error = match admission.await {
        Ok(Ok(Proved::Session(admitted, ticket))) => {
            mesh.admissions.count(Counted::Admitted);
            settling.settle(Outcome::Admitted);
            return link::run(&shared, connection, admitted, false, ticket).await;
        }
        Ok(Ok(Proved::TurnedAway(outcome))) => return settling.settle(outcome),
        Ok(Err(error)) => error,
        Err(_) => {
            CloseCode::TooSlow.close(&connection);
            return failed(&shared, &source, Counted::TimedOut, "admission took too long");
        }
    };
    match error {
        AdmissionError::Malformed(_) => {
            CloseCode::Protocol.close(&connection);
            failed(&shared, &source, Counted::Malformed, &error.to_string());
        }
        // The pair has a session, and the peer gave this connection up because of it: no failure.
        _ if gave_way(&connection) && mesh.is_live(connection.remote_id().as_bytes()) => {
            settling.settle(Outcome::Admitted);
        }
        _ => failed(&shared, &source, Counted::Lost, &error.to_string()),
    }
}

async fn handshake(incoming: Incoming) -> Result<Connection, String> {
    incoming.accept().map_err(|e| e.to_string())?.await.map_err(|e| format!("{e:#}"))
}

fn failed(shared: &Shared, source: &Source, what: Counted, reason: &str) {
    shared.mesh.admissions.count(what);
    if shared.mesh.note_refusal(source.clone(), shared.now()) {
        tracing::warn!(%source, "not admitted: {reason}");
    } else {
        tracing::debug!(%source, "not admitted: {reason}");
    }
}

/// A dialer that came as far as its proof.
enum Proved {
    Session(admission::Admitted, u64),
    TurnedAway(Outcome),
}

async fn prove(shared: &Shared, connection: &Connection, source: &Source) -> Result<Proved, AdmissionError> {
    let mesh = &shared.mesh;
    let peer = connection.remote_id();
    if connection.alpn() == identify::ALPN {
        return answer_identify(shared, connection, source).await;
    }
    let dialer = match admission::check_offer(connection, mesh.endpoint().id(), &mesh.keys).await {
        Ok(dialer) => dialer,
        Err(error) => {
            if !matches!(error, AdmissionError::Malformed(_)) {
                // TLS has shown that it was the peer: it is there, even though this attempt came to nothing.
                mesh.sign_of_life(shared, peer.as_bytes());
            }
            return Err(error);
        }
    };
    let incarnation = dialer.incarnation();
    let placed = match dialer.refusal().or_else(|| mesh.objection(peer.as_bytes())) {
        Some(refusal) => Err(refusal),
        None => mesh.take_place(connection, false, incarnation, shared.now()),
    };
    let ticket = match placed {
        Ok(ticket) => ticket,
        Err(refusal) => {
            turn_away(shared, connection, dialer, refusal, source).await;
            return Ok(Proved::TurnedAway(outcome_of(refusal)));
        }
    };
    let mut place = Place { shared, peer: *peer.as_bytes(), ticket, kept: false };
    let admitted = dialer.welcome(connection, mesh.incarnation).await?;
    place.kept = true;
    Ok(Proved::Session(admitted, ticket))
}

/// Tells a member who asks an address who is there. Who asks without the key is a stranger like any other.
async fn answer_identify(shared: &Shared, connection: &Connection, source: &Source) -> Result<Proved, AdmissionError> {
    let mesh = &shared.mesh;
    match identify::answer(connection, mesh.endpoint().id(), mesh.keys.keys()).await {
        Ok(()) => Ok(Proved::TurnedAway(Outcome::Admitted)),
        Err(AdmissionError::WeRefused(refusal)) => {
            mesh.admissions.count(Counted::Refused(refusal));
            if mesh.note_refusal(source.clone(), shared.now()) {
                tracing::warn!(%source, "not told who is here: {}", refusal.describe());
            }
            Ok(Proved::TurnedAway(Outcome::Failed))
        }
        Err(error) => Err(error),
    }
}

/// Gives a place back unless it became a session.
struct Place<'a> {
    shared: &'a Shared,
    peer: [u8; 32],
    ticket: u64,
    kept: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.mesh.leave_place(self.shared, &self.peer, self.ticket);
        }
    }
}

/// What a refusal costs. A revoked member has the key, but must not be able to keep us busy with it.
fn outcome_of(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::Formation | Refusal::Version | Refusal::NotAllowed => Outcome::Failed,
        Refusal::Busy | Refusal::Stopped | Refusal::Unwanted => Outcome::TurnedAway,
        Refusal::Duplicate => Outcome::Admitted,
    }
}

async fn turn_away(shared: &Shared, connection: &Connection, dialer: Dialer, refusal: Refusal, source: &Source) {
    let (peer, reason) = (connection.remote_id(), refusal.describe());
    shared.mesh.admissions.count(Counted::Refused(refusal));
    let strange = outcome_of(refusal) == Outcome::Failed;
    if strange && shared.mesh.note_refusal(source.clone(), shared.now()) {
        tracing::warn!(peer = %peer.fmt_short(), %source, "refused: {reason}");
    } else {
        tracing::debug!(peer = %peer.fmt_short(), %source, "refused: {reason}");
    }
    shared.observe(Observation::Refused { peer, reason: reason.into() });
    dialer.refuse(refusal).await;
    CloseCode::Refused(refusal).close(connection);
}

/// Whether the peer closed the connection because the pair has another one.
fn gave_way(connection: &Connection) -> bool {
    let duplicate = CloseCode::Refused(Refusal::Duplicate).number();
    matches!(connection.close_reason(),
             Some(ConnectionError::ApplicationClosed(close)) if close.error_code == duplicate)
}
