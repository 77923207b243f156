//! Both ends over a link, alone and with everything that a scenario puts around them.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::endpoint::Wire;
use crate::frame::{Delivered, Priority};
use crate::record::Record;
use crate::runner::{self, Conduct, Outcome, Progress};
use crate::scenario::source::Sources;
use crate::scenario::{self, Scenario};

/// Two ends 25 ms apart. The n-th datagram that the server or the client sends is lost where `lost` says
/// so.
struct Pair {
    ends: [End; 2],
    under_way: VecDeque<(Time, usize, Packet)>,
    now: Time,
    lost: fn(Direction, usize) -> bool,
    sent: [Vec<(Time, Packet)>; 2],
    events: Vec<(Time, FrameEvent)>,
    records: Vec<Record>,
}

impl Pair {
    const ONE_WAY: Duration = Duration::from_millis(25);

    fn new(config: &Config, lost: fn(Direction, usize) -> bool) -> Self {
        Self {
            ends: connection(config, Flow(0), Seed(1)),
            under_way: VecDeque::new(),
            now: Time::ZERO,
            lost,
            sent: [Vec::new(), Vec::new()],
            events: Vec::new(),
            records: Vec::new(),
        }
    }

    fn offer(&mut self, id: u32, size: u32, deadline: Time) {
        let (id, head) = (FrameId(id), bytes::Bytes::from_static(b"head"));
        let frame = Frame { id, captured: self.now, deadline, priority: Priority::Delta, size, head };
        self.ends[0].offer(self.now, frame, &mut self.records);
    }

    fn run_until(&mut self, end: Time) {
        for number in 0..2 {
            self.ends[number].handle_timeout(self.now, &mut self.records);
            self.drain(number);
        }
        loop {
            let arrival = self.under_way.front().map(|&(at, ..)| at);
            let timeouts = self.ends.iter().filter_map(End::poll_timeout);
            let Some(next) = timeouts.chain(arrival).min().filter(|&next| next <= end) else { break };
            self.now = next.max(self.now);
            if arrival.is_some_and(|at| at <= self.now) {
                let (_, to, packet) = self.under_way.pop_front().unwrap();
                self.ends[to].handle_packet(
                    self.now,
                    Arrival { packet, ecn: Ecn::NotEct },
                    &mut self.records,
                );
                self.drain(to);
            } else {
                for number in 0..2 {
                    self.ends[number].handle_timeout(self.now, &mut self.records);
                    self.drain(number);
                }
            }
        }
        self.now = end;
    }

    fn drain(&mut self, number: usize) {
        let direction = Direction::BOTH[number];
        while let Some(transmit) = self.ends[number].poll_transmit(self.now, &mut self.records) {
            self.sent[number].push((self.now, transmit.packet.clone()));
            if !(self.lost)(direction, self.sent[number].len() - 1) {
                self.under_way.push_back((self.now + Self::ONE_WAY, 1 - number, transmit.packet));
            }
        }
        while let Some(event) = self.ends[number].poll_event() {
            self.events.push((self.now, event));
        }
    }

    /// When each frame arrived whole, in ms.
    fn arrivals(&self) -> Vec<(u32, u64)> {
        let arrival = |(at, event): &(Time, FrameEvent)| match event {
            FrameEvent::Delivered(Delivered { id, .. }) => Some((id.0, at.as_micros() / 1000)),
            _ => None,
        };
        self.events.iter().filter_map(arrival).collect()
    }

    /// The server's datagrams of a class from `from` on.
    fn server_sent(&self, class: Class, from: Time) -> usize {
        self.sent[0].iter().filter(|(at, packet)| *at >= from && packet.class == class).count()
    }
}

fn streams() -> Config {
    Config::default()
}

fn datagrams() -> Config {
    Config { mapping: Mapping::Datagrams, ..Config::default() }
}

#[test]
fn frames_arrive_whole_one_round_trip_after_the_client_has_called() {
    for config in [streams(), datagrams()] {
        let mut pair = Pair::new(&config, |_, _| false);
        pair.offer(0, 100, Time::NEVER);
        pair.run_until(Time::from_secs(1));
        // The server may send with its first flight.
        assert_eq!(pair.arrivals(), [(0, 50)]);
        let delivered = Delivered { id: FrameId(0), size: 100, head: bytes::Bytes::from_static(b"head") };
        assert_eq!(pair.events[0].1, FrameEvent::Delivered(delivered));
    }
}

#[test]
fn a_lost_packet_holds_up_its_own_frame_only() {
    let mut pair = Pair::new(&streams(), |_, _| false);
    pair.run_until(Time::from_secs(1));
    let first = pair.sent[0].len();
    assert!(first < 20);
    pair.lost = |direction, n| direction == Direction::Down && n == LOST;
    const LOST: usize = 30;
    // Padding with frames of a packet each brings the loss to a known one.
    let count = (LOST - first + 6) as u32;
    for id in 0..count {
        pair.offer(id, 1380, Time::NEVER);
        pair.run_until(pair.now + Duration::from_millis(20));
    }
    pair.run_until(pair.now + Duration::from_secs(1));
    let delays: Vec<u64> = {
        let mut arrivals = pair.arrivals();
        arrivals.sort_unstable();
        arrivals.iter().map(|&(id, at)| at - 1000 - 20 * u64::from(id)).collect()
    };
    assert_eq!(delays.len(), count as usize);
    let late: Vec<u64> = delays.iter().copied().filter(|&delay| delay != 25).collect();
    assert!(late.len() == 1 && (75..150).contains(&late[0]), "{delays:?}");
}

#[test]
fn a_datagram_that_is_lost_is_not_sent_again_and_its_frame_is_told_as_lost() {
    let mut pair = Pair::new(&datagrams(), |_, _| false);
    pair.run_until(Time::from_secs(1));
    pair.lost = |direction, n| direction == Direction::Down && n == 20;
    for id in 0..30 {
        pair.offer(id, 3000, Time::NEVER);
        pair.run_until(pair.now + Duration::from_millis(20));
    }
    pair.run_until(pair.now + Duration::from_secs(1));
    let lost = pair.events.iter().filter(|(_, event)| matches!(event, FrameEvent::Lost(_))).count();
    assert_eq!((pair.arrivals().len(), lost), (29, 1));
    assert_eq!(pair.server_sent(Class::Retransmission, Time::ZERO), 0);
}

#[test]
fn a_frame_that_is_sent_in_part_is_reset_when_it_comes_too_late() {
    let config = Config { stale: Stale::Drop, resets: true, ..streams() };
    let mut pair = Pair::new(&config, |_, _| false);
    pair.run_until(Time::from_secs(1));
    let deadline = pair.now + Duration::from_millis(60);
    // Twenty frames of 20 kB take several round trips out of slow start.
    for id in 0..20 {
        pair.offer(id, 20_000, deadline);
    }
    pair.run_until(Time::from_secs(3));
    let count =
        |wanted: fn(&FrameEvent) -> bool| pair.events.iter().filter(|(_, event)| wanted(event)).count();
    let dropped = count(|event| matches!(event, FrameEvent::Dropped(_)));
    let lost = count(|event| matches!(event, FrameEvent::Lost(_)));
    let arrivals = pair.arrivals();
    assert!(arrivals.iter().all(|&(_, at)| at <= 1060), "{arrivals:?}");
    assert_eq!(dropped + arrivals.len(), 20, "each frame has one fate");
    let begun =
        pair.records.iter().filter(|record| matches!(record.event, Event::FrameDropped { begun: true, .. }));
    assert_eq!(begun.count(), 1, "streams are sent one after the other");
    assert!(lost >= 1, "the receiver hears of it");
    assert_eq!(pair.ends[0].backlog(), ByteSize::ZERO);
}

#[test]
fn what_was_lost_of_a_frame_is_not_sent_again_for_long_when_it_comes_too_late() {
    let sent_again = |resets| {
        let mut pair = Pair::new(&Config { stale: Stale::Drop, resets, ..streams() }, |_, _| false);
        pair.run_until(Time::from_secs(1));
        pair.offer(0, 8000, pair.now + Duration::from_millis(60));
        // All of the first frame is lost, and the second shows it.
        pair.lost = |direction, _| direction == Direction::Down;
        pair.run_until(pair.now + Duration::from_millis(1));
        pair.lost = |_, _| false;
        pair.offer(1, 4000, Time::NEVER);
        pair.run_until(Time::from_secs(3));
        (pair.server_sent(Class::Retransmission, Time::from_secs(1)), pair.arrivals().len())
    };
    // Six packets of the frame; the rest of one may leave with something new.
    let (again, arrived) = sent_again(false);
    assert!((5..=6).contains(&again) && arrived == 2, "{again} packets again, {arrived} frames");
    let (again, arrived) = sent_again(true);
    assert!(again <= 2 && arrived == 1, "{again} packets again, {arrived} frames");
}

#[test]
fn a_refresh_request_reaches_the_other_application_once_even_if_it_is_lost_at_first() {
    for config in [streams(), datagrams()] {
        let mut pair = Pair::new(&config, |_, _| false);
        pair.run_until(Time::from_secs(1));
        let before = pair.sent[1].len();
        pair.ends[1].request_refresh(pair.now, FrameId(7));
        pair.run_until(Time::from_millis(1100));
        assert_eq!(pair.events, [(Time::from_millis(1025), FrameEvent::RefreshRequested(FrameId(7)))]);
        assert_eq!(pair.sent[1][before].1.class, Class::Feedback);

        pair.lost = |direction, _| direction == Direction::Up;
        pair.ends[1].request_refresh(pair.now, FrameId(8));
        pair.run_until(Time::from_millis(1110));
        pair.lost = |_, _| false;
        pair.run_until(Time::from_secs(4));
        assert_eq!(pair.events.len(), 2);
        assert_eq!(pair.events[1].1, FrameEvent::RefreshRequested(FrameId(8)));
    }
}

#[test]
fn packets_are_told_apart_and_are_as_large_as_encrypted_ones() {
    let mut pair = Pair::new(&streams(), |_, _| false);
    pair.run_until(Time::from_secs(1));
    let quiet = |number: usize| pair.sent[number].iter().map(|(_, packet)| (packet.class, packet.payload));
    assert!(quiet(0).chain(quiet(1)).all(|(class, payload)| class != Class::Source && payload == 0));
    assert!(quiet(0).any(|(class, _)| class == Class::Handshake));
    let (_, hello) = &pair.sent[1][0];
    assert_eq!((hello.class, hello.size()), (Class::Handshake, 1500), "a client pads what it says first");

    let (before, first) = (pair.sent[1].len(), pair.sent[0].len());
    pair.offer(0, 60_000, Time::NEVER);
    pair.lost = |direction, n| direction == Direction::Down && n == 12;
    pair.run_until(Time::from_secs(2));
    assert_eq!(pair.sent[0][first].1.class, Class::Source);
    let again: Vec<u32> = (pair.sent[0].iter().map(|(_, packet)| packet))
        .filter(|packet| packet.class == Class::Retransmission)
        .map(Wire::payload)
        .collect();
    assert_eq!(again, [pair.sent[0][12].1.payload], "the lost one's bytes, and no others");
    assert!(pair.sent[1][before..].iter().all(|(_, packet)| packet.class == Class::Feedback));
    let bytes = pair.records.iter().map(|record| match record.event {
        Event::SourceSent { bytes, .. } => bytes,
        _ => 0,
    });
    // The frame, and what stands in front of it on its stream.
    assert_eq!(bytes.sum::<u32>(), 60_005);
    // 1472 bytes of UDP less a header of 10 or 11 bytes, the tag of 16, and 2 to 6 of the stream's frame.
    let most = pair.sent[0].iter().map(|(_, packet)| packet.payload).max().unwrap();
    assert!((1439..=1444).contains(&most), "{most}");
}

#[test]
fn a_full_queue_drops_the_new_frame() {
    for config in [streams(), datagrams()] {
        let mut pair = Pair::new(&config, |_, _| false);
        for id in 0..5000 {
            pair.offer(id, 100, Time::NEVER);
        }
        assert_eq!(pair.ends[0].poll_event(), Some(FrameEvent::Dropped(FrameId(4096))));
    }
}

#[test]
fn bytes_that_are_no_packet_change_nothing() {
    let mut pair = Pair::new(&streams(), |_, _| false);
    pair.run_until(Time::from_secs(1));
    let garbage: [&'static [u8]; 4] = [&[], &[0x40], &[0xc0, 0, 0, 0, 9, 8], &[0x43; 1200]];
    for bytes in garbage {
        let datagram = bytes::Bytes::from_static(bytes);
        for end in &mut pair.ends {
            let packet = Packet { datagram: datagram.clone(), class: Class::Source, payload: 0 };
            let arrival = Arrival { packet, ecn: Ecn::NotEct };
            end.handle_packet(pair.now, arrival, &mut pair.records);
        }
    }
    pair.offer(0, 100, Time::NEVER);
    pair.run_until(Time::from_secs(2));
    assert_eq!(pair.arrivals().len(), 1);
}

#[derive(Debug)]
struct Quiet;

impl Progress for Quiet {
    fn advance(&self, _: usize, _: usize) {}
}

/// A path of 25 ms each way with a queue of 100 packets in front of 20 Mbit/s, and a contender of each kind.
const LINK: &str = r#"
    duration = "20s"
    [measure]
    warm-up = "0s"
    [path.down]
    delay = "25ms"
    bottleneck = { rate = "20Mbit/s", queue.droptail = "150kB" }
    [path.up]
    delay = "25ms"
    [contender.reno]
    quic = { congestion = "new-reno", stale = "keep" }
    [contender.cubic]
    quic = { congestion = "cubic", stale = "keep" }
    [contender.bbr]
    quic = { congestion = "bbr", stale = "keep" }
    [contender.reset]
    quic = { congestion = "bbr", stale = "reset" }
    [contender.datagrams]
    quic = { congestion = "bbr", frames = "datagrams", stale = "keep" }
"#;

const BULK: &str = "[traffic.down.bulk]\nbulk = {}\n";

fn scenario(traffic: &str, sets: &[&str]) -> Scenario {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let draft = scenario::parse(Sources::built_in("test", &format!("{LINK}\n{traffic}")), &sets);
    Scenario::new(&draft.unwrap_or_else(|e| panic!("{e}"))).unwrap_or_else(|e| panic!("{e}"))
}

fn run(scenario: &Scenario, seeds: u64, threads: usize) -> Outcome {
    let threads = std::num::NonZeroUsize::new(threads);
    let conduct = Conduct { threads, cancelled: &AtomicBool::new(false), progress: &Quiet };
    runner::run(scenario, &(1..=seeds).collect::<Vec<_>>(), &conduct).unwrap_or_else(|e| panic!("{e}"))
}

fn mean(outcome: &Outcome, name: &str, key: &str) -> f64 {
    let contender = outcome.contenders.iter().find(|one| one.name == name).unwrap();
    contender.mean(key).unwrap_or_else(|| panic!("{name} has no {key}"))
}

/// Everything that a path can do to packets.
const ROUGH: &[&str] = &[
    "duration=5s",
    "path.down.loss.gilbert={ loss = \"3%\", burst = 3 }",
    "path.up.loss.iid.rate=3%",
    "path.down.jitter.uniform={ max = \"10ms\", reorder = true }",
    "path.down.duplicate.rate=1%",
    "path.down.corrupt.rate=0.5%",
    "path.down.outage={ at = [\"2s\"], for = \"700ms\" }",
];

const DESKTOP: &str = r#"
    [traffic.down.screen]
    trace = { file = "traces/desktop-session-30fps.csv", dependency = "regions" }
    deadline = "100ms"
    [traffic.up.keys]
    keystrokes = { per-second = 5 }
    deadline = "100ms"
"#;

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_threads() {
    for dependency in ["regions", "chain"] {
        let depends = format!("traffic.down.screen.trace.dependency={dependency}");
        let sets: Vec<&str> = ROUGH.iter().copied().chain([depends.as_str(), "session.count=2"]).collect();
        let scenario = scenario(DESKTOP, &sets);
        let (one, two) = (run(&scenario, 3, 1), run(&scenario, 3, 2));
        // In debug form also numbers that are no numbers are equal.
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        for contender in &scenario.contenders {
            let records = || {
                let mut records = Vec::<Record>::new();
                runner::play(&scenario, contender, 1, &mut records);
                records
            };
            assert_eq!(records(), records(), "{}", contender.name);
        }
    }
}

/// The goodput down in the first 20 s of a contender's first session, in Mbit/s.
fn goodput(scenario: &Scenario, name: &str, seed: u64) -> f64 {
    let contender = scenario.contenders.iter().find(|one| one.name == name).unwrap();
    let mut records = Vec::<Record>::new();
    runner::play(scenario, contender, seed, &mut records);
    let captured = |record: &&Record| matches!(record.event, Event::FrameCaptured { .. });
    let end = records.iter().find(captured).unwrap().at + Duration::from_secs(20);
    let arrived = records.iter().map(|record| match record.event {
        Event::SourceArrived { bytes, .. } if record.at <= end => u64::from(bytes),
        _ => 0,
    });
    arrived.sum::<u64>() as f64 * 8.0 / 20.0 / 1e6
}

#[test]
fn bulk_goodput_is_what_it_was_over_the_same_link() {
    // Mbit/s at losses of 0, 0.1, 1 and 5 %. CUBIC and NewReno: quinn-proto 0.11.19 with one endless stream, the
    // mean of few seeds, which at 0.1 % hangs on when the first loss comes. BBR: the kernel's TCP, whose BBR it is.
    let table: [(&str, [f64; 4], [f64; 4]); 3] = [
        ("cubic", [19.13, 9.70, 3.18, 1.22], [0.02, 0.15, 0.12, 0.1]),
        ("reno", [19.10, 9.31, 2.80, 1.02], [0.02, 0.15, 0.1, 0.1]),
        ("bbr", [18.89, 18.92, 18.71, 18.01], [0.02, 0.02, 0.02, 0.06]),
    ];
    for (place, loss) in ["0%", "0.1%", "1%", "5%"].into_iter().enumerate() {
        let scenario = scenario(BULK, &["duration=22s", &format!("path.down.loss.iid.rate={loss}")]);
        for (name, expected, tolerance) in table {
            let mut measured: Vec<f64> = (1..=15).map(|seed| goodput(&scenario, name, seed)).collect();
            measured.sort_by(f64::total_cmp);
            let (median, expected) = (measured[7], expected[place]);
            println!("{name:5} {loss:>4}: {median:.2}, expected {expected:.2}, {:.3}", median / expected);
            let error = (median / expected - 1.0).abs();
            assert!(error <= tolerance[place], "{name} at {loss}: {median}, not {expected}");
        }
    }
}

#[test]
fn frames_in_datagrams_are_broken_as_often_as_one_of_their_packets_is_lost() {
    let frames = "[traffic.down.screen]\nconstant = { rate = \"60Hz\", size = \"12kB\", dependency = \"independent\" }\ndeadline = \"1s\"\n";
    let packets = 12_000_u32.div_ceil(datagrams::piece_max(1472));
    assert_eq!(packets, 9);
    for loss in [0.01_f64, 0.05] {
        let outcome = run(&scenario(frames, &[&format!("path.down.loss.iid.rate={loss}")]), 5, 2);
        let broken = 1.0 - mean(&outcome, "datagrams", "frames_on_time_pct") / 100.0;
        let expected = 1.0 - (1.0 - loss).powi(packets as i32);
        // Five standard errors of 6000 frames.
        let bound = 5.0 * (expected * (1.0 - expected) / 6000.0).sqrt();
        println!("{loss}: {broken:.4} broken, {expected:.4} ± {bound:.4} expected");
        assert!((broken - expected).abs() < bound, "{loss}: {broken}, not {expected} ± {bound}");
    }
}

#[test]
fn frames_on_streams_do_not_wait_for_each_other() {
    // 60 frames of 12 kB a second take 4.8 ms each at 20 Mbit/s: 30 ms without a loss. With 1 % of packets lost
    // quinn had p50 30 and p95 81 ms, the kernel's TCP with BBR 37 and 95 ms.
    let frames = "[traffic.down.screen]\nconstant = { rate = \"60Hz\", size = \"12kB\", dependency = \"independent\" }\ndeadline = \"1s\"\n";
    let clean = run(&scenario(frames, &[]), 2, 2);
    for name in ["cubic", "bbr", "datagrams"] {
        let p50 = mean(&clean, name, "frame_delay_p50_ms");
        assert!((29.5..=31.0).contains(&p50), "{name}: {p50}");
    }
    let lossy = run(&scenario(frames, &["path.down.loss.iid.rate=1%"]), 5, 2);
    let delay = |quantile| mean(&lossy, "bbr", &format!("frame_delay_p{quantile}_ms"));
    let (p50, p95) = (delay(50), delay(95));
    println!("p50 {p50:.1}, p95 {p95:.1}, p99 {:.1}", delay(99));
    assert!((29.5..=32.0).contains(&p50), "a loss in one frame leaves the others alone: {p50}");
    assert!((75.0..=95.0).contains(&p95), "a lost packet comes a round trip later: {p95}");
}
