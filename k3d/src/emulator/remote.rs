//! The links of a run, in the hands of the runner: the near end of the channel to an emulator.

use std::net::SocketAddr;

use peat_scenarios::physics::LinkCounters;
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step};
use peat_scenarios::record::FaultEffect;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::protocol::{Answer, LINE_BYTES, Request, Setup, Tally};
use crate::ground::GroundError;

/// An emulator that is ready. It ends when this is dropped, because the channel ends.
pub struct Links {
    answers: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    requests: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Links {
    /// Tells an emulator what it is, over the two halves of a channel, and waits until its ports are bound.
    pub async fn open(
        answers: impl AsyncRead + Send + Unpin + 'static,
        requests: impl AsyncWrite + Send + Unpin + 'static,
        setup: &Setup,
    ) -> Result<Self, GroundError> {
        let mut links = Self { answers: BufReader::new(Box::new(answers)), requests: Box::new(requests) };
        match links.exchange(setup).await? {
            Answer::Ready => Ok(links),
            other => Err(unexpected(&other)),
        }
    }

    /// Scenario time begins now: links are open and undisturbed.
    pub async fn begin(&mut self) -> Result<(), GroundError> {
        self.command(&Request::Begin).await
    }

    /// Does to links what a step of the timeline says.
    pub async fn apply(&mut self, step: &Step) -> Result<(), GroundError> {
        self.command(&Request::Apply(Box::new(step.clone()))).await
    }

    /// A node is elsewhere from now on.
    pub async fn relocate(&mut self, node: NodeIndex, to: SocketAddr) -> Result<(), GroundError> {
        self.command(&Request::Move { node, to }).await
    }

    /// Counts of the links between `pairs`, added up.
    pub async fn counters(&mut self, pairs: &[(NodeIndex, NodeIndex)]) -> Result<LinkCounters, GroundError> {
        match self.exchange(&Request::Counters(pairs.to_vec())).await? {
            Answer::Counters(counters) => Ok(counters),
            other => Err(unexpected(&other)),
        }
    }

    /// What a fault did in front of the links.
    pub async fn effect(&mut self, fault: FaultIndex) -> Result<FaultEffect, GroundError> {
        match self.exchange(&Request::Effect(fault)).await? {
            Answer::Effect(effect) => Ok(*effect),
            other => Err(unexpected(&other)),
        }
    }

    /// Nothing passes any more; what was counted.
    pub async fn end(&mut self) -> Result<Tally, GroundError> {
        match self.exchange(&Request::End).await? {
            Answer::Tally(tally) => Ok(*tally),
            other => Err(unexpected(&other)),
        }
    }

    async fn command(&mut self, request: &Request) -> Result<(), GroundError> {
        match self.exchange(request).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn exchange(&mut self, request: &impl Serialize) -> Result<Answer, GroundError> {
        let broken = |why: &dyn std::fmt::Display| GroundError::of("the link emulator does not answer", why);
        let mut line = serde_json::to_string(request).map_err(|error| broken(&error))?;
        line.push('\n');
        self.requests.write_all(line.as_bytes()).await.map_err(|error| broken(&error))?;
        self.requests.flush().await.map_err(|error| broken(&error))?;
        line.clear();
        let mut limited = (&mut self.answers).take(LINE_BYTES);
        limited.read_line(&mut line).await.map_err(|error| broken(&error))?;
        if line.is_empty() {
            return Err(broken(&"it has ended"));
        }
        serde_json::from_str(&line).map_err(|error| broken(&error))
    }
}

fn unexpected(answer: &Answer) -> GroundError {
    match answer {
        Answer::Failed(why) => GroundError::of("the link emulator", why),
        other => GroundError(format!("the link emulator answered something else: {other:?}")),
    }
}
