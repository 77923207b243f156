//! What a code costs in processor time: both halves over a fixed stream of packets, on this machine.

use std::time::Instant;

use bytes::Bytes;
use framehawk_sim::fec::{DecodeEvent, Decoder, Encoder, Flush, Protect, Repair, Scheme, SourceMeta};
use framehawk_sim::frame::{FrameId, Priority};
use framehawk_sim::time::{Duration, Time};

/// Frames in the stream, at 60 a second.
const FRAMES: u32 = 240;

/// Packets in each frame, of the length that 1200-byte datagrams have room for.
const PACKETS: u32 = 8;
const LENGTH: usize = 1160;

/// Every so many-th packet on the wire is lost, about 5 %. A prime, so that it is not the same packet of
/// every frame.
const LOST: u32 = 19;

/// How often the stream is coded; the fastest time counts, because what disturbs only adds.
const RUNS: usize = 5;

/// Microseconds that encoding and decoding take a frame, in the fastest of a few runs.
#[expect(clippy::disallowed_methods, reason = "this measures the machine, and nothing simulated sees it")]
pub(super) fn micros_per_frame(scheme: &Scheme) -> f64 {
    let sources: Vec<Bytes> = (0..PACKETS)
        .map(|packet| (0..LENGTH).map(|at| (at as u32 * 31 + packet * 7) as u8).collect::<Vec<_>>().into())
        .collect();
    let run = |_| {
        let (encoder, decoder) = (scheme.encoder(), scheme.decoder());
        let start = Instant::now();
        Stream { encoder, decoder, sent: 0, recovered: 0 }.code(&sources);
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..RUNS).map(run).min_by(f64::total_cmp).unwrap_or(0.0);
    fastest * 1e6 / f64::from(FRAMES)
}

/// Both halves with a wire between them that loses packets by count.
struct Stream {
    encoder: Box<dyn Encoder<Bytes>>,
    decoder: Box<dyn Decoder<Bytes>>,
    sent: u32,
    /// How many packets came from repair packets.
    recovered: u32,
}

impl Stream {
    fn code(mut self, sources: &[Bytes]) -> Self {
        let mut esi = 0;
        for frame in 0..FRAMES {
            let now = Time::from_micros(u64::from(frame) * 16_667);
            if self.encoder.poll_timeout().is_some_and(|due| due <= now) {
                self.encoder.handle_timeout(now);
                self.repairs(now);
            }
            for (symbol, left) in sources.iter().zip((0..PACKETS).rev()) {
                let meta = SourceMeta {
                    esi,
                    frame: FrameId(frame),
                    frame_end: left == 0,
                    size: LENGTH as u16,
                    priority: Priority::Delta,
                    deadline: now + Duration::from_millis(100),
                };
                self.source(now, &meta, symbol);
                esi += 1;
            }
            self.encoder.flush(now, Flush::FrameEnd);
            self.repairs(now);
            self.decoder.expire(esi.saturating_sub(16 * PACKETS));
        }
        self
    }

    fn source(&mut self, now: Time, meta: &SourceMeta, symbol: &Bytes) {
        let protect = self.encoder.push_source(now, meta, symbol);
        let arrives = self.arrives();
        if let (Protect::Send(riders), true) = (protect, arrives) {
            self.decoder.push_source(now, meta.esi, symbol);
            riders.iter().for_each(|repair| self.repair(now, repair));
        }
        self.settle();
        self.repairs(now);
    }

    fn repairs(&mut self, now: Time) {
        while let Some(repair) = self.encoder.poll_repair(now) {
            if self.arrives() {
                self.repair(now, &repair);
            }
        }
        self.settle();
    }

    fn repair(&mut self, now: Time, repair: &Repair<Bytes>) {
        // A header that the code's own other half refuses would show in its tests.
        let _ = self.decoder.push_repair(now, &repair.header, &repair.symbol);
    }

    fn settle(&mut self) {
        while let Some(event) = self.decoder.poll_event() {
            self.recovered += u32::from(matches!(event, DecodeEvent::Recovered { .. }));
        }
    }

    fn arrives(&mut self) -> bool {
        self.sent += 1;
        !self.sent.is_multiple_of(LOST)
    }
}

#[cfg(test)]
mod tests {
    use framehawk_sim::fec::reed_solomon::PerFrame;

    use super::*;

    #[test]
    fn the_stream_makes_codes_decode() {
        let recovered = |scheme: &Scheme| {
            let sources = vec![Bytes::from_static(&[1; 50]); PACKETS as usize];
            let stream =
                Stream { encoder: scheme.encoder(), decoder: scheme.decoder(), sent: 0, recovered: 0 };
            stream.code(&sources).recovered
        };
        let code = Scheme::ReedSolomonPerFrame(PerFrame::new(25, 1).unwrap());
        // 126 of the 2400 packets on the wire are lost, at most one of each frame. Ten losses in a row are
        // at ten different places of a frame, of which two are repair packets: 96 of the first 120 are
        // source packets, and all but the first of the last six.
        assert_eq!(recovered(&code), 101);
        assert_eq!(recovered(&Scheme::None), 0);
    }
}
