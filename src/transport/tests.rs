//! Two ends and a path between them that does what a script says, in virtual time.

mod rates;
mod redundancy;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::endpoint::{Class, Wire};

use crate::fec::xor::Xor;
use crate::fec::{DecodeEvent, RepairHeader, Scheme};
use crate::frame::Priority;
use crate::record::{Arrived, Record};

/// How a packet fares: one entry for each copy that arrives, with its delay beyond the path's.
type Fates = Vec<Duration>;

/// What the path does with a packet: its class, its place among those of its direction, its size.
type Path = Box<dyn FnMut(Time, Direction, Class, u64, u32) -> Fates>;

/// A server that sends down, a person who sends up, and the path between them.
struct Pair {
    now: Time,
    ends: [End; 2],
    one_way: Duration,
    path: Path,
    under_way: BTreeMap<(Time, u64), (usize, Packet)>,
    sent: [u64; 2],
    order: u64,
    next_frame: [u32; 2],
    records: Vec<Record>,
    /// What each end told its application, and when.
    events: [Vec<(Time, FrameEvent)>; 2],
    /// Everything that entered the path.
    packets: Vec<(Time, usize, Packet)>,
}

const SERVER: usize = 0;
const PERSON: usize = 1;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Pair {
    /// A path of 20 ms each way that does to packets what `path` says.
    fn new(
        config: Config,
        scheme: &Scheme,
        path: impl FnMut(Time, Direction, Class, u64, u32) -> Fates + 'static,
    ) -> Self {
        let end = |direction| End::new(Flow(0), direction, &config, scheme.encoder(), scheme.decoder());
        Self {
            now: Time::ZERO,
            ends: [end(Direction::Down), end(Direction::Up)],
            one_way: millis(20),
            path: Box::new(path),
            under_way: BTreeMap::new(),
            sent: [0; 2],
            order: 0,
            next_frame: [0; 2],
            records: Vec::new(),
            events: Default::default(),
            packets: Vec::new(),
        }
    }

    /// Loses the packets with these places, in this order of sending down, and no others.
    fn losing(config: Config, scheme: &Scheme, lost: &[u64]) -> Self {
        let lost: BTreeSet<u64> = lost.iter().copied().collect();
        Self::new(config, scheme, move |_, direction, _, index, _| match direction {
            Direction::Down if lost.contains(&index) => vec![],
            _ => vec![Duration::ZERO],
        })
    }

    /// Offers a frame of `size` bytes that is worth something for `lifetime`.
    fn offer(&mut self, end: usize, size: u32, lifetime: Duration) {
        let id = FrameId(self.next_frame[end]);
        self.next_frame[end] += 1;
        let frame = Frame {
            id,
            captured: self.now,
            deadline: self.now + lifetime,
            priority: Priority::Delta,
            size,
            head: Bytes::copy_from_slice(&id.0.to_be_bytes()[..4.min(size as usize)]),
        };
        self.ends[end].offer(self.now, frame, &mut self.records);
        self.drain(end);
    }

    /// Runs until `end`, all events up to then included.
    fn run_until(&mut self, end: Time) {
        let mut steps = 0;
        loop {
            let timeouts = self.ends.iter().filter_map(Endpoint::poll_timeout).min();
            let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [timeouts, arrival].into_iter().flatten().min().filter(|next| *next <= end)
            else {
                self.now = end;
                return;
            };
            // An end that asks for the present again and again would stand still here.
            steps = if next > self.now { 0 } else { steps + 1 };
            assert!(steps < 20_000, "no progress at {}", self.now);
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (end, packet)) = self.under_way.pop_first().expect("an arrival is under way");
                let arrival = Arrival { packet, ecn: Ecn::NotEct };
                self.ends[end].handle_packet(self.now, arrival, &mut self.records);
                self.drain(end);
            } else {
                for end in [SERVER, PERSON] {
                    self.ends[end].handle_timeout(self.now, &mut self.records);
                    self.drain(end);
                }
            }
        }
    }

    fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    fn drain(&mut self, end: usize) {
        while let Some(transmit) = self.ends[end].poll_transmit(self.now, &mut self.records) {
            let packet = transmit.packet;
            let index = self.sent[end];
            self.sent[end] += 1;
            for extra in (self.path)(self.now, Direction::BOTH[end], packet.class(), index, packet.size()) {
                let at = self.now + self.one_way + extra;
                self.under_way.insert((at, self.order), (1 - end, packet.clone()));
                self.order += 1;
            }
            self.packets.push((self.now, end, packet));
        }
        while let Some(event) = self.ends[end].poll_event() {
            self.events[end].push((self.now, event));
        }
    }

    /// Offers a frame of `size` bytes every `interval`, `count` times, down.
    fn stream(&mut self, count: u32, size: u32, interval: Duration) {
        for _ in 0..count {
            self.offer(SERVER, size, millis(100));
            self.run_for(interval);
        }
    }

    fn count(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.records.iter().filter(|record| what(&record.event)).count()
    }

    fn count_sent(&self, class: Class) -> usize {
        self.packets.iter().filter(|(_, _, packet)| packet.class() == class).count()
    }

    /// Frames that the person saw, with the time from the start.
    fn delivered(&self) -> Vec<(u32, Time)> {
        let delivered = self.events[PERSON].iter().filter_map(|(at, event)| match event {
            FrameEvent::Delivered(frame) => {
                assert_eq!(frame.head[..], frame.id.0.to_be_bytes()[..frame.head.len()]);
                Some((frame.id.0, *at))
            }
            _ => None,
        });
        delivered.collect()
    }

    /// Frames that the person was told are lost.
    fn lost(&self) -> Vec<(u32, Time)> {
        let lost = self.events[PERSON].iter().filter_map(|(at, event)| match event {
            FrameEvent::Lost(frame) => Some((frame.0, *at)),
            _ => None,
        });
        lost.collect()
    }
}

fn config(retransmit: Retransmit) -> Config {
    Config { retransmit, ..Config::default() }
}

fn xor(sources: u32) -> Scheme {
    Scheme::Xor(Xor::row(sources, None).unwrap())
}

fn ids(frames: &[(u32, Time)]) -> Vec<u32> {
    frames.iter().map(|(id, _)| *id).collect()
}

#[test]
fn frames_arrive_whole_one_path_delay_later_both_ways() {
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[]);
    pair.offer(SERVER, 50_000, millis(100));
    pair.offer(PERSON, 8, millis(100));
    pair.run_until(ms(500));
    assert_eq!(pair.delivered(), [(0, ms(20))]);
    assert!(matches!(&pair.events[SERVER][..], [(at, FrameEvent::Delivered(frame))]
        if *at == ms(20) && frame.size == 8 && frame.head[..] == [0, 0, 0, 0]));
    // 1200 − 40 bytes of payload in each of 44 packets.
    assert_eq!(pair.count(|event| matches!(event, Event::SourceArrived { in_time: true, .. })), 44 + 1);
    assert!(pair.packets.iter().all(|(_, _, packet)| packet.size() <= 1228));
}

#[test]
fn the_round_trip_is_measured_without_the_time_that_feedback_was_held_back() {
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[]);
    pair.stream(50, 5000, millis(7));
    let samples: Vec<Duration> = (pair.records.iter())
        .filter_map(|record| match record.event {
            Event::RoundTrip(sample) => Some(sample),
            _ => None,
        })
        .collect();
    assert!(samples.len() >= 10);
    // Times on the wire are whole microseconds, rounded down three times.
    assert!(samples.iter().all(|sample| sample.as_micros().abs_diff(40_000) <= 2), "{samples:?}");
}

#[test]
fn without_retransmission_and_code_a_frame_is_lost_when_the_gap_is_confirmed() {
    // Frame 0 is packets 0 to 4 of the direction; the third is lost.
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[2]);
    pair.stream(3, 5000, millis(30));
    pair.run_for(millis(100));
    assert_eq!(ids(&pair.delivered()), [1, 2]);
    // Two packets follow the gap at once, so the tolerated 10 ms pass.
    assert_eq!(pair.lost(), [(0, ms(30))]);
    assert_eq!(pair.count(|event| *event == Event::SourceLost { source: 2 }), 1);
    assert_eq!(pair.count(|event| *event == Event::LossRun { length: 1 }), 1);
    assert_eq!(pair.count_sent(Class::Retransmission), 0);
}

#[test]
fn a_frame_of_which_nothing_arrives_is_told_as_lost() {
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[5, 6, 7, 8, 9]);
    pair.stream(3, 5000, millis(30));
    pair.run_for(millis(100));
    assert_eq!(ids(&pair.delivered()), [0, 2]);
    assert_eq!(ids(&pair.lost()), [1]);
    assert_eq!(pair.count(|event| *event == Event::LossRun { length: 5 }), 1);
}

#[test]
fn feedback_is_sent_at_once_when_a_gap_is_confirmed_and_else_on_the_interval() {
    let slow = Config { feedback: millis(200), ..config(Retransmit::Never) };
    let mut pair = Pair::losing(slow, &Scheme::None, &[40]);
    pair.stream(50, 1000, millis(5));
    let times: Vec<Time> = (pair.packets.iter())
        .filter(|(_, _, packet)| packet.class() == Class::Feedback)
        .map(|(at, ..)| *at)
        .collect();
    // One for the first packet. Packet 40 leaves at 200 ms and packet 43, the third after it, arrives
    // at 235 ms; the interval's own feedback was at 220 ms, 25 ms (an eighth) before 245 ms.
    assert_eq!(times, [ms(20), ms(220), ms(245)]);
}

#[test]
fn within_its_deadline_a_lost_packet_is_sent_again_with_its_own_number() {
    let mut pair = Pair::losing(config(Retransmit::Deadline), &Scheme::None, &[7]);
    pair.stream(4, 5000, millis(30));
    pair.run_for(millis(200));
    assert_eq!(ids(&pair.delivered()), [0, 2, 1, 3]);
    assert!(pair.lost().is_empty());
    let again: Vec<u32> = (pair.packets.iter())
        .filter_map(|(_, _, packet)| match &packet.body {
            Body::Retransmission(source) => Some(source.esi),
            _ => None,
        })
        .collect();
    assert_eq!(again, [7], "once, and with the encoding symbol id of the first time");
}

#[test]
fn a_lost_retransmission_is_sent_again_while_the_policy_allows() {
    for (policy, tries) in [(Retransmit::Always, 6), (Retransmit::Deadline, 2)] {
        let mut lost = 0;
        let mut pair = Pair::new(config(policy), &Scheme::None, move |_, _, class, index, _| {
            let drop = index == 7 && class == Class::Source || class == Class::Retransmission && lost < 5;
            lost += u32::from(drop && class == Class::Retransmission);
            if drop { vec![] } else { vec![Duration::ZERO] }
        });
        pair.one_way = millis(15);
        pair.stream(40, 5000, millis(10));
        pair.run_for(millis(500));
        // Each try takes a round trip of 30 ms and up to 10 ms to be missed: two fit 100 ms.
        assert_eq!(pair.count_sent(Class::Retransmission), tries, "{policy:?}");
        assert_eq!(ids(&pair.lost()), if policy == Retransmit::Always { vec![] } else { vec![1] });
        assert_eq!(pair.delivered().len() + pair.lost().len(), 40);
    }
}

#[test]
fn nothing_is_sent_again_that_cannot_be_in_time_and_the_loss_is_told_at_once() {
    let mut pair = Pair::losing(config(Retransmit::Deadline), &Scheme::None, &[57]);
    pair.one_way = millis(60);
    pair.stream(20, 5000, millis(30));
    pair.run_for(millis(500));
    assert_eq!(pair.count_sent(Class::Retransmission), 0);
    // Sent at 330 ms, missed at 390 ms, tolerated for 10 ms; the deadline is at 430 ms.
    assert_eq!(pair.lost(), [(11, ms(400))]);
}

#[test]
fn a_lost_last_packet_is_found_by_a_probe() {
    for policy in [Retransmit::Always, Retransmit::Deadline] {
        let mut pair = Pair::losing(config(policy), &Scheme::None, &[10]);
        pair.stream(10, 1000, millis(30));
        pair.offer(SERVER, 1000, millis(300));
        pair.run_for(millis(1000));
        assert_eq!(pair.delivered().len(), 11, "{policy:?}");
        assert_eq!(pair.ends[SERVER].poll_timeout(), None, "and then there is peace");
    }
}

#[test]
fn what_the_code_repairs_is_not_sent_again() {
    let mut pair = Pair::losing(config(Retransmit::Deadline), &xor(4), &[2, 31, 57]);
    pair.stream(20, 4000, millis(20));
    pair.run_for(millis(200));
    assert_eq!(pair.delivered().len(), 20);
    assert_eq!(pair.count_sent(Class::Retransmission), 0);
    let recovered =
        |event: &Event| matches!(event, Event::SourceArrived { by: Arrived::Recovered { .. }, .. });
    assert_eq!(pair.count(recovered), 3);
    assert_eq!(pair.count(|event| matches!(event, Event::Miscoded { .. } | Event::Malformed(_))), 0);
}

#[test]
fn what_the_code_cannot_repair_is_sent_again() {
    // Two sources of one block of four: parity is not enough. Blocks are 5 packets long.
    let mut pair = Pair::losing(config(Retransmit::Deadline), &xor(4), &[51, 52]);
    pair.stream(20, 4000, millis(20));
    pair.run_for(millis(200));
    assert_eq!(pair.delivered().len(), 20);
    // One would have been enough for the parity to give the other, but both are asked for together.
    assert_eq!(pair.count_sent(Class::Retransmission), 2);
}

#[test]
fn a_frame_is_lost_when_the_code_has_moved_on() {
    let mut pair = Pair::losing(config(Retransmit::Never), &xor(4), &[51, 52]);
    pair.stream(20, 4000, millis(20));
    pair.run_for(millis(200));
    // Frame 10 leaves at 200 ms; the parity of frame 11 arrives at 240 ms and shows that frame 10's
    // is over, once the packets up to it are settled, which the first of frame 12 completes.
    let [(frame, at)] = pair.lost()[..] else { panic!("{:?}", pair.lost()) };
    assert_eq!(frame, 10);
    assert!((ms(240)..=ms(260)).contains(&at), "{at}");
}

#[test]
fn a_late_frame_is_delivered_all_the_same() {
    let mut pair = Pair::new(config(Retransmit::Never), &Scheme::None, |_, direction, _, _, _| {
        vec![if direction == Direction::Down { millis(300) } else { Duration::ZERO }]
    });
    pair.stream(3, 3000, millis(30));
    pair.run_for(millis(500));
    assert_eq!(ids(&pair.delivered()), [0, 1, 2]);
    assert_eq!(pair.count(|event| matches!(event, Event::SourceArrived { in_time: true, .. })), 0);
}

#[test]
fn stale_frames_are_dropped_before_they_are_begun_and_the_other_end_does_not_miss_them() {
    let rate = Rate::Fixed(Bitrate::from_bps(2_000_000));
    let run = |stale| {
        let mut pair =
            Pair::losing(Config { stale, rate, ..config(Retransmit::Deadline) }, &Scheme::None, &[]);
        // 10,000 bytes take 41 ms with headers, and one is offered every 20 ms.
        pair.stream(50, 10_000, millis(20));
        pair.run_for(millis(3000));
        pair
    };
    let pair = run(Stale::Drop);
    let dropped = pair.count(|event| matches!(event, Event::FrameDropped { begun: false, .. }));
    assert_eq!(pair.events[SERVER].len(), dropped);
    assert!(dropped >= 20, "{dropped}");
    assert_eq!(pair.delivered().len() + dropped, 50);
    assert!(pair.lost().is_empty(), "{:?}", pair.lost());
    assert_eq!(pair.ends[SERVER].backlog(), ByteSize::ZERO);

    let pair = run(Stale::Keep);
    assert_eq!(pair.delivered().len(), 50, "kept frames all come");
    assert!(pair.delivered()[49].1 > ms(2000));
}

#[test]
fn a_fixed_rate_holds_for_all_bytes_on_the_wire() {
    let bps = 4_000_000;
    let fixed = Config { rate: Rate::Fixed(Bitrate::from_bps(bps)), ..config(Retransmit::Always) };
    let mut pair = Pair::losing(fixed, &xor(4), &[10, 11, 50, 51, 52]);
    pair.stream(30, 20_000, millis(10));
    pair.run_for(millis(3000));
    assert_eq!(pair.delivered().len(), 30);
    let sent: Vec<(Time, u64)> = (pair.packets.iter())
        .filter(|(_, end, _)| *end == SERVER)
        .map(|(at, _, packet)| (*at, u64::from(packet.size()) * 8))
        .collect();
    for (start, (from, _)) in sent.iter().enumerate().step_by(17) {
        let mut bits = 0;
        for (to, size) in &sent[start..] {
            bits += size;
            // A burst of a millisecond and the packet that ends the interval come on top.
            let allowed = bps as f64 * (to.since(*from).as_secs_f64() + 0.001) + 2.0 * 1228.0 * 8.0;
            assert!(bits as f64 <= allowed, "{bits} bits from {from} to {to}");
        }
    }
}

#[test]
fn a_refresh_request_arrives_once_after_one_path_delay_and_survives_losses() {
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[]);
    pair.stream(3, 3000, millis(30));
    pair.ends[PERSON].request_refresh(pair.now, FrameId(1));
    pair.drain(PERSON);
    pair.run_for(millis(500));
    let asked = [(ms(110), FrameEvent::RefreshRequested(FrameId(1)))];
    assert_eq!(pair.events[SERVER], asked);

    let mut pair = Pair::new(config(Retransmit::Never), &Scheme::None, |now, direction, _, _, _| {
        let cut = direction == Direction::Up && (ms(90)..ms(400)).contains(&now);
        if cut { vec![] } else { vec![Duration::ZERO] }
    });
    pair.stream(3, 3000, millis(30));
    pair.ends[PERSON].request_refresh(pair.now, FrameId(1));
    pair.drain(PERSON);
    pair.run_for(millis(2500));
    assert_eq!(pair.events[SERVER].len(), 1);
    assert!(pair.ends.iter().all(|end| end.poll_timeout().is_none()), "and then there is peace");
}

#[test]
fn losing_half_of_the_feedback_loses_no_frame_and_no_count() {
    let mut pair = Pair::new(config(Retransmit::Always), &Scheme::None, |_, direction, _, index, _| {
        let lost = match direction {
            Direction::Up => index % 2 == 0,
            Direction::Down => index % 10 == 3,
        };
        if lost { vec![] } else { vec![Duration::ZERO] }
    });
    pair.stream(100, 10_000, millis(10));
    pair.run_for(millis(1000));
    assert_eq!(pair.delivered().len(), 100);
    let lost = pair.count_sent(Class::Retransmission);
    // 900 packets for the first time, a tenth lost, and a tenth of those again; few are sent for nothing.
    assert!((98..=115).contains(&lost), "{lost}");
}

#[test]
fn frames_beyond_the_bound_of_the_queue_come_back() {
    let slow = Config { rate: Rate::Fixed(Bitrate::from_bps(1000)), ..config(Retransmit::Never) };
    let mut pair = Pair::losing(slow, &Scheme::None, &[]);
    for _ in 0..4100 {
        pair.offer(SERVER, 2000, millis(100));
    }
    let dropped = |(_, event): &(Time, FrameEvent)| matches!(event, FrameEvent::Dropped(_));
    assert!(pair.events[SERVER].len() >= 3 && pair.events[SERVER].iter().all(dropped));
    assert_eq!(
        pair.count(|event| matches!(event, Event::FrameDropped { begun: false, .. })),
        pair.events[SERVER].len()
    );
}

#[test]
fn feedback_about_packets_never_sent_is_refused() {
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[]);
    pair.stream(1, 1000, millis(100));
    let feedback = feedback::Feedback { largest: 1000, run: 1, ..Default::default() };
    let header = packet::Header { number: 500, ..packet::Header::default() };
    let packet = Packet { header, body: Body::Feedback(Arc::new(feedback)) };
    pair.ends[SERVER].handle_packet(pair.now, Arrival { packet, ecn: Ecn::NotEct }, &mut pair.records);
    assert_eq!(pair.count(|event| *event == Event::Malformed(Malformed::OutOfRange)), 1);
}

/// A decoder with a bug: it recovers source packet 1 with the bytes of another packet.
#[derive(Debug, Default)]
struct Swapping {
    recovered: Option<DecodeEvent<Bytes>>,
}

impl Decoder<Bytes> for Swapping {
    fn push_source(&mut self, _now: Time, esi: u32, _symbol: &Bytes) {
        let fragment = |frame| {
            let frame = Frame {
                id: FrameId(frame),
                captured: Time::ZERO,
                deadline: ms(100),
                priority: Priority::Delta,
                size: 1000,
                head: Bytes::new(),
            };
            let fragment = packet::Fragment::of(&frame, 0, 1);
            let payload = filler::payload(Flow(0), &frame, &fragment);
            (fragment, payload)
        };
        if esi == 0 {
            let symbol = unit::seal(&fragment(1).0, &fragment(2).1);
            self.recovered = Some(DecodeEvent::Recovered { esi: 1, symbol });
        }
    }

    fn push_repair(&mut self, _: Time, _: &RepairHeader, _: &Bytes) -> Result<(), Malformed> {
        Ok(())
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<Bytes>> {
        self.recovered.take()
    }

    fn expire(&mut self, _esi: u32) {}
}

#[test]
fn a_recovery_with_the_bytes_of_another_packet_is_told_and_not_delivered() {
    let mut pair = Pair::losing(config(Retransmit::Never), &Scheme::None, &[]);
    let person = &mut pair.ends[PERSON];
    person.receiver = Receiver::new(Flow(0), &config(Retransmit::Never), Box::new(Swapping::default()));
    pair.stream(1, 1000, millis(100));
    assert_eq!(pair.count(|event| *event == Event::Miscoded { source: 1 }), 1);
    assert_eq!(ids(&pair.delivered()), [0]);
}

fn any_config() -> impl Strategy<Value = Config> {
    let retransmit =
        prop_oneof![Just(Retransmit::Never), Just(Retransmit::Deadline), Just(Retransmit::Always)];
    let stale = prop_oneof![Just(Stale::Keep), Just(Stale::Drop)];
    let rate = prop_oneof![
        Just(Rate::None),
        Just(Rate::Fixed(Bitrate::from_bps(5_000_000))),
        Just(Rate::Delay(rate::Limits::default())),
    ];
    (retransmit, stale, rate, 300_u16..1400).prop_map(|(retransmit, stale, rate, datagram)| Config {
        datagram,
        retransmit,
        stale,
        rate,
        ..Config::default()
    })
}

fn any_scheme() -> impl Strategy<Value = Scheme> {
    // A code that sends 84 times as much would take a quarter of an hour at the least rate.
    let moderate = |scheme: &Scheme| !matches!(scheme, Scheme::ReedSolomon(code) if code.repair() > 100);
    prop::sample::select(Scheme::all().into_iter().filter(moderate).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_source_packet_has_one_fate_and_every_frame_too(
        config in any_config(),
        scheme in any_scheme(),
        seed in any::<u64>(),
        (loss, duplicate, jitter) in (0.0..0.5, 0.0..0.2, 0_u64..30),
        sizes in prop::collection::vec(1_u32..20_000, 1..30),
    ) {
        let draws = crate::rng::Seed(seed).stream("path");
        let mut pair = Pair::new(config, &scheme, move |_, direction, _, index, _| {
            let mut rng = draws.part(direction as u64).at(index);
            if crate::rng::unit(&mut rng) < loss {
                return vec![];
            }
            let copies = 1 + u64::from(crate::rng::unit(&mut rng) < duplicate);
            (0..copies).map(|_| Duration::from_micros(crate::rng::below(&mut rng, 1 + jitter * 1000))).collect()
        });
        for size in &sizes {
            pair.offer(SERVER, *size, millis(100));
            pair.offer(PERSON, 8, millis(100));
            pair.run_for(millis(16));
        }
        // At the least rate, 150 kbit/s, 600 kB and 255 % of repair packets take two minutes.
        while pair.ends[SERVER].backlog() > ByteSize::ZERO && pair.now < Time::from_secs(600) {
            pair.run_for(millis(1000));
        }
        prop_assert_eq!(pair.ends[SERVER].backlog(), ByteSize::ZERO);
        pair.run_for(millis(3000));
        for direction in Direction::BOTH {
            let mut fates = BTreeMap::new();
            let of_direction = pair.records.iter().filter(|record| record.direction == direction);
            let mut sent = 0;
            for record in of_direction {
                match record.event {
                    Event::SourceSent { source, .. } => {
                        prop_assert_eq!(source, sent);
                        sent += 1;
                    }
                    Event::SourceArrived { source, .. } | Event::SourceLost { source } => {
                        prop_assert!(source < sent);
                        prop_assert!(fates.insert(source, ()).is_none(), "two fates for {}", source);
                    }
                    Event::Miscoded { .. } | Event::Malformed(_) => prop_assert!(false, "{record:?}"),
                    _ => {}
                }
            }
            // What has no fate was not seen to be missing, because nothing came after it.
            let known = fates.last_key_value().map_or(0, |(last, ())| *last + 1);
            if config.retransmit != Retransmit::Always {
                prop_assert_eq!(fates.len() as u64, known, "{:?}", direction);
            }
        }
        let mut told = BTreeSet::new();
        for (frame, _) in pair.delivered().into_iter().chain(pair.lost()) {
            prop_assert!(told.insert(frame), "frame {} twice", frame);
        }
        if config.retransmit == Retransmit::Always {
            prop_assert!(pair.lost().is_empty());
        }
    }
}
