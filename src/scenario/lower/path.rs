//! The path: channels by their place, models by their parameters.

use super::Lower;
use crate::impair::config::{
    BottleneckConfig, ChannelConfig, ChannelDelayConfig, CodelConfig, Distribution, FqCodelConfig,
    JitterConfig, LinkArqConfig, LinkConfig, LossConfig, LossFrom, LossModel, LossPlace, ManagedConfig,
    OutageConfig, OutagePolicy, PathConfig, PieConfig, QueueConfig, QueueLimit, RateConfig, ReorderConfig,
    Sojourn, Timeline,
};
use crate::impair::delivery_trace::DeliveryTrace;
use crate::impair::loss::gilbert_elliott::GilbertElliott;
use crate::impair::loss::trace::LossTrace;
use crate::scenario::file::channel::Channel;
use crate::scenario::file::loss::{self, Loss, LostDigit};
use crate::scenario::file::path::{Bottleneck, Jitter, Link, Outage, OutageMode};
use crate::scenario::file::queue::Queue;
use crate::scenario::place::At;
use crate::scenario::quantity;
use crate::time::{Duration, Time};
use crate::units::Probability;

impl Lower<'_> {
    pub(super) fn path(&mut self) -> Option<PathConfig> {
        let file = self.file;
        let channels = file.channel.iter().map(|(name, one)| (name.value.clone(), channel(one))).collect();
        let (down, up) = (self.link(&file.path.down), self.link(&file.path.up));
        Some(PathConfig { mtu: file.path.mtu.value, channels, down: down?, up: up? })
    }

    fn link(&mut self, link: &Link) -> Option<LinkConfig> {
        let loss = link.loss.as_ref().map(|loss| self.loss(loss));
        let bottleneck = link.bottleneck.as_ref().map(|bottleneck| self.bottleneck(bottleneck));
        // A file that cannot be used has left its problem behind.
        let (loss, bottleneck) =
            (loss.map_or(Some(None), |l| l.map(Some))?, bottleneck.map_or(Some(None), |b| b.map(Some))?);
        Some(LinkConfig {
            delay: link.delay.value,
            jitter: link.jitter.as_ref().map(jitter),
            channel_delay: link.extra_delay.as_ref().map(|extra| ChannelDelayConfig {
                channel: self.channel(&extra.channel),
                extra: extra.bad.value,
            }),
            loss,
            link_arq: link.link_arq.as_ref().map(|arq| LinkArqConfig {
                tries: arq.tries.value as u8,
                interval: arq.interval.value,
                in_order: arq.in_order,
            }),
            bottleneck,
            outage: link.outage.as_ref().map(|outage| self.outage(outage)),
            reorder: link.reorder.as_ref().map(|reorder| ReorderConfig {
                probability: reorder.rate.value,
                correlation: share(reorder.correlation.value),
                gap: u64::from(reorder.gap.value),
            }),
            duplicate: link.duplicate.as_ref().map_or(Probability::ZERO, |duplicate| duplicate.rate.value),
            corrupt: link.corrupt.as_ref().map_or(Probability::ZERO, |corrupt| corrupt.rate.value),
        })
    }

    /// The place of a channel, which the checks have found.
    fn channel(&self, name: &At<String>) -> usize {
        self.file.channel.names().position(|other| other == name.as_str()).unwrap_or(usize::MAX)
    }

    fn loss(&mut self, loss: &Loss) -> Option<LossConfig> {
        let (model, at, from) = match loss {
            Loss::Iid(iid) => (LossModel::Iid(iid.rate.value), iid.at, iid.from),
            Loss::Gilbert(chain) => {
                let (p, r) = steps((&chain.p, &chain.r), (&chain.loss, &chain.burst), (0.0, 1.0));
                (LossModel::GilbertElliott(GilbertElliott::gilbert(p, r)), chain.at, chain.from)
            }
            Loss::GilbertElliott(chain) => {
                let (good, bad) = (chain.good_loss.value, chain.bad_loss.value);
                let within = (good.get(), bad.get());
                let (p, r) = steps((&chain.p, &chain.r), (&chain.loss, &chain.burst), within);
                (LossModel::GilbertElliott(GilbertElliott { p, r, bad, good }), chain.at, chain.from)
            }
            Loss::Channel(loss) => {
                let (good, bad) = (loss.good.value, loss.bad.value);
                (LossModel::Channel { channel: self.channel(&loss.channel), good, bad }, loss.at, loss.from)
            }
            Loss::Trace(trace) => {
                let lost = match trace.lost {
                    LostDigit::Zero => '0',
                    LostDigit::One => '1',
                };
                let read = self.read(&trace.file, |text| LossTrace::parse(text, lost))?;
                (LossModel::Trace(read), trace.at, trace.from)
            }
        };
        let at = match at {
            loss::LossPlace::BeforeQueue => LossPlace::BeforeQueue,
            loss::LossPlace::AfterQueue => LossPlace::AfterQueue,
        };
        let from = match from {
            loss::LossStart::Start => LossFrom::Start,
            loss::LossStart::Established => LossFrom::Established,
        };
        Some(LossConfig { model, at, from })
    }

    fn bottleneck(&mut self, bottleneck: &Bottleneck) -> Option<BottleneckConfig> {
        let rate = match (&bottleneck.rate, &bottleneck.trace) {
            (_, Some(trace)) => RateConfig::Trace(self.read(&trace.file, DeliveryTrace::parse)?),
            (Some(rate), None) => match bottleneck.channel.as_ref().zip(bottleneck.bad_factor.as_ref()) {
                Some((channel, factor)) => RateConfig::Channel {
                    rate: rate.value,
                    channel: self.channel(channel),
                    bad_factor: share(factor.value),
                },
                None => RateConfig::Constant(rate.value),
            },
            (None, None) => return None,
        };
        Some(BottleneckConfig { rate, queue: queue(&bottleneck.queue_or_default()) })
    }

    fn outage(&self, outage: &Outage) -> OutageConfig {
        let policy = match outage.mode {
            OutageMode::Hold => OutagePolicy::Hold,
            OutageMode::Drop => OutagePolicy::Drop,
        };
        let timeline = match (&outage.channel, &outage.random) {
            (Some(channel), _) => Timeline::Shared(self.channel(channel)),
            (None, Some(random)) => Timeline::Own(ChannelConfig::TwoState {
                good: random.gap.value,
                bad: Sojourn::Fixed(random.r#for.value),
            }),
            (None, None) => Timeline::Own(ChannelConfig::Scheduled {
                starts: outage.at.as_ref().map_or_else(Vec::new, |at| starts(at)),
                length: outage.r#for.as_ref().map_or(Duration::ZERO, |length| length.value),
                every: outage.every.as_ref().map(|every| every.value),
            }),
        };
        OutageConfig { timeline, policy }
    }
}

fn channel(channel: &Channel) -> ChannelConfig {
    match channel {
        Channel::TwoState(states) => {
            ChannelConfig::TwoState { good: states.good.value, bad: Sojourn::Exponential(states.bad.value) }
        }
        Channel::Periodic(cycle) => ChannelConfig::Periodic {
            period: cycle.period.value,
            bad: cycle.bad.value,
            phase: cycle.phase.as_ref().map_or(Duration::ZERO, |phase| phase.value),
        },
        Channel::Scheduled(schedule) => ChannelConfig::Scheduled {
            starts: starts(&schedule.at),
            length: schedule.r#for.value,
            every: None,
        },
    }
}

fn queue(queue: &Queue) -> QueueConfig {
    QueueConfig::Managed(match queue {
        Queue::Droptail(limit) => {
            return QueueConfig::DropTail(match limit.value {
                quantity::QueueLimit::Time(time) => QueueLimit::Time(time),
                quantity::QueueLimit::Bytes(bytes) => QueueLimit::Bytes(bytes),
                quantity::QueueLimit::Packets(packets) => QueueLimit::Packets(packets as usize),
            });
        }
        Queue::Codel(codel) => ManagedConfig::Codel(CodelConfig {
            limit: codel.limit.value as usize,
            target: codel.target.value,
            interval: codel.interval.value,
            ecn: codel.ecn,
        }),
        Queue::Pie(pie) => ManagedConfig::Pie(PieConfig {
            limit: pie.limit.value as usize,
            target: pie.target.value,
            update: pie.tupdate.value,
            alpha: pie.alpha.value,
            beta: pie.beta.value,
            ecn: pie.ecn,
        }),
        Queue::FqCodel(fq) => ManagedConfig::FqCodel(FqCodelConfig {
            limit: fq.limit.value as usize,
            memory_limit: fq.memory_limit.value,
            flows: fq.flows.value,
            target: fq.target.value,
            interval: fq.interval.value,
            quantum: fq.quantum.get() as u32,
            ecn: fq.ecn,
        }),
    })
}

fn starts(at: &[At<Duration>]) -> Vec<Time> {
    at.iter().map(|at| Time::ZERO + at.value).collect()
}

fn jitter(jitter: &Jitter) -> JitterConfig {
    let (distribution, correlation, reorder) = match jitter {
        Jitter::Uniform(one) => (Distribution::Uniform { max: one.max.value }, &one.correlation, one.reorder),
        Jitter::Normal(one) => {
            (Distribution::Normal { deviation: one.deviation.value }, &one.correlation, one.reorder)
        }
        Jitter::Pareto(one) => {
            let (mean, deviation) = (one.mean.value, one.deviation.value);
            (Distribution::Pareto { mean, deviation }, &one.correlation, one.reorder)
        }
        Jitter::Gamma(one) => {
            let (mean, deviation) = (one.mean.value, one.deviation.value);
            (Distribution::Gamma { mean, deviation }, &one.correlation, one.reorder)
        }
    };
    JitterConfig { distribution, correlation: share(correlation.value), reorder }
}

/// A share that the checks have found to be from 0 to 1.
fn share(value: f64) -> Probability {
    Probability::new(value).unwrap_or_default()
}

/// A chain's probabilities to turn bad and good again: given, or from mean loss and mean burst where
/// `within` are the losses of the good and the bad state.
fn steps(
    (p, r): (&Option<At<Probability>>, &Option<At<Probability>>),
    (loss, burst): (&Option<At<Probability>>, &Option<At<f64>>),
    within: (f64, f64),
) -> (Probability, Probability) {
    if let (Some(loss), Some(burst)) = (loss, burst) {
        let bad = (loss.get() - within.0) / (within.1 - within.0);
        return (share(bad / (burst.value * (1.0 - bad))), share(1.0 / burst.value));
    }
    let given = |step: &Option<At<Probability>>| step.as_ref().map_or(Probability::ZERO, |step| step.value);
    (given(p), given(r))
}
