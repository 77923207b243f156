//! `queue` of a bottleneck: what waits before it, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::impair::config;
use crate::scenario::place::At;
use crate::scenario::quantity::QueueLimit;
use crate::time::Duration;
use crate::units::ByteSize;

/// The queue before the bottleneck.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Queue {
    /// First in, first out; what finds it full is dropped. The limit is a time, a size or a number of
    /// packets: `"100ms"`, `"64kB"`, `"100 packets"`.
    Droptail(At<QueueLimit>),
    /// CoDel (RFC 8289): drops while even the shortest wait is too long. `{}` is tc's default.
    Codel(Codel),
    /// PIE (RFC 8033): drops with a probability that follows the wait. `{}` is tc's default.
    Pie(Pie),
    /// FQ-CoDel (RFC 8290), Linux's default: a queue for each flow, served in turn, each under CoDel.
    /// `{}` is tc's default.
    FqCodel(FqCodel),
}

/// CoDel; names and defaults as in tc-codel(8).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Codel {
    /// Packets that may wait. From 1 to 1000000, default 1000.
    pub limit: At<u32>,
    /// The wait that is acceptable. Above 0 and below `interval`, default `"5ms"`.
    pub target: At<Duration>,
    /// How long it may be exceeded before packets are dropped: a long round trip. Above 0 and at most
    /// 10 s, default `"100ms"`.
    pub interval: At<Duration>,
    /// Whether packets of transports with `ecn` are marked and not dropped. Default `false`.
    pub ecn: bool,
}

impl Default for Codel {
    fn default() -> Self {
        let config::CodelConfig { limit, target, interval, ecn } = config::CodelConfig::default();
        Self {
            limit: At::default_of(limit as u32),
            target: At::default_of(target),
            interval: At::default_of(interval),
            ecn,
        }
    }
}

/// PIE; names and defaults as in tc-pie(8).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pie {
    /// Packets that may wait. From 1 to 1000000, default 1000.
    pub limit: At<u32>,
    /// The wait that it aims at. Above 0 and at most 10 s, default `"15ms"`.
    pub target: At<Duration>,
    /// How often the probability is updated. From 1 ms to 10 s, default `"15ms"`.
    pub tupdate: At<Duration>,
    /// How strongly the probability follows the wait, in sixteenths per second. From 0 to 32, default 2.
    pub alpha: At<u32>,
    /// How strongly it follows the change of the wait, in sixteenths per second. From 0 to 32, default 20.
    pub beta: At<u32>,
    /// Whether packets of transports with `ecn` are marked and not dropped while the probability is at
    /// most 10 %. Default `false`.
    pub ecn: bool,
}

impl Default for Pie {
    fn default() -> Self {
        let config::PieConfig { limit, target, update, alpha, beta, ecn } = config::PieConfig::default();
        Self {
            limit: At::default_of(limit as u32),
            target: At::default_of(target),
            tupdate: At::default_of(update),
            alpha: At::default_of(alpha),
            beta: At::default_of(beta),
            ecn,
        }
    }
}

/// FQ-CoDel; names and defaults as in tc-fq_codel(8).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FqCodel {
    /// Packets that may wait, all flows together. From 1 to 1000000, default 10240.
    pub limit: At<u32>,
    /// Bytes that may wait, all flows together. From 1500 B to 2 GB, default 32 MiB.
    pub memory_limit: At<ByteSize>,
    /// How many queues flows are hashed into. From 1 to 65536, default 1024.
    pub flows: At<u32>,
    /// The wait that is acceptable in each of them. Above 0 and below `interval`, default `"5ms"`.
    pub target: At<Duration>,
    /// How long it may be exceeded before packets are dropped. Above 0 and at most 10 s, default
    /// `"100ms"`.
    pub interval: At<Duration>,
    /// The bytes that a flow may send when its turn comes. From 256 B to 64 kB, default `"1514B"`.
    pub quantum: At<ByteSize>,
    /// Whether packets of transports with `ecn` are marked and not dropped. Default `true`.
    pub ecn: bool,
}

impl Default for FqCodel {
    fn default() -> Self {
        let config::FqCodelConfig { limit, memory_limit, flows, target, interval, quantum, ecn } =
            config::FqCodelConfig::default();
        Self {
            limit: At::default_of(limit as u32),
            memory_limit: At::default_of(memory_limit),
            flows: At::default_of(flows),
            target: At::default_of(target),
            interval: At::default_of(interval),
            quantum: At::default_of(ByteSize::new(quantum.into())),
            ecn,
        }
    }
}
