//! What a run comes to, in numbers.

/// A metric: what it is, for whoever reads a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in JSON and in rules; ends with its unit.
    pub key: &'static str,
    /// Its name in a table.
    pub title: &'static str,
    /// Its unit as it is printed; empty for plain numbers.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Its definition.
    pub about: &'static str,
}

/// Which way of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The less the better.
    Lower,
    /// The more the better.
    Higher,
    /// Neither.
    Neither,
}

/// The value of a metric in one trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// There is none, for this reason.
    Absent(&'static str),
}

/// The values of all metrics in one trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(Vec<(&'static str, Value)>);

impl Metrics {
    /// The value of the metric called `key`; none where no metric has this name.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.iter().find(|(name, _)| *name == key).map(|&(_, value)| value)
    }
}

impl FromIterator<(&'static str, Value)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (&'static str, Value)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

macro_rules! metrics {
    ($($key:literal, $title:literal, $unit:literal, $better:ident, $about:literal;)+) => {
        /// All metrics, in the order in which everything lists them.
        pub const METRICS: &[Metric] = &[$(Metric {
            key: $key, title: $title, unit: $unit, better: Better::$better, about: $about,
        }),+];
    };
}

metrics! {
    "age_p50_ms", "age of the picture, median", "ms", Lower, "Half of the display's ticks showed a picture no older than this.";
    "age_p95_ms", "age of the picture, p95", "ms", Lower, "All but 5 % of the display's ticks showed a picture no older than this.";
    "age_p99_ms", "age of the picture, p99", "ms", Lower, "All but 1 % of the display's ticks showed a picture no older than this.";
    "age_max_ms", "age of the picture, longest", "ms", Lower, "The oldest picture that was shown.";
    "freeze_longest_ms", "longest freeze", "ms", Lower, "The longest freeze.";
    "frozen_pct", "time frozen", "%", Lower, "The share of the time spent in freezes.";
    "frames_on_time_pct", "frames on time", "%", Higher, "Frames that arrived whole before their deadline.";
    "frames_shown_pct", "frames shown", "%", Higher, "Frames that were shown.";
    "frames_superseded_pct", "frames superseded", "%", Neither, "Frames that came after a newer one.";
    "frame_delay_p50_ms", "frame delay, median", "ms", Lower, "From capture to arrival, over all frames.";
    "frame_delay_p95_ms", "frame delay, p95", "ms", Lower, "From capture to arrival, over all frames.";
    "frame_delay_p99_ms", "frame delay, p99", "ms", Lower, "From capture to arrival, over all frames.";
    "network_loss_pct", "network loss", "%", Neither, "Packets that the network lost.";
    "residual_loss_pct", "residual loss", "%", Lower, "Source packets lost after repair.";
    "repair_overhead_pct", "repair overhead", "%", Lower, "Repair, retransmitted and copied payload over first-time source payload.";
    "wire_overhead_pct", "wire overhead", "%", Lower, "All IP bytes over source payload.";
    "goodput_bps", "goodput", "bit/s", Higher, "Application bytes delivered.";
    "queue_delay_p95_ms", "queue delay, p95", "ms", Lower, "Time in the bottleneck's queue.";
}
