//! Every scheme through the contract of codes, over source packets of 1200 bytes, in bytes of source per
//! second, beside copying the same bytes.
//!
//! `encode` computes all repair packets; `decode` recovers as many losses as each block can bear;
//! `loss-free` is a receiver with nothing to repair; `sweep` is sender and receiver without contents at
//! 5 % loss, in packets.

use std::collections::BTreeSet;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use framehawk_sim::fec::{Decoder, Encoder, Repair, Scheme, SourceMeta, Symbol, unit};
use framehawk_sim::frame::{FrameId, Priority};
use framehawk_sim::rng::Seed;
use framehawk_sim::time::Time;
use framehawk_sim::units::Probability;

/// Bytes of a source packet's contents.
const CONTENTS: usize = 1_200;

pub(crate) fn codes(criterion: &mut Criterion) {
    for scheme in Scheme::all() {
        let sources = round(&scheme);
        let symbols: Vec<Bytes> = (0..sources).map(|esi| unit::seal(&[&[esi as u8; CONTENTS]])).collect();
        let mut group = criterion.benchmark_group(scheme.to_string());
        group.throughput(Throughput::Bytes(u64::from(sources) * CONTENTS as u64));

        group.bench_function(BenchmarkId::from_parameter("memcpy"), |bencher| {
            let mut copies = vec![vec![0; CONTENTS + unit::OVERHEAD]; symbols.len()];
            bencher.iter(|| {
                for (copy, symbol) in copies.iter_mut().zip(black_box(&symbols)) {
                    copy.copy_from_slice(symbol);
                    black_box(copy);
                }
            });
        });
        group.bench_function(BenchmarkId::from_parameter("encode"), |bencher| {
            let (mut encoder, mut first) = (scheme.encoder(), 0);
            bencher.iter(|| {
                encode(&mut *encoder, first, &symbols, |repair| {
                    black_box(repair);
                });
                first += sources;
            });
        });
        let mut repairs = Vec::new();
        encode(&mut *scheme.encoder(), 0, &symbols, |repair| repairs.push(repair));
        for (name, lost) in [("decode", losses(&scheme, &repairs)), ("loss-free", BTreeSet::new())] {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                let (mut decoder, mut first) = (scheme.decoder(), 0);
                bencher.iter(|| {
                    decode(&mut *decoder, first, &symbols, &repairs, &lost);
                    first += sources;
                });
            });
        }
        group.finish();
    }
}

pub(crate) fn sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    let loss = Seed(1).stream("loss");
    let chance = Probability::new(0.05).expect("a share");
    for scheme in Scheme::all() {
        let sources = round(&scheme);
        let symbols = vec![(); sources as usize];
        group.throughput(Throughput::Elements(u64::from(sources)));
        group.bench_function(BenchmarkId::from_parameter(&scheme), |bencher| {
            let (mut encoder, mut decoder) = (scheme.encoder(), scheme.decoder());
            let (mut first, mut repairs) = (0, Vec::new());
            bencher.iter(|| {
                encode(&mut *encoder, first, &symbols, |mut repair| {
                    repair.header.first -= first;
                    if !loss.chance(u64::from(first) << 8 | repairs.len() as u64, chance) {
                        repairs.push(repair);
                    }
                });
                let is_lost = |&esi: &u32| loss.chance(1 << 50 | u64::from(first + esi), chance);
                let lost = (0..sources).filter(is_lost).collect();
                decode(&mut *decoder, first, &symbols, &repairs, &lost);
                repairs.clear();
                first += sources;
            });
        });
    }
    group.finish();
}

/// How many source packets fill the blocks of a scheme once.
fn round(scheme: &Scheme) -> u32 {
    match scheme {
        Scheme::Xor(xor) => u32::from(xor.columns()) * u32::from(xor.rows()),
        Scheme::Xor2d(xor) => u32::from(xor.columns()) * u32::from(xor.rows()),
        Scheme::ReedSolomon(block) => u32::from(block.source()) * u32::from(block.interleave()),
        _ => 20,
    }
}

/// Sends a round of source packets from the ESI `first` on.
fn encode<S: Symbol>(
    encoder: &mut dyn Encoder<S>,
    first: u32,
    symbols: &[S],
    mut each: impl FnMut(Repair<S>),
) {
    for (esi, symbol) in (first..).zip(symbols) {
        let meta = SourceMeta {
            esi,
            frame: FrameId(first),
            frame_end: esi + 1 == first + symbols.len() as u32,
            priority: Priority::Delta,
            deadline: Time::NEVER,
            size: 1200,
        };
        black_box(encoder.push_source(Time::ZERO, &meta, symbol));
        while let Some(repair) = encoder.poll_repair(Time::ZERO) {
            each(repair);
        }
    }
}

/// Receives a round of packets, whose repair packets are those of the first round.
fn decode<S: Symbol>(
    decoder: &mut dyn Decoder<S>,
    first: u32,
    symbols: &[S],
    repairs: &[Repair<S>],
    lost: &BTreeSet<u32>,
) {
    for (esi, symbol) in (0..).zip(symbols) {
        if !lost.contains(&esi) {
            decoder.push_source(Time::ZERO, first + esi, symbol);
        }
    }
    for Repair { header, symbol } in repairs {
        let mut header = *header;
        // Copies that belong to an earlier round come below it.
        header.first = header.first.wrapping_add(first);
        black_box(decoder.push_repair(Time::ZERO, &header, symbol)).ok();
    }
    while let Some(event) = decoder.poll_event() {
        black_box(event);
    }
    decoder.expire(first + symbols.len() as u32);
}

/// The first source packets of each block, as many as the code can bear to lose.
fn losses(scheme: &Scheme, repairs: &[Repair<Bytes>]) -> BTreeSet<u32> {
    let stride = match scheme {
        Scheme::Xor(xor) => usize::from(xor.columns()),
        Scheme::ReedSolomon(block) => usize::from(block.interleave()),
        _ => 1,
    };
    let headers = repairs.iter().map(|repair| repair.header).filter(|header| header.row == 0);
    headers
        .flat_map(|header| {
            let members = (header.first..header.first + u32::from(header.count)).step_by(stride);
            members.take(usize::from(header.parameter))
        })
        .collect()
}
