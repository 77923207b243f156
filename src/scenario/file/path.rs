//! `[path]`: the way between server and person, each direction with models of its own.
//!
//! The stages of a direction come in the order of this table, whatever the order in the file:
//!
//! | stage | key |
//! | --- | --- |
//! | loss before the queue | `loss` with `at = "before-queue"` |
//! | outage | `outage` |
//! | bottleneck and its queue | `bottleneck` |
//! | loss behind it, on the radio | `loss` (the default place) |
//! | link-layer retransmission | `link-arq` |
//! | delay and jitter | `delay`, `jitter`, `extra-delay` |
//! | the rest | `reorder`, `duplicate`, `corrupt` |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss::Loss;
use super::queue::Queue;
use crate::scenario::place::At;
use crate::scenario::quantity::QueueLimit;
use crate::time::Duration;
use crate::units::{Bitrate, Probability};

/// The path between server and person.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Path {
    /// The largest IP packet that passes, in bytes. From 576 to 65535, default 1500.
    #[serde(default = "default_mtu")]
    pub mtu: At<u32>,
    /// From the server to the person. It must be there: an empty table is a perfect link.
    pub down: Link,
    /// From the person to the server. It must be there: an empty table is a perfect link.
    pub up: Link,
}

/// One direction of the path.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Link {
    /// What every packet takes, whatever else happens. At most 60 s, default `"0ms"`.
    #[serde(default = "default_delay")]
    pub delay: At<Duration>,
    /// A random part of the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
    /// Delay that comes and goes with a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_delay: Option<ExtraDelay>,
    /// Which packets are lost. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// The link layer sends what is lost again, as Wi-Fi and LTE do: loss becomes delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_arq: Option<LinkArq>,
    /// The slowest hop and the queue before it. Default: none, so that packets never wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<Bottleneck>,
    /// Times at which nothing passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// Some packets overtake those before them (tc-netem's `reorder`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Some packets arrive twice (tc-netem's `duplicate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Duplicate>,
    /// Some packets arrive with flipped bits, and their checksum drops them (tc-netem's `corrupt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corrupt>,
}

/// The distribution of a random part of the delay.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Jitter {
    /// Everything from nothing to a largest delay alike.
    Uniform(UniformJitter),
    /// The normal distribution around `delay`; the whole delay is never below 0.
    Normal(NormalJitter),
    /// The Pareto distribution: mostly short, now and then very long.
    Pareto(Spread),
    /// The gamma distribution: never below 0, with a tail; fits queues of others.
    Gamma(Spread),
}

/// Every delay alike.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UniformJitter {
    /// The largest delay, which comes on top of `delay`. Above 0 and at most 10 s.
    pub max: At<Duration>,
    /// How much a packet's jitter is like the one before it. From 0 to below 1, default 0.
    #[serde(default = "default_zero")]
    pub correlation: At<f64>,
    /// Whether a packet may overtake one with more jitter. Default `false`: it waits.
    #[serde(default)]
    pub reorder: bool,
}

/// Sometimes more than `delay`, sometimes less.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NormalJitter {
    /// The standard deviation. Above 0 and at most 10 s.
    pub deviation: At<Duration>,
    /// How much a packet's jitter is like the one before it. From 0 to below 1, default 0.
    #[serde(default = "default_zero")]
    pub correlation: At<f64>,
    /// Whether a packet may overtake one with more jitter. Default `false`: it waits.
    #[serde(default)]
    pub reorder: bool,
}

/// Mostly short, with a tail.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spread {
    /// Its mean, which comes on top of `delay`. Above 0 and at most 10 s.
    pub mean: At<Duration>,
    /// Its standard deviation. Above 0 and at most 10 s.
    pub deviation: At<Duration>,
    /// How much a packet's jitter is like the one before it. From 0 to below 1, default 0.
    #[serde(default = "default_zero")]
    pub correlation: At<f64>,
    /// Whether a packet may overtake one with more jitter. Default `false`: it waits.
    #[serde(default)]
    pub reorder: bool,
}

/// Delay that comes and goes with a channel.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExtraDelay {
    /// The name of a `[channel.NAME]`.
    pub channel: At<String>,
    /// What a packet takes more while the channel is bad. Above 0 and at most 10 s.
    pub bad: At<Duration>,
}

/// The link layer sends what is lost again.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LinkArq {
    /// How many times at most. From 1 to 100; Wi-Fi has up to 7 (IEEE 802.11).
    pub tries: At<u32>,
    /// The time from one try to the next. Above 0 and at most 1 s; LTE's HARQ has `"8ms"`.
    pub interval: At<Duration>,
    /// Whether packets behind one that is tried again wait for it. Default `true`.
    #[serde(default = "default_true")]
    pub in_order: bool,
}

/// The slowest hop: exactly one of `rate` and `trace`, and the queue before it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bottleneck {
    /// What it carries. From 1 kbit/s to 100 Gbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<At<Bitrate>>,
    /// When it may send, from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<RateTrace>,
    /// The queue before it. Default `{ droptail = "100ms" }`, or `"150 packets"` with a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// The name of a `[channel.NAME]` that slows it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<At<String>>,
    /// The share of the rate that is left while the channel is bad. From 0 to 1; needs `channel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_factor: Option<At<f64>>,
}

impl Bottleneck {
    /// The queue: [`Bottleneck::queue`], or its default. A trace has no one rate by which a time could be
    /// turned into bytes, so there it is packets.
    pub fn queue_or_default(&self) -> Queue {
        let limit = match self.trace {
            Some(_) => QueueLimit::Packets(150),
            None => QueueLimit::Time(Duration::from_millis(100)),
        };
        self.queue.clone().unwrap_or(Queue::Droptail(At::default_of(limit)))
    }
}

/// When the bottleneck may send.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RateTrace {
    /// A file in Mahimahi's format, looked for beside the scenario's file: one line for each chance to
    /// send 1500 bytes, with its time in milliseconds. It repeats when it ends.
    pub file: At<String>,
}

/// Times at which nothing passes: exactly one of `at` (with `for`), `random` and `channel`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Outage {
    /// When outages begin, counted from the start of the run; rising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At<Vec<At<Duration>>>>,
    /// How long each of them lasts. Above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#for: Option<At<Duration>>,
    /// After how long the times of `at` come again. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<At<Duration>>,
    /// Outages at random times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<RandomOutage>,
    /// The name of a `[channel.NAME]`: nothing passes while it is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<At<String>>,
    /// What becomes of packets during an outage. Default `"hold"`.
    #[serde(default)]
    pub mode: OutageMode,
}

/// Outages at random times.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RandomOutage {
    /// The mean time from the end of one to the start of the next (exponential). Above 0.
    pub gap: At<Duration>,
    /// The mean length of one (exponential). Above 0.
    pub r#for: At<Duration>,
}

/// What becomes of packets during an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutageMode {
    /// They wait, and leave in a burst when it is over.
    #[default]
    Hold,
    /// They are lost.
    Drop,
}

/// Some packets overtake those before them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reorder {
    /// The probability that a packet skips the delay and so overtakes others.
    pub rate: At<Probability>,
    /// Only every so many-th packet may. From 1 to 10000, default 1: each may.
    #[serde(default = "default_one")]
    pub gap: At<u32>,
    /// How much the draw for a packet is like the one before it. From 0 to below 1, default 0.
    #[serde(default = "default_zero")]
    pub correlation: At<f64>,
}

/// Some packets arrive twice.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Duplicate {
    /// The probability that a packet arrives twice.
    pub rate: At<Probability>,
}

/// Some packets arrive with flipped bits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Corrupt {
    /// The probability that bits of a packet are flipped.
    pub rate: At<Probability>,
}

fn default_mtu() -> At<u32> {
    At::default_of(1500)
}

fn default_delay() -> At<Duration> {
    At::default_of(Duration::ZERO)
}

fn default_zero() -> At<f64> {
    At::default_of(0.0)
}

fn default_one() -> At<u32> {
    At::default_of(1)
}

const fn default_true() -> bool {
    true
}
