//! What is lost, and what the sender does about it: `tcp_fastretrans_alert`.

use super::super::congestion::{State, Window};
use super::super::segment::Segment;
use super::acknowledge::Covered;
use super::{Sender, Timer, WAIT_MARGIN};
use crate::time::Time;

impl Sender {
    /// The probe's episode ends: whether it repaired a loss decides about the window (RFC 8985, 7.4).
    pub(super) fn process_probe(&mut self, segment: &Segment) {
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

    pub(super) fn detect_losses(&mut self, now: Time) -> u32 {
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
    pub(super) fn change_state(&mut self, segment: &Segment, covered: &Covered, newly_lost: u32) {
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
            // A queue marked something instead of dropping it (RFC 3168): less is sent, nothing again.
            State::Open | State::Disorder if segment.ecn.echo => {
                self.begin_reduction();
                self.state = State::Reducing;
            }
            State::Open | State::Disorder => {
                let disorder = self.board.sacked() > 0 || self.board.retransmitted() > 0;
                self.state = if disorder { State::Disorder } else { State::Open };
            }
        }
    }

    pub(super) fn enter_recovery(&mut self) {
        if !self.is_reducing() {
            self.begin_reduction();
        }
        self.reduction.allow_undo();
        self.state = State::Recovery;
    }

    /// Whether proportional rate reduction sets the window.
    pub(super) const fn is_reducing(&self) -> bool {
        matches!(self.state, State::Reducing | State::Recovery)
    }

    pub(super) fn begin_reduction(&mut self) {
        self.reduced = true;
        self.high = self.next;
        self.probe = None;
        self.window.growth_credit = 0;
        let threshold = self.controller.threshold_on_loss(&self.window);
        self.reduction.begin(&self.window);
        self.window.threshold = threshold;
    }

    pub(super) fn end_reduction(&mut self) {
        if !self.controller.sets_window() && self.window.threshold < Window::INFINITE {
            self.window.segments = self.window.threshold;
        }
    }

    /// Takes the whole reduction back where it turns out that nothing was lost: the acknowledgment
    /// echoes a time before the first retransmission (Eifel, RFC 4015).
    pub(super) fn undo(&mut self) {
        if !self.controller.sets_window() {
            self.reduction.undo(&mut self.window);
        }
        self.reduction.forget();
    }

    /// The same while some segments are still missing, once no retransmission is under way.
    pub(super) fn try_undo_partly(&mut self, segment: &Segment) {
        if !self.reduction.was_needless(segment.echo) {
            return;
        }
        self.rack.reordering_seen();
        if self.state == State::Recovery && self.board.retransmitted() == 0 {
            self.undo();
            self.state = State::Disorder;
        }
    }
}
