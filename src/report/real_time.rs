//! What there is to say of a run in real time beside its figures: how well this machine kept time.

use schemars::JsonSchema;
use serde::Serialize;

use crate::drive::timing::{Quality, Timing};
use crate::runner::realtime::RealTimeOutcome;

/// How a run in real time went.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RealTimeReport {
    /// How well this machine kept time, in the order of the contenders; over several seeds the worst.
    pub timing: Vec<TimingReport>,
    /// Whether somebody changed losses or repair while it ran, so that it is no run of the scenario as it is
    /// written.
    pub altered: bool,
    /// The most by which figures of one way may be wrong because two machines have two clocks; null on one
    /// machine.
    pub clock_bound_us: Option<f64>,
    /// What whoever reads the figures should know.
    pub notes: Vec<NoteReport>,
}

/// How well time was kept.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct TimingReport {
    /// How many things were due.
    pub events: u64,
    /// The median of the lateness.
    pub late_p50_us: f64,
    /// The 99th percentile of the lateness.
    pub late_p99_us: f64,
    /// The worst.
    pub late_max_us: f64,
    /// Packets that this machine dropped at its sockets.
    pub socket_drops: u64,
    /// Packets that this machine dropped before its virtual devices.
    pub device_drops: u64,
    /// The part of one core that was used, in percent.
    pub cpu_pct: f64,
    /// What that says of the figures.
    pub quality: QualityReport,
}

/// What the timing says of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QualityReport {
    /// They are as good as any.
    Trustworthy,
    /// The machine was late: they are rough.
    Rough,
    /// The machine itself lost packets: they are worth nothing.
    Spoiled,
}

/// Something about a contender.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NoteReport {
    /// Its name.
    pub contender: String,
    /// What it is.
    pub note: String,
}

impl RealTimeReport {
    /// How `real` went; `altered` says whether somebody changed losses or repair meanwhile.
    pub fn new(real: &RealTimeOutcome, altered: bool) -> Self {
        let note = |(contender, note): &(String, String)| NoteReport {
            contender: contender.clone(),
            note: note.clone(),
        };
        Self {
            timing: real.timing.iter().copied().map(Into::into).collect(),
            altered,
            clock_bound_us: real.clock.map(|clock| clock.bound.as_nanos() as f64 / 1e3),
            notes: real.notes.iter().map(note).collect(),
        }
    }
}

impl From<Timing> for TimingReport {
    fn from(timing: Timing) -> Self {
        let micros = |late: crate::time::Duration| late.as_nanos() as f64 / 1e3;
        Self {
            events: timing.events,
            late_p50_us: micros(timing.late_p50),
            late_p99_us: micros(timing.late_p99),
            late_max_us: micros(timing.late_max),
            socket_drops: timing.socket_drops,
            device_drops: timing.device_drops,
            cpu_pct: timing.cpu * 100.0,
            quality: match timing.quality() {
                Quality::Trustworthy => QualityReport::Trustworthy,
                Quality::Rough => QualityReport::Rough,
                Quality::Spoiled => QualityReport::Spoiled,
            },
        }
    }
}
