//! The transmitter of a bottleneck: one packet after the other, at a rate that may change over time.
//!
//! When a packet leaves is known as soon as its turn is known, whatever the rate does: at a constant rate
//! by one division, at a channel's rate by walking over the slots that the transmission spans, with a
//! delivery trace by counting chances. Times are rounded up, so that the rate is never exceeded.

use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

use super::channel::Channel;
use super::config::{PathConfig, RateConfig};
use super::delivery_trace::DeliveryCursor;

/// A transmitter.
#[derive(Clone, Debug)]
pub struct Server {
    pace: Pace,
    /// When it is done with everything given to it.
    free_at: Time,
}

#[derive(Clone, Debug)]
enum Pace {
    Constant(Bitrate),
    Channel { good: Bitrate, bad: Bitrate, channel: Channel },
    Trace(DeliveryCursor),
}

/// The time that a packet spends at the transmitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// When its first bit leaves.
    pub begun: Time,
    /// When its last bit has left; [`Time::NEVER`] where the rate is zero from then on.
    pub done: Time,
}

impl Server {
    /// A transmitter of this rate on this path.
    pub fn new(rate: &RateConfig, path: &PathConfig, seed: Seed) -> Self {
        let pace = match *rate {
            RateConfig::Constant(rate) => Pace::Constant(rate),
            RateConfig::Channel { rate, channel, bad_factor } => Pace::Channel {
                good: rate,
                bad: rate.mul_f64(bad_factor.get()),
                channel: Channel::of_path(path, channel, seed),
            },
            RateConfig::Trace(ref trace) => Pace::Trace(DeliveryCursor::new(trace.clone())),
        };
        Self { pace, free_at: Time::ZERO }
    }

    /// Sends a packet of `size` that is ready at `ready`, behind everything sent before.
    pub fn send(&mut self, ready: Time, size: ByteSize) -> Service {
        let begun = ready.max(self.free_at);
        let service = match &mut self.pace {
            _ if begun == Time::NEVER => Service { begun, done: begun },
            Pace::Constant(rate) => Service { begun, done: begun + rate.time_for(size) },
            Pace::Channel { good, bad, channel } => {
                Service { begun, done: across_slots(begun, size, channel, *good, *bad) }
            }
            Pace::Trace(cursor) => {
                let (begun, done) = cursor.send(begun, size);
                Service { begun, done }
            }
        };
        self.free_at = service.done;
        service
    }

    /// When the transmission of a packet would begin that is ready at `ready`.
    pub fn begins(&self, ready: Time) -> Time {
        let begun = ready.max(self.free_at);
        match &self.pace {
            Pace::Trace(cursor) if begun < Time::NEVER => cursor.begins(begun),
            _ => begun,
        }
    }

    /// When it is done with everything given to it.
    pub const fn free_at(&self) -> Time {
        self.free_at
    }
}

/// The end of a transmission that begins at `begun`, over as many slots of the channel as it takes.
fn across_slots(begun: Time, size: ByteSize, channel: &mut Channel, good: Bitrate, bad: Bitrate) -> Time {
    if good.bps() == 0 {
        return Time::NEVER;
    }
    // In bits times nanoseconds per second, so that nothing is rounded from slot to slot.
    let mut left = u128::from(size.get()) * 8 * 1_000_000_000;
    let mut at = begun;
    loop {
        let slot = channel.at(at);
        let rate = u128::from(if slot.bad { bad } else { good }.bps());
        let fits = rate * u128::from(slot.until.since(at).as_nanos());
        if slot.until == Time::NEVER && rate == 0 {
            return Time::NEVER;
        }
        if left <= fits {
            return at + Duration::from_nanos(left.div_ceil(rate.max(1)) as u64);
        }
        left -= fits;
        at = slot.until;
    }
}

impl RateConfig {
    /// The rate that sizes a queue given as a time: the good rate of a channel, the mean of a trace.
    pub fn nominal(&self) -> Bitrate {
        match self {
            Self::Constant(rate) | Self::Channel { rate, .. } => *rate,
            Self::Trace(trace) => trace.mean_rate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::config::ChannelConfig;
    use crate::impair::laws::clear_path;
    use crate::units::Probability;

    fn gated(bad_factor: f64) -> Server {
        let mut path = clear_path();
        let oven = ChannelConfig::Periodic {
            period: Duration::from_millis(10),
            bad: Duration::from_millis(4),
            phase: Duration::from_millis(6),
        };
        path.channels.push(("oven".into(), oven));
        let rate = RateConfig::Channel {
            rate: Bitrate::from_bps(1_000_000),
            channel: 0,
            bad_factor: Probability::new(bad_factor).unwrap(),
        };
        Server::new(&rate, &path, Seed(0))
    }

    #[test]
    fn a_transmission_slows_down_where_the_channel_turns_bad() {
        // 1000 bytes take 8 ms while good: 6 ms good, then 2 ms worth of bits at half the rate.
        let service = gated(0.5).send(Time::ZERO, ByteSize::new(1000));
        assert_eq!(service.done, Time::from_millis(10));
    }

    #[test]
    fn a_rate_of_zero_makes_packets_wait() {
        let service = gated(0.0).send(Time::ZERO, ByteSize::new(1000));
        assert_eq!(service.done, Time::from_millis(12));
        let mut dead = Server::new(&RateConfig::Constant(Bitrate::from_bps(0)), &clear_path(), Seed(0));
        assert_eq!(dead.send(Time::ZERO, ByteSize::new(1)).done, Time::NEVER);
        assert_eq!(dead.send(Time::ZERO, ByteSize::new(1)).begun, Time::NEVER);
    }

    #[test]
    fn packets_follow_each_other_without_a_gap() {
        let mut server =
            Server::new(&RateConfig::Constant(Bitrate::from_bps(8_000_000)), &clear_path(), Seed(0));
        let first = server.send(Time::from_millis(1), ByteSize::new(1000));
        let second = server.send(Time::from_millis(1), ByteSize::new(500));
        assert_eq!((first.begun, first.done), (Time::from_millis(1), Time::from_millis(2)));
        assert_eq!((second.begun, second.done), (Time::from_millis(2), Time::from_micros(2_500)));
    }
}
