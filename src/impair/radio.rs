//! The air behind the bottleneck: radio loss, and the link layer that tries again.
//!
//! Wi-Fi's retries and LTE's HARQ and RLC turn loss into delay, and where they keep order, into bursts:
//! packets behind one that is tried again wait, and then come all at once.
//!
//! Sources: RFC 3366 ("Advice to link designers on link ARQ"): a bounded number of tries is "low
//! persistence"; in-order delivery is that of LTE RLC in acknowledged mode (3GPP TS 36.322).
//!
//! | where we simplify | because |
//! | --- | --- |
//! | tries come at a fixed interval | the closed form of all tries when the packet is first sent |
//! | a retry takes no capacity of the bottleneck | where it matters, lower the rate while the channel is bad |
//! | an outage that begins between two tries does not stop the second | tries take milliseconds |

use crate::record::DropReason;
use crate::rng::{Seed, Stream};
use crate::time::Time;

use super::config::{LinkArqConfig, LossConfig, PathConfig};
use super::loss::Loss;
use super::{Fate, Meta, Stage};

/// Radio loss with or without link-layer retransmission.
#[derive(Clone, Debug)]
pub struct Radio {
    loss: Loss,
    arq: Option<Arq>,
}

#[derive(Clone, Debug)]
struct Arq {
    config: LinkArqConfig,
    stream: Stream,
    /// Until when packets are held back for an earlier one.
    held_until: Time,
}

impl Radio {
    /// Radio loss drawn from the stream `PLACE/loss` and retries from `PLACE/link-arq`.
    pub fn new(
        loss: &LossConfig,
        arq: Option<LinkArqConfig>,
        path: &PathConfig,
        seed: Seed,
        place: &str,
    ) -> Self {
        Self {
            loss: Loss::new(loss, path, seed, &format!("{place}/loss")),
            arq: arq.map(|config| Arq::new(config, seed, place)),
        }
    }

    /// The same without losses, until [`Radio::loss`] is told of some.
    pub fn clear(arq: Option<LinkArqConfig>, seed: Seed, place: &str) -> Self {
        Self {
            loss: Loss::none(seed, &format!("{place}/loss")),
            arq: arq.map(|config| Arq::new(config, seed, place)),
        }
    }

    /// Its losses.
    pub const fn loss(&mut self) -> &mut Loss {
        &mut self.loss
    }
}

impl Stage for Radio {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        let lost = self.loss.loses(at, meta);
        let Some(arq) = &mut self.arq else {
            return if lost { Fate::Drop(at, DropReason::Loss) } else { Fate::Pass(at) };
        };
        let fate = if lost { arq.retry(at, meta, &mut self.loss) } else { Fate::Pass(at) };
        if arq.config.in_order { arq.hold(fate) } else { fate }
    }
}

impl Arq {
    fn new(config: LinkArqConfig, seed: Seed, place: &str) -> Self {
        Self { config, stream: seed.stream(&format!("{place}/link-arq")), held_until: Time::ZERO }
    }

    fn retry(&self, at: Time, meta: &Meta, loss: &mut Loss) -> Fate {
        let mut retries = loss.retries(meta, self.stream.at(meta.key()));
        let mut tried = at;
        for _ in 0..self.config.tries {
            tried += self.config.interval;
            if !loss.loses_retry(tried, meta, &mut retries) {
                return Fate::Pass(tried);
            }
        }
        Fate::Drop(tried, DropReason::RetriesExhausted)
    }

    /// Packets wait for those before them, until these got through or were given up.
    fn hold(&mut self, fate: Fate) -> Fate {
        let (Fate::Pass(at) | Fate::PassTwice(at) | Fate::Drop(at, _)) = fate;
        self.held_until = self.held_until.max(at);
        match fate {
            Fate::Drop(..) => fate,
            Fate::Pass(_) | Fate::PassTwice(_) => Fate::Pass(self.held_until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::config::{ChannelConfig, LossFrom, LossModel, LossPlace};
    use crate::impair::laws::{clear_path, packet};
    use crate::impair::loss::trace::LossTrace;
    use crate::time::Duration;
    use crate::units::Probability;

    fn radio(model: LossModel, arq: LinkArqConfig, path: &PathConfig) -> Radio {
        let loss = LossConfig { model, at: LossPlace::AfterQueue, from: LossFrom::Start };
        Radio::new(&loss, Some(arq), path, Seed(1), "down")
    }

    const fn arq(tries: u8, in_order: bool) -> LinkArqConfig {
        LinkArqConfig { tries, interval: Duration::from_millis(2), in_order }
    }

    #[test]
    fn residual_loss_and_mean_delay_of_retries_are_those_of_the_closed_form() {
        let (p, tries, n) = (0.3_f64, 3, 200_000_u64);
        let iid = LossModel::Iid(Probability::new(p).unwrap());
        let mut radio = radio(iid, arq(tries, false), &clear_path());
        let (mut lost, mut delays, mut squares) = (0.0, 0.0, 0.0);
        for index in 0..n {
            match radio.admit(Time::ZERO, &packet(0, index)) {
                Fate::Drop(at, reason) => {
                    assert_eq!((at, reason), (Time::from_millis(6), DropReason::RetriesExhausted));
                    lost += 1.0;
                }
                Fate::Pass(at) | Fate::PassTwice(at) => {
                    delays += at.as_secs_f64();
                    squares += at.as_secs_f64().powi(2);
                }
            }
        }
        // Lost after all tries: p^(tries + 1), as a binomial share within five standard errors.
        let residual = p.powi(4);
        assert!((lost / n as f64 - residual).abs() < 5.0 * (residual / n as f64).sqrt(), "{lost}");
        // The extra delay of those that got through: the sum of j · interval · p^j (1 - p), j = 0 … 3,
        // over 1 - p^4; the bound from the sample's own deviation.
        let sum: f64 = (0..=3).map(|j| f64::from(j) * 0.002 * p.powi(j) * (1.0 - p)).sum();
        let (expected, passed) = (sum / (1.0 - residual), n as f64 - lost);
        let mean = delays / passed;
        let deviation = (squares / passed - mean * mean).sqrt();
        assert!((mean - expected).abs() < 5.0 * deviation / passed.sqrt(), "{mean}, not {expected}");
    }

    #[test]
    fn a_retry_looks_at_the_channel_of_its_own_time() {
        let mut path = clear_path();
        let fade = ChannelConfig::Scheduled {
            starts: vec![Time::from_millis(10)],
            length: Duration::from_millis(5),
            every: None,
        };
        path.channels.push(("fade".into(), fade));
        let model = LossModel::Channel { channel: 0, good: Probability::ZERO, bad: Probability::ONE };
        let mut radio = radio(model, arq(3, false), &path);
        let mut at = |ms| radio.admit(Time::from_millis(ms), &packet(0, 0));
        assert_eq!(at(9), Fate::Pass(Time::from_millis(9)));
        assert_eq!(at(10), Fate::Pass(Time::from_millis(16)));
        assert_eq!(at(14), Fate::Pass(Time::from_millis(16)));
    }

    #[test]
    fn later_packets_wait_for_one_that_is_tried_again_and_then_come_in_a_burst() {
        let trace = LossModel::Trace(LossTrace::parse("1100000000", '1').unwrap());
        let pass = |ms| Fate::Pass(Time::from_millis(ms));
        for (in_order, expected) in [(true, [4, 4, 4, 4, 4, 5]), (false, [4, 3, 2, 3, 4, 5])] {
            let mut radio = radio(trace.clone(), arq(3, in_order), &clear_path());
            let fates = [0, 1, 2, 3, 4, 5].map(|ms| radio.admit(Time::from_millis(ms), &packet(0, ms)));
            assert_eq!(fates, expected.map(pass));
        }
    }

    #[test]
    fn a_packet_that_is_given_up_holds_later_ones_back_until_then() {
        let trace = LossModel::Trace(LossTrace::parse("11100000", '1').unwrap());
        let mut radio = radio(trace, arq(1, true), &clear_path());
        let mut admit = |ms, index| radio.admit(Time::from_millis(ms), &packet(0, index));
        let given_up = |ms| Fate::Drop(Time::from_millis(ms), DropReason::RetriesExhausted);
        assert_eq!(admit(0, 0), given_up(2));
        assert_eq!(admit(1, 1), given_up(3));
        assert_eq!(admit(2, 3), Fate::Pass(Time::from_millis(3)));
    }
}
