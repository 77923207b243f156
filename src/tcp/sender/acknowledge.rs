//! What an acknowledgment tells: which segments arrived, how long the round trip is, how fast segments
//! are delivered.

use super::super::congestion::{Acknowledged, RateSample};
use super::super::scoreboard::{DeliveryStamp, Sent};
use super::super::segment::Segment;
use super::Sender;
use crate::time::{Duration, Time};

/// What an acknowledgment did to the scoreboard.
#[derive(Clone, Debug, Default)]
pub(super) struct Covered {
    newly_delivered: u32,
    pub(super) advanced: bool,
    /// The send times of the first and the last segment newly acknowledged that were sent only once,
    /// cumulatively and selectively.
    acked: Option<(Time, Time)>,
    sacked: Option<(Time, Time)>,
    retransmitted_data: bool,
    reordered: bool,
    /// The delivery stamp of the segment sent last of those delivered, and when that was sent.
    newest: Option<(Time, DeliveryStamp)>,
}

impl Sender {
    /// Takes the acknowledgment in a segment; the round trip, if it measured one.
    pub(in crate::tcp) fn acknowledge(&mut self, now: Time, segment: &Segment) -> Option<Duration> {
        if segment.acknowledgment < self.acknowledged {
            return None;
        }
        self.receive_window = u64::from(segment.window);
        let in_flight_before = self.board.in_flight() as u32;
        let outstanding_before = self.board.outstanding();
        let covered = self.cover(now, segment);
        self.process_probe(segment);
        if covered.advanced {
            self.timeouts = 0;
        }
        let rearm = self.rearms_timer(&covered);
        if rearm {
            self.timer = None;
        }
        let (first, last) = Self::round_trips(now, &covered, segment);
        self.measure(first, last);
        if covered.reordered {
            self.rack.reordering_seen();
        }
        let newly_lost = self.detect_losses(now);
        self.change_state(segment, &covered, newly_lost);
        let rate = self.rate_sample(now, &covered);
        let delayed = outstanding_before == 1 && covered.newly_delivered == 1;
        let acked = self.summary(now, &covered, last, rate, in_flight_before, newly_lost, delayed);
        self.control_window(&acked);
        if rearm && self.timer.is_none() {
            self.arm_timer(now);
        }
        first
    }

    /// Whether the timer starts afresh: something was acknowledged, or sacked that was sent before the
    /// first outstanding segment was sent last.
    pub(super) fn rearms_timer(&self, covered: &Covered) -> bool {
        let front_sent_at = self.board.front().map_or(Time::ZERO, |front| front.sent_at);
        covered.advanced || covered.sacked.is_some_and(|(first, _)| first < front_sent_at)
    }

    /// Takes what is acknowledged off the board and marks what is selectively acknowledged.
    pub(super) fn cover(&mut self, now: Time, segment: &Segment) -> Covered {
        let mut covered = Covered::default();
        let highest = self.board.highest_sacked();
        let rack = &mut self.rack;
        let round_trip_min = self.round_trip_min;
        for &block in segment.sack.as_slice() {
            self.board.sack(block, |number, sent| {
                rack.delivered(now, sent, round_trip_min);
                covered.deliver(sent);
                if !sent.ever_retransmitted {
                    covered.reordered |= number < highest;
                    note(&mut covered.sacked, sent.sent_at);
                }
            });
        }
        while let Some((number, sent)) = self.board.acknowledge(segment.acknowledgment) {
            covered.advanced = true;
            covered.retransmitted_data |= sent.ever_retransmitted;
            if sent.sacked {
                continue;
            }
            rack.delivered(now, &sent, round_trip_min);
            covered.deliver(&sent);
            if !sent.ever_retransmitted {
                covered.reordered |= number < highest;
                note(&mut covered.acked, sent.sent_at);
            }
        }
        self.acknowledged = self.acknowledged.max(segment.acknowledgment.min(self.next));
        self.delivered += u64::from(covered.newly_delivered);
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        if covered.newly_delivered > 0 {
            self.delivered_at = now;
        }
        covered
    }

    /// The round trips of the segment sent first and of the one sent last among those delivered
    /// (`tcp_clean_rtx_queue`): the first for the timeout, the last for congestion control.
    pub(super) fn round_trips(
        now: Time,
        covered: &Covered,
        segment: &Segment,
    ) -> (Option<Duration>, Option<Duration>) {
        let acked = covered.acked.filter(|_| !covered.retransmitted_data);
        let first = acked.or(covered.sacked).map(|(first, _)| now.since(first));
        let last = covered.sacked.or(acked).map(|(_, last)| now.since(last));
        // Only the timestamps tell original and retransmission apart (RFC 7323, section 4).
        let echoed = || covered.advanced.then(|| now.since(segment.echo));
        (first.or_else(echoed), last.or_else(echoed))
    }

    pub(super) fn measure(&mut self, first: Option<Duration>, last: Option<Duration>) {
        if let Some(first) = first {
            self.round_trip.sample(first, self.acknowledged, self.next);
        }
        if let Some(last) = last {
            self.round_trip_min = Some(self.round_trip_min.map_or(last, |least| least.min(last)));
        }
    }

    pub(super) fn control_window(&mut self, acked: &Acknowledged) {
        self.controller.sample(&mut self.window, acked);
        if self.controller.probes_round_trip() {
            self.app_limited_until = self.limit_until();
        }
        if self.controller.sets_window() {
            return;
        }
        if self.is_reducing() {
            self.reduction.reduce(&mut self.window, acked);
        } else if acked.advanced {
            self.controller.grow(&mut self.window, acked);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "gathers what the steps of one acknowledgment found")]
    pub(super) fn summary(
        &self,
        now: Time,
        covered: &Covered,
        round_trip: Option<Duration>,
        rate: Option<RateSample>,
        in_flight_before: u32,
        newly_lost: u32,
        maybe_delayed: bool,
    ) -> Acknowledged {
        Acknowledged {
            now,
            newly_delivered: covered.newly_delivered,
            advanced: covered.advanced,
            newly_lost,
            round_trip,
            round_trip_smoothed: self.round_trip.smoothed().unwrap_or_default(),
            in_flight: self.board.in_flight() as u32,
            in_flight_before,
            delivered: self.delivered,
            rate,
            state: self.state,
            acknowledgment: self.acknowledged,
            next: self.next,
            maybe_delayed,
        }
    }

    /// The delivery rate since the newest segment delivered was sent (`tcp_rate_gen`).
    pub(super) fn rate_sample(&mut self, now: Time, covered: &Covered) -> Option<RateSample> {
        let (sent_at, stamp) = covered.newest?;
        self.first_sent_at = self.first_sent_at.max(sent_at);
        let sending = sent_at.since(stamp.first_sent_at);
        let interval = sending.max(now.since(stamp.delivered_at));
        // Shorter than any round trip: a burst of acknowledgments, and no rate.
        if interval.is_zero() || self.round_trip_min.is_some_and(|least| interval < least) {
            return None;
        }
        Some(RateSample {
            delivered: self.delivered - stamp.delivered,
            interval,
            prior_delivered: stamp.delivered,
            app_limited: stamp.app_limited,
        })
    }
}

impl Covered {
    pub(super) fn deliver(&mut self, sent: &Sent) {
        self.newly_delivered += 1;
        if self.newest.is_none_or(|(sent_at, _)| sent.sent_at >= sent_at) {
            self.newest = Some((sent.sent_at, sent.delivery));
        }
    }
}

/// Widens a span of send times by one more.
fn note(span: &mut Option<(Time, Time)>, at: Time) {
    *span = Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
}
