//! Whom to dial, and when: operator intent plus backoff, as a pure state machine.
//!
//! Time to recover must not depend on how long an outage lasted, so the pause between attempts is bounded
//! low and never grows beyond [`Policy::max`]. Jitter keeps many peers that lose one hub from coming back in
//! one instant. `docs/adr/0003-reconnect-in-one-place.md` says why this is the only place that dials.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::batch::PeerId;
use super::session::Now;

/// Pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// After the first failure, and before the first attempt after a loss.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
    /// After the peer answered and asked to come back.
    pub busy: Duration,
    /// After the peer answered and refused.
    pub refused: Duration,
    /// Attempts under way at once.
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
    Dialing,
    Connected,
}

#[derive(Debug)]
struct Peer {
    state: State,
    /// Attempts since the last session.
    attempts: u32,
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
        for peer in self.peers.values_mut() {
            if matches!(peer.state, State::Waiting(_)) {
                *peer = Peer { state: State::Waiting(now), attempts: 0 };
            }
        }
    }

    /// A peer is wanted: dial at once unless it is connected. Wanting it again resets its backoff.
    pub fn want(&mut self, id: PeerId, connected: bool, now: Now) {
        let peer = self.peers.entry(id).or_insert(Peer { state: State::Waiting(now), attempts: 0 });
        match peer.state {
            _ if connected => peer.state = State::Connected,
            State::Waiting(_) => *peer = Peer { state: State::Waiting(now), attempts: 0 },
            State::Dialing | State::Connected => {}
        }
    }

    /// A peer is no longer wanted.
    pub fn unwant(&mut self, id: &PeerId) {
        self.peers.remove(id);
    }

    /// A session with the peer is up, whoever dialled.
    pub fn connected(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            *peer = Peer { state: State::Connected, attempts: 0 };
        }
    }

    /// The session is lost: dial again after a moment.
    pub fn lost(&mut self, id: &PeerId, now: Now, rng: &mut impl Rng) {
        let pause = jitter(self.policy.min, rng);
        if let Some(peer) = self.peers.get_mut(id) {
            *peer = Peer { state: State::Waiting(now + pause), attempts: 0 };
        }
    }

    /// An attempt failed.
    pub fn failed(&mut self, id: &PeerId, why: Failure, now: Now, rng: &mut impl Rng) {
        let policy = self.policy;
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.state != State::Dialing {
            return; // The peer came by itself meanwhile.
        }
        let pause = match why {
            Failure::Refused => policy.refused,
            Failure::Busy => policy.busy,
            Failure::Unreachable => policy.min.saturating_mul(1 << peer.attempts.min(8)).min(policy.max),
        };
        peer.state = State::Waiting(now + jitter(pause, rng));
    }

    /// Whom to dial now. They count as being dialled until [`Reconnect::connected`] or [`Reconnect::failed`].
    pub fn due(&mut self, now: Now) -> Vec<(PeerId, u32)> {
        if !self.active {
            return vec![];
        }
        let dialing = self.peers.values().filter(|peer| peer.state == State::Dialing).count();
        let mut due: Vec<(Now, PeerId)> = self
            .peers
            .iter()
            .filter_map(|(id, peer)| match peer.state {
                State::Waiting(at) if at <= now => Some((at, *id)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        due.truncate(self.policy.most_at_once.saturating_sub(dialing));
        due.into_iter()
            .map(|(_, id)| {
                let peer = self.peers.get_mut(&id).expect("listed from the same map");
                peer.state = State::Dialing;
                peer.attempts += 1;
                (id, peer.attempts)
            })
            .collect()
    }

    /// When [`Reconnect::due`] may have something next.
    pub fn deadline(&self) -> Option<Now> {
        if !self.active {
            return None;
        }
        let waiting = |peer: &Peer| match peer.state {
            State::Waiting(at) => Some(at),
            _ => None,
        };
        self.peers.values().filter_map(waiting).min()
    }
}

/// Between half and the whole of a pause.
fn jitter(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const POLICY: Policy = Policy {
        min: Duration::from_millis(100),
        max: Duration::from_millis(500),
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
    fn the_pause_after_a_day_is_the_pause_after_a_minute() {
        // Elsewhere, backoff that grew during an outage delayed recovery by 38 s after the heal.
        let (mut machine, mut rng) = machine(1);
        let mut now = Duration::ZERO;
        for _ in 0..200_000 {
            assert_eq!(machine.due(now).len(), 1);
            now += Duration::from_millis(2500);
            machine.failed(&[0; 32], Failure::Unreachable, now, &mut rng);
            let next = machine.deadline().expect("waiting");
            assert!(next - now <= POLICY.max, "{:?} after {now:?}", next - now);
            now = next;
        }
    }

    #[test]
    fn attempts_at_once_are_bounded_and_nobody_is_forgotten() {
        let (mut machine, mut rng) = machine(5);
        let first = machine.due(Duration::ZERO);
        assert_eq!(first.len(), 2);
        assert!(machine.due(Duration::ZERO).is_empty());
        let mut dialled: Vec<_> = first.iter().map(|(id, _)| *id).collect();
        while dialled.len() < 5 {
            let last = *dialled.last().expect("some");
            machine.failed(&last, Failure::Unreachable, Duration::ZERO, &mut rng);
            dialled.extend(machine.due(Duration::ZERO).iter().map(|(id, _)| *id));
        }
        dialled.sort_unstable();
        assert_eq!(dialled, (0..5).map(|i| [i; 32]).collect::<Vec<_>>());
    }

    #[test]
    fn a_session_resets_backoff_and_ends_dialling() {
        let (mut machine, mut rng) = machine(1);
        machine.due(Duration::ZERO);
        machine.connected(&[0; 32]);
        assert_eq!(machine.deadline(), None);
        machine.failed(&[0; 32], Failure::Unreachable, Duration::ZERO, &mut rng);
        assert_eq!(machine.deadline(), None, "the attempt that lost the race changes nothing");
        machine.lost(&[0; 32], Duration::from_secs(5), &mut rng);
        assert!(machine.deadline().expect("waiting") <= Duration::from_millis(5100));
    }

    #[test]
    fn nobody_unwanted_or_inactive_is_dialled() {
        let (mut machine, _) = machine(2);
        machine.unwant(&[0; 32]);
        assert_eq!(machine.due(Duration::ZERO), [([1; 32], 1)]);
        machine.want([2; 32], false, Duration::ZERO);
        machine.set_active(false, Duration::ZERO);
        assert!(machine.due(Duration::from_secs(60)).is_empty());
        assert_eq!(machine.deadline(), None);
    }
}
