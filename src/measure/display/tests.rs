use super::super::metrics::{NEVER_ARRIVED, Value};
use super::*;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Ticks at 0, 10, 20, … ms; everything from 0 to 1 s counts.
fn display() -> Display {
    Display::new(Time::ZERO, ms(1000), Duration::from_millis(10), Duration::ZERO)
}

fn frame(id: u32, at: u64, regions: Regions) -> CapturedFrame {
    CapturedFrame {
        id: FrameId(id),
        captured: ms(at),
        deadline: ms(at + 50),
        bytes: 100,
        regions,
        again: Regions::NONE,
    }
}

fn fates(display: &Display) -> Vec<(Fate, u64)> {
    let counts = display.counts().fates;
    Fate::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
}

fn age_max(display: &Display) -> Value {
    display.ages().max_ms("none")
}

#[test]
fn of_two_frames_between_ticks_the_newer_is_shown() {
    let mut display = display();
    display.capture(frame(0, 0, Regions::ALL));
    display.capture(frame(1, 5, Regions::ALL));
    display.decode(FrameId(0), ms(11));
    display.decode(FrameId(1), ms(12));
    display.finish(ms(2000));
    assert_eq!(fates(&display), [(Fate::Shown, 1), (Fate::Superseded, 1)]);
    // At 10 ms frame 0 was the oldest newer one; at 20 ms nothing was.
    assert_eq!(age_max(&display), Value::Number(10.0));
}

#[test]
fn a_frame_decoded_at_a_tick_is_shown_at_it() {
    let mut display = display();
    display.capture(frame(0, 5, Regions::ALL));
    display.decode(FrameId(0), ms(20));
    display.finish(ms(2000));
    assert_eq!(age_max(&display), Value::Number(5.0));
}

#[test]
fn an_older_update_that_comes_late_does_not_overwrite_a_newer_tile() {
    let mut display = display();
    let (left, right) = (Regions(0b0011), Regions(0b0110));
    display.capture(frame(0, 0, left));
    display.capture(frame(1, 1, right));
    display.decode(FrameId(1), ms(5));
    // Of frame 0 tile 0 is newer than what is on the screen, tile 1 is not.
    display.decode(FrameId(0), ms(15));
    display.capture(frame(2, 20, right));
    display.capture(frame(3, 21, right));
    display.decode(FrameId(3), ms(22));
    display.decode(FrameId(2), ms(75));
    display.finish(ms(2000));
    assert_eq!(fates(&display), [(Fate::Shown, 3), (Fate::Late, 1)]);
    assert_eq!(display.shown_by[..3], [FrameId(0), FrameId(3), FrameId(3)].map(Some));
}

#[test]
fn an_idle_part_of_the_screen_does_not_dilute_the_age() {
    let mut display = display();
    display.capture(frame(0, 0, Regions::ALL));
    display.decode(FrameId(0), ms(0));
    display.capture(frame(1, 10, Regions(0b01)));
    display.capture(frame(2, 30, Regions(0b11)));
    display.decode(FrameId(1), ms(61));
    display.decode(FrameId(2), ms(62));
    display.finish(ms(2000));
    // At 60 ms tile 0 is behind since 10 ms and tile 1 since 30 ms; the others do not count.
    assert_eq!(age_max(&display), Value::Number(40.0));
}

#[test]
fn what_is_sent_again_is_as_old_as_the_change() {
    let mut display = display();
    display.capture(frame(0, 0, Regions(0b11)));
    display.give_up(FrameId(0), ms(20), false);
    display.capture(CapturedFrame { again: Regions(0b11), ..frame(1, 100, Regions(0b111)) });
    // At 110 ms two tiles are 110 ms behind, and one 10 ms.
    assert_eq!(display.age(ms(110)).as_micros(), 230_000 / 3);
    display.decode(FrameId(1), ms(120));
    display.finish(ms(2000));
    assert_eq!(fates(&display), [(Fate::Shown, 1), (Fate::Unrepairable, 1)]);
    // All three then stand still: two are sharp after 120 ms, one after 20 ms.
    assert_eq!(display.sharp_after().max_ms("none"), Value::Number(120.0));
    let smallest = display.sharp_after().quantile_ms(0.3, "none");
    assert!(matches!(smallest, Value::Number(sharp) if (sharp / 20.0 - 1.0).abs() < 0.001));
}

#[test]
fn frames_that_end_otherwise_have_their_fates() {
    let mut display = display();
    for id in 0..6 {
        display.capture(frame(id, u64::from(id), Regions::ALL));
    }
    display.give_up(FrameId(0), ms(10), true);
    display.give_up(FrameId(1), ms(10), false);
    display.undecodable(FrameId(2), ms(10));
    display.complete(FrameId(3), ms(20));
    display.decode(FrameId(4), ms(30));
    display.finish(ms(2000));
    let unfinished = [(Fate::NeverSent, 1), (Fate::Unfinished, 2)];
    let gone = [(Fate::Shown, 1), (Fate::Undecodable, 1), (Fate::Unrepairable, 1)];
    assert_eq!(fates(&display), [gone.as_slice(), unfinished.as_slice()].concat());
    assert_eq!(display.delays().quantile_ms(0.5, "none"), Value::Absent(NEVER_ARRIVED));
    assert_eq!(display.counts().on_time, 1);
    assert_eq!(display.counts().delivered_bytes, 200);
}

#[test]
fn nothing_is_measured_before_the_first_frame_of_a_picture() {
    let mut display = display();
    display.capture(frame(0, 0, Regions::NONE));
    display.decode(FrameId(0), ms(500));
    display.finish(ms(2000));
    assert_eq!(age_max(&display), Value::Absent("none"));
    assert_eq!((display.counts().captured, display.counts().delivered_bytes), (0, 100));
}

#[test]
fn open_frames_are_bounded_and_keep_their_fates() {
    let mut display = Display::new(Time::ZERO, ms(100_000), Duration::from_millis(10), Duration::ZERO);
    for id in 0..20_000 {
        display.capture(frame(id, u64::from(id), Regions(1 << (id % 128))));
    }
    assert_eq!(display.open.len(), OPEN_MAX);
    display.finish(ms(100_000));
    assert_eq!(fates(&display), [(Fate::Unfinished, 20_000)]);
}

#[test]
fn what_a_pushed_out_frame_changed_is_still_behind() {
    let mut display = Display::new(Time::ZERO, ms(100_000), Duration::from_millis(10), Duration::ZERO);
    display.capture(frame(0, 0, Regions::ALL));
    for id in 1..=OPEN_MAX as u32 {
        display.capture(frame(id, 1, Regions(1)));
    }
    assert_eq!(display.age(ms(5)), Duration::from_millis(4));
    assert_eq!(display.open[0].pending, Regions::ALL);
}
