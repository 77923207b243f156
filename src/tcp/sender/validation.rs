//! Whether the window is used, and what becomes of it where it is not (RFC 2861, RFC 7661's ground).

use super::super::congestion::State;
use super::{Sender, Usage};
use crate::time::Time;

impl Sender {
    /// The first segment after everything was acknowledged: the window may be out of date.
    pub(super) fn restart(&mut self, now: Time) {
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
    pub(super) fn keep_threshold(&mut self) {
        let kept = self.window.segments / 2 + self.window.segments / 4;
        self.window.threshold = self.window.threshold.max(kept);
    }

    pub(super) fn note_app_limited(&mut self, unsent: u64) {
        let nothing_to_repeat = self.board.lost() <= self.board.retransmitted();
        if unsent < u64::from(self.segment_bytes) && nothing_to_repeat {
            self.app_limited_until = self.limit_until();
        }
    }

    /// Everything delivered up to here was sent while the sender did not fill the path.
    pub(super) fn limit_until(&self) -> u64 {
        (self.delivered + self.board.in_flight() as u64).max(1)
    }

    /// Notes whether the window limits what is sent, and lets it decay where it has not for a
    /// timeout (RFC 2861, `tcp_cwnd_validate`).
    pub(super) fn validate_window(&mut self, now: Time, limited: bool) {
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
