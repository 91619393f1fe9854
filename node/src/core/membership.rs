//! Who is known to be in the formation, and how peers tell each other.
//!
//! Each node signs a [`Record`] of itself: role, addresses, and a number that only orders its own records. Records
//! spread from neighbour to neighbour: an announcement of eight bytes and a number to every session that may lack it,
//! and the record itself to whoever asks, so a record crosses the network about once per node, however many
//! sessions there are. What is pending is a set of members, never a queue of messages. Two nodes that meet compare a
//! digest of their tables first.
//!
//! Ages as in OSPF (RFC 2328): a record carries its age, which grows at every holder; its issuer signs a new one long
//! before the old one expires. No clock of the world is read. A member can lie about nobody but itself: it can hold a
//! record back or make it older, and the next neighbour has it fresh.
//! `docs/adr/0007-membership-records.md` says why this is not iroh-gossip.

mod exchange;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use iroh::SecretKey;
use rand::{Rng, RngExt};

use super::batch::PeerId;
use super::session::{Now, SessionId};
use super::topology::Role;
use super::wire::members::{Aged, FormationTag, MembersFrame, Prefix, Record};
use crate::limits;
use exchange::Exchange;
pub use table::Row;
use table::Table;

/// Why a session ends on account of a members frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// Honest nodes pass on only what they have checked.
    #[error("a member record that its issuer did not sign")]
    Forged,
    /// Nobody asked for so many.
    #[error("{actual} member records that nobody asked for")]
    Unasked {
        /// How many.
        actual: usize,
    },
}

/// What this node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Myself {
    /// Its role.
    pub role: Role,
    /// Where it may be found.
    pub addresses: Vec<String>,
}

/// The table of members and the exchanges about it.
pub struct Membership {
    key: SecretKey,
    tag: FormationTag,
    me: PeerId,
    table: Table,
    exchanges: BTreeMap<SessionId, Exchange>,
    /// Records that a session was asked for, and when: the others wait a while with the same question.
    asked: BTreeMap<Prefix, (SessionId, Now)>,
    /// What we say once [`Membership::announce`] was called.
    myself: Option<Myself>,
    /// The calendar at the start, if there is one: [`Membership::set_calendar`].
    calendar: Option<Duration>,
    /// When we sign the next record at the latest.
    refresh_at: Now,
    /// When we signed the last one: not to be overtaken by our own next within [`limits::MEMBER_MIN_INTERVAL`].
    signed_at: Option<Now>,
    /// Members that came, changed or went since [`Membership::take_changed`].
    changed: BTreeSet<PeerId>,
    wakes: BTreeSet<SessionId>,
}

impl Membership {
    /// An empty table. Until [`Membership::announce`] it takes no part in any exchange.
    pub fn new(key: SecretKey, tag: FormationTag) -> Self {
        let me = *key.public().as_bytes();
        Self {
            key,
            tag,
            me,
            table: Table::default(),
            exchanges: BTreeMap::new(),
            asked: BTreeMap::new(),
            myself: None,
            calendar: None,
            refresh_at: Now::MAX,
            signed_at: None,
            changed: BTreeSet::new(),
            wakes: BTreeSet::new(),
        }
    }

    /// Takes up a record that was kept. Kept records are checked like any others: the disk may be another's.
    pub fn load(&mut self, aged: Aged, now: Now) {
        if aged.record.is_genuine(&self.tag) {
            self.changed.insert(aged.record.id);
            self.table.insert(aged.record, aged.age_s, false, now);
        }
    }

    /// Numbers records by the calendar from now on, as long as that is above the last number: a node that was restored
    /// from an older copy must not use a number twice for different words. Nobody compares the numbers of two nodes,
    /// and a calendar that is wrong costs nothing.
    pub fn set_calendar(&mut self, milliseconds_since_1970: u64, now: Now) {
        self.calendar = Duration::from_millis(milliseconds_since_1970).checked_sub(now);
    }

    /// Says what we are, from now on. Signs a record if it says something new.
    pub fn announce(&mut self, myself: Myself, now: Now, rng: &mut impl Rng) {
        if self.myself.as_ref() == Some(&myself) {
            return;
        }
        let first = self.myself.is_none();
        let kept = self.table.get(&self.me).map(|row| (&row.record, row.age_s(now)));
        let same = kept.is_some_and(|(r, age)| {
            r.role == myself.role && r.addresses == myself.addresses && age < limits::MEMBER_REFRESH.as_secs() as u32
        });
        self.myself = Some(myself);
        if same && first {
            // A restart that changes nothing is nobody's business.
            self.refresh_at = now + refresh_pause(rng);
        } else {
            self.sign(now, rng);
        }
        if first {
            self.wakes.extend(self.exchanges.keys());
        }
    }

    /// Whether we take part.
    pub fn is_active(&self) -> bool {
        self.myself.is_some()
    }

    fn sign(&mut self, now: Now, rng: &mut impl Rng) {
        let Some(myself) = &self.myself else { return };
        let soonest = self.signed_at.map_or(now, |at| at + limits::MEMBER_MIN_INTERVAL);
        if now < soonest {
            self.refresh_at = soonest;
            return;
        }
        let next = self.table.get(&self.me).map_or(1, |row| row.record.issue.saturating_add(1));
        let calendar = self.calendar.map_or(0, |start| u64::try_from((start + now).as_millis()).unwrap_or(0));
        let issue = next.max(calendar);
        let record = Record::sign(&self.key, &self.tag, issue, myself.role, myself.addresses.clone());
        self.signed_at = Some(now);
        self.refresh_at = now + refresh_pause(rng);
        self.table.insert(record, 0, true, now);
        self.spread(self.me, None);
    }

    /// A record is new here: everyone but the session it came by may lack it.
    fn spread(&mut self, id: PeerId, origin: Option<SessionId>) {
        for (session, exchange) in &mut self.exchanges {
            if Some(*session) != origin {
                exchange.mark(id);
                self.wakes.insert(*session);
            }
        }
    }

    // ---- sessions --------------------------------------------------------------------------------

    /// A session is up.
    pub fn open(&mut self, session: SessionId, peer: PeerId, dialer: bool, now: Now) {
        self.exchanges.insert(session, Exchange::new(peer, dialer, now));
        self.table.set_proven(&peer);
        self.wakes.insert(session);
    }

    /// A session ended. Idempotent.
    pub fn close(&mut self, session: SessionId) {
        self.exchanges.remove(&session);
        self.asked.retain(|_, (asked, _)| *asked != session);
        self.wakes.extend(self.exchanges.keys());
        self.wakes.remove(&session);
    }

    /// Whether we have a use for a session.
    pub fn set_wish(&mut self, session: SessionId, wanted: bool) {
        if let Some(exchange) = self.exchanges.get_mut(&session)
            && exchange.set_wish(wanted)
        {
            self.wakes.insert(session);
        }
    }

    /// Sessions with whom, since when, and whether neither side has a use for them. Only the dialer says so of a session.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, PeerId, Now, bool)> + '_ {
        self.exchanges.iter().map(|(id, e)| (*id, e.peer, e.since, e.is_idle_for_both() && e.dialer))
    }

    /// Takes a frame of a peer.
    pub fn receive(
        &mut self,
        session: SessionId,
        frame: MembersFrame,
        now: Now,
        rng: &mut impl Rng,
    ) -> Result<(), MembersError> {
        let active = self.is_active();
        let Some(exchange) = self.exchanges.get_mut(&session) else { return Ok(()) };
        if !active {
            // Not our game, or not yet: neither answered nor refused.
            if let MembersFrame::Digest { .. } = frame {
                exchange.receive(frame, &self.table);
            }
            return Ok(());
        }
        self.wakes.insert(session);
        match frame {
            MembersFrame::Records { records, missing } => {
                let actual = records.len() + missing.len();
                let asked = records.iter().map(|aged| prefix_of(&aged.record)).chain(missing.iter().copied());
                for prefix in asked {
                    if !exchange.answered(&prefix) {
                        return Err(MembersError::Unasked { actual });
                    }
                    self.asked.remove(&prefix);
                }
                for aged in records {
                    self.take(session, aged, now, rng)?;
                }
                // Others may have had the same question.
                self.wakes.extend(self.exchanges.keys());
            }
            other => exchange.receive(other, &self.table),
        }
        Ok(())
    }

    fn take(&mut self, session: SessionId, aged: Aged, now: Now, rng: &mut impl Rng) -> Result<(), MembersError> {
        let Aged { record, age_s } = aged;
        if !record.is_genuine(&self.tag) {
            return Err(MembersError::Forged);
        }
        let id = record.id;
        if id == self.me {
            // We were restored from an older copy, or lost our last writes: go on from the higher number.
            if self.table.get(&id).is_none_or(|own| own.record.issue < record.issue) {
                self.table.insert(record, age_s, true, now);
                self.signed_at = None;
                self.sign(now, rng);
            }
            return Ok(());
        }
        let proven = self.exchanges.values().any(|exchange| exchange.peer == id);
        if self.table.insert(record, age_s.saturating_add(1), proven, now) {
            self.changed.insert(id);
            self.spread(id, Some(session));
        }
        Ok(())
    }

    /// The next frame for a peer; `None`: nothing until it is woken.
    pub fn next_frame(&mut self, session: SessionId, now: Now) -> Option<MembersFrame> {
        if !self.is_active() {
            return None;
        }
        let exchange = self.exchanges.get_mut(&session)?;
        exchange.next_frame(session, &self.table, &mut self.asked, now)
    }

    // ---- time ------------------------------------------------------------------------------------

    /// Time has passed: what is too old goes, and we sign anew when it is due.
    pub fn advance(&mut self, now: Now, rng: &mut impl Rng) {
        if self.is_active() && self.refresh_at <= now {
            self.sign(now, rng);
        }
        self.changed.extend(self.table.expire(now));
        let due = self.exchanges.iter().filter(|(_, exchange)| exchange.due.is_some_and(|at| at <= now));
        self.wakes.extend(due.map(|(session, _)| *session));
    }

    /// When [`Membership::advance`] has something to do.
    pub fn deadline(&self) -> Option<Now> {
        let refresh = self.is_active().then_some(self.refresh_at);
        let exchanges = self.exchanges.values().filter_map(|exchange| exchange.due);
        refresh.into_iter().chain(self.table.deadline()).chain(exchanges).min()
    }

    // ---- what is known ---------------------------------------------------------------------------

    /// Every other member that is known.
    pub fn members(&self) -> impl Iterator<Item = &Record> {
        self.table.rows().map(|row| &row.record).filter(|record| record.id != self.me)
    }

    /// One row, our own included.
    pub fn row(&self, id: &PeerId) -> Option<&Row> {
        self.table.get(id)
    }

    /// Every row, our own included, for keeping.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.table.rows()
    }

    /// Who has come, changed or gone since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.changed)
    }

    /// Whether [`Membership::take_changed`] has anyone.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// When a session has a frame although nobody wakes it.
    pub fn due(&self, session: SessionId) -> Option<Now> {
        self.exchanges.get(&session)?.due
    }

    /// Sessions that may have a frame since the last call.
    pub fn take_wakes(&mut self) -> BTreeSet<SessionId> {
        std::mem::take(&mut self.wakes)
    }
}

fn prefix_of(record: &Record) -> Prefix {
    super::wire::members::prefix(&record.id)
}

/// Not all at once, should a whole formation have started at once.
fn refresh_pause(rng: &mut impl Rng) -> Duration {
    limits::MEMBER_REFRESH.mul_f64(rng.random_range(0.75..=1.0))
}
