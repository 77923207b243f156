//! `[contender.NAME]` and `[neighbour.NAME]`: a transport and its settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::preset::Preset;
use super::quic::Quic;
use super::traffic::Traffic;
use crate::fec;
use crate::scenario::place::At;
use crate::scenario::quantity::Flush;
use crate::time::Duration;
use crate::units::{Bitrate, ByteSize, Probability};

/// A transport with its settings; exactly one of the three.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there are a handful of them, each in one table")]
pub enum Contender {
    /// One TCP connection that carries the frames in order.
    Tcp(Tcp),
    /// Datagrams with error correction.
    Udp(Udp),
    /// One QUIC connection.
    Quic(Quic),
}

/// Other traffic on the same bottleneck: exactly one of `tcp`, `udp` and `quic`, and what it carries.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Neighbour {
    /// How many of them there are. From 1 to 1000, default 1.
    #[serde(default = "default_count")]
    pub count: At<u32>,
    /// One TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// Datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Udp>,
    /// One QUIC connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic: Option<Quic>,
    /// What it carries from the server to the person. Default: `bulk`, a download that never ends.
    #[serde(default = "Traffic::download")]
    pub traffic: Traffic,
}

/// A TCP connection as today's Linux has it, with TCP_NODELAY.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tcp {
    /// The congestion control. Default `"cubic"`.
    pub congestion: Congestion,
    /// What becomes of frames that are out of date before their first byte is sent. Default `"drop"`.
    pub stale: Stale,
    /// How much that is not sent yet the socket takes (the option TCP_NOTSENT_LOWAT); the rest waits
    /// where it can still be dropped. From 1 B to 100 MB, default `"16kB"`.
    pub notsent_lowat: At<ByteSize>,
    /// Whether it takes part in explicit congestion notification (RFC 3168), so that queues with `ecn`
    /// mark its segments and do not drop them. Default `false`: Linux agrees when it is asked, but does
    /// not ask (`tcp_ecn = 2`). On the kernel path all connections of a trial ask where one of them does.
    pub ecn: bool,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            congestion: Congestion::default(),
            stale: Stale::default(),
            notsent_lowat: At::default_of(ByteSize::new(16_000)),
            ecn: false,
        }
    }
}

/// A congestion control of TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Congestion {
    /// NewReno (RFC 5681, RFC 6582).
    Reno,
    /// CUBIC (RFC 9438), the default of Linux.
    #[default]
    Cubic,
    /// BBR version 1 (Cardwell et al., ACM Queue 14, 2016).
    Bbr,
}

/// What becomes of frames that are out of date before they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stale {
    /// They are dropped: a newer one follows.
    #[default]
    Drop,
    /// They are sent all the same.
    Keep,
}

/// Datagrams with error correction, every setting decided: what was written, or else what the preset
/// says, or else the default. The keys are those of [`WrittenUdp`].
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", from = "WrittenUdp")]
#[schemars(with = "WrittenUdp")]
pub struct Udp {
    /// Where the settings come from that are not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The largest IP packet that is sent, in bytes, all headers counted.
    pub datagram: At<u32>,
    /// The error correction.
    pub fec: Fec,
    /// Whether lost packets are sent again.
    pub retransmit: Retransmit,
    /// What answers a receiver that asks for lost packets.
    pub answer: Answer,
    /// What becomes of frames that are out of date before they are sent.
    pub stale: Stale,
    /// How the sending rate is controlled.
    pub rate: RateControl,
    /// The rate of `rate = "fixed"`, all headers counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<At<Bitrate>>,
    /// How many later packets must have arrived before a missing one counts as lost.
    pub reordering: At<u32>,
    /// Whether it takes part in explicit congestion notification.
    pub ecn: At<bool>,
}

/// Datagrams with error correction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "Udp")]
pub struct WrittenUdp {
    /// What others do: the settings of a product or a protocol, for `fec`, `retransmit`, `answer`, `stale` and `rate`
    /// where they are not written beside it. Default: none.
    pub preset: Option<Preset>,
    /// The largest IP packet that is sent, in bytes, all headers counted. From 200 to 9000 and at most
    /// the path's `mtu`; default 1200, which passes nearly everywhere (RFC 9000, section 14).
    pub datagram: Option<At<u32>>,
    /// The error correction. Default `"none"`.
    pub fec: Option<Fec>,
    /// Whether lost packets are sent again. Default `"never"`.
    pub retransmit: Option<Retransmit>,
    /// What answers a receiver that asks for lost packets. Default `"source"`.
    pub answer: Option<Answer>,
    /// What becomes of frames that are out of date before they are sent. Default `"drop"`.
    pub stale: Option<Stale>,
    /// How the sending rate is controlled. Default `"none"`; a contender without congestion control is
    /// marked so in the results.
    pub rate: Option<RateControl>,
    /// The rate of `rate = "fixed"`, all headers counted. From 10 kbit/s to 100 Gbit/s; default: the
    /// bottleneck's rate shared evenly by the sessions, and no pacing where it has no constant rate.
    pub pace: Option<At<Bitrate>>,
    /// How many later packets must have arrived before a missing one counts as lost rather than late.
    /// From 1 to 1000, default 3 (RFC 9002, section 6.1.1).
    pub reordering: Option<At<u32>>,
    /// Whether it takes part in explicit congestion notification, so that queues with `ecn` mark its
    /// packets and do not drop them. Needs `rate = "delay"`, which answers marks. Default `false`.
    pub ecn: Option<At<bool>>,
}

impl From<WrittenUdp> for Udp {
    fn from(written: WrittenUdp) -> Self {
        let settings = written.preset.map(Preset::settings).unwrap_or_default();
        Self {
            preset: written.preset,
            datagram: written.datagram.unwrap_or(At::default_of(1200)),
            fec: written.fec.unwrap_or(settings.fec),
            retransmit: written.retransmit.unwrap_or(settings.retransmit),
            answer: written.answer.unwrap_or(settings.answer),
            stale: written.stale.unwrap_or(settings.stale),
            rate: written.rate.unwrap_or(settings.rate),
            pace: written.pace,
            reordering: written.reordering.unwrap_or(At::default_of(3)),
            ecn: written.ecn.unwrap_or(At::default_of(false)),
        }
    }
}

impl Default for Udp {
    fn default() -> Self {
        WrittenUdp::default().into()
    }
}

/// Whether lost packets are sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retransmit {
    /// Never: repair packets have to do.
    #[default]
    Never,
    /// Where they can still arrive before the frame's deadline.
    Deadline,
    /// Always, until they arrive.
    Always,
}

/// What answers a receiver that asks for lost packets (hybrid ARQ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The packets themselves (type I).
    #[default]
    Source,
    /// As many fresh repair packets as are missing (type II, incremental redundancy); the packets
    /// themselves where the code cannot make any.
    Repair,
}

/// How the sending rate is controlled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RateControl {
    /// Not at all: packets leave as they are made.
    #[default]
    None,
    /// Packets are paced at a constant rate.
    Fixed,
    /// The rate follows the queue's delay and losses (in the manner of SCReAM, RFC 8298).
    Delay,
}

/// An error correction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fec {
    /// None.
    #[default]
    None,
    /// Every packet is sent several times.
    Repeat(Repeat),
    /// One repair packet, the exclusive or of several source packets (RFC 5109, RFC 8627).
    Xor(Xor),
    /// One repair packet for each row and each column of a matrix of source packets (SMPTE 2022-1, SRT).
    #[serde(rename = "xor-2d")]
    Xor2d(Xor2d),
    /// Reed–Solomon codes over GF(2^8) with a Cauchy matrix: any r of k + r packets may be lost.
    ReedSolomon(ReedSolomon),
    /// Each packet carries the ones before it once more (RED, RFC 2198): more bytes, but no more packets.
    Red(Red),
    /// RaptorQ (RFC 6330): as many repair packets as are asked for, of which now and then a few more are
    /// needed than packets are missing.
    Raptorq(RaptorQ),
    /// Reed–Solomon by frame as WebRTC protects: by the loss of the last ten seconds and the size of frames.
    #[serde(rename = "webrtc")]
    WebRtc,
    /// Reed–Solomon by frame as in the loss tolerant mode of Citrix's EDT: where the link is lossy, long and
    /// fast.
    LossTolerant(LossTolerant),
    /// Random linear combinations over a sliding window (RFC 8681): no block to wait for the end of.
    Rlc(Rlc),
    /// A streaming code over several frames: bursts over whole frames are repaired some frames later.
    Streaming(Streaming),
    /// A code of its own for each class of packets.
    Unequal(Unequal),
    /// As much redundancy as is worth its bytes, from the losses that the receiver reports.
    Adaptive(Adaptive),
}

/// As much redundancy as is worth its bytes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Adaptive {
    /// What a frame in time is worth: repair packets are sent as long as what they add to its chance,
    /// times this, is more than their bytes. From 1 kB to 100 MB, default `"250kB"`.
    pub worth: At<ByteSize>,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { worth: At::default_of(crate::fec::adaptive::Adaptive::default().worth()) }
    }
}

/// Every packet several times.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repeat {
    /// How many copies follow the first. From 1 to 4.
    pub copies: At<u32>,
    /// How many source packets leave between one copy and the next, so that one burst does not take all.
    /// From 0 (back to back) to 256, default 0.
    #[serde(default = "default_spacing")]
    pub spacing: At<u32>,
}

/// One repair packet for several source packets.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Xor {
    /// How many source packets one repair packet protects. From 1 to 100.
    pub source: At<u32>,
    /// How many blocks are filled in turn, so that neighboring packets are in different ones. From 1
    /// to 100, default 1: no interleaving.
    #[serde(default = "default_count")]
    pub interleave: At<u32>,
}

/// One repair packet for each row and each column of a matrix.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Xor2d {
    /// How many source packets a row has. From 2 to 254; times `rows` at most 4096.
    pub columns: At<u32>,
    /// How many source packets a column has. From 2 to 254; times `columns` at most 4096.
    pub rows: At<u32>,
    /// When the repair packets of columns are sent. Default `"even"`.
    #[serde(default)]
    pub layout: MatrixLayout,
    /// After what time without a source packet all that is open is closed short. Above 0 and at most
    /// 1 s, or `"off"`: it waits until it is full. Default `"off"`, as with SRT.
    #[serde(default = "default_pause")]
    pub pause: At<Flush>,
}

/// When the repair packets of a matrix's columns are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatrixLayout {
    /// All at the end of the matrix.
    #[default]
    Even,
    /// One after the other: each column ends a row later than the one before it.
    Staircase,
}

/// Reed–Solomon: blocks of `source` packets with `repair` repair packets, or `per-frame`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReedSolomon {
    /// How many source packets a block has. From 1; with `repair` at most 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<At<u32>>,
    /// How many repair packets a block has. From 1; with `source` at most 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<At<u32>>,
    /// How long a block may stay open before it is closed short. Above 0 and at most 1 s, or `"off"`:
    /// it waits until it is full. Default `"8ms"`, half a frame at 60 Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<At<Flush>>,
    /// How many blocks are filled in turn, so that neighboring packets are in different ones. From 1
    /// to 255, times `source` at most 4096; default 1: no interleaving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interleave: Option<At<u32>>,
    /// What becomes of a block that is closed before it is full. Default `"proportional"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
    /// One block for each frame instead, with repair packets in proportion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_frame: Option<PerFrame>,
}

impl ReedSolomon {
    /// How long a block may stay open: [`ReedSolomon::flush`], or its default.
    pub fn flush_after(&self) -> Flush {
        self.flush.as_ref().map_or(Flush::After(Duration::from_millis(8)), |flush| flush.value)
    }
}

/// What becomes of a block that is closed before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Partial {
    /// It has repair packets in proportion, rounded up.
    Proportional,
    /// It has none, as with kcp-go.
    None,
}

/// One block for each frame, or several where it is too large for one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PerFrame {
    /// Repair packets for each hundred source packets of the frame, rounded up. From 0 to 255.
    pub percent: At<u32>,
    /// The fewest repair packets that a block gets. From 0 to 100, default 1; not 0 where `percent` is 0.
    #[serde(default = "default_count")]
    pub minimum: At<u32>,
    /// A frame that needs more blocks than this is not protected, as with Sunshine. From 1 to 4; default:
    /// every frame is protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<At<u32>>,
}

/// Each packet carries the ones before it once more.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Red {
    /// How many earlier packets each one carries. From 1 to 4.
    pub depth: At<u32>,
}

/// RaptorQ: blocks of `source` packets with `repair` repair packets, or `per-frame`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RaptorQ {
    /// How many source packets a block has. From 1 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<At<u32>>,
    /// How many repair packets a block has. From 1 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<At<u32>>,
    /// How long a block may stay open before it is closed short. Above 0 and at most 1 s, or `"off"`:
    /// it waits until it is full. Default `"8ms"`, half a frame at 60 Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<At<Flush>>,
    /// One block for each frame instead, with repair packets in proportion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_frame: Option<RaptorQPerFrame>,
}

impl RaptorQ {
    /// How long a block may stay open: [`RaptorQ::flush`], or its default.
    pub fn flush_after(&self) -> Flush {
        self.flush.as_ref().map_or(Flush::After(Duration::from_millis(8)), |flush| flush.value)
    }
}

/// One RaptorQ block for each frame.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RaptorQPerFrame {
    /// Repair packets for each hundred source packets of the frame, rounded up. From 1 to 400.
    pub percent: At<u32>,
    /// The fewest repair packets that a frame gets. From 0 to 100, default 1.
    #[serde(default = "default_count")]
    pub minimum: At<u32>,
}

/// The thresholds at which protection begins, all of which must be reached within a second. It ends when
/// one of them is missed by a quarter for three seconds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LossTolerant {
    /// The share of packets lost, before repair. Above 0 and at most 1, default `"5%"`.
    pub loss: At<Probability>,
    /// The round trip. At most 10 s, default `"300ms"`.
    pub round_trip: At<Duration>,
    /// The rate that is sent and that congestion control leaves beside it; taken to be enough where there
    /// is no congestion control. At most 100 Gbit/s, default `"30Mbit/s"`.
    pub rate: At<Bitrate>,
}

impl Default for LossTolerant {
    fn default() -> Self {
        let thresholds = fec::loss_tolerant::LossTolerant::default();
        Self {
            loss: At::default_of(thresholds.loss),
            round_trip: At::default_of(thresholds.round_trip),
            rate: At::default_of(thresholds.rate),
        }
    }
}

/// A code for each class of packets, at least one of them named. When the class changes from one packet to
/// the next, the blocks and windows of the old one are closed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Unequal {
    /// For frames that the next ones overwrite. Default `"none"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<At<Box<Fec>>>,
    /// For frames that others refer to. Default: as for `delta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<At<Box<Fec>>>,
    /// For a person's input. Default: as for `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<At<Box<Fec>>>,
}

/// A sliding window, with `step` or `code-rate`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rlc {
    /// How many of the last source packets a repair packet covers. From 1 to 1024.
    pub window: At<u32>,
    /// After how many source packets there is a repair packet. From 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<At<u32>>,
    /// The share of source packets among all packets, to four places; repair packets are spread evenly.
    /// From 0.1 to 0.999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_rate: Option<At<f64>>,
    /// How many sixteenths of the packets in the window a repair packet combines, less one. From 0 to 15,
    /// default 15: all of them. Less saves work with long windows, and repairs less with short ones.
    #[serde(default = "default_density")]
    pub density: At<u32>,
}

/// Several frames together.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Streaming {
    /// After how many further frames a burst is to be repaired. From 0 to 8, default 3.
    #[serde(default = "default_delay")]
    pub delay: At<u32>,
    /// Repair packets as a share of the frame's source packets, rounded up. From 0 to 255, in percent.
    pub percent: At<u32>,
    /// The fewest repair packets that a frame gets. From 0 to 100, default 1.
    #[serde(default = "default_count")]
    pub minimum: At<u32>,
}

fn default_density() -> At<u32> {
    At::default_of(15)
}

fn default_delay() -> At<u32> {
    At::default_of(3)
}

fn default_count() -> At<u32> {
    At::default_of(1)
}

fn default_pause() -> At<Flush> {
    At::default_of(Flush::Off)
}

fn default_spacing() -> At<u32> {
    At::default_of(0)
}
