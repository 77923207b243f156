//! `fhsim bench codec`: what coding costs this machine, scheme by scheme.

use std::fmt::Write;

use anyhow::Context;
use clap::{Args, ValueEnum};
use framehawk_sim::fec::{Scheme, gf256};
use serde_json::{Value, json};

use super::timing::{Cost, PACKET, cost, frame};
use crate::cli::{Exit, Failure, output};

/// Measure how fast this machine encodes and decodes, on one core
#[derive(Debug, Args)]
pub(super) struct Codec {
    /// Only schemes whose names contain this, such as "reed-solomon 10"
    scheme: Option<String>,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    samples: u16,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A scheme and what it costs.
struct Line {
    name: String,
    cost: Cost,
}

impl Codec {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut schemes = Scheme::all();
        schemes.retain(|scheme| *scheme != Scheme::None);
        if let Some(part) = &self.scheme {
            schemes.retain(|scheme| scheme.to_string().contains(part.as_str()));
            if schemes.is_empty() {
                return Err(Failure::Usage(format!(
                    "no scheme has `{part}` in its name; without a name all are measured"
                )));
            }
        }
        let lines: Vec<Line> = schemes
            .iter()
            .map(|scheme| Line {
                name: scheme.to_string(),
                cost: cost(scheme, frame(scheme), usize::from(self.samples)),
            })
            .collect();
        output::print(&match self.format {
            Format::Table => table(&lines, self.samples),
            Format::Json => {
                serde_json::to_string_pretty(&report(&lines, self.samples)).context("cannot write JSON")?
                    + "\n"
            }
        })?;
        Ok(Exit::Success)
    }
}

fn table(lines: &[Line], samples: u16) -> String {
    let mut text = format!(
        "instructions: {}; packets of {PACKET} B on one core, median of {samples}\n\
         decode: the longest burst in each frame that comes back; x memcpy: encoding against copying the frame\n\n",
        gf256::active(),
    );
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for Line { name, cost } in lines {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{name:width$}  encode {:>9}  decode {:>9} ({} of {} lost)  {:>7.2} us a frame  {:>6.1} x memcpy",
            speed(cost.encode_mb_per_s()),
            speed(cost.decode_mb_per_s()),
            cost.burst,
            cost.frame,
            cost.both_us(),
            cost.copies(),
        );
    }
    text
}

/// A rate in the unit that reads best.
fn speed(mb_per_s: f64) -> String {
    if mb_per_s < 1_000.0 { format!("{mb_per_s:.0} MB/s") } else { format!("{:.1} GB/s", mb_per_s / 1e3) }
}

fn report(lines: &[Line], samples: u16) -> Value {
    let schemes = lines.iter().map(|Line { name, cost }| {
        json!({
            "scheme": name,
            "frame_packets": cost.frame,
            "lost_packets": cost.burst,
            "encode_mb_per_s": cost.encode_mb_per_s(),
            "decode_mb_per_s": cost.decode_mb_per_s(),
            "frame_us": cost.both_us(),
            "memcpy_ratio": cost.copies(),
        })
    });
    json!({
        "instructions": gf256::active().name(),
        "packet_bytes": PACKET,
        "samples": samples,
        "schemes": schemes.collect::<Vec<_>>(),
    })
}
