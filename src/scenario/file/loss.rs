//! `loss` of a direction: which packets are lost.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::scenario::place::At;
use crate::units::Probability;

/// Which packets are lost.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Each packet by itself, with one probability.
    Iid(IidLoss),
    /// Runs of losses: everything in the bad state is lost and nothing in the good one (Gilbert's
    /// simplest chain; steps by packet, as tc-netem's `gemodel` does).
    Gilbert(GilbertLoss),
    /// Two states with a loss probability each (Elliott 1963; steps by packet).
    GilbertElliott(GilbertElliottLoss),
    /// As the channel is at the time of the packet.
    Channel(ChannelLoss),
    /// As a file says, packet by packet.
    Trace(TraceLoss),
}

impl Loss {
    /// Where packets are lost.
    pub const fn place(&self) -> LossPlace {
        match self {
            Self::Iid(loss) => loss.at,
            Self::Gilbert(loss) => loss.at,
            Self::GilbertElliott(loss) => loss.at,
            Self::Channel(loss) => loss.at,
            Self::Trace(loss) => loss.at,
        }
    }
}

/// Each packet by itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IidLoss {
    /// The probability that a packet is lost.
    pub rate: At<Probability>,
    /// Where packets are lost. Default `"after-queue"`.
    #[serde(default)]
    pub at: LossPlace,
    /// From when. Default `"start"`.
    #[serde(default)]
    pub from: LossStart,
}

/// Runs of losses: the two probabilities `p` and `r` of the chain, or `loss` and `burst`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GilbertLoss {
    /// The probability to go from good to bad, at each packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<At<Probability>>,
    /// The probability to go from bad to good, at each packet. Above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<At<Probability>>,
    /// The mean share of packets that are lost. Below 100 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<At<Probability>>,
    /// The mean number of packets lost in a row. From 1 to 10000, and at least `loss / (1 - loss)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<At<f64>>,
    /// Where packets are lost. Default `"after-queue"`.
    #[serde(default)]
    pub at: LossPlace,
    /// From when. Default `"start"`.
    #[serde(default)]
    pub from: LossStart,
}

/// Two states with a loss probability each: `p` and `r`, or `loss` and `burst`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GilbertElliottLoss {
    /// The probability to go from good to bad, at each packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<At<Probability>>,
    /// The probability to go from bad to good, at each packet. Above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<At<Probability>>,
    /// The mean share of packets that are lost. From `good-loss` to `bad-loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<At<Probability>>,
    /// The mean number of packets in a stay in the bad state. From 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<At<f64>>,
    /// The probability that a packet is lost in the bad state (Elliott's 1 − h). Default `"100%"`.
    #[serde(default = "default_certain")]
    pub bad_loss: At<Probability>,
    /// The probability that a packet is lost in the good state (Elliott's 1 − k). Default `"0%"`.
    #[serde(default = "default_never")]
    pub good_loss: At<Probability>,
    /// Where packets are lost. Default `"after-queue"`.
    #[serde(default)]
    pub at: LossPlace,
    /// From when. Default `"start"`.
    #[serde(default)]
    pub from: LossStart,
}

/// As the channel is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChannelLoss {
    /// The name of a `[channel.NAME]`.
    pub channel: At<String>,
    /// The probability that a packet is lost while the channel is good. Default `"0%"`.
    #[serde(default = "default_never")]
    pub good: At<Probability>,
    /// The probability that a packet is lost while the channel is bad. Default `"100%"`.
    #[serde(default = "default_certain")]
    pub bad: At<Probability>,
    /// Where packets are lost. Default `"after-queue"`.
    #[serde(default)]
    pub at: LossPlace,
    /// From when. Default `"start"`.
    #[serde(default)]
    pub from: LossStart,
}

/// As a file says.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TraceLoss {
    /// A text file of the digits 0 and 1, one a packet, looked for beside the scenario's file. It
    /// repeats when it ends.
    pub file: At<String>,
    /// Which digit means that the packet is lost. It has no default: both are in use.
    pub lost: LostDigit,
    /// Where packets are lost. Default `"after-queue"`.
    #[serde(default)]
    pub at: LossPlace,
    /// From when. Default `"start"`.
    #[serde(default)]
    pub from: LossStart,
}

/// The digit of a loss trace that means lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum LostDigit {
    /// `0` means lost.
    #[serde(rename = "0")]
    Zero,
    /// `1` means lost.
    #[serde(rename = "1")]
    One,
}

/// By hand, because a digit looks like a number and the error has to say that it is a string.
impl<'de> Deserialize<'de> for LostDigit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digit;

        impl Visitor<'_> for Digit {
            type Value = LostDigit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"0\" or \"1\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LostDigit, E> {
                match text {
                    "0" => Ok(LostDigit::Zero),
                    "1" => Ok(LostDigit::One),
                    _ => Err(E::unknown_variant(text, &["0", "1"])),
                }
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<LostDigit, E> {
                match number {
                    0 | 1 => Err(E::custom(format!("the digit is a string\nwrite \"{number}\""))),
                    _ => Err(E::invalid_type(Unexpected::Signed(number), &self)),
                }
            }
        }

        deserializer.deserialize_any(Digit)
    }
}

/// Where packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossPlace {
    /// Before the bottleneck's queue: a lost packet takes no room there.
    BeforeQueue,
    /// Behind it, on the radio: a lost packet has used the bottleneck.
    #[default]
    AfterQueue,
}

/// From when packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossStart {
    /// From the first packet on.
    #[default]
    Start,
    /// Once the session is set up: handshakes are spared.
    Established,
}

fn default_never() -> At<Probability> {
    At::default_of(Probability::ZERO)
}

fn default_certain() -> At<Probability> {
    At::default_of(Probability::ONE)
}
