//! What was sent and may be sent again, and when to do so.
//!
//! The receiver repeats what it wants in every feedback, so the sender must not send again what is under
//! way: a retransmission counts as lost when the feedback tells of enough later packets without it (RFC
//! 9002 §6.1.1), or after a probe timeout. Payloads are not kept: they can be computed from the frame.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::frame::Frame;
use crate::time::{Duration, Time};

use super::feedback::Feedback;
use super::packet::Fragment;
use super::sources::WINDOW;
use super::window::expand;

/// The sender's memory of source packets.
#[derive(Debug, Default)]
pub(super) struct Resend {
    /// Frames begun, oldest first, with the first source packet and the number of packets of each.
    frames: VecDeque<(u64, u16, Frame)>,
    /// Source packets that were sent again or soon will be.
    tries: BTreeMap<u64, Try>,
    /// Those that soon will be, in the order in which they were asked for.
    due: VecDeque<u64>,
}

/// The last retransmission of a source packet.
#[derive(Clone, Copy, Debug)]
enum Try {
    /// Waits for the pacer.
    Due,
    /// Was sent.
    Sent { number: u64, at: Time },
}

/// What a retransmission's loss is told from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    pub(super) now: Time,
    pub(super) feedback: &'a Feedback,
    /// The highest packet number that arrived, in full.
    pub(super) largest: u64,
    /// How many packets may overtake one before it counts as lost.
    pub(super) tolerance: u32,
    /// How long an answer may take.
    pub(super) timeout: Duration,
}

impl Heard<'_> {
    /// How many packet numbers the packet `number` is below the largest that arrived, where these are
    /// so many that it is lost unless it has arrived.
    pub(super) fn overtaken(&self, number: u64) -> Option<u64> {
        self.largest.checked_sub(number).filter(|below| *below >= u64::from(self.tolerance))
    }
}

impl Resend {
    /// Remembers a frame that is begun, from source packet `first` on.
    pub(super) fn remember(&mut self, first: u64, count: u16, frame: Frame) {
        self.frames.push_back((first, count, frame));
        self.forget(first.saturating_sub(WINDOW));
    }

    /// Takes the receiver's wants but for what is `answered` otherwise; source packets below `next` have
    /// been sent.
    pub(super) fn handle_feedback(&mut self, heard: &Heard, next: u64, answered: &[Range<u64>]) {
        if let Some(floor) = expand(heard.feedback.floor, next).filter(|floor| *floor <= next) {
            self.forget(floor);
        }
        let oldest = self.frames.front().map_or(next, |(first, ..)| *first);
        let ranges = heard.feedback.wanted.iter().filter_map(|wanted| {
            let first = expand(wanted.first, next)?;
            Some(first.max(oldest)..next.min(first.saturating_add(u64::from(wanted.count))))
        });
        // Nobody can miss more than is remembered, however often it is named.
        for esi in ranges.flatten().take(WINDOW as usize) {
            if !answered.iter().any(|range| range.contains(&esi)) {
                self.want(esi, heard);
            }
        }
    }

    /// Sends the source packet `last`, the last one sent, again, so that the other end learns of
    /// everything before it (RFC 8985 §7: the tail loss probe); whether it is remembered.
    pub(super) fn probe(&mut self, last: u64) -> bool {
        if self.locate(last).is_none() {
            return false;
        }
        if !matches!(self.tries.insert(last, Try::Due), Some(Try::Due)) {
            self.due.push_back(last);
        }
        true
    }

    /// The next source packet to send again: its ESI, fields and frame. Those of frames whose deadline
    /// is before `arrival` are passed over; `arrival` is the start of time where deadlines do not count.
    pub(super) fn next_due(&mut self, arrival: Time) -> Option<(u64, Fragment, &Frame)> {
        loop {
            let esi = *self.due.front()?;
            let due = matches!(self.tries.get(&esi), Some(Try::Due));
            match self.locate(esi).filter(|_| due) {
                Some(place) if self.frames[place].2.deadline >= arrival => {
                    let (first, count, frame) = &self.frames[place];
                    return Some((esi, Fragment::of(frame, (esi - first) as u16, *count), frame));
                }
                _ => {
                    self.due.pop_front();
                    if due {
                        self.tries.remove(&esi);
                    }
                }
            }
        }
    }

    /// What [`Resend::next_due`] gave was sent as the packet `number`.
    pub(super) fn sent(&mut self, esi: u64, number: u64, at: Time) {
        self.due.pop_front();
        self.tries.insert(esi, Try::Sent { number, at });
    }

    /// When a source packet is worth nothing any more; the end of time for one that is not remembered.
    pub(super) fn deadline(&self, esi: u64) -> Time {
        self.locate(esi).map_or(Time::NEVER, |place| self.frames[place].2.deadline)
    }

    /// Whether something is due.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    fn want(&mut self, esi: u64, heard: &Heard) {
        let again = match self.tries.get(&esi) {
            None => true,
            Some(Try::Due) => false,
            Some(Try::Sent { number, at }) => {
                let below = heard.overtaken(*number);
                below.is_some_and(|below| !heard.feedback.acknowledges(below))
                    || heard.now >= *at + heard.timeout
            }
        };
        if again && self.locate(esi).is_some() {
            self.tries.insert(esi, Try::Due);
            self.due.push_back(esi);
        }
    }

    /// Source packets below `floor` are done with.
    fn forget(&mut self, floor: u64) {
        while self.frames.front().is_some_and(|(first, count, _)| first + u64::from(*count) <= floor) {
            self.frames.pop_front();
        }
        if self.tries.first_key_value().is_some_and(|(esi, _)| *esi < floor) {
            self.tries = self.tries.split_off(&floor);
        }
    }

    fn locate(&self, esi: u64) -> Option<usize> {
        let place = self.frames.partition_point(|(first, ..)| *first <= esi).checked_sub(1)?;
        let (first, count, _) = &self.frames[place];
        (esi < first + u64::from(*count)).then_some(place)
    }
}
