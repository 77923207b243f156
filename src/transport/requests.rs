//! Refresh requests: few small messages that must arrive, in order and once.
//!
//! Each has a number. The asking end repeats the ones outstanding in its feedback until the other end's
//! feedback says how many it took, as TCP does with bytes.

use std::collections::VecDeque;

use crate::frame::FrameId;
use crate::time::{Duration, Time};

use super::feedback::Feedback;

/// The requests of both directions.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Ours that the other end has not been heard to have taken.
    outstanding: VecDeque<FrameId>,
    /// The number of the first of them.
    asked: u32,
    /// How many of the other end's were taken.
    taken: u32,
    /// When ours were last sent.
    sent: Option<Time>,
    /// Whether there is something that has not been sent once.
    fresh: bool,
}

impl Requests {
    /// Asks for a refresh because `frame` is missing. Beyond [`OUTSTANDING_MAX`] the oldest is forgotten:
    /// what it missed has been painted over many times.
    pub(super) fn ask(&mut self, frame: FrameId) {
        if self.outstanding.len() == OUTSTANDING_MAX {
            self.outstanding.pop_front();
            self.asked = self.asked.wrapping_add(1);
        }
        self.outstanding.push_back(frame);
        self.fresh = true;
    }

    /// Takes the other end's feedback: the requests in it that are new.
    pub(super) fn handle_feedback(&mut self, feedback: &Feedback) -> impl Iterator<Item = FrameId> {
        let confirmed = feedback.taken.wrapping_sub(self.asked) as usize;
        if confirmed <= self.outstanding.len() {
            self.outstanding.drain(..confirmed);
            self.asked = feedback.taken;
        }
        // A confirmation is owed even for what is known already: the last one may be lost.
        self.fresh |= !feedback.requests.is_empty();
        let known = self.taken.wrapping_sub(feedback.asked) as i32;
        let known = usize::try_from(known).unwrap_or(0).min(feedback.requests.len());
        let new = &feedback.requests[known..];
        if !new.is_empty() {
            self.taken = feedback.asked.wrapping_add(feedback.requests.len() as u32);
        }
        new.iter().copied()
    }

    /// Writes the requests and the confirmation into `feedback`, which is sent at `now`.
    pub(super) fn describe(&mut self, now: Time, feedback: &mut Feedback) {
        feedback.taken = self.taken;
        feedback.asked = self.asked;
        feedback.requests = self.outstanding.iter().copied().take(Feedback::REQUESTS_MAX).collect();
        self.sent = Some(now);
        self.fresh = false;
    }

    /// When feedback is to be sent for the sake of requests, if they are repeated after `repeat`.
    pub(super) fn due(&self, repeat: Duration) -> Option<Time> {
        if self.fresh {
            return Some(Time::ZERO);
        }
        let sent = self.sent?;
        (!self.outstanding.is_empty()).then(|| sent + repeat)
    }
}

/// The most requests outstanding: half a second of them at 60 frames a second, when each frame is lost.
const OUTSTANDING_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(requests: &mut Requests) -> Feedback {
        let mut feedback = Feedback::default();
        requests.describe(Time::ZERO, &mut feedback);
        feedback
    }

    fn take(requests: &mut Requests, feedback: &Feedback) -> Vec<u32> {
        requests.handle_feedback(feedback).map(|frame| frame.0).collect()
    }

    #[test]
    fn a_request_is_repeated_until_confirmed_and_taken_once() {
        let (mut asking, mut asked) = (Requests::default(), Requests::default());
        asking.ask(FrameId(7));
        assert_eq!(asking.due(Duration::from_millis(50)), Some(Time::ZERO));
        let first = told(&mut asking);
        assert_eq!(asking.due(Duration::from_millis(50)), Some(Time::from_millis(50)));
        asking.ask(FrameId(9));
        let second = told(&mut asking);
        assert_eq!(take(&mut asked, &first), [7]);
        assert_eq!(take(&mut asked, &second), [9]);
        assert!(take(&mut asked, &second).is_empty());
        assert!(asked.due(Duration::from_millis(50)).is_some(), "a confirmation is owed");
        take(&mut asking, &told(&mut asked));
        assert_eq!(asking.due(Duration::from_millis(50)), None);
        assert_eq!(asked.due(Duration::from_millis(50)), None);
    }

    #[test]
    fn requests_beyond_the_bound_push_out_the_oldest() {
        let (mut asking, mut asked) = (Requests::default(), Requests::default());
        (0..40).for_each(|frame| asking.ask(FrameId(frame)));
        let feedback = told(&mut asking);
        assert_eq!(take(&mut asked, &feedback), (8..24).collect::<Vec<_>>());
        take(&mut asking, &told(&mut asked));
        assert_eq!(take(&mut asked, &told(&mut asking)), (24..40).collect::<Vec<_>>());
    }
}
