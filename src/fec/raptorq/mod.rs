//! RaptorQ: a fountain code, as many repair packets of a block as anybody asks for.
//!
//! Systematic, over GF(2) with some rows of GF(2^8), of RFC 6330; the arithmetic is that of the crate
//! `raptorq`. Any packets of a block will do, but a few more than the block has source packets may be
//! needed: K, K + 1 or K + 2 packets fail to decode in at most 1 of 10^2, 10^4, 10^6 cases (RFC 6330
//! §5.8). Blocks shorter than 10 packets are padded with zeros to 10 (§5.3.1, table 2).
//!
//! For blocks of up to some 64 packets it has nothing over [Reed–Solomon](super::reed_solomon), which
//! never needs the few more and takes about a fortieth of the time at 20 packets. What it has is that it
//! is rateless, so that a receiver that misses some is always answered with fresh ones, and that a large
//! frame is one block instead of several.
//!
//! | here | RFC 6330 and RFC 6681 |
//! | --- | --- |
//! | a block is named by its first source packet | a source block number |
//! | `row` is the ESI less the number of source packets | the ESI |
//! | a symbol is as long as the longest coded unit of the block | fixed for the stream |
//! | one sub-block, at most 1024 source packets a block | up to 56,403 packets |
//!
//! The twin without contents runs the same arithmetic on symbols of one byte, since what can be decoded
//! depends on the crate's matrices: sweeps with it are about as slow as with contents.

mod decoder;
mod encoder;

use ::raptorq::ObjectTransmissionInformation;
use bytes::Bytes;

use super::Symbol;
use super::scheme::{InvalidScheme, within};
use crate::time::Duration;

use decoder::RaptorQDecoder;
use encoder::RaptorQEncoder;

/// The most source packets of a block: 1.2 MB, the largest frames of a screen. It bounds what one packet
/// can make the decoder do.
const SOURCES_MAX: u32 = 1_024;

/// The longest symbol, by the field of RFC 6330 §3.3.2; longer than any datagram of a path.
const SYMBOL_MAX: usize = u16::MAX as usize;

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaptorQ {
    cut: Cut,
}

/// How blocks are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Packets { source: u16, repair: u16, flush: Option<Duration> },
    Frames { percent: u16, minimum: u8 },
}

impl RaptorQ {
    /// `repair` (1 to 1024) repair packets for each `source` (1 to 1024) source packets. A block is
    /// closed early when its first packet has waited for `flush`, with repair packets in proportion,
    /// rounded up; it waits for ever without it.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn per_packets(source: u32, repair: u32, flush: Option<Duration>) -> Result<Self, InvalidScheme> {
        let source = within("source", source, 1..=SOURCES_MAX)? as u16;
        let repair = within("repair", repair, 1..=SOURCES_MAX)? as u16;
        Ok(Self { cut: Cut::Packets { source, repair, flush } })
    }

    /// `percent` (0 to 400) repair packets for each hundred source packets of a frame, rounded up, and
    /// at least `minimum` (0 to 100); not both 0. Frames of more than 1024 packets have several blocks.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn per_frame(percent: u32, minimum: u32) -> Result<Self, InvalidScheme> {
        within("percent plus minimum", percent.saturating_add(minimum), 1..=u32::MAX)?;
        let percent = within("percent", percent, 0..=400)? as u16;
        let minimum = within("minimum", minimum, 0..=100)? as u8;
        Ok(Self { cut: Cut::Frames { percent, minimum } })
    }

    pub(super) fn encoder<S: Symbol>(self) -> RaptorQEncoder<S> {
        RaptorQEncoder::new(self.cut)
    }

    pub(super) fn decoder<S: Symbol>(self) -> RaptorQDecoder<S> {
        RaptorQDecoder::new(self.cut.sources_max())
    }
}

impl std::fmt::Display for RaptorQ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.cut {
            Cut::Packets { source, repair, .. } => write!(f, "raptorq {source}+{repair}"),
            Cut::Frames { percent, minimum } => {
                write!(f, "raptorq {percent} % of a frame, at least {minimum}")
            }
        }
    }
}

impl Cut {
    /// The most source packets of a block.
    fn sources_max(self) -> u32 {
        match self {
            Self::Packets { source, .. } => u32::from(source),
            Self::Frames { .. } => SOURCES_MAX,
        }
    }

    /// The same with so many repair packets more for each block, or so many tenths of a frame.
    fn adjusted(self, steps: i8) -> Self {
        match self {
            Self::Packets { source, repair, flush } => {
                let repair = repair.saturating_add_signed(steps.into()).min(SOURCES_MAX as u16);
                Self::Packets { source, repair, flush }
            }
            Self::Frames { percent, minimum } => {
                let percent = percent.saturating_add_signed(10 * i16::from(steps)).min(400);
                Self::Frames { percent, minimum }
            }
        }
    }

    /// The repair packets of a block of `sources` source packets.
    fn repair_for(self, sources: usize) -> usize {
        match self {
            Self::Packets { source, repair, .. } => {
                (sources * usize::from(repair)).div_ceil(usize::from(source))
            }
            Self::Frames { percent, minimum } => {
                (sources * usize::from(percent)).div_ceil(100).max(usize::from(minimum))
            }
        }
    }
}

/// How long the symbols of a block are: as its longest, and not empty. None where the crate cannot
/// compute with it.
fn symbol_length(contents: &[Bytes]) -> Option<usize> {
    let longest = contents.iter().map(Bytes::len).max()?.max(1);
    (longest <= SYMBOL_MAX).then_some(longest)
}

/// What the crate must know of a block: one source block of one sub-block.
fn information(sources: usize, length: usize) -> ObjectTransmissionInformation {
    ObjectTransmissionInformation::new((sources * length) as u64, length as u16, 1, 1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::{Wire, decode, encode, meta};
    use crate::fec::{DecodeEvent, Decoder, Encoder, Repair};
    use crate::rng::{Seed, below};
    use crate::time::Time;

    fn code(source: u32, repair: u32) -> RaptorQ {
        RaptorQ::per_packets(source, repair, None).unwrap()
    }

    /// How many of `trials` blocks of `source` packets fail to decode from `extra` more packets than
    /// that, any of them of 60 more repair packets than the block has source packets.
    fn failures(source: u32, extra: u32, trials: u64) -> usize {
        let wire = encode::<()>(&mut code(source, source + 60).encoder(), source, |_| ());
        let fails = |trial: &u64| {
            let mut draws = Seed(*trial).stream("raptorq").at(0);
            let mut places: Vec<usize> = (0..wire.len()).collect();
            let take = |_| places.swap_remove(below(&mut draws, places.len() as u64) as usize);
            let heard: Vec<usize> = (0..source + extra).map(take).collect();
            let (known, _) =
                decode(&mut code(source, source + 60).decoder(), heard.iter().map(|&i| &wire[i]));
            known.len() < source as usize
        };
        (0..trials).filter(fails).count()
    }

    #[test]
    fn decoding_fails_as_rarely_as_the_rfc_promises() {
        for source in [10, 26] {
            // At most 1 in 100: 30 of 3000, and four standard deviations of 5.4 more than that.
            assert!(failures(source, 0, 3_000) <= 52, "{source}");
            // At most 1 in 10,000: 0.3 of 3000, so that 4 or more have a probability below 3e-4.
            assert!(failures(source, 1, 3_000) <= 3, "{source}");
            // At most 1 in 1,000,000: one of 3000 has a probability of 3e-3.
            assert_eq!(failures(source, 2, 3_000), 0, "{source}");
        }
    }

    #[test]
    fn fresh_rows_repair_what_the_first_ones_could_not() {
        let (mut encoder, mut decoder) = (code(10, 2).encoder::<()>(), code(10, 2).decoder::<()>());
        for esi in 0..10 {
            encoder.push_source(Time::ZERO, &meta(esi), &());
        }
        for esi in 0..5 {
            decoder.push_source(Time::ZERO, esi, &());
        }
        let mut fresh: Vec<_> = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).collect();
        let mut recovered = 0;
        for _ in 0..3 {
            for Repair { header, symbol } in fresh.drain(..) {
                decoder.push_repair(Time::ZERO, &header, &symbol).unwrap();
            }
            let events = std::iter::from_fn(|| decoder.poll_event());
            recovered += events.filter(|event| matches!(event, DecodeEvent::Recovered { .. })).count();
            for (range, missing) in decoder.deficit() {
                fresh.extend(encoder.request_repair(Time::ZERO, range, missing));
            }
        }
        assert_eq!(recovered, 5);
        assert_eq!(decoder.deficit(), []);
    }

    #[test]
    fn symbols_of_different_lengths_come_back_with_zeros_behind_them() {
        let symbol = |esi: u32| Bytes::from(vec![esi as u8 + 1; 40 * (esi as usize + 1)]);
        let wire = encode(&mut code(4, 4).encoder(), 4, symbol);
        let repairs = wire.iter().filter(|packet| matches!(packet, Wire::Repair(_)));
        let (known, _) = decode(&mut code(4, 4).decoder(), repairs.chain(&wire[..1]));
        for esi in 0..4 {
            let (contents, zeros) = known[&esi].split_at(symbol(esi).len());
            assert_eq!(contents, symbol(esi));
            assert!(zeros.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(RaptorQ::per_packets(0, 1, None).is_err() && RaptorQ::per_packets(1, 0, None).is_err());
        assert!(RaptorQ::per_packets(1025, 1, None).is_err() && RaptorQ::per_packets(1, 1025, None).is_err());
        assert!(RaptorQ::per_frame(0, 0).is_err() && RaptorQ::per_frame(401, 0).is_err());
        assert!(RaptorQ::per_frame(0, 101).is_err());
    }
}
