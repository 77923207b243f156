//! What the results show, in sentences no stronger than the evidence.
//!
//! A contender counts as better or worse than the baseline only where the paired 95 % interval of the
//! difference in the p99 age of the picture leaves out zero. Everything else is "no difference shown",
//! which is not "the same". Whoever starves a neighbour is named, however fresh its own picture is.

use crate::runner::{ContenderOutcome, Outcome, Reference};

/// The metric that decides.
const AGE: &str = "age_p99_ms";

/// One or two sentences on each contender but the baseline, one on each group of neighbours that a contender
/// starves, and one where the run was interrupted.
pub fn sentences(outcome: &Outcome) -> Vec<String> {
    let Some(baseline) = outcome.contenders.get(outcome.baseline) else { return Vec::new() };
    let others = outcome.contenders.iter().enumerate().filter(|(index, _)| *index != outcome.baseline);
    let mut sentences: Vec<String> =
        others.map(|(_, contender)| sentence(contender, baseline, outcome.seeds.len())).collect();
    sentences.extend(outcome.contenders.iter().flat_map(starvation));
    if !outcome.complete {
        sentences.push("Interrupted: not all of the run is in it.".to_owned());
    }
    sentences
}

fn sentence(contender: &ContenderOutcome, baseline: &ContenderOutcome, seeds: usize) -> String {
    let (name, other) = (&contender.name, title(baseline));
    let (Some(age), Some(baseline_age)) = (contender.mean(AGE), baseline.mean(AGE)) else {
        return format!("{name} and {other} cannot be compared: one of them has no p99 age of the picture.");
    };
    let ages = format!("p99 age {} against {} ms", millis(age), millis(baseline_age));
    let interval = contender.difference(AGE).and_then(|difference| difference.interval);
    let shown = match interval {
        Some((low, high)) if high < 0.0 => {
            let (least, most) = (millis(-high), millis(-low));
            format!("{name} keeps the picture fresher than {other}: {ages}, {least} to {most} ms less (95 %)")
        }
        Some((low, high)) if low > 0.0 => {
            let (least, most) = (millis(low), millis(high));
            format!(
                "{name} keeps the picture less fresh than {other}: {ages}, {least} to {most} ms more (95 %)"
            )
        }
        Some(_) => format!("{name} and {other}: no difference shown ({ages}, {})", count(seeds, "seed")),
        None => {
            let seeds = count(seeds, "seed");
            format!("{name} and {other}: no difference shown, too few seeds to tell ({ages}, {seeds})")
        }
    };
    match [cost(contender, baseline), caveat(contender, baseline).map(str::to_owned)] {
        [Some(cost), Some(caveat)] => format!("{shown}. It {cost} and {caveat}."),
        [Some(only), None] | [None, Some(only)] => format!("{shown}. It {only}."),
        [None, None] => format!("{shown}."),
    }
}

/// Whom a contender starves, whether it is the better for it or not.
fn starvation(contender: &ContenderOutcome) -> impl Iterator<Item = String> {
    contender.neighbours.iter().filter_map(|group| {
        let Reference { contender: tcp, goodput_bps } = group.starved.as_ref()?;
        let (beside, beside_tcp) = (group.goodput.mean.number()? / 1e6, goodput_bps / 1e6);
        let (name, neighbour, transport) = (&contender.name, &group.name, &group.transport);
        Some(format!(
            "{name} starves its neighbour {neighbour} ({transport}): {beside:.2} Mbit/s beside it against \
             {beside_tcp:.2} beside {tcp}, less than half (95 %)."
        ))
    })
}

/// What it spends on repair, where that is not about what the baseline spends.
fn cost(contender: &ContenderOutcome, baseline: &ContenderOutcome) -> Option<String> {
    const KEY: &str = "repair_overhead_pct";
    let (mine, theirs) = (contender.mean(KEY)?, baseline.mean(KEY)?);
    let differs = (mine - theirs).abs() >= REPAIR_NOTED;
    differs.then(|| {
        format!("repairs with {} % more bytes ({}: {} %)", percent(mine), baseline.name, percent(theirs))
    })
}

/// Differences in repair bytes below this are not worth a word, in percent of the source's bytes.
const REPAIR_NOTED: f64 = 0.5;

fn caveat(contender: &ContenderOutcome, baseline: &ContenderOutcome) -> Option<&'static str> {
    match (contender.congestion_controlled, baseline.congestion_controlled) {
        (true, true) => None,
        (false, true) => Some("has no congestion control"),
        (true, false) => Some("has congestion control, the other has none"),
        (false, false) => Some("has no congestion control, like the other"),
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
        assert!(verdict[0].starts_with("udp-rs keeps the picture fresher than tcp-cubic: p99 age 84 against 412 ms, 301 to 350 ms less (95 %)"), "{verdict:?}");
        assert!(
            verdict[1].contains("no difference shown") && verdict[1].contains("no congestion control"),
            "{verdict:?}"
        );
        assert_eq!(verdict.len(), 2);
    }

    #[test]
    fn a_worse_contender_is_called_worse_and_too_few_seeds_tell_nothing() {
        let mut outcome = example::outcome();
        outcome.contenders[1].differences =
            vec![Difference { key: AGE, mean: 5.0, interval: Some((0.1, 9.9)) }];
        assert!(sentences(&outcome)[0].contains("less fresh"));
        outcome.contenders[1].differences[0].interval = None;
        assert!(sentences(&outcome)[0].contains("too few seeds to tell"));
        outcome.contenders[1].differences[0].interval = Some((0.0, 0.0));
        assert!(sentences(&outcome)[0].contains("no difference shown"));
    }

    #[test]
    fn the_sentence_names_the_congestion_control_and_the_cost() {
        let mut outcome = example::outcome();
        outcome.contenders[0].name = "today".to_owned();
        let verdict = sentences(&outcome);
        assert!(
            verdict[0].contains("today (TCP cubic)") && !verdict[0].contains("repairs"),
            "equal costs are no cost: {verdict:?}"
        );
        let repair = outcome.contenders[1].summaries.iter_mut().find(|one| one.key == "repair_overhead_pct");
        repair.unwrap().mean = crate::measure::Value::Number(40.2);
        let verdict = sentences(&outcome);
        assert!(verdict[0].ends_with("It repairs with 40 % more bytes (today: 12 %)."), "{verdict:?}");
    }

    #[test]
    fn who_starves_a_neighbour_is_named() {
        let verdict = sentences(&example::crowded());
        assert_eq!(
            verdict[2..],
            ["udp-rs starves its neighbour download (TCP cubic): 1.00 Mbit/s beside it against 6.00 beside \
              tcp-cubic, less than half (95 %)."]
        );
    }

    #[test]
    fn an_interrupted_run_and_an_empty_one_say_so() {
        let mut outcome = example::outcome();
        outcome.complete = false;
        assert_eq!(sentences(&outcome).last().unwrap(), "Interrupted: not all of the run is in it.");
        outcome.contenders.clear();
        assert!(sentences(&outcome).is_empty());
    }
}
