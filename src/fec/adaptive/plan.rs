//! How many repair packets are worth their bytes.
//!
//! A frame in time has a worth, in bytes. With r repair packets for k source packets it fails with the
//! probability P(r) that more than r of the k + r packets are lost, so the best r is the one that makes
//!
//! > worth · (1 − P(r)) − r · bytes of a repair packet
//!
//! largest. Over many frames no other choice of redundancy has more frames in time for the same bytes:
//! it is the Lagrangian solution (Chou and Miao, "Rate-distortion optimized streaming of packetized
//! media", IEEE Trans. Multimedia 8(2), 2006, with the packet's place in time left out). It follows that
//! small frames, whose repair packets are short, get much protection and large ones as much as pays.

use std::collections::HashMap;

use crate::fec::theory::{Channel, LossCount};

/// The best numbers for a channel, remembered while it stays about the same.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    channel: Channel,
    known: HashMap<Question, u16>,
}

/// What was asked: source packets, repair packets that were sent for them before, and the cost of one
/// more in eighths of an octave of its worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    sources: u16,
    sent: u16,
    cost: i16,
}

impl Plan {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, known: HashMap::new() }
    }

    /// The channel is this one now. Answers are kept while it is hardly another.
    pub(super) fn update(&mut self, channel: Channel) {
        let alike = |a: f64, b: f64| (a - b).abs() <= ALIKE * a.max(b);
        let [old, new] = [self.channel, channel].map(|channel| (channel.mean_loss(), memory(channel)));
        if !alike(old.0, new.0) || !alike(1.0 - old.1, 1.0 - new.1) {
            *self = Self::new(channel);
        }
    }

    /// How many repair packets more for `sources` source packets, after `sent` of them, where one costs
    /// the share `cost` of what the frame is worth.
    pub(super) fn repairs(&mut self, sources: u16, sent: u16, cost: f64) -> u16 {
        // Nothing is to gain, or so much was sent that hardly anything can be.
        let enough = 2 * usize::from(sources) + MORE_MAX;
        if self.channel.mean_loss() <= 0.0 || sources == 0 || cost >= 1.0 || usize::from(sent) > enough {
            return 0;
        }
        let octaves = libm::round(8.0 * libm::log2(cost.max(COST_LEAST)));
        let question = Question { sources: rounded(sources), sent, cost: octaves as i16 };
        if let Some(&known) = self.known.get(&question) {
            return known;
        }
        let answer = best(&self.channel, question, libm::exp2(octaves / 8.0));
        if self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(question, answer);
        answer
    }
}

/// The number that makes the worth less the cost largest.
fn best(channel: &Channel, question: Question, cost: f64) -> u16 {
    let (sources, sent) = (usize::from(question.sources), usize::from(question.sent));
    let most = MORE_MAX.min(sources * 2 + 64);
    let mut count = LossCount::new(*channel, sent + most);
    (0..sources + sent).for_each(|_| count.step(1));
    let (mut best, mut least) = (0, f64::INFINITY);
    for more in 0..=most {
        let fails = count.exceeds(sent + more);
        let spent = more as f64 * cost;
        if fails + spent < least {
            (best, least) = (more, fails + spent);
        }
        // What is left to gain pays for no other packet.
        if fails < cost || spent > least {
            break;
        }
        count.step(1);
    }
    best as u16
}

/// The memory of a channel from packet to packet.
fn memory(channel: Channel) -> f64 {
    let [after_good, after_bad] = channel.bad_after(1);
    after_bad - after_good
}

/// Large numbers of packets in steps of a sixteenth, rounded up, so that fewer are computed.
fn rounded(packets: u16) -> u16 {
    let step = (packets / 16).max(1).next_power_of_two() / 2;
    packets.next_multiple_of(step.max(1))
}

/// Channels that differ by less in loss and in the length of bursts are not told apart: estimates from
/// a few thousand packets are less exact.
const ALIKE: f64 = 0.15;

/// The most repair packets at once; the least that anything costs keeps the search short.
const MORE_MAX: usize = 192;

/// See [`MORE_MAX`].
const COST_LEAST: f64 = 1e-6;

/// The most answers that are remembered.
const KNOWN_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fec::theory::losses_exceed;
    use crate::units::Probability;

    fn gilbert(loss: f64, burst: f64) -> Channel {
        Channel::gilbert(Probability::new(loss).unwrap(), burst).unwrap()
    }

    #[test]
    fn without_losses_nothing_is_spent() {
        let mut plan = Plan::new(Channel::independent(Probability::ZERO));
        assert_eq!(plan.repairs(10, 0, 1e-6), 0);
    }

    #[test]
    fn a_small_frame_gets_more_protection_for_its_size_than_a_large_one() {
        let mut plan = Plan::new(gilbert(0.05, 1.1));
        // Repair packets of 230 and 1200 bytes for a frame that is worth 250,000.
        let (small, large) = (plan.repairs(1, 0, 230.0 / 250e3), plan.repairs(56, 0, 1200.0 / 250e3));
        assert!(small >= 2 && (5..12).contains(&large), "{small} and {large}");
    }

    #[test]
    fn what_was_sent_before_counts() {
        let mut plan = Plan::new(gilbert(0.1, 2.0));
        let all = plan.repairs(20, 0, 1e-3);
        let rest: Vec<u16> = (0..=all).map(|sent| plan.repairs(20, sent, 1e-3)).collect();
        assert!(rest.is_sorted_by(|a, b| a >= b) && rest[usize::from(all)] == 0, "{rest:?}");
    }

    #[test]
    fn a_channel_that_changes_changes_the_answers() {
        let mut plan = Plan::new(gilbert(0.01, 1.0101));
        let before = plan.repairs(10, 0, 1e-3);
        plan.update(gilbert(0.1, 1.2));
        assert!(plan.repairs(10, 0, 1e-3) > before);
    }

    proptest! {
        #[test]
        fn no_other_number_is_better(
            loss in 0.001..0.3, burst in 1.5..8.0, sources in 1..30_u16, sent in 0..5_u16, cost in 1e-4..0.2
        ) {
            let channel = gilbert(loss, burst);
            let question = Question { sources, sent, cost: 0 };
            let got = usize::from(best(&channel, question, cost));
            let (k, before) = (usize::from(sources), usize::from(sent));
            let loses = |more: usize| {
                losses_exceed(&channel, k + before + more, before + more) + more as f64 * cost
            };
            for more in 0..60 {
                prop_assert!(loses(got) <= loses(more) + 1e-9, "{got} is worse than {more}");
            }
        }
    }
}
