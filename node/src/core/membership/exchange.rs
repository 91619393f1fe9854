//! What one session still has to tell and to ask about members.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{Table, held};
use crate::core::batch::PeerId;
use crate::core::session::{Now, SessionId};
use crate::core::wire::members::{Aged, BUCKETS, Held, MembersFrame, Prefix};
use crate::limits;

#[derive(Debug)]
pub(super) struct Exchange {
    pub peer: PeerId,
    pub dialer: bool,
    pub since: Now,
    greeted: bool,
    /// The peer takes part.
    theirs: bool,
    send_buckets: bool,
    /// Parts of the table to list, one bit each.
    list: u64,
    /// Members whose records the peer may lack.
    news: BTreeSet<PeerId>,
    /// When news may be told: what comes close together is told together.
    news_due: Now,
    /// What the peer holds and we lack.
    lacking: BTreeMap<Prefix, u64>,
    /// What we asked it for.
    asked: BTreeSet<Prefix>,
    /// What it asked us for.
    owed: BTreeSet<Prefix>,
    wish: bool,
    wish_told: bool,
    their_wish: bool,
    /// Records that we may still ask for, as of `credited`.
    credit: f64,
    credited: Now,
    /// When to look again although nobody woke us.
    pub due: Option<Now>,
}

impl Exchange {
    pub fn new(peer: PeerId, dialer: bool, now: Now) -> Self {
        Self {
            peer,
            dialer,
            since: now,
            greeted: false,
            theirs: false,
            send_buckets: false,
            list: 0,
            news: BTreeSet::new(),
            news_due: now,
            lacking: BTreeMap::new(),
            asked: BTreeSet::new(),
            owed: BTreeSet::new(),
            wish: true,
            wish_told: true,
            their_wish: true,
            credit: limits::MEMBER_CHECKS_BURST,
            credited: now,
            due: None,
        }
    }

    pub fn mark(&mut self, id: PeerId) {
        self.news.insert(id);
    }

    /// Returns whether that is news for the peer.
    pub fn set_wish(&mut self, wanted: bool) -> bool {
        self.wish = wanted;
        self.wish != self.wish_told
    }

    pub fn is_idle_for_both(&self) -> bool {
        self.theirs && !self.wish && !self.wish_told && !self.their_wish
    }

    /// The peer answered a question; false if it was none.
    pub fn answered(&mut self, member: &Prefix) -> bool {
        self.asked.remove(member)
    }

    pub fn receive(&mut self, frame: MembersFrame, table: &Table) {
        match frame {
            MembersFrame::Digest { sum } => {
                self.theirs = true;
                // One side leads, or both would list.
                self.send_buckets = self.dialer && sum != table.sum();
            }
            MembersFrame::Buckets(theirs) => {
                let differs = |(_, (ours, theirs)): &(usize, (&u64, &u64))| ours != theirs;
                let ours = table.sums();
                let differing = ours.iter().zip(&theirs).enumerate().filter(differs);
                self.list = differing.fold(0, |list, (part, _)| list | 1 << part);
            }
            MembersFrame::List { buckets, held: theirs } => {
                let listed: BTreeMap<Prefix, u64> = theirs.iter().map(|held| (held.member, held.issue)).collect();
                self.take_held(theirs, table);
                let ours = (0..BUCKETS).filter(|part| buckets >> part & 1 == 1).flat_map(|part| table.held(part));
                let newer = ours.filter(|ours| listed.get(&ours.member).is_none_or(|issue| *issue < ours.issue));
                let ids = newer.filter_map(|held| table.find(&held.member)).map(|row| row.record.id);
                self.news.extend(ids);
            }
            MembersFrame::Have(theirs) => self.take_held(theirs, table),
            MembersFrame::Want(members) => self.owed.extend(members),
            MembersFrame::Wish { wanted } => self.their_wish = wanted,
            MembersFrame::Records { .. } => {}
        }
    }

    fn take_held(&mut self, theirs: Vec<Held>, table: &Table) {
        for Held { member, issue } in theirs {
            let row = table.find(&member);
            let ours = row.map_or(0, |row| row.record.issue);
            if issue >= ours
                && let Some(row) = row
            {
                // What it has it need not be told.
                self.news.remove(&row.record.id);
            }
            if issue > ours && (self.lacking.len() < limits::MAX_MEMBERS || self.lacking.contains_key(&member)) {
                self.lacking.insert(member, issue);
            }
        }
    }

    pub fn next_frame(
        &mut self,
        session: SessionId,
        table: &Table,
        asked: &mut BTreeMap<Prefix, (SessionId, Now)>,
        now: Now,
    ) -> Option<MembersFrame> {
        self.due = None;
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(MembersFrame::Digest { sum: table.sum() });
        }
        if !self.theirs {
            return None;
        }
        if self.wish != self.wish_told {
            self.wish_told = self.wish;
            return Some(MembersFrame::Wish { wanted: self.wish });
        }
        if std::mem::take(&mut self.send_buckets) {
            return Some(MembersFrame::Buckets(table.sums()));
        }
        if self.list != 0 {
            return Some(self.next_list(table));
        }
        if !self.owed.is_empty() {
            return Some(self.next_records(table, now));
        }
        if let Some(frame) = self.next_want(session, table, asked, now) {
            return Some(frame);
        }
        self.next_news(table, now)
    }

    fn look_again(&mut self, at: Now) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn next_list(&mut self, table: &Table) -> MembersFrame {
        let (mut buckets, mut listed) = (0, Vec::new());
        while self.list != 0 && listed.len() < limits::MAX_MEMBERS_ANNOUNCED {
            let part = self.list.trailing_zeros() as usize;
            self.list &= self.list - 1;
            buckets |= 1 << part;
            listed.extend(table.held(part));
        }
        MembersFrame::List { buckets, held: listed }
    }

    fn next_records(&mut self, table: &Table, now: Now) -> MembersFrame {
        let (mut records, mut missing) = (Vec::new(), Vec::new());
        while records.len() + missing.len() < limits::MAX_RECORDS_SENT {
            let Some(member) = self.owed.pop_first() else { break };
            match table.find(&member) {
                Some(row) => {
                    self.news.remove(&row.record.id);
                    records.push(Aged { record: row.record.clone(), age_s: row.age_s(now) });
                }
                None => missing.push(member),
            }
        }
        MembersFrame::Records { records, missing }
    }

    fn next_want(
        &mut self,
        session: SessionId,
        table: &Table,
        asked: &mut BTreeMap<Prefix, (SessionId, Now)>,
        now: Now,
    ) -> Option<MembersFrame> {
        if self.lacking.is_empty() {
            return None;
        }
        let earned = now.saturating_sub(self.credited).as_secs_f64() * limits::MEMBER_CHECKS_PER_SECOND;
        (self.credit, self.credited) = ((self.credit + earned).min(limits::MEMBER_CHECKS_BURST), now);
        let (mut want, mut settled, mut again) = (Vec::new(), Vec::new(), None::<Now>);
        for (member, issue) in &self.lacking {
            if self.asked.len() + want.len() >= limits::MAX_RECORDS_WANTED {
                // Its answer wakes us.
                break;
            }
            let row = table.find(member);
            if row.is_some_and(|row| row.record.issue >= *issue) {
                settled.push(*member);
                continue;
            }
            let rested = row.map_or(Now::ZERO, |row| row.at + limits::MEMBER_MIN_INTERVAL);
            let patient = match asked.get(member) {
                Some((other, at)) if *other != session => *at + limits::MEMBER_PATIENCE,
                _ => Now::ZERO,
            };
            let from = rested.max(patient);
            if from > now {
                again = Some(again.map_or(from, |at| at.min(from)));
                continue;
            }
            if self.credit < 1.0 {
                let one = now + std::time::Duration::from_secs_f64(1.0 / limits::MEMBER_CHECKS_PER_SECOND);
                again = Some(again.map_or(one, |at| at.min(one)));
                break;
            }
            self.credit -= 1.0;
            want.push(*member);
        }
        for member in settled.iter().chain(&want) {
            self.lacking.remove(member);
        }
        if let Some(at) = again {
            self.look_again(at);
        }
        if want.is_empty() {
            return None;
        }
        for member in &want {
            self.asked.insert(*member);
            asked.insert(*member, (session, now));
        }
        Some(MembersFrame::Want(want))
    }

    fn next_news(&mut self, table: &Table, now: Now) -> Option<MembersFrame> {
        if self.news.is_empty() {
            return None;
        }
        if now < self.news_due {
            self.look_again(self.news_due);
            return None;
        }
        let mut told = Vec::new();
        while told.len() < limits::MAX_MEMBERS_ANNOUNCED {
            let Some(id) = self.news.pop_first() else { break };
            told.extend(table.get(&id).map(held));
        }
        self.news_due = now + limits::MEMBER_NEWS_PAUSE;
        (!told.is_empty()).then_some(MembersFrame::Have(told))
    }
}
