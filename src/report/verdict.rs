//! What the results show, in sentences no stronger than the evidence.
//!
//! A contender counts as better or worse than the baseline only where the paired 95 % interval of the
//! difference in the p99 age of the picture leaves out zero. Everything else is "no difference shown",
//! which is not "the same".

use crate::runner::{ContenderOutcome, Outcome};

/// The metric that decides.
const AGE: &str = "age_p99_ms";

/// A sentence for each contender but the baseline, and one on what limits them.
pub fn sentences(outcome: &Outcome) -> Vec<String> {
    let Some(baseline) = outcome.contenders.get(outcome.baseline) else { return Vec::new() };
    let others = outcome.contenders.iter().enumerate().filter(|(index, _)| *index != outcome.baseline);
    let mut sentences: Vec<String> =
        others.map(|(_, contender)| sentence(contender, baseline, outcome.seeds.len())).collect();
    if !outcome.complete {
        let seeds = outcome.seeds.len();
        sentences.push(format!("Interrupted: only {} complete.", count(seeds, "seed")));
    }
    sentences
}

fn sentence(contender: &ContenderOutcome, baseline: &ContenderOutcome, seeds: usize) -> String {
    let (name, other) = (&contender.name, title(baseline));
    let (Some(age), Some(baseline_age)) = (contender.mean(AGE), baseline.mean(AGE)) else {
        return format!(
            "{name}: nothing to say against {other}, because one of them has no p99 age of the picture."
        );
    };
    let ages = format!("{} against {} ms", millis(age), millis(baseline_age));
    let interval = contender.difference(AGE).and_then(|difference| difference.interval);
    let shown = match interval {
        Some((low, high)) if high < 0.0 => format!(
            "{name} keeps the picture fresher than {other}: p99 age {ages}, lower by {} to {} ms (95 %)",
            millis(-high),
            millis(-low)
        ),
        Some((low, high)) if low > 0.0 => format!(
            "{name} keeps the picture less fresh than {other}: p99 age {ages}, higher by {} to {} ms (95 %)",
            millis(low),
            millis(high)
        ),
        Some(_) => {
            format!("{name} and {other}: no difference shown in p99 age ({ages}, {})", count(seeds, "seed"))
        }
        None => format!("{name} and {other}: no difference shown, one seed is no evidence (p99 age {ages})"),
    };
    format!("{shown}{}{}.", cost(contender, baseline), caveat(contender, baseline))
}

/// What it costs, beside what the baseline costs.
fn cost(contender: &ContenderOutcome, baseline: &ContenderOutcome) -> String {
    let pair = |key: &str| Some((contender.mean(key)?, baseline.mean(key)?));
    let mut costs = Vec::new();
    if let Some((mine, theirs)) = pair("repair_overhead_pct") {
        costs.push(format!("{} % repair bytes against {} %", percent(mine), percent(theirs)));
    }
    if let Some((mine, theirs)) = pair("wire_overhead_pct") {
        costs.push(format!("{} % overhead on the wire against {} %", percent(mine), percent(theirs)));
    }
    if costs.is_empty() { String::new() } else { format!("; it costs {}", costs.join(" and ")) }
}

fn caveat(contender: &ContenderOutcome, baseline: &ContenderOutcome) -> &'static str {
    match (contender.congestion_controlled, baseline.congestion_controlled) {
        (true, true) => "",
        (false, true) => "; it has no congestion control",
        (true, false) => "; the other one has no congestion control",
        (false, false) => "; neither has congestion control",
    }
}

/// The baseline with its congestion control where the name does not tell it.
fn title(contender: &ContenderOutcome) -> String {
    let control = contender.transport.strip_prefix("TCP ");
    match control.filter(|control| !contender.name.contains(control)) {
        Some(control) => format!("{} (TCP {control})", contender.name),
        None => contender.name.clone(),
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}

fn millis(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn percent(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::runner::Difference;

    #[test]
    fn only_an_interval_without_zero_claims_a_difference() {
        let verdict = sentences(&example::outcome());
        assert!(verdict[0].starts_with("udp-rs keeps the picture fresher than tcp-cubic: p99 age 84 against 412 ms, lower by 301 to 350 ms"), "{verdict:?}");
        assert!(
            verdict[1].contains("no difference shown") && verdict[1].contains("no congestion control"),
            "{verdict:?}"
        );
        assert_eq!(verdict.len(), 2);
    }

    #[test]
    fn a_worse_contender_is_called_worse_and_one_seed_is_no_evidence() {
        let mut outcome = example::outcome();
        outcome.contenders[1].differences =
            vec![Difference { key: AGE, mean: 5.0, interval: Some((0.1, 9.9)) }];
        assert!(sentences(&outcome)[0].contains("less fresh"));
        outcome.contenders[1].differences[0].interval = None;
        assert!(sentences(&outcome)[0].contains("one seed is no evidence"));
        outcome.contenders[1].differences[0].interval = Some((0.0, 0.0));
        assert!(sentences(&outcome)[0].contains("no difference shown"));
    }

    #[test]
    fn the_sentence_names_the_congestion_control_and_the_cost() {
        let mut outcome = example::outcome();
        outcome.contenders[0].name = "today".to_owned();
        let verdict = sentences(&outcome);
        assert!(
            verdict[0].contains("today (TCP cubic)") && verdict[0].contains("repair bytes"),
            "{verdict:?}"
        );
    }

    #[test]
    fn an_interrupted_run_and_an_empty_one_say_so() {
        let mut outcome = example::outcome();
        outcome.complete = false;
        assert_eq!(sentences(&outcome).last().unwrap(), "Interrupted: only 2 seeds complete.");
        outcome.contenders.clear();
        assert!(sentences(&outcome).is_empty());
    }
}
