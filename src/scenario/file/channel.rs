//! `[channel.NAME]`: a state of the air, good or bad, over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::place::At;
use crate::time::Duration;

/// A state of the air over time, good or bad. Models of both directions refer to it by its name, so
/// that one fade hits both at once.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Channel {
    /// Good and bad times take turns; each lasts an exponentially distributed time (a two-state Markov
    /// process in continuous time; Gilbert 1960 and Elliott 1963 in time instead of packets).
    TwoState(TwoState),
    /// Bad at the same place of every period: a microwave oven, a scan for other access points.
    Periodic(Periodic),
    /// Bad at the named times of the run.
    Scheduled(Scheduled),
}

/// Good and bad times of random lengths.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TwoState {
    /// The mean length of a good time. Above 0.
    pub good: At<Duration>,
    /// The mean length of a bad time. Above 0.
    pub bad: At<Duration>,
}

/// Bad at the same place of every period.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Periodic {
    /// From one bad time to the next. Above 0; a microwave oven at 50 Hz has `"20ms"`.
    pub period: At<Duration>,
    /// How long each bad time lasts. Above 0 and at most the period.
    pub bad: At<Duration>,
    /// When the first bad time begins. Shorter than the period; default: drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<At<Duration>>,
}

/// Bad at the named times of the run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scheduled {
    /// When the bad times begin, counted from the start of the run; rising.
    pub at: At<Vec<At<Duration>>>,
    /// How long each of them lasts. Above 0.
    pub r#for: At<Duration>,
}
