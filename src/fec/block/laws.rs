//! What must hold of Reed–Solomon blocks of any size under any losses.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::fec::conformance::{decode, encode, meta};
use crate::fec::reed_solomon::{PerFrame, PerPackets};
use crate::fec::{DecodeEvent, Decoder, Encoder, Scheme, unit};
use crate::time::Time;

/// Contents of `length` bytes that no other packet has.
fn contents(esi: u32, length: usize) -> Bytes {
    (0..length).map(|place| (esi.wrapping_mul(31) ^ (place as u32).wrapping_mul(7)) as u8).collect()
}

/// Schemes of every way to cut blocks.
fn any_scheme() -> impl Strategy<Value = Scheme> {
    let sizes = (1_u32..40, 1_u32..12, 1_u32..6);
    prop_oneof![
        sizes.prop_map(|(source, repair, blocks)| {
            let code = PerPackets::new(source, repair, None).and_then(|code| code.interleaved(blocks));
            Scheme::ReedSolomon(code.unwrap())
        }),
        (0_u32..80, 1_u32..4).prop_map(|(percent, minimum)| {
            Scheme::ReedSolomonPerFrame(PerFrame::new(percent, minimum).unwrap())
        }),
    ]
}

/// The two ends of a session, and what the receiver knows.
struct Pair {
    encoder: Box<dyn Encoder<Bytes>>,
    decoder: Box<dyn Decoder<Bytes>>,
    known: BTreeMap<u32, Bytes>,
}

impl Pair {
    /// After `count` source packets, of which those arrived that `arrives` names by their places on the
    /// wire, as did the repair packets.
    fn after(scheme: &Scheme, count: u32, mut arrives: impl FnMut(usize) -> bool) -> Self {
        let (mut encoder, decoder) = (scheme.encoder(), scheme.decoder());
        let wire = encode(&mut *encoder, count, |esi| unit::seal(&[&contents(esi, esi as usize % 23)]));
        let mut pair = Self { encoder, decoder, known: BTreeMap::new() };
        for (_, packet) in wire.into_iter().enumerate().filter(|(place, _)| arrives(*place)) {
            if let Some((esi, symbol)) = packet.source() {
                pair.decoder.push_source(Time::ZERO, esi, symbol);
                pair.known.insert(esi, symbol.clone());
            }
            for repair in packet.repairs() {
                pair.decoder.push_repair(Time::ZERO, &repair.header, &repair.symbol).unwrap();
            }
            pair.learn();
        }
        pair
    }

    fn learn(&mut self) {
        while let Some(event) = self.decoder.poll_event() {
            if let DecodeEvent::Recovered { esi, symbol } = event {
                assert_eq!(self.known.insert(esi, symbol), None, "{esi} was known already");
            }
        }
    }

    /// Asks for what is missing everywhere; says how many repair packets came.
    fn ask(&mut self, mut arrives: impl FnMut(usize) -> bool) -> usize {
        let mut fresh = Vec::new();
        for (range, count) in self.decoder.deficit() {
            fresh.extend(self.encoder.request_repair(Time::ZERO, range, count));
        }
        for (_, repair) in fresh.iter().enumerate().filter(|(place, _)| arrives(*place)) {
            self.decoder.push_repair(Time::ZERO, &repair.header, &repair.symbol).unwrap();
            self.learn();
        }
        fresh.len()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_k_of_up_to_255_packets_of_any_length_are_enough(
        (k, n) in (2_u32..=255).prop_flat_map(|n| (1..n, Just(n))),
        lengths in prop::collection::vec(0_usize..60, 255),
        order in Just((0..255_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let block = PerPackets::new(k, n - k, None).unwrap();
        let length = |esi: u32| lengths[esi as usize];
        let wire = encode(&mut block.encoder(), k, |esi| unit::seal(&[&contents(esi, length(esi))]));
        let arrivals = order.into_iter().filter(|&place| place < n as usize);
        let (known, _) = decode(&mut block.decoder(), arrivals.take(k as usize).map(|place| &wire[place]));
        for esi in 0..k {
            prop_assert_eq!(unit::open(&known[&esi]), Ok(contents(esi, length(esi))), "{} of {}", esi, k);
        }
    }

    #[test]
    fn fresh_repair_packets_complete_every_block_that_the_receiver_heard_of(
        scheme in any_scheme(),
        lost in prop::collection::vec(prop::bool::weighted(0.4), 1..97),
        lost_again in prop::collection::vec(any::<bool>(), 1..31),
    ) {
        let heard = |lost: &[bool], place: usize| !lost[place % lost.len()];
        let mut pair = Pair::after(&scheme, 120, |place| heard(&lost, place));
        // A part of the answers is lost too; what arrives is as good as any other repair packet.
        let before = pair.decoder.deficit().iter().map(|(_, count)| u32::from(*count)).sum::<u32>();
        pair.ask(|place| heard(&lost_again, place));
        let between = pair.decoder.deficit().iter().map(|(_, count)| u32::from(*count)).sum::<u32>();
        let arrived = (0..before as usize).filter(|&place| heard(&lost_again, place)).count();
        prop_assert_eq!(between as usize, before as usize - arrived, "{}", scheme);
        pair.ask(|_| true);
        prop_assert_eq!(pair.decoder.deficit(), [], "{}", scheme);
        for (&esi, symbol) in &pair.known {
            prop_assert_eq!(unit::open(symbol), Ok(contents(esi, esi as usize % 23)), "{}: {}", scheme, esi);
        }
    }
}

#[test]
fn a_block_without_repair_packets_of_its_own_still_has_fresh_ones() {
    let mut encoder = PerFrame::new(20, 0).unwrap().encoder();
    encoder.set_protection(0, 0);
    let symbol = |esi| unit::seal(&[&contents(esi, 9)]);
    // The first three frames have 1, 2 and 3 packets.
    for esi in 0..6 {
        encoder.push_source(Time::ZERO, &meta(esi), &symbol(esi));
    }
    assert_eq!(encoder.poll_repair(Time::ZERO), None);
    let fresh = encoder.request_repair(Time::ZERO, 3..=5, 2);
    assert_eq!(fresh.len(), 2);
    let mut decoder = PerFrame::new(20, 0).unwrap().decoder();
    decoder.push_source(Time::ZERO, 4, &symbol(4));
    for repair in fresh {
        assert_eq!(repair.header.parameter, 0);
        decoder.push_repair(Time::ZERO, &repair.header, &repair.symbol).unwrap();
    }
    let recovered = |event| matches!(event, DecodeEvent::Recovered { .. });
    assert_eq!(std::iter::from_fn(|| decoder.poll_event()).filter(|e| recovered(e.clone())).count(), 2);
}
