//! Unequal protection: a code of its own for each class of packets.
//!
//! What others refer to and what a person typed is worth more repair packets than an update that the
//! next one overwrites. Each class of [`Priority`] has a code; all of them share the one space of
//! encoding symbol ids. Whenever the class changes from one packet to the next, the code of the old one
//! closes what it has open, so that no block and no window has packets of two classes in it. The
//! residual loss of a class is that of its code on blocks that end where the class does.
//!
//! Sources: RFC 5109 (levels of protection within a packet), RFC 8854 §8 (protect the base layer), and
//! WebRTC, which gives key frames twice the protection of others.
//!
//! The row of a repair packet has 14 bits for the code's own row or key; the two above them are the
//! class. A code that counts its keys on and on is started afresh in time, so that they stay below that,
//! and is handed the last report.
//!
//! | here | elsewhere |
//! | --- | --- |
//! | classes are of whole packets | RFC 5109 protects the front of a packet better than its end |
//! | a class ends what the other one has open | separate streams have one block open each |
//! | a code that is started afresh knows no packets before, so that requests for them get nothing, and of losses only the last report: memories of several reports begin anew | separate streams have wider counters that wrap around |

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::sources::Sources;
use super::{
    DecodeEvent, Decoder, Encoder, Flush, LossReport, Overhead, Protect, Repair, RepairHeader, Scheme,
    SourceMeta, Symbol,
};
use crate::frame::Priority;
use crate::record::Malformed;
use crate::time::Time;

/// How many bits of a row are the code's own.
const ROW_BITS: u32 = 14;

/// From this row on a code is started afresh with the next packet of its class: half of what there is, so
/// that what is still to come of the old one fits.
const ROW_FRESH: u16 = 1 << (ROW_BITS - 1);

/// The most changes of class that are remembered for requests: five seconds of 100 packets a second if
/// every packet changed it.
const RUNS_MAX: usize = 512;

/// The classes, in the order of their tags.
const CLASSES: [Priority; 3] = [Priority::Delta, Priority::Key, Priority::Input];

/// The codes of the classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Unequal {
    /// In the order of [`CLASSES`].
    codes: Vec<Scheme>,
}

/// A code of a class is itself one of unequal protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code of a class cannot protect classes unequally itself")]
pub struct Nested;

impl Unequal {
    /// A code for each class. Repair packets with a row of 2^14 or above are not sent, which only codes
    /// from outside the crate could mean to.
    ///
    /// # Errors
    ///
    /// Where one of them is itself a code of unequal protection.
    pub fn new(delta: Scheme, key: Scheme, input: Scheme) -> Result<Self, Nested> {
        let codes = vec![delta, key, input];
        if codes.iter().any(|code| matches!(code, Scheme::Unequal(_))) {
            return Err(Nested);
        }
        Ok(Self { codes })
    }

    /// The code of a class.
    pub fn code(&self, class: Priority) -> &Scheme {
        &self.codes[tag(class)]
    }

    /// Whether each class's code has halves for this type of symbol.
    pub(super) fn supports<S: Symbol>(&self) -> bool {
        self.codes.iter().all(Scheme::supports::<S>)
    }

    pub(super) fn encoder<S: Symbol>(&self) -> UnequalEncoder<S> {
        UnequalEncoder {
            schemes: self.codes.clone(),
            codes: self.codes.iter().map(|scheme| Class { code: scheme.encoder(), worn: false }).collect(),
            runs: VecDeque::new(),
            ready: VecDeque::new(),
            report: None,
        }
    }

    pub(super) fn decoder<S: Symbol>(&self) -> UnequalDecoder<S> {
        UnequalDecoder {
            codes: self.codes.iter().map(Scheme::decoder).collect(),
            known: Sources::new(0),
            events: VecDeque::new(),
        }
    }
}

impl std::fmt::Display for Unequal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [delta, key, input] = CLASSES.map(|class| self.code(class));
        write!(f, "unequal ({delta}; keys {key}; input {input})")
    }
}

/// The place of a class among the codes, and what the top bits of rows say.
fn tag(class: Priority) -> usize {
    CLASSES.iter().position(|other| *other == class).expect("all classes are listed")
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct UnequalEncoder<S> {
    schemes: Vec<Scheme>,
    codes: Vec<Class<S>>,
    /// The ESIs at which the class changed, and the tag of the class from there on; the oldest first.
    runs: VecDeque<(u32, usize)>,
    /// What codes left that were started afresh.
    ready: VecDeque<Repair<S>>,
    /// The last report, for codes that are started afresh.
    report: Option<LossReport>,
}

/// The code of a class.
#[derive(Debug)]
struct Class<S> {
    code: Box<dyn Encoder<S>>,
    /// Whether its rows came so far that it is to be started afresh.
    worn: bool,
}

impl<S: Symbol> Class<S> {
    /// A repair packet of the code, as it leaves; none where its row does not fit.
    fn tagged(&mut self, repair: Repair<S>, tag: usize) -> Option<Repair<S>> {
        let row = repair.header.row;
        self.worn |= row >= ROW_FRESH;
        let header = RepairHeader { row: row | (tag as u16) << ROW_BITS, ..repair.header };
        (row >> ROW_BITS == 0).then_some(Repair { header, symbol: repair.symbol })
    }

    fn poll(&mut self, now: Time, tag: usize) -> Option<Repair<S>> {
        while let Some(repair) = self.code.poll_repair(now) {
            let repair = self.tagged(repair, tag);
            if repair.is_some() {
                return repair;
            }
        }
        None
    }
}

impl<S: Symbol> UnequalEncoder<S> {
    /// The tag of the class that packets have now.
    fn current(&self) -> usize {
        self.runs.back().map_or(0, |&(_, tag)| tag)
    }

    /// Packets are of the class `tag` from `esi` on.
    fn change(&mut self, now: Time, esi: u32, tag: usize) {
        let last = self.current();
        self.codes[last].code.flush(now, Flush::Shutdown);
        self.runs.push_back((esi, tag));
        if self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
        }
    }

    fn start_afresh(&mut self, now: Time, tag: usize) {
        let class = &mut self.codes[tag];
        class.code.flush(now, Flush::Shutdown);
        self.ready.extend(std::iter::from_fn(|| class.poll(now, tag)));
        *class = Class { code: self.schemes[tag].encoder(), worn: false };
        if let Some(report) = &self.report {
            class.code.handle_report(now, report);
        }
    }
}

impl<S: Symbol> Encoder<S> for UnequalEncoder<S> {
    fn overhead(&self) -> Overhead {
        let all = self.codes.iter().map(|class| class.code.overhead());
        all.fold(Overhead::default(), |most, one| Overhead {
            copies: most.copies.max(one.copies),
            repair: most.repair.max(one.repair),
        })
    }

    fn needs_symbols(&self) -> bool {
        self.codes.iter().any(|class| class.code.needs_symbols())
    }

    fn protects(&self) -> bool {
        self.codes[self.current()].code.protects()
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        let tag = tag(meta.priority);
        if self.runs.back().is_none_or(|&(_, last)| last != tag) {
            self.change(now, meta.esi, tag);
        }
        if self.codes[tag].worn {
            self.start_afresh(now, tag);
        }
        let class = &mut self.codes[tag];
        match class.code.push_source(now, meta, symbol) {
            Protect::Send(riders) => {
                Protect::Send(riders.into_iter().filter_map(|repair| class.tagged(repair, tag)).collect())
            }
            Protect::Hold => Protect::Hold,
        }
    }

    fn poll_repair(&mut self, now: Time) -> Option<Repair<S>> {
        // What the classes before this one left goes first.
        let current = self.current();
        let tags = (0..self.codes.len()).filter(|&tag| tag != current).chain([current]);
        let ready = self.ready.pop_front();
        ready.or_else(|| tags.into_iter().find_map(|tag| self.codes[tag].poll(now, tag)))
    }

    fn flush(&mut self, now: Time, why: Flush) {
        self.codes.iter_mut().for_each(|class| class.code.flush(now, why));
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.codes.iter().filter_map(|class| class.code.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Time) {
        let is_due = |class: &&mut Class<S>| class.code.poll_timeout().is_some_and(|due| due <= now);
        self.codes.iter_mut().filter(is_due).for_each(|class| class.code.handle_timeout(now));
    }

    fn handle_report(&mut self, now: Time, report: &LossReport) {
        self.report = Some(*report);
        self.codes.iter_mut().for_each(|class| class.code.handle_report(now, report));
    }

    /// The code of the class that the range begins in answers.
    fn request_repair(&mut self, now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        let run = self.runs.iter().rev().find(|(first, _)| first <= range.start());
        let Some(&(_, tag)) = run else { return Vec::new() };
        let class = &mut self.codes[tag];
        let fresh = class.code.request_repair(now, range, count);
        fresh.into_iter().filter_map(|repair| class.tagged(repair, tag)).collect()
    }

    fn handle_ack(&mut self, esi: u32) {
        self.codes.iter_mut().for_each(|class| class.code.handle_ack(esi));
        // The run in which the next packet lies is needed still.
        while self.runs.get(1).is_some_and(|&(first, _)| first <= esi) {
            self.runs.pop_front();
        }
    }
}

/// The receiver's half.
#[derive(Debug)]
pub(super) struct UnequalDecoder<S> {
    codes: Vec<Box<dyn Decoder<S>>>,
    /// Which packets are known, so that none is told twice.
    known: Sources<()>,
    events: VecDeque<DecodeEvent<S>>,
}

impl<S: Symbol> Decoder<S> for UnequalDecoder<S> {
    fn needs_symbols(&self) -> bool {
        self.codes.iter().any(|code| code.needs_symbols())
    }

    /// All codes hear of all packets: which class one has, its own packet does not say.
    fn push_source(&mut self, now: Time, esi: u32, symbol: &S) {
        if self.known.insert(esi, &()) {
            self.codes.iter_mut().for_each(|code| code.push_source(now, esi, symbol));
            self.collect(now);
        }
    }

    fn push_repair(&mut self, now: Time, header: &RepairHeader, symbol: &S) -> Result<(), Malformed> {
        let tag = usize::from(header.row >> ROW_BITS);
        let code = self.codes.get_mut(tag).ok_or(Malformed::InvalidField)?;
        let header = RepairHeader { row: header.row & ((1 << ROW_BITS) - 1), ..*header };
        code.push_repair(now, &header, symbol)?;
        self.collect(now);
        Ok(())
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<S>> {
        self.events.pop_front()
    }

    /// A class closes what is open before the next one begins, so it is for the codes to say.
    fn moves_up(&self) -> bool {
        self.codes.iter().all(|code| code.moves_up())
    }

    fn deficit(&self) -> Vec<(RangeInclusive<u32>, u16)> {
        self.codes.iter().flat_map(|code| code.deficit()).collect()
    }

    fn expire(&mut self, esi: u32) {
        self.known.expire(esi);
        for code in &mut self.codes {
            code.expire(esi);
            self.events.extend(std::iter::from_fn(|| code.poll_event()));
        }
    }
}

impl<S: Symbol> UnequalDecoder<S> {
    /// Takes the events of the codes, and tells each of them what the others recovered, until nothing
    /// moves.
    fn collect(&mut self, now: Time) {
        while let Some(event) = self.codes.iter_mut().find_map(|code| code.poll_event()) {
            if let DecodeEvent::Recovered { esi, symbol } = &event {
                if !self.known.insert(*esi, &()) {
                    continue;
                }
                self.codes.iter_mut().for_each(|code| code.push_source(now, *esi, symbol));
            }
            self.events.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::{Wire, decode, encode, meta};
    use crate::fec::reed_solomon::PerPackets;
    use crate::fec::repeat::Repeat;
    use crate::fec::xor::Xor;
    use crate::record::RepairFate;

    /// Parity over 10 for updates, (4, 2) for keys, a copy for input.
    fn code() -> Unequal {
        let delta = Scheme::Xor(Xor::row(10, None).unwrap());
        let key = Scheme::ReedSolomon(PerPackets::new(4, 2, None).unwrap());
        let input = Scheme::Repeat(Repeat::new(1, 0).unwrap());
        Unequal::new(delta, key, input).unwrap()
    }

    fn push(encoder: &mut UnequalEncoder<()>, esis: std::ops::Range<u32>, priority: Priority) {
        for esi in esis {
            encoder.push_source(Time::ZERO, &SourceMeta { priority, ..meta(esi) }, &());
        }
    }

    /// Class, first, count and row of the repair packets that are ready.
    fn ready(encoder: &mut UnequalEncoder<()>) -> Vec<(u16, u32, u16, u16)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        all.map(|repair| repair.header).map(|h| (h.row >> 14, h.first, h.count, h.row & 0x3fff)).collect()
    }

    #[test]
    fn a_change_of_class_closes_what_the_old_one_has_open() {
        let mut encoder = code().encoder();
        push(&mut encoder, 0..3, Priority::Delta);
        assert_eq!(ready(&mut encoder), []);
        push(&mut encoder, 3..5, Priority::Key);
        assert_eq!(ready(&mut encoder), [(0, 0, 3, 0)]);
        push(&mut encoder, 5..6, Priority::Input);
        assert_eq!(ready(&mut encoder), [(1, 3, 2, 0), (2, 5, 1, 0)]);
        push(&mut encoder, 6..16, Priority::Delta);
        assert_eq!(
            ready(&mut encoder),
            [(0, 6, 10, 0)],
            "the next block begins with the class's next packet"
        );
    }

    #[test]
    fn what_one_code_recovers_the_others_know_and_nothing_is_told_twice() {
        let mut decoder = code().decoder::<()>();
        let mut push = |tag: u16, header: RepairHeader| {
            let header = RepairHeader { row: header.row | tag << ROW_BITS, ..header };
            decoder.push_repair(Time::ZERO, &header, &()).unwrap();
            std::iter::from_fn(|| decoder.poll_event()).collect::<Vec<_>>()
        };
        // A forger lets blocks of two classes overlap: parity over 0 and 1 completes with a copy of 0.
        let parity = RepairHeader { first: 0, count: 2, row: 0, parameter: 1 };
        assert_eq!(push(0, parity), []);
        let copy = RepairHeader { count: 1, ..parity };
        let used = DecodeEvent::Settled(RepairFate::Used);
        let recovered = |esi| DecodeEvent::Recovered { esi, symbol: () };
        assert_eq!(push(2, copy), [recovered(0), recovered(1), used.clone(), used]);
        assert_eq!(push(1, copy), [DecodeEvent::Settled(RepairFate::Unneeded)]);
    }

    #[test]
    fn keys_survive_what_updates_do_not() {
        // Runs of four packets of either class, each of which loses two.
        let class = |esi: u32| [Priority::Delta, Priority::Key][esi as usize / 4 % 2];
        let mut encoder = code().encoder::<()>();
        let mut wire = Vec::new();
        for esi in 0..80 {
            push(&mut encoder, esi..esi + 1, class(esi));
            wire.extend((esi % 4 > 1).then_some(Wire::Source(esi, ())));
            wire.extend(std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).map(Wire::Repair));
        }
        let (known, _) = decode(&mut code().decoder(), &wire);
        for esi in 0..80 {
            assert_eq!(known.contains_key(&esi), esi % 4 > 1 || class(esi) == Priority::Key, "{esi}");
        }
    }

    #[test]
    fn a_sliding_window_has_packets_of_one_class_only() {
        let rlc = Scheme::Rlc(crate::fec::rlc::Rlc::new(16, 2, 1, 15).unwrap());
        let code = Unequal::new(rlc.clone(), Scheme::None, rlc).unwrap();
        let (mut encoder, mut decoder) = (code.encoder::<()>(), code.decoder::<()>());
        let class = |esi: u32| CLASSES[esi as usize / 5 % 3];
        let mut recovered = Vec::new();
        for esi in 0..60 {
            push(&mut encoder, esi..esi + 1, class(esi));
            if esi % 5 != 1 {
                decoder.push_source(Time::ZERO, esi, &());
            }
            while let Some(Repair { header, symbol }) = encoder.poll_repair(Time::ZERO) {
                let classes = (header.first..header.first + u32::from(header.count)).map(class);
                assert!(classes.into_iter().all(|one| one == class(header.first)), "{header:?}");
                decoder.push_repair(Time::ZERO, &header, &symbol).unwrap();
            }
            let events = std::iter::from_fn(|| decoder.poll_event());
            recovered.extend(events.filter_map(|event| match event {
                DecodeEvent::Recovered { esi, .. } => Some(esi),
                DecodeEvent::Settled(_) => None,
            }));
        }
        let lost = (0..60).filter(|esi| esi % 5 == 1);
        assert_eq!(recovered, lost.filter(|&esi| class(esi) != Priority::Key).collect::<Vec<_>>());
    }

    #[test]
    fn a_request_goes_to_the_code_of_its_class() {
        let raptorq = |repair| {
            let code = crate::fec::raptorq::RaptorQ::per_packets(4, repair, None);
            Scheme::RaptorQ(code.unwrap())
        };
        let mut encoder = Unequal::new(Scheme::None, raptorq(1), raptorq(2)).unwrap().encoder::<()>();
        push(&mut encoder, 0..4, Priority::Key);
        push(&mut encoder, 4..8, Priority::Input);
        push(&mut encoder, 8..12, Priority::Delta);
        ready(&mut encoder);
        let headers = [0..=3, 4..=7, 8..=11].map(|range| {
            let fresh = encoder.request_repair(Time::ZERO, range, 1);
            fresh.iter().map(|repair| (repair.header.row, repair.header.first)).collect::<Vec<_>>()
        });
        assert_eq!(headers, [vec![(1 | 1 << ROW_BITS, 0)], vec![(2 | 2 << ROW_BITS, 4)], vec![]]);
        encoder.handle_ack(5);
        assert_eq!(encoder.runs, [(4, 2), (8, 0)], "the run that packet 6 is in is remembered");
    }

    #[test]
    fn a_code_whose_rows_come_near_the_tag_is_started_afresh() {
        let raptorq = Scheme::RaptorQ(crate::fec::raptorq::RaptorQ::per_packets(1, 1, None).unwrap());
        let mut encoder = Unequal::new(raptorq, Scheme::None, Scheme::None).unwrap().encoder::<()>();
        push(&mut encoder, 0..1, Priority::Delta);
        assert_eq!(ready(&mut encoder), [(0, 0, 1, 0)]);
        // Whoever asks for ever gets no row that says another class.
        let rows = (0..20_000).flat_map(|_| encoder.request_repair(Time::ZERO, 0..=0, 1));
        assert!(rows.map(|repair| repair.header.row).eq(1..1 << ROW_BITS));
        push(&mut encoder, 1..2, Priority::Delta);
        assert_eq!(ready(&mut encoder), [(0, 1, 1, 0)]);
        assert_eq!(encoder.request_repair(Time::ZERO, 0..=0, 1), [], "the fresh one knows nothing of it");
    }

    #[test]
    fn a_code_that_is_started_afresh_is_handed_the_last_report() {
        let adaptive = Scheme::Adaptive(crate::fec::adaptive::Adaptive::default());
        let lossy = LossReport {
            expected: 1_000,
            lost: 200,
            runs: [200, 0, 0, 0, 0, 0, 0, 0],
            ..LossReport::default()
        };
        // How many repair packets a frame of ten packets gets by the end of the session.
        let frame = |encoder: &mut dyn Encoder<()>, esis: std::ops::Range<u32>| {
            for esi in esis.clone() {
                let meta =
                    SourceMeta { frame_end: esi + 1 == esis.end, priority: Priority::Delta, ..meta(esi) };
                encoder.push_source(Time::ZERO, &meta, &());
            }
            encoder.flush(Time::ZERO, Flush::Shutdown);
            std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).count()
        };
        let plain = |report: &LossReport| {
            let mut encoder = adaptive.encoder::<()>();
            encoder.handle_report(Time::ZERO, report);
            frame(&mut *encoder, 0..10)
        };
        assert!(plain(&lossy) > plain(&LossReport::default()), "the report matters");

        let unequal = Unequal::new(adaptive.clone(), Scheme::None, Scheme::None).unwrap();
        let mut encoder = unequal.encoder::<()>();
        encoder.handle_report(Time::ZERO, &lossy);
        push(&mut encoder, 0..1, Priority::Delta);
        while !encoder.codes[0].worn {
            assert_ne!(encoder.request_repair(Time::ZERO, 0..=0, 1), []);
        }
        encoder.flush(Time::ZERO, Flush::Shutdown);
        ready(&mut encoder);
        assert_eq!(frame(&mut encoder, 1..11), plain(&lossy));
        assert!(!encoder.codes[0].worn, "it is a fresh one");
    }

    #[test]
    fn the_same_code_for_all_classes_is_that_code_with_blocks_that_end_with_the_class() {
        let block = Scheme::ReedSolomon(PerPackets::new(4, 2, None).unwrap());
        let unequal = Unequal::new(block.clone(), block.clone(), block.clone()).unwrap();
        let mut encoder = unequal.encoder::<()>();
        push(&mut encoder, 0..20, Priority::Delta);
        let plain = encode::<()>(&mut *block.encoder(), 20, |_| ());
        let plain = plain.iter().flat_map(Wire::repairs).map(|repair| repair.header);
        let headers = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).map(|repair| repair.header);
        assert!(headers.eq(plain));
    }

    #[test]
    fn the_changes_that_are_remembered_keep_to_their_bound() {
        let mut encoder = code().encoder();
        for esi in 0..5_000 {
            push(&mut encoder, esi..esi + 1, CLASSES[esi as usize % 2]);
        }
        assert_eq!(encoder.runs.len(), RUNS_MAX);
    }

    #[test]
    fn a_class_that_there_is_not_is_refused_and_so_are_classes_within_a_class() {
        let header = RepairHeader { first: 0, count: 1, row: 3 << ROW_BITS, parameter: 1 };
        let pushed = code().decoder::<()>().push_repair(Time::ZERO, &header, &());
        assert_eq!(pushed, Err(Malformed::InvalidField));
        let nested = Scheme::Unequal(code());
        assert_eq!(Unequal::new(Scheme::None, nested, Scheme::None), Err(Nested));
    }
}
