//! What those planted bugs need that remember something. Without the feature `planted-bugs` nothing is remembered and
//! nothing is changed.

#[cfg(feature = "planted-bugs")]
pub use on::{Messages, Planted};

#[cfg(not(feature = "planted-bugs"))]
pub use off::{Messages, Planted};

#[cfg(not(feature = "planted-bugs"))]
mod off {
    use crate::core::batch::Event;
    use crate::core::key::DocKey;
    use crate::core::session::Now;
    use crate::core::watch::{Next, WatchId};
    use crate::core::wire::Seq;
    use crate::node::Plants;

    /// None.
    #[derive(Debug, Default)]
    pub struct Messages;

    impl Messages {
        pub fn push(&mut self, _: Seq, _: &DocKey) {}

        pub fn pop(&mut self) -> Option<(Seq, DocKey)> {
            None
        }

        pub fn len(&self) -> usize {
            0
        }
    }

    /// Nothing.
    pub struct Planted;

    impl Planted {
        pub fn new(_: Plants) -> Self {
            Self
        }

        pub fn drops(&mut self, _: &Event, _: Now) -> bool {
            false
        }

        pub fn again(&mut self, _: WatchId) -> Option<Next> {
            None
        }

        pub fn tell(&mut self, _: WatchId, next: Next) -> Next {
            next
        }

        pub fn read(&mut self, _: &DocKey, _: &mut Option<String>) {}
    }
}

#[cfg(feature = "planted-bugs")]
mod on {
    use std::collections::{BTreeMap, VecDeque};

    use serde_json::Value;

    use crate::core::batch::Event;
    use crate::core::key::DocKey;
    use crate::core::session::Now;
    use crate::core::watch::{Next, Told, WatchEvent, WatchId};
    use crate::core::wire::Seq;
    use crate::node::{Plant, Plants};

    /// Every so many changes, events or reads go wrong where not all of them do: seldom enough to be missed, often
    /// enough for a run of a minute. Most dropped changes are healed: the next change of the document lacks its past,
    /// and the session reconciles. The last change of a document is not.
    const DROPPED_EACH: u64 = 5;
    const LOST_EACH: u64 = 16;
    const SWAPPED_EACH: u64 = 8;
    const STALE_EACH: u64 = 3;
    /// What the limiter lets through.
    const CHANGES_PER_SECOND: u64 = 20;

    /// Changes that wait each for itself.
    #[derive(Debug, Default)]
    pub struct Messages(VecDeque<(Seq, DocKey)>);

    impl Messages {
        pub fn push(&mut self, seq: Seq, key: &DocKey) {
            self.0.push_back((seq, key.clone()));
        }

        pub fn pop(&mut self) -> Option<(Seq, DocKey)> {
            self.0.pop_front()
        }

        pub fn len(&self) -> usize {
            self.0.len()
        }
    }

    /// What the planted bugs of a core remember.
    #[derive(Default)]
    pub struct Planted {
        plants: Plants,
        relayed: u64,
        /// The second that it is, and changes in it.
        second: (u64, u64),
        told: u64,
        read: u64,
        waiting: BTreeMap<WatchId, VecDeque<WatchEvent>>,
        last_told: BTreeMap<(WatchId, DocKey), WatchEvent>,
        last_read: BTreeMap<DocKey, [String; 2]>,
    }

    impl Planted {
        pub fn new(plants: Plants) -> Self {
            Self { plants, ..Self::default() }
        }

        /// Whether sessions are not told of a durable change.
        pub fn drops(&mut self, event: &Event, now: Now) -> bool {
            if self.plants.has(Plant::DroppedChange) && event.origin.is_some() {
                self.relayed += 1;
                return self.relayed.is_multiple_of(DROPPED_EACH);
            }
            if self.plants.has(Plant::DroppingLimiter) {
                if self.second.0 != now.as_secs() {
                    self.second = (now.as_secs(), 0);
                }
                self.second.1 += 1;
                return self.second.1 > CHANGES_PER_SECOND;
            }
            false
        }

        /// What a subscriber is told before anything new.
        pub fn again(&mut self, id: WatchId) -> Option<Next> {
            self.waiting.get_mut(&id)?.pop_front().map(Next::Event)
        }

        /// What a subscriber is told instead.
        pub fn tell(&mut self, id: WatchId, next: Next) -> Next {
            let Next::Event(event) = next else { return next };
            let Some(key) = event.told.key().cloned() else { return Next::Event(event) };
            self.told += 1;
            if self.plants.has(Plant::LostEvent) && self.told.is_multiple_of(LOST_EACH) {
                return Next::More;
            }
            if self.plants.has(Plant::DoubledEvent) {
                self.waiting.entry(id).or_default().push_back(event.clone());
            }
            let is_swapping = self.plants.has(Plant::SwappedEvents);
            if !is_swapping && !self.plants.has(Plant::MixedVersions) {
                return Next::Event(event);
            }
            let before = self.last_told.insert((id, key), event.clone());
            match before {
                Some(before) if is_swapping && self.told.is_multiple_of(SWAPPED_EACH) => {
                    // The newer first, then the older, and the newer once more: what is told last is right.
                    self.waiting.entry(id).or_default().extend([before, event.clone()]);
                    Next::Event(event)
                }
                Some(before) if !is_swapping => match mixed(&before, &event) {
                    Some(half) => {
                        self.waiting.entry(id).or_default().push_back(event);
                        Next::Event(half)
                    }
                    None => Next::Event(event),
                },
                _ => Next::Event(event),
            }
        }

        /// What a reader is told instead: of a document the version before, one time in three.
        pub fn read(&mut self, key: &DocKey, text: &mut Option<String>) {
            if !self.plants.has(Plant::StaleRead) {
                return;
            }
            let Some(now) = text else { return };
            let [before, last] = self.last_read.entry(key.clone()).or_insert_with(|| [now.clone(), now.clone()]);
            if last != now {
                *before = std::mem::replace(last, now.clone());
            }
            self.read += 1;
            if self.read.is_multiple_of(STALE_EACH) {
                now.clone_from(before);
            }
        }
    }

    /// The new version, but for the last of the fields that differ; `None`: that is the only one.
    fn mixed(before: &WatchEvent, event: &WatchEvent) -> Option<WatchEvent> {
        let (Told::Upsert { text: old, .. }, Told::Upsert { key, text: new, version }) = (&before.told, &event.told)
        else {
            return None;
        };
        let old: Value = serde_json::from_str(old).ok()?;
        let mut new: Value = serde_json::from_str(new).ok()?;
        let (fields, old) = (new.as_object_mut()?, old.as_object()?);
        let differing: Vec<String> = fields.keys().filter(|key| fields.get(*key) != old.get(*key)).cloned().collect();
        let last = differing.last().filter(|_| differing.len() > 1)?;
        *fields.get_mut(last)? = old.get(last)?.clone();
        let told = Told::Upsert { key: key.clone(), text: new.to_string(), version: version.clone() };
        Some(WatchEvent { told, cursor: event.cursor.clone() })
    }
}
