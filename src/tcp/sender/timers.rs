//! The sender's one timer: probe, reordering, retransmission.

use super::super::congestion::State;
use super::acknowledge::Covered;
use super::{PROBE_SINGLE, Sender, Timer, WAIT_MARGIN};
use crate::time::{Duration, Time};

impl Sender {
    /// Sets the timer after an acknowledgment or a new segment: a probe where one is due first, else
    /// the retransmission timeout.
    pub(super) fn arm_timer(&mut self, now: Time) {
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

    pub(super) fn probe_at(&self, now: Time) -> Option<Time> {
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
    pub(in crate::tcp) fn timeout(&self) -> Option<Time> {
        self.timer.map(|(at, _)| at)
    }

    pub(in crate::tcp) fn handle_timeout(&mut self, now: Time) {
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

    pub(super) fn reordering_timed_out(&mut self, now: Time) {
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
    pub(super) fn timeout_of_front(&self, now: Time) -> Time {
        let sent_at = self.board.front().map_or(now, |sent| sent.sent_at);
        (sent_at + self.round_trip.timeout()).max(now + Duration::from_millis(1))
    }

    /// RFC 6298, section 5, and `tcp_enter_loss`: what was not sent within a round trip is lost.
    pub(super) fn timed_out(&mut self, now: Time) {
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
        self.reduced = true;
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
}
