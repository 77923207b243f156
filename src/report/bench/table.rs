//! A grid as tables for a terminal: one for each cell, a line for each strategy.

use crate::lab::grid::{CellOutcome, GridOutcome, Place};
use crate::lab::rank::Residual;
use crate::report::layout::{BOLD, DIM, Decimals, Look, digits, interval, lines, push, seeds, value};
use crate::runner::ContenderOutcome;
use crate::scenario::quantity::Written;
use crate::time::Duration;

/// A column: two lines of heading, and what stands in it.
struct Column {
    headings: [&'static str; 2],
    key: &'static str,
    decimals: Decimals,
    /// Whether it is the metric's interval that stands here, and not its mean.
    interval: bool,
}

const COLUMNS: &[Column] = &[
    mean(["overhead", "+%"], "repair_overhead_pct", Decimals::Fixed(1)),
    mean(["frames on", "time %"], "frames_on_time_pct", Decimals::Fixed(1)),
    interval_of(["", "(95 %)"], "frames_on_time_pct", Decimals::Fixed(1)),
    mean(["beyond", "repair %"], "frames_unrepairable_pct", Decimals::Few),
    mean(["packets", "lost %"], "residual_loss_pct", Decimals::Few),
    mean(["age p99", "ms"], "age_p99_ms", Decimals::Few),
    interval_of(["", "(95 %)"], "age_p99_ms", Decimals::Few),
    mean(["longest", "freeze ms"], "freeze_longest_ms", Decimals::Few),
];

const fn mean(headings: [&'static str; 2], key: &'static str, decimals: Decimals) -> Column {
    Column { headings, key, decimals, interval: false }
}

const fn interval_of(headings: [&'static str; 2], key: &'static str, decimals: Decimals) -> Column {
    Column { headings, key, decimals, interval: true }
}

/// The tables of the grid over the scenario called `scenario`. `cpu` has the microseconds that each
/// strategy's code takes a frame, where they were measured.
pub fn draw(
    scenario: &str,
    duration: Duration,
    outcome: &GridOutcome,
    cpu: Option<&[Option<f64>]>,
    look: Look,
) -> String {
    let (dot, dash) = if look.unicode { ("·", "–") } else { ("|", "-") };
    let all = outcome.cells.first().map_or("no seed".to_owned(), |cell| seeds(&cell.outcome.seeds, dash));
    let whole = if outcome.complete { "" } else { ", incomplete" };
    let mut text = format!("{scenario} {dot} {duration} {dot} {all}, paired{whole}\n");
    for cell in &outcome.cells {
        text.push('\n');
        push(&mut text, look, BOLD, &place(&cell.place, cell.deadline, dot));
        text.push_str(&rows(cell, cpu, look));
    }
    text.push_str(FRONT);
    text
}

/// What the stars mean.
const FRONT: &str =
    "* on the Pareto front: no other strategy has as many frames on time for less, or more for as little\n";

/// The table of the strategies at these places of a cell.
pub fn excerpt(cell: &CellOutcome, chosen: &[usize], look: Look) -> String {
    let mut part = cell.clone();
    part.outcome.contenders =
        chosen.iter().filter_map(|&one| cell.outcome.contenders.get(one).cloned()).collect();
    part.expected = chosen.iter().filter_map(|&one| cell.expected.get(one).copied()).collect();
    part.swept = chosen.iter().filter_map(|&one| cell.swept.get(one).copied()).collect();
    part.front = chosen.iter().filter_map(|&one| cell.front.get(one).copied()).collect();
    rows(&part, None, look) + FRONT
}

/// `loss 5 % in bursts of 4 · RTT 100 ms · deadline 150 ms`.
pub fn place(place: &Place, deadline: Option<Duration>, dot: &str) -> String {
    let loss = place.loss.map(|loss| {
        let bursts = place.burst.map_or(String::new(), |burst| format!(" in bursts of {burst}"));
        format!("loss {}{bursts}", loss.written().replace('%', " %"))
    });
    let parts = [
        loss,
        place.round_trip.map(|round_trip| format!("RTT {round_trip}")),
        deadline.map(|deadline| format!("deadline {deadline}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(&format!(" {dot} "))
}

fn rows(cell: &CellOutcome, cpu: Option<&[Option<f64>]>, look: Look) -> String {
    let strategies = &cell.outcome.contenders;
    let names: Vec<String> = strategies.iter().map(|one| one.name.clone()).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut columns: Vec<Vec<String>> =
        COLUMNS.iter().map(|column| cells(column, strategies, look)).collect();
    columns.insert(THEORY_AT, theory(&cell.expected, look));
    if !cell.swept.is_empty() {
        columns.extend(sweeps(&cell.swept, look));
    }
    if let Some(cpu) = cpu {
        columns.push(timings(cpu, strategies.len(), look));
    }
    let lines = lines(&columns);
    let mut text = String::new();
    for heading in &lines[..2] {
        push(&mut text, look, DIM, &format!("{:name_width$}{heading}", ""));
    }
    for ((name, line), front) in names.iter().zip(&lines[2..]).zip(&cell.front) {
        let star = if *front { " *" } else { "" };
        text.push_str(&format!("{name:name_width$}{line}{star}\n"));
    }
    text
}

/// The two headings of a column, and a cell for each strategy.
fn cells(column: &Column, strategies: &[ContenderOutcome], look: Look) -> Vec<String> {
    let cell = |one: &ContenderOutcome| {
        let summary = one.summary(column.key);
        let draw = if column.interval { interval } else { value };
        draw(summary, 1.0, column.decimals, look)
    };
    column.headings.iter().map(|&heading| heading.to_owned()).chain(strategies.iter().map(cell)).collect()
}

/// Behind the column of what was measured.
const THEORY_AT: usize = 5;

/// What a formula says is lost, in percent.
fn theory(expected: &[Option<f64>], look: Look) -> Vec<String> {
    let dash = if look.unicode { "—" } else { "-" };
    let cell =
        |share: &Option<f64>| share.map_or(dash.to_owned(), |share| digits(share * 100.0, Decimals::Few));
    ["in".to_owned(), "theory %".to_owned()].into_iter().chain(expected.iter().map(cell)).collect()
}

/// What a sweep of the code alone lost, in percent, and its interval of 95 %.
fn sweeps(swept: &[Option<Residual>], look: Look) -> [Vec<String>; 2] {
    let (missing, dash) = if look.unicode { ("—", "–") } else { ("-", "-") };
    let percent = |share: f64| format!("{:.2e}", share * 100.0);
    let share = |one: &Option<Residual>| one.map_or(missing.to_owned(), |one| percent(one.share()));
    let interval = |one: &Option<Residual>| {
        one.map_or(String::new(), |one| {
            format!("{}{dash}{}", percent(one.interval[0]), percent(one.interval[1]))
        })
    };
    let column = |headings: [&str; 2], cell: &dyn Fn(&Option<Residual>) -> String| {
        headings.into_iter().map(str::to_owned).chain(swept.iter().map(cell)).collect()
    };
    [column(["code", "alone %"], &share), column(["", "(95 %)"], &interval)]
}

fn timings(cpu: &[Option<f64>], strategies: usize, look: Look) -> Vec<String> {
    let dash = if look.unicode { "—" } else { "-" };
    let cell =
        |at: usize| cpu.get(at).copied().flatten().map_or(dash.to_owned(), |micros| format!("{micros:.1}"));
    let us = if look.unicode { "µs/frame" } else { "us/frame" };
    ["CPU".to_owned(), us.to_owned()].into_iter().chain((0..strategies).map(cell)).collect()
}
