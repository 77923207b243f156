//! The block code beside copying, and beside other crates.
//!
//! About a megabyte of blocks is gone through in turn, as a stream would be. Encoding computes all repair
//! packets of a block; decoding recovers as many lost sources as there can be, at places that change so that
//! no code profits from having seen them before. Before it is timed, each code must give back what was
//! lost. All work on one thread.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use framehawk_sim::fec::gf256;
use framehawk_sim::rng::{Seed, below};

use crate::rivals::{Codec, Erasure, FecRs, Own, PACKET, RaptorQ, Simd};

/// Sources and repair packets of the blocks, and the most copies that encoding may cost with GFNI and AVX2.
const SIZES: [(usize, usize, f64, f64); 5] =
    [(4, 1, 2.0, 3.5), (10, 3, 2.5, 5.5), (20, 4, 3.2, 7.5), (32, 8, 6.5, 13.0), (50, 10, 8.0, 18.0)];

/// Bytes of blocks that are gone through in turn.
const WORKING_SET: usize = 1 << 20;

/// Patterns of loss that are gone through in turn: more than any of the crates remembers.
const PATTERNS: usize = 1 << 14;

/// Samples of each measurement.
const SAMPLES: usize = 40;

/// The time of a block, by block, work, and who does it.
#[derive(Debug, Default)]
pub(crate) struct Times(BTreeMap<(usize, usize, Work, String), Duration>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Copy,
    Encode,
    Decode,
}

/// Measures what the arguments of the run do not filter out.
pub(crate) fn measure(criterion: &mut Criterion) -> Times {
    let mut times = Times::default();
    for (source, repair, ..) in SIZES {
        let blocks = blocks(source);
        let patterns = patterns(source, source.min(repair));
        let mut group = criterion.benchmark_group(format!("blocks {source}+{repair}"));
        group.throughput(Throughput::Bytes((source * PACKET) as u64));
        group.sample_size(SAMPLES).measurement_time(Duration::from_millis(400));
        let mut time = |work: Work, who: &str, run: &mut dyn FnMut(usize)| {
            // Criterion starts each sample anew; the blocks and patterns go on.
            let (mut samples, mut turn) = (Vec::new(), 0);
            group.bench_function(BenchmarkId::new(format!("{work:?}").to_lowercase(), who), |bencher| {
                bencher.iter_custom(|rounds| {
                    let elapsed = timed(|| {
                        for _ in 0..rounds {
                            run(turn);
                            turn += 1;
                        }
                    });
                    samples.push(elapsed / rounds as u32);
                    elapsed
                });
            });
            // What was measured before the samples warmed up.
            let mut samples = samples.split_off(samples.len().saturating_sub(SAMPLES));
            samples.sort_unstable();
            if let Some(&median) = samples.get(samples.len() / 2) {
                times.0.insert((source, repair, work, who.to_owned()), median);
            }
        };

        let mut copies = vec![vec![0; PACKET]; source];
        time(Work::Copy, "memcpy", &mut |turn| {
            for (copy, source) in copies.iter_mut().zip(&blocks[turn % blocks.len()]) {
                copy.copy_from_slice(source);
            }
            black_box(&mut copies);
        });
        let own = gf256::available().into_iter().rev().map(|kernel| {
            let codec: Box<dyn Codec> = Box::new(Own::new(&blocks, repair, kernel));
            (kernel.name(), codec)
        });
        let others: [(&str, Box<dyn Codec>); 4] = [
            ("reed-solomon-simd", Box::new(Simd::new(&blocks, repair))),
            ("reed-solomon-erasure", Box::new(Erasure::new(&blocks, repair))),
            ("fec-rs", Box::new(FecRs::new(&blocks, repair))),
            ("raptorq", Box::new(RaptorQ::new(&blocks, repair))),
        ];
        for (name, mut codec) in own.chain(others) {
            verify(name, &mut *codec, &blocks, &patterns);
            time(Work::Encode, name, &mut |turn| codec.encode(turn % blocks.len()));
            time(Work::Decode, name, &mut |turn| {
                black_box(codec.decode(turn % blocks.len(), &patterns[turn % PATTERNS]));
            });
        }
        group.finish();
    }
    times
}

impl Times {
    /// What own encoding costs in copies and whether that is little enough, and what other crates cost in
    /// terms of the fastest own one.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (source, repair, gfni, avx2) in SIZES {
            let ratio = |work, who: &str, of: Work, whose: &str| {
                let time = |work, who: &str| {
                    self.0.get(&(source, repair, work, who.to_owned())).map(Duration::as_secs_f64)
                };
                Some(time(work, who)? / time(of, whose)?)
            };
            // Writing to a string does not fail.
            for kernel in gf256::available().into_iter().rev() {
                let copies = |work| ratio(work, kernel.name(), Work::Copy, "memcpy");
                let (Some(encode), Some(decode)) = (copies(Work::Encode), copies(Work::Decode)) else {
                    continue;
                };
                let gate = match kernel.name() {
                    "GFNI" => Some(gfni),
                    "AVX2" => Some(avx2),
                    _ => None,
                };
                let gate = gate.map_or(String::new(), |most| {
                    let verdict = if encode <= most { "met" } else { "NOT MET" };
                    format!("  GATE {verdict}: encode at most {most:.1}")
                });
                let _ = writeln!(
                    text,
                    "{source:>2}+{repair:<2}  own {:<22} encode {encode:>7.2}  decode {decode:>7.2}  x memcpy{gate}",
                    kernel.name(),
                );
            }
            let fastest = gf256::active().name();
            for rival in ["reed-solomon-simd", "reed-solomon-erasure", "fec-rs", "raptorq"] {
                let owns = |work| ratio(work, rival, work, fastest);
                let (Some(encode), Some(decode)) = (owns(Work::Encode), owns(Work::Decode)) else { continue };
                let verdict = if encode.min(decode) > 1.0 { "met" } else { "NOT MET" };
                let _ = writeln!(
                    text,
                    "{source:>2}+{repair:<2}  {rival:<26} encode {encode:>7.2}  decode {decode:>7.2}  x own {fastest}  \
                     GATE {verdict}: own ahead",
                );
            }
        }
        text
    }
}

/// How long something takes.
#[expect(clippy::disallowed_methods, reason = "a bench measures the time of this machine")]
fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Blocks of so many sources, full of noise.
fn blocks(source: usize) -> Vec<Vec<Vec<u8>>> {
    let mut draws = Seed(1).stream("contents").at(0);
    let mut packet = || (0..PACKET).map(|_| below(&mut draws, 256) as u8).collect();
    let count = WORKING_SET / (source * PACKET);
    (0..count).map(|_| (0..source).map(|_| packet()).collect()).collect()
}

/// Different places of so many lost sources, in their order.
fn patterns(source: usize, lost: usize) -> Vec<Vec<usize>> {
    let mut draws = Seed(1).stream("loss").at(0);
    let mut pattern = || {
        let mut places: Vec<usize> = (0..source).collect();
        for place in 0..lost {
            places.swap(place, place + below(&mut draws, (source - place) as u64) as usize);
        }
        places.truncate(lost);
        places.sort_unstable();
        places
    };
    (0..PATTERNS).map(|_| pattern()).collect()
}

/// A code that does not give back what was lost is not worth timing. RaptorQ may now and then.
fn verify(name: &str, codec: &mut dyn Codec, blocks: &[Vec<Vec<u8>>], patterns: &[Vec<usize>]) {
    for (turn, lost) in patterns.iter().enumerate().take(100) {
        let block = turn % blocks.len();
        let done = codec.decode(block, lost);
        assert!(done || name == "raptorq", "{name} cannot recover {lost:?}");
        let right = |index: usize| codec.recovered(block, lost, index) == blocks[block][lost[index]];
        assert!(!done || (0..lost.len()).all(right), "{name} recovers something else");
    }
}
