//! How well a driver in real time kept time: reported like a result, since everything it measures is as
//! good as that.
//!
//! **Lateness** is the time from when something was due (a frame's capture, a timer of a transport, a
//! packet's arrival at the end of its link) to when the driver came to it. It is never negative. Due
//! times are computed from due times, so lateness does not add up; and it is part of every delay that is
//! measured, so that a slow machine makes figures worse, never better.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::time::{Duration, Time};

/// Above this lateness at p99 a run's figures are rough.
pub const ROUGH_ABOVE: Duration = Duration::from_millis(2);

/// Takes what was due and when it was done.
#[derive(Clone, Debug)]
pub struct Lateness {
    nanos: Histogram<u64>,
}

/// How well time was kept, and what this machine lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// How many things were due.
    pub events: u64,
    /// The median of the lateness.
    #[serde(with = "crate::time::nanos")]
    pub late_p50: Duration,
    /// 99 of 100 things were at most so late.
    #[serde(with = "crate::time::nanos")]
    pub late_p99: Duration,
    /// The worst.
    #[serde(with = "crate::time::nanos")]
    pub late_max: Duration,
    /// Packets that this machine dropped at its sockets, not the link.
    pub socket_drops: u64,
    /// Packets that this machine dropped before a virtual device (TUN) was read.
    pub device_drops: u64,
    /// The part of one core that the driver used, from 0 upwards.
    pub cpu: f64,
}

/// What a run's timing says of its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// They are as good as any.
    Trustworthy,
    /// The machine was late: they are rough.
    Rough,
    /// The machine itself lost packets: they are worth nothing.
    Spoiled,
}

impl Default for Lateness {
    fn default() -> Self {
        // From a nanosecond to a minute with two digits; later than that is a minute.
        Self {
            nanos: Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("constant bounds that are valid"),
        }
    }
}

impl Lateness {
    /// Something due at `due` was done at `now`.
    pub fn note(&mut self, due: Time, now: Time) {
        self.nanos.saturating_record(now.since(due).as_nanos());
    }

    /// The lateness so far, as a timing without losses.
    pub fn timing(&self) -> Timing {
        let at = |quantile| Duration::from_nanos(self.nanos.value_at_quantile(quantile));
        Timing {
            events: self.nanos.len(),
            late_p50: at(0.5),
            late_p99: at(0.99),
            late_max: Duration::from_nanos(self.nanos.max()),
            ..Timing::default()
        }
    }
}

impl Timing {
    /// What it says of the run's figures.
    pub const fn quality(&self) -> Quality {
        if self.socket_drops + self.device_drops > 0 {
            Quality::Spoiled
        } else if self.late_p99.as_nanos() > ROUGH_ABOVE.as_nanos() {
            Quality::Rough
        } else {
            Quality::Trustworthy
        }
    }

    /// The worse of both in everything: what can be said of a table that both are in.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            late_p50: self.late_p50.max(other.late_p50),
            late_p99: self.late_p99.max(other.late_p99),
            late_max: self.late_max.max(other.late_max),
            socket_drops: self.socket_drops + other.socket_drops,
            device_drops: self.device_drops + other.device_drops,
            cpu: self.cpu + other.cpu,
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |late: Duration| late.as_nanos() / 1000;
        write!(
            f,
            "this machine was late by {} µs at p50, {} µs at p99, {} µs at most; {} packets dropped at \
             sockets, {} before devices",
            micros(self.late_p50),
            micros(self.late_p99),
            micros(self.late_max),
            self.socket_drops,
            self.device_drops,
        )?;
        match self.quality() {
            Quality::Trustworthy => Ok(()),
            Quality::Rough => f.write_str("; it was too slow: take the figures as rough"),
            Quality::Spoiled => f.write_str("; it lost packets that the link did not: the run is spoiled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(micros: &[u64]) -> Timing {
        let mut lateness = Lateness::default();
        for &late in micros {
            lateness.note(Time::from_millis(1), Time::from_millis(1) + Duration::from_micros(late));
        }
        lateness.timing()
    }

    #[test]
    fn lateness_is_told_by_its_quantiles() {
        let timing = late(&[10, 10, 10, 3000]);
        assert_eq!(timing.events, 4);
        let micros = |late: Duration| late.as_nanos() as f64 / 1000.0;
        // Two digits: within one part in a hundred.
        assert!((micros(timing.late_p50) - 10.0).abs() < 0.1, "{timing}");
        assert!((micros(timing.late_max) - 3000.0).abs() < 30.0, "{timing}");
    }

    #[test]
    fn what_comes_early_is_not_late_and_nothing_is_too_late_to_note() {
        let mut lateness = Lateness::default();
        lateness.note(Time::from_secs(2), Time::from_secs(1));
        assert!(lateness.timing().late_max <= Duration::from_nanos(1));
        lateness.note(Time::ZERO, Time::NEVER);
        assert!(lateness.timing().late_max >= Duration::from_secs(59));
    }

    #[test]
    fn a_late_machine_is_rough_and_a_lost_packet_spoils_the_run() {
        assert_eq!(late(&[50; 100]).quality(), Quality::Trustworthy);
        assert_eq!(late(&[5000; 100]).quality(), Quality::Rough);
        let lost = Timing { device_drops: 1, ..late(&[50]) };
        assert_eq!(lost.quality(), Quality::Spoiled);
        assert_eq!(lost.worse(late(&[5000])).quality(), Quality::Spoiled);
        assert!(lost.to_string().contains("spoiled"), "{lost}");
    }
}
