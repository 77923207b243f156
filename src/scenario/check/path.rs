//! The checks of `[path]`.

use super::Checker;
use crate::scenario::file::loss::{GilbertElliottLoss, Loss, LossPlace};
use crate::scenario::file::path::{Bottleneck, Jitter, Link, Outage};
use crate::scenario::place::At;
use crate::scenario::problem::Problem;
use crate::time::Duration;
use crate::units::{Bitrate, Probability};

/// More than any link delays a packet.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// More than any jitter that a sum of such delays is about.
const SPREAD_MAX: Duration = Duration::from_secs(10);

impl Checker<'_> {
    pub(super) fn link(&mut self, link: &Link) {
        self.number(&self.file.path.mtu, 576..=65_535);
        self.written(&link.delay, Duration::ZERO, DELAY_MAX);
        link.jitter.iter().for_each(|jitter| self.jitter(jitter));
        if let Some(extra) = &link.extra_delay {
            self.channel_name(&extra.channel);
            self.written(&extra.bad, Duration::from_nanos(1), SPREAD_MAX);
        }
        link.loss.iter().for_each(|loss| self.loss(loss));
        if let Some(arq) = &link.link_arq {
            self.number(&arq.tries, 1..=100);
            self.written(&arq.interval, Duration::from_nanos(1), Duration::from_secs(1));
            let idle = match &link.loss {
                None => Some("nothing is lost on this link"),
                Some(loss) => (loss.place() == LossPlace::BeforeQueue)
                    .then_some("sends again what is lost after the queue, and this loss is before it"),
            };
            if let Some(label) = idle {
                self.problems
                    .push(Problem::at(arq.tries.span(), "`link-arq` has no effect here").label(label));
            }
        }
        link.bottleneck.iter().for_each(|bottleneck| self.bottleneck(bottleneck));
        link.outage.iter().for_each(|outage| self.outage(outage));
        if let Some(reorder) = &link.reorder {
            self.number(&reorder.gap, 1..=10_000);
            self.correlation(&reorder.correlation);
        }
    }

    fn jitter(&mut self, jitter: &Jitter) {
        let least = Duration::from_nanos(1);
        let correlation = match jitter {
            Jitter::Uniform(one) => {
                self.written(&one.max, least, SPREAD_MAX);
                &one.correlation
            }
            Jitter::Normal(one) => {
                self.written(&one.deviation, least, SPREAD_MAX);
                &one.correlation
            }
            Jitter::Pareto(one) | Jitter::Gamma(one) => {
                self.written(&one.mean, least, SPREAD_MAX);
                self.written(&one.deviation, least, SPREAD_MAX);
                &one.correlation
            }
        };
        self.correlation(correlation);
    }

    fn loss(&mut self, loss: &Loss) {
        match loss {
            Loss::Iid(_) => {}
            Loss::Gilbert(chain) => {
                self.together(("p", &chain.p), ("r", &chain.r));
                self.together(("loss", &chain.loss), ("burst", &chain.burst));
                self.chain(chain.r.as_ref(), chain.burst.as_ref());
                if let Some((loss, burst)) = chain.loss.as_ref().zip(chain.burst.as_ref()) {
                    self.reachable(loss, loss.get(), burst);
                }
            }
            Loss::GilbertElliott(chain) => self.gilbert_elliott(chain),
            Loss::Channel(loss) => self.channel_name(&loss.channel),
            Loss::Trace(trace) => self.exists(&trace.file),
        }
    }

    fn gilbert_elliott(&mut self, chain: &GilbertElliottLoss) {
        self.together(("p", &chain.p), ("r", &chain.r));
        self.together(("loss", &chain.loss), ("burst", &chain.burst));
        self.chain(chain.r.as_ref(), chain.burst.as_ref());
        let (good, bad) = (chain.good_loss.get(), chain.bad_loss.get());
        let Some((loss, burst)) = chain.loss.as_ref().zip(chain.burst.as_ref()) else { return };
        if good >= bad || !(good..=bad).contains(&loss.get()) {
            let problem = Problem::at(loss.span(), format!("a mean loss of {} cannot be", **loss));
            let label =
                format!("must be from good-loss ({}) to bad-loss ({})", *chain.good_loss, *chain.bad_loss);
            self.problems.push(problem.label(label));
        } else {
            self.reachable(loss, (loss.get() - good) / (bad - good), burst);
        }
    }

    fn chain(&mut self, r: Option<&At<Probability>>, burst: Option<&At<f64>>) {
        if let Some(r) = r.filter(|r| r.get() <= 0.0) {
            let problem = Problem::at(r.span(), "a bad state that never ends is no burst");
            self.problems.push(problem.label("must be above 0"));
        }
        if let Some(burst) = burst {
            self.float(burst.value, burst, 1.0..=10_000.0, "");
        }
    }

    /// A chain that is bad for this share of packets, in runs of this mean length, has the probability
    /// `p = share / (burst · (1 − share))` to turn bad, which must be one.
    fn reachable(&mut self, loss: &At<Probability>, share: f64, burst: &At<f64>) {
        let odds = share / (1.0 - share);
        if odds.is_infinite() || odds > burst.value {
            let problem = Problem::at(burst.span(), "bursts this short cannot make so much loss");
            let label = if odds.is_finite() {
                format!("at least {odds:.3} for a loss of {}", **loss)
            } else {
                "a loss of all packets has no bursts: use `iid`".to_owned()
            };
            self.problems.push(problem.label(label));
        }
    }

    fn bottleneck(&mut self, bottleneck: &Bottleneck) {
        if let Some(rate) = &bottleneck.rate {
            self.written(rate, Bitrate::from_bps(1000), Bitrate::from_bps(100_000_000_000));
        }
        if let Some(trace) = &bottleneck.trace {
            self.exists(&trace.file);
        }
        bottleneck.queue.iter().for_each(|queue| self.queue(queue, bottleneck));
        self.together(("channel", &bottleneck.channel), ("bad-factor", &bottleneck.bad_factor));
        bottleneck.channel.iter().for_each(|channel| self.channel_name(channel));
        if let Some(factor) = &bottleneck.bad_factor {
            self.float(factor.value, factor, 0.0..=1.0, "");
        }
    }

    fn outage(&mut self, outage: &Outage) {
        self.together(("at", &outage.at), ("for", &outage.r#for));
        if let Some((at, length)) = outage.at.as_ref().zip(outage.r#for.as_ref()) {
            self.above_zero(length);
            self.rising(at, length.value);
            let last = at.last().map_or(Duration::ZERO, |last| last.value + length.value);
            let first = at.first().map_or(Duration::ZERO, |first| first.value);
            if let Some(every) =
                outage.every.as_ref().filter(|every| every.value < last.saturating_sub(first))
            {
                let problem = Problem::at(every.span(), "the outages come again before they are over");
                self.problems.push(problem.label(format!("at least {}", last.saturating_sub(first))));
            }
        } else if let Some(every) = &outage.every {
            self.problems
                .push(Problem::at(every.span(), "the key `at` is missing").label("needed beside this"));
        }
        if let Some(random) = &outage.random {
            self.above_zero(&random.gap);
            self.above_zero(&random.r#for);
        }
        outage.channel.iter().for_each(|channel| self.channel_name(channel));
    }

    fn correlation(&mut self, correlation: &At<f64>) {
        self.float(correlation.value, correlation, 0.0..=0.999, "");
    }

    fn channel_name(&mut self, name: &At<String>) {
        let known: Vec<&str> = self.file.channel.names().collect();
        if !known.contains(&name.as_str()) {
            let problem = Problem::unknown(name.span(), "channel", name, &known);
            self.problems.push(if known.is_empty() {
                problem.help(format!("write for example `[channel.{}]` with `two-state = {{ good = \"900ms\", bad = \"60ms\" }}`", **name))
            } else {
                problem
            });
        }
    }
}
