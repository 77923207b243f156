//! The wire format of the UDP transport: one datagram is one packet.
//!
//! All numbers are big-endian. Every datagram opens with an envelope of [`ENVELOPE_LEN`] bytes: the
//! identity that its receiver chose when the session was set up (RFC 9000 §5.1), by which an open port
//! knows its own from what is sent to it by others. The door of the session writes and removes it
//! ([`session::door`](crate::session::door)), so in virtual time it is only counted.
//!
//! The packet behind it, whose offsets follow, opens with the common header. Packet numbers count every
//! datagram of a direction, whatever it carries, and are never used twice (RFC 9000 §12.3). They are
//! sent whole: the two bytes that truncation would save buy nothing here.
//!
//! | offset | bytes | field | |
//! | --- | --- | --- | --- |
//! | 0 | 1 | version, flags, kind | bits 5–7 [`VERSION`]; bit 4: a code protects what leaves now; bit 3: the packet left as soon behind the one before it as pacing allowed; bits 0–2: 1 source, 2 retransmission, 3 repair, 4 feedback, 5 repair on request, [`SETUP`] no packet of the transport |
//! | 1 | 4 | packet number | modulo 2^32 |
//! | 5 | 4 | time of sending | µs of the sender's clock, modulo 2^32: for delay differences and echoes |
//! | 9 | 2 | round trip | as the sender knows it, in units of 64 µs; 0: not known |
//!
//! A source packet and a retransmission go on with the following. The fields from offset 15 on and
//! the payload are the contents of the coded unit (the ADUI of RFC 6865 §4.3), so that a packet that a
//! code recovers is as good as one that arrived.
//!
//! | offset | bytes | field | |
//! | --- | --- | --- | --- |
//! | 11 | 4 | encoding symbol id | modulo 2^32; the same in a retransmission |
//! | 15 | 4 | frame | modulo 2^32 |
//! | 19 | 2 | index | the packet's place in its frame |
//! | 21 | 2 | count | packets of the frame, at least 1 |
//! | 23 | 4 | size | bytes of the frame, at least 1 |
//! | 27 | 1 | head | bytes of the application's head at the front of packet 0 |
//! | 28 | 4 | captured | µs of the sender's clock, modulo 2^32 |
//! | 32 | 4 | lifetime | µs from the capture to the deadline; 2^32 − 1: no deadline |
//! | 36 | | payload | ⌈size / count⌉ bytes, in the last packet what is left |
//! | | | riders | the code's in-band redundancy: repair packets without the common header, each behind its length in 2 bytes; what is left of the datagram, at most [`RIDERS_MAX`] of them |
//!
//! A repair packet goes on with its repair FEC payload id (RFC 6363 §5.4):
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 11 | 4 | first source packet protected |
//! | 15 | 2 | count of source packets in the block or window, at least 1 |
//! | 17 | 2 | row, or repair key |
//! | 19 | 1 | parameter of the scheme |
//! | 20 | | symbol, at least one byte |
//!
//! A feedback packet goes on as [`feedback`](super::feedback) says. Kinds 0 and 6 are free.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::endpoint::{Class, Wire};
use crate::fec::{Repair, RepairHeader};
use crate::frame::{Frame, FrameId};
use crate::record::Malformed;
use crate::time::{Duration, Time};

use super::feedback::Feedback;

/// The version of the format that this code speaks.
pub const VERSION: u8 = 1;

/// The kind of what the ends' doors say to each other, in the place of a packet's.
pub const SETUP: u8 = 7;

/// Bytes of the envelope in front of every packet.
pub const ENVELOPE_LEN: usize = 4;

/// Bytes of IPv4 and UDP headers in front of every datagram.
pub const IP_UDP_HEADER: u32 = 28;

/// One datagram, typed. Cloning copies no payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What every packet says.
    pub header: Header,
    /// What this one carries.
    pub body: Body,
}

/// The header that all packets share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The packet's number among all of its direction, modulo 2^32.
    pub number: u32,
    /// When it was sent, in microseconds of the sender's clock, modulo 2^32.
    pub sent: u32,
    /// The round trip as the sender knows it, in units of [`Header::ROUND_TRIP_UNIT`]; 0: not known.
    pub round_trip: u16,
    /// Whether it continues a train: whether it left as soon behind the packet before it as pacing
    /// allowed, so that their distance on arrival tells how fast the path is.
    pub train: bool,
    /// Whether a code protects the source packets that leave now. Where none does, waiting for repair
    /// packets is in vain.
    pub protected: bool,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Application data for the first time.
    Source(Source),
    /// Application data again.
    Retransmission(Source),
    /// Redundancy.
    Repair(Repair<Bytes>),
    /// Redundancy that the other end asked for (hybrid ARQ, type II).
    Answer(Repair<Bytes>),
    /// What the receiving half of the end has to say.
    Feedback(Arc<Feedback>),
}

/// A piece of a frame on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its encoding symbol id, modulo 2^32.
    pub esi: u32,
    /// Which piece of which frame it is.
    pub fragment: Fragment,
    /// The application's bytes; [`Fragment::payload_len`] of them.
    pub payload: Bytes,
    /// The code's in-band redundancy; mostly empty, at most [`RIDERS_MAX`].
    pub riders: Vec<Repair<Bytes>>,
}

/// The fields of a source packet that a code protects together with the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The frame that it is a piece of.
    pub frame: FrameId,
    /// Its place among the frame's packets, below `count`.
    pub index: u16,
    /// How many packets the frame has.
    pub count: u16,
    /// How many bytes the frame has.
    pub size: u32,
    /// Bytes of the application's head at the front of the payload; 0 but in packet 0.
    pub head: u8,
    /// When the frame was captured, in microseconds of the sender's clock, modulo 2^32.
    pub captured: u32,
    /// Microseconds from there to the deadline; [`Fragment::NO_DEADLINE`] where there is none.
    pub lifetime: u32,
}

impl Packet {
    /// Writes the packet, without its envelope, behind what is in `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let flags = u8::from(self.header.protected) << 4 | u8::from(self.header.train) << 3;
        out.put_u8(VERSION << 5 | flags | self.body.kind());
        out.put_u32(self.header.number);
        out.put_u32(self.header.sent);
        out.put_u16(self.header.round_trip);
        match &self.body {
            Body::Source(source) | Body::Retransmission(source) => {
                out.put_u32(source.esi);
                source.fragment.encode(out);
                out.put_slice(&source.payload);
                for rider in &source.riders {
                    out.put_u16((REPAIR_HEADER_LEN + rider.symbol.len()) as u16);
                    encode_repair(rider, out);
                }
            }
            Body::Repair(repair) | Body::Answer(repair) => encode_repair(repair, out),
            Body::Feedback(feedback) => feedback.encode(out),
        }
    }

    /// Reads what an envelope held, without copying its payload.
    ///
    /// # Errors
    /// The reason why `datagram` is no packet.
    pub fn decode(mut datagram: Bytes) -> Result<Self, Malformed> {
        let first = datagram.try_get_u8().map_err(|_| Malformed::Truncated)?;
        if first >> 5 != VERSION || !(1..=5).contains(&(first & 7)) {
            return Err(Malformed::UnknownKind);
        }
        if datagram.len() < Header::LEN - 1 {
            return Err(Malformed::Truncated);
        }
        let header = Header {
            number: datagram.get_u32(),
            sent: datagram.get_u32(),
            round_trip: datagram.get_u16(),
            train: first & 8 != 0,
            protected: first & 16 != 0,
        };
        let body = match first & 7 {
            1 => Body::Source(Source::decode(datagram)?),
            2 => Body::Retransmission(Source::decode(datagram)?),
            3 => Body::Repair(decode_repair(datagram)?),
            5 => Body::Answer(decode_repair(datagram)?),
            _ => Body::Feedback(Arc::new(Feedback::decode(&datagram)?)),
        };
        Ok(Self { header, body })
    }
}

impl Wire for Packet {
    fn size(&self) -> u32 {
        let body = match &self.body {
            Body::Source(source) | Body::Retransmission(source) => {
                let riders = source.riders.iter().map(|rider| RIDER_OVERHEAD + rider.symbol.len());
                4 + Fragment::LEN + source.payload.len() + riders.sum::<usize>()
            }
            Body::Repair(repair) | Body::Answer(repair) => REPAIR_HEADER_LEN + repair.symbol.len(),
            Body::Feedback(feedback) => feedback.encoded_len(),
        };
        IP_UDP_HEADER + (ENVELOPE_LEN + Header::LEN + body) as u32
    }

    fn payload(&self) -> u32 {
        match &self.body {
            Body::Source(source) | Body::Retransmission(source) => {
                let riders = source.riders.iter().map(|rider| rider.symbol.len());
                (source.payload.len() + riders.sum::<usize>()) as u32
            }
            Body::Repair(repair) | Body::Answer(repair) => repair.symbol.len() as u32,
            Body::Feedback(_) => 0,
        }
    }

    fn class(&self) -> Class {
        match self.body {
            Body::Source(_) => Class::Source,
            Body::Retransmission(_) => Class::Retransmission,
            Body::Repair(_) | Body::Answer(_) => Class::Repair,
            Body::Feedback(_) => Class::Feedback,
        }
    }
}

impl Header {
    /// Its length in bytes, kind included.
    pub(crate) const LEN: usize = 11;

    /// What one step of `round_trip` stands for: 16 bits of it reach 4.2 seconds.
    pub const ROUND_TRIP_UNIT: Duration = Duration::from_micros(64);

    /// The round trip that the sender knows.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        (self.round_trip > 0).then(|| Self::ROUND_TRIP_UNIT * u64::from(self.round_trip))
    }

    /// `round_trip` as the header's field says it; what is shorter than a step is one step.
    pub(super) fn round_trip_field(round_trip: Option<Duration>) -> u16 {
        round_trip.map_or(0, |rtt| {
            let steps = rtt.as_nanos() / Self::ROUND_TRIP_UNIT.as_nanos();
            steps.clamp(1, u64::from(u16::MAX)) as u16
        })
    }
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Source(_) => 1,
            Self::Retransmission(_) => 2,
            Self::Repair(_) => 3,
            Self::Feedback(_) => 4,
            Self::Answer(_) => 5,
        }
    }
}

impl Source {
    /// Bytes of headers in a source datagram.
    pub(super) const HEADER_LEN: usize = ENVELOPE_LEN + Header::LEN + 4 + Fragment::LEN;

    fn decode(mut rest: Bytes) -> Result<Self, Malformed> {
        let esi = rest.try_get_u32().map_err(|_| Malformed::Truncated)?;
        let (fragment, mut payload) = Fragment::decode(rest)?;
        let riders = decode_riders(payload.split_off(fragment.payload_len()))?;
        Ok(Self { esi, fragment, payload, riders })
    }
}

impl Fragment {
    /// Its length in bytes on the wire.
    pub(crate) const LEN: usize = 21;

    /// The lifetime of what never expires.
    pub const NO_DEADLINE: u32 = u32::MAX;

    /// The piece numbered `index` of `frame`, which has `count`.
    pub(crate) fn of(frame: &Frame, index: u16, count: u16) -> Self {
        let lifetime = frame.deadline.as_micros().saturating_sub(frame.captured.as_micros());
        Self {
            frame: frame.id,
            index,
            count,
            size: frame.size,
            head: if index == 0 { frame.head.len() as u8 } else { 0 },
            captured: frame.captured.as_micros() as u32,
            lifetime: u32::try_from(lifetime).unwrap_or(Self::NO_DEADLINE),
        }
    }

    /// How many bytes of payload this piece has: a frame is cut into pieces of one size, so that
    /// codes pad little; only the last is shorter.
    pub fn payload_len(&self) -> usize {
        let piece = self.size.div_ceil(u32::from(self.count));
        (self.size - piece * u32::from(self.index)).min(piece) as usize
    }

    /// When the frame is worth nothing any more, on this end's clock.
    ///
    /// That clock must agree with the sender's to within 35 minutes, and the answer is as exact as they
    /// agree.
    pub(super) fn deadline(&self, now: Time) -> Time {
        if self.lifetime == Self::NO_DEADLINE {
            return Time::NEVER;
        }
        let now = now.as_micros();
        let age = (now as u32).wrapping_sub(self.captured) as i32;
        let captured = now.saturating_add_signed(-i64::from(age));
        Time::from_micros(captured + u64::from(self.lifetime))
    }

    /// Writes the fields behind what is in `out`.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_u32(self.frame.0);
        out.put_u16(self.index);
        out.put_u16(self.count);
        out.put_u32(self.size);
        out.put_u8(self.head);
        out.put_u32(self.captured);
        out.put_u32(self.lifetime);
    }

    /// Reads the fields and checks them against each other and against what follows them, which is
    /// the payload and perhaps more.
    pub(crate) fn decode(mut rest: Bytes) -> Result<(Self, Bytes), Malformed> {
        if rest.len() < Self::LEN {
            return Err(Malformed::Truncated);
        }
        let fragment = Self {
            frame: FrameId(rest.get_u32()),
            index: rest.get_u16(),
            count: rest.get_u16(),
            size: rest.get_u32(),
            head: rest.get_u8(),
            captured: rest.get_u32(),
            lifetime: rest.get_u32(),
        };
        fragment.check()?;
        if rest.len() < fragment.payload_len() {
            return Err(Malformed::Truncated);
        }
        Ok((fragment, rest))
    }

    fn check(&self) -> Result<(), Malformed> {
        let count = u32::from(self.count);
        if self.index >= self.count || self.size == 0 {
            return Err(Malformed::InvalidField);
        }
        // Pieces of one size must give just this many pieces.
        let piece = self.size.div_ceil(count);
        if self.size.div_ceil(piece) != count {
            return Err(Malformed::InvalidField);
        }
        let head_max = if self.index == 0 { Frame::HEAD_MAX.min(self.payload_len()) } else { 0 };
        if usize::from(self.head) > head_max { Err(Malformed::InvalidField) } else { Ok(()) }
    }
}

/// Bytes of a repair packet's own header, behind the common one.
pub(super) const REPAIR_HEADER_LEN: usize = 9;

/// Bytes in front of the symbol of a repair packet that rides in a source packet.
pub(super) const RIDER_OVERHEAD: usize = 2 + REPAIR_HEADER_LEN;

/// The most repair packets that ride in a source packet.
pub const RIDERS_MAX: usize = 16;

fn encode_repair(repair: &Repair<Bytes>, out: &mut BytesMut) {
    let Repair { header, symbol } = repair;
    out.put_u32(header.first);
    out.put_u16(header.count);
    out.put_u16(header.row);
    out.put_u8(header.parameter);
    out.put_slice(symbol);
}

fn decode_riders(mut rest: Bytes) -> Result<Vec<Repair<Bytes>>, Malformed> {
    let mut riders = Vec::new();
    while !rest.is_empty() {
        let len = usize::from(rest.try_get_u16().map_err(|_| Malformed::Truncated)?);
        if rest.len() < len {
            return Err(Malformed::Truncated);
        }
        if riders.len() == RIDERS_MAX {
            return Err(Malformed::InvalidField);
        }
        riders.push(decode_repair(rest.split_to(len))?);
    }
    Ok(riders)
}

fn decode_repair(mut rest: Bytes) -> Result<Repair<Bytes>, Malformed> {
    if rest.len() < REPAIR_HEADER_LEN {
        return Err(Malformed::Truncated);
    }
    let header = RepairHeader {
        first: rest.get_u32(),
        count: rest.get_u16(),
        row: rest.get_u16(),
        parameter: rest.get_u8(),
    };
    if header.count == 0 || rest.is_empty() {
        return Err(Malformed::InvalidField);
    }
    Ok(Repair { header, symbol: rest })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::feedback::tests::any_feedback;

    fn any_repair() -> impl Strategy<Value = Repair<Bytes>> {
        (any::<u32>(), 1..=u16::MAX, any::<(u16, u8)>(), prop::collection::vec(0_u8.., 1..99)).prop_map(
            |(first, count, (row, parameter), symbol)| Repair {
                header: RepairHeader { first, count, row, parameter },
                symbol: symbol.into(),
            },
        )
    }

    fn any_source() -> impl Strategy<Value = Source> {
        let riders = prop::collection::vec(any_repair(), 0..=3);
        (any::<[u32; 4]>(), 1_u32..400, 1_u32..50_000, any::<(u16, u8)>(), riders).prop_map(
            |([esi, frame, captured, lifetime], piece, size, (index, head), riders)| {
                let piece = piece.max(size.div_ceil(60_000));
                // The law of pieces, applied twice, gives numbers that satisfy it.
                let count = size.div_ceil(piece) as u16;
                let mut fragment = Fragment {
                    frame: FrameId(frame),
                    index: index % count,
                    count,
                    size,
                    head: 0,
                    captured,
                    lifetime,
                };
                if fragment.index == 0 {
                    fragment.head = head % (fragment.payload_len().min(Frame::HEAD_MAX) as u8 + 1);
                }
                let payload = vec![head; fragment.payload_len()].into();
                Source { esi, fragment, payload, riders }
            },
        )
    }

    pub(in crate::transport) fn any_packet() -> impl Strategy<Value = Packet> {
        let body = prop_oneof![
            any_source().prop_map(Body::Source),
            any_source().prop_map(Body::Retransmission),
            any_repair().prop_map(Body::Repair),
            any_repair().prop_map(Body::Answer),
            any_feedback().prop_map(|feedback| Body::Feedback(Arc::new(feedback))),
        ];
        (any::<(u32, u32, u16, [bool; 2])>(), body).prop_map(
            |((number, sent, round_trip, [train, protected]), body)| Packet {
                header: Header { number, sent, round_trip, train, protected },
                body,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_is_encoded_decodes_to_itself_and_has_the_size_it_says(packet in any_packet()) {
            let mut wire = BytesMut::new();
            packet.encode(&mut wire);
            prop_assert_eq!(packet.size(), (ENVELOPE_LEN + wire.len()) as u32 + IP_UDP_HEADER);
            prop_assert_eq!(Packet::decode(wire.freeze()), Ok(packet));
        }

        #[test]
        fn any_bytes_are_a_packet_or_have_a_reason(
            packet in any_packet(),
            cut in any::<prop::sample::Index>(),
            flip in any::<(prop::sample::Index, u8)>(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut wire = BytesMut::new();
            packet.encode(&mut wire);
            wire.truncate(cut.index(wire.len() + 1));
            if !wire.is_empty() {
                let place = flip.0.index(wire.len());
                wire[place] ^= flip.1;
            }
            let _ = Packet::decode(wire.freeze());
            // Most noise has an unknown kind; the rest must reach the parsers of all five.
            for kind in 1..=5 {
                let _ = Packet::decode([&[VERSION << 5 | kind][..], &noise].concat().into());
            }
            let _ = Packet::decode(noise.into());
        }
    }

    #[test]
    fn a_shortened_packet_is_called_truncated_and_a_strange_one_unknown() {
        let packet = Packet {
            header: Header::default(),
            body: Body::Source(Source {
                esi: 0,
                fragment: Fragment {
                    frame: FrameId(0),
                    index: 0,
                    count: 1,
                    size: 5,
                    head: 0,
                    captured: 0,
                    lifetime: 0,
                },
                payload: Bytes::from_static(b"hello"),
                riders: Vec::new(),
            }),
        };
        let mut wire = BytesMut::new();
        packet.encode(&mut wire);
        let wire = wire.freeze();
        for len in 0..wire.len() {
            assert_eq!(Packet::decode(wire.slice(..len)), Err(Malformed::Truncated), "{len} bytes");
        }
        let mut strange = BytesMut::from(&wire[..]);
        strange[0] = VERSION << 5 | SETUP;
        assert_eq!(Packet::decode(strange.clone().freeze()), Err(Malformed::UnknownKind));
        strange[0] = (VERSION + 1) << 5 | 1;
        assert_eq!(Packet::decode(strange.freeze()), Err(Malformed::UnknownKind));
    }

    #[test]
    fn pieces_of_a_frame_add_up_to_it() {
        for (size, piece_max) in [(1_u32, 100_u32), (100, 100), (101, 100), (12_345, 1160), (7, 2)] {
            let count = size.div_ceil(piece_max) as u16;
            let piece =
                |index| Fragment { frame: FrameId(0), index, count, size, head: 0, captured: 0, lifetime: 0 };
            assert!((0..count).all(|index| piece(index).check().is_ok()));
            assert!((0..count).all(|index| piece(index).payload_len() <= piece_max as usize));
            assert_eq!((0..count).map(|index| piece(index).payload_len()).sum::<usize>(), size as usize);
        }
    }

    #[test]
    fn a_deadline_survives_the_wrap_of_the_clock() {
        let wrap = 1_u64 << 32;
        let frame = Frame {
            id: FrameId(0),
            captured: Time::from_micros(wrap - 10_000),
            deadline: Time::from_micros(wrap + 90_000),
            priority: Default::default(),
            size: 1,
            head: Bytes::new(),
        };
        let fragment = Fragment::of(&frame, 0, 1);
        for now in [wrap - 10_000, wrap - 1, wrap + 300_000] {
            assert_eq!(fragment.deadline(Time::from_micros(now)), frame.deadline);
        }
    }
}
