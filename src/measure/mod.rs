//! What a person at the screen sees, and what it costs: figures made from records alone.
//!
//! [`metrics`] defines every figure once. [`Summary`] takes the records of one trial and gives them;
//! [`statistics`] says how sure one can be of them over several seeds. Memory does not grow with the
//! length of a run: quantiles come from histograms (HdrHistogram, three digits, microseconds), and only
//! frames whose fate is open are kept.

pub mod metrics;
pub mod statistics;

mod display;
mod fate;
mod gaps;
mod histogram;
mod input;
mod packets;
mod recent;
mod stillness;
mod summary;

pub use fate::Fate;
pub use metrics::{Better, GroupShare, METRICS, Metric, Metrics, Value};
pub use recent::{Budget, Glance, MARKS, Mark, PEAKS, Recent};
pub use summary::{MeasureConfig, Summary};
