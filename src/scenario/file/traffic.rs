//! `[traffic.down.NAME]` and `[traffic.up.NAME]`: what an application sends, and when it is worth
//! something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::place::At;
use crate::scenario::quantity::Frequency;
use crate::time::Duration;
use crate::units::ByteSize;

/// What an application sends: exactly one of `trace`, `constant`, `desktop`, `keystrokes` and `bulk`,
/// and what is common to all of them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Traffic {
    /// Frames as they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Frames of the same size at a constant rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant: Option<Constant>,
    /// A synthetic desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<Desktop>,
    /// A person who types: small frames at random times (a Poisson process).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystrokes: Option<Keystrokes>,
    /// A download that never ends: it always has something to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<Bulk>,
    /// How long after its capture a frame is worth something. Above 0; default `"100ms"`.
    #[serde(default = "default_deadline")]
    pub deadline: At<Duration>,
    /// Whether the encoder follows the transport's estimate of what the path carries, by one law for
    /// all transports. Default `"fixed"`.
    #[serde(default)]
    pub encoder: EncoderRate,
}

impl Traffic {
    /// What a neighbour carries where nothing else is said: a download that never ends.
    pub fn download() -> Self {
        Self {
            trace: None,
            constant: None,
            desktop: None,
            keystrokes: None,
            bulk: Some(Bulk {}),
            deadline: default_deadline(),
            encoder: EncoderRate::Fixed,
        }
    }
}

/// Frames as they were recorded.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trace {
    /// A CSV file with the columns `time_us,bytes,keyframe`, looked for beside the scenario's file.
    /// It repeats when it ends.
    pub file: At<String>,
    /// What a frame that is missing does to those after it. Default `"chain"`.
    #[serde(default)]
    pub dependency: Dependency,
}

/// Frames of the same size at a constant rate.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Constant {
    /// Frames a second. From 0.1 Hz to 1 kHz, as in `"30Hz"`.
    pub rate: At<Frequency>,
    /// The size of a frame. From 32 B, which is room for the application's head, to 64 MB.
    pub size: At<ByteSize>,
    /// What a frame that is missing does to those after it. Default `"chain"`.
    #[serde(default)]
    pub dependency: Dependency,
}

/// A synthetic desktop: a person who rests, types, scrolls and watches a video in turn. The numbers
/// weigh the activities; together above 0.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Desktop {
    /// The weight of looking at a screen that stands still. From 0 to 1000, default 1.
    pub idle: At<f64>,
    /// The weight of typing. From 0 to 1000, default 1.
    pub typing: At<f64>,
    /// The weight of scrolling. From 0 to 1000, default 1.
    pub scrolling: At<f64>,
    /// The weight of watching a video. From 0 to 1000, default 0.
    pub video: At<f64>,
    /// What a frame that is missing does to those after it. Default `"regions"`.
    pub dependency: Dependency,
}

impl Default for Desktop {
    fn default() -> Self {
        Self {
            idle: At::default_of(1.0),
            typing: At::default_of(1.0),
            scrolling: At::default_of(1.0),
            video: At::default_of(0.0),
            dependency: Dependency::Regions,
        }
    }
}

/// A person who types.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Keystrokes {
    /// Key strokes a second, on average. Above 0 and at most 100.
    pub per_second: At<f64>,
}

/// A download that never ends.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bulk {}

/// What a frame that is missing does to those after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dependency {
    /// Nothing: every frame is a picture of its own (intra only).
    Independent,
    /// It breaks what follows, until a refresh that has to be asked for arrives.
    #[default]
    Chain,
    /// The regions of the screen that it changed stay old until a later frame sends them again.
    Regions,
}

/// Whether the encoder follows the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderRate {
    /// It makes the frames as they are.
    #[default]
    Fixed,
    /// It makes them smaller where the transport's estimate says that the path carries less.
    Adaptive,
}

fn default_deadline() -> At<Duration> {
    At::default_of(Duration::from_millis(100))
}
