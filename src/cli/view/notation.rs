//! How the live view writes numbers, marks and names.

use framehawk_sim::measure::{Glance, Mark};
use framehawk_sim::report::layout::Look;
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::units::Bitrate;

/// Minutes and seconds.
pub(super) fn clock(time: Time) -> String {
    let seconds = time.as_nanos() / 1_000_000_000;
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// Milliseconds, or seconds where there are many.
pub(super) fn span(duration: Duration) -> String {
    let millis = duration.as_millis_f64();
    if millis < 9_999.5 { format!("{millis:.0} ms") } else { format!("{:.1} s", millis / 1e3) }
}

/// A rate in two or three digits.
pub(super) fn rate(rate: Bitrate) -> String {
    let bps = rate.bps() as f64;
    if bps < 999_500.0 { format!("{:.0} kbit/s", bps / 1e3) } else { format!("{:.1} Mbit/s", bps / 1e6) }
}

/// Whole milliseconds without their unit; a dash where there is no value.
pub(super) fn millis(value: Option<f64>, look: Look) -> String {
    value.map_or_else(|| none(look), |value| format!("{value:.0}"))
}

/// A share as a percentage; a dash where there is none.
pub(super) fn percent(share: Option<f64>, look: Look) -> String {
    share.map_or_else(
        || none(look),
        |share| {
            let percent = share * 100.0;
            let places = if percent > 0.0 && percent < 9.95 { 1 } else { 0 };
            format!("{percent:.places$} %")
        },
    )
}

/// What stands for no value.
pub(super) fn none(look: Look) -> String {
    if look.unicode { "—" } else { "-" }.to_owned()
}

/// The share of frames, among those whose fate is known, for which `which` holds of their fate's place in
/// [`Fate::ALL`](framehawk_sim::measure::Fate::ALL).
pub(super) fn share_of_frames(glance: &Glance, which: impl Fn(usize) -> bool) -> Option<f64> {
    let all: u64 = glance.fates.iter().sum();
    let some: u64 = (glance.fates.iter().enumerate()).filter(|(fate, _)| which(*fate)).map(|(_, n)| n).sum();
    (all > 0).then(|| some as f64 / all as f64)
}

/// The sign of a contender.
pub(super) const fn sign(tcp: bool, look: Look) -> &'static str {
    match (tcp, look.unicode) {
        (true, true) => "▲",
        (true, false) => "^",
        (false, true) => "●",
        (false, false) => "o",
    }
}

/// The sign of a frame's fate.
pub(super) const fn mark(mark: Mark, look: Look) -> &'static str {
    match (mark, look.unicode) {
        (Mark::Shown, true) => "▪",
        (Mark::Shown, false) => "#",
        (Mark::Repaired, true) => "◆",
        (Mark::Repaired, false) => "R",
        (Mark::Superseded, true) => "·",
        (Mark::Superseded, false) => ".",
        (Mark::Lost, true) => "✗",
        (Mark::Lost, false) => "x",
        (Mark::Open, _) => " ",
    }
}

/// A name in at most `width` characters.
pub(super) fn shortened(name: &str, width: usize, look: Look) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    let end = if look.unicode { '…' } else { '~' };
    name.chars().take(width.saturating_sub(1)).chain([end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { unicode: true, styled: false };

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        assert_eq!(span(Duration::from_millis(84)), "84 ms");
        assert_eq!(span(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(clock(Time::from_secs(754)), "12:34");
        assert_eq!(rate(Bitrate::from_bps(24_400)), "24 kbit/s");
        assert_eq!(rate(Bitrate::from_bps(2_310_000)), "2.3 Mbit/s");
        for (share, text) in [(0.0, "0 %"), (0.051, "5.1 %"), (0.25, "25 %"), (0.0996, "10 %")] {
            assert_eq!(percent(Some(share), LOOK), text);
        }
        assert_eq!((percent(None, LOOK), millis(None, Look::default())), ("—".to_owned(), "-".to_owned()));
    }

    #[test]
    fn a_long_name_is_cut_and_shows_it() {
        assert_eq!(shortened("udp-reed-solomon", 8, LOOK), "udp-ree…");
        assert_eq!(shortened("tcp", 8, LOOK), "tcp");
    }
}
