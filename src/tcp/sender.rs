//! The sending half: what may leave, what is lost, and what to do about it.
//!
//! Follows the order of Linux's `tcp_ack`: take what the acknowledgment covers off the scoreboard,
//! measure, find losses (RACK), move between the states of [`State`], set the window (growth or
//! proportional rate reduction), arm the timer.

use super::congestion::{Acknowledged, Controller, RateSample, State, Window};
use super::rack::Rack;
use super::reduction::Reduction;
use super::round_trip::RoundTrip;
use super::scoreboard::{DeliveryStamp, Scoreboard, Sent};
use super::segment::Segment;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// Added to waits that are shorter than the receiver's reaction (two ticks at 250 Hz).
const WAIT_MARGIN: Duration = Duration::from_millis(2);
/// What a probe of a single segment waits in addition, so that a delayed acknowledgment is no loss.
const PROBE_SINGLE: Duration = Duration::from_millis(200);
/// Segments sent before pacing begins.
const UNPACED: u64 = 10;

/// What the timer is set for; there is only one (`icsk_pending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Everything outstanding is lost.
    Retransmission,
    /// The last segment may be lost, with nothing behind it to tell (RFC 8985, section 7).
    Probe,
    /// What is missing is no longer taken for reordered (RFC 8985, section 6.3).
    Reordering,
}

/// A tail loss probe that is out.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The next sequence number when it was sent.
    next: u64,
    /// Whether it was a retransmission.
    retransmission: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    segment_bytes: u32,
    initial_window: u32,
    board: Scoreboard,
    round_trip: RoundTrip,
    round_trip_min: Option<Duration>,
    rack: Rack,
    state: State,
    window: Window,
    reduction: Reduction,
    controller: Box<dyn Controller>,
    /// All below has been acknowledged.
    acknowledged: u64,
    /// The next byte to send for the first time.
    next: u64,
    /// Recovery ends when everything below is acknowledged.
    high: u64,
    /// How far beyond `acknowledged` the receiver lets us send.
    receive_window: u64,
    timer: Option<(Time, Timer)>,
    probe: Option<Probe>,
    probe_due: bool,
    /// For the delivery rate: segments delivered, when the last was, and when the segment was sent
    /// whose delivery began the current interval.
    delivered: u64,
    delivered_at: Time,
    first_sent_at: Time,
    /// The application had nothing to send until so many segments are delivered; 0 where it had.
    app_limited_until: u64,
    last_sent_at: Time,
    /// The earliest time at which pacing lets the next segment leave.
    paced_until: Time,
    segments_sent: u64,
    usage: Usage,
    /// Retransmission timeouts since the acknowledgment last moved.
    timeouts: u32,
    /// Whether something was sent since the last call that found nothing to send.
    burst: bool,
}

/// How much of the window is used (`tcp_cwnd_validate`).
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// The sequence number whose acknowledgment ends the measuring round.
    round_end: u64,
    used: u32,
    since: Time,
}

/// What an acknowledgment did to the scoreboard.
#[derive(Clone, Debug, Default)]
struct Covered {
    newly_delivered: u32,
    advanced: bool,
    /// The send times of the first and the last segment newly acknowledged that were sent only once,
    /// cumulatively and selectively.
    acked: Option<(Time, Time)>,
    sacked: Option<(Time, Time)>,
    retransmitted_data: bool,
    reordered: bool,
    /// The delivery stamp of the segment sent last of those delivered, and when that was sent.
    newest: Option<(Time, DeliveryStamp)>,
}

/// What the sender wants to transmit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) length: u32,
    pub(super) retransmission: bool,
}

impl Sender {
    pub(super) fn new(segment_bytes: u32, initial_window: u32, controller: Box<dyn Controller>) -> Self {
        Self {
            segment_bytes,
            initial_window,
            board: Scoreboard::default(),
            round_trip: RoundTrip::default(),
            round_trip_min: None,
            rack: Rack::default(),
            state: State::Open,
            window: Window::new(initial_window),
            reduction: Reduction::default(),
            controller,
            acknowledged: 0,
            next: 0,
            high: 0,
            receive_window: u64::from(u16::MAX),
            timer: None,
            probe: None,
            probe_due: false,
            delivered: 0,
            delivered_at: Time::ZERO,
            first_sent_at: Time::ZERO,
            app_limited_until: 0,
            last_sent_at: Time::ZERO,
            paced_until: Time::ZERO,
            segments_sent: 0,
            usage: Usage::default(),
            timeouts: 0,
            burst: false,
        }
    }

    /// The next byte to send for the first time.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn smoothed_round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    pub(super) fn retransmission_timeout(&self) -> Duration {
        self.round_trip.timeout()
    }

    /// What the path can carry in bits of payload per second: BBR's bandwidth, or a window a round trip.
    pub(super) fn rate_estimate(&self) -> Option<Bitrate> {
        let smoothed = self.round_trip.smoothed()?;
        let bytes = u64::from(self.window.segments) * u64::from(self.segment_bytes);
        Some(self.controller.bandwidth().unwrap_or_else(|| Bitrate::of(ByteSize::new(bytes), smoothed)))
    }

    /// The handshake measured the round trip.
    pub(super) fn handshake_done(&mut self, now: Time, round_trip: Duration, window: u32) {
        self.receive_window = u64::from(window);
        self.measure(Some(round_trip), Some(round_trip));
        self.usage.since = now;
        let acked = self.summary(now, &Covered::default(), None, None, 0, 0, false);
        if self.controller.sets_window() {
            // The controller learns the round trip; nothing has been delivered yet.
            self.controller.sample(&mut self.window, &acked);
        }
    }

    /// Takes the acknowledgment in a segment; the round trip, if it measured one.
    pub(super) fn acknowledge(&mut self, now: Time, segment: &Segment) -> Option<Duration> {
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
    fn rearms_timer(&self, covered: &Covered) -> bool {
        let front_sent_at = self.board.front().map_or(Time::ZERO, |front| front.sent_at);
        covered.advanced || covered.sacked.is_some_and(|(first, _)| first < front_sent_at)
    }

    /// Takes what is acknowledged off the board and marks what is selectively acknowledged.
    fn cover(&mut self, now: Time, segment: &Segment) -> Covered {
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
    fn round_trips(now: Time, covered: &Covered, segment: &Segment) -> (Option<Duration>, Option<Duration>) {
        let acked = covered.acked.filter(|_| !covered.retransmitted_data);
        let first = acked.or(covered.sacked).map(|(first, _)| now.since(first));
        let last = covered.sacked.or(acked).map(|(_, last)| now.since(last));
        // Only the timestamps tell original and retransmission apart (RFC 7323, section 4).
        let echoed = || covered.advanced.then(|| now.since(segment.echo));
        (first.or_else(echoed), last.or_else(echoed))
    }

    fn measure(&mut self, first: Option<Duration>, last: Option<Duration>) {
        if let Some(first) = first {
            self.round_trip.sample(first, self.acknowledged, self.next);
        }
        if let Some(last) = last {
            self.round_trip_min = Some(self.round_trip_min.map_or(last, |least| least.min(last)));
        }
    }

    /// The probe's episode ends: whether it repaired a loss decides about the window (RFC 8985, 7.4).
    fn process_probe(&mut self, segment: &Segment) {
        let Some(probe) = self.probe else { return };
        if segment.acknowledgment < probe.next {
            return;
        }
        if !probe.retransmission || segment.duplicate {
            self.probe = None;
        } else if segment.acknowledgment > probe.next {
            self.probe = None;
            self.begin_reduction();
            self.state = State::Reducing;
            self.end_reduction();
            self.state = State::Open;
        }
    }

    fn detect_losses(&mut self, now: Time) -> u32 {
        let window = self.rack.reordering_window(
            self.state,
            self.board.sacked(),
            self.round_trip_min,
            self.round_trip.smoothed(),
        );
        let found = self.rack.detect(now, &mut self.board, window);
        if let Some(at) = found.check_again_at {
            self.timer = Some((at + WAIT_MARGIN, Timer::Reordering));
        }
        found.lost
    }

    /// The state machine of `tcp_fastretrans_alert`.
    fn change_state(&mut self, segment: &Segment, covered: &Covered, newly_lost: u32) {
        if self.state >= State::Reducing && self.acknowledged >= self.high {
            let done = match self.state {
                // One more has to arrive, so that a late duplicate starts nothing again.
                State::Reducing => self.acknowledged > self.high,
                _ => true,
            };
            if done {
                if self.reduction.was_needless(segment.echo) {
                    self.undo();
                } else if self.state != State::Loss {
                    self.end_reduction();
                }
                self.state = State::Open;
                self.reduction.forget();
            }
        } else if self.state >= State::Recovery && covered.advanced {
            self.try_undo_partly(segment);
        }
        match self.state {
            State::Recovery => {}
            // A lost retransmission means another reduction.
            State::Loss if !(newly_lost > 0 && self.rack.lost_retransmission()) => {}
            _ if self.board.lost() > 0 => self.enter_recovery(),
            State::Loss => {}
            State::Reducing => {}
            State::Open | State::Disorder => {
                let disorder = self.board.sacked() > 0 || self.board.retransmitted() > 0;
                self.state = if disorder { State::Disorder } else { State::Open };
            }
        }
    }

    fn enter_recovery(&mut self) {
        if !self.is_reducing() {
            self.begin_reduction();
        }
        self.reduction.allow_undo();
        self.state = State::Recovery;
    }

    /// Whether proportional rate reduction sets the window.
    const fn is_reducing(&self) -> bool {
        matches!(self.state, State::Reducing | State::Recovery)
    }

    fn begin_reduction(&mut self) {
        self.high = self.next;
        self.probe = None;
        self.window.growth_credit = 0;
        let threshold = self.controller.threshold_on_loss(&self.window);
        self.reduction.begin(&self.window);
        self.window.threshold = threshold;
    }

    fn end_reduction(&mut self) {
        if !self.controller.sets_window() && self.window.threshold < Window::INFINITE {
            self.window.segments = self.window.threshold;
        }
    }

    /// Takes the whole reduction back where it turns out that nothing was lost: the acknowledgment
    /// echoes a time before the first retransmission (Eifel, RFC 4015).
    fn undo(&mut self) {
        if !self.controller.sets_window() {
            self.reduction.undo(&mut self.window);
        }
        self.reduction.forget();
    }

    /// The same while some segments are still missing, once no retransmission is under way.
    fn try_undo_partly(&mut self, segment: &Segment) {
        if !self.reduction.was_needless(segment.echo) {
            return;
        }
        self.rack.reordering_seen();
        if self.state == State::Recovery && self.board.retransmitted() == 0 {
            self.undo();
            self.state = State::Disorder;
        }
    }

    fn control_window(&mut self, acked: &Acknowledged) {
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
    fn summary(
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
    fn rate_sample(&mut self, now: Time, covered: &Covered) -> Option<RateSample> {
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

    /// Sets the timer after an acknowledgment or a new segment: a probe where one is due first, else
    /// the retransmission timeout.
    fn arm_timer(&mut self, now: Time) {
        if self.board.outstanding() == 0 {
            self.timer = None;
            return;
        }
        if matches!(self.timer, Some((_, Timer::Reordering))) {
            return;
        }
        self.timer = Some(match self.probe_at(now) {
            Some(at) => (at, Timer::Probe),
            None => (now + self.round_trip.timeout(), Timer::Retransmission),
        });
    }

    fn probe_at(&self, now: Time) -> Option<Time> {
        if self.probe.is_some()
            || !matches!(self.state, State::Open | State::Reducing)
            || self.board.sacked() > 0
        {
            return None;
        }
        let smoothed = self.round_trip.smoothed()?;
        let margin = if self.board.outstanding() == 1 { PROBE_SINGLE } else { WAIT_MARGIN };
        Some(now + (smoothed * 2 + margin).min(self.round_trip.timeout()))
    }

    /// When [`Sender::handle_timeout`] wants to be called; pacing is [`Sender::paced_until`]'s matter.
    pub(super) fn timeout(&self) -> Option<Time> {
        self.timer.map(|(at, _)| at)
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        let Some((at, timer)) = self.timer else { return };
        if at > now {
            return;
        }
        self.timer = None;
        match timer {
            Timer::Reordering => self.reordering_timed_out(now),
            Timer::Probe => {
                self.probe_due = true;
                self.timer = Some((self.timeout_of_front(now), Timer::Retransmission));
            }
            Timer::Retransmission => self.timed_out(now),
        }
    }

    fn reordering_timed_out(&mut self, now: Time) {
        let newly_lost = self.detect_losses(now);
        if newly_lost > 0 {
            if self.state < State::Recovery {
                self.enter_recovery();
            }
            if !self.controller.sets_window() && self.state == State::Recovery {
                let mut acked = self.summary(now, &Covered::default(), None, None, 0, 0, false);
                acked.newly_delivered = 1;
                self.reduction.reduce(&mut self.window, &acked);
            }
        }
        if self.timer.is_none() && self.board.outstanding() > 0 {
            self.timer = Some((self.timeout_of_front(now), Timer::Retransmission));
        }
    }

    /// The retransmission timeout counted from when the first outstanding segment was sent.
    fn timeout_of_front(&self, now: Time) -> Time {
        let sent_at = self.board.front().map_or(now, |sent| sent.sent_at);
        (sent_at + self.round_trip.timeout()).max(now + Duration::from_millis(1))
    }

    /// RFC 6298, section 5, and `tcp_enter_loss`: what was not sent within a round trip is lost.
    fn timed_out(&mut self, now: Time) {
        if self.board.outstanding() == 0 {
            return;
        }
        for (place, number) in self.board.numbers().enumerate() {
            let Some(sent) = self.board.get(number) else { continue };
            if !sent.sacked && (place == 0 || !self.rack.is_recent(now, sent)) {
                self.board.mark_lost(number);
            }
        }
        let progress_in_loss = self.state == State::Loss && self.timeouts == 0;
        if self.state <= State::Disorder || self.acknowledged >= self.high || progress_in_loss {
            self.reduction.begin(&self.window);
            self.window.threshold = self.controller.threshold_on_loss(&self.window);
            self.reduction.allow_undo();
        }
        self.timeouts += 1;
        self.controller.timed_out(&mut self.window);
        self.state = State::Loss;
        self.high = self.next;
        self.probe = None;
        self.probe_due = false;
        self.window.segments = self.board.in_flight() as u32 + 1;
        self.window.growth_credit = 0;
        self.round_trip.back_off();
        self.timer = Some((now + self.round_trip.timeout(), Timer::Retransmission));
    }

    /// The next segment to send at `now`, of `unsent` bytes that the application has written beyond
    /// [`Sender::next`]; none where window, pacing or the receiver forbid it, or there is nothing.
    pub(super) fn poll(&mut self, now: Time, unsent: u64) -> Option<Outgoing> {
        if std::mem::take(&mut self.probe_due) {
            return self.send_probe(now, unsent);
        }
        if self.window.segments as usize <= self.board.in_flight() {
            if std::mem::take(&mut self.burst) || unsent > 0 {
                self.validate_window(now, true);
            }
            return None;
        }
        if now < self.paced_until {
            return None;
        }
        if self.state >= State::Recovery
            && let Some(number) = self.board.next_to_retransmit()
        {
            return Some(self.retransmit(now, number));
        }
        let allowed = (self.acknowledged + self.receive_window).saturating_sub(self.next);
        if unsent == 0 || allowed < unsent.min(u64::from(self.segment_bytes)) {
            self.note_app_limited(unsent);
            if std::mem::take(&mut self.burst) {
                self.validate_window(now, false);
            }
            return None;
        }
        Some(self.send_new(now, unsent))
    }

    /// When pacing lets the next segment leave; in the past where it does now.
    pub(super) const fn paced_until(&self) -> Time {
        self.paced_until
    }

    /// Whether something is waiting for pacing only.
    pub(super) fn waits_for_pacing(&self, unsent: u64) -> bool {
        let lost = self.state >= State::Recovery && self.board.next_to_retransmit().is_some();
        (lost || unsent > 0) && self.window.segments as usize > self.board.in_flight()
    }

    fn send_new(&mut self, now: Time, unsent: u64) -> Outgoing {
        if self.board.outstanding() == 0 {
            self.restart(now);
        }
        let length = unsent.min(u64::from(self.segment_bytes)) as u32;
        let number = self.board.next_number();
        let sent = Sent::new(self.next, length, now, self.stamp(now));
        self.board.push(sent);
        let outgoing = Outgoing { number, sequence: self.next, length, retransmission: false };
        self.next += u64::from(length);
        self.sent(now, &outgoing);
        if matches!(self.timer, None | Some((_, Timer::Probe))) {
            self.arm_timer(now);
        }
        outgoing
    }

    fn retransmit(&mut self, now: Time, number: u64) -> Outgoing {
        let stamp = self.stamp(now);
        let first = self.board.numbers().start == number;
        let sent = self.board.retransmit(number, now, stamp);
        let outgoing =
            Outgoing { number, sequence: sent.sequence, length: sent.length, retransmission: true };
        self.sent(now, &outgoing);
        if first && !matches!(self.timer, Some((_, Timer::Reordering))) {
            self.timer = Some((now + self.round_trip.timeout(), Timer::Retransmission));
        }
        outgoing
    }

    /// Sends one more segment, or the last one again, to learn whether the tail was lost.
    fn send_probe(&mut self, now: Time, unsent: u64) -> Option<Outgoing> {
        let outgoing = if unsent > 0 {
            self.send_new(now, unsent)
        } else {
            let last = self.board.numbers().end.checked_sub(1)?;
            self.board.get(last)?;
            self.retransmit(now, last)
        };
        self.probe = Some(Probe { next: self.next, retransmission: outgoing.retransmission });
        self.timer = Some((self.timeout_of_front(now), Timer::Retransmission));
        Some(outgoing)
    }

    /// Notes for the delivery rate what had been delivered when a segment leaves.
    fn stamp(&mut self, now: Time) -> DeliveryStamp {
        if self.board.outstanding() == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        self.last_sent_at = now;
        DeliveryStamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.app_limited_until > 0,
        }
    }

    fn sent(&mut self, now: Time, outgoing: &Outgoing) {
        self.segments_sent += 1;
        self.burst = true;
        if self.is_reducing() || outgoing.retransmission {
            self.reduction.sent(now, outgoing.retransmission);
        }
        self.pace(now, outgoing.length);
    }

    fn pace(&mut self, now: Time, length: u32) {
        let Some(rate) = self.controller.pacing_rate() else { return };
        if self.segments_sent <= UNPACED || rate.bps() == 0 {
            return;
        }
        let full = rate.time_for(ByteSize::new(u64::from(length)));
        // Being late earns credit for up to half of the segment (`tcp_update_skb_after_send`).
        let credit = now.since(self.paced_until).min(full / 2);
        self.paced_until = now + (full - credit);
    }

    /// The first segment after everything was acknowledged: the window may be out of date.
    fn restart(&mut self, now: Time) {
        let idle = now.since(self.last_sent_at);
        if self.segments_sent == 0 {
            return;
        }
        let timeout = self.round_trip.timeout();
        if idle > timeout && !self.controller.sets_window() {
            self.keep_threshold();
            let halvings = (idle.as_nanos() / timeout.as_nanos()).min(31) as u32;
            let floor = self.initial_window.min(self.window.segments);
            self.window.segments = (self.window.segments >> halvings).max(floor);
            self.usage = Usage { since: now, ..self.usage };
        }
        self.controller.restarted(now, idle, self.app_limited_until > 0);
    }

    /// Remembers three quarters of the window as the threshold before it decays
    /// (`tcp_current_ssthresh`).
    fn keep_threshold(&mut self) {
        let kept = self.window.segments / 2 + self.window.segments / 4;
        self.window.threshold = self.window.threshold.max(kept);
    }

    fn note_app_limited(&mut self, unsent: u64) {
        let nothing_to_repeat = self.board.lost() <= self.board.retransmitted();
        if unsent < u64::from(self.segment_bytes) && nothing_to_repeat {
            self.app_limited_until = self.limit_until();
        }
    }

    /// Everything delivered up to here was sent while the sender did not fill the path.
    fn limit_until(&self) -> u64 {
        (self.delivered + self.board.in_flight() as u64).max(1)
    }

    /// Notes whether the window limits what is sent, and lets it decay where it has not for a
    /// timeout (RFC 2861, `tcp_cwnd_validate`).
    fn validate_window(&mut self, now: Time, limited: bool) {
        let outstanding = self.board.outstanding() as u32;
        let new_round = self.acknowledged >= self.usage.round_end;
        if new_round || limited || !self.window.limited && outstanding > self.window.outstanding_max {
            self.window.limited = limited;
            self.window.outstanding_max = outstanding;
            self.usage.round_end = self.next;
        }
        if self.window.may_grow() {
            self.usage.used = 0;
            self.usage.since = now;
            return;
        }
        self.usage.used = self.usage.used.max(outstanding);
        let stale = now.since(self.usage.since) >= self.round_trip.timeout();
        if stale && !self.controller.sets_window() && self.state == State::Open {
            let used = self.usage.used.max(self.initial_window);
            if used < self.window.segments {
                self.keep_threshold();
                self.window.segments = u32::midpoint(self.window.segments, used);
            }
            self.usage.used = 0;
            self.usage.since = now;
        }
    }
}

impl Covered {
    fn deliver(&mut self, sent: &Sent) {
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
