//! An outcome as CSV (RFC 4180): a row for each contender and seed, a column for each metric, and two for
//! each group of neighbours: `neighbour.NAME.goodput_bps` and `neighbour.NAME.jain_index`.

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
    for neighbour in outcome.contenders.first().iter().flat_map(|first| &first.neighbours) {
        for key in ["goodput_bps", "jain_index"] {
            let _ = write!(text, ",{}", field(&format!("neighbour.{}.{key}", neighbour.name)));
        }
    }
    text.push('\n');
    for contender in &outcome.contenders {
        for (seed, metrics) in outcome.seeds.iter().zip(&contender.per_seed) {
            // Writing to a string does not fail.
            let _ = write!(text, "{},{},{seed}", field(&contender.name), field(&contender.transport));
            let own = METRICS.iter().map(|metric| metrics.get(metric.key));
            let shares = metrics.neighbours().iter();
            let beside = shares.flat_map(|share| [Some(share.goodput_bps), Some(share.jain_index)]);
            for value in own.chain(beside) {
                let _ = match value {
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
    fn groups_of_neighbours_have_columns_of_their_own() {
        let text = table(&example::crowded());
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[0].ends_with(",neighbour.download.goodput_bps,neighbour.download.jain_index"));
        assert!(rows.iter().all(|row| row.split(',').count() == 3 + METRICS.len() + 2), "{text}");
        assert!(rows[1].ends_with(",5400000,0.9") && rows[3].ends_with(",900000,0.9"), "{text}");
    }

    #[test]
    fn commas_and_quotes_are_quoted() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
