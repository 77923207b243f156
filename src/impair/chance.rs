//! Events that strike packets independently and with the same probability: iid loss, duplication,
//! corruption.
//!
//! Source: tc-netem(8), `loss random`, `duplicate`, `corrupt` without correlation; Bernoulli trials.

use crate::rng::Stream;
use crate::time::Time;
use crate::units::Probability;

use super::per_packet::PerPacket;
use super::{Fate, Meta, Stage};

/// An independent event per packet.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    packets: PerPacket,
    copies: Stream,
    probability: Probability,
}

impl Chance {
    /// An event of this probability, drawn from `stream`.
    pub fn new(stream: Stream, probability: Probability) -> Self {
        Self { packets: PerPacket::new(stream), copies: stream.part(1), probability }
    }

    /// Whether it strikes the packet.
    pub fn strikes(&mut self, meta: &Meta) -> bool {
        self.certain().unwrap_or_else(|| self.packets.unit(meta) < self.probability.get())
    }

    /// Whether it strikes the copy of the packet.
    pub fn strikes_copy(&self, meta: &Meta) -> bool {
        self.certain().unwrap_or_else(|| self.copies.chance(meta.key(), self.probability))
    }

    /// What needs no draw.
    fn certain(&self) -> Option<bool> {
        match self.probability {
            Probability::ZERO => Some(false),
            Probability::ONE => Some(true),
            _ => None,
        }
    }
}

/// Packets that arrive twice: the copy right behind its original.
#[derive(Clone, Copy, Debug)]
pub struct Duplicate(pub Chance);

impl Stage for Duplicate {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        if self.0.strikes(meta) { Fate::PassTwice(at) } else { Fate::Pass(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::laws::packet;
    use crate::rng::Seed;

    #[test]
    fn an_event_strikes_its_share_of_packets_and_of_copies() {
        let p = 0.03;
        let mut chance = Chance::new(Seed(1).stream("test"), Probability::new(p).unwrap());
        let n = 200_000_u64;
        let packets = (0..n).filter(|&index| chance.strikes(&packet(0, index))).count();
        let copies = (0..n).filter(|&index| chance.strikes_copy(&packet(0, index))).count();
        // Five standard errors of a binomial share: one wrong alarm in 1.7 million.
        let bound = 5.0 * (p * (1.0 - p) / n as f64).sqrt();
        assert!((packets as f64 / n as f64 - p).abs() < bound);
        assert!((copies as f64 / n as f64 - p).abs() < bound);
    }

    #[test]
    fn events_strike_packets_flows_and_copies_independently() {
        let mut half = Chance::new(Seed(1).stream("test"), Probability::new(0.5).unwrap());
        let n = 100_000_u64;
        let share =
            |agree: &mut dyn FnMut(u64) -> bool| (0..n).filter(|&i| agree(i)).count() as f64 / n as f64;
        // Independent fair coins agree half the time; five standard errors are 2.5 / sqrt(n).
        let bound = 2.5 / (n as f64).sqrt();
        let neighbors = share(&mut |i| half.strikes(&packet(0, i)) == half.strikes(&packet(0, i + 1)));
        let flows = share(&mut |i| half.strikes(&packet(0, i)) == half.strikes(&packet(1, i)));
        let copies = share(&mut |i| half.strikes(&packet(0, i)) == half.strikes_copy(&packet(0, i)));
        for agreement in [neighbors, flows, copies] {
            assert!((agreement - 0.5).abs() < bound, "{agreement}");
        }
    }

    #[test]
    fn never_and_always_are_exact() {
        let stream = Seed(1).stream("test");
        assert!((0..1000).all(|i| !Chance::new(stream, Probability::ZERO).strikes(&packet(0, i))));
        assert!((0..1000).all(|i| Chance::new(stream, Probability::ONE).strikes_copy(&packet(0, i))));
    }
}
