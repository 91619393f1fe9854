//! Congestion control that begins when the peer is first heard.
//!
//! While a link is down a dial repeats its first packet. If the link comes back meanwhile, a repetition is answered, and those before
//! it count as lost: a dead link is taken for a full one. CUBIC (RFC 9438) ends slow start then, before it began, and its window
//! grows by a packet every few round trips: what waited for the link crosses it at some 10 kB a round trip, however fast it is. TCP
//! distinguishes the two: a lost SYN makes the first window smaller, and slow start follows (RFC 5681, 3.1); QUIC does not (RFC
//! 9002, 4.9). What may be sent first is bounded here by [`SendWindow`](crate::core::send_window::SendWindow) already. ADR 35.
//!
//! So losses of what was sent before the first packet that was ever acknowledged are no news of congestion. All others are.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq::congestion::CubicConfig;

/// Makes [`SinceAnswered`] over CUBIC.
#[derive(Debug)]
pub(super) struct CubicSinceAnswered;

impl ControllerFactory for CubicSinceAnswered {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::new(CubicConfig::default()).build(now, current_mtu);
        Box::new(SinceAnswered { inner, answer: Answer::default() })
    }
}

/// A controller that hears of no loss from before the first answer.
#[derive(Debug)]
struct SinceAnswered {
    inner: Box<dyn Controller>,
    answer: Answer,
}

/// When the packet was sent that was acknowledged first.
#[derive(Debug, Clone, Copy, Default)]
struct Answer(Option<Instant>);

impl Answer {
    /// A packet was acknowledged.
    fn to(&mut self, sent: Instant) {
        self.0.get_or_insert(sent);
    }

    /// Whether nobody may have been there when this was sent.
    fn came_after(self, sent: Instant) -> bool {
        self.0.is_none_or(|first| sent < first)
    }
}

impl Controller for SinceAnswered {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.inner.on_cwnd_limited();
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, pn: u64, app_limited: bool, rtt: &RttEstimator) {
        self.answer.to(sent);
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        // A mark was set by a router that forwarded the packet: it is congestion whenever it comes.
        if is_ecn || !self.answer.came_after(sent) {
            self.inner.on_congestion_event(now, sent, is_persistent_congestion, is_ecn, lost_bytes, largest_lost_pn);
        }
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.inner.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.inner.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(&mut self, ack_eliciting_threshold: u64, requested_max_ack_delay: std::time::Duration) {
        self.inner.on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), answer: self.answer })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cubic(now: Instant) -> Box<dyn Controller> {
        Arc::new(CubicConfig::default()).build(now, 1200)
    }

    fn lose(controller: &mut dyn Controller, sent: Instant, ecn: bool) {
        controller.on_congestion_event(sent + Duration::from_secs(1), sent, false, ecn, 1200, 0);
    }

    /// [`RttEstimator`] cannot be made here, so that what [`SinceAnswered`] does with an acknowledgement is done by hand.
    fn answered(inner: Box<dyn Controller>, first: Instant) -> SinceAnswered {
        let mut answer = Answer::default();
        answer.to(first);
        answer.to(first + Duration::from_secs(5));
        SinceAnswered { inner, answer }
    }

    #[test]
    fn a_first_packet_that_met_a_dead_link_is_no_congestion() {
        let start = tokio::time::Instant::now().into_std();
        let mut controller = Arc::new(CubicSinceAnswered).build(start, 1200);
        let first = controller.window();
        lose(&mut *controller, start, false);
        assert_eq!((controller.window(), controller.metrics().ssthresh), (first, Some(u64::MAX)));
        lose(&mut *controller, start, true);
        assert!(controller.window() < first, "a mark is congestion, answered or not");
    }

    #[test]
    fn losses_since_the_first_answer_count_as_ever() {
        let start = tokio::time::Instant::now().into_std();
        let repeated = start + Duration::from_secs(1);
        let mut controller = answered(cubic(start), repeated);
        let first = controller.window();
        lose(&mut controller, start, false);
        assert_eq!(controller.window(), first);
        let mut copy = controller.clone_box();
        for controller in [&mut controller as &mut dyn Controller, &mut *copy] {
            lose(controller, repeated, false);
            assert!(controller.window() < first, "{controller:?}");
        }
    }
}
