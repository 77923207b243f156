//! An outcome as a table for a terminal: a line on what was run, then two lines a contender, means above
//! and 95 % intervals below.

use std::path::Path;

use super::layout::{BOLD, DIM, Decimals, Look, RESET, interval, lines, push, seeds, value};
use super::sharing;
use crate::runner::{ContenderOutcome, Outcome};
use crate::scenario::Draft;

/// A column: two lines of heading, and the metrics in it.
struct Column {
    headings: [&'static str; 2],
    /// One metric, or two with a sign between them.
    keys: &'static [&'static str],
    /// Between two metrics.
    between: &'static str,
    /// What a number is divided by.
    divisor: f64,
    decimals: Decimals,
}

const COLUMNS: &[Column] = &[
    Column {
        headings: ["age of", "p50"],
        keys: &["age_p50_ms"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["picture", "p95"],
        keys: &["age_p95_ms"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["(ms)", "p99"],
        keys: &["age_p99_ms"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["freeze", "max ms"],
        keys: &["freeze_longest_ms"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["on time", "%"],
        keys: &["frames_on_time_pct"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Fixed(1),
    },
    Column {
        headings: ["frames %", "shown/old"],
        keys: &["frames_shown_pct", "frames_superseded_pct"],
        between: "/",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["loss %", "net>after"],
        keys: &["network_loss_pct", "residual_loss_pct"],
        between: ">",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["repair", "+%"],
        keys: &["repair_overhead_pct"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["wire", "+%"],
        keys: &["wire_overhead_pct"],
        between: "",
        divisor: 1.0,
        decimals: Decimals::Few,
    },
    Column {
        headings: ["goodput", "Mbit/s"],
        keys: &["goodput_bps"],
        between: "",
        divisor: 1e6,
        decimals: Decimals::Fixed(2),
    },
];

const VERMILION: &str = "\x1b[38;5;166m";
const BLUE: &str = "\x1b[38;5;32m";

/// The table of `draft`'s outcome: what was run, the headings, the contenders, what the marks mean.
pub fn draw(draft: &Draft, outcome: &Outcome, look: Look) -> String {
    let mut text = heading(draft, outcome, look);
    text.push_str("\n\n");
    text.push_str(&rows(outcome, look));
    text.push_str(&notes(outcome, look));
    text.push_str(&sharing::draw(outcome, look));
    text
}

/// `cafe-wifi · 60 s · seeds 1–10 · 1 session on port 3224`.
fn heading(draft: &Draft, outcome: &Outcome, look: Look) -> String {
    let (dot, dash) = if look.unicode { ("·", "–") } else { ("|", "-") };
    let name = draft.sources.name();
    let name = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    let (count, duration) = (draft.file.session.count.value, draft.file.duration.value);
    let sessions = match outcome.ports {
        (lowest, highest) if lowest == highest => format!("1 session on port {lowest}"),
        (lowest, highest) => format!("{count} sessions on ports {lowest}{dash}{highest}"),
    };
    let whole = if outcome.complete { "" } else { ", incomplete" };
    format!("{name} {dot} {duration} {dot} {}{whole} {dot} {sessions}", seeds(&outcome.seeds, dash))
}

fn rows(outcome: &Outcome, look: Look) -> String {
    let names: Vec<String> = outcome.contenders.iter().map(label).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let columns: Vec<Vec<String>> = COLUMNS.iter().map(|column| cells(column, outcome, look)).collect();
    let lines = lines(&columns);
    let indent = " ".repeat(name_width + 2);
    let mut text = String::new();
    for heading in &lines[..2] {
        push(&mut text, look, BOLD, &format!("{indent}{heading}"));
    }
    for (index, contender) in outcome.contenders.iter().enumerate() {
        let mark = mark(contender, look);
        text.push_str(&format!("{mark} {:name_width$}{}\n", names[index], lines[2 + 2 * index]));
        let intervals = &lines[3 + 2 * index];
        if !intervals.trim().is_empty() {
            push(&mut text, look, DIM, &format!("{indent}{intervals}"));
        }
    }
    text
}

fn label(contender: &ContenderOutcome) -> String {
    if contender.congestion_controlled { contender.name.clone() } else { format!("{} !", contender.name) }
}

fn mark(contender: &ContenderOutcome, look: Look) -> String {
    let (mark, color) = match (contender.tcp, look.unicode) {
        (true, true) => ("▲", VERMILION),
        (true, false) => ("^", VERMILION),
        (false, true) => ("●", BLUE),
        (false, false) => ("o", BLUE),
    };
    if look.styled { format!("{color}{mark}{RESET}") } else { mark.to_owned() }
}

fn notes(outcome: &Outcome, look: Look) -> String {
    let seeds = outcome.seeds.len();
    let (tcp, udp) = if look.unicode { ("▲", "●") } else { ("^", "o") };
    let summaries = outcome.contenders.iter().flat_map(|contender| &contender.summaries);
    let any = summaries.into_iter().any(|summary| summary.interval.is_some());
    let intervals = if any { ", 95 % intervals below" } else { "" };
    let plural = if seeds == 1 { "" } else { "s" };
    let mut text = format!("{tcp} TCP  {udp} UDP; means over {seeds} seed{plural}{intervals}");
    if outcome.contenders.iter().any(|contender| !contender.congestion_controlled) {
        text.push_str("; ! no congestion control");
    }
    if !outcome.complete {
        text.push_str("; interrupted: not all of the run is in it");
    }
    text.push('\n');
    text
}

/// The two headings of a column, and two cells for each contender: value and interval.
fn cells(column: &Column, outcome: &Outcome, look: Look) -> Vec<String> {
    let between = match column.between {
        ">" if look.unicode => "→",
        other => other,
    };
    let heading = column.headings[1].replace(column.between, between);
    let second = if column.between.is_empty() { column.headings[1].to_owned() } else { heading };
    let mut cells = vec![column.headings[0].to_owned(), second];
    for contender in &outcome.contenders {
        let summaries = || column.keys.iter().map(|key| contender.summary(key));
        let values: Vec<String> =
            summaries().map(|summary| value(summary, column.divisor, column.decimals, look)).collect();
        cells.push(values.join(between));
        // Two intervals in one cell cannot be read; they are in the JSON.
        cells.push(match column.keys {
            [_] => {
                summaries().map(|summary| interval(summary, column.divisor, column.decimals, look)).collect()
            }
            _ => String::new(),
        });
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_table_is_aligned_and_narrow() {
        let text = draw(&example::draft(), &example::outcome(), Look { unicode: true, styled: false });
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_heading_names_seeds_and_ports_as_they_are() {
        let mut outcome = example::outcome();
        let first = |outcome: &Outcome| {
            draw(&example::draft(), outcome, Look::default()).lines().next().unwrap().to_owned()
        };
        assert_eq!(first(&outcome), "lan-clean | 30 s | seeds 1-2 | 1 session on port 3224");
        outcome.seeds = vec![1, 7];
        outcome.complete = false;
        assert_eq!(
            first(&outcome),
            "lan-clean | 30 s | 2 seeds from 1 to 7, incomplete | 1 session on port 3224"
        );
        assert!(draw(&example::draft(), &outcome, Look::default()).contains("interrupted"));
        outcome.seeds = vec![u64::MAX];
        assert!(first(&outcome).contains("seed 18446744073709551615"));
    }

    #[test]
    fn without_unicode_every_character_is_ascii() {
        let text = draw(&example::draft(), &example::outcome(), Look::default());
        assert!(text.is_ascii(), "{text}");
    }

    #[test]
    fn styles_change_no_character_that_is_seen() {
        let plain = draw(&example::draft(), &example::outcome(), Look { unicode: true, styled: false });
        let styled = draw(&example::draft(), &example::outcome(), Look { unicode: true, styled: true });
        assert_eq!(anstream::adapter::strip_str(&styled).to_string(), plain);
        assert_ne!(styled, plain);
    }

    #[test]
    fn a_single_seed_has_no_lines_of_intervals() {
        let mut outcome = example::outcome();
        outcome.contenders.iter_mut().flat_map(|one| &mut one.summaries).for_each(|one| one.interval = None);
        assert_eq!(draw(&example::draft(), &outcome, Look::default()).lines().count(), 2 + 2 + 3 + 1);
    }
}
