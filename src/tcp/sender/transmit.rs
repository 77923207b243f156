//! What leaves next: what was lost, then what is new, as window, pacing and the receiver allow.

use super::super::congestion::State;
use super::super::scoreboard::{DeliveryStamp, Sent};
use super::{Outgoing, Probe, Sender, Timer, UNPACED};
use crate::time::Time;
use crate::units::ByteSize;

impl Sender {
    /// The next segment to send at `now`, of `unsent` bytes that the application has written beyond
    /// [`Sender::next`]; none where window, pacing or the receiver forbid it, or there is nothing.
    pub(in crate::tcp) fn poll(&mut self, now: Time, unsent: u64) -> Option<Outgoing> {
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
        if !self.may_send_new(unsent) {
            self.note_app_limited(unsent);
            if std::mem::take(&mut self.burst) {
                self.validate_window(now, false);
            }
            return None;
        }
        Some(self.send_new(now, unsent))
    }

    /// When pacing lets the next segment leave; in the past where it does now.
    pub(in crate::tcp) const fn paced_until(&self) -> Time {
        self.paced_until
    }

    /// Whether something is waiting for pacing only.
    pub(in crate::tcp) fn waits_for_pacing(&self, unsent: u64) -> bool {
        let lost = self.state >= State::Recovery && self.board.next_to_retransmit().is_some();
        (lost || self.may_send_new(unsent)) && self.window.segments as usize > self.board.in_flight()
    }

    /// Whether there is something new, and the receiver has room for a full segment of it or for all.
    fn may_send_new(&self, unsent: u64) -> bool {
        let allowed = (self.acknowledged + self.receive_window).saturating_sub(self.next);
        unsent > 0 && allowed >= unsent.min(u64::from(self.segment_bytes))
    }

    pub(super) fn send_new(&mut self, now: Time, unsent: u64) -> Outgoing {
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

    pub(super) fn retransmit(&mut self, now: Time, number: u64) -> Outgoing {
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
    pub(super) fn send_probe(&mut self, now: Time, unsent: u64) -> Option<Outgoing> {
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
    pub(super) fn stamp(&mut self, now: Time) -> DeliveryStamp {
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

    pub(super) fn sent(&mut self, now: Time, outgoing: &Outgoing) {
        self.segments_sent += 1;
        self.burst = true;
        if self.is_reducing() || outgoing.retransmission {
            self.reduction.sent(now, outgoing.retransmission);
        }
        self.pace(now, outgoing.length);
    }

    pub(super) fn pace(&mut self, now: Time, length: u32) {
        let Some(rate) = self.controller.pacing_rate() else { return };
        if self.segments_sent <= UNPACED || rate.bps() == 0 {
            return;
        }
        let full = rate.time_for(ByteSize::new(u64::from(length)));
        // Being late earns credit for up to half of the segment (`tcp_update_skb_after_send`).
        let credit = now.since(self.paced_until).min(full / 2);
        self.paced_until = now + (full - credit);
    }
}
