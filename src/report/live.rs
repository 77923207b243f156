//! A run in real time as events, one JSON object a line: a start, an interval for each second, an end.
//!
//! The three parts are those of iperf3's `--json-stream`; every line is `{"event": …, "data": …}`. Units are
//! in the keys, and what has no value is null. `fhsim schema live` prints the schema of a line.

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{FORMAT_VERSION, Report};
use crate::drive::timing::{Quality, Timing};
use crate::measure::{Budget, Fate, Glance};
use crate::time::{Duration, Time};

/// One line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "framehawk-sim live event")]
#[serde(tag = "event", content = "data", rename_all = "kebab-case")]
pub enum LiveEvent {
    /// The run begins.
    Start(LiveStart),
    /// A second is over.
    Interval(LiveInterval),
    /// The run is over.
    End(Box<LiveEnd>),
}

/// What is run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveStart {
    /// The version of this format: 1.
    pub format_version: u32,
    /// The version of the program.
    pub tool_version: String,
    /// The scenario's name.
    pub scenario: String,
    /// The seeds that are played one after the other, as decimal strings.
    pub seeds: Vec<String>,
    /// How long captures go on, in seconds.
    pub duration_s: f64,
    /// The names of the contenders, in the order of every interval.
    pub contenders: Vec<String>,
}

/// One second.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveInterval {
    /// The time since the start of the trial, in seconds.
    pub time_s: f64,
    /// The seed that is played, as a decimal string.
    pub seed: String,
    /// The contenders that are running.
    pub contenders: Vec<LiveContender>,
}

/// One contender in one second.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveContender {
    /// Its name.
    pub name: String,
    /// The age of the picture at the last display tick.
    pub age_ms: Option<f64>,
    /// The median age since the warm-up.
    pub age_p50_ms: Option<f64>,
    /// The 99th percentile of the age since the warm-up.
    pub age_p99_ms: Option<f64>,
    /// The longest freeze since the warm-up.
    pub freeze_longest_ms: f64,
    /// How many frames had each fate since the warm-up.
    pub frames: LiveFates,
    /// Packets lost on the way down in the last five seconds.
    pub network_loss_pct: Option<f64>,
    /// The mean length of a run of lost packets in that time.
    pub loss_burst_mean: Option<f64>,
    /// What was sent on top of first-time source payload in that time.
    pub repair_overhead_pct: Option<f64>,
    /// Repair packets left over in the last second; negative: so many were lacking.
    pub repair_margin: Option<i64>,
    /// Application bytes that arrived in the last second.
    pub goodput_bps: Option<u64>,
    /// Where frames that came on the screen in the last second spent their time.
    pub budget: Option<LiveBudget>,
}

/// How many frames had each fate.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "`fhsim explain` says what each is")]
pub struct LiveFates {
    pub shown: u64,
    pub superseded: u64,
    pub undecodable: u64,
    pub unrepairable: u64,
    pub late: u64,
    pub never_sent: u64,
}

/// The mean way of a frame from capture to screen, by stage; the stages sum up to all of it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct LiveBudget {
    /// Waiting at the sender.
    pub send_ms: f64,
    /// In the bottleneck's queue.
    pub queue_ms: f64,
    /// On the rest of the link.
    pub link_ms: f64,
    /// Waiting for repair, for a retransmission or for what came before.
    pub blocked_ms: f64,
    /// Waiting for the display's next tick.
    pub tick_ms: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveEnd {
    /// The same as `fhsim run` prints of virtual time.
    pub result: Report,
    /// How well this machine kept time, contender by contender.
    pub timing: Vec<LiveTiming>,
}

/// How well time was kept.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct LiveTiming {
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
    pub quality: LiveQuality,
}

/// What the timing says of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LiveQuality {
    /// They are as good as any.
    Trustworthy,
    /// The machine was late: they are rough.
    Rough,
    /// The machine itself lost packets: they are worth nothing.
    Spoiled,
}

impl LiveEvent {
    /// The event as a line.
    pub fn to_line(&self) -> String {
        // Every type here can be written: keys are strings and numbers are finite.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl LiveStart {
    /// What is run: the scenario's name, the seeds, how long captures go on, the contenders' names.
    pub fn new(scenario: &str, seeds: &[u64], duration: Time, contenders: Vec<String>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.to_owned(),
            seeds: seeds.iter().map(u64::to_string).collect(),
            duration_s: duration.as_secs_f64(),
            contenders,
        }
    }
}

impl LiveContender {
    /// The figures of the moment of the contender called `name`.
    pub fn new(name: &str, glance: &Glance) -> Self {
        let percent = |share: Option<f64>| share.map(|share| share * 100.0);
        Self {
            name: name.to_owned(),
            age_ms: glance.age.map(Duration::as_millis_f64),
            age_p50_ms: glance.age_p50_ms,
            age_p99_ms: glance.age_p99_ms,
            freeze_longest_ms: glance.freeze_longest.as_millis_f64(),
            frames: LiveFates::new(glance),
            network_loss_pct: percent(glance.loss),
            loss_burst_mean: glance.burst,
            repair_overhead_pct: percent(glance.repair_overhead),
            repair_margin: glance.margin,
            goodput_bps: glance.goodput.map(|rate| rate.bps()),
            budget: glance.budget.map(LiveBudget::new),
        }
    }
}

impl LiveFates {
    fn new(glance: &Glance) -> Self {
        let count = |fate: Fate| glance.fates[fate as usize];
        Self {
            shown: count(Fate::Shown),
            superseded: count(Fate::Superseded),
            undecodable: count(Fate::Undecodable),
            unrepairable: count(Fate::Unrepairable),
            late: count(Fate::Late),
            never_sent: count(Fate::NeverSent),
        }
    }
}

impl LiveBudget {
    fn new(budget: Budget) -> Self {
        let Budget { sender, queue, link, blocked, tick } = budget;
        let [send_ms, queue_ms, link_ms, blocked_ms, tick_ms] =
            [sender, queue, link, blocked, tick].map(Duration::as_millis_f64);
        Self { send_ms, queue_ms, link_ms, blocked_ms, tick_ms }
    }
}

impl From<Timing> for LiveTiming {
    fn from(timing: Timing) -> Self {
        let micros = |late: Duration| late.as_nanos() as f64 / 1e3;
        Self {
            events: timing.events,
            late_p50_us: micros(timing.late_p50),
            late_p99_us: micros(timing.late_p99),
            late_max_us: micros(timing.late_max),
            socket_drops: timing.socket_drops,
            device_drops: timing.device_drops,
            cpu_pct: timing.cpu * 100.0,
            quality: match timing.quality() {
                Quality::Trustworthy => LiveQuality::Trustworthy,
                Quality::Rough => LiveQuality::Rough,
                Quality::Spoiled => LiveQuality::Spoiled,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::units::Bitrate;

    fn events() -> Vec<LiveEvent> {
        let glance = Glance {
            age: Some(Duration::from_millis(52)),
            age_p99_ms: Some(84.0),
            fates: [89, 0, 0, 11, 0, 0, 0],
            loss: Some(0.051),
            margin: Some(-2),
            goodput: Some(Bitrate::from_bps(5_800_000)),
            budget: Some(Budget { link: Duration::from_millis(40), ..Budget::default() }),
            ..Glance::default()
        };
        let contenders = vec!["udp-rs".to_owned()];
        let timing = Timing { late_p99: Duration::from_micros(61), cpu: 0.12, ..Timing::default() };
        vec![
            LiveEvent::Start(LiveStart::new("cafe-wifi", &[u64::MAX], Time::from_secs(60), contenders)),
            LiveEvent::Interval(LiveInterval {
                time_s: 14.0,
                seed: "7".to_owned(),
                contenders: vec![
                    LiveContender::new("udp-rs", &glance),
                    LiveContender::new("tcp", &Glance::default()),
                ],
            }),
            LiveEvent::End(Box::new(LiveEnd {
                result: example::report(&example::outcome()),
                timing: vec![timing.into()],
            })),
        ]
    }

    #[test]
    fn every_event_is_one_line_and_keeps_to_the_schema() {
        let schema = serde_json::to_value(schemars::schema_for!(LiveEvent)).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for event in events() {
            let line = event.to_line();
            assert_eq!(line.matches('\n').count(), 1);
            let value = serde_json::from_str(&line).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{line}");
        }
    }

    #[test]
    fn an_interval_has_its_units_in_the_keys_and_nulls_where_nothing_is_known() {
        insta::assert_snapshot!(events()[0].to_line() + &events()[1].to_line());
    }
}
