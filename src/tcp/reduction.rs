//! Proportional rate reduction: how much to send while the window comes down (RFC 6937, as Linux does
//! it in `tcp_cwnd_reduction`), and how to take it back.

use super::congestion::{Acknowledged, Window};
use crate::time::Time;

#[derive(Clone, Debug, Default)]
pub(super) struct Reduction {
    /// The window before.
    window: u32,
    threshold: u32,
    delivered: u32,
    sent: u32,
    /// When the first retransmission of the episode left.
    first_retransmission: Option<Time>,
    undoable: bool,
}

impl Reduction {
    /// A reduction begins at this window.
    pub(super) const fn begin(&mut self, window: &Window) {
        self.window = window.segments;
        self.threshold = window.threshold;
        self.delivered = 0;
        self.sent = 0;
        self.first_retransmission = None;
    }

    /// The reduction is for losses that may turn out to be none.
    pub(super) const fn allow_undo(&mut self) {
        self.undoable = true;
    }

    /// A segment was sent during the reduction, for the first time or again.
    pub(super) fn sent(&mut self, now: Time, retransmission: bool) {
        self.sent += 1;
        if retransmission {
            self.first_retransmission.get_or_insert(now);
        }
    }

    /// Sets the window by what arrived: in proportion while more is in the network than the threshold
    /// allows, then as in slow start up to it.
    pub(super) fn reduce(&mut self, window: &mut Window, acked: &Acknowledged) {
        if acked.newly_delivered == 0 || self.window == 0 {
            return;
        }
        self.delivered += acked.newly_delivered;
        let room = i64::from(window.threshold) - i64::from(acked.in_flight);
        let mut send = if room < 0 {
            let share = u64::from(window.threshold) * u64::from(self.delivered);
            share.div_ceil(u64::from(self.window)) as i64 - i64::from(self.sent)
        } else {
            let mut send =
                (i64::from(self.delivered) - i64::from(self.sent)).max(i64::from(acked.newly_delivered));
            if acked.advanced && acked.newly_lost == 0 {
                send += 1;
            }
            send.min(room)
        };
        // The first retransmission always leaves.
        send = send.max(i64::from(self.sent == 0));
        window.segments = (i64::from(acked.in_flight) + send).max(1) as u32;
    }

    /// Whether an acknowledgment that echoes this time was caused by an original that came late, so
    /// that nothing was lost.
    pub(super) fn was_needless(&self, echo: Time) -> bool {
        self.undoable && self.first_retransmission.is_some_and(|first| echo < first)
    }

    /// Gives the window back.
    pub(super) fn undo(&self, window: &mut Window) {
        window.segments = window.segments.max(self.window);
        window.threshold = window.threshold.max(self.threshold);
    }

    /// The episode is over.
    pub(super) const fn forget(&mut self) {
        self.undoable = false;
        self.first_retransmission = None;
    }
}
