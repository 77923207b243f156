//! The sender's half of codes with sliding windows: the source packets that repair packets can still
//! be made of, and the making of them. When, and over which window, is what tells one code from
//! another, and not decided here.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use bytes::Bytes;

use super::Rule;
use crate::fec::{Repair, RepairHeader, Symbol};

/// The store of source packets.
#[derive(Debug)]
pub(in crate::fec) struct WindowEncoder<S, R> {
    rule: R,
    /// The most source packets that are held; beyond it the oldest one goes.
    held_max: usize,
    /// The ESI of the oldest source packet that is held.
    first: u32,
    symbols: VecDeque<S>,
    /// The next repair key (RFC 8681, section 4.1.3: it starts again from 0 behind 65,535).
    key: u16,
}

impl<S: Symbol, R: Rule> WindowEncoder<S, R> {
    /// A store that holds at most `held_max` source packets (at least 1).
    pub(in crate::fec) const fn new(rule: R, held_max: usize) -> Self {
        Self { rule, held_max, first: 0, symbols: VecDeque::new(), key: 0 }
    }

    /// Takes the next source packet. Where its ESI does not follow the last one's, what is held goes.
    pub(in crate::fec) fn push(&mut self, esi: u32, symbol: S) {
        if esi != self.held().end {
            self.symbols.clear();
            self.first = esi;
        }
        self.symbols.push_back(symbol);
        if self.symbols.len() > self.held_max {
            self.advance(self.first + 1);
        }
    }

    /// Lets the source packets below `first` go.
    pub(in crate::fec) fn advance(&mut self, first: u32) {
        let gone = first.saturating_sub(self.first).min(self.symbols.len() as u32);
        self.symbols.drain(..gone as usize);
        self.first += gone;
    }

    /// The ESIs of the source packets that are held.
    pub(in crate::fec) fn held(&self) -> Range<u32> {
        self.first..self.first.wrapping_add(self.symbols.len() as u32)
    }

    /// A repair packet over the `count` source packets from `first` on, with a fresh key; `parameter`
    /// is what the rule wants to know. None where not all of them are held, or `count` is 0.
    pub(in crate::fec) fn repair(&mut self, first: u32, count: u16, parameter: u8) -> Option<Repair<S>> {
        let from = first.checked_sub(self.first)? as usize;
        let to = from + usize::from(count);
        if count == 0 || to > self.symbols.len() {
            return None;
        }
        let header = RepairHeader { first, count, row: self.key, parameter };
        self.key = self.key.wrapping_add(1);
        let symbol = self.combine(&header, from..to);
        Some(Repair { header, symbol })
    }

    /// Fresh repair packets for a receiver that asks for `count` of them over `range`: that many over what
    /// is still held of it, and over each part of it where it is longer than `reach`. `parameter` says
    /// what the rule wants to know of a window of so many packets.
    pub(in crate::fec) fn answer(
        &mut self,
        range: RangeInclusive<u32>,
        count: u16,
        reach: u16,
        parameter: impl Fn(u16) -> u8,
    ) -> Vec<Repair<S>> {
        let held = self.held();
        let (mut from, to) = (held.start.max(*range.start()), held.end.min(range.end().saturating_add(1)));
        let mut fresh = Vec::new();
        while from < to {
            let sources = (to - from).min(u32::from(reach)) as u16;
            for _ in 0..count.min(sources) {
                fresh.extend(self.repair(from, sources, parameter(sources)));
            }
            from += u32::from(sources);
        }
        fresh
    }

    fn combine(&self, header: &RepairHeader, places: Range<usize>) -> S {
        let mut coefficients = Vec::new();
        let mut terms = Vec::new();
        if S::CONTENTS {
            let all = self.rule.coefficients(header).zip(self.symbols.range(places));
            (coefficients, terms) = all.filter(|(coefficient, _)| *coefficient != 0).unzip();
        }
        if terms.is_empty() {
            return S::from_bytes(Bytes::new());
        }
        S::combine(&coefficients, &terms).swap_remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::RandomLinear;
    use super::*;
    use crate::fec::tinymt32;

    fn encoder(held_max: usize) -> WindowEncoder<Bytes, RandomLinear> {
        let mut encoder = WindowEncoder::new(RandomLinear, held_max);
        (0..10).for_each(|esi| encoder.push(esi, Bytes::from(vec![esi as u8; 3])));
        encoder
    }

    #[test]
    fn only_packets_that_are_held_are_combined() {
        let mut encoder = encoder(4);
        assert_eq!(encoder.held(), 6..10);
        assert_eq!(encoder.repair(5, 2, 15), None);
        assert_eq!(encoder.repair(9, 2, 15), None);
        assert_eq!(encoder.repair(6, 0, 15), None);
        assert!(encoder.repair(6, 4, 15).is_some() && encoder.repair(9, 1, 15).is_some());
        encoder.advance(8);
        assert_eq!((encoder.held(), encoder.repair(7, 2, 15)), (8..10, None));
        encoder.advance(100);
        assert_eq!(encoder.held(), 10..10);
        encoder.push(10, Bytes::new());
        assert_eq!(encoder.held(), 10..11);
        encoder.push(20, Bytes::new());
        assert_eq!(encoder.held(), 20..21, "a gap ends what came before");
    }

    #[test]
    fn every_repair_packet_has_a_fresh_key_and_the_coefficients_of_it() {
        let mut encoder = encoder(10);
        for key in 0..3 {
            let repair = encoder.repair(1, 2, 15).unwrap();
            assert_eq!(repair.header, RepairHeader { first: 1, count: 2, row: key, parameter: 15 });
            let factors: Vec<u8> = tinymt32::coefficients(key, 15).take(2).collect();
            let expected = crate::fec::gf256::mul(factors[1], 2) ^ factors[0];
            assert_eq!(repair.symbol[..], [expected; 3]);
        }
    }

    #[test]
    fn a_request_is_answered_over_what_is_held_in_parts_that_a_window_may_have() {
        let mut encoder = encoder(8);
        let mut answer = |range, count| -> Vec<(u32, u16)> {
            let fresh = encoder.answer(range, count, 5, |_| 15);
            fresh.iter().map(|repair| (repair.header.first, repair.header.count)).collect()
        };
        assert_eq!(answer(3..=6, 2), [(3, 4), (3, 4)]);
        assert_eq!(answer(0..=4, 9), [(2, 3), (2, 3), (2, 3)], "more than packets are of no use");
        assert_eq!(answer(0..=u32::MAX, 1), [(2, 5), (7, 3)]);
        assert_eq!(answer(0..=1, 1), []);
        assert_eq!(answer(10..=20, 1), []);
    }

    #[test]
    fn a_repair_packet_may_have_no_coefficient_but_zeros() {
        let mut encoder = encoder(10);
        let all = std::iter::from_fn(|| encoder.repair(0, 1, 0)).take(50);
        let zeros = all.filter(|repair| repair.symbol.iter().all(|&byte| byte == 0)).count();
        // The contents of packet 0 are zeros, so all of them are, with a coefficient or without.
        assert_eq!(zeros, 50);
        let all = std::iter::from_fn(|| encoder.repair(1, 1, 0)).take(50);
        let zeros = all.filter(|repair| repair.symbol.iter().all(|&byte| byte == 0)).count();
        assert!((30..50).contains(&zeros), "one of 16 has a coefficient: {zeros}");
    }
}
