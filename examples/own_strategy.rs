//! A strategy of one's own, from outside the crate, beside those of the catalogue.
//!
//! The idea: most updates of a screen are one short packet, and the last packet of the others is short as
//! well. So the last packet of each frame goes twice. That costs few bytes, and saves the frames that
//! consist of nothing else.
//!
//! ```text
//! cargo run --release --example own_strategy
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use framehawk_sim::fec::{
    Code, DecodeEvent, Decoder, Encoder, Flush, Overhead, Own, Protect, Repair, RepairHeader, Scheme,
    SourceMeta, unit,
};
use framehawk_sim::lab::catalogue;
use framehawk_sim::lab::grid::{Axes, Grid};
use framehawk_sim::record::{Malformed, RepairFate};
use framehawk_sim::report::bench::table;
use framehawk_sim::report::layout::Look;
use framehawk_sim::runner::{Conduct, Progress};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{Lineup, built_in};
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::units::Probability;

/// The last packet of each frame again.
#[derive(Debug)]
struct TailCopy;

impl Code for TailCopy {
    fn name(&self) -> String {
        "tail copy".to_owned()
    }

    fn encoder(&self) -> Box<dyn Encoder<Bytes>> {
        Box::new(Copier { ready: VecDeque::new() })
    }

    fn decoder(&self) -> Box<dyn Decoder<Bytes>> {
        Box::new(Collector { floor: 0, known: BTreeSet::new(), events: VecDeque::new() })
    }
}

/// The sender's half: the copies that have not left yet.
#[derive(Debug)]
struct Copier {
    ready: VecDeque<Repair<Bytes>>,
}

impl Encoder<Bytes> for Copier {
    fn overhead(&self) -> Overhead {
        Overhead { copies: 0, repair: unit::OVERHEAD as u16 }
    }

    fn push_source(&mut self, _now: Time, meta: &SourceMeta, symbol: &Bytes) -> Protect<Bytes> {
        if meta.frame_end {
            self.ready.push_back(Repair { header: header(meta.esi), symbol: symbol.clone() });
        }
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<Bytes>> {
        self.ready.pop_front()
    }

    /// Nothing waits for more sources.
    fn flush(&mut self, _now: Time, _why: Flush) {}
}

/// What the copy of a source packet says of itself.
const fn header(esi: u32) -> RepairHeader {
    RepairHeader { first: esi, count: 1, row: 0, parameter: 0 }
}

/// The receiver's half: which packets are there, from the point of expiry on.
#[derive(Debug)]
struct Collector {
    floor: u32,
    known: BTreeSet<u32>,
    events: VecDeque<DecodeEvent<Bytes>>,
}

/// How far ahead of the point of expiry a packet may be: this bounds what is held.
const WINDOW: u32 = 16_384;

impl Collector {
    fn too_far(&self, esi: u32) -> bool {
        esi.saturating_sub(self.floor) >= WINDOW
    }
}

impl Decoder<Bytes> for Collector {
    fn push_source(&mut self, _now: Time, esi: u32, _symbol: &Bytes) {
        if esi >= self.floor && !self.too_far(esi) {
            self.known.insert(esi);
        }
    }

    fn push_repair(&mut self, _now: Time, header: &RepairHeader, symbol: &Bytes) -> Result<(), Malformed> {
        let esi = header.first;
        if *header != self::header(esi) {
            return Err(Malformed::InvalidField);
        }
        if self.too_far(esi) {
            return Err(Malformed::OutOfRange);
        }
        let fate = if esi < self.floor {
            RepairFate::Late
        } else if self.known.insert(esi) {
            self.events.push_back(DecodeEvent::Recovered { esi, symbol: symbol.clone() });
            RepairFate::Used
        } else {
            RepairFate::Unneeded
        };
        self.events.push_back(DecodeEvent::Settled(fate));
        Ok(())
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<Bytes>> {
        self.events.pop_front()
    }

    fn expire(&mut self, esi: u32) {
        if esi > self.floor {
            self.floor = esi;
            self.known = self.known.split_off(&esi);
        }
    }
}

/// Says nothing on the way.
#[derive(Debug)]
struct Silent;

impl Progress for Silent {
    fn advance(&self, _done: usize, _all: usize) {}
}

/// The table of our strategy beside four others.
fn bench(duration: &str, seeds: &[u64]) -> Result<String, Box<dyn Error>> {
    let base = built_in::find(built_in::SCENARIOS, "bench").ok_or("it is built in")?;
    let chosen = ["none", "repeat", "rs-10-3", "rs-frame-20"].map(str::to_owned);
    let lineup = Lineup { name: catalogue::NAME, text: catalogue::TEXT, chosen: &chosen };
    let axes = Axes {
        loss: Probability::new(0.03).into_iter().collect(),
        burst: Vec::new(),
        round_trip: vec![Duration::from_millis(100)],
    };
    let sources = Sources::built_in(base.name, base.text);
    let mut grid = Grid::new(&sources, &[format!("duration={duration}")], &lineup, &axes.places()?)?;
    grid.add("tail-copy", "none", &Scheme::Own(Own(Arc::new(TailCopy))));
    let conduct = Conduct { threads: None, cancelled: &AtomicBool::new(false), progress: &Silent };
    let outcome = grid.run(seeds, &conduct)?;
    Ok(table::draw(base.name, grid.base.file.duration.value, &outcome, None, Look::default()))
}

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", bench("30s", &(1..=10).collect::<Vec<_>>())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_beside_the_others_and_repairs_something() {
        let text = bench("5s", &[1, 2]).unwrap();
        let overhead = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        assert!(overhead("tail-copy") > overhead("none"), "{text}");
        assert!(overhead("tail-copy") < overhead("repeat"), "{text}");
    }

    #[test]
    fn a_lost_last_packet_comes_from_its_copy() {
        let mut decoder = TailCopy.decoder();
        let symbol = unit::seal(&[b"the end"]);
        decoder.push_repair(Time::ZERO, &header(7), &symbol).unwrap();
        assert_eq!(decoder.poll_event(), Some(DecodeEvent::Recovered { esi: 7, symbol: symbol.clone() }));
        assert_eq!(decoder.poll_event(), Some(DecodeEvent::Settled(RepairFate::Used)));
        decoder.push_repair(Time::ZERO, &header(7), &symbol).unwrap();
        assert_eq!(decoder.poll_event(), Some(DecodeEvent::Settled(RepairFate::Unneeded)));
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let mut decoder = TailCopy.decoder();
        let lie = RepairHeader { count: 2, ..header(0) };
        assert_eq!(decoder.push_repair(Time::ZERO, &lie, &Bytes::new()), Err(Malformed::InvalidField));
        assert_eq!(
            decoder.push_repair(Time::ZERO, &header(WINDOW), &Bytes::new()),
            Err(Malformed::OutOfRange)
        );
    }
}
