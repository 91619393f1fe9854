//! The records that are held: bounded, aged, and summed up for comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::batch::PeerId;
use crate::core::session::Now;
use crate::core::wire::members::{BUCKETS, Held, Prefix, Record, prefix};
use crate::limits;

/// A record that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the member says of itself.
    pub record: Record,
    /// Its age when it came.
    age_s: u32,
    /// When it came.
    pub at: Now,
    /// There was a session with this member: it is no invention.
    pub proven: bool,
}

impl Row {
    /// Its age in seconds.
    pub fn age_s(&self, now: Now) -> u32 {
        let held = u32::try_from(now.saturating_sub(self.at).as_secs()).unwrap_or(u32::MAX);
        self.age_s.saturating_add(held)
    }

    fn expires(&self) -> Now {
        self.at + limits::MEMBER_LIFETIME.saturating_sub(Duration::from_secs(self.age_s.into()))
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<PeerId, Row>,
    expiry: BTreeSet<(Now, PeerId)>,
    sums: Vec<u64>,
}

/// In which part of the table a member is.
pub(super) fn bucket(member: &Prefix) -> usize {
    usize::from(member[0]) * BUCKETS / 256
}

fn digest(record: &Record) -> u64 {
    let hash = blake3::Hasher::new().update(&record.id).update(&record.issue.to_le_bytes()).finalize();
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash is longer"))
}

impl Table {
    pub fn get(&self, id: &PeerId) -> Option<&Row> {
        self.rows.get(id)
    }

    pub fn find(&self, member: &Prefix) -> Option<&Row> {
        let mut from = [0; 32];
        from[..8].copy_from_slice(member);
        let (id, row) = self.rows.range(from..).next()?;
        (prefix(id) == *member).then_some(row)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// What is held of one part.
    pub fn held(&self, part: usize) -> impl Iterator<Item = Held> + '_ {
        let mut from = [0; 32];
        from[0] = (part * 256 / BUCKETS) as u8;
        let rows = self.rows.range(from..).map(|(_, row)| held(row));
        rows.take_while(move |held| bucket(&held.member) == part)
    }

    pub fn sums(&self) -> Vec<u64> {
        if self.sums.is_empty() { vec![0; BUCKETS] } else { self.sums.clone() }
    }

    pub fn sum(&self) -> u64 {
        self.sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
    }

    /// Takes a record if it is newer than what is held, young enough, and there is room. A full table takes in whom we
    /// met, at the expense of whom we only heard of: a member that invents others cannot push out those that exist.
    pub fn insert(&mut self, record: Record, age_s: u32, proven: bool, now: Now) -> bool {
        let known = self.rows.get(&record.id);
        if known.is_some_and(|row| row.record.issue >= record.issue) {
            return false;
        }
        let proven = proven || known.is_some_and(|row| row.proven);
        let row = Row { record, age_s, at: now, proven };
        if row.expires() <= now {
            return false;
        }
        if known.is_none() && self.rows.len() >= limits::MAX_MEMBERS {
            let hearsay = self.expiry.iter().find(|(_, id)| self.rows.get(id).is_some_and(|row| !row.proven));
            match hearsay.map(|(_, id)| *id) {
                Some(oldest) if proven => drop(self.remove(&oldest)),
                _ => return false,
            }
        }
        self.remove(&row.record.id);
        self.sums.resize(BUCKETS, 0);
        let sum = &mut self.sums[bucket(&prefix(&row.record.id))];
        *sum = sum.wrapping_add(digest(&row.record));
        self.expiry.insert((row.expires(), row.record.id));
        self.rows.insert(row.record.id, row);
        true
    }

    pub fn set_proven(&mut self, id: &PeerId) {
        if let Some(row) = self.rows.get_mut(id) {
            row.proven = true;
        }
    }

    fn remove(&mut self, id: &PeerId) -> Option<Row> {
        let row = self.rows.remove(id)?;
        self.expiry.remove(&(row.expires(), *id));
        let sum = &mut self.sums[bucket(&prefix(id))];
        *sum = sum.wrapping_sub(digest(&row.record));
        Some(row)
    }

    /// Removes what is too old.
    pub fn expire(&mut self, now: Now) -> Vec<PeerId> {
        let expired: Vec<PeerId> = self.expiry.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        expired.iter().for_each(|id| drop(self.remove(id)));
        expired
    }

    pub fn deadline(&self) -> Option<Now> {
        self.expiry.first().map(|(at, _)| *at)
    }
}

pub(super) fn held(row: &Row) -> Held {
    Held { member: prefix(&row.record.id), issue: row.record.issue }
}
