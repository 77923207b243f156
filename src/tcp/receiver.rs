//! The receiving half: puts segments in order and decides when to acknowledge.
//!
//! | | RFC 9293, 5681, 2018 | here and Linux |
//! | --- | --- | --- |
//! | every second full segment | acknowledged at once | when the application reads it: all that arrives in one instant makes one acknowledgment |
//! | start | delayed | the first 16 segments are acknowledged one by one (quick acknowledgments) |
//! | end of a burst | delayed | a segment shorter than a full one is acknowledged as soon as it is read |
//! | delay | ≤ 500 ms | 40 ms |
//! | out of order | at once | at once for the first three, then at most one per millisecond until the hole moves |
//! | SACK blocks | as many as fit | three of the four that changed last |
//! | receive buffer | any | fixed; the application reads at once, so that only holes fill it |

use std::collections::VecDeque;

use super::segment::{SackBlocks, Segment};
use crate::time::{Duration, Time};

/// How long an acknowledgment may wait for company (`TCP_DELACK_MIN`).
const DELAY: Duration = Duration::from_millis(40);
/// Segments acknowledged one by one when the connection begins (`TCP_MAX_QUICKACKS`).
const QUICK: u32 = 16;
/// Duplicate acknowledgments sent at once for each hole; enough to tell the sender of it.
const DUPLICATES_AT_ONCE: u32 = 3;
/// The longest wait of an acknowledgment that reports only more of the same holes
/// (`tcp_comp_sack_delay_ns`), and the share of the round trip that it may not exceed.
const COMPRESSION: (Duration, u64) = (Duration::from_millis(1), 20);
/// SACK blocks remembered (`TCP_NUM_SACKS`).
const SACKS: usize = 4;

/// A segment that became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InOrder {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) length: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Receiver {
    segment_bytes: u32,
    buffer: u32,
    /// The next byte that the application reads.
    next: u64,
    /// The number of the segment that starts there.
    next_number: u64,
    /// What has arrived from there on, by segment number: first byte and length.
    arrived: VecDeque<Option<(u64, u32)>>,
    /// Bytes of it: what waits behind a hole, since the rest is read at once.
    held: u32,
    sacks: VecDeque<(u64, u64)>,
    duplicate: bool,
    /// What to echo, and up to where that was decided (RFC 7323, section 4.3).
    echo: Time,
    acknowledged: u64,
    /// Arrived since the last acknowledgment and not yet read by the application.
    read_at: Option<Time>,
    short: bool,
    delayed_until: Option<Time>,
    quick: u32,
    at_once: bool,
    duplicates: u32,
    duplicates_at: u64,
    last_arrival: Option<Time>,
}

impl Receiver {
    pub(super) const fn new(segment_bytes: u32, buffer: u32) -> Self {
        Self {
            segment_bytes,
            buffer,
            next: 0,
            next_number: 0,
            arrived: VecDeque::new(),
            held: 0,
            sacks: VecDeque::new(),
            duplicate: false,
            echo: Time::ZERO,
            acknowledged: 0,
            read_at: None,
            short: false,
            delayed_until: None,
            quick: QUICK,
            at_once: false,
            duplicates: 0,
            duplicates_at: 0,
            last_arrival: None,
        }
    }

    /// The next byte that the application reads.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Remembers what to echo: the time of a segment at the left edge of what was acknowledged, so that
    /// neither one beyond a hole nor an old copy is taken for the cause of an acknowledgment.
    pub(super) fn note_echo(&mut self, segment: &Segment) {
        if segment.sequence <= self.acknowledged {
            self.echo = self.echo.max(segment.sent_at);
        }
    }

    /// Takes a segment with data; what became readable thereby comes from [`Receiver::read`].
    pub(super) fn arrive(
        &mut self,
        now: Time,
        segment: &Segment,
        timeout: Duration,
        smoothed: Option<Duration>,
    ) {
        // After a pause the sender is in slow start again and wants every acknowledgment.
        if self.last_arrival.is_some_and(|last| now.since(last) > timeout) {
            self.quick = QUICK;
        }
        self.last_arrival = Some(now);
        let ahead = segment.number.checked_sub(self.next_number);
        match ahead.map(|ahead| ahead as usize) {
            Some(place)
                if u64::from(self.buffer) >= segment.sequence + u64::from(segment.length) - self.next =>
            {
                if self.arrived.len() <= place {
                    self.arrived.resize(place + 1, None);
                }
                if self.arrived[place].is_some() {
                    self.repeat();
                    return;
                }
                self.arrived[place] = Some((segment.sequence, segment.length));
                self.held += segment.length;
                if place > 0 {
                    self.out_of_order(now, segment, smoothed);
                    return;
                }
            }
            // What the window did not allow is as good as lost.
            Some(_) => return,
            None => {
                self.repeat();
                return;
            }
        }
        self.in_order(now, segment);
    }

    fn repeat(&mut self) {
        self.duplicate = true;
        self.at_once = true;
    }

    fn in_order(&mut self, now: Time, segment: &Segment) {
        let holes = self.arrived.len() > 1;
        // An acknowledgment that fills a hole, or part of one, is never delayed (RFC 5681, 4.2).
        self.at_once |= holes;
        self.short |= segment.length < self.segment_bytes;
        if self.quick > 0 {
            self.quick -= 1;
            self.at_once = true;
        }
        self.read_at = Some(now);
        if self.delayed_until.is_none() {
            self.delayed_until = Some(now + DELAY);
        }
    }

    fn out_of_order(&mut self, now: Time, segment: &Segment, smoothed: Option<Duration>) {
        self.extend_sacks(segment.sequence, segment.sequence + u64::from(segment.length));
        if self.duplicates_at != self.next {
            (self.duplicates_at, self.duplicates) = (self.next, 0);
        }
        if self.duplicates < DUPLICATES_AT_ONCE || self.quick > 0 {
            self.duplicates += 1;
            self.at_once = true;
            return;
        }
        let share = smoothed.map_or(COMPRESSION.0, |smoothed| smoothed / COMPRESSION.1);
        let until = now + COMPRESSION.0.min(share);
        self.delayed_until = Some(self.delayed_until.map_or(until, |other| other.min(until)));
    }

    /// Puts the block at the front of the list, joined with those it touches.
    fn extend_sacks(&mut self, mut start: u64, mut end: u64) {
        self.sacks.retain(|&(first, past)| {
            let touches = first <= end && start <= past;
            if touches {
                (start, end) = (start.min(first), end.max(past));
            }
            !touches
        });
        self.sacks.push_front((start, end));
        self.sacks.truncate(SACKS);
    }

    /// The next segment that became readable.
    pub(super) fn read(&mut self) -> Option<InOrder> {
        let (sequence, length) = (*self.arrived.front()?)?;
        self.arrived.pop_front();
        let read = InOrder { number: self.next_number, sequence, length };
        self.next_number += 1;
        let next = sequence + u64::from(length);
        self.held -= length;
        self.next = next;
        self.sacks.retain(|&(_, past)| past > next);
        Some(read)
    }

    /// When an acknowledgment becomes due.
    pub(super) fn timeout(&self) -> Option<Time> {
        Time::earliest([self.read_at, self.delayed_until])
    }

    /// The application reads what has arrived; delayed acknowledgments fall due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.read_at.take_if(|at| *at <= now).is_some() {
            let unacknowledged = self.next - self.acknowledged;
            self.at_once |= unacknowledged > u64::from(self.segment_bytes) || self.short;
        }
        self.at_once |= self.delayed_until.is_some_and(|until| until <= now);
    }

    /// The segment that is arriving must not wait to be acknowledged.
    pub(super) const fn acknowledge_at_once(&mut self) {
        self.at_once = true;
    }

    /// Whether an acknowledgment should leave now, with or without data.
    pub(super) const fn wants_to_acknowledge(&self) -> bool {
        self.at_once
    }

    /// What the segment that leaves now tells the other end.
    pub(super) fn acknowledge(&mut self) -> Acknowledgment {
        self.acknowledged = self.next;
        self.at_once = false;
        self.short = false;
        self.delayed_until = None;
        Acknowledgment {
            acknowledgment: self.next,
            sack: SackBlocks::new(self.sacks.iter().copied()),
            duplicate: std::mem::take(&mut self.duplicate),
            window: self.buffer - self.held.min(self.buffer),
            echo: self.echo,
        }
    }
}

/// The acknowledging part of a segment's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgment {
    pub(super) acknowledgment: u64,
    pub(super) sack: SackBlocks,
    pub(super) duplicate: bool,
    pub(super) window: u32,
    pub(super) echo: Time,
}
