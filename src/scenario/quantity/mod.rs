//! Quantities as a person writes them: a number and its unit in a string.
//!
//! A bare number where a unit is needed is refused, because nobody can see whether `delay = 40` means
//! milliseconds. Only probabilities and factors are plain numbers.

use crate::session::ports::PortRange;
use crate::time::Duration;
use crate::units::{Bitrate, ByteSize, Probability};

mod coding;

/// How often something happens, in hertz; above 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Frequency(f64);

impl Frequency {
    /// `hertz` times a second; none where it is not a finite number above 0.
    pub fn new(hertz: f64) -> Option<Self> {
        (hertz > 0.0 && hertz.is_finite()).then_some(Self(hertz))
    }

    /// Times a second.
    pub const fn hertz(self) -> f64 {
        self.0
    }

    /// The time from one to the next, rounded to the nearest nanosecond.
    pub fn period(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// What leaves in this time at the bottleneck's rate.
    Time(Duration),
    /// This many bytes.
    Bytes(ByteSize),
    /// This many packets, whatever their size.
    Packets(u32),
}

/// When a block that is not full is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// This long after its first packet.
    After(Duration),
    /// Never.
    Off,
}

impl Flush {
    /// How long after its first packet; none where never.
    pub const fn after(self) -> Option<Duration> {
        match self {
            Self::After(time) => Some(time),
            Self::Off => None,
        }
    }
}

/// What has a written form.
pub trait Written: Sized {
    /// What it is, with an example, as an error says it: `a duration such as "40ms"`.
    const WHAT: &'static str;
    /// The schema's pattern of the written form.
    const PATTERN: &'static str;
    /// The unit that a bare number most likely meant; none where it cannot be guessed.
    const USUAL_UNIT: Option<&'static str>;

    /// Reads the written form; the error says what would be right.
    fn parse(text: &str) -> Result<Self, String>;

    /// A plain number, for what may be one.
    fn from_number(_: f64) -> Option<Self> {
        None
    }

    /// The written form, which reads back as the same value.
    fn written(&self) -> String;
}

impl Written for Duration {
    const WHAT: &'static str = "a duration such as \"40ms\"";
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|min)$";
    const USUAL_UNIT: Option<&'static str> = Some("ms");

    fn parse(text: &str) -> Result<Self, String> {
        let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 6e10)];
        scaled(text, &units).map(Self::from_nanos)
    }

    fn written(&self) -> String {
        match self.as_nanos() {
            nanos @ 1..1000 => format!("{nanos}ns"),
            _ => self.to_string().replace(' ', "").replace('µ', "u"),
        }
    }
}

impl Written for Bitrate {
    const WHAT: &'static str = "a rate such as \"20Mbit/s\"";
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)? ?(bit/s|kbit/s|Mbit/s|Gbit/s)$";
    const USUAL_UNIT: Option<&'static str> = Some("Mbit/s");

    fn parse(text: &str) -> Result<Self, String> {
        let units = [("bit/s", 1.0), ("kbit/s", 1e3), ("Mbit/s", 1e6), ("Gbit/s", 1e9)];
        scaled(text, &units).map(Self::from_bps)
    }

    fn written(&self) -> String {
        self.to_string().replace(' ', "")
    }
}

impl Written for ByteSize {
    const WHAT: &'static str = "a size such as \"64kB\"";
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)? ?(B|kB|MB|GB)$";
    const USUAL_UNIT: Option<&'static str> = Some("B");

    fn parse(text: &str) -> Result<Self, String> {
        scaled(text, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]).map(Self::new)
    }

    fn written(&self) -> String {
        self.to_string().replace(' ', "")
    }
}

impl Written for Frequency {
    const WHAT: &'static str = "a frequency such as \"60Hz\"";
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)? ?(Hz|kHz)$";
    const USUAL_UNIT: Option<&'static str> = Some("Hz");

    fn parse(text: &str) -> Result<Self, String> {
        let (number, scale) = number_and_unit(text, &[("Hz", 1.0), ("kHz", 1e3)])?;
        Self::new(number * scale).ok_or_else(|| "a frequency is above 0".to_owned())
    }

    fn written(&self) -> String {
        format!("{}Hz", self.0)
    }
}

impl Written for Probability {
    const WHAT: &'static str = "a probability such as \"5%\" or 0.05";
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)? ?%$";
    const USUAL_UNIT: Option<&'static str> = None;

    fn parse(text: &str) -> Result<Self, String> {
        let (percent, _) = number_and_unit(text, &[("%", 1.0)])?;
        Self::new(percent / 100.0).ok_or_else(|| "a probability is from \"0%\" to \"100%\"".to_owned())
    }

    fn from_number(number: f64) -> Option<Self> {
        Self::new(number)
    }

    fn written(&self) -> String {
        format!("{}%", round_digits(self.get() * 100.0))
    }
}

impl Written for QueueLimit {
    const WHAT: &'static str = "a queue limit such as \"100ms\", \"64kB\" or \"100 packets\"";
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|min|B|kB|MB|GB|packets)$";
    const USUAL_UNIT: Option<&'static str> = Some(" packets");

    fn parse(text: &str) -> Result<Self, String> {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
        match unit {
            "packets" | "packet" => {
                let number = text.trim_end_matches(char::is_alphabetic).trim();
                number.parse().map(Self::Packets).map_err(|_| "write a whole number of packets".to_owned())
            }
            "B" | "kB" | "MB" | "GB" => ByteSize::parse(text).map(Self::Bytes),
            "ns" | "us" | "µs" | "ms" | "s" | "min" => Duration::parse(text).map(Self::Time),
            _ => Err(format!("write {}", Self::WHAT)),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Time(time) => time.written(),
            Self::Bytes(bytes) => bytes.written(),
            Self::Packets(packets) => format!("{packets} packets"),
        }
    }
}

impl Written for Flush {
    const WHAT: &'static str = "a duration such as \"8ms\", or \"off\"";
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|min)|off)$";
    const USUAL_UNIT: Option<&'static str> = Some("ms");

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self::Off) } else { Duration::parse(text).map(Self::After) }
    }

    fn written(&self) -> String {
        match self {
            Self::After(time) => time.written(),
            Self::Off => "off".to_owned(),
        }
    }
}

impl Written for PortRange {
    const WHAT: &'static str = "a range of ports such as \"3224-3324\"";
    const PATTERN: &'static str = r"^[0-9]+-[0-9]+$";
    const USUAL_UNIT: Option<&'static str> = None;

    fn parse(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.trim().parse().ok().filter(|&port: &u16| port > 0);
        let ends = text.split_once('-').and_then(|(first, last)| Some((port(first)?, port(last)?)));
        match ends {
            Some((first, last)) => {
                Self::new(first, last).ok_or_else(|| "the first port is above the last".to_owned())
            }
            None => Err("write the first and the last port, from 1 to 65535: \"3224-3324\"".to_owned()),
        }
    }

    fn written(&self) -> String {
        {
            let (first, last) = self.ends();
            format!("{first}-{last}")
        }
    }
}

/// The number times its unit's scale, rounded to a whole one.
fn scaled(text: &str, units: &[(&str, f64)]) -> Result<u64, String> {
    /// 2^53: up to here every whole number is exact.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let (number, scale) = number_and_unit(text, units)?;
    let value = libm::round(number * scale);
    if value > EXACT_MAX {
        return Err("that is too large".to_owned());
    }
    if value == 0.0 && number > 0.0 {
        return Err("that is too small".to_owned());
    }
    Ok(value as u64)
}

/// Splits `"16.7ms"` into 16.7 and the scale of `ms`.
fn number_and_unit(text: &str, units: &[(&str, f64)]) -> Result<(f64, f64), String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("it cannot be below 0".to_owned());
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let names: Vec<&str> = units.iter().map(|&(name, _)| name).collect();
    let well_formed =
        number.starts_with(|c: char| c.is_ascii_digit()) && number.ends_with(|c: char| c.is_ascii_digit());
    let Some(value) = number.parse::<f64>().ok().filter(|value| well_formed && value.is_finite()) else {
        return Err(format!("write a number and its unit: {}", names.join(", ")));
    };
    match units.iter().find(|&&(name, _)| name == unit) {
        Some(&(_, scale)) => Ok((value, scale)),
        None => Err(match (meant(unit, &names), unit) {
            (Some(name), _) => format!("write \"{number}{name}\""),
            (None, "") => format!("the unit is missing, one of {}", names.join(", ")),
            (None, _) => format!("the unit is one of {}", names.join(", ")),
        }),
    }
}

/// The unit that was most likely meant by one that is not known here.
fn meant<'a>(unit: &str, names: &[&'a str]) -> Option<&'a str> {
    if let [only] = names {
        return Some(only);
    }
    const OTHER_SPELLINGS: [(&str, &str); 10] = [
        ("sec", "s"),
        ("msec", "ms"),
        ("bps", "bit/s"),
        ("kbps", "kbit/s"),
        ("mbps", "Mbit/s"),
        ("gbps", "Gbit/s"),
        ("mbit", "Mbit/s"),
        ("bytes", "B"),
        ("fps", "Hz"),
        ("percent", "%"),
    ];
    let unit = unit.to_lowercase();
    let spelt =
        OTHER_SPELLINGS.iter().find(|(other, _)| *other == unit).map(|&(_, name)| name.to_lowercase());
    let unit = spelt.unwrap_or(unit);
    let mut same = names.iter().filter(|name| name.to_lowercase() == unit);
    same.next().copied()
}

/// A number without the last digits, in which only the rounding of binary fractions shows.
fn round_digits(value: f64) -> f64 {
    libm::round(value * 1e12) / 1e12
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[test]
    fn quantities_read_their_units() {
        assert_eq!(Duration::parse("40ms"), Ok(Duration::from_millis(40)));
        assert_eq!(Duration::parse("16.7 ms"), Ok(Duration::from_micros(16_700)));
        assert_eq!(Duration::parse("900us"), Duration::parse("900µs"));
        assert_eq!(Duration::parse("1min"), Ok(Duration::from_secs(60)));
        assert_eq!(Bitrate::parse("1.5Mbit/s"), Ok(Bitrate::from_bps(1_500_000)));
        assert_eq!(ByteSize::parse("64kB"), Ok(ByteSize::new(64_000)));
        assert_eq!(Frequency::parse("60Hz").map(Frequency::period), Ok(Duration::from_nanos(16_666_667)));
        assert_eq!(Probability::parse("0.1%").map(Probability::get), Ok(0.001));
        assert_eq!(QueueLimit::parse("100 packets"), Ok(QueueLimit::Packets(100)));
        assert_eq!(QueueLimit::parse("64kB"), Ok(QueueLimit::Bytes(ByteSize::new(64_000))));
        assert_eq!(PortRange::parse("3224-3324"), Ok(PortRange::FRAMEHAWK));
    }

    #[test]
    fn wrong_units_say_what_would_be_right() {
        assert_eq!(Bitrate::parse("20Mbps"), Err("write \"20Mbit/s\"".to_owned()));
        assert_eq!(ByteSize::parse("64KB"), Err("write \"64kB\"".to_owned()));
        assert_eq!(Duration::parse("40 sec"), Err("write \"40s\"".to_owned()));
        assert_eq!(Duration::parse("-40ms"), Err("it cannot be below 0".to_owned()));
        assert_eq!(
            Duration::parse("40 bananas"),
            Err("the unit is one of ns, us, µs, ms, s, min".to_owned())
        );
        for text in ["", " ", "ms", ".", ".5ms", "5.ms", "1.2.3ms", "1e9s", "NaNms", "infs", "٣ms", "−1ms"]
        {
            assert!(Duration::parse(text).is_err(), "{text:?} is no duration");
        }
        assert_eq!(Duration::parse("99999999999s"), Err("that is too large".to_owned()));
        assert_eq!(Duration::parse("0.1ns"), Err("that is too small".to_owned()));
        assert!(Probability::parse("101%").is_err() && Probability::from_number(1.5).is_none());
        assert!(Frequency::parse("0Hz").is_err());
        assert!(QueueLimit::parse("1.5 packets").is_err() && QueueLimit::parse("64 apples").is_err());
        assert!(PortRange::parse("9-3").is_err() && PortRange::parse("0-70000").is_err());
    }

    #[test]
    fn every_written_form_reads_back_as_the_same_value() {
        fn check<T: Written + PartialEq + fmt::Debug>(texts: &[&str]) {
            for text in texts {
                let value = T::parse(text).unwrap();
                assert_eq!(T::parse(&value.written()), Ok(value), "{text}");
            }
        }
        check::<Duration>(&["0ms", "1ns", "900us", "16.7ms", "1.5s", "60min"]);
        check::<Bitrate>(&["0bit/s", "150kbit/s", "2.5Gbit/s"]);
        check::<ByteSize>(&["1B", "1500B", "64kB", "7MB"]);
        check::<Frequency>(&["59.94Hz", "1kHz"]);
        check::<Probability>(&["0%", "0.1%", "7%", "33.3%", "100%"]);
        check::<QueueLimit>(&["100 packets", "64kB", "100ms"]);
        check::<PortRange>(&["3224-3324"]);
    }
}
