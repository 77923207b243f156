//! Every figure of a result: its name in files, its unit and its full definition.
//!
//! **Warm-up, window, drain.** A run has three parts. In the *warm-up* transports find their pace;
//! nothing that is captured or sent in it counts. In the *window* that follows frames are captured and
//! everything is measured. In the *drain* after it nothing is captured any more, so that frames and
//! packets of the window can still arrive and have their fate; ages, freezes and rates are not measured
//! in it. "Frames" are those of the picture (they carry regions) captured in the window and travelling
//! down; "packets" are those of the contender's sessions sent from the warm-up's end to the run's end.
//! Sessions are pooled unless a definition says otherwise; neighbors count only where it says so.

/// What is known about one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in files, rules and on the command line; the unit comes last.
    pub key: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// Its unit: `ms`, `%`, `bit/s`, or nothing for a plain number.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Its definition and where it comes from.
    pub about: &'static str,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// It describes, and judges nothing.
    Neither,
}

/// A figure, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// The figure, in the metric's unit; finite.
    Number(f64),
    /// Why there is none.
    Absent(&'static str),
}

impl Value {
    /// The figure, where there is one.
    pub const fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Absent(_) => None,
        }
    }
}

/// Why a quantile is absent where it is infinite. Unlike other absences it is worse than any number:
/// a mean over seeds must not leave such a seed out.
pub const NEVER_ARRIVED: &str = "infinite: too many of them never arrived";

/// Why a delay between two machines is absent that their clocks do not show.
pub const BELOW_CLOCKS: &str = "below the bound of the clocks' offset";

/// The figures that compare a time at one end of the path with a time at the other.
const ONE_WAY: [&str; 10] = [
    "age_p50_ms",
    "age_p95_ms",
    "age_p99_ms",
    "age_max_ms",
    "worst_session_age_p99_ms",
    "frame_delay_p50_ms",
    "frame_delay_p95_ms",
    "frame_delay_p99_ms",
    "sharp_after_p95_ms",
    "keys_delay_p95_ms",
];

/// What a group of neighbours had of the path in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupShare {
    /// Their goodput together, in bit/s, as for `goodput_bps`.
    pub goodput_bps: Value,
    /// Jain's fairness index of their goodputs, as for `jain_index`.
    pub jain_index: Value,
}

/// All figures of one trial: a value for each of [`METRICS`], and what each group of neighbours had.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    values: [Value; METRICS.len()],
    neighbours: Vec<GroupShare>,
}

impl Metrics {
    /// All absent.
    pub(super) fn new() -> Self {
        Self { values: [Value::Absent("not measured"); METRICS.len()], neighbours: Vec::new() }
    }

    /// Sets the value of a key, which must be one of [`METRICS`].
    pub(super) fn set(&mut self, key: &str, value: Value) {
        let place = position(key);
        debug_assert!(place.is_some(), "{key} is a metric");
        if let Some(place) = place {
            self.values[place] = match value {
                Value::Number(number) if !number.is_finite() => Value::Absent("too large for a number"),
                value => value,
            };
        }
    }

    /// Takes the value from every delay between two machines that is below `bound_ms`, the bound of what
    /// is known of their clocks' offset.
    pub fn withhold_below(&mut self, bound_ms: f64) {
        for key in ONE_WAY {
            if self.get(key).and_then(Value::number).is_some_and(|delay| delay < bound_ms) {
                self.set(key, Value::Absent(BELOW_CLOCKS));
            }
        }
    }

    /// The value of a key; none where there is no such metric.
    pub fn get(&self, key: &str) -> Option<Value> {
        position(key).map(|place| self.values[place])
    }

    /// Adds what the next group of neighbours had.
    pub fn add_neighbours(&mut self, share: GroupShare) {
        self.neighbours.push(share);
    }

    /// What each group of neighbours had, in the order of the scenario.
    pub fn neighbours(&self) -> &[GroupShare] {
        &self.neighbours
    }

    /// All of them, in the order of [`METRICS`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static Metric, Value)> {
        METRICS.iter().zip(self.values)
    }
}

/// Those that are not given are absent; those that are no metrics are left out.
impl<'a> FromIterator<(&'a str, Value)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(values: I) -> Self {
        let mut metrics = Self::new();
        values
            .into_iter()
            .filter(|(key, _)| position(key).is_some())
            .for_each(|(key, value)| metrics.set(key, value));
        metrics
    }
}

fn position(key: &str) -> Option<usize> {
    METRICS.iter().position(|metric| metric.key == key)
}

const fn metric(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
    about: &'static str,
) -> Metric {
    Metric { key, title, unit, better, about }
}

use Better::{Higher, Lower, Neither};

/// Every metric, in the order in which everything lists them.
pub const METRICS: &[Metric] = &[
    metric(
        "age_p50_ms",
        "age of the picture, median",
        "ms",
        Lower,
        "Age of the picture, sampled at every display tick of the window: of each tile, the time since \
         the capture of the oldest change newer than what the tile shows; the mean over the tiles that \
         are behind, weighted by area, and 0 where none is. What is sent again keeps the time of the \
         change. An idle part of the screen does not dilute the age of the part that changes. The median \
         over the ticks of all sessions.",
    ),
    metric("age_p95_ms", "age of the picture, p95", "ms", Lower, "As age_p50_ms, the 95th percentile."),
    metric("age_p99_ms", "age of the picture, p99", "ms", Lower, "As age_p50_ms, the 99th percentile."),
    metric("age_max_ms", "age of the picture, largest", "ms", Lower, "As age_p50_ms, the largest, exactly."),
    metric(
        "worst_session_age_p99_ms",
        "age p99 of the worst session",
        "ms",
        Lower,
        "The largest of the sessions' own 99th percentiles of the age of the picture.",
    ),
    metric(
        "freeze_count",
        "freezes",
        "",
        Lower,
        "How often the picture froze, in all sessions together. A freeze is a gap between two changes of \
         the screen of at least max(3 d, d + 150 ms), d being the mean of the last 30 gaps (W3C \
         webrtc-stats, freezeCount). A gap counts only while a newer captured frame exists: it begins \
         with the capture of the oldest change that is not on the screen, if that is later than the last \
         change of the screen. One that has no end counts up to the window's end.",
    ),
    metric(
        "freeze_longest_ms",
        "longest freeze",
        "ms",
        Lower,
        "The longest freeze of any session, as far as it lies within the window; 0 where there is none.",
    ),
    metric(
        "frozen_pct",
        "time frozen",
        "%",
        Lower,
        "The length of all freezes within the window over the window's length, in the mean of all \
         sessions (W3C webrtc-stats, totalFreezesDuration).",
    ),
    metric(
        "motion_unevenness_ms",
        "unevenness of motion",
        "ms",
        Lower,
        "The standard deviation of the gaps between changes of the screen in the window, with gaps as \
         for freeze_count; 0 is perfectly even.",
    ),
    metric(
        "sharp_after_p95_ms",
        "still areas sharp after, p95",
        "ms",
        Lower,
        "Of every change of a tile in the window that no other change of it follows for 500 ms: the time \
         from its capture to the display tick from which on the tile shows it or something newer. The \
         95th percentile over tiles and changes; those that never come count as infinite.",
    ),
    metric(
        "frames_on_time_pct",
        "frames on time",
        "%",
        Higher,
        "Frames that were whole and decodable at the receiver by their deadline, over all frames. \
         A property, not a fate.",
    ),
    metric(
        "frame_delay_p50_ms",
        "frame delay, median",
        "ms",
        Lower,
        "From a frame's capture until it is whole and decoded at the receiver; the median over all \
         frames, those that never are counting as infinite.",
    ),
    metric(
        "frame_delay_p95_ms",
        "frame delay, p95",
        "ms",
        Lower,
        "As frame_delay_p50_ms, the 95th percentile.",
    ),
    metric(
        "frame_delay_p99_ms",
        "frame delay, p99",
        "ms",
        Lower,
        "As frame_delay_p50_ms, the 99th percentile.",
    ),
    metric(
        "frames_shown_pct",
        "frames shown",
        "%",
        Higher,
        "Frames of which at least one tile came on the screen at a display tick, in time or late, over \
         all frames. The seven fates (shown, superseded, undecodable, unrepairable, late, never sent, \
         unfinished) sum to 100 %: the first that holds, in the order shown, undecodable, superseded or \
         late, never sent, unrepairable, unfinished, is a frame's fate.",
    ),
    metric(
        "frames_superseded_pct",
        "frames superseded",
        "%",
        Neither,
        "Frames decoded and whole by their deadline, when a newer version of everything in them was on \
         the screen or came on it at the same tick, over all frames.",
    ),
    metric(
        "frames_undecodable_pct",
        "frames undecodable",
        "%",
        Lower,
        "Frames that were whole, but referred to one that was missing, over all frames.",
    ),
    metric(
        "frames_unrepairable_pct",
        "frames unrepairable",
        "%",
        Lower,
        "Frames that the receiver gave up, or the sender after some of it had been sent, over all frames.",
    ),
    metric(
        "frames_late_pct",
        "frames too late",
        "%",
        Lower,
        "Frames decoded, but whole only after their deadline, when a newer version of everything in them \
         was on the screen, over all frames.",
    ),
    metric(
        "frames_never_sent_pct",
        "frames never sent",
        "%",
        Lower,
        "Frames that the sender dropped before any of it had been sent, over all frames.",
    ),
    metric(
        "frames_unfinished_pct",
        "frames unfinished",
        "%",
        Lower,
        "Frames still on their way at the end of the drain, over all frames.",
    ),
    metric(
        "keys_delay_p95_ms",
        "input delay, p95",
        "ms",
        Lower,
        "From the capture of a person's input (what travels up, is no picture and has a deadline) in the \
         window until it is at the server; the 95th percentile, those that never arrive counting as \
         infinite.",
    ),
    metric(
        "network_loss_pct",
        "network loss",
        "%",
        Neither,
        "Packets going down that the network dropped, before any repair, over those that entered it and \
         the second copies that it made. From the link's own records.",
    ),
    metric(
        "network_loss_random_pct",
        "of it random",
        "%",
        Neither,
        "The part of network_loss_pct that no queue dropped: loss models, outages, link-layer retries \
         exhausted, corruption, packets larger than the MTU.",
    ),
    metric(
        "network_loss_queue_pct",
        "of it in the queue",
        "%",
        Neither,
        "The part of network_loss_pct that the bottleneck's queue dropped.",
    ),
    metric(
        "network_marked_pct",
        "marked by the queue",
        "%",
        Neither,
        "Packets going down that the bottleneck's queue marked instead of dropping them (ECN-CE, RFC 3168), \
         over those that entered the network and the second copies that it made. Only a queue with ecn \
         marks, and only packets of transports with ecn.",
    ),
    metric(
        "loss_burst_mean",
        "mean loss burst",
        "",
        Neither,
        "The mean length, in packets, of runs of packets going down that were sent one after the other \
         and all dropped, whatever the reason. From the link's own records.",
    ),
    metric(
        "residual_loss_pct",
        "residual loss",
        "%",
        Lower,
        "Source packets going down that the receiver gave up, over those sent: the loss after repair and \
         retransmission (RFC 5725, RFC 7509).",
    ),
    metric(
        "recovery_delay_p50_ms",
        "recovery delay, median",
        "ms",
        Lower,
        "Of source packets going down that were computed from repair packets: from when the receiver \
         first saw that one was missing to its recovery; the median.",
    ),
    metric(
        "recovery_delay_p95_ms",
        "recovery delay, p95",
        "ms",
        Lower,
        "As recovery_delay_p50_ms, the 95th percentile.",
    ),
    metric(
        "repair_overhead_pct",
        "repair overhead",
        "%",
        Lower,
        "Payload of repair packets, retransmissions and in-band copies over the source payload sent for \
         the first time, both directions. The overhead that rankings and expectations use.",
    ),
    metric(
        "wire_overhead_pct",
        "wire overhead",
        "%",
        Lower,
        "All IP bytes of all packets, of every class and both directions, less the source payload sent \
         for the first time, over that payload.",
    ),
    metric(
        "feedback_bps",
        "feedback",
        "bit/s",
        Lower,
        "IP bytes of packets that carry only feedback, both directions, sent in the window, over its \
         length.",
    ),
    metric(
        "offered_rate_bps",
        "offered rate",
        "bit/s",
        Neither,
        "Bytes of all frames going down (of the picture or not) captured in the window, over its length; \
         after the encoder.",
    ),
    metric(
        "source_rate_bps",
        "delivered source rate",
        "bit/s",
        Higher,
        "Bytes of all frames going down captured in the window that became whole at the receiver, over \
         the window's length: who sends less shows less here.",
    ),
    metric(
        "goodput_bps",
        "goodput",
        "bit/s",
        Higher,
        "Application bytes going down that became available at the receiver for the first time in the \
         window, delivered or recovered, in time or late, over its length.",
    ),
    metric(
        "capacity_used_pct",
        "capacity used",
        "%",
        Neither,
        "IP bytes delivered downwards in the window over what the bottleneck's nominal rate carries in \
         it; neighbors use the rest.",
    ),
    metric(
        "queue_delay_p50_ms",
        "queue delay, median",
        "ms",
        Lower,
        "Time that delivered packets going down waited in the bottleneck's queue; the median.",
    ),
    metric(
        "queue_delay_p95_ms",
        "queue delay, p95",
        "ms",
        Lower,
        "As queue_delay_p50_ms, the 95th percentile.",
    ),
    metric(
        "interarrival_jitter_ms",
        "interarrival jitter",
        "ms",
        Lower,
        "RFC 3550 section 6.4.1, J += (|D| - J) / 16, over the source packets going down of each session \
         in the order of their arrival; the mean of J over all of them.",
    ),
    metric(
        "jain_index",
        "Jain's fairness index",
        "",
        Higher,
        "(sum x)^2 / (n sum x^2) over the sessions' goodputs: 1 where all are equal, 1/n where one has \
         everything (Jain, Chiu, Hawe 1984).",
    ),
    metric(
        "neighbour_goodput_bps",
        "goodput of the neighbours",
        "bit/s",
        Higher,
        "As goodput_bps, of all neighbours together. A contender starves a group of neighbours on TCP where \
         their goodput beside it is below half of what it is beside the TCP contender (the baseline, or else \
         the first), paired by seed, with all of the 95 % interval; the verdict names it. Half, because TCP \
         and what is reasonably fair to it differ by a factor of two at most (RFC 5348 section 1, RFC 8085 \
         section 3.1); beside TCP and not by capacity over flows, because losses, long paths and small \
         demands keep a neighbour from that share whoever is beside it.",
    ),
    metric(
        "path_jain_index",
        "Jain's index over all on the path",
        "",
        Higher,
        "As jain_index, over the contender's sessions and all neighbours. Below 1 as well where some have \
         less to send than their share: a desktop beside a download is not treated unfairly for that.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_delays_between_machines_are_withheld_and_only_below_the_bound() {
        let figures = [("age_p50_ms", 2.0), ("age_p99_ms", 30.0), ("recovery_delay_p50_ms", 2.0)];
        let mut metrics: Metrics =
            figures.map(|(key, value)| (key, Value::Number(value))).into_iter().collect();
        metrics.withhold_below(5.0);
        assert_eq!(metrics.get("age_p50_ms"), Some(Value::Absent(BELOW_CLOCKS)));
        assert_eq!(metrics.get("age_p99_ms"), Some(Value::Number(30.0)));
        assert_eq!(metrics.get("recovery_delay_p50_ms"), Some(Value::Number(2.0)), "measured at one end");
        assert!(ONE_WAY.iter().all(|key| position(key).is_some()));
    }

    #[test]
    fn the_keys_are_the_documented_ones() {
        let documented = "frames_on_time_pct frame_delay_p50_ms frame_delay_p95_ms frame_delay_p99_ms \
            age_p50_ms age_p95_ms age_p99_ms age_max_ms freeze_count freeze_longest_ms frozen_pct \
            frames_shown_pct frames_superseded_pct frames_undecodable_pct frames_unrepairable_pct \
            frames_late_pct frames_never_sent_pct frames_unfinished_pct motion_unevenness_ms \
            sharp_after_p95_ms network_loss_pct network_loss_random_pct network_loss_queue_pct \
            loss_burst_mean residual_loss_pct recovery_delay_p50_ms recovery_delay_p95_ms \
            repair_overhead_pct wire_overhead_pct feedback_bps goodput_bps source_rate_bps \
            offered_rate_bps queue_delay_p50_ms queue_delay_p95_ms capacity_used_pct \
            worst_session_age_p99_ms jain_index keys_delay_p95_ms interarrival_jitter_ms \
            network_marked_pct neighbour_goodput_bps path_jain_index";
        let documented: BTreeSet<_> = documented.split_whitespace().collect();
        let keys: BTreeSet<_> = METRICS.iter().map(|metric| metric.key).collect();
        assert_eq!(keys, documented);
        assert_eq!(METRICS.len(), keys.len(), "no key twice");
    }

    #[test]
    fn keys_end_with_their_unit() {
        for metric in METRICS {
            let ends = [("_ms", "ms"), ("_pct", "%"), ("_bps", "bit/s")];
            let unit = ends.iter().find(|(end, _)| metric.key.ends_with(end)).map_or("", |(_, unit)| unit);
            assert_eq!(metric.unit, unit, "{}", metric.key);
        }
    }

    #[test]
    fn what_is_no_number_is_absent() {
        let mut metrics = Metrics::new();
        metrics.set("goodput_bps", Value::Number(f64::INFINITY));
        assert_eq!(metrics.get("goodput_bps").and_then(Value::number), None);
        assert_eq!(metrics.get("no such metric"), None);
    }
}
