//! What the path loses, from the receiver's reports: a channel of Gilbert, fitted as losses come in.
//!
//! Two memories run side by side. The short one sees a change within a few frames, the long one forgets
//! it slowly, and the worse of both counts: protection goes up at once and comes down slowly. Both count
//! in packets, not in time, because a sender that is silent learns nothing.
//!
//! A Gilbert channel has two numbers: the mean loss, and the mean length of a run of losses, which is
//! the number of lost packets over the number of runs (Yajnik et al., "Measurement and modelling of the
//! temporal dependence in packet loss", INFOCOM 1999).

use crate::fec::LossReport;
use crate::fec::theory::Channel;
use crate::units::Probability;

/// The estimate.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    short: Tally,
    long: Tally,
}

impl Default for Estimate {
    /// A path that may lose a packet now and then: 1 % with the weight of two packets, which the first
    /// reports outweigh.
    fn default() -> Self {
        let prior = Tally { expected: 2.0, lost: 0.02, runs: 0.01 };
        Self { short: prior, long: prior }
    }
}

impl Estimate {
    /// Takes a report.
    pub(super) fn note(&mut self, report: &LossReport) {
        self.short.note(report, SHORT_PACKETS);
        self.long.note(report, LONG_PACKETS);
    }

    /// The channel that the reports speak of.
    pub(super) fn channel(&self) -> Channel {
        // What is within the error of so short a memory is no news.
        let short = self.short.loss();
        let error = (short * (1.0 - short) / self.short.expected.max(1.0)).sqrt();
        let loss = self.long.loss().max(short - error).clamp(0.0, LOSS_MAX);
        let share = Probability::new(loss).unwrap_or(Probability::ZERO);
        Channel::gilbert(share, self.long.burst()).unwrap_or_else(|| Channel::independent(share))
    }
}

/// Counts in which old packets weigh less and less.
#[derive(Clone, Copy, Debug)]
struct Tally {
    expected: f64,
    lost: f64,
    runs: f64,
}

impl Tally {
    fn note(&mut self, report: &LossReport, memory: f64) {
        let expected = f64::from(report.expected);
        let keep = (1.0 - expected / memory).max(0.0);
        let runs: u32 = report.runs.iter().fold(0, |sum, runs| sum.saturating_add(*runs));
        self.expected = self.expected * keep + expected;
        self.lost = self.lost * keep + f64::from(report.lost);
        self.runs = self.runs * keep + f64::from(runs);
    }

    fn loss(&self) -> f64 {
        (self.lost / self.expected.max(1.0)).min(1.0)
    }

    fn burst(&self) -> f64 {
        // A run that goes on is not counted yet, its losses are.
        (self.lost / self.runs.max(0.5)).max(1.0)
    }
}

/// The short memory: a large frame and a few small ones.
const SHORT_PACKETS: f64 = 200.0;

/// The long memory: some twenty seconds of a screen at work. At 0.5 % loss it holds twenty losses, which
/// tell the rate to a quarter.
const LONG_PACKETS: f64 = 4_000.0;

/// More than this no code makes good.
const LOSS_MAX: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of which every `every`-th begins a run of `burst` losses, reported twenty at a time.
    fn reported(estimate: &mut Estimate, packets: u32, every: u32, burst: u32) {
        for from in (0..packets).step_by(20) {
            let lost = |packet: u32| packet % every < burst;
            let ends = (from..from + 20).filter(|packet| packet % every == burst).count();
            let mut report = LossReport {
                expected: 20,
                lost: (from..from + 20).filter(|&packet| lost(packet)).count() as u32,
                ..LossReport::default()
            };
            report.runs[burst.next_power_of_two().trailing_zeros() as usize] = ends as u32;
            estimate.note(&report);
        }
    }

    fn loss(estimate: &Estimate) -> f64 {
        estimate.channel().mean_loss()
    }

    #[test]
    fn loss_and_burst_are_what_was_reported() {
        for (every, burst) in [(50, 1), (100, 4), (40, 8)] {
            let mut estimate = Estimate::default();
            reported(&mut estimate, 8_000, every, burst);
            let expected = f64::from(burst) / f64::from(every);
            assert!((loss(&estimate) / expected - 1.0).abs() < 0.05, "{} of {expected}", loss(&estimate));
            assert!((estimate.long.burst() / f64::from(burst) - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn protection_goes_up_at_once_and_comes_down_slowly() {
        let mut estimate = Estimate::default();
        reported(&mut estimate, 4_000, 4_001, 0);
        assert!(loss(&estimate) < 1e-3);
        reported(&mut estimate, 200, 10, 1);
        assert!(loss(&estimate) > 0.04, "{}", loss(&estimate));
        reported(&mut estimate, 400, 401, 0);
        assert!(loss(&estimate) > 0.004);
        reported(&mut estimate, 20_000, 20_001, 0);
        assert!(loss(&estimate) < 1e-3);
    }

    #[test]
    fn reports_that_cannot_be_leave_a_channel() {
        let mut estimate = Estimate::default();
        let absurd = LossReport { expected: 1, lost: u32::MAX, runs: [u32::MAX; 8], ..LossReport::default() };
        estimate.note(&absurd);
        assert!((0.0..=LOSS_MAX).contains(&loss(&estimate)));
    }
}
