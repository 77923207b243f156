//! What the neighbours of the contenders had of the path, and who starves them.
//!
//! A contender **starves** a group of neighbours on TCP where the group's goodput beside it is below half
//! of what it is beside the TCP contender, seed by seed, with all of the 95 % interval. Half, because a
//! flow is "reasonably fair" as long as it is within a factor of two of what TCP does under the same
//! conditions (RFC 5348, section 1), which is also what RFC 8085, section 3.1, asks of UDP. Beside the TCP
//! contender and not by capacity over flows (RFC 5166, section 2.3, knows both), because a neighbour on a
//! lossy or long path, or one that has little to send, never gets that share, whoever is beside it.
//! Without a TCP contender there is nothing to go by, and nobody is named.

use super::outcome::Summary;
use crate::measure::statistics::{interval, mean};
use crate::measure::{GroupShare, Metrics};
use crate::scenario::{Neighbour, Scenario};

/// What a group of neighbours had of the path beside a contender.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighbourOutcome {
    /// Its name in the scenario.
    pub name: String,
    /// What carries it, in a few words.
    pub transport: String,
    /// How many they are.
    pub count: u16,
    /// Their goodput together, in bit/s, over the seeds.
    pub goodput: Summary,
    /// Jain's fairness index of their goodputs, over the seeds.
    pub jain_index: Summary,
    /// Where they are starved: beside which contender they get how many bit/s.
    pub starved: Option<Reference>,
}

/// What a starved group gets beside the TCP contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// That contender's name.
    pub contender: String,
    /// The group's goodput beside it, in bit/s.
    pub goodput_bps: f64,
}

/// The groups of neighbours beside the contender at `place`; `trials` has the metrics of each contender,
/// seed by seed.
pub(super) fn neighbours(
    scenario: &Scenario,
    place: usize,
    trials: &[Vec<Metrics>],
) -> Vec<NeighbourOutcome> {
    let groups = scenario.neighbours.iter().enumerate();
    groups.map(|(group, neighbour)| of_group(scenario, place, trials, group, neighbour)).collect()
}

fn of_group(
    scenario: &Scenario,
    place: usize,
    trials: &[Vec<Metrics>],
    group: usize,
    neighbour: &Neighbour,
) -> NeighbourOutcome {
    let shares = |contender: usize| -> Vec<GroupShare> {
        trials[contender].iter().filter_map(|metrics| metrics.neighbours().get(group).copied()).collect()
    };
    let goodputs = |contender| -> Vec<f64> {
        shares(contender).iter().filter_map(|share| share.goodput_bps.number()).collect()
    };
    let own = shares(place);
    let starved = reference(scenario).filter(|&other| other != place && neighbour.protocol.is_tcp());
    let starved = starved.and_then(|other| {
        let goodput_bps = starves(&goodputs(place), &goodputs(other))?;
        Some(Reference { contender: scenario.contenders[other].name.clone(), goodput_bps })
    });
    NeighbourOutcome {
        name: neighbour.name.clone(),
        transport: neighbour.protocol.to_string(),
        count: neighbour.count,
        goodput: Summary::of("goodput_bps", own.iter().map(|share| share.goodput_bps)),
        jain_index: Summary::of("jain_index", own.iter().map(|share| share.jain_index)),
        starved,
    }
}

/// The contender that others must not be worse than by half: the baseline where it is TCP, or else the
/// first TCP.
fn reference(scenario: &Scenario) -> Option<usize> {
    let is_tcp = |&place: &usize| scenario.contenders[place].protocol.is_tcp();
    let baseline = Some(scenario.baseline).filter(|&place| place < scenario.contenders.len());
    baseline.filter(is_tcp).or_else(|| (0..scenario.contenders.len()).find(is_tcp))
}

/// The mean of `beside_tcp`, where `beside` is below half of it, seed by seed and with all of the interval.
fn starves(beside: &[f64], beside_tcp: &[f64]) -> Option<f64> {
    if beside.len() != beside_tcp.len() {
        return None;
    }
    let above_half: Vec<f64> = beside.iter().zip(beside_tcp).map(|(one, tcp)| one - tcp / 2.0).collect();
    let starves = interval(&above_half)?.high < 0.0;
    mean(beside_tcp).filter(|_| starves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_less_than_half_with_all_of_the_interval_starves() {
        let tcp = [8e6, 9e6, 8.5e6, 9.5e6, 8.2e6];
        let times = |factor: f64| tcp.map(|bps| bps * factor);
        assert_eq!(starves(&times(0.3), &tcp), mean(&tcp));
        assert_eq!(starves(&times(0.6), &tcp), None);
        assert_eq!(starves(&times(1.5), &tcp), None);
        assert_eq!(starves(&[0.0, 9e6, 0.0, 9.5e6, 0.0], &tcp), None, "less than half in the mean only");
        assert_eq!(starves(&[0.0], &tcp[..1]), None, "one seed shows nothing");
        assert_eq!(starves(&[], &tcp), None);
    }
}
