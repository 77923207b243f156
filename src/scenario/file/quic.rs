//! `quic` of a contender or a neighbor: a QUIC connection and its settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::place::At;

/// A QUIC connection (RFC 9000), as quinn has it, without sockets. It takes a path whose `mtu` is at least
/// 1228; its packets are as large as that allows, and at most 9000 bytes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Quic {
    /// The congestion control. Default `"cubic"`.
    pub congestion: QuicCongestion,
    /// What frames become. Default `"streams"`.
    pub frames: Frames,
    /// What becomes of frames that are out of date before they are sent. Default `"drop"`.
    pub stale: At<QuicStale>,
}

/// What becomes of frames over QUIC that are out of date before they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuicStale {
    /// They are dropped, unless they were begun, as over TCP: a newer one follows.
    #[default]
    Drop,
    /// They are sent all the same.
    Keep,
    /// They are dropped, and streams are reset where some of them was sent, before what is left or what was
    /// lost of it is. What was sent of them is wasted then, and where regions are sent again, sent again.
    Reset,
}

impl Default for Quic {
    fn default() -> Self {
        Self {
            congestion: QuicCongestion::default(),
            frames: Frames::default(),
            stale: At::default_of(QuicStale::default()),
        }
    }
}

/// A congestion control of QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuicCongestion {
    /// NewReno (RFC 9002, section 7), quinn's.
    NewReno,
    /// CUBIC (RFC 9438), quinn's.
    #[default]
    Cubic,
    /// BBR version 1, the same as over TCP.
    Bbr,
}

/// What frames become in QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Frames {
    /// A stream each: what is lost is sent again, and no frame waits for another.
    #[default]
    Streams,
    /// Datagrams (RFC 9221): a frame is cut into pieces, and what is lost of it is lost.
    Datagrams,
}
