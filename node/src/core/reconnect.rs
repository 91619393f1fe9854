//! Whom to dial, and when: operator intent plus a bounded cadence, as a pure state machine.
//!
//! Time to recover must not depend on how long an outage lasted, so the interval between attempts never
//! grows. An attempt may still be under way when the next one begins: its answer may be on a slow link. Jitter
//! keeps many peers that lose one hub from coming back in one instant.
//! `docs/adr/0003-reconnect-in-one-place.md` says why this is the only place that dials.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::batch::PeerId;
use super::session::Now;

/// The cadence of attempts.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Longest pause before the first attempt after a loss.
    pub pause: Duration,
    /// From the beginning of one attempt to the beginning of the next while nobody answers.
    pub interval: Duration,
    /// After the peer answered and asked to come back.
    pub busy: Duration,
    /// After the peer answered and refused.
    pub refused: Duration,
    /// Attempts under way at once, over all peers.
    pub most_at_once: usize,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered.
    Unreachable,
    /// It answered and refused, for a reason that will not pass by itself.
    Refused,
    /// It answered and asked to come back.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Dial when this time has come.
    Waiting(Now),
    Connected,
}

#[derive(Debug)]
struct Peer {
    state: State,
    /// Attempts since the last session.
    attempts: u32,
    /// Attempts under way.
    dialing: usize,
}

/// The wanted peers.
#[derive(Debug)]
pub struct Reconnect {
    policy: Policy,
    active: bool,
    peers: BTreeMap<PeerId, Peer>,
}

impl Reconnect {
    /// Wants nobody; dials nobody until active.
    pub fn new(policy: Policy) -> Self {
        Self { policy, active: false, peers: BTreeMap::new() }
    }

    /// Starts or stops dialling (StartSync, StopSync).
    pub fn set_active(&mut self, active: bool, now: Now) {
        self.active = active;
        self.peers.values_mut().for_each(|peer| peer.dial_at(now));
    }

    /// A peer is wanted: dial at once unless it is connected.
    pub fn want(&mut self, id: PeerId, connected: bool, now: Now) {
        let peer = self.peers.entry(id).or_insert(Peer { state: State::Waiting(now), attempts: 0, dialing: 0 });
        if connected {
            peer.state = State::Connected;
        } else {
            peer.dial_at(now);
        }
    }

    /// A peer is no longer wanted.
    pub fn unwant(&mut self, id: &PeerId) {
        self.peers.remove(id);
    }

    /// A session with the peer is up, whoever dialled.
    pub fn connected(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.state = State::Connected;
            peer.attempts = 0;
            // Those that are still under way lead nowhere any more.
            peer.dialing = 0;
        }
    }

    /// Attempts since the last session; `None`: not wanted.
    pub fn attempts(&self, id: &PeerId) -> Option<u32> {
        self.peers.get(id).map(|peer| peer.attempts)
    }

    /// The session is lost: dial again after a moment.
    pub fn lost(&mut self, id: &PeerId, now: Now, rng: &mut impl Rng) {
        let pause = jitter(self.policy.pause, rng);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.state = State::Waiting(now + pause);
        }
    }

    /// An attempt ended without a session.
    pub fn failed(&mut self, id: &PeerId, why: Failure, now: Now, rng: &mut impl Rng) {
        let pause = match why {
            Failure::Unreachable => Duration::ZERO,
            Failure::Busy => jitter(self.policy.busy, rng),
            Failure::Refused => jitter(self.policy.refused, rng),
        };
        if let Some(peer) = self.peers.get_mut(id) {
            peer.dialing = peer.dialing.saturating_sub(1);
            if let State::Waiting(next) = &mut peer.state {
                *next = (*next).max(now + pause);
            }
        }
    }

    /// Whom to dial now, with the number of the attempt. They count as being dialled until
    /// [`Reconnect::connected`] or [`Reconnect::failed`].
    pub fn due(&mut self, now: Now, rng: &mut impl Rng) -> Vec<(PeerId, u32)> {
        if !self.active {
            return vec![];
        }
        let dialing: usize = self.peers.values().map(|peer| peer.dialing).sum();
        let waiting = |(id, peer): (&PeerId, &Peer)| match peer.state {
            State::Waiting(at) if at <= now => Some((at, *id)),
            _ => None,
        };
        let mut due: Vec<(Now, PeerId)> = self.peers.iter().filter_map(waiting).collect();
        due.sort_unstable();
        due.truncate(self.policy.most_at_once.saturating_sub(dialing));
        due.into_iter()
            .map(|(_, id)| {
                let pause = jitter(self.policy.interval, rng);
                let peer = self.peers.get_mut(&id).expect("listed from the same map");
                peer.state = State::Waiting(now + pause);
                peer.attempts += 1;
                peer.dialing += 1;
                (id, peer.attempts)
            })
            .collect()
    }

    /// When [`Reconnect::due`] may have something next. In the past while the bound on attempts at once is
    /// reached: ask again when one has ended.
    pub fn deadline(&self, now: Now) -> Option<Now> {
        let waiting = |peer: &Peer| match peer.state {
            State::Waiting(at) if at > now => Some(at),
            _ => None,
        };
        self.active.then(|| self.peers.values().filter_map(waiting).min()).flatten()
    }
}

impl Peer {
    fn dial_at(&mut self, at: Now) {
        if let State::Waiting(_) = self.state {
            self.state = State::Waiting(at);
            self.attempts = 0;
        }
    }
}

/// Between nine tenths and the whole of a pause.
fn jitter(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.9..=1.0))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const POLICY: Policy = Policy {
        pause: Duration::from_millis(100),
        interval: Duration::from_millis(2000),
        busy: Duration::from_secs(2),
        refused: Duration::from_secs(10),
        most_at_once: 2,
    };

    fn machine(peers: u8) -> (Reconnect, ChaCha8Rng) {
        let mut machine = Reconnect::new(POLICY);
        machine.set_active(true, Duration::ZERO);
        (0..peers).for_each(|i| machine.want([i; 32], false, Duration::ZERO));
        (machine, ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn the_interval_after_a_day_is_the_interval_after_a_minute() {
        // Elsewhere, backoff that grew during an outage delayed recovery by 38 s after the heal.
        let (mut machine, mut rng) = machine(1);
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(86_400) {
            assert_eq!(machine.due(now, &mut rng).len(), 1);
            let next = machine.deadline(now).expect("waiting");
            assert!(next - now <= POLICY.interval, "{:?} after {now:?}", next - now);
            machine.failed(&[0; 32], Failure::Unreachable, next, &mut rng);
            now = next;
        }
    }

    #[test]
    fn attempts_at_once_are_bounded_and_nobody_is_forgotten() {
        let (mut machine, mut rng) = machine(5);
        let first = machine.due(Duration::ZERO, &mut rng);
        assert_eq!(first.len(), 2);
        assert!(machine.due(Duration::ZERO, &mut rng).is_empty());
        let mut dialled: Vec<_> = first.iter().map(|(id, _)| *id).collect();
        while dialled.len() < 5 {
            let last = *dialled.last().expect("some");
            machine.failed(&last, Failure::Unreachable, Duration::ZERO, &mut rng);
            dialled.extend(machine.due(Duration::ZERO, &mut rng).iter().map(|(id, _)| *id));
        }
        dialled.sort_unstable();
        assert_eq!(dialled, (0..5).map(|i| [i; 32]).collect::<Vec<_>>());
    }

    #[test]
    fn a_session_ends_dialling_and_its_loss_begins_it_soon() {
        let (mut machine, mut rng) = machine(1);
        machine.due(Duration::ZERO, &mut rng);
        machine.connected(&[0; 32]);
        assert_eq!(machine.deadline(Duration::ZERO), None);
        machine.failed(&[0; 32], Failure::Unreachable, Duration::ZERO, &mut rng);
        assert_eq!(machine.deadline(Duration::ZERO), None, "the attempt that lost the race changes nothing");
        let now = Duration::from_secs(5);
        machine.lost(&[0; 32], now, &mut rng);
        assert!(machine.deadline(now).expect("waiting") <= Duration::from_millis(5100));
    }

    #[test]
    fn a_peer_that_refuses_is_left_alone_for_a_while() {
        let (mut machine, mut rng) = machine(1);
        machine.due(Duration::ZERO, &mut rng);
        machine.failed(&[0; 32], Failure::Refused, Duration::from_secs(1), &mut rng);
        assert!(machine.due(Duration::from_secs(9), &mut rng).is_empty());
        assert_eq!(machine.due(Duration::from_secs(11), &mut rng), [([0; 32], 2)]);
    }

    #[test]
    fn nobody_unwanted_or_inactive_is_dialled() {
        let (mut machine, mut rng) = machine(2);
        machine.unwant(&[0; 32]);
        assert_eq!(machine.due(Duration::ZERO, &mut rng), [([1; 32], 1)]);
        machine.want([2; 32], false, Duration::ZERO);
        machine.set_active(false, Duration::ZERO);
        assert!(machine.due(Duration::from_secs(60), &mut rng).is_empty());
        assert_eq!(machine.deadline(Duration::ZERO), None);
    }
}
