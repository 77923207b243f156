//! Hand-made records, and what there is to see of them.

use super::*;
use crate::endpoint::{Class, Flow};
use crate::frame::Regions;
use crate::measure::Summary;
use crate::record::{Arrived, DropReason, PacketInfo, Transit};

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// One session, ticks every 10 ms, everything from the start counts.
fn config() -> MeasureConfig {
    MeasureConfig {
        warm_up: Time::ZERO,
        duration: ms(60_000),
        end: ms(61_000),
        display: Duration::from_millis(10),
        sessions: 1,
        capacity: None,
        neighbours: Vec::new(),
    }
}

fn record(at: Time, event: Event) -> Record {
    Record { at, flow: Flow(0), direction: Direction::Down, event }
}

/// The records of a frame of one packet of 1000 bytes, captured at `at`: sent 2 ms later, 5 ms in the
/// queue, 20 ms on the link.
fn frame(number: u32, at: Time, lost: bool) -> Vec<Record> {
    let id = FrameId(number);
    let packet = PacketInfo { index: u64::from(number), class: Class::Source, size: 1028, payload: 1000 };
    let [sent, arrived] = [2, 27].map(|millis| at + Duration::from_millis(millis));
    let (regions, again) = (Regions::ALL, Regions::NONE);
    let deadline = at + Duration::from_millis(100);
    let captured = Event::FrameCaptured { frame: id, bytes: 1000, deadline, regions, again };
    let source = u64::from(number);
    let mut records = vec![
        record(at, captured),
        record(sent, Event::SourceSent { source, bytes: 1000 }),
        record(sent, Event::PacketSent(packet)),
    ];
    if lost {
        records.push(record(arrived, Event::PacketDropped(packet, DropReason::Loss)));
        records.push(record(arrived, Event::SourceLost { source }));
        records.push(record(arrived, Event::FrameLost { frame: id }));
        return records;
    }
    let transit = Transit { total: Duration::from_millis(25), queued: Duration::from_millis(5) };
    let by = Arrived::Delivered;
    records.push(record(arrived, Event::PacketDelivered(packet, transit)));
    records.push(record(arrived, Event::SourceArrived { source, bytes: 1000, by, in_time: true }));
    records.push(record(arrived, Event::FrameComplete { frame: id }));
    records.push(record(arrived, Event::FrameDecoded { frame: id }));
    records
}

/// A frame every 20 ms; of frames for which `lost` holds nothing arrives.
fn stream(count: u32, lost: impl Fn(u32) -> bool) -> Vec<Record> {
    let mut records: Vec<Record> =
        (0..count).flat_map(|number| frame(number, ms(u64::from(number) * 20), lost(number))).collect();
    records.sort_by_key(|record| record.at);
    records
}

fn watch(records: &[Record]) -> Recent {
    let mut recent = Recent::new(&config(), Seed(1));
    records.iter().for_each(|one| recent.record(one));
    recent
}

#[test]
fn the_budget_is_the_way_from_capture_to_screen() {
    let mut recent = watch(&stream(100, |_| false));
    recent.advance(ms(2_000));
    let budget = recent.glance().budget.unwrap();
    let millis = budget.stages().map(|(_, stage)| stage.as_micros() / 1000);
    assert_eq!(millis[..4], [2, 5, 20, 0]);
    // Ticks come every 10 ms, so the wait for one is shorter; capture to screen is 27 ms and that.
    assert!(budget.tick < Duration::from_millis(10));
    assert_eq!(budget.total(), Duration::from_millis(27) + budget.tick);
}

#[test]
fn the_quantiles_are_those_of_the_summary() {
    let records = stream(1_000, |number| number % 7 == 0);
    let mut recent = watch(&records);
    recent.advance(ms(61_000));
    let mut summary = Summary::new(config(), Seed(1));
    records.iter().for_each(|one| summary.record(one));
    let metrics = summary.finish();
    let glance = recent.glance();
    for (key, value) in [
        ("age_p50_ms", glance.age_p50_ms),
        ("age_p99_ms", glance.age_p99_ms),
        ("freeze_longest_ms", Some(glance.freeze_longest.as_millis_f64())),
    ] {
        assert_eq!(metrics.get(key), value.map(Value::Number), "{key}");
    }
    let shown = metrics.get("frames_shown_pct").unwrap().number().unwrap();
    assert_eq!(glance.fates[Fate::Shown as usize] as f64 * 100.0 / 1_000.0, shown);
}

#[test]
fn losses_are_those_of_the_last_five_seconds() {
    // Two of ten are lost from 4 s to 8 s, one after the other.
    let lossy = |number: u32| (200..400).contains(&number) && number % 10 < 2;
    let records = stream(1_000, lossy);
    let glance_at = |at: u64| {
        let until: Vec<Record> = records.iter().copied().filter(|record| record.at < ms(at)).collect();
        let mut recent = watch(&until);
        recent.advance(ms(at));
        recent.glance()
    };
    assert_eq!((glance_at(4_000).loss, glance_at(4_000).burst), (Some(0.0), None));
    let during = glance_at(8_000);
    // Four of the five seconds lose a fifth.
    assert_eq!((during.loss, during.burst), (Some(0.16), Some(2.0)));
    assert_eq!(glance_at(13_500).loss, Some(0.0));
    let goodput = glance_at(13_500).goodput;
    assert_eq!(goodput, Some(Bitrate::from_bps(400_000)), "50 frames of 1000 bytes a second");
}

#[test]
fn peaks_are_the_highest_ages_of_half_a_second() {
    // Nothing arrives from 2 s to 4 s.
    let mut recent = watch(&stream(400, |number| (100..200).contains(&number)));
    recent.advance(ms(8_000));
    let peaks = recent.glance().peaks;
    assert_eq!(peaks.len(), 16);
    let millis: Vec<u64> = peaks.iter().map(|peak| peak.map_or(0, |peak| peak.as_micros() / 1000)).collect();
    assert!(millis[..4].iter().all(|&peak| peak < 40), "{millis:?}");
    assert!((490..=500).contains(&millis[4]) && (1_990..=2_000).contains(&millis[7]), "{millis:?}");
    assert!(millis[9..].iter().all(|&peak| peak < 40), "{millis:?}");
}

#[test]
fn a_picture_that_stands_still_ages_without_records() {
    let mut recent = watch(&stream(51, |number| number == 50));
    let before = recent.glance().age.unwrap();
    recent.advance(ms(3_000));
    let after = recent.glance();
    assert!(before < Duration::from_millis(40) && after.age.unwrap() > Duration::from_millis(1_980));
    assert!(after.freeze_longest > Duration::from_millis(1_900), "it is not over, but it counts");
}

#[test]
fn marks_end_with_the_newest_frame_whose_fate_is_known() {
    let mut records = stream(20, |number| number == 3 || number == 18);
    let open = frame(20, ms(400), false);
    records.extend(open.into_iter().take(3));
    let mut recent = watch(&records);
    recent.advance(ms(420));
    let marks = recent.glance().marks;
    assert_eq!(marks.len(), 20);
    for (number, mark) in marks.iter().enumerate() {
        let expected = if [3, 18].contains(&number) { Mark::Lost } else { Mark::Shown };
        assert_eq!(*mark, expected, "{number}");
    }
}

#[test]
fn margin_is_what_was_left_over_or_what_was_lacking() {
    let settle = |fates: &[RepairFate], lost: u64| {
        let mut records = stream(30, |_| false);
        records.retain(|record| record.at < ms(600));
        records.extend(fates.iter().map(|&fate| record(ms(600), Event::RepairSettled(fate))));
        records.extend((0..lost).map(|source| record(ms(600), Event::SourceLost { source })));
        let mut recent = watch(&records);
        recent.advance(ms(1_000));
        recent.glance().margin
    };
    use RepairFate::{Insufficient, Unneeded, Used};
    assert_eq!(settle(&[], 3), None, "without a code there is nothing to be left over");
    assert_eq!(settle(&[Used, Unneeded, Unneeded], 0), Some(2));
    assert_eq!(settle(&[Insufficient, Insufficient, Unneeded], 5), Some(-3));
}

#[test]
fn neighbors_and_the_way_up_are_not_the_picture() {
    let mut recent = Recent::new(&config(), Seed(1));
    for one in stream(100, |number| number > 3) {
        recent.record(&Record { flow: Flow(1), ..one });
        recent.record(&Record { direction: Direction::Up, ..one });
    }
    let glance = recent.glance();
    assert_eq!((glance.age, glance.loss, glance.marks.len()), (None, None, 0));
}
