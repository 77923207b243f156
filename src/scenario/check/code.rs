//! The parameters of codes.

use super::Checker;
use crate::scenario::file::contender::{Fec, RaptorQ, ReedSolomon, Unequal};
use crate::scenario::place::At;
use crate::scenario::problem::Problem;
use crate::scenario::quantity::Flush;
use crate::time::Duration;
use crate::units::{Bitrate, ByteSize};

impl Checker<'_> {
    pub(super) fn fec(&mut self, fec: &Fec) {
        match fec {
            Fec::None => {}
            Fec::Repeat(repeat) => {
                self.number(&repeat.copies, 1..=4);
                self.number(&repeat.spacing, 0..=256);
            }
            Fec::Xor(xor) => {
                self.number(&xor.source, 1..=100);
                self.number(&xor.interleave, 1..=100);
            }
            Fec::Adaptive(code) => {
                self.written(&code.worth, ByteSize::new(1_000), ByteSize::new(100_000_000));
            }
            Fec::Xor2d(xor) => {
                self.number(&xor.columns, 2..=254);
                self.number(&xor.rows, 2..=254);
                self.product(&xor.columns, &xor.rows);
                self.flush(&xor.pause);
            }
            Fec::ReedSolomon(code) => match &code.per_frame {
                Some(frame) => {
                    self.number(&frame.percent, 0..=255);
                    self.number(&frame.minimum, 0..=100);
                    if let Some(blocks) = &frame.blocks {
                        self.number(blocks, 1..=4);
                    }
                }
                None => self.reed_solomon(code),
            },
            Fec::Red(red) => self.number(&red.depth, 1..=4),
            Fec::Raptorq(code) => self.raptorq(code),
            Fec::WebRtc => {}
            Fec::LossTolerant(thresholds) => {
                self.float(thresholds.loss.get(), &thresholds.loss, f64::MIN_POSITIVE..=1.0, "");
                self.written(&thresholds.round_trip, Duration::ZERO, Duration::from_secs(10));
                let most = Bitrate::from_bps(100_000_000_000);
                self.written(&thresholds.rate, Bitrate::from_bps(0), most);
            }
            Fec::Rlc(code) => {
                self.number(&code.window, 1..=1024);
                self.number(&code.density, 0..=15);
                code.step.iter().for_each(|step| self.number(step, 1..=10_000));
                code.code_rate.iter().for_each(|rate| self.float(rate.value, rate, 0.1..=0.999, ""));
            }
            Fec::Streaming(code) => {
                self.number(&code.delay, 0..=8);
                self.number(&code.percent, 0..=255);
                self.number(&code.minimum, 0..=100);
            }
            Fec::Unequal(classes) => self.unequal(classes),
        }
    }

    fn raptorq(&mut self, code: &RaptorQ) {
        if let Some(per_frame) = &code.per_frame {
            self.number(&per_frame.percent, 1..=400);
            self.number(&per_frame.minimum, 0..=100);
            return;
        }
        self.together(("source", &code.source), ("repair", &code.repair));
        code.source.iter().chain(&code.repair).for_each(|number| self.number(number, 1..=1024));
        code.flush.iter().for_each(|flush| self.flush(flush));
    }

    fn unequal(&mut self, classes: &Unequal) {
        let all = [&classes.delta, &classes.key, &classes.input];
        for class in all.into_iter().flatten() {
            if let Fec::Unequal(_) = *class.value {
                let problem = Problem::at(class.span(), "a class has no classes of its own");
                self.problems.push(problem.label("another code is needed here"));
            } else {
                self.fec(&class.value);
            }
        }
        if all.into_iter().all(Option::is_none) {
            let title = "unequal protection of no class";
            let help =
                "write for example `fec.unequal = { key = { reed-solomon = { source = 10, repair = 3 } } }`";
            self.problems.push(Problem::of_no_text(title).help(help));
        }
    }

    fn reed_solomon(&mut self, code: &ReedSolomon) {
        self.together(("source", &code.source), ("repair", &code.repair));
        if let Some((source, repair)) = code.source.as_ref().zip(code.repair.as_ref()) {
            self.number(source, 1..=254);
            self.number(repair, 1..=254);
            if source.value.saturating_add(repair.value) > 255 {
                let problem = Problem::at(repair.span(), "a block of this code has at most 255 packets");
                self.problems
                    .push(problem.label(format!("at most {}", 255_u32.saturating_sub(source.value))));
            }
            if let Some(interleave) = &code.interleave {
                self.number(interleave, 1..=255);
                self.product(interleave, source);
            }
        }
        if let Some(flush) = &code.flush {
            self.flush(flush);
        }
    }

    /// Source packets that wait together: as many as the sender remembers.
    fn product(&mut self, first: &At<u32>, second: &At<u32>) {
        let both = first.value.saturating_mul(second.value);
        if both > 4096 {
            let problem = Problem::at(first.span(), format!("{both} source packets are too many at once"));
            self.problems.push(problem.label(format!("at most {}", 4096 / second.value.max(1))));
        }
    }

    fn flush(&mut self, flush: &At<Flush>) {
        if let Flush::After(time) = flush.value {
            let at = At { value: time, span: flush.span.clone() };
            self.written(&at, Duration::from_nanos(1), Duration::from_secs(1));
        }
    }
}
