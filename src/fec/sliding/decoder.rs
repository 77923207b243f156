//! The receiver's half of codes with sliding windows.
//!
//! A repair packet whose window has no hole is settled without touching its symbol. One that has is a
//! row of the linear [system](super::system), and whatever that determines is recovered at once: a single
//! loss by the next repair packet over it. Packets that were given up stay unknowns as long as a window
//! with a wanted one may reach back to them (RFC 8681, appendix D: decoding beyond the maximum
//! latency), since knowing them, even late, helps to find the others.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::Rule;
use super::system::{Equation, System};
use crate::fec::sources::Sources;
use crate::fec::{DecodeEvent, Decoder, RepairHeader, Symbol};
use crate::record::{Malformed, RepairFate};
use crate::time::Time;

/// The most source packets that are unknowns at a time; beyond it the oldest are given up. It bounds
/// what a repair packet costs: a row is as long, and there are fewer of them.
const UNKNOWNS_MAX: usize = 1_024;

/// The most repair symbols that are held; beyond it rows are computed as far as they can be, so that
/// there are no more than rows.
const EQUATIONS_MAX: usize = 2 * UNKNOWNS_MAX;

/// The receiver's half.
#[derive(Debug)]
pub(in crate::fec) struct WindowDecoder<S, R> {
    rule: R,
    /// The most source packets that a window has.
    window_max: u32,
    /// See [`Decoder::moves_up`].
    moves_up: bool,
    sources: Sources<S>,
    system: System<S>,
    events: VecDeque<DecodeEvent<S>>,
}

impl<S: Symbol, R: Rule> Decoder<S> for WindowDecoder<S, R> {
    fn push_source(&mut self, _now: Time, esi: u32, symbol: &S) {
        if self.sources.insert(esi, symbol) && self.system.learn(esi) {
            self.recover();
        }
    }

    fn push_repair(&mut self, _now: Time, header: &RepairHeader, symbol: &S) -> Result<(), Malformed> {
        let window = self.window(header)?;
        let unknowns = self.unknowns(header, window.clone());
        if unknowns.is_empty() {
            self.settle(1, RepairFate::Unneeded);
        } else if header.first < self.sources.kept_from() || !self.helps(&unknowns) {
            self.settle(1, RepairFate::Late);
        } else if unknowns.len() > UNKNOWNS_MAX {
            self.settle(1, RepairFate::Insufficient);
        } else {
            self.add(header, symbol, &unknowns);
        }
        Ok(())
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<S>> {
        self.events.pop_front()
    }

    fn moves_up(&self) -> bool {
        self.moves_up
    }

    fn deficit(&self) -> Vec<(RangeInclusive<u32>, u16)> {
        self.system.deficits(self.sources.expired())
    }

    fn expire(&mut self, esi: u32) {
        let kept_from = esi.saturating_sub(self.window_max);
        let lost = match esi {
            u32::MAX => self.system.keep_bound(0),
            _ => self.system.give_up_below(kept_from),
        };
        self.settle(lost, RepairFate::Insufficient);
        self.system.detach(kept_from, &self.sources);
        self.sources.expire(esi);
    }
}

impl<S: Symbol, R: Rule> WindowDecoder<S, R> {
    /// A decoder for windows of at most `window_max` source packets.
    pub(in crate::fec) fn new(rule: R, window_max: u16) -> Self {
        let window_max = u32::from(window_max);
        Self {
            rule,
            window_max,
            moves_up: true,
            sources: Sources::new(window_max),
            system: System::new(),
            events: VecDeque::new(),
        }
    }

    /// The decoder for a sender whose windows go back and forth.
    pub(in crate::fec) fn coming_back(self) -> Self {
        Self { moves_up: false, ..self }
    }

    /// Reads a header: which packets the window has, or what cannot be.
    fn window(&self, header: &RepairHeader) -> Result<RangeInclusive<u32>, Malformed> {
        let reach = u32::from(header.count).checked_sub(1).ok_or(Malformed::InvalidField)?;
        if reach >= self.window_max || !self.rule.accepts(header) {
            return Err(Malformed::InvalidField);
        }
        let last = header.first.checked_add(reach).filter(|&last| self.sources.reaches(last));
        last.map(|last| header.first..=last).ok_or(Malformed::OutOfRange)
    }

    /// The missing packets of a window, with their coefficients. Most windows have none, and then no
    /// coefficient is drawn.
    fn unknowns(&self, header: &RepairHeader, window: RangeInclusive<u32>) -> Vec<(u32, u8)> {
        let mut missing = self.sources.missing(window.clone()).peekable();
        if missing.peek().is_none() {
            return Vec::new();
        }
        let mut coefficients = window.zip(self.rule.coefficients(header));
        missing
            .filter_map(|esi| coefficients.find(|(of, _)| *of == esi))
            .filter(|(_, coefficient)| *coefficient != 0)
            .collect()
    }

    /// Whether one of the unknowns is wanted, or others may follow from it.
    fn helps(&self, unknowns: &[(u32, u8)]) -> bool {
        unknowns.iter().any(|&(esi, _)| self.sources.wants(esi) || self.system.has(esi))
    }

    fn add(&mut self, header: &RepairHeader, symbol: &S, unknowns: &[(u32, u8)]) {
        let rule = self.rule;
        let news = self.system.add(unknowns, || Equation {
            first: header.first,
            coefficients: rule.coefficients(header).take(usize::from(header.count)).collect(),
            symbol: symbol.clone(),
        });
        if !news {
            self.settle(1, RepairFate::Unneeded);
            return;
        }
        self.recover();
        let lost = self.system.keep_bound(UNKNOWNS_MAX);
        self.settle(lost, RepairFate::Insufficient);
        if self.system.equations() > EQUATIONS_MAX {
            self.system.detach(u32::MAX, &self.sources);
        }
    }

    /// Takes what the system has determined. Each packet has cost one row, which is one repair packet.
    fn recover(&mut self) {
        let determined = self.system.take_determined(&self.sources);
        let used = determined.len();
        for (esi, symbol) in determined {
            let wanted = self.sources.wants(esi);
            self.sources.insert(esi, &symbol);
            if wanted {
                self.events.push_back(DecodeEvent::Recovered { esi, symbol });
            }
        }
        self.settle(used, RepairFate::Used);
    }

    fn settle(&mut self, count: usize, fate: RepairFate) {
        self.events.extend((0..count).map(|_| DecodeEvent::Settled(fate)));
    }
}

#[cfg(test)]
mod tests;
