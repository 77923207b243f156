//! The Pareto front: the strategies that no other beats on both axes.
//!
//! One axis is what a person gets, the other what it costs. A beats B where it is at least as good on
//! both and better on one. Values count to the tenth of a point, as tables show them: what differs by
//! less is the same, so that nobody leaves the front for the last digit of a simulation. Because values
//! are rounded first, and not compared with a tolerance, "beats" stays transitive: whoever is not on the
//! front is beaten by somebody who is. Those with the same rounded values are on it together.
//!
//! The front is that of the means. It says nothing about what is within noise; intervals do.

/// What a strategy gives and what it takes, each in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The gain: frames on time. More is better.
    pub gain: f64,
    /// The cost: repair overhead. Less is better.
    pub cost: f64,
}

/// Values that differ by less than this, after rounding to it, are the same; in points.
const STEP: f64 = 0.1;

impl Point {
    /// Whether this one beats the other: at least as good on both axes and better on one.
    pub fn beats(self, other: Self) -> bool {
        let ([gain, cost], [other_gain, other_cost]) = (self.rounded(), other.rounded());
        gain >= other_gain && cost <= other_cost && (gain > other_gain || cost < other_cost)
    }

    fn rounded(self) -> [i64; 2] {
        [self.gain, self.cost].map(|value| libm::round(value / STEP) as i64)
    }
}

/// For each point, whether no other one beats it. One without values is never on the front.
pub fn front(points: &[Option<Point>]) -> Vec<bool> {
    let beaten = |one: Point| points.iter().flatten().any(|other| other.beats(one));
    points.iter().map(|point| point.is_some_and(|one| !beaten(one))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(points: &[(f64, f64)]) -> Vec<Option<Point>> {
        points.iter().map(|&(gain, cost)| Some(Point { gain, cost })).collect()
    }

    #[test]
    fn who_costs_more_and_gives_less_is_not_on_the_front() {
        assert_eq!(front(&points(&[(90.0, 0.0), (99.0, 20.0), (98.0, 25.0)])), [true, true, false]);
    }

    #[test]
    fn what_a_table_shows_as_equal_is_equal() {
        assert_eq!(front(&points(&[(99.01, 20.02), (98.98, 20.04)])), [true, true]);
        assert_eq!(front(&points(&[(99.0, 20.0), (99.0, 20.2)])), [true, false]);
    }

    #[test]
    fn one_without_values_is_not_on_the_front_and_beats_nobody() {
        assert_eq!(front(&[None, Some(Point { gain: 0.0, cost: 500.0 })]), [false, true]);
        assert!(front(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn no_member_is_beaten_and_everybody_else_is_by_a_member(
            // A coarse grid makes ties and near ties common.
            values in prop::collection::vec((0..60_u32, 0..60_u32), 1..40)
        ) {
            let points: Vec<Option<Point>> = values
                .iter()
                .map(|&(gain, cost)| Some(Point { gain: f64::from(gain) / 27.0, cost: f64::from(cost) / 27.0 }))
                .collect();
            let front = front(&points);
            prop_assert!(front.contains(&true), "a finite partial order has a maximum");
            for (index, one) in points.iter().flatten().enumerate() {
                let members = points.iter().zip(&front).filter(|(_, member)| **member);
                let by_member = members.filter_map(|(point, _)| *point).any(|member| member.beats(*one));
                prop_assert_eq!(by_member, !front[index]);
            }
        }
    }
}
