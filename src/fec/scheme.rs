//! The family of codes as plain data: which code, with which parameters.

use std::fmt;
use std::ops::RangeInclusive;

use super::adaptive::Adaptive;
use super::loss_tolerant::LossTolerant;
use super::own::Own;
use super::raptorq::RaptorQ;
use super::red::Red;
use super::reed_solomon::{Partial, PerFrame, PerPackets};
use super::repeat::Repeat;
use super::rlc::Rlc;
use super::streaming::Streaming;
use super::unequal::Unequal;
use super::xor::Xor;
use super::xor_2d::{Layout, Xor2d};
use super::{Decoder, Encoder, Symbol, none, webrtc};
use crate::time::Duration;

/// A code and its parameters. Both ends of a session have the same one.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheme {
    /// No error correction.
    None,
    /// Every packet again.
    Repeat(Repeat),
    /// Every packet again in the packets behind it.
    Red(Red),
    /// Parity over rows, or over columns of a matrix.
    Xor(Xor),
    /// Parity over rows and columns of a matrix.
    Xor2d(Xor2d),
    /// Reed–Solomon blocks of a number of packets.
    ReedSolomon(PerPackets),
    /// Reed–Solomon blocks by frame.
    ReedSolomonPerFrame(PerFrame),
    /// Random linear combinations over a sliding window.
    Rlc(Rlc),
    /// As much redundancy as is worth its bytes.
    Adaptive(Adaptive),
    /// A streaming code over several frames.
    Streaming(Streaming),
    /// Reed–Solomon blocks by frame, as much as WebRTC's rules say.
    WebRtc,
    /// Reed–Solomon blocks by frame where a link is lossy, long and fast.
    LossTolerant(LossTolerant),
    /// RaptorQ blocks of a number of packets or by frame.
    RaptorQ(RaptorQ),
    /// A code of its own for each class of packets.
    Unequal(Unequal),
    /// A code from outside this crate.
    Own(Own),
}

/// Why a scheme cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} must be {expected}, not {got}", expected = Range(expected))]
pub struct InvalidScheme {
    /// The parameter, or the sum or product of parameters, that is out of its range.
    pub parameter: &'static str,
    /// What it may be.
    pub expected: RangeInclusive<u32>,
    /// What it is.
    pub got: u32,
}

impl Scheme {
    /// Whether the code has halves for this type of symbol: all here have, those from outside perhaps
    /// only for real contents. One that has none does nothing.
    pub fn supports<S: Symbol>(&self) -> bool {
        match self {
            Self::Unequal(unequal) => unequal.supports::<S>(),
            Self::Own(Own(code)) => S::halves(&**code).is_some(),
            _ => true,
        }
    }

    /// The sender's half.
    pub fn encoder<S: Symbol>(&self) -> Box<dyn Encoder<S>> {
        match self {
            Self::None => Box::new(none::None),
            Self::Repeat(repeat) => Box::new(repeat.encoder()),
            Self::Red(red) => Box::new(red.encoder()),
            Self::Xor(xor) => Box::new(xor.encoder()),
            Self::Xor2d(xor) => Box::new(xor.encoder()),
            Self::ReedSolomon(per_packets) => Box::new(per_packets.encoder()),
            Self::ReedSolomonPerFrame(per_frame) => Box::new(per_frame.encoder()),
            Self::Rlc(rlc) => Box::new(rlc.encoder()),
            Self::Adaptive(adaptive) => Box::new(adaptive.encoder()),
            Self::Streaming(streaming) => Box::new(streaming.encoder()),
            Self::WebRtc => Box::new(webrtc::encoder()),
            Self::LossTolerant(thresholds) => Box::new(thresholds.encoder()),
            Self::RaptorQ(raptorq) => Box::new(raptorq.encoder()),
            Self::Unequal(unequal) => Box::new(unequal.encoder()),
            Self::Own(Own(code)) => {
                S::halves(&**code).map_or_else(|| Box::new(none::None) as _, |both| both.0)
            }
        }
    }

    /// The receiver's half.
    pub fn decoder<S: Symbol>(&self) -> Box<dyn Decoder<S>> {
        match self {
            Self::None => Box::new(none::None),
            Self::Repeat(repeat) => Box::new(repeat.decoder()),
            Self::Red(red) => Box::new(red.decoder()),
            Self::Xor(xor) => Box::new(xor.decoder()),
            Self::Xor2d(xor) => Box::new(xor.decoder()),
            Self::ReedSolomon(per_packets) => Box::new(per_packets.decoder()),
            Self::ReedSolomonPerFrame(per_frame) => Box::new(per_frame.decoder()),
            Self::Rlc(rlc) => Box::new(rlc.decoder()),
            Self::Adaptive(adaptive) => Box::new(adaptive.decoder()),
            Self::Streaming(streaming) => Box::new(streaming.decoder()),
            Self::WebRtc => Box::new(webrtc::decoder()),
            Self::LossTolerant(thresholds) => Box::new(thresholds.decoder()),
            Self::RaptorQ(raptorq) => Box::new(raptorq.decoder()),
            Self::Unequal(unequal) => Box::new(unequal.decoder()),
            Self::Own(Own(code)) => {
                S::halves(&**code).map_or_else(|| Box::new(none::None) as _, |both| both.1)
            }
        }
    }

    /// Members of the whole family, with the parameters that people use and those at the edges: what
    /// conformance tests and benches walk.
    pub fn all() -> Vec<Self> {
        // UDPspeeder's default timeout.
        let flush = Some(Duration::from_millis(8));
        let repeats = [(1, 0), (1, 4), (2, 3)].map(|(copies, spacing)| Repeat::new(copies, spacing));
        let reds = [1, 2, 4].map(Red::new);
        let xors = [
            Xor::row(1, flush),
            Xor::row(10, flush),
            Xor::interleaved(4, 4, flush),
            Xor::interleaved(10, 5, None),
        ];
        let xors_2d = [
            Xor2d::new(10, 5, Layout::Even, None),
            Xor2d::new(10, 5, Layout::Staircase, None),
            Xor2d::new(4, 4, Layout::Staircase, flush),
            Xor2d::new(2, 2, Layout::Even, flush),
        ];
        let blocks = [(1, 1), (4, 1), (10, 3), (20, 4), (32, 8), (50, 10), (3, 252)];
        let per_packets = blocks.map(|(source, repair)| PerPackets::new(source, repair, flush));
        let full_only = |block: PerPackets| block.with_partial(Partial::Unprotected);
        let changed = [
            PerPackets::new(10, 3, flush).map(full_only),
            PerPackets::new(4, 1, flush).and_then(|block| block.interleaved(4)),
            PerPackets::new(10, 3, None).and_then(|block| block.interleaved(3)),
        ];
        let per_frames = [(20, 2), (50, 0), (0, 1), (255, 127)];
        let per_frames = per_frames.map(|(percent, minimum)| PerFrame::new(percent, minimum));
        let limited = PerFrame::new(255, 0).and_then(|frame| frame.at_most(1));
        let raptorqs = [
            RaptorQ::per_packets(1, 4, flush),
            RaptorQ::per_packets(10, 3, flush),
            // The defaults of GStreamer's raptorqenc.
            RaptorQ::per_packets(25, 5, Some(Duration::from_millis(50))),
            RaptorQ::per_frame(50, 4),
            RaptorQ::per_frame(0, 1),
        ];
        // Short, long and sparse windows, the code rate of kcp-go, a window shorter than the step.
        let rlcs =
            [(16, 4, 1, 15), (64, 10, 3, 15), (255, 20, 1, 15), (64, 4, 1, 7), (1, 1, 2, 15), (2, 5, 1, 15)];
        let rlcs = rlcs.map(|(window, source, repair, density)| Rlc::new(window, source, repair, density));
        let streamings = [(3, 50, 1), (1, 20, 0), (0, 0, 1), (8, 255, 127)];
        let streamings = streamings.map(|(delay, percent, minimum)| Streaming::new(delay, percent, minimum));
        let always = [Self::None, Self::Adaptive(Adaptive::default())];
        let equal: Vec<Self> = always
            .into_iter()
            .chain(repeats.into_iter().flatten().map(Self::Repeat))
            .chain(reds.into_iter().flatten().map(Self::Red))
            .chain(xors.into_iter().flatten().map(Self::Xor))
            .chain(xors_2d.into_iter().flatten().map(Self::Xor2d))
            .chain(per_packets.into_iter().chain(changed).flatten().map(Self::ReedSolomon))
            .chain(per_frames.into_iter().chain([limited]).flatten().map(Self::ReedSolomonPerFrame))
            .chain(rlcs.into_iter().flatten().map(Self::Rlc))
            .chain(streamings.into_iter().flatten().map(Self::Streaming))
            .chain([Self::WebRtc, Self::LossTolerant(LossTolerant::default())])
            .chain(raptorqs.into_iter().flatten().map(Self::RaptorQ))
            .collect();
        let of = |name: &str| equal.iter().find(|scheme| scheme.to_string() == name).cloned();
        let classes = [
            ["none", "reed-solomon 10+3", "repeat 1 after 4"],
            ["xor 10", "reed-solomon 50 % of a frame, at least 0", "red 2"],
            ["xor 4x4", "raptorq 10+3", "none"],
        ];
        let unequals = classes.map(|codes| {
            let [delta, key, input] = codes.map(|name| of(name).expect("it is listed above"));
            Unequal::new(delta, key, input).map(Self::Unequal)
        });
        equal.iter().cloned().chain(unequals.into_iter().flatten()).collect()
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Repeat(repeat) => write!(f, "repeat {} after {}", repeat.copies(), repeat.spacing()),
            Self::Red(red) => write!(f, "red {}", red.depth()),
            Self::Xor(xor) if xor.columns() == 1 => write!(f, "xor {}", xor.rows()),
            Self::Xor(xor) => write!(f, "xor {}x{}", xor.columns(), xor.rows()),
            Self::Xor2d(xor) => {
                let layout = if xor.layout() == Layout::Even { "" } else { " staircase" };
                write!(f, "xor 2d {}x{}{layout}", xor.columns(), xor.rows())
            }
            Self::ReedSolomon(block) => {
                write!(f, "reed-solomon {}+{}", block.source(), block.repair())?;
                if block.interleave() > 1 {
                    write!(f, " interleaved {}", block.interleave())?;
                }
                f.write_str(if block.partial() == Partial::Unprotected { ", full blocks only" } else { "" })
            }
            Self::ReedSolomonPerFrame(frame) => {
                write!(f, "reed-solomon {} % of a frame, at least {}", frame.percent(), frame.minimum())?;
                frame.blocks().map_or(Ok(()), |most| write!(f, ", at most {most} blocks"))
            }
            Self::WebRtc => f.write_str("webrtc"),
            Self::LossTolerant(_) => f.write_str("loss-tolerant"),
            Self::RaptorQ(raptorq) => raptorq.fmt(f),
            Self::Unequal(unequal) => unequal.fmt(f),
            Self::Rlc(rlc) => {
                write!(f, "rlc {}, {} per {}", rlc.window(), rlc.repair(), rlc.source())?;
                if rlc.density() < 15 { write!(f, ", density {}", rlc.density()) } else { Ok(()) }
            }
            Self::Adaptive(adaptive) => write!(f, "adaptive, {} a frame", adaptive.worth()),
            Self::Streaming(code) => {
                let (delay, percent, minimum) = (code.delay(), code.percent(), code.minimum());
                write!(f, "streaming {percent} % over {delay} frames, at least {minimum}")
            }
            Self::Own(Own(code)) => f.write_str(&code.name()),
        }
    }
}

/// `got`, where it is a value that `parameter` may have.
pub(super) fn within(
    parameter: &'static str,
    got: u32,
    expected: RangeInclusive<u32>,
) -> Result<u32, InvalidScheme> {
    if expected.contains(&got) { Ok(got) } else { Err(InvalidScheme { parameter, expected, got }) }
}

/// A range in words.
struct Range<'a>(&'a RangeInclusive<u32>);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self.0.start(), *self.0.end()) {
            (start, u32::MAX) => write!(f, "at least {start}"),
            (start, end) => write!(f, "{start} to {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_scheme_says_what_would_be_right() {
        let error = PerPackets::new(250, 6, None).unwrap_err();
        assert_eq!(error.to_string(), "source plus repair must be 2 to 255, not 256");
        let error = PerFrame::new(0, 0).unwrap_err();
        assert_eq!(error.to_string(), "percent plus minimum must be at least 1, not 0");
        assert_eq!(Xor::row(0, None).unwrap_err().to_string(), "source must be 1 to 254, not 0");
    }

    #[test]
    fn the_family_has_no_member_twice_and_every_member_a_name_of_its_own() {
        let all = Scheme::all();
        assert_eq!(all.len(), 2 + 3 + 3 + 4 + 4 + 10 + 5 + 6 + 4 + 2 + 5 + 3);
        let names: std::collections::BTreeSet<String> = all.iter().map(Scheme::to_string).collect();
        assert_eq!(names.len(), all.len());
    }
}
