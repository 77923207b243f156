//! Random loss: which packets the network loses, before its queue or on the air.
//!
//! Models that step by packet ([`gilbert_elliott`], [`trace`]) are what netem and the closed forms of the
//! literature use: the state at a flow's n-th packet depends on the seed and n alone. The physical one
//! ([`by_channel`]) steps in time, together with everything else that the channel spoils.

use crate::endpoint::Class;
use crate::record::DropReason;
use crate::rng::{self, Draws, Seed, Stream};
use crate::time::Time;
use crate::units::Probability;

use super::chance::Chance;
use super::channel::Channel;
use super::config::{LossConfig, LossFrom, LossModel, PathConfig};
use super::{Fate, Meta, Stage};
use by_channel::ByChannel;
use gilbert_elliott::{Chains, GilbertElliott};
use trace::LossTrace;

pub mod by_channel;
pub mod gilbert_elliott;
pub mod trace;

/// A loss model at its place.
#[derive(Clone, Debug)]
pub struct Loss {
    stream: Stream,
    model: Model,
    from: LossFrom,
}

#[derive(Clone, Debug)]
enum Model {
    Iid(Chance, Probability),
    GilbertElliott(Chains),
    Channel(ByChannel),
    Trace(LossTrace),
}

/// The tries of one packet after the first: where its own branch of the model stands.
#[derive(Clone, Debug)]
pub struct Retries {
    draws: Draws,
    tried: u64,
    bad: bool,
}

impl Loss {
    /// The model of `config`, drawn from the stream named `name`.
    pub fn new(config: &LossConfig, path: &PathConfig, seed: Seed, name: &str) -> Self {
        let stream = seed.stream(name);
        let model = match config.model {
            LossModel::Iid(p) => Model::Iid(Chance::new(stream, p), p),
            LossModel::GilbertElliott(parameters) => Model::GilbertElliott(Chains::new(parameters, stream)),
            LossModel::Channel { channel, good, bad } => {
                Model::Channel(ByChannel::new(Channel::of_path(path, channel, seed), good, bad, stream))
            }
            LossModel::Trace(ref trace) => Model::Trace(trace.clone()),
        };
        Self { stream, model, from: config.from }
    }

    /// Losses that do not happen until [`Loss::set_mean`] says otherwise, drawn from the stream named
    /// `name`.
    pub fn none(seed: Seed, name: &str) -> Self {
        let stream = seed.stream(name);
        let never = Probability::ZERO;
        Self { stream, model: Model::Iid(Chance::new(stream, never), never), from: LossFrom::Start }
    }

    /// From now on this share of packets is lost, in bursts of this mean length in packets: by a chain of
    /// two states, or independently where the length is 1 or less. False, and nothing changes, where no
    /// chain has such means ([`GilbertElliott::from_mean`]).
    ///
    /// What befalls a packet stays a function of seed, flow and index: it is what would have befallen it,
    /// had the losses been these from the start.
    pub fn set_mean(&mut self, share: Probability, burst_packets: f64) -> bool {
        self.model = if burst_packets <= 1.0 {
            Model::Iid(Chance::new(self.stream, share), share)
        } else if let Some(parameters) = GilbertElliott::from_mean(share, burst_packets) {
            Model::GilbertElliott(Chains::new(parameters, self.stream))
        } else {
            return false;
        };
        true
    }

    /// Whether the packet is lost at `at`.
    pub fn loses(&mut self, at: Time, meta: &Meta) -> bool {
        let Some(meta) = self.seen(meta) else { return false };
        match &mut self.model {
            Model::Iid(chance, _) => chance.strikes(&meta),
            Model::GilbertElliott(chains) => chains.loses(&meta),
            Model::Channel(by_channel) => by_channel.loses(at, &meta),
            Model::Trace(trace) => trace.loses(meta.index),
        }
    }

    /// The start of the further tries of a packet that was lost just now; `draws` are its own.
    pub fn retries(&self, meta: &Meta, draws: Draws) -> Retries {
        let bad = matches!(&self.model, Model::GilbertElliott(chains) if chains.is_bad(meta.flow));
        Retries { draws, tried: 0, bad }
    }

    /// Whether the next of these tries, at `at`, is lost as well.
    ///
    /// A try is one more step of a model that steps by packet, on a branch of its own: the packets
    /// after it find the model as if there had been no retry.
    pub fn loses_retry(&mut self, at: Time, meta: &Meta, retries: &mut Retries) -> bool {
        let Some(meta) = self.seen(meta) else { return false };
        retries.tried += 1;
        match &mut self.model {
            Model::Iid(_, p) => rng::chance(&mut retries.draws, *p),
            Model::GilbertElliott(chains) => {
                let parameters = chains.parameters();
                retries.bad = parameters.step(retries.bad, &mut retries.draws);
                rng::chance(&mut retries.draws, parameters.loss_in(retries.bad))
            }
            Model::Channel(by_channel) => rng::chance(&mut retries.draws, by_channel.probability(at)),
            Model::Trace(trace) => trace.loses(meta.index + retries.tried),
        }
    }

    /// The packet as the model sees it: numbered among the packets that it applies to; none where it
    /// does not apply.
    fn seen(&self, meta: &Meta) -> Option<Meta> {
        match self.from {
            LossFrom::Start => Some(*meta),
            LossFrom::Established if meta.class == Class::Handshake => None,
            LossFrom::Established => Some(Meta { index: meta.established_index, ..*meta }),
        }
    }
}

impl Stage for Loss {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        if self.loses(at, meta) { Fate::Drop(at, DropReason::Loss) } else { Fate::Pass(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::config::LossPlace;
    use crate::impair::laws::{clear_path, packet};

    fn loss(model: LossModel, from: LossFrom) -> Loss {
        let config = LossConfig { model, at: LossPlace::BeforeQueue, from };
        Loss::new(&config, &clear_path(), Seed(1), "down/loss")
    }

    #[test]
    fn the_handshake_passes_and_does_not_advance_a_model_that_applies_after_it() {
        let trace = LossTrace::parse("0110", '1').unwrap();
        let mut plain = loss(LossModel::Trace(trace.clone()), LossFrom::Start);
        let mut established = loss(LossModel::Trace(trace), LossFrom::Established);
        let mut handshake = packet(0, 0);
        handshake.class = Class::Handshake;
        for index in 0..3 {
            assert!(!established.loses(Time::ZERO, &Meta { index, ..handshake }));
        }
        for index in 0..8 {
            let shifted = Meta { index: index + 3, established_index: index, ..packet(0, 0) };
            assert_eq!(established.loses(Time::ZERO, &shifted), plain.loses(Time::ZERO, &packet(0, index)));
        }
    }

    #[test]
    fn a_retry_of_a_recorded_loss_meets_the_fate_of_the_packets_after_it() {
        let trace = LossTrace::parse("1101", '1').unwrap();
        let mut loss = loss(LossModel::Trace(trace), LossFrom::Start);
        let mut retries = loss.retries(&packet(0, 0), Seed(1).stream("retry").at(0));
        let tries: Vec<bool> =
            (0..3).map(|_| loss.loses_retry(Time::ZERO, &packet(0, 0), &mut retries)).collect();
        assert_eq!(tries, [true, false, true]);
    }
}
