//! What is left of a run in real time: its report, what is to be said beside it, and how the program ends.

use anyhow::anyhow;
use framehawk_sim::drive::timing::{Quality, Timing};
use framehawk_sim::report::expected::{Judged, judge};
use framehawk_sim::report::json::Report;
use framehawk_sim::report::real_time::RealTimeReport;
use framehawk_sim::report::verdict;
use framehawk_sim::runner::realtime::RealTimeOutcome;
use framehawk_sim::scenario::Draft;

use super::super::{Exit, Failure, output};

/// A run that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) real: RealTimeOutcome,
    /// Whether losses or repair were changed while it ran.
    altered: bool,
    timing: Timing,
    expectations: Vec<Judged>,
    sentences: Vec<String>,
}

impl Over {
    /// What came of `draft`.
    pub(super) fn new(draft: &Draft, real: RealTimeOutcome, altered: bool) -> Self {
        let timing = real.timing.iter().copied().reduce(Timing::worse).unwrap_or_default();
        let spoiled = timing.quality() == Quality::Spoiled;
        let withheld = if !real.outcome.complete {
            Some("the run was interrupted")
        } else if spoiled {
            Some("this machine lost packets that the link did not")
        } else {
            altered.then_some("losses or repair were changed while it ran")
        };
        let expectations = judge(draft, &real.outcome, withheld);
        let sentences = if spoiled { Vec::new() } else { verdict::sentences(&real.outcome) };
        Self { real, altered, timing, expectations, sentences }
    }

    /// The report, of a run that `command` began.
    pub(super) fn report(&self, draft: &Draft, sets: &[String], command: String) -> Report {
        let (outcome, expectations) = (&self.real.outcome, &self.expectations);
        let report = Report::new(draft, sets, command, outcome, expectations, self.sentences.clone());
        Report { real_time: Some(RealTimeReport::new(&self.real, self.altered)), ..report }
    }

    /// What is to be said beside the figures: how well time was kept, and what they show if it was.
    pub(super) fn tell(&self) {
        output::tell(&format!("timing: {}", self.timing));
        if let Some(clock) = self.real.clock {
            output::tell(&format!("clocks: {clock}"));
        }
        for (contender, note) in &self.real.notes {
            output::tell(&format!("{contender}: {note}"));
        }
        if self.altered {
            output::tell(
                "note: losses or repair were changed while it ran; no other run gives the same figures",
            );
        }
        let is_rough = self.timing.quality() == Quality::Rough;
        for judged in &self.expectations {
            let on = if is_rough && judged.evaluation.is_ok() { ", on rough figures" } else { "" };
            output::tell(&format!("expected{on}: {judged}"));
        }
        for sentence in &self.sentences {
            output::tell(&format!("verdict: {sentence}"));
        }
    }

    /// How the program ends: as `fhsim run` does, and with a failure where this machine spoiled what was to
    /// be judged.
    pub(super) fn exit(&self) -> Result<Exit, Failure> {
        if !self.real.outcome.complete {
            return Ok(Exit::Interrupted);
        }
        if self.timing.quality() == Quality::Spoiled && !self.expectations.is_empty() {
            return Err(anyhow!("this machine spoiled the run: what was expected cannot be judged").into());
        }
        Ok(if self.expectations.iter().any(Judged::is_unmet) { Exit::Unmet } else { Exit::Success })
    }
}
