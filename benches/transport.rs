//! What the UDP transport costs: both ends of a session without a link, and packets to bytes and back.

use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use framehawk_sim::endpoint::{Arrival, Direction, Endpoint, Flow, FrameTransport};
use framehawk_sim::fec::Scheme;
use framehawk_sim::fec::reed_solomon::PerPackets;
use framehawk_sim::frame::{Frame, FrameId, Priority};
use framehawk_sim::record::Discard;
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::transport::feedback::{Feedback, Range};
use framehawk_sim::transport::packet::{Body, Header, Packet};
use framehawk_sim::transport::{Config, End, Retransmit};

/// Bytes of a frame: twenty packets, a screen at 30 frames a second and 5.5 Mbit/s.
const FRAME: u32 = 23_000;

/// Source packets of a frame without a code.
const PACKETS: u64 = 20;

/// Both ends of a session, the one handing its packets to the other at once.
struct Session {
    ends: [End; 2],
    now: Time,
    frame: u32,
    /// Every so many packets one is lost; never where it is 0.
    loss: u64,
    sent: u64,
}

impl Session {
    fn new(retransmit: Retransmit, scheme: &Scheme, loss: u64) -> Self {
        let config = Config { retransmit, ..Config::default() };
        let end = |direction| End::new(Flow(0), direction, &config, scheme.encoder(), scheme.decoder());
        Self { ends: Direction::BOTH.map(end), now: Time::ZERO, frame: 0, loss, sent: 0 }
    }

    /// Sends a frame down, and feedback up.
    fn send_frame(&mut self) {
        self.now += Duration::from_millis(33);
        let frame = Frame {
            id: FrameId(self.frame),
            captured: self.now,
            deadline: self.now + Duration::from_millis(100),
            priority: Priority::Delta,
            size: FRAME,
            head: Bytes::from_static(b"head"),
        };
        self.frame += 1;
        self.ends[0].offer(self.now, frame, &mut Discard);
        for end in [0, 1, 0] {
            while let Some(transmit) = self.ends[end].poll_transmit(self.now, &mut Discard) {
                self.sent += 1;
                if !self.sent.is_multiple_of(self.loss) {
                    let arrival = Arrival { packet: transmit.packet, ecn: transmit.ecn };
                    self.ends[1 - end].handle_packet(self.now, arrival, &mut Discard);
                    black_box(self.ends[1 - end].poll_timeout());
                }
            }
            self.ends[end].handle_timeout(self.now, &mut Discard);
        }
        while let Some(event) = self.ends[1].poll_event() {
            black_box(event);
        }
    }
}

fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    group.throughput(Throughput::Elements(PACKETS));
    let reed_solomon = Scheme::ReedSolomon(PerPackets::new(10, 3, None).expect("10+3 is a code"));
    for (name, retransmit, scheme, loss) in [
        ("no code", Retransmit::Never, Scheme::None, 0),
        ("no code, 5 % lost", Retransmit::Never, Scheme::None, 20),
        ("deadline, 5 % lost", Retransmit::Deadline, Scheme::None, 20),
        ("always, 5 % lost", Retransmit::Always, Scheme::None, 20),
        ("reed-solomon 10+3, 5 % lost", Retransmit::Never, reed_solomon, 20),
    ] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut session = Session::new(retransmit, &scheme, loss);
            bencher.iter(|| session.send_frame());
        });
    }
    group.finish();
}

fn packets(criterion: &mut Criterion) {
    let mut session = Session::new(Retransmit::Never, &Scheme::None, 0);
    let frame = Frame {
        id: FrameId(0),
        captured: Time::ZERO,
        deadline: Time::from_millis(100),
        priority: Priority::Delta,
        size: FRAME,
        head: Bytes::new(),
    };
    session.ends[0].offer(Time::ZERO, frame, &mut Discard);
    let source = session.ends[0].poll_transmit(Time::ZERO, &mut Discard).expect("a frame was offered").packet;
    let feedback = Feedback { run: 9, ranges: vec![Range { gap: 2, run: 15 }; 8], ..Feedback::default() };
    let feedback = Packet { header: Header::default(), body: Body::Feedback(Arc::new(feedback)) };

    let mut group = criterion.benchmark_group("packet");
    group.throughput(Throughput::Elements(1));
    for (name, packet) in [("source", source), ("feedback", feedback)] {
        let mut wire = BytesMut::with_capacity(2048);
        packet.encode(&mut wire);
        let datagram = wire.clone().freeze();
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| {
                wire.clear();
                black_box(&packet).encode(&mut wire);
                black_box(&wire);
            });
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| Packet::decode(black_box(&datagram).clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, sessions, packets);
criterion_main!(benches);
