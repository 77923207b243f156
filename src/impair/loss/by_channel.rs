//! Loss by the state of a channel at the time: the physical model.
//!
//! Losses come together with the slow and the delayed packets of the same bad moment, in both
//! directions, and a flow that sends nothing meanwhile loses nothing. Draws belong to the channel's slot
//! and to the packet's ordinal in it, per flow, so that under any contender the n-th packet of a flow in
//! a fade meets the same luck.

use crate::impair::Meta;
use crate::impair::channel::{Channel, Slot};
use crate::impair::per_flow::PerFlow;
use crate::rng::{self, Draws, Stream};
use crate::time::Time;
use crate::units::Probability;

/// Loss with one probability while a channel is good and another one while it is bad.
#[derive(Clone, Debug)]
pub struct ByChannel {
    channel: Channel,
    good: Probability,
    bad: Probability,
    stream: Stream,
    flows: PerFlow<InSlot>,
}

/// One flow's draws in the slot that it was last seen in.
#[derive(Clone, Debug)]
struct InSlot {
    stream: Stream,
    number: u64,
    draws: Draws,
}

impl ByChannel {
    /// Loss by this channel, drawn from `stream`.
    pub const fn new(channel: Channel, good: Probability, bad: Probability, stream: Stream) -> Self {
        Self { channel, good, bad, stream, flows: PerFlow::new() }
    }

    /// Whether the packet is lost at `at`.
    pub fn loses(&mut self, at: Time, meta: &Meta) -> bool {
        let slot = self.channel.at(at);
        let probability = self.probability_in(slot);
        let whole = self.stream;
        let flow = self.flows.entry(meta.flow, |flow| {
            let stream = whole.part(u64::from(flow.0));
            InSlot { stream, number: 0, draws: stream.at(0) }
        });
        if flow.number != slot.number {
            flow.number = slot.number;
            flow.draws = flow.stream.at(slot.number);
        }
        rng::chance(&mut flow.draws, probability)
    }

    /// The probability of a loss at `at`.
    pub fn probability(&mut self, at: Time) -> Probability {
        let slot = self.channel.at(at);
        self.probability_in(slot)
    }

    const fn probability_in(&self, slot: Slot) -> Probability {
        if slot.bad { self.bad } else { self.good }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::config::ChannelConfig;
    use crate::impair::laws::packet;
    use crate::rng::Seed;
    use crate::time::Duration;

    fn oven(good: f64, bad: f64) -> ByChannel {
        let config = ChannelConfig::Periodic {
            period: Duration::from_millis(20),
            bad: Duration::from_millis(10),
            phase: Duration::ZERO,
        };
        let stream = Seed(1).stream("down/loss");
        let [good, bad] = [good, bad].map(|p| Probability::new(p).unwrap());
        ByChannel::new(Channel::new(&config, stream), good, bad, stream)
    }

    #[test]
    fn losses_follow_the_channel() {
        let mut loss = oven(0.0, 1.0);
        for ms in 0..100 {
            assert_eq!(loss.loses(Time::from_millis(ms), &packet(0, ms)), ms % 20 < 10);
        }
    }

    #[test]
    fn each_state_loses_its_share() {
        let mut loss = oven(0.02, 0.4);
        let n = 200_000_u64;
        let mut lost = [0.0; 2];
        for index in 0..n {
            let at = Time::from_micros(index * 100);
            lost[usize::from(loss.channel.is_bad(at))] += f64::from(loss.loses(at, &packet(0, index)));
        }
        for (lost, p) in lost.into_iter().zip([0.02, 0.4]) {
            // Five standard errors of a binomial share over the half of the packets.
            let half = n as f64 / 2.0;
            assert!((lost / half - p).abs() < 5.0 * (p * (1.0_f64 - p) / half).sqrt(), "{lost}");
        }
    }

    #[test]
    fn the_nth_packet_of_a_slot_meets_the_same_luck_whatever_came_before() {
        let (mut busy, mut quiet) = (oven(0.5, 0.5), oven(0.5, 0.5));
        for index in 0..50 {
            busy.loses(Time::from_millis(3), &packet(0, index));
            busy.loses(Time::from_millis(25), &packet(1, index));
        }
        for n in 0..50 {
            let at = Time::from_millis(25);
            assert_eq!(busy.loses(at, &packet(0, 50 + n)), quiet.loses(at, &packet(0, n)));
        }
    }
}
