//! Frame bytes by class.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a byte between two nodes is for. The first five are the classes of data streams by their number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficClass {
    /// Commands.
    Command,
    /// Who is in the formation.
    Membership,
    /// Documents of no other class.
    State,
    /// Documents of which only the latest version matters.
    Telemetry,
    /// Large documents.
    Blob,
    /// Hello, reconciliation and acknowledgements: the control stream.
    Control,
}

impl TrafficClass {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Command, Self::Membership, Self::State, Self::Telemetry, Self::Blob, Self::Control];

    /// The class of a data stream that begins with this byte; what is unknown counts as state.
    pub fn of_stream(class: u8) -> Self {
        match class {
            0 => Self::Command,
            1 => Self::Membership,
            3 => Self::Telemetry,
            4 => Self::Blob,
            _ => Self::State,
        }
    }

    /// As in metrics and in GetSyncStats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Membership => "membership",
            Self::State => "state",
            Self::Telemetry => "telemetry",
            Self::Blob => "blob",
            Self::Control => "control",
        }
    }
}

/// Bytes of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassBytes {
    /// Handed to peers.
    pub sent: u64,
    /// Taken from peers.
    pub received: u64,
}

/// Frame bytes since the start, by class.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: [AtomicU64; TrafficClass::ALL.len()],
    received: [AtomicU64; TrafficClass::ALL.len()],
}

impl Traffic {
    /// Bytes were handed to a peer.
    pub fn count_sent(&self, class: TrafficClass, bytes: usize) {
        self.sent[class as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes were taken from a peer.
    pub fn count_received(&self, class: TrafficClass, bytes: usize) {
        self.received[class as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted, in the order of [`TrafficClass::ALL`].
    pub fn by_class(&self) -> [(TrafficClass, ClassBytes); TrafficClass::ALL.len()] {
        TrafficClass::ALL.map(|class| {
            let sent = self.sent[class as usize].load(Ordering::Relaxed);
            let received = self.received[class as usize].load(Ordering::Relaxed);
            (class, ClassBytes { sent, received })
        })
    }

    /// All classes together.
    pub fn total(&self) -> ClassBytes {
        let add = |sum: ClassBytes, (_, bytes): (TrafficClass, ClassBytes)| ClassBytes {
            sent: sum.sent + bytes.sent,
            received: sum.received + bytes.received,
        };
        self.by_class().into_iter().fold(ClassBytes::default(), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_counted_under_the_class_that_it_begins_with() {
        let traffic = Traffic::default();
        for class in 0..=4 {
            assert_eq!(TrafficClass::of_stream(class) as u8, class);
            traffic.count_sent(TrafficClass::of_stream(class), 10);
        }
        assert_eq!(TrafficClass::of_stream(crate::core::class::Class::State.code()), TrafficClass::State);
        traffic.count_received(TrafficClass::Control, 7);
        assert_eq!(traffic.total(), ClassBytes { sent: 50, received: 7 });
        let control = traffic.by_class()[TrafficClass::Control as usize];
        assert_eq!(control, (TrafficClass::Control, ClassBytes { sent: 0, received: 7 }));
    }
}
