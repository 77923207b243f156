//! The view of a run in virtual time, as it would be seen in real time.

use std::sync::mpsc;

use framehawk_sim::record::Record;
use framehawk_sim::report::layout::Look;
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{built_in, parse};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::{Picture, draw};
use super::knobs::Knobs;
use super::*;

const LOOK: Look = Look { unicode: true, styled: true };

fn scenario(name: &str, duration: &str) -> Scenario {
    let built_in = built_in::find(built_in::SCENARIOS, name).unwrap();
    let sets = [format!("duration={duration}")];
    Scenario::new(&parse(Sources::built_in(name, built_in.text), &sets).unwrap()).unwrap()
}

/// The board after `until` of a run.
fn board<'a>(scenario: &'a Scenario, until: Time) -> Board<'a> {
    let board = Board::new(scenario, "cafe-wifi", &[7]);
    for (place, contender) in scenario.contenders.iter().enumerate() {
        let mut records: Vec<Record> = Vec::new();
        runner::play(scenario, contender, 7, &mut records);
        board.observe(place, &Message::Started { ports: vec![3224] });
        // The real clock would show the time of the test.
        lock(&board.lanes[place]).clock = None;
        records.iter().filter(|record| record.at < until).for_each(|&record| {
            board.observe(place, &Message::Record(record));
        });
        let late_p99 = Duration::from_micros(61);
        board.observe(place, &Message::Timing(Timing { late_p99, cpu: 0.12, ..Timing::default() }));
    }
    board
}

fn screen(scene: &Scene, width: u16, height: u16, change: impl Fn(&mut Picture<'_>)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let knobs = Knobs::new(Some((0.05, 4.0)));
    let mut picture =
        Picture { scene, knobs: &knobs, paused: false, table_only: false, note: None, look: LOOK };
    change(&mut picture);
    terminal.draw(|frame| draw(frame, &picture)).unwrap();
    terminal::text(terminal.backend().buffer())
}

fn scene() -> Scene {
    let scenario = scenario("cafe-wifi", "20s");
    let mut scene = board(&scenario, Time::from_secs(14)).scene();
    scene.now = Time::from_secs(14);
    scene
}

#[test]
fn the_screen_fits_terminals_of_three_sizes() {
    let scene = scene();
    for (width, height) in [(80, 24), (99, 30), (140, 40)] {
        insta::assert_snapshot!(format!("{width}x{height}"), screen(&scene, width, height, |_| {}));
    }
}

#[test]
fn without_unicode_every_character_is_ascii() {
    let text = screen(&scene(), 140, 40, |picture| picture.look = Look::default());
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_budget_is_there_from_100_columns_on() {
    let scene = scene();
    assert!(screen(&scene, 100, 30, |_| {}).contains("latency budget"));
    assert!(!screen(&scene, 99, 30, |_| {}).contains("latency budget"));
}

#[test]
fn no_terminal_is_too_small_to_draw_on() {
    let scene = scene();
    for width in [1, 7, 20, 41, 100] {
        for height in 1..16 {
            screen(&scene, width, height, |_| {});
        }
    }
    let nobody = Scene { contenders: Vec::new(), ..scene };
    screen(&nobody, 80, 24, |_| {});
}

#[test]
fn a_trial_that_failed_says_why_in_its_line() {
    let mut scene = scene();
    scene.contenders[0].status = Status::Failed("no /dev/net/tun".to_owned());
    assert!(screen(&scene, 80, 24, |_| {}).contains("no /dev/net/tun"));
}

#[test]
fn what_the_machine_spoiled_is_said() {
    let mut scene = scene();
    let slow = Timing { late_p99: Duration::from_millis(9), ..Timing::default() };
    scene.timing = Some(slow);
    assert!(screen(&scene, 99, 24, |_| {}).contains("rough"));
    scene.timing = Some(Timing { device_drops: 3, ..slow });
    let text = screen(&scene, 120, 24, |_| {});
    assert!(text.contains("spoiled") && text.contains("3 before devices"), "{text}");
}

#[test]
fn there_is_a_line_for_each_contender_that_runs() {
    let mut scene = scene();
    let all = scene.contenders.len();
    assert_eq!(lines::lines(&scene, LOOK).lines().count(), all);
    scene.contenders[0].status = Status::Over;
    let text = lines::lines(&scene, Look::default());
    assert_eq!(text.lines().count(), all - 1);
    assert!(text.is_ascii());
    let wide = text.lines().map(|line| line.len()).max();
    assert_eq!(wide, Some(lines::heading().len()), "columns stand under their headings\n{text}");
}

#[test]
fn programs_get_the_same_contenders() {
    let mut scene = scene();
    scene.contenders[0].status = Status::Over;
    let framehawk_sim::report::live::LiveEvent::Interval(interval) = lines::event(&scene) else {
        panic!("an interval")
    };
    let names: Vec<&str> = interval.contenders.iter().map(|one| &*one.name).collect();
    let expected: Vec<&str> = scene.contenders[1..].iter().map(|one| &*one.name).collect();
    assert_eq!((interval.time_s, names), (14.0, expected));
}

#[test]
fn the_seconds_end_with_the_trials() {
    let scenario = scenario("lan-clean", "4s");
    let (over, done) = mpsc::channel();
    drop(over);
    Board::new(&scenario, "lan-clean", &[1])
        .every_second(&done, |_| -> Result<(), ()> { panic!("no second is over") })
        .unwrap();
}

#[test]
fn a_second_seed_starts_with_an_empty_view() {
    let scenario = scenario("lan-clean", "4s");
    let board = Board::new(&scenario, "lan-clean", &[1, 2]);
    let started = Message::Started { ports: vec![3224] };
    board.observe(0, &started);
    let mut records: Vec<Record> = Vec::new();
    runner::play(&scenario, &scenario.contenders[0], 1, &mut records);
    records.iter().for_each(|&record| board.observe(0, &Message::Record(record)));
    board.observe(0, &Message::Closed { under_way: Vec::new() });
    assert!(board.scene().contenders[0].glance.age.is_some());
    board.observe(0, &started);
    let scene = board.scene();
    assert_eq!((scene.seed, scene.contenders[0].glance.age), (2, None));
}
