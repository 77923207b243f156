//! What a scenario expects of its results, judged.

use std::fmt;

use crate::runner::Outcome;
use crate::scenario::expect::{Evaluation, Rule};
use crate::scenario::{self, Draft};

/// A rule of a scenario, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The rule.
    pub rule: Rule,
    /// What it comes to, or why it is not judged.
    pub evaluation: Result<Evaluation, String>,
}

/// Judges every rule of `draft` on `outcome`: none of them where there is a reason to withhold that, and
/// none about a contender that was not played.
pub fn judge(draft: &Draft, outcome: &Outcome, withheld: Option<&str>) -> Vec<Judged> {
    let was_played = |name: &str| outcome.contenders.iter().any(|contender| contender.name == name);
    let judge = |rule: Rule| {
        let absent = rule.contenders().find(|name| !was_played(name));
        let evaluation = match (withheld, absent) {
            (Some(reason), _) => Err(reason.to_owned()),
            (None, Some(name)) => Err(format!("{name} was not played")),
            (None, None) => Ok(rule.evaluate(outcome)),
        };
        Judged { rule, evaluation }
    };
    scenario::rules(&draft.file).into_iter().map(judge).collect()
}

impl Judged {
    /// Whether it was judged and does not hold.
    pub fn is_unmet(&self) -> bool {
        self.evaluation.as_ref().is_ok_and(|evaluation| !evaluation.met)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.rule.text;
        let evaluation = match &self.evaluation {
            Ok(evaluation) => evaluation,
            Err(reason) => return write!(f, "{text}: not judged, because {reason}"),
        };
        let side = |value: Result<f64, _>| value.map_or("no value".to_owned(), significant);
        let word = if evaluation.met { "met" } else { "NOT MET" };
        let (left, right) = (side(evaluation.left), side(evaluation.right));
        let reason = evaluation.reason().map_or(String::new(), |reason| format!("; {reason}"));
        write!(f, "{text}: {word} ({left} and {right}{reason})")
    }
}

/// A number with four digits that say something, or all of those before the point.
fn significant(value: f64) -> String {
    let whole = value.abs() as u64;
    let places = if whole == 0 { 4 } else { 3_usize.saturating_sub(whole.ilog10() as usize) };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::scenario::source::Sources;
    use crate::scenario::{built_in, parse};

    /// The outcome of the examples has the first two contenders, and no `framehawk`.
    fn draft() -> Draft {
        let lan = built_in::find(built_in::SCENARIOS, "lan-clean").unwrap();
        let rules = [
            "udp-rs.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms",
            "upper(udp-rs.age_p99_ms) < 1",
            "framehawk.age_p99_ms < 150",
        ];
        let sets = [format!("expect.rules={rules:?}")];
        parse(Sources::built_in(lan.name, lan.text), &sets).unwrap()
    }

    fn lines(withheld: Option<&str>) -> Vec<String> {
        judge(&draft(), &example::outcome(), withheld).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_is_met_or_not_or_about_somebody_who_was_not_there() {
        assert_eq!(
            lines(None),
            [
                "udp-rs.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms: met (84 and 206)",
                "upper(udp-rs.age_p99_ms) < 1: NOT MET (92.4 and 1)",
                "framehawk.age_p99_ms < 150: not judged, because framehawk was not played",
            ]
        );
        let unmet: Vec<bool> =
            judge(&draft(), &example::outcome(), None).iter().map(Judged::is_unmet).collect();
        assert_eq!(unmet, [false, true, false]);
    }

    #[test]
    fn where_judging_is_withheld_no_rule_is_unmet() {
        assert!(
            lines(Some("it rained")).iter().all(|line| line.ends_with(": not judged, because it rained"))
        );
        assert!(!judge(&draft(), &example::outcome(), Some("it rained")).iter().any(Judged::is_unmet));
    }

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        for (value, text) in [
            (0.0, "0"),
            (0.123_456, "0.1235"),
            (1.5, "1.5"),
            (99.999, "100"),
            (100.0, "100"),
            (123.456, "123.5"),
            (4_350_000.4, "4350000"),
        ] {
            assert_eq!(significant(value), text);
        }
    }
}
