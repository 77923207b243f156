//! A path as plain data: what a scenario file is lowered into, and what a link is built from.
//!
//! Channels are named once per path and referred to by their place in [`PathConfig::channels`]; a place
//! that is not there is a channel that is always good.

use crate::endpoint::Direction;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize, Probability};

use super::delivery_trace::DeliveryTrace;
use super::loss::gilbert_elliott::GilbertElliott;
use super::loss::trace::LossTrace;

/// Both directions and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct PathConfig {
    /// The largest IP packet in bytes; larger ones are dropped.
    pub mtu: u32,
    /// The physical channels, each with the name that its randomness comes from.
    pub channels: Vec<(String, ChannelConfig)>,
    /// From the server to the person.
    pub down: LinkConfig,
    /// From the person to the server.
    pub up: LinkConfig,
}

impl PathConfig {
    /// The link of one direction.
    pub const fn link(&self, direction: Direction) -> &LinkConfig {
        match direction {
            Direction::Down => &self.down,
            Direction::Up => &self.up,
        }
    }
}

/// One direction. The default does nothing: no delay, no loss, no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// The fixed one-way delay.
    pub delay: Duration,
    /// Random delay on top.
    pub jitter: Option<JitterConfig>,
    /// More delay while a channel is bad.
    pub channel_delay: Option<ChannelDelayConfig>,
    /// Random loss.
    pub loss: Option<LossConfig>,
    /// Link-layer retransmission of what is lost after the queue.
    pub link_arq: Option<LinkArqConfig>,
    /// The slowest part of the path and the queue before it.
    pub bottleneck: Option<BottleneckConfig>,
    /// Times at which the path is down.
    pub outage: Option<OutageConfig>,
    /// Packets that overtake others.
    pub reorder: Option<ReorderConfig>,
    /// The share of packets that arrive twice.
    pub duplicate: Probability,
    /// The share of packets whose bits are flipped on the way, so that their checksum fails.
    pub corrupt: Probability,
}

/// How a physical state changes over time between good and bad.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelConfig {
    /// Good and bad times follow each other, of random lengths. A mean of zero means never.
    TwoState {
        /// The mean of the good times, which are exponentially distributed.
        good: Duration,
        /// The length of the bad times.
        bad: Sojourn,
    },
    /// A fixed cycle, as of a microwave oven on the mains.
    Periodic {
        /// The length of the cycle.
        period: Duration,
        /// The bad part of it.
        bad: Duration,
        /// Where in the cycle the bad part begins.
        phase: Duration,
    },
    /// Bad times at given times.
    Scheduled {
        /// When they begin, in any order.
        starts: Vec<Time>,
        /// How long each lasts; where they overlap they are one.
        length: Duration,
        /// How long after it begins the whole schedule begins again; starts further than this behind
        /// the first are folded into it.
        every: Option<Duration>,
    },
}

/// How long a random state lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sojourn {
    /// Always this long.
    Fixed(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
}

impl Sojourn {
    /// Its mean.
    pub const fn mean(self) -> Duration {
        match self {
            Self::Fixed(length) | Self::Exponential(length) => length,
        }
    }
}

/// Random delay on top of the fixed one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JitterConfig {
    /// Its distribution.
    pub distribution: Distribution,
    /// How much a packet's jitter depends on that of the packet before (netem's correlation), below 1.
    pub correlation: Probability,
    /// Whether packets may overtake each other; where not, a packet waits for those before it.
    pub reorder: bool,
}

/// The distribution of a random delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// From 0 to `max`, all values alike.
    Uniform {
        /// The largest delay.
        max: Duration,
    },
    /// Around the fixed delay. Where fixed and random delay together are below zero, they are zero.
    Normal {
        /// The standard deviation.
        deviation: Duration,
    },
    /// Pareto's distribution: a minimum, and a heavy tail above it.
    Pareto {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
    },
    /// The gamma distribution: from zero upwards, with an exponential tail.
    Gamma {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
    },
}

/// More delay while a channel is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelDelayConfig {
    /// The channel's place.
    pub channel: usize,
    /// What is added. Without jitter that reorders, packets still keep their order.
    pub extra: Duration,
}

/// Random loss: by which model, where, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct LossConfig {
    /// Which packets are lost.
    pub model: LossModel,
    /// Where on the link.
    pub at: LossPlace,
    /// From when on.
    pub from: LossFrom,
}

/// Which packets are lost.
#[derive(Clone, Debug, PartialEq)]
pub enum LossModel {
    /// Each with the same probability, independently.
    Iid(Probability),
    /// By a chain of two states that steps with every packet of a flow.
    GilbertElliott(GilbertElliott),
    /// By the state of a channel at the time.
    Channel {
        /// The channel's place.
        channel: usize,
        /// The probability of a loss while it is good.
        good: Probability,
        /// The probability of a loss while it is bad.
        bad: Probability,
    },
    /// Those that were lost in a recording.
    Trace(LossTrace),
}

impl LossModel {
    /// The share of packets lost and the mean length of a run of losses in packets, where the model has
    /// such: an independent one, whose bursts count as 1, and the simple chain that loses everything in one
    /// state and nothing in the other.
    pub fn means(&self) -> Option<(f64, f64)> {
        match self {
            Self::Iid(share) => Some((share.get(), 1.0)),
            Self::GilbertElliott(chain) if *chain == GilbertElliott::gilbert(chain.p, chain.r) => {
                Some((chain.mean_loss(), 1.0 / chain.r.get()))
            }
            Self::GilbertElliott(_) | Self::Channel { .. } | Self::Trace(_) => None,
        }
    }
}

/// Where on the link packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossPlace {
    /// Before the bottleneck: a lost packet takes no place in the queue.
    BeforeQueue,
    /// Behind the bottleneck, on the air: a lost packet has used up capacity, and link-layer
    /// retransmission may bring it back.
    #[default]
    AfterQueue,
}

/// Which packets a loss model applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossFrom {
    /// All.
    #[default]
    Start,
    /// All but those of the handshake, which pass and do not count as packets of the model.
    Established,
}

/// Retransmission by the link layer, as Wi-Fi and LTE do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkArqConfig {
    /// How often a packet is tried again after the first try failed.
    pub tries: u8,
    /// From one try to the next.
    pub interval: Duration,
    /// Whether later packets wait until an earlier one got through or was given up.
    pub in_order: bool,
}

/// The slowest part of the path.
#[derive(Clone, Debug, PartialEq)]
pub struct BottleneckConfig {
    /// How fast it sends.
    pub rate: RateConfig,
    /// What waits before it, and how.
    pub queue: QueueConfig,
}

/// How fast a bottleneck sends.
#[derive(Clone, Debug, PartialEq)]
pub enum RateConfig {
    /// Always at this rate.
    Constant(Bitrate),
    /// At a rate that depends on a channel.
    Channel {
        /// The rate while the channel is good.
        rate: Bitrate,
        /// The channel's place.
        channel: usize,
        /// The part of the rate that is left while the channel is bad; at 0 packets wait.
        bad_factor: Probability,
    },
    /// By a recording of chances to send (Mahimahi's format).
    Trace(DeliveryTrace),
}

/// The queue before a bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueConfig {
    /// First in, first out; what finds it full is dropped.
    DropTail(QueueLimit),
    /// Active queue management: how long packets wait decides.
    Managed(ManagedConfig),
}

/// A queue under active queue management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedConfig {
    /// CoDel (RFC 8289).
    Codel(CodelConfig),
    /// PIE (RFC 8033).
    Pie(PieConfig),
    /// FQ-CoDel (RFC 8290).
    FqCodel(FqCodelConfig),
}

/// CoDel with the defaults of tc-codel(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodelConfig {
    /// Packets that may wait.
    pub limit: usize,
    /// The wait that even the best packet of an interval should not exceed.
    pub target: Duration,
    /// How long it may be exceeded before packets are dropped; a worst-case round trip, above 0.
    pub interval: Duration,
    /// Whether packets of transports that take part are marked instead.
    pub ecn: bool,
}

impl Default for CodelConfig {
    fn default() -> Self {
        let (target, interval) = (Duration::from_millis(5), Duration::from_millis(100));
        Self { limit: 1000, target, interval, ecn: false }
    }
}

/// PIE with the defaults of tc-pie(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieConfig {
    /// Packets that may wait.
    pub limit: usize,
    /// The wait that the controller aims at.
    pub target: Duration,
    /// How often the probability of a drop is updated; above 0.
    pub update: Duration,
    /// The controller's gain on the wait, in sixteenths per second.
    pub alpha: u32,
    /// Its gain on the change of the wait, in sixteenths per second.
    pub beta: u32,
    /// Whether packets of transports that take part are marked instead.
    pub ecn: bool,
}

impl Default for PieConfig {
    fn default() -> Self {
        let period = Duration::from_millis(15);
        Self { limit: 1000, target: period, update: period, alpha: 2, beta: 20, ecn: false }
    }
}

/// FQ-CoDel with the defaults of tc-fq_codel(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FqCodelConfig {
    /// Packets that may wait, in all queues together.
    pub limit: usize,
    /// Bytes that may wait, in all queues together.
    pub memory_limit: ByteSize,
    /// How many queues flows are hashed into.
    pub flows: u32,
    /// The wait that even the best packet of an interval should not exceed, in each queue.
    pub target: Duration,
    /// How long it may be exceeded before packets are dropped; above 0.
    pub interval: Duration,
    /// The bytes that a queue may send when its turn comes.
    pub quantum: u32,
    /// Whether packets of transports that take part are marked instead.
    pub ecn: bool,
}

impl Default for FqCodelConfig {
    fn default() -> Self {
        let CodelConfig { target, interval, .. } = CodelConfig::default();
        let memory_limit = ByteSize::new(32 << 20);
        Self { limit: 10_240, memory_limit, flows: 1024, target, interval, quantum: 1514, ecn: true }
    }
}

/// How much may wait in a drop-tail queue. The packet in transmission does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// So many bytes.
    Bytes(ByteSize),
    /// So many packets.
    Packets(usize),
    /// As many bytes as the bottleneck sends in this time at its nominal rate (RFC 8867 sizes queues
    /// so): the good rate of a channel, the mean rate of a trace.
    Time(Duration),
}

/// Times at which the path is down.
#[derive(Clone, Debug, PartialEq)]
pub struct OutageConfig {
    /// When.
    pub timeline: Timeline,
    /// What happens to packets meanwhile.
    pub policy: OutagePolicy,
}

/// Whose times an outage follows: it is down while the channel is bad.
#[derive(Clone, Debug, PartialEq)]
pub enum Timeline {
    /// A channel of the path, by its place; both directions may follow it.
    Shared(usize),
    /// One of this direction alone.
    Own(ChannelConfig),
}

/// What happens to packets while the path is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutagePolicy {
    /// They wait, and go on all at once and in order when it is over.
    Hold,
    /// They are dropped.
    Drop,
}

/// Packets that overtake others by skipping the delay (netem's reorder).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReorderConfig {
    /// The share of candidates that skip the delay.
    pub probability: Probability,
    /// How much a packet's luck depends on that of the packet before, below 1.
    pub correlation: Probability,
    /// After a packet that skipped, this many less one cannot; with 1, all are candidates.
    pub gap: u64,
}
