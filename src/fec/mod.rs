//! Application-layer error correction: what a code is, and the family of codes.
//!
//! The contract follows the FEC framework (RFC 6363) with the words of RFC 8406 and RFC 8680, and one
//! shape serves block, sliding-window and rateless codes. An encoder sees every source packet in the
//! order of sending; systematic codes let it leave at once and add repair packets beside it. Source
//! packets have one space of encoding symbol ids (ESI), which rises by one per source packet.
//!
//! What codes compute with is the [coded unit](mod@unit) of a source packet, as a [`Symbol`]. A code is a
//! file with its parameters and its halves; [`Scheme`] lists the family.

pub mod adaptive;
mod block;
pub mod cauchy;
pub mod gf256;
pub mod loss_tolerant;
mod matrix;
mod none;
mod own;
pub mod raptorq;
pub mod red;
pub mod reed_solomon;
pub mod repeat;
pub mod rlc;
mod rule;
mod scheme;
mod sliding;
mod sources;
pub mod streaming;
mod symbol;
pub mod theory;
mod tinymt32;
pub mod unequal;
pub mod unit;
mod webrtc;
pub mod xor;
pub mod xor_2d;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use crate::frame::{FrameId, Priority};
use crate::record::{Malformed, RepairFate};
use crate::time::{Duration, Time};
use crate::units::Bitrate;

pub use own::{Code, Halves, Own};
pub use scheme::{InvalidScheme, Scheme};
pub use symbol::Symbol;

/// What an encoder is told about a source packet beside its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceMeta {
    /// Its encoding symbol id: 0, 1, 2, … in the order of sending.
    pub esi: u32,
    /// The frame that it is part of.
    pub frame: FrameId,
    /// Whether it is the frame's last packet.
    pub frame_end: bool,
    /// How much its loss hurts.
    pub priority: Priority,
    /// When it is worth nothing any more.
    pub deadline: Time,
    /// The bytes of what is coded of it, as far as these differ from packet to packet: repair packets
    /// over it are as long.
    pub size: u16,
}

/// The part of a repair packet's header that the code defines (its repair FEC payload id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairHeader {
    /// The first source packet that it protects.
    pub first: u32,
    /// How many source packets the block or window has, gaps included; at least 1.
    pub count: u16,
    /// Which of the block's repair packets this is, which way a parity packet of two dimensions runs, or
    /// the key that coefficients come from; below 2^14 where classes of packets have [codes of their
    /// own](unequal), whose tag is above that.
    pub row: u16,
    /// A parameter of the scheme: for block codes the number of repair packets that were sent with the
    /// block, for others a density.
    pub parameter: u8,
}

/// A repair packet: header and coded symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair<S> {
    /// What the decoder must know of it.
    pub header: RepairHeader,
    /// The coded symbol.
    pub symbol: S,
}

/// The bytes that a code adds to packets, known before frames are cut into packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead {
    /// How many copies of earlier packets ride in every source packet at most (in-band redundancy):
    /// payloads are cut so much smaller that these fit.
    pub copies: u8,
    /// Bytes by which a repair symbol may be longer than the longest contents of the units that it
    /// protects.
    pub repair: u16,
}

/// Why a block or window is closed before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The frame is complete and nothing follows at once.
    FrameEnd,
    /// The session ends.
    Shutdown,
}

/// What to do with a source packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Protect<S> {
    /// Send it now, with these repair packets behind it in the same datagram: in-band redundancy, at
    /// most [`Overhead::copies`] of them and mostly none. The receiver's half gets each of them by
    /// [`Decoder::push_repair`], as if it had come alone.
    Send(Vec<Repair<S>>),
    /// Keep it: the code transforms it and sends repair packets in its place.
    Hold,
}

/// The receiver's account of losses that a controller works with. Counts cover the packets since the
/// last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossReport {
    /// Packets that the sender sent, by the receiver's knowledge.
    pub expected: u32,
    /// Packets lost on the network, before any repair.
    pub lost: u32,
    /// Source packets lost for good, after repair.
    pub residual: u32,
    /// How many runs of consecutive lost packets had length 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more.
    pub runs: [u32; 8],
    /// The most repair packets that were missing in any block or window.
    pub deficit_max: u16,
    /// The round trip, once it is known.
    pub round_trip: Option<Duration>,
    /// How long packets wait in the queues of the path: the least one-way delay since the last report,
    /// above the least of the last ten seconds.
    pub queue: Duration,
    /// The rate that congestion control allows beyond what is sent, all headers counted; none where
    /// there is no congestion control.
    pub spare: Option<Bitrate>,
    /// What is sent, all headers counted, over the last second.
    pub load: Bitrate,
    /// Whether the receiver asks for lost packets while an answer can be in time.
    pub retransmits: bool,
}

/// The sending half of a code.
pub trait Encoder<S>: Debug + Send {
    /// The bytes that it adds to packets at most; constant over its life.
    fn overhead(&self) -> Overhead;

    /// Whether the code does anything with symbols. Where not, both halves may be given empty ones, or
    /// nothing at all, which spares building them.
    fn needs_symbols(&self) -> bool {
        true
    }

    /// Whether the source packets that leave now are protected. Where not, the receiver need not wait
    /// for repair packets before it asks for a lost one again.
    fn protects(&self) -> bool {
        self.needs_symbols()
    }

    /// Takes the next source packet. Its ESI is one above the last one's.
    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S>;

    /// The next repair packet that is ready to leave at `now`; called until there is none.
    fn poll_repair(&mut self, now: Time) -> Option<Repair<S>>;

    /// Nothing follows for the reason given. Codes that wait for more sources close what is open, except
    /// that codes whose blocks are closed by count or time take no notice of the ends of frames.
    fn flush(&mut self, now: Time, why: Flush);

    /// When [`Encoder::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Its time has come: block timeouts and delayed repair packets.
    fn handle_timeout(&mut self, _now: Time) {}

    /// The receiver's report, for codes that adapt.
    fn handle_report(&mut self, _now: Time, _report: &LossReport) {}

    /// From now on so many repair packets more with each block, or fewer where `steps` is negative, within
    /// what the code can make; for codes without blocks of a fixed number of packets a step is a tenth of
    /// the source packets. Codes that follow reports, that have one for each class of packets, or whose
    /// receiver's half must know how many there are, take no notice.
    fn adjust_repair(&mut self, _steps: i8) {}

    /// Fresh repair packets over the sources in `range`, for a receiver that misses `count` (hybrid ARQ,
    /// type II). Ranges are those of [`Decoder::deficit`], or the part of a frame in which source packets are
    /// wanted. There may be more than were asked for, over a part of the range where the rest is forgotten, and
    /// none where the code cannot make any: then the source packets themselves are sent again.
    fn request_repair(&mut self, _now: Time, _range: RangeInclusive<u32>, _count: u16) -> Vec<Repair<S>> {
        Vec::new()
    }

    /// Every source packet up to `esi` (included) has arrived or no longer matters.
    fn handle_ack(&mut self, _esi: u32) {}
}

/// The receiving half of a code.
///
/// What arrives is not to be trusted: headers may lie and symbols may have any length.
pub trait Decoder<S>: Debug + Send {
    /// As [`Encoder::needs_symbols`].
    fn needs_symbols(&self) -> bool {
        true
    }

    /// Takes a source packet that arrived. One that is known already, or far ahead of what expired, or far
    /// below it, changes nothing.
    fn push_source(&mut self, now: Time, esi: u32, symbol: &S);

    /// Takes a repair packet that arrived.
    ///
    /// # Errors
    ///
    /// [`Malformed::InvalidField`] where no encoder of this scheme writes such a header, or it contradicts
    /// one that is held; [`Malformed::OutOfRange`] where it speaks of packets far ahead.
    fn push_repair(&mut self, now: Time, header: &RepairHeader, symbol: &S) -> Result<(), Malformed>;

    /// What came of it; called until there is none.
    fn poll_event(&mut self) -> Option<DecodeEvent<S>>;

    /// Whether a repair packet whose block or window begins at some source packet shows that there will
    /// be none for those before it: so it is where blocks or windows move up. Where not, repair packets
    /// may come back to any source packet until its deadline.
    fn moves_up(&self) -> bool {
        true
    }

    /// Ranges of sources in which repair packets are missing, and how many (for hybrid ARQ): so many
    /// fresh ones over the range would recover everything in it.
    fn deficit(&self) -> Vec<(RangeInclusive<u32>, u16)> {
        Vec::new()
    }

    /// Everything below `esi` has been delivered or given up: the decoder may forget it, and settles
    /// the repair packets that it still holds for it. Call it as delivery goes on, and with [`u32::MAX`]
    /// at the end: what a decoder holds is bounded by how far ahead of this point the packets are.
    fn expire(&mut self, esi: u32);
}

/// What a decoder found out.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodeEvent<S> {
    /// A source packet that had not arrived and was not given up is known now.
    Recovered {
        /// Its encoding symbol id.
        esi: u32,
        /// Its symbol: as it was given to the encoder, perhaps with zeros behind it. If a repair packet
        /// was not what its header says, it may be anything: [`unit::open`] tells.
        symbol: S,
    },
    /// What a repair packet that arrived, and was no error, was good for. Every one is settled exactly
    /// once; a second copy of one that is held is not needed.
    Settled(RepairFate),
}

#[cfg(test)]
mod conformance;
