//! Quantities with their unit in the type, so that bits and bytes, or a rate and a share, never mix.

use std::fmt;

use crate::time::Duration;

/// A rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(u64);

impl Bitrate {
    /// `bps` bits per second.
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// `bps` bits per second rounded to whole bits; zero for what is negative or not a number.
    pub fn from_bps_f64(bps: f64) -> Self {
        Self(libm::round(bps) as u64)
    }

    /// The rate at which `size` takes `duration`; [`u64::MAX`] bit/s where the duration is zero.
    pub fn of(size: ByteSize, duration: Duration) -> Self {
        if duration.is_zero() {
            return Self(u64::MAX);
        }
        let bits = u128::from(size.get()) * 8 * 1_000_000_000;
        Self(u64::try_from(bits / u128::from(duration.as_nanos())).unwrap_or(u64::MAX))
    }

    /// Bits per second.
    pub const fn bps(self) -> u64 {
        self.0
    }

    /// How long `size` takes at this rate, rounded up to a nanosecond; [`Duration::MAX`] at rate 0.
    pub fn time_for(self, size: ByteSize) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        let nanos = u128::from(size.get()) * 8 * 1_000_000_000;
        Duration::from_nanos(u64::try_from(nanos.div_ceil(u128::from(self.0))).unwrap_or(u64::MAX))
    }

    /// How much passes in `duration` at this rate, rounded down.
    pub fn in_time(self, duration: Duration) -> ByteSize {
        let bits = u128::from(self.0) * u128::from(duration.as_nanos()) / 1_000_000_000;
        ByteSize(u64::try_from(bits / 8).unwrap_or(u64::MAX))
    }

    /// What is left of this rate beside `used`; none at all where that is more.
    pub const fn saturating_sub(self, used: Self) -> Self {
        Self(self.0.saturating_sub(used.0))
    }

    /// This rate times `factor`, rounded to whole bits.
    pub fn mul_f64(self, factor: f64) -> Self {
        Self::from_bps_f64(self.0 as f64 * factor)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1_000_000_000 => write!(f, "{} Gbit/s", n as f64 / 1e9),
            n if n >= 1_000_000 => write!(f, "{} Mbit/s", n as f64 / 1e6),
            n if n >= 1_000 => write!(f, "{} kbit/s", n as f64 / 1e3),
            n => write!(f, "{n} bit/s"),
        }
    }
}

/// An amount of data in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1_000_000 => write!(f, "{} MB", n as f64 / 1e6),
            n if n >= 1_000 => write!(f, "{} kB", n as f64 / 1e3),
            n => write!(f, "{n} B"),
        }
    }
}

/// A probability or a share, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// What never happens.
    pub const ZERO: Self = Self(0.0);
    /// What always happens.
    pub const ONE: Self = Self(1.0);

    /// `share` as a probability; none where it is not a number from 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, from 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_packet_takes_twelve_microseconds_at_a_gigabit() {
        let rate = Bitrate::from_bps(1_000_000_000);
        assert_eq!(rate.time_for(ByteSize::new(1500)), Duration::from_micros(12));
        assert_eq!(rate.in_time(Duration::from_micros(12)), ByteSize::new(1500));
        assert_eq!(Bitrate::of(ByteSize::new(1500), Duration::from_micros(12)), rate);
    }

    #[test]
    fn a_rate_of_zero_takes_for_ever() {
        assert_eq!(Bitrate::from_bps(0).time_for(ByteSize::new(1)), Duration::MAX);
    }

    #[test]
    fn only_shares_from_zero_to_one_are_probabilities() {
        assert!(Probability::new(0.0).is_some() && Probability::new(1.0).is_some());
        assert!(Probability::new(-0.1).is_none() && Probability::new(1.5).is_none());
        assert!(Probability::new(f64::NAN).is_none());
    }
}
