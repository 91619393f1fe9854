//! Who may begin an admission: decided per source, before the TLS handshake, from what became of earlier ones.
//!
//! A pure state machine; time is an argument. Every admission takes a *pass*, which costs one failure in advance at
//! three levels (the socket, its source, all strangers together) and is refunded if the peer turns out to be a member. So
//! failures, and handshakes that never end, are the same thing. Rejected alternative: counting failures when they
//! happen; a flood would have [`limits::ADMISSION_TIMEOUT`] to begin as many as it can.
//!
//! An address where a member was lately (a *friend*) has a pool of its own and is not subject to the two upper levels: an honest
//! peer gets in however many strangers knock behind the same address. Nobody can speak from an address that is not
//! theirs: whenever an address has failed lately, or much is under way, its owner must first show that it
//! receives there (QUIC Retry).

mod origin;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use origin::{Origin, Source};

use crate::core::session::Now;
use crate::limits::{self, Allowance};

/// What is done about a first packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on to the handshake; [`Throttle::settle`] when it is over.
    Admit(Pass),
    /// Have the sender show that it receives at its address.
    Challenge,
    /// Do not answer: costs us nothing, and tells nothing. An honest client repeats its first packet.
    Ignore,
}

/// An admission under way.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a pass that is not settled counts as under way for ever"]
pub struct Pass {
    origin: Origin,
    friend: bool,
}

impl Pass {
    /// Who knocked.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// How an admission ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a session, or because the pair has one: costs nothing.
    Admitted,
    /// It proved its membership and was turned away all the same: a friend, but one that must not hammer.
    TurnedAway,
    /// Anything else.
    Failed,
}

/// Failures that were not forgiven yet, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Debt {
    thousandths: u64,
    at: Now,
}

impl Debt {
    const NONE: Self = Self { thousandths: 0, at: Duration::ZERO };

    fn at(self, now: Now, allowance: Allowance) -> Self {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        let forgiven = passed.saturating_mul(u64::from(allowance.per_second));
        Self { thousandths: self.thousandths.saturating_sub(forgiven), at: now }
    }

    fn has_room(self, allowance: Allowance) -> bool {
        self.thousandths + 1000 <= u64::from(allowance.burst) * 1000
    }

    fn is_suspicious(self, allowance: Allowance) -> bool {
        self.thousandths * 2 >= u64::from(allowance.burst) * 1000
    }

    fn charged(self) -> Self {
        Self { thousandths: self.thousandths + 1000, ..self }
    }

    fn refunded(self) -> Self {
        Self { thousandths: self.thousandths.saturating_sub(1000), ..self }
    }
}

/// Debts by name, bounded: when it is full the one forgiven most is forgotten.
#[derive(Debug)]
struct Ledger<K> {
    allowance: Allowance,
    debts: BTreeMap<K, Debt>,
}

impl<K: Ord + Clone> Ledger<K> {
    fn new(allowance: Allowance) -> Self {
        Self { allowance, debts: BTreeMap::new() }
    }

    fn debt(&self, key: &K, now: Now) -> Debt {
        self.debts.get(key).map_or(Debt { at: now, ..Debt::NONE }, |debt| debt.at(now, self.allowance))
    }

    fn charge(&mut self, key: &K, now: Now) {
        let charged = self.debt(key, now).charged();
        if self.debts.len() >= limits::MAX_THROTTLED && !self.debts.contains_key(key) {
            self.make_room(now);
        }
        self.debts.insert(key.clone(), charged);
    }

    fn refund(&mut self, key: &K, now: Now) {
        let refunded = self.debt(key, now).refunded();
        if refunded.thousandths == 0 {
            self.debts.remove(key);
        } else if let Some(debt) = self.debts.get_mut(key) {
            *debt = refunded;
        }
    }

    fn make_room(&mut self, now: Now) {
        let allowance = self.allowance;
        self.debts.retain(|_, debt| debt.at(now, allowance).thousandths > 0);
        if self.debts.len() >= limits::MAX_THROTTLED {
            let least = self.debts.iter().min_by_key(|(_, debt)| debt.at(now, allowance).thousandths);
            if let Some(least) = least.map(|(key, _)| key.clone()) {
                self.debts.remove(&least);
            }
        }
    }
}

/// Decides who may begin an admission.
#[derive(Debug)]
pub struct Throttle {
    sockets: Ledger<Origin>,
    sources: Ledger<Source>,
    strangers: Debt,
    /// When a member was last admitted from there.
    friends: BTreeMap<Origin, Now>,
    pending_strangers: usize,
    pending_friends: usize,
    pending_by_source: BTreeMap<Source, usize>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            sockets: Ledger::new(limits::SOCKET_FAILURES),
            sources: Ledger::new(limits::SOURCE_FAILURES),
            strangers: Debt::NONE,
            friends: BTreeMap::new(),
            pending_strangers: 0,
            pending_friends: 0,
            pending_by_source: BTreeMap::new(),
        }
    }
}

impl Throttle {
    /// Somebody's first packet is here. `validated`: its sender is known to receive at its address.
    pub fn knock(&mut self, origin: &Origin, validated: bool, now: Now) -> Verdict {
        if self.is_friend(origin, now) {
            self.friend(origin, validated, now)
        } else {
            self.stranger(origin, validated, now)
        }
    }

    /// The same for a peer that we know, at a socket that vouches for who it is: a friend from the first packet on.
    pub fn knock_known(&mut self, origin: &Origin, validated: bool, now: Now) -> Verdict {
        self.friend(origin, validated, now)
    }

    fn friend(&mut self, origin: &Origin, validated: bool, now: Now) -> Verdict {
        let debt = self.sockets.debt(origin, now);
        if self.pending_friends >= limits::MAX_PENDING_FRIENDS || !debt.has_room(self.sockets.allowance) {
            return Verdict::Ignore;
        }
        let crowded = self.pending_friends * 2 >= limits::MAX_PENDING_FRIENDS;
        if !validated && (crowded || debt.is_suspicious(self.sockets.allowance)) {
            return Verdict::Challenge;
        }
        self.sockets.charge(origin, now);
        self.pending_friends += 1;
        Verdict::Admit(Pass { origin: origin.clone(), friend: true })
    }

    fn stranger(&mut self, origin: &Origin, validated: bool, now: Now) -> Verdict {
        let source = origin.source();
        let (socket, of_source) = (self.sockets.debt(origin, now), self.sources.debt(&source, now));
        let everyone = self.strangers.at(now, limits::STRANGER_FAILURES);
        let pending = self.pending_by_source.get(&source).copied().unwrap_or(0);
        let has_room = socket.has_room(self.sockets.allowance)
            && of_source.has_room(self.sources.allowance)
            && everyone.has_room(limits::STRANGER_FAILURES)
            && pending < limits::MAX_PENDING_PER_SOURCE
            && self.pending_strangers < limits::MAX_PENDING_ADMISSIONS;
        if !has_room {
            return Verdict::Ignore;
        }
        let suspicious = socket.is_suspicious(self.sockets.allowance)
            || of_source.is_suspicious(self.sources.allowance)
            || everyone.is_suspicious(limits::STRANGER_FAILURES)
            || self.pending_strangers * 2 >= limits::MAX_PENDING_ADMISSIONS;
        if !validated && suspicious {
            return Verdict::Challenge;
        }
        self.sockets.charge(origin, now);
        self.sources.charge(&source, now);
        self.strangers = everyone.charged();
        self.pending_strangers += 1;
        *self.pending_by_source.entry(source).or_insert(0) += 1;
        Verdict::Admit(Pass { origin: origin.clone(), friend: false })
    }

    /// An admission is over.
    pub fn settle(&mut self, pass: Pass, outcome: Outcome, now: Now) {
        let Pass { origin, friend } = pass;
        let source = origin.source();
        if friend {
            self.pending_friends -= 1;
        } else {
            self.pending_strangers -= 1;
            if let Some(pending) = self.pending_by_source.get_mut(&source) {
                *pending -= 1;
                if *pending == 0 {
                    self.pending_by_source.remove(&source);
                }
            }
        }
        if outcome == Outcome::Admitted {
            self.sockets.refund(&origin, now);
            if !friend {
                self.sources.refund(&source, now);
                self.strangers = self.strangers.at(now, limits::STRANGER_FAILURES).refunded();
            }
        }
        if outcome != Outcome::Failed {
            self.befriend(origin, now);
        }
    }

    /// Admissions under way.
    pub fn pending(&self) -> usize {
        self.pending_strangers + self.pending_friends
    }

    fn is_friend(&self, origin: &Origin, now: Now) -> bool {
        self.friends.get(origin).is_some_and(|at| now.saturating_sub(*at) < limits::FRIEND_FOR)
    }

    fn befriend(&mut self, origin: Origin, now: Now) {
        if self.friends.len() >= limits::MAX_FRIENDS && !self.friends.contains_key(&origin) {
            let oldest = self.friends.iter().min_by_key(|(_, at)| **at).map(|(origin, _)| origin.clone());
            if let Some(oldest) = oldest {
                self.friends.remove(&oldest);
            }
        }
        self.friends.insert(origin, now);
    }
}
