//! What the README shows is so.

use std::sync::atomic::AtomicBool;

use framehawk_sim::runner::{self, Conduct, Progress};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Scenario, built_in};

const README: &str = include_str!("../README.md");

#[derive(Debug)]
struct Silent;

impl Progress for Silent {
    fn advance(&self, _: usize, _: usize) {}
}

#[test]
fn the_scenario_to_copy_runs() {
    let text = README.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let draft = scenario::parse(Sources::built_in("README.md", text), &[]).unwrap();
    let scenario = Scenario::new(&draft).unwrap();
    let conduct = Conduct { threads: None, cancelled: &AtomicBool::new(false), progress: &Silent };
    let outcome = runner::run(&scenario, &[1], &conduct).unwrap();
    assert!(outcome.contenders.iter().all(|one| one.mean("goodput_bps").is_some_and(|bps| bps > 0.0)));
}

#[test]
fn every_scenario_is_in_the_table() {
    for scenario in built_in::SCENARIOS {
        assert!(README.contains(&format!("| `{}` |", scenario.name)), "{}", scenario.name);
    }
}
