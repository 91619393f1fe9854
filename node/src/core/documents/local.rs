//! What clients of this node write, as the policies of collections have it, and what is forgotten by them.

use super::{DocumentError, Documents, Plant, Recorded, Refusal, Written};
use crate::core::batch::PeerId;
use crate::core::document::{Document, JsonLimits, JsonObject, NOBODY, Presence, Stamp, WriteError};
use crate::core::key::DocKey;
use crate::core::policy::{self, Deletion, History, Policy};
use crate::core::wire::Seq;
use crate::limits;

impl Documents {
    /// Writes a document; `None`: its content is that already.
    pub fn put(&mut self, key: &DocKey, json: &JsonObject, now_s: i64) -> Result<Option<Recorded>, DocumentError> {
        let (mut document, was_visible) = self.open(key)?;
        let written = self.put_into(&mut document, key, json, now_s);
        let recorded = self.settle(key, (document, was_visible), written)?;
        if let Some(recorded) = recorded {
            self.texts.insert(recorded.seq, &json.to_string());
        }
        Ok(recorded)
    }

    /// Sets the policy of a collection; `None`: it is that already.
    pub fn put_policy(&mut self, key: &DocKey, policy: &Policy, now_s: i64) -> Result<Option<Recorded>, DocumentError> {
        let json = JsonObject::parse(&policy::content(policy), &JsonLimits::default()).expect("a policy is JSON");
        let (mut document, was_visible) = self.open(key)?;
        let written = document.put(&json, now_s).map(|change| change.map(Written::Change));
        self.settle(key, (document, was_visible), written.map_err(|error| failed(key, &error)))
    }

    /// Deletes a document; `None`: there is none.
    pub fn delete(&mut self, key: &DocKey, now_ms: i64) -> Result<Option<Recorded>, DocumentError> {
        let (mut document, was_visible) = self.open(key)?;
        let written = self.delete_from(&mut document, key, now_ms);
        self.settle(key, (document, was_visible), written)
    }

    /// Forgets tombstones of collections whose policy says so: those that are old enough and durable, with a number up
    /// to `through`. Returns how many. Costs loading each that is durable for long enough, [`limits::MAX_COLLECTED`] at
    /// most.
    pub fn forget_tombstones(&mut self, through: Seq, now_ms: u64) -> Result<usize, DocumentError> {
        let mut candidates = Vec::new();
        for (collection, policy, _) in self.policies.all() {
            let Deletion::Tombstone { retention_s } = policy.deletion else { continue };
            let dead = self.index.collection(collection);
            let dead = dead.filter(|(_, meta)| meta.deleted && meta.seq <= through.min(self.durable));
            candidates.extend(dead.map(|(key, _)| (key.clone(), retention_s)));
            if candidates.len() >= limits::MAX_COLLECTED {
                break;
            }
        }
        candidates.truncate(limits::MAX_COLLECTED);
        let mut forgotten = 0;
        for (key, retention_s) in candidates {
            let deleted_at = self.load(&key)?.deleted_at_ms().unwrap_or(i64::MAX);
            let age_ms = (now_ms as i64).saturating_sub(deleted_at);
            if age_ms < (retention_s as i64).saturating_mul(1000) {
                continue;
            }
            let before = self.index.get(&key).cloned();
            let (number, before_base) = before.as_ref().map_or((0, None), |meta| (meta.seq, meta.base));
            self.undo.entry(key.clone()).or_insert(before);
            self.index.remove(&key);
            self.cache.remove(&key);
            let incarnation = before_base.map_or(0, |stamp| stamp.incarnation);
            let horizon = &mut self.horizon;
            horizon.incarnation = horizon.incarnation.max(incarnation.saturating_add(1));
            horizon.through = horizon.through.max(number);
            self.pending.horizon = Some(*horizon);
            self.pending.forgotten.insert(key);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    /// Puts into a document that is taken out, as the policy of its collection has it.
    pub(super) fn put_into(
        &self,
        document: &mut Document,
        key: &DocKey,
        json: &JsonObject,
        now_s: i64,
    ) -> Result<Option<Written>, DocumentError> {
        let policy = self.policy_of(key)?;
        let failed = |error| failed(key, &error);
        let anew = begins_anew(policy, document);
        let is_live = document.exists();
        let deletion = policy.map_or(Deletion::Keep, |policy| policy.deletion);
        if is_live && (anew || deletion == Deletion::Immutable) {
            if document.shows(json) {
                return Ok(None);
            }
            if deletion == Deletion::Immutable {
                return Err(Refusal::Immutable { key: key.to_string(), collection: key.collection().into() }.into());
            }
            if let Some(base) = document.base().filter(|base| ![self.identity, NOBODY].contains(&base.writer)) {
                let (writer, this) = (hex(&base.writer), hex(&self.identity));
                return Err(Refusal::NotTheWriter { key: key.to_string(), writer, this }.into());
            }
        }
        let forgets = matches!(deletion, Deletion::Tombstone { .. });
        let created_since = (forgets && self.horizon.incarnation > 0 && document.presence() == Presence::Unwritten)
            .then(|| Stamp::after_forgotten(self.horizon.incarnation, self.identity));
        if anew {
            let next = created_since.unwrap_or_else(|| Stamp::next(document.base(), self.identity));
            return Ok(Some(Written::Base(document.begin(next, json).map_err(failed)?)));
        }
        let Some(stamp) = created_since else {
            let mut wiped = None;
            if self.plants.has(Plant::WholeRegister) && is_live && !document.shows(json) {
                let nothing = JsonObject::parse("{}", &JsonLimits::default()).expect("an object");
                wiped = document.put(&nothing, now_s).map_err(failed)?;
            }
            let written = document.put(json, now_s).map_err(failed)?;
            return Ok(written.map(|change| Written::Change(wiped.into_iter().flatten().chain(change).collect())));
        };
        // The same empty beginning on every node, so that two that create a document still merge.
        let empty = JsonObject::parse("{}", &JsonLimits::default()).expect("an object");
        document.begin(Stamp { writer: NOBODY, ..stamp }, &empty).map_err(failed)?;
        document.put(json, now_s).map_err(failed)?;
        Ok(Some(Written::Base(document.save())))
    }

    /// Deletes a document that is taken out, as the policy of its collection has it.
    pub(super) fn delete_from(
        &self,
        document: &mut Document,
        key: &DocKey,
        now_ms: i64,
    ) -> Result<Option<Written>, DocumentError> {
        let policy = self.policy_of(key)?;
        if !document.exists() {
            return Ok(None);
        }
        if policy.is_some_and(|policy| policy.deletion == Deletion::Immutable) {
            return Err(Refusal::Immutable { key: key.to_string(), collection: key.collection().into() }.into());
        }
        let written = if begins_anew(policy, document) {
            let next = Stamp::next_tombstone(document.base(), self.identity);
            document.begin_deleted(next, now_ms).map(|base| Some(Written::Base(base)))
        } else {
            document.delete(now_ms).map(|change| change.map(Written::Change))
        };
        written.map_err(|error| failed(key, &error))
    }

    /// Puts a document back, and records what was written to it. A failed write leaves it as it was.
    fn settle(
        &mut self,
        key: &DocKey,
        (document, was_visible): (Document, bool),
        written: Result<Option<Written>, DocumentError>,
    ) -> Result<Option<Recorded>, DocumentError> {
        match written {
            Ok(Some(written)) => Ok(Some(self.record(key, document, written, was_visible))),
            Ok(None) => {
                self.cache.insert(key, document, self.durable);
                Ok(None)
            }
            Err(error) => {
                self.cache.insert(key, document, self.durable);
                Err(error)
            }
        }
    }

    /// The policy for a write of a client.
    pub(super) fn policy_of(&self, key: &DocKey) -> Result<Option<Policy>, Refusal> {
        match key.collection() {
            policy::COLLECTION => Err(Refusal::Reserved { collection: policy::COLLECTION }),
            collection => Ok(self.policies.of(collection)),
        }
    }

    /// Reads all policy documents anew. One that cannot be read is as if it were not there; to read it says why.
    pub(super) fn learn_policies(&mut self) {
        self.policies.unlearn();
        let keys: Vec<DocKey> = self.index.collection(policy::COLLECTION).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let text = self.render(&key).ok().and_then(|(text, _)| text);
            self.policies.learn(key.id(), text.as_deref());
        }
    }
}

/// Whether the next write begins a document anew. Where nobody set a policy the form of the document decides: the node
/// that wrote it like this knew of one.
pub(super) fn begins_anew(policy: Option<Policy>, document: &Document) -> bool {
    match policy {
        Some(policy) => policy.history == History::Latest,
        None => document.base().is_some_and(|base| base.writer != NOBODY),
    }
}

pub(super) fn failed(key: &DocKey, error: &WriteError) -> DocumentError {
    DocumentError::Write { key: key.to_string(), detail: error.to_string() }
}

fn hex(id: &PeerId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
