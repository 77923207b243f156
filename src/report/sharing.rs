//! What the neighbours had of the path beside each contender, as a table for a terminal.

use super::layout::{BOLD, DIM, Decimals, Look, interval, lines, push, value};
use crate::runner::{ContenderOutcome, Outcome, Summary};

/// A row for each contender: its own goodput, that of each group of neighbours, and Jain's index over
/// all sessions; nothing where there are no neighbours.
pub(super) fn draw(outcome: &Outcome, look: Look) -> String {
    let Some(first) = outcome.contenders.first().filter(|one| !one.neighbours.is_empty()) else {
        return String::new();
    };
    let mut columns =
        vec![column(outcome, look, ["goodput", "own"], 1e6, |one| one.summary("goodput_bps").copied())];
    for (group, neighbour) in first.neighbours.iter().enumerate() {
        let heading = [neighbour.name.as_str(), &format!("{} {}", neighbour.count, neighbour.transport)];
        let goodput = |one: &ContenderOutcome| one.neighbours.get(group).map(|group| group.goodput);
        columns.push(column(outcome, look, heading, 1e6, goodput));
        if neighbour.count > 1 {
            let jain = |one: &ContenderOutcome| one.neighbours.get(group).map(|group| group.jain_index);
            columns.push(column(outcome, look, ["Jain", "of them"], 1.0, jain));
        }
    }
    columns
        .push(column(outcome, look, ["Jain", "of all"], 1.0, |one| one.summary("path_jain_index").copied()));
    let width = outcome.contenders.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    let indent = " ".repeat(width + 2);
    let lines = lines(&columns);
    let mut text = "\nBeside neighbours (Mbit/s):\n".to_owned();
    for heading in &lines[..2] {
        push(&mut text, look, BOLD, &format!("{indent}{heading}"));
    }
    for (index, contender) in outcome.contenders.iter().enumerate() {
        text.push_str(&format!("  {:width$}{}\n", contender.name, lines[2 + 2 * index]));
        let intervals = &lines[3 + 2 * index];
        if !intervals.trim().is_empty() {
            push(&mut text, look, DIM, &format!("{indent}{intervals}"));
        }
    }
    text
}

/// Two headings, and for each contender a value and its interval.
fn column(
    outcome: &Outcome,
    look: Look,
    headings: [&str; 2],
    divisor: f64,
    summary: impl Fn(&ContenderOutcome) -> Option<Summary>,
) -> Vec<String> {
    let mut cells: Vec<String> = headings.map(str::to_owned).into();
    for contender in &outcome.contenders {
        let summary = summary(contender);
        cells.push(value(summary.as_ref(), divisor, Decimals::Fixed(2), look));
        cells.push(interval(summary.as_ref(), divisor, Decimals::Fixed(2), look));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn every_group_of_neighbours_has_a_column() {
        let look = Look { unicode: true, styled: false };
        assert_eq!(draw(&example::outcome(), look), "");
        insta::assert_snapshot!(draw(&example::crowded(), look));
    }
}
