//! Codes. Their own constructors know their limits.

use super::Lower;
use crate::fec::adaptive::Adaptive;
use crate::fec::loss_tolerant::LossTolerant;
use crate::fec::raptorq::RaptorQ;
use crate::fec::red::Red;
use crate::fec::reed_solomon::{Partial, PerFrame, PerPackets};
use crate::fec::repeat::Repeat;
use crate::fec::rlc::Rlc;
use crate::fec::streaming::Streaming;
use crate::fec::unequal::Unequal;
use crate::fec::xor::Xor;
use crate::fec::xor_2d::{Layout, Xor2d};
use crate::fec::{InvalidScheme, Scheme};
use crate::scenario::file::contender::{self as written, Fec, MatrixLayout, ReedSolomon};
use crate::scenario::place::At;
use crate::scenario::problem::Problem;
use crate::time::Duration;

impl Lower<'_> {
    /// The code; its own constructors know its limits.
    pub(super) fn scheme(&mut self, fec: &Fec) -> Scheme {
        let (scheme, span) = match fec {
            Fec::None => return Scheme::None,
            Fec::Repeat(repeat) => (
                Repeat::new(repeat.copies.value, repeat.spacing.value).map(Scheme::Repeat),
                repeat.copies.span(),
            ),
            Fec::Xor(xor) => {
                let flush = Some(Duration::from_millis(8));
                let code = match xor.interleave.value {
                    1 => Xor::row(xor.source.value, flush),
                    columns => Xor::interleaved(columns, xor.source.value, flush),
                };
                (code.map(Scheme::Xor), xor.source.span())
            }
            Fec::Xor2d(xor) => {
                let layout = match xor.layout {
                    MatrixLayout::Even => Layout::Even,
                    MatrixLayout::Staircase => Layout::Staircase,
                };
                let code = Xor2d::new(xor.columns.value, xor.rows.value, layout, xor.pause.value.after());
                (code.map(Scheme::Xor2d), xor.columns.span())
            }
            Fec::Adaptive(code) => (Adaptive::new(code.worth.value).map(Scheme::Adaptive), code.worth.span()),
            Fec::ReedSolomon(code) => match (&code.source, &code.repair, &code.per_frame) {
                (Some(source), Some(repair), _) => {
                    let block = per_packets(code, source.value, repair.value);
                    (block.map(Scheme::ReedSolomon), source.span())
                }
                (_, _, Some(frame)) => {
                    (per_frame(frame).map(Scheme::ReedSolomonPerFrame), frame.percent.span())
                }
                _ => return Scheme::None,
            },
            Fec::Red(red) => (Red::new(red.depth.value).map(Scheme::Red), red.depth.span()),
            Fec::Raptorq(code) => match (&code.source, &code.repair, &code.per_frame) {
                (Some(source), Some(repair), _) => (
                    RaptorQ::per_packets(source.value, repair.value, code.flush_after().after())
                        .map(Scheme::RaptorQ),
                    source.span(),
                ),
                (_, _, Some(per_frame)) => (
                    RaptorQ::per_frame(per_frame.percent.value, per_frame.minimum.value).map(Scheme::RaptorQ),
                    per_frame.percent.span(),
                ),
                _ => return Scheme::None,
            },
            Fec::WebRtc => return Scheme::WebRtc,
            Fec::LossTolerant(written) => {
                return Scheme::LossTolerant(LossTolerant {
                    loss: written.loss.value,
                    round_trip: written.round_trip.value,
                    rate: written.rate.value,
                });
            }
            Fec::Rlc(code) => match rlc(code) {
                Some(rlc) => (rlc.map(Scheme::Rlc), code.window.span()),
                None => return Scheme::None,
            },
            Fec::Streaming(code) => (
                Streaming::new(code.delay.value, code.percent.value, code.minimum.value)
                    .map(Scheme::Streaming),
                code.percent.span(),
            ),
            Fec::Unequal(classes) => return self.unequal(classes),
        };
        scheme.unwrap_or_else(|invalid| {
            self.problems.push(Problem::at(span, "no such code").label(invalid.to_string()));
            Scheme::None
        })
    }

    /// The code of each class; one that is not named has that of the class below it.
    fn unequal(&mut self, classes: &written::Unequal) -> Scheme {
        let mut below = Scheme::None;
        let codes = [&classes.delta, &classes.key, &classes.input].map(|class| {
            if let Some(fec) = class {
                below = self.scheme(&fec.value);
            }
            below.clone()
        });
        let [delta, key, input] = codes;
        Unequal::new(delta, key, input).map_or_else(
            |nested| {
                let span = [&classes.delta, &classes.key, &classes.input].into_iter().flatten().next();
                let problem = Problem::at(span.and_then(At::span), "no such code");
                self.problems.push(problem.label(nested.to_string()));
                Scheme::None
            },
            Scheme::Unequal,
        )
    }
}

fn per_packets(code: &ReedSolomon, source: u32, repair: u32) -> Result<PerPackets, InvalidScheme> {
    let partial = match code.partial {
        None | Some(written::Partial::Proportional) => Partial::Proportional,
        Some(written::Partial::None) => Partial::Unprotected,
    };
    let interleave = code.interleave.as_ref().map_or(1, |blocks| blocks.value);
    let block = PerPackets::new(source, repair, code.flush_after().after())?;
    Ok(block.interleaved(interleave)?.with_partial(partial))
}

/// The window code; none where nothing says how many repair packets it has.
fn rlc(code: &written::Rlc) -> Option<Result<Rlc, InvalidScheme>> {
    let (source, repair) = match (&code.step, &code.code_rate) {
        (Some(step), _) => (step.value, 1),
        (None, Some(rate)) => {
            let source = (rate.value * 10_000.0).round() as u32;
            (source, 10_000_u32.saturating_sub(source))
        }
        (None, None) => return None,
    };
    Some(Rlc::new(code.window.value, source, repair, code.density.value))
}

fn per_frame(frame: &written::PerFrame) -> Result<PerFrame, InvalidScheme> {
    let code = PerFrame::new(frame.percent.value, frame.minimum.value)?;
    frame.blocks.as_ref().map_or(Ok(code), |most| code.at_most(most.value))
}
