//! The scenario format: every key a person may write.
//!
//! The comments here are the reference. They are printed by `fhsim schema scenario` and shown by
//! editors. Durations, rates, sizes and frequencies are strings with their unit (`"40ms"`,
//! `"20Mbit/s"`, `"64kB"`, `"60Hz"`), probabilities strings with a percent sign or numbers from 0 to 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::place::{At, Named};
use super::quantity::Frequency;
use crate::session::ports::PortRange;
use crate::time::Duration;

pub mod channel;
pub mod contender;
pub mod loss;
pub mod path;
pub mod preset;
pub mod queue;
pub mod quic;
pub mod traffic;

use channel::Channel;
use contender::{Contender, Neighbour};
use path::Path;
use traffic::Traffic;

/// A loss scenario: a path, what is sent over it, and the transports that are compared on it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(title = "framehawk-sim scenario")]
pub struct ScenarioFile {
    /// The version of this format. Always 1; default 1.
    #[serde(default = "default_format")]
    pub format: At<u32>,
    /// What happens here, in a sentence; shown by `fhsim scenario list`. Default empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<At<String>>,
    /// How long the applications send, warm-up included. From 1 s to 1 h.
    pub duration: At<Duration>,
    /// How many seeds are run where the command line names none: the seeds 1, 2, 3, … From 1 to 10000,
    /// default 10: fewer give intervals too wide to tell contenders apart.
    #[serde(default = "default_seeds")]
    pub seeds: At<u32>,
    /// What the applications send.
    #[serde(default)]
    pub traffic: Directions,
    /// The sessions that run at the same time over the path.
    #[serde(default)]
    pub session: Session,
    /// The person's display.
    #[serde(default)]
    pub display: Display,
    /// What part of the run is measured.
    #[serde(default)]
    pub measure: Measure,
    /// States of the air that several models of the path share, by name.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub channel: Named<Channel>,
    /// The path between server and person.
    pub path: Path,
    /// Other traffic on the same bottleneck, beside every contender, by name.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub neighbour: Named<Neighbour>,
    /// What is compared, by name: every contender meets the same path and the same traffic. At least one.
    pub contender: Named<Contender>,
    /// What the results are expected to be.
    #[serde(default)]
    pub expect: Expect,
}

/// What the applications of one session send: at most one a direction, and at least one of all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Directions {
    /// From the server to the person, by name: the screen that is measured.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub down: Named<Traffic>,
    /// From the person to the server, by name.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub up: Named<Traffic>,
}

/// The sessions that run at the same time over the path, each with traffic of its own, out of step.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Session {
    /// How many sessions each contender has. From 1 to 1000, default 1.
    pub count: At<u32>,
    /// The ports that are given out, lowest free first, one a session. Default `"3224-3324"`
    /// (Citrix policy "Framehawk display channel port range").
    pub ports: At<PortRange>,
}

impl Default for Session {
    fn default() -> Self {
        Self { count: At::default_of(1), ports: At::default_of(PortRange::FRAMEHAWK) }
    }
}

/// The person's display.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Display {
    /// How often the display shows what is there; the age of the picture is sampled at these ticks.
    /// From 1 Hz to 1 kHz, default `"60Hz"`.
    pub rate: At<Frequency>,
}

impl Default for Display {
    fn default() -> Self {
        let rate = Frequency::new(60.0).expect("60 is above 0");
        Self { rate: At::default_of(rate) }
    }
}

/// What part of the run is measured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Measure {
    /// What is left out at the start, while connections are set up and rates are found. Shorter than
    /// the duration; default `"2s"`.
    pub warm_up: At<Duration>,
    /// How long the run goes on after the applications have stopped, so that what is under way can
    /// still arrive. At most 60 s, default `"2s"`.
    pub drain: At<Duration>,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            warm_up: At::default_of(Duration::from_secs(2)),
            drain: At::default_of(Duration::from_secs(2)),
        }
    }
}

/// What the results are expected to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Expect {
    /// Rules such as `"framehawk.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms"`: names of contenders and of
    /// metrics (`fhsim explain` lists them), numbers, `*`, `/`, and one of `<`, `<=`, `>`, `>=`. A metric
    /// stands for its mean over the seeds; `lower(...)` and `upper(...)` for the ends of its 95 %
    /// interval. Where one is not met, `fhsim run` ends with exit code 99. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<At<String>>,
    /// The contender with which the verdict compares the others. Default: the first TCP contender, or
    /// else the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<At<String>>,
}

fn default_format() -> At<u32> {
    At::default_of(1)
}

fn default_seeds() -> At<u32> {
    At::default_of(10)
}
