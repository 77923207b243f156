//! Hand-made records and what they come to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::metrics::{METRICS, NEVER_ARRIVED};
use super::*;
use crate::endpoint::{Class, Flow};
use crate::frame::{Delivered, Frame, FrameId, Regions};
use crate::record::{Arrived, DropReason, PacketInfo, Transit};
use crate::traffic::{DependencyKind, EncoderKind, FrameTrace, WorkloadConfig, WorkloadKind};
use crate::units::ByteSize;

const DOWN: Direction = Direction::Down;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// One session; warm-up 1 s, captures until 11 s, end at 13 s, ticks every 10 ms.
fn config() -> MeasureConfig {
    MeasureConfig {
        warm_up: ms(1000),
        duration: ms(11_000),
        end: ms(13_000),
        display: Duration::from_millis(10),
        sessions: 1,
        capacity: None,
        neighbours: Vec::new(),
    }
}

/// Records in the order of their times, whatever the order in which they are written here.
#[derive(Default)]
struct Script(Vec<Record>);

impl Script {
    fn add(&mut self, at: Time, flow: u16, direction: Direction, event: Event) {
        self.0.push(Record { at, flow: Flow(flow), direction, event });
    }

    /// A whole picture of 1000 bytes, in time within 100 ms.
    fn capture(&mut self, at: Time, flow: u16, frame: u32) {
        let deadline = at + Duration::from_millis(100);
        let (frame, regions, again) = (FrameId(frame), Regions::ALL, Regions::NONE);
        let event = Event::FrameCaptured { frame, bytes: 1000, deadline, regions, again };
        self.add(at, flow, DOWN, event);
    }

    fn deliver(&mut self, at: Time, flow: u16, frame: u32) {
        let frame = FrameId(frame);
        self.add(at, flow, DOWN, Event::FrameComplete { frame });
        self.add(at, flow, DOWN, Event::FrameDecoded { frame });
    }

    fn metrics(mut self, config: MeasureConfig) -> Metrics {
        self.0.sort_by_key(|record| record.at);
        let mut summary = Summary::new(config, Seed(1));
        for record in &self.0 {
            summary.record(record);
        }
        summary.finish()
    }
}

#[track_caller]
fn assert_near(metrics: &Metrics, key: &str, expected: f64, bound: f64) {
    match metrics.get(key) {
        Some(Value::Number(got)) => {
            assert!((got - expected).abs() <= bound, "{key}: {got}, not {expected}");
        }
        other => panic!("{key}: {other:?}"),
    }
}

/// Pictures every `interval` with the delay `delay`, from 0 to 11 s.
fn steady(interval: Duration, delay: Duration) -> Script {
    let mut script = Script::default();
    let mut at = Time::ZERO;
    let mut frame = 0;
    while at < ms(11_000) {
        script.capture(at, 0, frame);
        script.deliver(at + delay, 0, frame);
        at += interval;
        frame += 1;
    }
    script
}

#[test]
fn the_age_of_steady_pictures_follows_the_closed_form() {
    // Pictures every T = 40.007 ms with a delay of D = 25 ms, less than T, and ticks fine enough to
    // be continuous. Within a period the age rises from 0 to D while the next picture is under way
    // and is 0 for the rest, so it is below x for the share 1 − (D − x) / T: the median is
    // D − T / 2, the 95th percentile D − T / 20. A tick of 0.1 ms later it is on the screen.
    let script = steady(Duration::from_micros(40_007), Duration::from_millis(25));
    let metrics = script.metrics(MeasureConfig { display: Duration::from_micros(100), ..config() });
    assert_near(&metrics, "age_p50_ms", 25.0 - 20.0035, 0.11);
    assert_near(&metrics, "age_p95_ms", 25.0 - 2.0, 0.11);
    assert_near(&metrics, "age_p99_ms", 25.0 - 0.4, 0.11);
    assert_near(&metrics, "age_max_ms", 25.0, 0.1);
    assert_near(&metrics, "worst_session_age_p99_ms", 25.0 - 0.4, 0.11);
    assert_near(&metrics, "frame_delay_p99_ms", 25.0, 0.025);
    assert_near(&metrics, "frames_on_time_pct", 100.0, 0.0);
    assert_near(&metrics, "frames_shown_pct", 100.0, 0.0);
}

#[test]
fn the_age_of_pictures_that_take_longer_than_their_distance_follows_the_closed_form() {
    // With D = 100 ms above T = 40.007 ms something newer is always under way: the age runs from
    // D − T to D, uniformly.
    let script = steady(Duration::from_micros(40_007), Duration::from_millis(100));
    let metrics = script.metrics(MeasureConfig { display: Duration::from_micros(100), ..config() });
    assert_near(&metrics, "age_p50_ms", 100.0 - 20.0, 0.15);
    assert_near(&metrics, "age_p99_ms", 100.0 - 0.4, 0.15);
    assert_near(&metrics, "age_max_ms", 100.0, 0.1);
}

#[test]
fn coarse_ticks_sample_the_same_ages() {
    // Ticks of 10 ms and pictures whose phase against them runs through all values: an age is
    // sampled when its tick has brought on the screen what was there, so it is still from D − T
    // to D. The window's 1000 ticks step by less than 1 ms through the phases.
    let script = steady(Duration::from_micros(40_007), Duration::from_millis(100));
    let metrics = script.metrics(config());
    assert_near(&metrics, "age_p50_ms", 80.0, 1.0);
    assert_near(&metrics, "age_max_ms", 99.5, 0.5);
    // A frame waits for its tick, and the next one for as long within 7 µs: gaps are even.
    assert_near(&metrics, "motion_unevenness_ms", 0.0, 0.4);
}

#[test]
fn what_a_person_sees_of_a_stall_is_counted() {
    // Pictures every 40 ms, 20 ms under way. From 5 s on nothing arrives for two seconds; frames of
    // that time are superseded by the first one after it or late.
    let mut script = Script::default();
    for frame in 0..275_u32 {
        let at = ms(u64::from(frame) * 40);
        script.capture(at, 0, frame);
        let arrives = at + Duration::from_millis(20);
        let stalled = ms(5000) <= arrives && arrives < ms(7000);
        script.deliver(if stalled { ms(7000) } else { arrives }, 0, frame);
    }
    let metrics = script.metrics(config());
    // 250 frames in the window; frames 125 to 174 come at 7 s, and the newest of them is shown.
    // Of the others the two captured within 100 ms before 7 s are superseded, the rest is late.
    assert_near(&metrics, "frames_shown_pct", 100.0 * 201.0 / 250.0, 1e-9);
    assert_near(&metrics, "frames_superseded_pct", 100.0 / 250.0, 1e-9);
    assert_near(&metrics, "frames_late_pct", 100.0 * 48.0 / 250.0, 1e-9);
    assert_near(&metrics, "frames_on_time_pct", 100.0 * 202.0 / 250.0, 1e-9);
    assert_near(&metrics, "freeze_count", 1.0, 0.0);
    // The screen was exact when frame 125 was captured at 5 s; it changed within a tick after 7 s.
    assert_near(&metrics, "freeze_longest_ms", 2005.0, 5.0);
    assert_near(&metrics, "frozen_pct", 20.05, 0.05);
    assert_near(&metrics, "age_max_ms", 1995.0, 5.0);
}

#[test]
fn every_fate_has_its_share() {
    let mut script = Script::default();
    for frame in 0..10 {
        script.capture(ms(2000 + u64::from(frame)), 0, frame);
    }
    // Frames 0 and 1 and 9 come together, so that only the newest is shown.
    for frame in [0, 1, 9] {
        script.deliver(ms(2050), 0, frame);
    }
    script.deliver(ms(2150), 0, 2);
    script.add(ms(2060), 0, DOWN, Event::FrameComplete { frame: FrameId(3) });
    script.add(ms(2060), 0, DOWN, Event::FrameUndecodable { frame: FrameId(3) });
    script.add(ms(2060), 0, DOWN, Event::FrameDropped { frame: FrameId(4), begun: false });
    script.add(ms(2060), 0, DOWN, Event::FrameDropped { frame: FrameId(5), begun: true });
    script.add(ms(2060), 0, DOWN, Event::FrameLost { frame: FrameId(6) });
    let metrics = script.metrics(config());
    let fates = [
        ("frames_shown_pct", 10.0),
        ("frames_superseded_pct", 20.0),
        ("frames_late_pct", 10.0),
        ("frames_undecodable_pct", 10.0),
        ("frames_never_sent_pct", 10.0),
        ("frames_unrepairable_pct", 20.0),
        ("frames_unfinished_pct", 20.0),
        ("frames_on_time_pct", 30.0),
    ];
    for (key, share) in fates {
        assert_near(&metrics, key, share, 0.0);
    }
    // Four of ten were decoded, which is no half.
    assert_eq!(metrics.get("frame_delay_p50_ms"), Some(Value::Absent(NEVER_ARRIVED)));
}

#[test]
fn quantiles_among_what_never_arrived_are_absent() {
    let mut script = steady(Duration::from_millis(40), Duration::from_millis(20));
    script.0.retain(|record| match record.event {
        Event::FrameComplete { frame } | Event::FrameDecoded { frame } => frame.0 % 50 != 30,
        _ => true,
    });
    let metrics = script.metrics(config());
    // Two percent are missing.
    assert_near(&metrics, "frame_delay_p95_ms", 20.0, 0.02);
    assert_eq!(metrics.get("frame_delay_p99_ms"), Some(Value::Absent(NEVER_ARRIVED)));
    assert_near(&metrics, "frames_unfinished_pct", 2.0, 0.0);
}

#[test]
fn areas_that_stand_still_become_sharp() {
    let mut script = Script::default();
    // The picture changes every second and takes 120 ms, once 320 ms; ticks add up to 10 ms.
    for frame in 0..11_u32 {
        let at = ms(u64::from(frame) * 1000);
        script.capture(at, 0, frame);
        script.deliver(at + Duration::from_millis(if frame == 5 { 320 } else { 120 }), 0, frame);
    }
    let metrics = script.metrics(config());
    // The ten changes of the window all stand still; the worst tenth holds the 95th percentile.
    assert_near(&metrics, "sharp_after_p95_ms", 325.0, 5.2);
}

#[test]
fn costs_and_rates_follow_from_the_packets() {
    let mut script = Script::default();
    let packet = |index, class, size, payload| PacketInfo { index, class, size, payload };
    let (mut down, mut up) = (0, 0);
    // In each of the ten seconds of the window: four source packets of 1000 + 40 bytes, a repair
    // packet of as much, a feedback packet of 50; the second source packet is lost, and recovered.
    for second in 1..11 {
        let at = ms(second * 1000 + 1);
        for number in 0..4 {
            let (source, bytes) = (second * 4 + number, 1000);
            let info = packet(down, Class::Source, 1040, 1000);
            down += 1;
            script.add(at, 0, DOWN, Event::SourceSent { source, bytes });
            script.add(at, 0, DOWN, Event::PacketSent(info));
            let later = at + Duration::from_millis(30);
            let (by, queued) = if number == 1 {
                script.add(at, 0, DOWN, Event::PacketDropped(info, DropReason::Loss));
                (Arrived::Recovered { after: Duration::from_millis(8) }, Duration::ZERO)
            } else {
                (Arrived::Delivered, Duration::from_millis(number))
            };
            if number != 1 {
                let transit = Transit { total: Duration::from_millis(30), queued };
                script.add(later, 0, DOWN, Event::PacketDelivered(info, transit));
            }
            script.add(later, 0, DOWN, Event::SourceArrived { source, bytes, by, in_time: true });
        }
        let repair = packet(down, Class::Repair, 1040, 1000);
        down += 1;
        script.add(at, 0, DOWN, Event::PacketSent(repair));
        script.add(at, 0, Direction::Up, Event::PacketSent(packet(up, Class::Feedback, 50, 0)));
        up += 1;
        // A neighbor's packets change nothing.
        script.add(at, 1, DOWN, Event::PacketSent(packet(0, Class::Source, 1500, 1460)));
    }
    let capacity = Some(Bitrate::from_bps(100_000));
    let metrics = script.metrics(MeasureConfig { capacity, ..config() });
    assert_near(&metrics, "repair_overhead_pct", 25.0, 1e-9);
    assert_near(&metrics, "wire_overhead_pct", 100.0 * 1250.0 / 4000.0, 1e-9);
    assert_near(&metrics, "feedback_bps", 400.0, 1e-9);
    assert_near(&metrics, "goodput_bps", 32_000.0, 1e-9);
    assert_near(&metrics, "network_loss_pct", 20.0, 1e-9);
    assert_near(&metrics, "network_loss_random_pct", 20.0, 1e-9);
    assert_near(&metrics, "network_loss_queue_pct", 0.0, 0.0);
    assert_near(&metrics, "loss_burst_mean", 1.0, 0.0);
    assert_near(&metrics, "residual_loss_pct", 0.0, 0.0);
    assert_near(&metrics, "recovery_delay_p50_ms", 8.0, 0.01);
    assert_near(&metrics, "recovery_delay_p95_ms", 8.0, 0.01);
    assert_near(&metrics, "queue_delay_p50_ms", 2.0, 0.001);
    assert_near(&metrics, "queue_delay_p95_ms", 3.0, 0.002);
    assert_near(&metrics, "interarrival_jitter_ms", 0.0, 0.0);
    // 30 packets of 1040 bytes in ten seconds at 100 kbit/s.
    assert_near(&metrics, "capacity_used_pct", 24.96, 1e-9);
    assert_eq!(metrics.get("jain_index"), Some(Value::Absent("there is only one session")));
    assert_eq!(metrics.get("age_p50_ms"), Some(Value::Absent(NO_PICTURE)));
}

#[test]
fn sessions_are_pooled_and_the_worst_is_told() {
    let mut script = Script::default();
    for frame in 0..275_u32 {
        let at = ms(u64::from(frame) * 40);
        for (flow, delay) in [(0, 20), (1, 20), (2, 320)] {
            let arrives = at + Duration::from_millis(delay);
            script.capture(at, flow, frame);
            script.deliver(arrives, flow, frame);
            let source = u64::from(frame);
            let bytes = if flow == 2 { 500 } else { 1000 };
            let event = Event::SourceArrived { source, bytes, by: Arrived::Delivered, in_time: true };
            script.add(arrives, flow, DOWN, event);
        }
    }
    let metrics = script.metrics(MeasureConfig { sessions: 3, ..config() });
    assert_near(&metrics, "age_p50_ms", 10.0, 11.0);
    assert_near(&metrics, "worst_session_age_p99_ms", 315.0, 6.0);
    assert_near(&metrics, "frames_on_time_pct", 200.0 / 3.0, 1e-9);
    // (1 + 1 + 1/2)² / (3 × (1 + 1 + 1/4)); the slow session's window holds as many arrivals.
    assert_near(&metrics, "jain_index", 6.25 / 6.75, 1e-9);
    assert_near(&metrics, "offered_rate_bps", 3.0 * 25.0 * 8000.0, 1e-6);
    assert_near(&metrics, "source_rate_bps", 3.0 * 25.0 * 8000.0, 1e-6);
}

#[test]
fn input_travels_up() {
    let mut script = Script::default();
    // Keys 0 to 19 are struck in the warm-up, and take a second.
    for key in 0..120_u32 {
        let at = ms(u64::from(key) * 50);
        let deadline = at + Duration::from_millis(100);
        let (frame, regions) = (FrameId(key), Regions::NONE);
        let event = Event::FrameCaptured { frame, bytes: 32, deadline, regions, again: regions };
        script.add(at, 0, Direction::Up, event);
        let delay = Duration::from_millis(match key {
            0..20 => 1000,
            key if key % 10 == 0 => 200,
            _ => 30,
        });
        script.add(at + delay, 0, Direction::Up, Event::FrameDecoded { frame });
    }
    let metrics = script.metrics(config());
    assert_near(&metrics, "keys_delay_p95_ms", 200.0, 0.2);
    assert_eq!(metrics.get("frames_shown_pct"), Some(Value::Absent(NO_PICTURE)));
}

#[test]
fn the_warm_up_and_the_drain_do_not_count() {
    // Terrible before 1 s and after 11 s, perfect between.
    let mut script = Script::default();
    script.capture(ms(0), 0, 0);
    script.deliver(ms(990), 0, 0);
    for frame in 1..100_u32 {
        let at = ms(1000 + u64::from(frame) * 100);
        script.capture(at, 0, frame);
        script.deliver(at + Duration::from_millis(1), 0, frame);
    }
    script.capture(ms(11_000), 0, 100);
    let metrics = script.metrics(config());
    assert_near(&metrics, "frames_shown_pct", 100.0, 0.0);
    assert_near(&metrics, "freeze_count", 0.0, 0.0);
    assert_near(&metrics, "age_max_ms", 0.5, 0.5);
}

#[test]
fn every_metric_is_measured() {
    let metrics = Script::default().metrics(config());
    for (metric, value) in metrics.iter() {
        assert_ne!(value, Value::Absent("not measured"), "{}", metric.key);
    }
}

/// One session of the recorded desktop over a path that delays every frame by 40 ms and loses it
/// with the chance `loss`, which the viewer learns 20 ms later; requests take 40 ms back.
fn recorded_session(dependency: DependencyKind, loss: f64, seconds: u64) -> Metrics {
    enum Happening {
        Capture,
        Arrival(Delivered),
        Loss(FrameId),
        Request(FrameId),
    }
    const DELAY: Duration = Duration::from_millis(40);
    let trace = include_str!("../../../scenarios/traces/desktop-session-30fps.csv");
    let traffic = WorkloadConfig {
        kind: WorkloadKind::Trace(FrameTrace::parse(trace).unwrap()),
        dependency,
        encoder: EncoderKind::Fixed,
        deadline: Duration::from_millis(100),
    };
    let (flow, end) = (Flow(0), Time::from_secs(seconds));
    let config =
        MeasureConfig { warm_up: ms(2000), duration: end, end: end + Duration::from_secs(2), ..config() };
    let mut summary = Summary::new(config, Seed(4));
    let mut workload = traffic.workload(Seed(4), flow, DOWN);
    let mut viewer = traffic.viewer(flow, DOWN);
    let luck = Seed(4).stream("test/loss");
    let mut calendar = BTreeMap::new();
    let mut number = 0_u64;
    let mut plan = |calendar: &mut BTreeMap<_, _>, at: Time, what| {
        number += 1;
        calendar.insert((at, number), what);
    };
    plan(&mut calendar, workload.next_at().unwrap(), Happening::Capture);
    while let Some(((now, _), what)) = calendar.pop_first() {
        let missing = match what {
            Happening::Capture => {
                if now < end {
                    if let Some(captured) = workload.capture(now, None, ByteSize::ZERO) {
                        let Frame { id, deadline, size, head, .. } = captured.frame;
                        let (regions, again) = (captured.regions, captured.again);
                        let event = Event::FrameCaptured { frame: id, bytes: size, deadline, regions, again };
                        summary.record(&Record { at: now, flow, direction: DOWN, event });
                        if luck.unit(u64::from(id.0)) < loss {
                            plan(&mut calendar, now + DELAY + DELAY / 2, Happening::Loss(id));
                        } else {
                            let frame = Delivered { id, size, head };
                            plan(&mut calendar, now + DELAY, Happening::Arrival(frame));
                        }
                    }
                    plan(&mut calendar, workload.next_at().unwrap().max(now), Happening::Capture);
                }
                None
            }
            Happening::Arrival(frame) => {
                let event = Event::FrameComplete { frame: frame.id };
                summary.record(&Record { at: now, flow, direction: DOWN, event });
                viewer.handle_delivered(now, &frame, &mut summary)
            }
            Happening::Loss(id) => {
                let event = Event::FrameLost { frame: id };
                summary.record(&Record { at: now, flow, direction: DOWN, event });
                viewer.handle_lost(now, id, &mut summary)
            }
            Happening::Request(id) => {
                workload.handle_refresh_request(now, id);
                None
            }
        };
        if let Some(id) = missing {
            plan(&mut calendar, now + DELAY, Happening::Request(id));
        }
    }
    summary.finish()
}

#[test]
fn without_loss_the_recorded_session_looks_the_same_under_every_dependency() {
    use DependencyKind::{Chain, Independent, Regions};
    for dependency in [Independent, Chain, Regions] {
        let metrics = recorded_session(dependency, 0.0, 60);
        assert_near(&metrics, "frames_shown_pct", 100.0, 0.0);
        assert_near(&metrics, "freeze_count", 0.0, 0.0);
        // Pictures come every 33 ms with a delay of 40: ages lie between 7 and 40 ms, or are 0
        // where a tick falls between an arrival and the next capture in the longer gaps.
        assert_near(&metrics, "age_max_ms", 35.0, 5.0);
        assert_near(&metrics, "age_p50_ms", 23.5, 5.0);
    }
}

#[test]
fn a_lost_frame_costs_a_chain_a_refresh_and_regions_their_tiles() {
    let number = |metrics: &Metrics, key| metrics.get(key).and_then(Value::number).unwrap();
    let whole = number(&recorded_session(DependencyKind::Chain, 0.0, 60), "offered_rate_bps");
    let chain = recorded_session(DependencyKind::Chain, 0.05, 60);
    let regions = recorded_session(DependencyKind::Regions, 0.05, 60);
    // A loss breaks the chain for 60 ms until it is known, 40 ms for the request and up to 33 ms
    // until the refresh is captured: four frames go, of which the first two or three are followed by
    // whole ones that are of no use.
    let undecodable = number(&chain, "frames_undecodable_pct");
    let lost = number(&chain, "frames_unrepairable_pct");
    assert!(undecodable > 1.5 * lost && undecodable < 4.0 * lost, "{undecodable} % after {lost} %");
    assert_near(&regions, "frames_undecodable_pct", 0.0, 0.0);
    // Regions send at most the lost bytes again, a chain whole screens.
    assert!(number(&regions, "offered_rate_bps") < 1.06 * whole);
    assert!(number(&chain, "offered_rate_bps") > 1.3 * whole);
    assert!(number(&chain, "age_p99_ms") > 1.5 * number(&regions, "age_p99_ms"));
}

fn any_event() -> impl Strategy<Value = Event> {
    let frame = (0_u32..40).prop_map(FrameId);
    let packet = (0_u64..50, 0_usize..5, 0_u32..3000).prop_map(|(index, class, size)| PacketInfo {
        index,
        class: Class::ALL[class],
        size,
        payload: size / 2,
    });
    prop_oneof![
        4 => (frame.clone(), 0_u64..3000, any::<[u64; 2]>(), any::<u128>()).prop_map(
            |(frame, deadline, tiles, again)| {
                let regions = Regions(u128::from(tiles[0]) << 64 | u128::from(tiles[1] & tiles[0]));
                let again = regions & Regions(again);
                Event::FrameCaptured { frame, bytes: 9, deadline: ms(deadline), regions, again }
            }
        ),
        2 => frame.clone().prop_map(|frame| Event::FrameComplete { frame }),
        3 => frame.clone().prop_map(|frame| Event::FrameDecoded { frame }),
        1 => frame.clone().prop_map(|frame| Event::FrameUndecodable { frame }),
        1 => frame.clone().prop_map(|frame| Event::FrameLost { frame }),
        1 => (frame, any::<bool>()).prop_map(|(frame, begun)| Event::FrameDropped { frame, begun }),
        1 => packet.clone().prop_map(Event::PacketSent),
        1 => packet.clone().prop_map(Event::PacketDuplicated),
        1 => (packet.clone(), 0_usize..7)
            .prop_map(|(packet, reason)| Event::PacketDropped(packet, DropReason::ALL[reason])),
        1 => (packet, any::<u64>(), any::<u64>()).prop_map(|(packet, total, queued)| {
            let (total, queued) = (Duration::from_nanos(total), Duration::from_nanos(queued));
            Event::PacketDelivered(packet, Transit { total, queued })
        }),
        1 => (0_u64..50, 0_u32..2000).prop_map(|(source, bytes)| Event::SourceSent { source, bytes }),
        1 => (0_u64..50).prop_map(|source| Event::SourceLost { source }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_records_in_order_give_metrics_and_fates_that_sum_to_all(
        steps in proptest::collection::vec((0_u64..40, 0_u16..3, any::<bool>(), any_event()), 0..300),
    ) {
        let mut at = Time::ZERO;
        let config = MeasureConfig { warm_up: ms(500), duration: ms(2500), end: ms(3000), sessions: 2, ..config() };
        let mut summary = Summary::new(config, Seed(2));
        for (wait, flow, down, event) in steps {
            at += Duration::from_millis(wait);
            let direction = if down { Direction::Down } else { Direction::Up };
            summary.record(&Record { at, flow: Flow(flow), direction, event });
        }
        for session in &mut summary.sessions {
            session.display.finish(at.max(ms(3000)));
        }
        let counts = summary.counts();
        prop_assert_eq!(counts.fates.iter().sum::<u64>(), counts.captured);
        prop_assert!(counts.on_time <= counts.captured);
        let metrics = summary.finish();
        prop_assert_eq!(metrics.iter().count(), METRICS.len());
        let shares = Fate::ALL.map(|fate| metrics.get(fate_key(fate)).and_then(Value::number));
        if counts.captured > 0 {
            // Seven shares, each rounded in its last bit.
            let sum: f64 = shares.iter().flatten().sum();
            prop_assert!((sum - 100.0).abs() < 1e-9, "{}", sum);
        } else {
            prop_assert_eq!(shares, [None; 7]);
        }
    }
}

#[test]
fn a_run_that_is_ended_early_has_the_figures_of_the_time_that_it_had() {
    let script = steady(Duration::from_millis(50), Duration::from_millis(20));
    let mut summary = Summary::new(config(), Seed(1));
    for record in script.0.iter().filter(|record| record.at < ms(6000)) {
        summary.record(record);
    }
    summary.cut(ms(6000));
    let metrics = summary.finish();
    // 20 pictures of 1000 bytes a second, whether five seconds count or ten.
    assert_near(&metrics, "offered_rate_bps", 160_000.0, 1.0);
    assert_near(&metrics, "frames_on_time_pct", 100.0, 1.0);
    let whole = script.metrics(config());
    assert_eq!(metrics.get("age_p50_ms"), whole.get("age_p50_ms"));
}

#[test]
fn neighbours_are_measured_by_group_and_together() {
    let mut script = Script::default();
    let arrived = |bytes| {
        let by = Arrived::Delivered;
        Event::SourceArrived { source: 0, bytes, by, in_time: true }
    };
    // A session, two downloads, and a call; what arrives before or behind the window does not count.
    for (flow, bytes) in [(0, 1_000_000), (1, 3_000_000), (2, 1_000_000), (3, 500_000)] {
        script.add(ms(5000), flow, DOWN, arrived(bytes));
        script.add(ms(500), flow, DOWN, arrived(7_000_000));
        script.add(ms(12_000), flow, DOWN, arrived(7_000_000));
        script.add(ms(6000), flow, Direction::Up, arrived(7_000_000));
    }
    script.add(ms(6000), 4, DOWN, arrived(7_000_000));
    let metrics = script.metrics(MeasureConfig { neighbours: vec![2, 1], ..config() });
    assert_near(&metrics, "goodput_bps", 800_000.0, 1e-6);
    assert_near(&metrics, "neighbour_goodput_bps", 3_600_000.0, 1e-6);
    assert_near(&metrics, "path_jain_index", 5.5 * 5.5 / (4.0 * 11.25), 1e-9);
    let [downloads, call] = metrics.neighbours() else { panic!("{:?}", metrics.neighbours()) };
    assert_eq!(downloads.goodput_bps, Value::Number(3_200_000.0));
    assert_eq!(downloads.jain_index, Value::Number(16.0 / 20.0));
    assert_eq!(call.goodput_bps, Value::Number(400_000.0));
    assert_eq!(call.jain_index, Value::Absent("there is only one session"));
    let alone = Script::default().metrics(config());
    assert_eq!(alone.get("path_jain_index"), Some(Value::Absent("there is no neighbour")));
    assert!(alone.neighbours().is_empty());
}
