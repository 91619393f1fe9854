//! How much may be on its way to a peer: about one second of what the link carries.
//!
//! A link takes bytes into buffers long before it carries them: QUIC's send buffer, its congestion window, the queue of a
//! modem. What sits there can neither be overtaken by a command nor be replaced by a newer version. So no more is handed
//! over than the peer has been seen to take in about a second; the rest stays in the outbox, where it coalesces. The
//! idea is that of TCP small queues (Linux, 2012), with the rate learned from the far end as BBR does
//! (Cardwell et al. 2016): the peer says how many bytes it has received, and the window is rate times target.
//!
//! While no queue is seen and every round is faster than the last, the window grows fourfold each round trip, so a fast link
//! is filled within a few of them (BBR's start-up and its end); then it is what the link carries, and may double. Rejected: a fixed small QUIC send window, which throttles every long link; polling
//! QUIC's statistics, which needs a timer and does not see the queues of the link.

use std::time::Duration;

use super::session::Now;
use crate::limits;

/// What may be on its way to one peer.
#[derive(Debug)]
pub struct SendWindow {
    /// Bytes handed over since the session began.
    written: u64,
    /// Bytes of them that the peer has received, by its word.
    received: u64,
    size: u64,
    /// Kept for the whole session: later ones contain our own queue. A session whose path gets slower than the target
    /// runs at the smallest window until it is made anew.
    shortest_round: Duration,
    /// The rate of the last busy round in bytes per second while each was a quarter faster than the one before and none
    /// met a queue; for good nothing once a round was not, because then the link is full. One round alone proves
    /// nothing: a short one that finds the queue empty looks as fast as the link.
    fastest_opening: Option<u64>,
    round: Option<Round>,
}

/// From handing over a byte to hearing that it was received.
#[derive(Debug)]
struct Round {
    began: Now,
    /// Ends when the peer has received this many.
    until: u64,
    received_then: u64,
    /// Whether the sender had something to send all the time.
    busy: bool,
}

impl SendWindow {
    /// Nothing is on its way. `round_trip`: that of the path while it was idle, as the handshake showed it; zero: unknown.
    pub fn new(round_trip: Duration) -> Self {
        let slow = round_trip > limits::SLOW_HANDSHAKE;
        let first = if slow { limits::FIRST_SEND_WINDOW_OF_A_SLOW_LINK } else { limits::FIRST_SEND_WINDOW };
        let shortest_round = if round_trip.is_zero() { Duration::MAX } else { round_trip };
        Self { written: 0, received: 0, size: first, shortest_round, fastest_opening: Some(0), round: None }
    }

    /// Whether more may be handed over now. Asked only when there is something to send.
    pub fn is_open(&mut self) -> bool {
        let open = self.on_its_way() < self.size;
        if !open && let Some(round) = &mut self.round {
            round.busy = true;
        }
        open
    }

    /// Bytes were handed over.
    pub fn wrote(&mut self, bytes: usize, now: Now) {
        self.written += bytes as u64;
        if self.round.is_none() {
            self.round = Some(Round { began: now, until: self.written, received_then: self.received, busy: false });
        }
    }

    /// The peer has received this many bytes in all. Returns false if that cannot be.
    pub fn on_received(&mut self, total: u64, now: Now) -> bool {
        if total > self.written {
            return false;
        }
        self.received = self.received.max(total);
        if let Some(round) = self.round.take_if(|round| round.until <= total) {
            self.end_round(&round, now);
        }
        true
    }

    /// Bytes handed over that the peer has not said to have received.
    pub fn on_its_way(&self) -> u64 {
        self.written - self.received
    }

    /// The present size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn end_round(&mut self, round: &Round, now: Now) {
        let took = now.saturating_sub(round.began).max(Duration::from_micros(1));
        self.shortest_round = self.shortest_round.min(took);
        let target = limits::SEND_WINDOW_TARGET.max(self.shortest_round * 2);
        let rate = (u128::from(self.received - round.received_then) * 1_000_000 / took.as_micros()) as u64;
        // Receipts come in lumps: about one of them has been received and not yet told.
        let carried = (u128::from(rate) * target.as_micros() / 1_000_000) as u64 + limits::RECEIPT_EVERY_BYTES;
        if round.busy {
            let no_queue = took * 2 <= self.shortest_round * 3 && took <= target;
            self.fastest_opening = self.fastest_opening.filter(|best| no_queue && rate * 4 >= best * 5).map(|_| rate);
        }
        let opening = round.busy && self.fastest_opening.is_some();
        let size = if opening { self.size * 4 } else { carried.min(self.size * 2) };
        let size = size.clamp(limits::MIN_SEND_WINDOW, limits::MAX_SEND_WINDOW);
        let overdue = took > target && self.on_its_way() > limits::RECEIPT_EVERY_BYTES;
        // A round in which the sender had little to send says nothing against the link.
        self.size = if round.busy || overdue { size } else { size.max(self.size) };
        if self.on_its_way() > 0 {
            self.round = Some(Round {
                began: now,
                until: self.written,
                received_then: self.received,
                busy: self.on_its_way() >= self.size,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A link with a rate, a one-way delay and a bottomless queue, and a sender that always has something to send.
    /// Returns the bytes delivered and the greatest number of bytes on their way, over the second half.
    fn run(bytes_per_second: u64, delay: Duration, seconds: u64, frame: usize) -> (u64, u64) {
        let mut window = SendWindow::new(delay * 2);
        let (mut now, end) = (Duration::ZERO, Duration::from_secs(seconds));
        let (mut link_free, mut wire) = (Duration::ZERO, VecDeque::new());
        let (mut got, mut told, mut delivered, mut most) = (0u64, 0u64, 0u64, 0u64);
        let mut receipts: VecDeque<(Duration, u64)> = VecDeque::new();
        while now < end {
            while window.is_open() {
                window.wrote(frame, now);
                link_free = link_free.max(now) + Duration::from_nanos(1_000_000_000 * frame as u64 / bytes_per_second);
                wire.push_back(link_free + delay);
            }
            if now > end / 2 {
                most = most.max(window.on_its_way());
            }
            let next = [wire.front().copied(), receipts.front().map(|(at, _)| *at)].into_iter().flatten().min();
            now = next.expect("something is always on its way");
            while wire.front().is_some_and(|at| *at <= now) {
                wire.pop_front();
                got += frame as u64;
                delivered += if now > end / 2 { frame as u64 } else { 0 };
                if got - told >= limits::RECEIPT_EVERY_BYTES {
                    told = got;
                    receipts.push_back((now + delay, got));
                }
            }
            while let Some((_, total)) = receipts.pop_front_if(|(at, _)| *at <= now) {
                assert!(window.on_received(total, now), "an honest receipt");
            }
        }
        (delivered, most)
    }

    #[test]
    fn a_thin_link_is_kept_busy_with_about_a_second_of_data() {
        let rate = 4_000;
        for (delay, frame) in [(300, 200), (300, 400), (80, 200), (80, 261), (80, 400), (80, 1200), (5, 400)] {
            let (delivered, most) = run(rate, Duration::from_millis(delay), 120, frame);
            assert!(delivered * 100 >= rate * 60 * 90, "{delay} ms, {frame} B: {delivered} bytes in a minute");
            assert!(most <= rate * 2, "{delay} ms, {frame} B: {most} bytes on their way");
        }
    }

    #[test]
    fn long_and_fast_links_are_filled() {
        for (rate, delay) in [(1_250_000, 300), (12_500_000, 25), (20_000, 300), (2_000_000, 1)] {
            let (delivered, most) = run(rate, Duration::from_millis(delay), 20, 200);
            let possible = rate * 10;
            assert!(delivered * 100 >= possible.min(limits::MAX_SEND_WINDOW * 10) * 90, "{rate} B/s: {delivered}");
            assert!(most <= (rate * 3).max(limits::MIN_SEND_WINDOW * 2), "{rate} B/s: {most} on their way");
        }
    }

    #[test]
    fn a_peer_that_stops_reading_costs_one_window() {
        let mut window = SendWindow::new(Duration::from_millis(50));
        let mut sent = 0;
        while window.is_open() {
            window.wrote(200, Duration::ZERO);
            sent += 200;
        }
        assert!(sent <= limits::FIRST_SEND_WINDOW + 200);
        assert!(!window.on_received(sent + 1, Duration::ZERO), "a receipt for what was never sent is refused");
    }

    #[test]
    fn a_few_small_changes_do_not_shrink_the_window() {
        let mut window = SendWindow::new(Duration::from_millis(50));
        let mut now = Duration::ZERO;
        for i in 1..=1000u64 {
            assert!(window.is_open());
            window.wrote(100, now);
            now += Duration::from_secs(3);
            if (i * 100) % 2100 == 0 {
                assert!(window.on_received(i * 100, now));
            }
        }
        assert!(window.size() >= limits::FIRST_SEND_WINDOW, "{}", window.size());
    }
}
