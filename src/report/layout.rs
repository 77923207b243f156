//! What tables for a terminal share: how they may look, numbers, and columns in line.

use crate::measure::Value;
use crate::runner::Summary;

/// How a table may look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether characters beyond ASCII can be shown.
    pub unicode: bool,
    /// Whether colors can be shown.
    pub styled: bool,
}

/// How many digits a number has behind the point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decimals {
    /// Two digits that say something, and at most two behind the point.
    Few,
    /// Always this many.
    Fixed(usize),
}

pub(super) const DIM: &str = "\x1b[2m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const RESET: &str = "\x1b[0m";

/// Columns of cells, all as long, as lines: each column as wide as its widest cell, right-aligned, with
/// two blanks before it.
pub(super) fn lines(columns: &[Vec<String>]) -> Vec<String> {
    let width = |cells: &Vec<String>| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
    (0..rows)
        .map(|row| {
            columns.iter().zip(&widths).map(|(cells, width)| format!("  {:>width$}", cells[row])).collect()
        })
        .collect()
}

/// Adds a line in a style, without blanks at its end.
pub(super) fn push(text: &mut String, look: Look, style: &str, line: &str) {
    let line = line.trim_end();
    if look.styled {
        text.push_str(&format!("{style}{line}{RESET}\n"));
    } else {
        text.push_str(&format!("{line}\n"));
    }
}

/// The mean of a metric over `divisor`; a dash where it has none.
pub(super) fn value(summary: Option<&Summary>, divisor: f64, decimals: Decimals, look: Look) -> String {
    match summary.map(|summary| summary.mean) {
        Some(Value::Number(number)) if number.is_finite() => digits(number / divisor, decimals),
        _ if look.unicode => "—".to_owned(),
        _ => "-".to_owned(),
    }
}

/// The interval of a metric over `divisor`; nothing where it has none.
pub(super) fn interval(summary: Option<&Summary>, divisor: f64, decimals: Decimals, look: Look) -> String {
    let Some((low, high)) = summary.and_then(|summary| summary.interval) else { return String::new() };
    let dash = if look.unicode { "–" } else { "-" };
    let [low, high] = [low, high].map(|end| digits(end / divisor, decimals));
    format!("{low}{dash}{high}")
}

/// A number in digits.
pub(super) fn digits(number: f64, decimals: Decimals) -> String {
    let places = match decimals {
        Decimals::Fixed(places) => places,
        // The bounds are where rounding reaches the next digit: 9.96 would be drawn as 10.0.
        Decimals::Few => match number.abs() {
            0.0 => 0,
            small if small < 0.995 => 2,
            small if small < 9.95 => 1,
            _ => 0,
        },
    };
    format!("{number:.places$}")
}

/// The seeds in a few words. An interrupted run may have skipped some.
pub(super) fn seeds(seeds: &[u64], dash: &str) -> String {
    match seeds {
        [] => "no seed".to_owned(),
        [only] => format!("seed {only}"),
        [first, .., last] if last - first == seeds.len() as u64 - 1 => format!("seeds {first}{dash}{last}"),
        [first, .., last] => format!("{} seeds from {first} to {last}", seeds.len()),
    }
}
