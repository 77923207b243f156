//! When the next packet may leave: a token bucket, written as the time at which it is full enough.

use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// The pacer of one direction. Everything sent is charged; only data waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacer {
    /// When everything sent so far has been paid for.
    paid: Time,
}

impl Pacer {
    /// Charges a packet of `size` bytes that is sent at `now`, at `rate`, if there is one.
    pub(crate) fn charge(&mut self, now: Time, rate: Option<Bitrate>, size: u32) {
        if let Some(rate) = rate {
            let start = self.paid.max(now.saturating_sub(BURST));
            self.paid = start + rate.time_for(ByteSize::new(u64::from(size))).min(WAIT_MAX);
        }
    }

    /// When the next packet may leave.
    pub(crate) fn ready_at(&self) -> Time {
        self.paid
    }
}

/// How much unused time counts: as little as a real clock can keep, because a burst is a queue
/// somewhere.
const BURST: Duration = Duration::from_millis(1);

/// The longest that one packet blocks the next, so that a rate of zero for a moment does not stop the
/// session for ever. A datagram takes less at 1 kbit/s.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_at_the_rate_after_a_burst_of_one_millisecond() {
        let (mut pacer, rate) = (Pacer::default(), Some(Bitrate::from_bps(8_000_000)));
        let start = Time::from_secs(1);
        let sent: Vec<Time> = (0..5)
            .map(|_| {
                let at = pacer.ready_at().max(start);
                pacer.charge(at, rate, 500);
                at
            })
            .collect();
        // 500 bytes take half a millisecond: two are free, the third waits.
        let micros = [0, 0, 0, 500, 1000].map(|micros| start + Duration::from_micros(micros));
        assert_eq!(sent, micros);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::default();
        pacer.charge(Time::from_secs(1), None, 1500);
        assert_eq!(pacer.ready_at(), Time::ZERO);
    }
}
