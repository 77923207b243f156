//! Outages: times at which nothing gets through, as while a device moves from one access point or cell
//! to the next.
//!
//! The path is down while a [`Channel`] is bad: one that both directions share, or one of this direction
//! alone. What it holds goes on all at once and in order when it is over, as from the buffer of an access
//! point; what it drops is gone. It stands behind the bottleneck, which goes on sending into it, so that
//! what is held is bounded by the bottleneck's rate (and by nothing where there is none).

use crate::record::DropReason;
use crate::rng::Seed;
use crate::time::Time;

use super::channel::Channel;
use super::config::{OutageConfig, OutagePolicy, PathConfig, Timeline};
use super::{Fate, Meta, Stage};

/// The outages of one direction.
#[derive(Clone, Debug)]
pub struct Outage {
    channel: Channel,
    policy: OutagePolicy,
}

impl Outage {
    /// The outages of `config`, where they are this direction's own drawn from the stream named `name`.
    pub fn new(config: &OutageConfig, path: &PathConfig, seed: Seed, name: &str) -> Self {
        let channel = match config.timeline {
            Timeline::Shared(place) => Channel::of_path(path, place, seed),
            Timeline::Own(ref own) => Channel::new(own, seed.stream(name)),
        };
        Self { channel, policy: config.policy }
    }
}

impl Stage for Outage {
    fn admit(&mut self, at: Time, _: &Meta) -> Fate {
        match self.policy {
            OutagePolicy::Hold => Fate::Pass(self.channel.good_from(at)),
            OutagePolicy::Drop if self.channel.is_bad(at) => Fate::Drop(at, DropReason::Outage),
            OutagePolicy::Drop => Fate::Pass(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::config::ChannelConfig;
    use crate::impair::laws::{clear_path, packet};
    use crate::time::Duration;

    fn fates(policy: OutagePolicy) -> Vec<Fate> {
        let roam = ChannelConfig::Scheduled {
            starts: vec![Time::from_millis(2)],
            length: Duration::from_millis(2),
            every: Some(Duration::from_millis(100)),
        };
        let config = OutageConfig { timeline: Timeline::Own(roam), policy };
        let mut outage = Outage::new(&config, &clear_path(), Seed(0), "down/outage");
        [1, 2, 3, 4, 103].map(|ms| outage.admit(Time::from_millis(ms), &packet(0, 0))).to_vec()
    }

    #[test]
    fn held_packets_go_on_together_when_the_outage_is_over() {
        let expected = [1, 4, 4, 4, 104].map(|ms| Fate::Pass(Time::from_millis(ms)));
        assert_eq!(fates(OutagePolicy::Hold), expected);
    }

    #[test]
    fn an_outage_that_drops_drops_only_while_it_lasts() {
        let dropped = |ms| Fate::Drop(Time::from_millis(ms), DropReason::Outage);
        let passed = |ms| Fate::Pass(Time::from_millis(ms));
        assert_eq!(fates(OutagePolicy::Drop), [passed(1), dropped(2), dropped(3), passed(4), dropped(103)]);
    }
}
