//! When feedback is sent, and gathering it.
//!
//! Feedback goes out on an interval while packets with data arrive, and earlier when a loss was
//! confirmed or something is wanted, but never more than eight times in an interval. Feedback alone
//! calls for no feedback, so that two ends do not talk about nothing for ever.

use crate::endpoint::Ecn;
use crate::time::{Duration, Time};

use super::feedback::{Feedback, Trains};
use super::packet::Header;
use super::receiver::Receiver;
use super::requests::Requests;

/// The schedule of one end's feedback.
#[derive(Debug)]
pub(super) struct Reporter {
    interval: Duration,
    len_max: usize,
    /// When the last feedback was sent.
    sent: Option<Time>,
    /// Whether data arrived since.
    data: bool,
    /// Whether it is worth telling at once.
    urgent: bool,
    /// The losses that were told.
    lost: u32,
    /// The newest packet: number, arrival, time of sending.
    newest: Option<(u64, Time, u32)>,
    /// The least relative one-way delay since the last feedback, in microseconds.
    delay: Option<u32>,
    /// The train that is arriving, as far as it has not been counted.
    train: Trains,
    /// All trains that were long enough.
    trains: Trains,
    /// How many packets arrived marked.
    marked: u32,
}

/// Bytes of a train that are worth counting: eight full packets. In shorter ones the jitter of the path
/// is longer than the train.
const TRAIN_LEAST: u32 = 10_000;

impl Reporter {
    /// A schedule with this interval for feedback of at most `len_max` bytes.
    pub(super) fn new(interval: Duration, len_max: usize) -> Self {
        Self {
            interval,
            len_max,
            sent: None,
            data: false,
            urgent: false,
            lost: 0,
            newest: None,
            delay: None,
            train: Trains::default(),
            trains: Trains::default(),
            marked: 0,
        }
    }

    /// Takes note of a packet of `size` IP bytes that arrived for the first time.
    pub(super) fn note(&mut self, now: Time, number: u64, header: &Header, size: u32, has_data: bool) {
        self.data |= has_data;
        self.note_train(now, number, header, size);
        if self.newest.is_none_or(|(newest, ..)| number > newest) {
            self.newest = Some((number, now, header.sent));
        }
        let delay = (now.as_micros() as u32).wrapping_sub(header.sent);
        // Clocks are unrelated: of two delays the lesser is the one that the other is after.
        let least = self.delay.filter(|least| delay.wrapping_sub(*least) as i32 >= 0);
        self.delay = Some(least.unwrap_or(delay));
    }

    /// Takes note of how a packet is marked that arrived for the first time. The first mark after a
    /// feedback is as urgent as a loss.
    pub(super) fn note_mark(&mut self, mark: Ecn) {
        if mark == Ecn::Ce {
            self.marked = self.marked.wrapping_add(1);
            self.urgent = true;
        }
    }

    /// Takes note of a packet that may continue a train.
    fn note_train(&mut self, now: Time, number: u64, header: &Header, size: u32) {
        let Some((newest, arrived, _)) = self.newest else { return };
        if !header.train || number <= newest {
            self.train = Trains::default();
        } else if number == newest + 1 {
            self.train.bytes += size;
            self.train.micros = self.train.micros.saturating_add(now.since(arrived).as_micros() as u32);
        }
        if self.train.bytes >= TRAIN_LEAST {
            self.trains.bytes = self.trains.bytes.wrapping_add(self.train.bytes);
            self.trains.micros = self.trains.micros.wrapping_add(self.train.micros);
            self.train = Trains::default();
        }
    }

    /// Takes note of what the receiver decided.
    pub(super) fn update(&mut self, receiver: &mut Receiver) {
        self.urgent |= receiver.take_wants_more() || receiver.lost() != self.lost;
        self.lost = receiver.lost();
    }

    /// The feedback to send at `now`, if any is due.
    pub(super) fn poll(
        &mut self,
        now: Time,
        receiver: &Receiver,
        requests: &mut Requests,
        repeat: Duration,
    ) -> Option<Feedback> {
        if self.poll_timeout(receiver, requests, repeat)? > now {
            return None;
        }
        let (_, arrived, echo) = self.newest?;
        let mut feedback =
            Feedback { echo, held: now.since(arrived).as_micros() as u32, ..Feedback::default() };
        feedback.delay = self.delay.unwrap_or_else(|| (arrived.as_micros() as u32).wrapping_sub(echo));
        feedback.trains = self.trains;
        feedback.marked = self.marked;
        receiver.describe(&mut feedback);
        requests.describe(now, &mut feedback);
        while feedback.encoded_len() > self.len_max && feedback.ranges.pop().is_some() {}
        while feedback.encoded_len() > self.len_max && feedback.wanted.pop().is_some() {}
        while feedback.encoded_len() > self.len_max && feedback.deficits.pop().is_some() {}
        self.sent = Some(now);
        self.data = false;
        self.urgent = false;
        self.delay = None;
        Some(feedback)
    }

    /// When feedback is due; requests are repeated after `repeat`, and so are wants.
    pub(super) fn poll_timeout(
        &self,
        receiver: &Receiver,
        requests: &Requests,
        repeat: Duration,
    ) -> Option<Time> {
        self.newest?;
        let sent = self.sent;
        let after = |wait: Duration| sent.map_or(Time::ZERO, |sent| sent + wait);
        let data = self.data.then(|| after(if self.urgent { self.interval / 8 } else { self.interval }));
        let wants = receiver.wants_any().then(|| after(if self.urgent { self.interval / 8 } else { repeat }));
        let asks = requests.due(repeat).map(|due| due.max(after(self.interval / 8)));
        Time::earliest([data, wants, asks])
    }
}
