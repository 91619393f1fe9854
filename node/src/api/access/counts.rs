//! What happened at the port, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the start.
#[derive(Debug, Default)]
pub struct AccessCounts {
    /// Requests, and streams that were cut, for want of a good token.
    pub(super) unauthenticated: AtomicU64,
    /// Those of a good token that is not for this.
    pub(super) denied: AtomicU64,
    /// TLS handshakes that came to nothing.
    pub(super) handshakes: AtomicU64,
    /// Tokens that are in force.
    pub(super) tokens: AtomicU64,
    /// Whether the newest file of tokens cannot be used.
    pub(super) tokens_unusable: AtomicU64,
    /// The same of the files of TLS.
    pub(super) tls_unusable: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessFigures {
    /// Requests, and streams that were cut, for want of a good token.
    pub unauthenticated: u64,
    /// Those of a good token that is not for this.
    pub denied: u64,
    /// TLS handshakes that came to nothing.
    pub handshakes: u64,
    /// Tokens that are in force.
    pub tokens: u64,
    /// Groups of files whose newest content cannot be used.
    pub files_unusable: u64,
}

impl AccessCounts {
    /// The figures of this moment.
    pub fn figures(&self) -> AccessFigures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AccessFigures {
            unauthenticated: of(&self.unauthenticated),
            denied: of(&self.denied),
            handshakes: of(&self.handshakes),
            tokens: of(&self.tokens),
            files_unusable: of(&self.tokens_unusable) + of(&self.tls_unusable),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}
