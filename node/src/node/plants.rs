//! Bugs planted on purpose, to prove that the harness catches them.
//!
//! Each is a class of failure that somebody has shipped, made at the place in the code where it would be made. Without the
//! feature `planted-bugs` a [`Plants`] holds nothing, [`Plants::has`] is `false` for the compiler, and neither names nor
//! stories are in the program. With it, bugs are still reachable only from a simulator: nothing that a node reads from
//! the outside can plant one.

/// Declares the bugs, in the order of the table that `ddil plants` prints.
macro_rules! plants {
    ($($bug:ident $name:literal $story:literal)+) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant {
            $(#[doc = $story] $bug),+
        }

        #[cfg(feature = "planted-bugs")]
        impl Plant {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// As on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name),+ }
            }

            /// What goes wrong, in one line.
            pub const fn story(self) -> &'static str {
                match self { $(Self::$bug => $story),+ }
            }
        }
    };
}

plants! {
    DroppedChange "dropped-change" "one in five of the changes that came from a peer is not relayed to the others"
    EchoLoop "echo-loop" "what came from a peer is sent back to it, and what was known is answered"
    ForgottenTombstone "forgotten-tombstone" "no tombstone is loaded at start, so deleted documents are created anew"
    EarlyAck "early-ack" "a write is acknowledged when it is queued, not when it is durable"
    ReusedActor "reused-actor" "nodes cloned from one image sign with one actor: two changes get the same number"
    GrowingBackoff "growing-backoff" "the pause between dials doubles while nobody answers"
    OneWaySync "one-way-sync" "after a reconnect the side that was dialled sends nothing any more"
    DroppingLimiter "dropping-limiter" "a rate limiter drops what is beyond twenty changes a second, without a word"
    LostEvent "lost-event" "a subscriber misses one in sixteen of its events"
    StaleCursor "stale-cursor" "a subscription that goes on from a cursor begins a page too late, and 32 changes are never told"
    BlindReconciliation "blind-reconciliation" "two peers compare which documents they have, and not what is in them"
    StarvedClass "starved-class" "the most urgent class that has anything to send is always next"
    UnboundedQueue "unbounded-queue" "each change waits for the link as a message of its own"
    WrongFormation "wrong-formation" "a peer that fails to prove the formation's key is admitted"
    UnstableOrder "unstable-order" "sessions are woken in the order of a hash table that is seeded by an address"
    CrossedCache "crossed-cache" "a cache of texts confuses two documents, one time in sixteen"
    SwappedEvents "swapped-events" "a subscriber is told the older of two versions after the newer"
    DoubledEvent "doubled-event" "a subscriber is told everything twice"
    StaleRead "stale-read" "every third read is answered with the version before"
    MixedVersions "mixed-versions" "a patched cache tells a subscriber one half of a new version and one of an old"
    WholeRegister "whole-register" "a write replaces the whole document, and with it what others wrote beside it"
    StuckPackage "stuck-package" "what an agent no longer has stays"
    IgnoredInterest "ignored-interest" "peers are sent what they did not ask for, and keep it"
    DialStorm "dial-storm" "dials follow each other without a pause"
    BatchingTimer "batching-timer" "what is to be sent is gathered for half a second first"
    HastyLink "hasty-link" "links carry datagrams in half of their time: not the nodes but the simulator lies"
    WholeHistory "whole-history" "each change of a document is sent with the whole history before it"
}

/// The bugs that are planted in a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plants {
    #[cfg(feature = "planted-bugs")]
    set: u64,
}

impl Plants {
    /// Whether this bug is planted. Costs nothing without the feature.
    #[inline(always)]
    #[cfg_attr(not(feature = "planted-bugs"), expect(unused_variables, reason = "there are none"))]
    pub const fn has(self, plant: Plant) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.set & (1 << plant as u32) != 0;
        #[cfg(not(feature = "planted-bugs"))]
        false
    }
}

#[cfg(feature = "planted-bugs")]
impl Plants {
    /// No bug but these.
    pub fn of(plants: impl IntoIterator<Item = Plant>) -> Self {
        plants.into_iter().fold(Self::default(), Self::with)
    }

    /// One more.
    pub fn with(self, plant: Plant) -> Self {
        Self { set: self.set | 1 << plant as u32 }
    }

    /// Those that are planted.
    pub fn iter(self) -> impl Iterator<Item = Plant> {
        Plant::ALL.iter().copied().filter(move |plant| self.has(*plant))
    }
}

#[cfg(all(test, feature = "planted-bugs"))]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = Plants::of([Plant::WholeHistory, Plant::EchoLoop]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Plant::EchoLoop, Plant::WholeHistory]);
        assert!(Plants::default().iter().next().is_none());
        let names: std::collections::BTreeSet<_> = Plant::ALL.iter().map(|plant| plant.name()).collect();
        assert_eq!(names.len(), Plant::ALL.len());
    }
}
