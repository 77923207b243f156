//! Everything that can happen in a run, as one vocabulary of events.
//!
//! The link, the transports and the applications tell what they do as [`Record`]s; summaries, ledger
//! and files are made from these alone, so that a counter can never disagree with the log.

use serde::{Deserialize, Serialize};

use crate::endpoint::{Class, Direction, Flow};
use crate::frame::{FrameId, Regions};
use crate::time::{Duration, Time};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Time,
    /// In which session.
    pub flow: Flow,
    /// The way that the packet or frame concerned travels. Feedback about packets that went down
    /// travels up.
    pub direction: Direction,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The application captured a frame and offered it to the transport.
    FrameCaptured {
        /// Its number.
        frame: FrameId,
        /// Its size.
        bytes: u32,
        /// When it is worth nothing any more.
        deadline: Time,
        /// The part of the screen that it carries; none for what is no picture (input, bulk data).
        regions: Regions,
        /// The part of it that has not changed, but is sent again because a frame that carried it was
        /// lost or dropped.
        again: Regions,
    },
    /// The sender gave a frame up before all of it had been sent.
    FrameDropped {
        /// Its number.
        frame: FrameId,
        /// Whether some of it had been sent.
        begun: bool,
    },
    /// A frame is whole at the receiver.
    FrameComplete {
        /// Its number.
        frame: FrameId,
    },
    /// A complete frame could be applied to the picture: everything it refers to was there.
    FrameDecoded {
        /// Its number.
        frame: FrameId,
    },
    /// A complete frame was useless: something it refers to is missing.
    FrameUndecodable {
        /// Its number.
        frame: FrameId,
    },
    /// The receiver gave a frame up: it will never be whole.
    FrameLost {
        /// Its number.
        frame: FrameId,
    },
    /// The receiving application asked for a refresh.
    RefreshRequested {
        /// The frame that is missing.
        frame: FrameId,
    },

    /// A packet entered the link.
    PacketSent(PacketInfo),
    /// The link made a second copy of a packet.
    PacketDuplicated(PacketInfo),
    /// A queue marked a packet instead of dropping it (RFC 3168).
    PacketMarked(PacketInfo),
    /// The link dropped a packet.
    PacketDropped(PacketInfo, DropReason),
    /// The link handed a packet over at the far end.
    PacketDelivered(PacketInfo, Transit),

    /// A source packet was sent for the first time.
    SourceSent {
        /// Its number: 0, 1, 2, … in the order of sending.
        source: u64,
        /// The application's bytes in it.
        bytes: u32,
    },
    /// A source packet's bytes became available at the receiver, for the first time.
    SourceArrived {
        /// Its number.
        source: u64,
        /// The application's bytes in it.
        bytes: u32,
        /// How it came.
        by: Arrived,
        /// Whether its frame's deadline had not passed.
        in_time: bool,
    },
    /// The receiver gave a source packet up.
    SourceLost {
        /// Its number.
        source: u64,
    },
    /// Repair packets arrived inside a source packet (in-band redundancy).
    RidersArrived {
        /// How many.
        count: u32,
    },
    /// The receiver knows what a repair packet was good for.
    RepairSettled(RepairFate),
    /// The receiver told the sender how many packets of the network were lost in runs of this length
    /// (before any repair).
    LossRun {
        /// Consecutive packets lost.
        length: u32,
    },
    /// The sender measured the round trip.
    RoundTrip(#[serde(with = "crate::time::nanos")] Duration),
    /// A packet that could not be understood arrived, and was ignored.
    Malformed(Malformed),
    /// Recovered bytes differ from those that were sent: a bug in a code. Trials fail on it.
    Miscoded {
        /// The source packet's number.
        source: u64,
    },
}

/// What a record says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketInfo {
    /// Its place among the packets of its flow and direction, counted from 0 as they enter the link.
    pub index: u64,
    /// What it is for.
    pub class: Class,
    /// The whole IP packet in bytes.
    pub size: u32,
    /// The application's bytes in it, and bytes computed from them.
    pub payload: u32,
}

/// How a packet crossed the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transit {
    /// From entering the link to leaving it.
    #[serde(with = "crate::time::nanos")]
    pub total: Duration,
    /// The part of it spent waiting in the bottleneck's queue.
    #[serde(with = "crate::time::nanos")]
    pub queued: Duration,
}

/// Why the link dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DropReason {
    /// A loss model decided so.
    Loss,
    /// The path was down.
    Outage,
    /// The bottleneck's queue was full.
    QueueFull,
    /// An active queue management decided so.
    QueueManaged,
    /// The link layer retransmitted it as often as it may, and no try got through.
    RetriesExhausted,
    /// Bits were flipped, so that its checksum did not match.
    Corrupted,
    /// It was larger than the path's MTU.
    TooLarge,
}

impl DropReason {
    /// All of them, in the order in which everything lists them.
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::Outage,
        Self::QueueFull,
        Self::QueueManaged,
        Self::RetriesExhausted,
        Self::Corrupted,
        Self::TooLarge,
    ];
}

/// How a source packet's bytes came to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrived {
    /// In a packet that carried them as they are, sent once or again.
    Delivered,
    /// Computed from repair packets.
    Recovered {
        /// From the time at which the receiver first saw that it was missing to its recovery.
        #[serde(with = "crate::time::nanos")]
        after: Duration,
    },
}

/// What a repair packet that arrived was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RepairFate {
    /// It took part in a recovery.
    Used,
    /// Everything it protects was there.
    Unneeded,
    /// It came after everything it could have repaired was given up.
    Late,
    /// It could not be used: too many packets were missing.
    Insufficient,
}

/// Why a packet could not be understood.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error, Serialize, Deserialize,
)]
pub enum Malformed {
    /// It ends before its header does.
    #[error("the packet ends before its header does")]
    Truncated,
    /// Its kind or version is not known.
    #[error("the packet's kind or version is not known")]
    UnknownKind,
    /// A field has a value that cannot be.
    #[error("a field of the packet has a value that cannot be")]
    InvalidField,
    /// It says something about packets or frames that cannot exist by now.
    #[error("the packet speaks of packets or frames that cannot exist")]
    OutOfRange,
    /// The check inside a recovered unit does not match.
    #[error("the check of a recovered packet does not match")]
    BadCheck,
}

/// Whoever wants to know what happens.
pub trait Sink {
    /// Takes one record. Records come in the order of their times.
    fn record(&mut self, record: &Record);
}

/// Forgets everything: for tests and benches that want no records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Sink for Discard {
    fn record(&mut self, _: &Record) {}
}

/// Keeps everything: for tests and for traces of short runs.
impl Sink for Vec<Record> {
    fn record(&mut self, record: &Record) {
        self.push(*record);
    }
}

/// Tells both.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn record(&mut self, record: &Record) {
        self.0.record(record);
        self.1.record(record);
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn record(&mut self, record: &Record) {
        (**self).record(record);
    }
}
