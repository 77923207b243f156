//! Every shipped scenario, as it comes out: the table of what matters, in whole numbers.
//!
//! A change of behavior shows here as a changed table. A changed table needs a sentence in the commit
//! that says why the new numbers are right.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;

use framehawk_sim::measure::Value;
use framehawk_sim::runner::{self, Conduct, Outcome, Progress};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Scenario, built_in};

/// The columns: a metric, its heading, and what it is multiplied by to become a whole number.
const COLUMNS: &[(&str, &str, f64)] = &[
    ("age_p50_ms", "age p50 ms", 1.0),
    ("age_p99_ms", "p99 ms", 1.0),
    ("freeze_longest_ms", "freeze ms", 1.0),
    ("frames_on_time_pct", "on time ‰", 10.0),
    ("frames_shown_pct", "shown ‰", 10.0),
    ("network_loss_pct", "loss ‱", 100.0),
    ("residual_loss_pct", "residual ‱", 100.0),
    ("repair_overhead_pct", "repair ‰", 10.0),
    ("wire_overhead_pct", "wire ‰", 10.0),
    ("queue_delay_p95_ms", "queue p95 ms", 1.0),
    ("goodput_bps", "goodput kbit/s", 1e-3),
];

#[derive(Debug)]
struct Silent;

impl Progress for Silent {
    fn advance(&self, _: usize, _: usize) {}
}

fn outcome(name: &str, text: &str) -> Outcome {
    let draft = scenario::parse(Sources::built_in(name, text), &[]).unwrap();
    let scenario = Scenario::new(&draft).unwrap();
    let conduct = Conduct { threads: None, cancelled: &AtomicBool::new(false), progress: &Silent };
    // Three seeds keep the test short; a changed behavior changes each of them.
    runner::run(&scenario, &[1, 2, 3], &conduct).unwrap()
}

fn table(outcome: &Outcome) -> String {
    let mut table = format!("{:14}", "");
    for (_, heading, _) in COLUMNS {
        write!(table, " {heading:>14}").unwrap();
    }
    for contender in &outcome.contenders {
        write!(table, "\n{:14}", contender.name).unwrap();
        for (key, _, factor) in COLUMNS {
            match contender.summary(key).unwrap().mean {
                Value::Number(number) => write!(table, " {:14}", (number * factor).round()).unwrap(),
                Value::Absent(_) => write!(table, " {:>14}", "-").unwrap(),
            }
        }
    }
    table
}

#[test]
fn shipped_scenarios_come_out_as_they_did() {
    for built_in in built_in::SCENARIOS {
        insta::assert_snapshot!(built_in.name, table(&outcome(built_in.name, built_in.text)));
    }
}
