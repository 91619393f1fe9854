//! One session over one connection: moves frames between the core and the streams.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use iroh::EndpointId;
use iroh::endpoint::{Connection, SendStream};

use super::admission::{Admitted, ControlReader, ReadFrameError};
use super::peers::CloseCode;
use crate::core::class::{CLASSES, Class, PerClass};
use crate::core::session::{SessionError, SessionId};
use crate::core::wire::{self, FrameError};
use crate::limits;
use crate::node::{Observation, Plant, SessionWake, Shared, commit_now_or_later, lock};
use crate::ops::traffic::TrafficClass;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("protocol error: {0}")]
    Session(#[from] SessionError),
    #[error("{0}")]
    Lost(String),
    #[error("the store failed: {0}")]
    Store(Arc<str>),
}

impl From<ReadFrameError> for LinkError {
    fn from(error: ReadFrameError) -> Self {
        match error {
            ReadFrameError::Frame(e) => Self::Session(e.into()),
            ReadFrameError::Lost(e) => Self::Lost(e),
        }
    }
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        Self::Session(error.into())
    }
}

struct Link<'a> {
    shared: &'a Arc<Shared>,
    connection: &'a Connection,
    id: SessionId,
    wake: Arc<SessionWake>,
    peer: EndpointId,
    dialer: bool,
    ticket: u64,
    /// Classes of which the peer has opened a stream.
    incoming: Mutex<PerClass<bool>>,
}

/// Frees the core's and the mesh's side of a session, also when its task is aborted.
struct Registration<'a> {
    shared: &'a Shared,
    peer: EndpointId,
    id: SessionId,
    ticket: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.forget_session(self.id);
        self.shared.mesh.close_members(self.shared, self.id);
        self.shared.mesh.leave_place(self.shared, self.peer.as_bytes(), self.ticket);
    }
}

/// Runs a session to its end.
pub(super) async fn run(shared: &Arc<Shared>, connection: Connection, admitted: Admitted, dialer: bool, ticket: u64) {
    let peer = connection.remote_id();
    let round_trip = connection.paths().iter().map(|path| path.rtt()).min().unwrap_or_default();
    let id = shared.with_core(|core| core.open_session(*peer.as_bytes(), dialer, round_trip));
    let wake = shared.register_session(id);
    let registration = Registration { shared, peer, id, ticket };
    let link = Link { shared, connection: &connection, id, wake, peer, dialer, ticket, incoming: Mutex::default() };
    let error = link.run(admitted).await;
    if matches!(error, LinkError::Session(_)) {
        tracing::warn!(peer = %peer.fmt_short(), "session ended: {error}");
        CloseCode::Protocol.close(&connection);
    } else {
        tracing::info!(peer = %peer.fmt_short(), "session ended: {error}");
        CloseCode::Goodbye.close(&connection);
    }
    drop(registration);
    shared.observe(Observation::SessionDown { peer, reason: error.to_string() });
}

impl Link<'_> {
    async fn run(&self, admitted: Admitted) -> LinkError {
        let Admitted { send, receive, .. } = admitted;
        let closed = async { LinkError::Lost(self.connection.closed().await.to_string()) };
        let ended = tokio::select! {
            biased;
            error = self.read_control(receive) => error,
            error = self.read_data() => error,
            error = self.write_control(send) => error,
            error = self.write_data() => error,
            error = closed => Err(error),
        };
        match ended {
            // A stream that breaks because the connection closed is no news; why it closed is.
            Err(LinkError::Lost(reason)) => {
                LinkError::Lost(self.connection.close_reason().map_or(reason, |why| why.to_string()))
            }
            Err(error) => error,
            Ok(()) => LinkError::Lost("the peer ended a stream".into()),
        }
    }

    async fn read_control(&self, mut receive: ControlReader) -> Result<(), LinkError> {
        let mut greeted = false;
        while let Some(payload) = receive.next().await? {
            self.shared.count_received(TrafficClass::Control, payload.len());
            let now = self.shared.now();
            let (resumed, members) = self.shared.with_core(|core| {
                core.on_control(self.id, &payload, now)?;
                let resumed = core.session(self.id).and_then(|session| session.resumed());
                Ok::<_, SessionError>((resumed, core.take_members(self.id)))
            })?;
            if let Some(frame) = members {
                self.shared.mesh.receive_members(self.shared, self.id, frame).map_err(SessionError::from)?;
            }
            if let Some(resumed) = resumed
                && !std::mem::replace(&mut greeted, true)
            {
                self.shared.mesh.mark_up(self.shared, self.peer.as_bytes(), self.ticket);
                self.shared.mesh.open_members(self.shared, self.id, self.connection, self.dialer);
                let how = if resumed { "resumed" } else { "reconciling" };
                tracing::info!(peer = %self.peer.fmt_short(), "session up, {how}");
                self.shared.observe(Observation::SessionUp { peer: self.peer, resumed });
                self.wake.greeted.notify_one();
            }
        }
        Ok(())
    }

    async fn read_data(&self) -> Result<(), LinkError> {
        // Streams overtake each other: data may be here before the hello that says whose numbers it has.
        self.wake.greeted.notified().await;
        let mut streams = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = streams.next() => return ended,
                opened = self.connection.accept_uni(), if streams.len() < CLASSES => {
                    let stream = opened.map_err(|e| LinkError::Lost(e.to_string()))?;
                    streams.push(self.read_data_stream(stream));
                }
            }
        }
    }

    async fn read_data_stream(&self, mut stream: iroh::endpoint::RecvStream) -> Result<(), LinkError> {
        let mut code = [0];
        stream.read_exact(&mut code).await.map_err(|e| LinkError::Lost(e.to_string()))?;
        let class = Class::from_code(code[0]).ok_or(FrameError::Class(code[0]))?;
        if std::mem::replace(&mut lock(&self.incoming)[class.index()], true) {
            return Err(FrameError::ClassTwice(class).into());
        }
        let mut frames = ControlReader::new(stream, limits::MAX_FRAME_BYTES);
        while let Some(payload) = frames.next().await? {
            self.shared.count_received(TrafficClass::of_stream(class.code()), payload.len());
            self.shared.observe_frame(self.peer, false, &payload);
            let now = self.shared.now();
            let (taken, commit) = self.shared.with_core_uncommitted(|core| core.on_data(self.id, class, &payload, now));
            taken?;
            if commit && frames.is_drained() {
                commit_now_or_later(self.shared);
            } else if commit {
                // More is here already and goes into the next transaction.
                self.shared.commit.notify_one();
            }
            // A peer that sends faster than the disk takes it waits here, and QUIC makes it wait there.
            self.shared.wait_for_room(limits::MAX_UNCOMMITTED_BYTES).await.map_err(LinkError::Store)?;
        }
        Ok(())
    }

    async fn write_control(&self, mut send: SendStream) -> Result<(), LinkError> {
        // Before all data: without a hello nothing flows, and receipts open the peer's window.
        send.set_priority(CLASSES as i32 + 1).map_err(|e| LinkError::Lost(e.to_string()))?;
        loop {
            while let Some(payload) = self.shared.with_core(|core| core.next_control(self.id))? {
                self.write(&mut send, TrafficClass::Control, &wire::frame(&payload)).await?;
            }
            while let Some(frame) = self.shared.mesh.next_members(self.shared, self.id) {
                let payload = self.shared.with_core(|core| core.encode_members(self.id, frame))?;
                self.write(&mut send, TrafficClass::Membership, &wire::frame(&payload)).await?;
            }
            let deadline = self.shared.with_core(|core| core.deadline(self.id));
            let at_deadline = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(self.shared.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.wake.control.notified() => {}
                () = at_deadline => {
                    let now = self.shared.now();
                    self.shared.with_core(|core| core.tick(self.id, now));
                }
            }
        }
    }

    async fn write_data(&self) -> Result<(), LinkError> {
        let mut streams: PerClass<Option<SendStream>> = PerClass::default();
        // A frame of another class than the burst that it followed.
        let mut ahead: Option<(Class, Vec<u8>)> = None;
        loop {
            // Frames are gathered up to a burst, so that small ones share packets; what is still in the
            // outbox while a burst waits for the link goes on being coalesced.
            let mut burst: Option<(Class, Vec<u8>)> = ahead.take();
            while burst.as_ref().is_none_or(|(_, bytes)| bytes.len() < limits::SEND_BURST_BYTES) {
                let now = self.shared.now();
                let Some((class, payload)) = self.shared.with_core(|core| core.next_data(self.id, now))? else { break };
                self.shared.observe_frame(self.peer, true, &payload);
                let frame = wire::frame(&payload);
                match &mut burst {
                    Some((of, bytes)) if *of == class => bytes.extend_from_slice(&frame),
                    Some(_) => {
                        ahead = Some((class, frame));
                        break;
                    }
                    None => burst = Some((class, frame)),
                }
            }
            let Some((class, mut bytes)) = burst else {
                self.wake.data.notified().await;
                if self.shared.plants.has(Plant::BatchingTimer) {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                continue;
            };
            let stream = match &mut streams[class.index()] {
                Some(open) => open,
                closed => {
                    let opened = self.connection.open_uni().await;
                    let opened = opened.map_err(|e| LinkError::Lost(e.to_string()))?;
                    // What QUIC has not put into packets yet is overtaken, too. The weights rule what is handed over.
                    let urgency = CLASSES - class.index();
                    opened.set_priority(urgency as i32).map_err(|e| LinkError::Lost(e.to_string()))?;
                    bytes.insert(0, class.code());
                    closed.insert(opened)
                }
            };
            self.write(stream, TrafficClass::of_stream(class.code()), &bytes).await?;
        }
    }

    async fn write(&self, stream: &mut SendStream, class: TrafficClass, bytes: &[u8]) -> Result<(), LinkError> {
        self.shared.count_sent(class, bytes.len());
        stream.write_all(bytes).await.map_err(|e| LinkError::Lost(e.to_string()))
    }
}
