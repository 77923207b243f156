//! A small made-up outcome that the tests of the reports share.

use super::expected::judge;
use super::json::Report;
use super::real_time::RealTimeReport;
use crate::drive::timing::Timing;
use crate::measure::{GroupShare, METRICS, Metrics, Value};
use crate::runner::realtime::RealTimeOutcome;
use crate::runner::{ContenderOutcome, Difference, NeighbourOutcome, Outcome, Reference, Summary};
use crate::scenario::source::Sources;
use crate::scenario::{self, Draft, built_in};
use crate::time::Duration;

/// Three contenders and two seeds: TCP as the baseline, a better UDP, and one like TCP without
/// congestion control and with a value that is not finite.
pub(super) fn outcome() -> Outcome {
    let tcp = contender("tcp-cubic", "TCP cubic", true, &means(&[51.0, 310.0, 412.0, 420.0, 81.25, 4.3e6]));
    let udp = &means(&[7.0, 12.0, 84.0, 180.0, 99.5, 4.35e6]);
    let mut rs = contender("udp-rs", "UDP reed-solomon 10+3", true, udp);
    let mut bare =
        contender("udp-bare", "UDP none", false, &means(&[50.0, 305.0, 409.0, 400.0, 80.0, 4.1e6]));
    let frozen = bare.summaries.iter_mut().find(|summary| summary.key == "frozen_pct").unwrap();
    frozen.mean = Value::Number(f64::NAN);
    rs.differences = vec![Difference { key: "age_p99_ms", mean: -328.0, interval: Some((-350.0, -301.0)) }];
    bare.differences = vec![Difference { key: "age_p99_ms", mean: -3.0, interval: Some((-9.0, 3.0)) }];
    let contenders = vec![tcp, rs, bare];
    Outcome { seeds: vec![1, 2], complete: true, baseline: 0, contenders, ports: (3224, 3224) }
}

/// The scenario that it is said to come from.
pub(super) fn draft() -> Draft {
    let lan = built_in::find(built_in::SCENARIOS, "lan-clean").unwrap();
    scenario::parse(Sources::built_in(lan.name, lan.text), &[]).unwrap()
}

/// The same outcome beside three downloads, which the second contender starves.
pub(super) fn crowded() -> Outcome {
    let mut outcome = outcome();
    for (contender, mbps) in outcome.contenders.iter_mut().zip([6.0, 1.0, 5.5]) {
        let goodput_bps = mbps * 1e6;
        let share = |scale: f64| GroupShare {
            goodput_bps: Value::Number(goodput_bps * scale),
            jain_index: Value::Number(0.9),
        };
        contender.per_seed[0].add_neighbours(share(0.9));
        contender.per_seed[1].add_neighbours(share(1.1));
        let summary = |key, mean: f64| Summary {
            key,
            mean: Value::Number(mean),
            interval: Some((mean * 0.9, mean * 1.1)),
        };
        let reference = Reference { contender: "tcp-cubic".to_owned(), goodput_bps: 6e6 };
        contender.neighbours = vec![NeighbourOutcome {
            name: "download".to_owned(),
            transport: "TCP cubic".to_owned(),
            count: 3,
            goodput: summary("goodput_bps", goodput_bps),
            jain_index: summary("jain_index", 0.9),
            starved: (mbps < 3.0).then_some(reference),
        }];
    }
    outcome
}

/// The report of an outcome.
pub(super) fn report(outcome: &Outcome) -> Report {
    let draft = draft();
    let expectations = judge(&draft, outcome, None);
    let verdict = super::verdict::sentences(outcome);
    Report::new(&draft, &[], "fhsim run lan-clean".to_owned(), outcome, &expectations, verdict)
}

/// The report of it, had it been played in real time.
pub(super) fn real_time_report() -> Report {
    let timing = Timing { late_p99: Duration::from_micros(61), cpu: 0.12, ..Timing::default() };
    let notes = vec![("tcp-cubic".to_owned(), "the kernel sent 3 segments again".to_owned())];
    let real = RealTimeOutcome { outcome: outcome(), timing: vec![timing; 3], clock: None, notes };
    Report { real_time: Some(RealTimeReport::new(&real, true)), ..report(&outcome()) }
}

/// A value for each metric: these for the first ones that a table shows, and 12.5 for the others.
fn means(values: &[f64; 6]) -> Vec<(&'static str, f64)> {
    let shown =
        ["age_p50_ms", "age_p95_ms", "age_p99_ms", "freeze_longest_ms", "frames_on_time_pct", "goodput_bps"];
    let of = |key: &str| shown.iter().position(|one| *one == key).map_or(12.5, |index| values[index]);
    METRICS.iter().map(|metric| (metric.key, of(metric.key))).collect()
}

fn contender(
    name: &str,
    transport: &str,
    controlled: bool,
    means: &[(&'static str, f64)],
) -> ContenderOutcome {
    let metrics = |scale: f64| -> Metrics {
        means.iter().map(|&(key, mean)| (key, Value::Number(mean * scale))).collect()
    };
    ContenderOutcome {
        name: name.to_owned(),
        transport: transport.to_owned(),
        tcp: transport.starts_with("TCP"),
        congestion_controlled: controlled,
        per_seed: vec![metrics(0.9), metrics(1.1)],
        summaries: means
            .iter()
            .map(|&(key, mean)| Summary {
                key,
                mean: Value::Number(mean),
                interval: Some((mean * 0.9, mean * 1.1)),
            })
            .collect(),
        differences: Vec::new(),
        neighbours: Vec::new(),
    }
}
