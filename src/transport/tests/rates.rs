//! The delay-based rate in front of a bottleneck.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// What entered a bottleneck: when, how long it had to wait, and its size.
type Passed = Rc<RefCell<Vec<(Time, Duration, u32)>>>;

/// A bottleneck of this rate with a queue of at most 300 ms in front of the path, and what it measured.
fn bottleneck(rate: impl Fn(Time) -> u64 + 'static, lose: impl Fn(u64) -> bool + 'static) -> (Path, Passed) {
    let passed = Passed::default();
    let log = passed.clone();
    let mut free = Time::ZERO;
    let path = move |now: Time, direction, _: Class, index, size: u32| {
        if direction == Direction::Up {
            return vec![Duration::ZERO];
        }
        let wait = free.since(now);
        if wait > millis(300) {
            return vec![];
        }
        free = free.max(now) + Bitrate::from_bps(rate(now)).time_for(ByteSize::new(size.into()));
        log.borrow_mut().push((now, wait, size));
        if lose(index) { vec![] } else { vec![free.since(now)] }
    };
    (Box::new(path), passed)
}

/// Sends more than the path can carry for `secs` seconds under the delay-based rate. Gives, for each
/// second, the rate that entered the bottleneck in Mbit/s and the 95th percentile of its queue in ms.
fn congest(
    secs: u64,
    rate: impl Fn(Time) -> u64 + 'static,
    lose: impl Fn(u64) -> bool + 'static,
) -> Vec<(f64, f64)> {
    let config = Config {
        rate: Rate::Delay(rate::Limits::default()),
        stale: Stale::Drop,
        ..config(Retransmit::Never)
    };
    let (path, passed) = bottleneck(rate, lose);
    let mut pair = Pair::new(config, &Scheme::None, path);
    // 62.5 kB 60 times a second are 30 Mbit/s.
    pair.stream(secs as u32 * 60, 62_500, Duration::from_micros(16_667));
    let passed = passed.borrow();
    (0..secs)
        .map(|sec| {
            let of_second = || passed.iter().filter(|(at, ..)| at.as_nanos() / 1_000_000_000 == sec);
            let mut waits: Vec<Duration> = of_second().map(|(_, wait, _)| *wait).collect();
            waits.sort();
            let bits: u64 = of_second().map(|(_, _, size)| u64::from(*size) * 8).sum();
            let queue = waits.get(waits.len() * 95 / 100).copied().unwrap_or_default();
            (bits as f64 / 1e6, queue.as_millis_f64())
        })
        .collect()
}

#[test]
fn the_delay_based_rate_fills_the_path_and_keeps_its_queue_short() {
    // At 2 Mbit/s the shortest train that counts takes 40 ms, and what it shows is known a round trip
    // and a feedback interval later: a search for a quarter more queues 25 ms in that time on top.
    for (mbps, queue_max) in [(2, 75.0), (10, 50.0), (20, 50.0)] {
        let seconds = congest(20, move |_| mbps * 1_000_000, |_| false);
        let steady = &seconds[5..];
        let mean = steady.iter().map(|(rate, _)| rate).sum::<f64>() / steady.len() as f64;
        assert!(mean > 0.85 * mbps as f64, "{mbps} Mbit/s: {seconds:?}");
        assert!(steady.iter().all(|(_, queue)| *queue < queue_max), "{mbps} Mbit/s: {seconds:?}");
    }
}

#[test]
fn the_delay_based_rate_does_not_collapse_from_random_loss() {
    let stream = crate::rng::Seed(7).stream("loss");
    for share in [0.1, 0.4] {
        let lose = move |index| stream.unit(index) < share;
        let seconds = congest(20, |_| 10_000_000, lose);
        let mean = seconds[5..].iter().map(|(rate, _)| rate).sum::<f64>() / 15.0;
        assert!(mean > 7.5, "{share}: {seconds:?}");
    }
}

#[test]
fn the_delay_based_rate_yields_when_the_path_gets_half_as_fast() {
    let seconds =
        congest(20, |now| if now < Time::from_secs(10) { 20_000_000 } else { 10_000_000 }, |_| false);
    // Within a second of the change the rate is below the new one and the queue short again.
    assert!(seconds[11..].iter().all(|(rate, queue)| *rate < 10.5 && *queue < 60.0), "{seconds:?}");
    assert!(seconds[12..].iter().map(|(rate, _)| rate).sum::<f64>() > 0.8 * 80.0, "{seconds:?}");
}

#[test]
fn a_mark_sends_the_rate_down_for_a_round() {
    let mut rate = Rate::Delay(rate::Limits::default()).controller();
    let start = rate.rate().unwrap().bps() as f64;
    // A round is over with a train of a round trip; this one arrives at the rate of the start.
    let train = rate::Train { bytes: 12_500, time: millis(50) };
    let none = rate::Train::default();
    for (at, marked, train, expected) in [
        (1000, 0, train, 2.0), // the first search
        (1020, 3, none, 0.75),
        (1040, 5, none, 0.75),
        (1100, 0, train, 1.0),
        (1120, 1, none, 0.75),
    ] {
        let (queue, round_trip) = (Duration::ZERO, millis(50));
        let sample =
            rate::Sample { now: ms(at), queue, round_trip, expected: 10, lost: 0, marked, sent: 0, train };
        rate.handle_feedback(&sample);
        let got = rate.rate().unwrap().bps() as f64 / start;
        assert!((got - expected).abs() < 1e-3, "at {at} ms {got}, not {expected}");
    }
}

#[test]
fn marks_are_counted_and_told() {
    let config = Config { ecn: true, rate: Rate::Delay(rate::Limits::default()), ..Config::default() };
    let end =
        |direction| End::new(Flow(0), direction, &config, Scheme::None.encoder(), Scheme::None.decoder());
    let (mut server, mut person) = (end(Direction::Down), end(Direction::Up));
    let mut records: Vec<Record> = Vec::new();
    let (id, head) = (FrameId(0), Bytes::from_static(b"head"));
    let (captured, deadline, priority) = (ms(0), ms(1000), Priority::Delta);
    server.offer(ms(0), Frame { id, captured, deadline, priority, size: 5_000, head }, &mut records);
    let mut marks = 0;
    for now in (0..100).map(ms) {
        while let Some(Transmit { packet, ecn }) = server.poll_transmit(now, &mut records) {
            assert_eq!(ecn, Ecn::Ect0);
            marks += 1;
            let ecn = if marks <= 3 { Ecn::Ce } else { ecn };
            person.handle_packet(now, Arrival { packet, ecn }, &mut records);
        }
        person.handle_timeout(now, &mut records);
    }
    let told = std::iter::from_fn(|| person.poll_transmit(ms(200), &mut records));
    let marked = told.filter_map(|transmit| match transmit.packet.body {
        Body::Feedback(feedback) => Some(feedback.marked),
        _ => None,
    });
    assert_eq!((marks, marked.last()), (5, Some(3)));
}
