//! An outcome as CSV (RFC 4180): a row for each contender and seed, a column for each metric.

use std::fmt::Write;

use crate::measure::{METRICS, Value};
use crate::runner::Outcome;

/// The whole table with its header row; a value that is absent is an empty field.
pub fn table(outcome: &Outcome) -> String {
    let mut text = String::from("contender,transport,seed");
    for metric in METRICS {
        text.push(',');
        text.push_str(metric.key);
    }
    text.push('\n');
    for contender in &outcome.contenders {
        for (seed, metrics) in outcome.seeds.iter().zip(&contender.per_seed) {
            // Writing to a string does not fail.
            let _ = write!(text, "{},{},{seed}", field(&contender.name), field(&contender.transport));
            for metric in METRICS {
                let _ = match metrics.get(metric.key) {
                    Some(Value::Number(number)) if number.is_finite() => write!(text, ",{number}"),
                    _ => write!(text, ","),
                };
            }
            text.push('\n');
        }
    }
    text
}

/// A field, in quotes where it has to be.
pub(super) fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn every_contender_and_seed_has_a_row_with_all_metrics() {
        let text = table(&example::outcome());
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 1 + 3 * 2);
        assert!(rows.iter().all(|row| row.split(',').count() == 3 + METRICS.len()), "{text}");
        assert!(rows[1].starts_with("tcp-cubic,TCP cubic,1,"));
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn commas_and_quotes_are_quoted() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
