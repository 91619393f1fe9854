//! Whom to dial, and when: who is wanted plus a bounded cadence, as a pure state machine.
//!
//! Time to recover must not depend on how long an outage lasted, so the interval between attempts never
//! grows. An attempt may still be under way when the next one begins: its answer may be on a slow link. Jitter
//! keeps many peers that lose one hub from coming back in one instant. A sign of life makes the next attempt due
//! at once, bounded so that nobody can make us flood by giving signs. Peers that may well answer never wait behind
//! peers that have not answered for long.
//! `docs/adr/0003-reconnect-in-one-place.md` says why this is the only place that dials.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::batch::PeerId;
use super::session::Now;
use crate::node::{Plant, Plants};

/// The cadence of attempts.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Longest pause before the first attempt after a loss.
    pub pause: Duration,
    /// From the beginning of one attempt to the beginning of the next while nobody answers.
    pub interval: Duration,
    /// The same after a sign of life, at least.
    pub hasty: Duration,
    /// After the peer answered and asked to come back.
    pub busy: Duration,
    /// After the peer answered and refused.
    pub refused: Duration,
    /// Attempts under way at once, over all peers.
    pub most_at_once: usize,
    /// How many of those cold peers may hold: those that gave no sign of life yet, or none to the last
    /// [`COLD_AFTER`] attempts.
    pub most_cold: usize,
}

/// A peer that did not answer so many attempts is dialled behind those that may.
const COLD_AFTER: u32 = 2;

/// Attempts of a [`Reconnect::knock`]: one, and two more in case a packet is lost or the other side is not yet up.
const KNOCKS: u32 = 3;

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
    /// Attempts since the last session or sign of life.
    unanswered: u32,
    /// There was one.
    known: bool,
    /// When the last of them began.
    dialled: Option<Now>,
    /// It answered and does not want to be dialled before.
    not_before: Now,
    /// Attempts under way.
    dialing: usize,
    /// Forgotten after a few attempts or with the first session: [`Reconnect::knock`].
    knocking: bool,
}

/// The wanted peers.
#[derive(Debug)]
pub struct Reconnect {
    policy: Policy,
    active: bool,
    peers: BTreeMap<PeerId, Peer>,
    plants: Plants,
}

impl Reconnect {
    /// Wants nobody; dials nobody until active.
    pub fn new(policy: Policy) -> Self {
        Self { policy, active: false, peers: BTreeMap::new(), plants: Plants::default() }
    }

    /// With bugs from now on.
    pub(crate) fn plant(&mut self, plants: Plants) {
        self.plants = plants;
    }

    /// Starts or stops dialling (StartSync, StopSync).
    pub fn set_active(&mut self, active: bool, now: Now) {
        self.active = active;
        self.peers.values_mut().for_each(|peer| peer.dial_at(now));
    }

    /// A peer is wanted: dial at once unless it is connected.
    pub fn want(&mut self, id: PeerId, connected: bool, now: Now) {
        let peer = self.peers.entry(id).or_insert_with(|| Peer::waiting(now));
        peer.knocking = false;
        if connected {
            peer.state = State::Connected;
        } else {
            peer.dial_at(now);
        }
    }

    /// A peer is tried a few times and then forgotten unless it is wanted meanwhile. For former neighbours after a
    /// restart: those that still hold our old connection learn at once that it is dead. `at` is when to begin.
    pub fn knock(&mut self, id: PeerId, at: Now) {
        self.peers.entry(id).or_insert_with(|| Peer { knocking: true, ..Peer::waiting(at) });
    }

    /// A peer is no longer wanted.
    pub fn unwant(&mut self, id: &PeerId) {
        self.peers.remove(id);
    }

    /// A session with the peer is up, whoever dialled.
    pub fn connected(&mut self, id: &PeerId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.knocking {
            self.peers.remove(id);
            return;
        }
        peer.state = State::Connected;
        peer.attempts = 0;
        peer.unanswered = 0;
        peer.known = true;
        peer.not_before = Now::ZERO;
        // Those that are still under way lead nowhere any more.
        peer.dialing = 0;
    }

    /// The session is lost: dial again after a moment, drawn from the whole pause so that many do not come at once.
    pub fn lost(&mut self, id: &PeerId, now: Now, rng: &mut impl Rng) {
        let pause = self.policy.pause.mul_f64(rng.random_range(0.0..=1.0));
        if let Some(peer) = self.peers.get_mut(id) {
            peer.state = State::Waiting(now + pause);
        }
    }

    /// Attempts since the last session; `None`: not wanted.
    pub fn attempts(&self, id: &PeerId) -> Option<u32> {
        self.peers.get(id).map(|peer| peer.attempts)
    }

    /// The peer gave a sign of life, or the network did: its next attempt is due at once, but not sooner than
    /// `hasty` after the last one, nor before a refusal has passed.
    pub fn alive(&mut self, id: &PeerId, now: Now) {
        let hasty = self.policy.hasty;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.hasten(now, hasty);
        }
    }

    /// The network is there again after a time without any session: the same for every peer, spread over `hasty`.
    pub fn all_alive(&mut self, now: Now, rng: &mut impl Rng) {
        let hasty = self.policy.hasty;
        for peer in self.peers.values_mut() {
            peer.hasten(now + hasty.mul_f64(rng.random_range(0.0..=1.0)), hasty);
        }
    }

    /// An attempt ended without a session.
    pub fn failed(&mut self, id: &PeerId, why: Failure, now: Now, rng: &mut impl Rng) {
        let pause = match why {
            Failure::Unreachable => Duration::ZERO,
            Failure::Busy => jitter(self.policy.busy, rng),
            Failure::Refused => jitter(self.policy.refused, rng),
        };
        let Some(peer) = self.peers.get_mut(id) else { return };
        peer.dialing = peer.dialing.saturating_sub(1);
        if peer.knocking && (why != Failure::Unreachable || (peer.attempts >= KNOCKS && peer.dialing == 0)) {
            self.peers.remove(id);
            return;
        }
        if why != Failure::Unreachable {
            peer.not_before = now + pause;
        }
        if let State::Waiting(next) = &mut peer.state {
            *next = (*next).max(now + pause);
        }
    }

    /// Whom to dial now, with the number of the attempt. They count as being dialled until
    /// [`Reconnect::connected`] or [`Reconnect::failed`].
    ///
    /// Warm peers come before cold ones, and those that have not been tried twice before those that have; among equals
    /// who waits longest. Of `most_at_once`, cold ones never hold more than `most_cold`.
    pub fn due(&mut self, now: Now, rng: &mut impl Rng) -> Vec<(PeerId, u32)> {
        if !self.active {
            return vec![];
        }
        let dialing = |cold| self.peers.values().filter(|p| p.is_cold() >= cold).map(|p| p.dialing).sum();
        let (all, cold): (usize, usize) = (dialing(false), dialing(true));
        let mut room = self.policy.most_at_once.saturating_sub(all);
        let mut cold_room = self.policy.most_cold.saturating_sub(cold);
        let waiting = |(id, peer): (&PeerId, &Peer)| match peer.state {
            State::Waiting(at) if at <= now && !peer.is_spent() => {
                Some(((peer.is_cold(), peer.unanswered >= COLD_AFTER), at, *id))
            }
            _ => None,
        };
        let mut due: Vec<((bool, bool), Now, PeerId)> = self.peers.iter().filter_map(waiting).collect();
        due.sort_unstable();
        due.retain(|((cold, _), ..)| {
            let go = room > 0 && (!cold || cold_room > 0);
            room -= usize::from(go);
            cold_room -= usize::from(go && *cold);
            go
        });
        due.into_iter()
            .map(|(_, _, id)| {
                let mut pause = jitter(self.policy.interval, rng);
                let peer = self.peers.get_mut(&id).expect("listed from the same map");
                if self.plants.has(Plant::GrowingBackoff) {
                    pause *= 1 << peer.attempts.min(6);
                }
                if self.plants.has(Plant::DialStorm) {
                    pause /= 20;
                }
                peer.state = State::Waiting(now + pause);
                peer.dialled = Some(now);
                peer.attempts += 1;
                peer.unanswered += 1;
                peer.dialing += 1;
                (id, peer.attempts)
            })
            .collect()
    }

    /// When [`Reconnect::due`] may have something next. In the past while the bound on attempts at once is
    /// reached: ask again when one has ended.
    pub fn deadline(&self, now: Now) -> Option<Now> {
        let waiting = |peer: &Peer| match peer.state {
            State::Waiting(at) if at > now && !peer.is_spent() => Some(at),
            _ => None,
        };
        self.active.then(|| self.peers.values().filter_map(waiting).min()).flatten()
    }
}

impl Peer {
    fn waiting(at: Now) -> Self {
        let state = State::Waiting(at);
        Self {
            state,
            attempts: 0,
            unanswered: 0,
            known: false,
            dialled: None,
            not_before: Now::ZERO,
            dialing: 0,
            knocking: false,
        }
    }

    fn dial_at(&mut self, at: Now) {
        if let State::Waiting(_) = self.state {
            self.state = State::Waiting(at);
            self.attempts = 0;
            self.unanswered = 0;
            self.not_before = Now::ZERO;
        }
    }

    fn hasten(&mut self, at: Now, hasty: Duration) {
        let soonest = self.dialled.map_or(at, |last| at.max(last + hasty)).max(self.not_before);
        if let State::Waiting(next) = &mut self.state {
            *next = (*next).min(soonest);
            // Not the attempts: on a link that only lets slow ones through, both sides would reset each other's
            // count for ever.
            self.unanswered = 0;
            self.known = true;
        }
    }

    fn is_cold(&self) -> bool {
        !self.known || self.unanswered >= COLD_AFTER
    }

    /// It was knocked at often enough.
    fn is_spent(&self) -> bool {
        self.knocking && self.attempts >= KNOCKS
    }
}

/// Between nine tenths and the whole of a pause.
fn jitter(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.9..=1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const POLICY: Policy = Policy {
        pause: Duration::from_millis(100),
        interval: Duration::from_millis(2000),
        hasty: Duration::from_millis(500),
        busy: Duration::from_secs(2),
        refused: Duration::from_secs(10),
        most_at_once: 2,
        most_cold: 2,
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

    #[test]
    fn a_sign_of_life_makes_the_next_attempt_due_but_a_hundred_of_them_not_a_hundred() {
        let (mut machine, mut rng) = machine(1);
        machine.due(Duration::ZERO, &mut rng);
        machine.failed(&[0; 32], Failure::Unreachable, Duration::from_millis(10), &mut rng);
        let mut dials = vec![];
        for ms in (10..2010).step_by(10) {
            let now = Duration::from_millis(ms);
            machine.alive(&[0; 32], now);
            for _ in machine.due(now, &mut rng) {
                dials.push(ms);
                machine.failed(&[0; 32], Failure::Unreachable, now, &mut rng);
            }
        }
        assert_eq!(dials, [500, 1000, 1500, 2000]);
    }

    #[test]
    fn a_sign_of_life_does_not_shorten_a_refusal() {
        let (mut machine, mut rng) = machine(1);
        machine.due(Duration::ZERO, &mut rng);
        machine.failed(&[0; 32], Failure::Refused, Duration::from_secs(1), &mut rng);
        machine.alive(&[0; 32], Duration::from_secs(2));
        assert!(machine.due(Duration::from_secs(9), &mut rng).is_empty());
    }

    #[test]
    fn a_former_neighbour_is_knocked_at_a_few_times_and_forgotten() {
        let (mut machine, mut rng) = machine(0);
        machine.knock([7; 32], Duration::from_millis(50));
        let mut dials = 0;
        for ms in (0..60_000).step_by(50) {
            let now = Duration::from_millis(ms);
            for (id, _) in machine.due(now, &mut rng) {
                dials += 1;
                machine.failed(&id, Failure::Unreachable, now, &mut rng);
            }
        }
        assert_eq!((dials, machine.peers.len()), (KNOCKS, 0));
        machine.knock([7; 32], Duration::from_secs(60));
        machine.want([7; 32], false, Duration::from_secs(60));
        for _ in 0..2 * KNOCKS {
            machine.failed(&[7; 32], Failure::Unreachable, Duration::from_secs(60), &mut rng);
        }
        assert_eq!(machine.peers.len(), 1, "who is wanted meanwhile stays");
    }

    #[test]
    fn two_hundred_that_lose_one_hub_come_back_over_the_whole_pause() {
        // Drawn from the last tenth of the pause, as it was, all of them dialled within 10 ms.
        let (mut machine, mut rng) = machine(200);
        machine.policy.most_at_once = 1000;
        (0..200).for_each(|i| machine.connected(&[i; 32]));
        (0..200).for_each(|i| machine.lost(&[i; 32], Duration::from_secs(9), &mut rng));
        let halfway = Duration::from_secs(9) + POLICY.pause / 2;
        let early = machine.due(halfway, &mut rng).len();
        assert!((60..140).contains(&early), "{early} of 200 in the first half");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_live_peer_never_waits_behind_dead_ones(
            dead in 0u8..=255,
            // Of attempts, in steps of 100 ms.
            durations in prop::collection::vec(1u32..100, 16),
            lost_at in 10u32..300,
        ) {
            // With one bound for all, 64 dead peers with attempts of up to 10 s held every place, and a peer that had
            // just been lost waited for one of them to time out.
            let live = [255; 32];
            let mut machine = Reconnect::new(Policy { most_at_once: 64, most_cold: 48, ..POLICY });
            let mut rng = ChaCha8Rng::seed_from_u64(u64::from(dead));
            machine.set_active(true, Duration::ZERO);
            machine.want(live, false, Duration::ZERO);
            machine.connected(&live);
            (0..dead).for_each(|i| machine.want([i; 32], false, Duration::ZERO));
            let mut under_way: Vec<(u32, PeerId)> = vec![];
            let mut dialled = [0u32; 256];
            let mut redialled = None;
            for step in 0..lost_at + 1200 {
                let now = Duration::from_millis(100) * step;
                let (ended, going): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(until, _)| *until <= step);
                under_way = going;
                ended.iter().for_each(|(_, id)| machine.failed(id, Failure::Unreachable, now, &mut rng));
                if step == lost_at {
                    machine.lost(&live, now, &mut rng);
                }
                for (id, attempt) in machine.due(now, &mut rng) {
                    if id == live {
                        redialled.get_or_insert(step - lost_at);
                    }
                    dialled[usize::from(id[0])] += 1;
                    under_way.push((step + durations[(attempt as usize + usize::from(id[0])) % 16], id));
                }
                prop_assert!(under_way.len() <= 64);
            }
            prop_assert!(redialled.is_some_and(|steps| steps <= 1), "redialled after {redialled:?} steps");
            let starved = (0..usize::from(dead)).filter(|i| dialled[*i] < 2).count();
            prop_assert_eq!(starved, 0, "dead ones are still dialled in turn");
        }
    }
}
