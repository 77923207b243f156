//! Recorded chances to send: the rate of a real cellular link over time, in Mahimahi's format.
//!
//! Source: Winstein, Sivaraman, Balakrishnan, "Stochastic forecasts achieve high throughput and low delay
//! over cellular networks" (NSDI 2013); mm-link(1). Each line is a time in whole milliseconds, not
//! before the one above; at each the link can send 1500 bytes, which smaller packets share and larger
//! ones take several of. A chance that nobody waits for is lost. At its end the recording begins again.
//!
//! | where we differ from mm-link | because |
//! | --- | --- |
//! | 1500 bytes per chance, not 1504 | its packets carry 4 bytes of TUN header, ours do not |

use std::sync::Arc;

use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// How much one chance can send, in bytes.
const CHANCE_BYTES: u64 = 1500;

/// A recording of chances to send, repeated for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryTrace {
    /// In milliseconds, not falling; the last is above zero and the length of one round.
    chances_ms: Arc<[u64]>,
}

impl DeliveryTrace {
    /// Reads a recording.
    ///
    /// # Errors
    /// Where a line is not a whole number of at most a year's milliseconds or is below the line
    /// before, where there is no line, and where the last one is zero.
    pub fn parse(text: &str) -> Result<Self, DeliveryTraceError> {
        /// A year: far from where nanoseconds of many rounds would overflow.
        const LONGEST_MS: u64 = 365 * 24 * 3_600_000;
        let mut chances_ms = Vec::new();
        let mut previous = 0;
        for (place, content) in text.lines().enumerate() {
            let line = place + 1;
            let ms = content.trim().parse().ok().filter(|&ms| ms <= LONGEST_MS);
            let ms = ms.ok_or_else(|| DeliveryTraceError::Number { line, got: content.into() })?;
            if ms < previous {
                return Err(DeliveryTraceError::Falls { line, got: ms, previous });
            }
            previous = ms;
            chances_ms.push(ms);
        }
        match chances_ms.last() {
            None => Err(DeliveryTraceError::Empty),
            Some(0) => Err(DeliveryTraceError::NoTime),
            Some(_) => Ok(Self { chances_ms: chances_ms.into() }),
        }
    }

    /// The mean rate of one round.
    pub fn mean_rate(&self) -> Bitrate {
        let bytes = ByteSize::new(CHANCE_BYTES * self.chances_ms.len() as u64);
        Bitrate::of(bytes, Duration::from_millis(self.round_ms()))
    }

    /// The chances to send, in milliseconds from the start of a round; never empty.
    pub fn chances_ms(&self) -> &[u64] {
        &self.chances_ms
    }

    fn round_ms(&self) -> u64 {
        self.chances_ms[self.chances_ms.len() - 1]
    }

    /// When the chance numbered `number` comes.
    fn chance(&self, number: u64) -> Time {
        let length = self.chances_ms.len() as u64;
        let (round, place) = (number / length, number % length);
        let ms = self.round_ms().saturating_mul(round).saturating_add(self.chances_ms[place as usize]);
        Time::ZERO + Duration::from_millis(1) * ms
    }

    /// The number of the first chance at `t` or later.
    fn first_from(&self, t: Time) -> u64 {
        let ms = t.as_nanos().div_ceil(1_000_000);
        // A round's last chance is as late as the next one's zero, so it may be the first one.
        let round = ms.saturating_sub(1) / self.round_ms();
        let offset = ms - round * self.round_ms();
        let place = self.chances_ms.partition_point(|&chance| chance < offset);
        round * self.chances_ms.len() as u64 + place as u64
    }
}

/// A place in a recording that only moves forward: which chance is next and what is left of it.
#[derive(Clone, Debug)]
pub struct DeliveryCursor {
    trace: DeliveryTrace,
    number: u64,
    left_bytes: u64,
}

impl DeliveryCursor {
    /// At the recording's first chance.
    pub const fn new(trace: DeliveryTrace) -> Self {
        Self { trace, number: 0, left_bytes: CHANCE_BYTES }
    }

    /// The chance at which the first byte would leave of a packet that is ready at `ready`.
    pub fn begins(&self, ready: Time) -> Time {
        let next = if self.left_bytes == 0 { self.number + 1 } else { self.number };
        let next = self.trace.chance(next);
        if next < ready { self.trace.chance(self.trace.first_from(ready)) } else { next }
    }

    /// Sends `size` from `ready` on, behind everything sent before: the chance at which its first byte
    /// leaves, and the one at which its last byte does.
    pub fn send(&mut self, ready: Time, size: ByteSize) -> (Time, Time) {
        if self.trace.chance(self.number) < ready {
            self.number = self.trace.first_from(ready);
            self.left_bytes = CHANCE_BYTES;
        }
        if self.left_bytes == 0 {
            self.number += 1;
            self.left_bytes = CHANCE_BYTES;
        }
        let begun = self.trace.chance(self.number);
        let more = size.get().saturating_sub(self.left_bytes);
        let further = more.div_ceil(CHANCE_BYTES);
        self.number += further;
        self.left_bytes = self.left_bytes + further * CHANCE_BYTES - size.get();
        (begun, self.trace.chance(self.number))
    }
}

/// Why a text is no recording of chances to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryTraceError {
    /// A line is no number of milliseconds.
    #[error("line {line}: expected a whole number of milliseconds, got {got:?}")]
    Number {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        got: String,
    },
    /// The times fall.
    #[error("line {line}: {got} ms comes before the {previous} ms of the line above")]
    Falls {
        /// Counted from 1.
        line: usize,
        /// In milliseconds.
        got: u64,
        /// In milliseconds.
        previous: u64,
    },
    /// There is no line.
    #[error("the delivery trace is empty")]
    Empty,
    /// The last chance is at zero, so that a round would take no time.
    #[error("the last time of the delivery trace must be above 0 ms")]
    NoTime,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(text: &str) -> DeliveryTrace {
        DeliveryTrace::parse(text).unwrap()
    }

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn one_chance_a_millisecond_is_twelve_megabits() {
        assert_eq!(trace("1\n").mean_rate(), Bitrate::from_bps(12_000_000));
    }

    #[test]
    fn small_packets_share_a_chance_and_large_ones_take_several() {
        let mut cursor = DeliveryCursor::new(trace("2\n2\n7\n"));
        let mut send = |size| cursor.send(Time::ZERO, ByteSize::new(size));
        assert_eq!(send(700), (ms(2), ms(2)));
        assert_eq!(send(800), (ms(2), ms(2)));
        assert_eq!(send(1000), (ms(2), ms(2)));
        assert_eq!(send(1000), (ms(2), ms(7)));
        // The round of 7 ms begins again: 9, 9, 14, …
        assert_eq!(send(4000), (ms(7), ms(9)));
        assert_eq!(send(1500), (ms(14), ms(14)));
    }

    #[test]
    fn a_chance_that_nobody_waits_for_is_lost() {
        let mut cursor = DeliveryCursor::new(trace("1\n5\n"));
        assert_eq!(cursor.send(Time::from_micros(1_001), ByteSize::new(100)), (ms(5), ms(5)));
        assert_eq!(cursor.send(ms(5), ByteSize::new(100)), (ms(5), ms(5)));
        assert_eq!(cursor.send(ms(7), ByteSize::new(100)), (ms(10), ms(10)));
    }

    #[test]
    fn errors_name_their_line() {
        let error = DeliveryTrace::parse("1\n\n2\n").unwrap_err();
        assert_eq!(error, DeliveryTraceError::Number { line: 2, got: String::new() });
        let error = DeliveryTrace::parse("3\n2\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: 2 ms comes before the 3 ms of the line above");
        assert_eq!(DeliveryTrace::parse(""), Err(DeliveryTraceError::Empty));
        assert_eq!(DeliveryTrace::parse("0\n"), Err(DeliveryTraceError::NoTime));
        assert!(DeliveryTrace::parse("99999999999999999999\n").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_text_gives_a_recording_or_a_reason(text in "[0-9 \n\\PC]*") {
            let _ = DeliveryTrace::parse(&text);
        }

        #[test]
        fn the_cursor_sends_like_a_loop_over_chances(
            gaps in prop::collection::vec(0..4_u64, 1..8),
            packets in prop::collection::vec((0..9_000_u64, 1..4_000_u64), 1..60),
        ) {
            let mut at = 0;
            let lines: Vec<String> = gaps.iter().chain([&1]).map(|gap| { at += gap; at.to_string() }).collect();
            let trace = trace(&lines.join("\n"));
            let mut cursor = DeliveryCursor::new(trace.clone());
            // The plain version: every chance in turn, one byte budget each.
            let (mut chance, mut left, mut ready) = (0, CHANCE_BYTES, Time::ZERO);
            for (gap, size) in packets {
                ready += Duration::from_micros(gap);
                let (mut begun, mut rest) = (None, size);
                while rest > 0 {
                    if trace.chance(chance) < ready || left == 0 {
                        chance += 1;
                        left = CHANCE_BYTES;
                        continue;
                    }
                    begun = begun.or(Some(trace.chance(chance)));
                    let sent = rest.min(left);
                    rest -= sent;
                    left -= sent;
                }
                let expected = (begun.unwrap(), trace.chance(chance));
                prop_assert_eq!(cursor.begins(ready), expected.0);
                prop_assert_eq!(cursor.send(ready, ByteSize::new(size)), expected);
            }
        }
    }
}
