//! What a scheme costs this machine in time: sender and receiver over a stream of frames, beside copying
//! the same bytes.
//!
//! This is the one place where the program measures time instead of being told: the answer is about the
//! machine, so it differs from run to run and belongs into no result that must be the same twice.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use framehawk_sim::fec::{
    DecodeEvent, Decoder, Encoder, Flush, Protect, Repair, Scheme, SourceMeta, Symbol, unit,
};
use framehawk_sim::frame::{FrameId, Priority};
use framehawk_sim::rng::{Seed, below};
use framehawk_sim::time::Time;

/// Bytes of a source packet's contents.
pub(super) const PACKET: usize = 1_200;

/// Bytes of a stream: as much as a processor's second cache holds, and more than its first.
const STREAM: usize = 1 << 20;

/// The fewest frames of a stream.
const FRAMES_MIN: u32 = 8;

/// What a scheme costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Source packets of a frame.
    pub(super) frame: u32,
    /// How many packets at the start of each frame are lost when it is decoded: as many as come back.
    pub(super) burst: u32,
    /// The time to copy a frame.
    pub(super) copy: Duration,
    /// The sender's time for a frame.
    pub(super) encode: Duration,
    /// The receiver's time for a frame.
    pub(super) decode: Duration,
}

impl Cost {
    /// Source bytes encoded in a second, in MB.
    pub(super) fn encode_mb_per_s(&self) -> f64 {
        self.mb_per_s(self.encode)
    }

    /// Source bytes decoded in a second, in MB.
    pub(super) fn decode_mb_per_s(&self) -> f64 {
        self.mb_per_s(self.decode)
    }

    /// The time of a frame at both ends, in microseconds.
    pub(super) fn both_us(&self) -> f64 {
        (self.encode + self.decode).as_secs_f64() * 1e6
    }

    /// The sender's time in copies of the frame.
    pub(super) fn copies(&self) -> f64 {
        self.encode.as_secs_f64() / self.copy.as_secs_f64().max(1e-12)
    }

    fn mb_per_s(&self, time: Duration) -> f64 {
        f64::from(self.frame) * PACKET as f64 / time.as_secs_f64().max(1e-12) / 1e6
    }
}

/// How many source packets show a scheme at its best: a full block, or a frame of 20.
pub(super) fn frame(scheme: &Scheme) -> u32 {
    match scheme {
        Scheme::Xor(xor) => u32::from(xor.columns()) * u32::from(xor.rows()),
        Scheme::ReedSolomon(block) => u32::from(block.source()),
        _ => 20,
    }
}

/// Measures a scheme over frames of `frame` packets; medians of `samples`, at least 1.
pub(super) fn cost(scheme: &Scheme, frame: u32, samples: usize) -> Cost {
    let frames = (STREAM as u32 / (frame * PACKET as u32)).max(FRAMES_MIN);
    let burst = longest_burst(scheme, frame);
    let mut draws = Seed(1).stream("contents").at(0);
    let mut contents = || (0..PACKET).map(|_| below(&mut draws, 256) as u8).collect::<Vec<u8>>();
    let symbols: Vec<Bytes> = (0..frame * frames).map(|_| unit::seal(&[&contents()])).collect();
    let wire = record(scheme, frame, &symbols);
    let mut copies = vec![vec![0; PACKET + unit::OVERHEAD]; frame as usize];

    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..samples.max(1) {
        times[0].push(timed(|| {
            for (turn, symbol) in symbols.iter().enumerate() {
                copies[turn % frame as usize].copy_from_slice(symbol);
                black_box(&mut copies);
            }
        }));
        let mut encoder = scheme.encoder();
        times[1].push(timed(|| encode(&mut *encoder, frame, &symbols, |packet| drop(black_box(packet)))));
        let mut decoder = scheme.decoder();
        times[2].push(timed(|| {
            black_box(decode(&mut *decoder, frame, &wire, burst));
        }));
    }
    let [copy, encode, decode] = times.map(|mut samples| {
        samples.sort_unstable();
        samples[samples.len() / 2] / frames
    });
    Cost { frame, burst, copy, encode, decode }
}

#[expect(clippy::disallowed_methods, reason = "the speed of this machine is what is asked for")]
fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// A packet between sender and receiver.
enum Packet<S> {
    /// With the repair packets that ride in it.
    Source(u32, S, Vec<Repair<S>>),
    Repair(Repair<S>),
}

/// The most packets that may be lost in a row at the start of every frame without one being lost for good.
fn longest_burst(scheme: &Scheme, frame: u32) -> u32 {
    let wire = record(scheme, frame, &vec![(); (frame * FRAMES_MIN) as usize]);
    let comes_back = |&burst: &u32| {
        decode(&mut *scheme.decoder(), frame, &wire, burst) == burst as usize * FRAMES_MIN as usize
    };
    (1..=frame).rev().find(comes_back).unwrap_or(0)
}

/// All packets of a stream.
fn record<S: Symbol>(scheme: &Scheme, frame: u32, symbols: &[S]) -> Vec<Packet<S>> {
    let mut wire = Vec::new();
    encode(&mut *scheme.encoder(), frame, symbols, |packet| wire.push(packet));
    wire
}

/// Sends a stream of frames.
fn encode<S: Symbol>(
    encoder: &mut dyn Encoder<S>,
    frame: u32,
    symbols: &[S],
    mut send: impl FnMut(Packet<S>),
) {
    let drain = |encoder: &mut dyn Encoder<S>, send: &mut dyn FnMut(Packet<S>)| {
        while let Some(repair) = encoder.poll_repair(Time::ZERO) {
            send(Packet::Repair(repair));
        }
    };
    for (esi, symbol) in (0..).zip(symbols) {
        let frame_end = (esi + 1) % frame == 0;
        let meta = SourceMeta {
            esi,
            frame: FrameId(esi / frame),
            frame_end,
            priority: Priority::Delta,
            deadline: Time::NEVER,
            size: 1200,
        };
        if let Protect::Send(riders) = encoder.push_source(Time::ZERO, &meta, symbol) {
            send(Packet::Source(esi, symbol.clone(), riders));
        }
        drain(encoder, &mut send);
        if frame_end {
            encoder.flush(Time::ZERO, Flush::FrameEnd);
            drain(encoder, &mut send);
        }
    }
    encoder.flush(Time::ZERO, Flush::Shutdown);
    drain(encoder, &mut send);
}

/// Receives a stream of which the first `burst` source packets of each frame are lost, and says how many
/// came back.
fn decode<S: Symbol>(decoder: &mut dyn Decoder<S>, frame: u32, wire: &[Packet<S>], burst: u32) -> usize {
    let mut recovered = 0;
    let take = |decoder: &mut dyn Decoder<S>, repair: &Repair<S>| {
        // A recorded packet is never malformed; one that came back late only counts less.
        let _ = decoder.push_repair(Time::ZERO, &repair.header, &repair.symbol);
    };
    for packet in wire {
        match packet {
            Packet::Source(esi, symbol, riders) if esi % frame >= burst => {
                decoder.push_source(Time::ZERO, *esi, symbol);
                riders.iter().for_each(|repair| take(decoder, repair));
                // A frame stays for one more, in which late repair packets may come.
                if esi % frame == frame - 1 {
                    decoder.expire((esi + 1).saturating_sub(2 * frame));
                }
            }
            Packet::Source(..) => {}
            Packet::Repair(repair) => take(decoder, repair),
        }
        while let Some(event) = decoder.poll_event() {
            recovered += usize::from(matches!(black_box(event), DecodeEvent::Recovered { .. }));
        }
    }
    recovered
}

#[cfg(test)]
mod tests {
    use framehawk_sim::fec::reed_solomon::PerPackets;
    use framehawk_sim::fec::repeat::Repeat;
    use framehawk_sim::fec::xor::Xor;

    use super::*;

    #[test]
    fn the_longest_burst_is_what_the_code_can_bear() {
        let burst = |scheme: &Scheme| longest_burst(scheme, frame(scheme));
        assert_eq!(burst(&Scheme::ReedSolomon(PerPackets::new(10, 3, None).unwrap())), 3);
        assert_eq!(burst(&Scheme::Xor(Xor::interleaved(4, 4, None).unwrap())), 4);
        assert_eq!(burst(&Scheme::Xor(Xor::row(10, None).unwrap())), 1);
        assert_eq!(burst(&Scheme::Repeat(Repeat::new(1, 0).unwrap())), 20, "every packet has a copy");
        assert_eq!(burst(&Scheme::None), 0);
    }

    #[test]
    fn every_scheme_gives_back_the_contents_that_it_is_timed_with() {
        for scheme in Scheme::all() {
            let frame = frame(&scheme);
            let symbols: Vec<Bytes> =
                (0..frame * FRAMES_MIN).map(|i| unit::seal(&[&i.to_be_bytes()])).collect();
            let wire = record(&scheme, frame, &symbols);
            let burst = longest_burst(&scheme, frame);
            let recovered = decode(&mut *scheme.decoder(), frame, &wire, burst);
            assert_eq!(recovered, (burst * FRAMES_MIN) as usize, "{scheme}");
        }
    }
}
