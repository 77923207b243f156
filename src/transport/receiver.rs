//! The receiving half of an end: from packets to frames, and to what must be told about them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::endpoint::{Flow, FrameEvent};
use crate::fec::{DecodeEvent, Decoder, Repair, Scheme};
use crate::frame::FrameId;
use crate::record::{Arrived, Event, Malformed};
use crate::time::{Duration, Time};

use super::feedback::{Deficit, Feedback};
use super::filler;
use super::frames::Frames;
use super::horizon::{self, Horizon};
use super::numbers::Numbers;
use super::packet::{Fragment, Header, Source};
use super::sources::{Shown, Sources, View};
use super::trace::Trace;
use super::unit;
use super::window::expand;
use super::{Answer, Config};

/// The receiving half of an end.
#[derive(Debug)]
pub(crate) struct Receiver {
    flow: Flow,
    numbers: Numbers,
    sources: Sources,
    frames: Frames,
    decoder: Box<dyn Decoder<Bytes>>,
    coded: bool,
    answer: Answer,
    /// Whether a code protected what left with the last packet that arrived.
    protected: bool,
    horizon: Horizon,
    /// Source packets below were told to the decoder as done with.
    expired: u64,
    round_trip: Option<Duration>,
    /// How long before its deadline the last source packet came: the measure for packets of frames of
    /// which nothing is known.
    slack: Duration,
    residual: u32,
    events: VecDeque<FrameEvent>,
    /// Kept for their memory; empty between calls.
    lost_sources: Vec<u64>,
    lost_frames: Vec<FrameId>,
}

impl Receiver {
    pub(super) fn new(flow: Flow, config: &Config, decoder: Box<dyn Decoder<Bytes>>) -> Self {
        let coded = decoder.needs_symbols();
        Self {
            flow,
            numbers: Numbers::new(config.tolerance),
            sources: Sources::new(config.retransmit, coded),
            frames: Frames::default(),
            decoder,
            coded,
            answer: config.answer,
            protected: coded,
            horizon: Horizon::default(),
            expired: 0,
            round_trip: None,
            slack: Duration::ZERO,
            residual: 0,
            events: VecDeque::new(),
            lost_sources: Vec::new(),
            lost_frames: Vec::new(),
        }
    }

    /// One for packets that no code protects, that nothing repeats and that all carry data: their numbers
    /// are those of the source packets.
    pub(crate) fn of_sources_only(flow: Flow) -> Self {
        Self::new(flow, &Config::default(), Scheme::None.decoder())
    }

    /// Takes a source packet, numbered as [`Receiver::of_sources_only`] says.
    pub(crate) fn handle_source_only(&mut self, trace: &mut Trace, source: &Source) -> Result<(), Malformed> {
        let header = Header { number: source.esi, ..Header::default() };
        match self.handle_header(trace, &header)? {
            Some(number) => self.handle_source(trace, number, source),
            None => Ok(()),
        }
    }

    /// Takes the header of a packet and gives its number in full; none for a packet that has been here
    /// before.
    pub(super) fn handle_header(
        &mut self,
        trace: &mut Trace,
        header: &Header,
    ) -> Result<Option<u64>, Malformed> {
        let number = self.numbers.insert(trace, header.number)?;
        if number.is_some() {
            self.round_trip = header.round_trip().or(self.round_trip);
            self.protected = header.protected;
        }
        Ok(number)
    }

    /// Takes a source packet or a retransmission.
    pub(super) fn handle_source(
        &mut self,
        trace: &mut Trace,
        number: u64,
        source: &Source,
    ) -> Result<(), Malformed> {
        let esi = self.expand(source.esi)?;
        let deadline = self.check(trace.now, esi, &source.fragment)?;
        self.slack = deadline.since(trace.now);
        self.extend(trace.now, esi, number, deadline);
        if self.sources.settle(esi) {
            self.arrive(trace, esi, &source.fragment, deadline, &source.payload, Arrived::Delivered);
            if self.coded {
                let symbol = unit::seal(&source.fragment, &source.payload);
                self.decoder.push_source(trace.now, esi as u32, &symbol);
                self.handle_decoded(trace);
            }
        }
        if source.riders.is_empty() {
            return Ok(());
        }
        trace.tell(Event::RidersArrived { count: source.riders.len() as u32 });
        source.riders.iter().try_for_each(|rider| self.handle_repair(trace, number, rider))
    }

    /// Takes a repair packet that the code sent by itself.
    pub(super) fn handle_repair(
        &mut self,
        trace: &mut Trace,
        number: u64,
        repair: &Repair<Bytes>,
    ) -> Result<(), Malformed> {
        let first = self.handle_answer(trace, number, repair)?;
        if self.decoder.moves_up() {
            self.horizon.note(number, first);
        }
        Ok(())
    }

    /// Takes a repair packet; the first source packet that it protects. What was asked for goes back to
    /// old blocks and shows nothing of how far the code has moved on.
    pub(super) fn handle_answer(
        &mut self,
        trace: &mut Trace,
        number: u64,
        repair: &Repair<Bytes>,
    ) -> Result<u64, Malformed> {
        let (first, end) = horizon::protected(repair.header.first, repair.header.count, self.sources.next())
            .filter(|(first, _)| *first < self.sources.next() + JUMP_MAX)
            .ok_or(Malformed::OutOfRange)?;
        self.decoder.push_repair(trace.now, &repair.header, &repair.symbol)?;
        self.extend(trace.now, end, number, trace.now + self.slack);
        self.handle_decoded(trace);
        Ok(first)
    }

    /// Decides what can be decided by now: what is lost, and what is to be asked for.
    pub(crate) fn settle(&mut self, trace: &mut Trace) {
        self.numbers.settle(trace);
        let settled = self.numbers.settled();
        let view = View {
            now: trace.now,
            settled,
            horizon: self.horizon.reached(settled),
            round_trip: self.round_trip,
        };
        self.sources.decide(&view, &mut self.lost_sources);
        for esi in self.lost_sources.drain(..) {
            trace.tell(Event::SourceLost { source: esi });
            self.residual = self.residual.wrapping_add(1);
            self.lost_frames.extend(self.frames.give_up(esi));
        }
        let floor = self.sources.floor();
        self.frames.finish(floor, &mut self.lost_frames);
        for frame in self.lost_frames.drain(..) {
            trace.tell(Event::FrameLost { frame });
            self.events.push_back(FrameEvent::Lost(frame));
        }
        if self.coded && floor > self.expired {
            self.expired = floor;
            self.decoder.expire(floor as u32);
            self.handle_decoded(trace);
        }
    }

    /// Whether source packets are wanted that were not when this was last asked.
    pub(super) fn take_wants_more(&mut self) -> bool {
        self.sources.take_wants_more()
    }

    /// What happened to frames, in order.
    pub(crate) fn poll_event(&mut self) -> Option<FrameEvent> {
        self.events.pop_front()
    }

    /// When [`Receiver::settle`] has something to decide.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        Time::earliest([self.numbers.poll_timeout(), self.sources.poll_timeout()])
    }

    /// Whether source packets are wanted.
    pub(super) fn wants_any(&self) -> bool {
        self.sources.wants_any()
    }

    /// Losses so far: a change means that a gap was confirmed.
    pub(super) fn lost(&self) -> u32 {
        self.numbers.lost()
    }

    /// Writes what this half knows into `feedback`.
    pub(super) fn describe(&self, feedback: &mut Feedback) {
        self.numbers.describe(feedback);
        self.sources.describe(feedback);
        feedback.losses.residual = self.residual;
        if self.coded {
            let deficits = self.decoder.deficit();
            feedback.losses.deficit = deficits.iter().map(|(_, missing)| *missing).max().unwrap_or(0);
            if self.answer == Answer::Repair && !feedback.wanted.is_empty() {
                feedback.deficits = self.wanted_repairs(deficits).take(Feedback::DEFICITS_MAX).collect();
            }
        }
    }

    /// The blocks or windows in which something is wanted that fresh repair packets would bring.
    fn wanted_repairs(&self, deficits: Vec<(RangeInclusive<u32>, u16)>) -> impl Iterator<Item = Deficit> {
        let next = self.sources.next();
        deficits.into_iter().filter_map(move |(range, missing)| {
            let (first, last) = range.into_inner();
            let count = last.wrapping_sub(first).wrapping_add(1);
            let start = expand(first, next)?;
            let wanted = self.sources.wants_within(&(start..start + u64::from(count)));
            wanted.then_some(Deficit { first, count, missing: u32::from(missing) })
        })
    }

    /// Takes what the decoder found out.
    fn handle_decoded(&mut self, trace: &mut Trace) {
        while let Some(event) = self.decoder.poll_event() {
            match event {
                DecodeEvent::Settled(fate) => trace.tell(Event::RepairSettled(fate)),
                DecodeEvent::Recovered { esi, symbol } => {
                    if let Err(reason) = self.handle_recovered(trace, esi, &symbol) {
                        trace.tell(Event::Malformed(reason));
                    }
                }
            }
        }
    }

    fn handle_recovered(&mut self, trace: &mut Trace, esi: u32, symbol: &Bytes) -> Result<(), Malformed> {
        let esi = self.expand(esi)?;
        let (fragment, payload) = unit::open(symbol)?;
        let deadline = self.check(trace.now, esi, &fragment)?;
        if !filler::matches(self.flow, &fragment, &payload) {
            trace.tell(Event::Miscoded { source: esi });
            return Ok(());
        }
        let after = self.sources.missing_since(esi).map_or(Duration::ZERO, |since| trace.now.since(since));
        if self.sources.settle(esi) {
            self.arrive(trace, esi, &fragment, deadline, &payload, Arrived::Recovered { after });
        }
        Ok(())
    }

    /// A source packet is here for the first time.
    fn arrive(
        &mut self,
        trace: &mut Trace,
        esi: u64,
        fragment: &Fragment,
        deadline: Time,
        payload: &Bytes,
        by: Arrived,
    ) {
        let in_time = trace.now.as_micros() <= deadline.as_micros();
        trace.tell(Event::SourceArrived { source: esi, bytes: payload.len() as u32, by, in_time });
        if let Some(delivered) = self.frames.add(fragment, esi, deadline, payload, &mut self.lost_frames) {
            trace.tell(Event::FrameComplete { frame: delivered.id });
            self.events.push_back(FrameEvent::Delivered(delivered));
        }
    }

    /// Everything below `end` has been sent, says the packet numbered `by`. What is missing of the
    /// newest frame has that frame's deadline, what is missing beyond it has `deadline`.
    fn extend(&mut self, now: Time, end: u64, by: u64, deadline: Time) {
        if self.sources.covers(end) {
            return;
        }
        let lost = &mut self.lost_sources;
        let shown = Shown { by, now, deadline, protected: self.protected };
        if let Some((frame_end, deadline)) = self.frames.newest() {
            self.sources.extend(end.min(frame_end), &Shown { deadline, ..shown }, lost);
        }
        self.sources.extend(end, &shown, lost);
    }

    /// The full number of a source packet.
    fn expand(&self, esi: u32) -> Result<u64, Malformed> {
        let next = self.sources.next();
        expand(esi, next).filter(|esi| *esi < next + JUMP_MAX).ok_or(Malformed::OutOfRange)
    }

    /// Whether a piece agrees with what is known of its frame, and the frame's deadline.
    fn check(&self, now: Time, esi: u64, fragment: &Fragment) -> Result<Time, Malformed> {
        self.frames.check(fragment, esi)?;
        Ok(fragment.deadline(now))
    }
}

/// The farthest that a source packet may be ahead of the last: each one between is told as lost, so this
/// bounds the work that one packet can cause. 10 seconds at 100,000 packets a second.
const JUMP_MAX: u64 = 1 << 20;
