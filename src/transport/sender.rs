//! The sending half of an end: from frames to packets.
//!
//! What leaves first: retransmissions, then repair packets that were asked for, then others, then source
//! packets. Repair packets share
//! pacing and rate with everything else, right behind the source packet that completed their block.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::endpoint::{Flow, Wire};
use crate::fec::{Encoder, Flush, LossReport, Protect, Repair, SourceMeta};
use crate::frame::{Frame, FrameId};
use crate::record::{Event, Malformed};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

use super::answers::Answers;
use super::base_delay::BaseDelay;
use super::feedback::{Feedback, Losses, Trains};
use super::filler;
use super::load::Load;
use super::pacer::Pacer;
use super::packet::{
    Body, ENVELOPE_LEN, Fragment, Header, Packet, REPAIR_HEADER_LEN, RIDER_OVERHEAD, Source,
};
use super::queue::Queue;
use super::rate::{Controller, Sample, Train};
use super::resend::{Heard, Resend};
use super::rtt::RoundTrip;
use super::share::Share;
use super::trace::Trace;
use super::unit;
use super::window::expand;
use super::{Config, Retransmit};
use crate::endpoint::Stale;

/// The sending half of an end.
#[derive(Debug)]
pub(super) struct Sender {
    flow: Flow,
    config: Config,
    encoder: Box<dyn Encoder<Bytes>>,
    coded: bool,
    /// The next repair packet, once the code has one.
    repair: Option<Repair<Bytes>>,
    queue: Queue,
    resend: Resend,
    answers: Answers,
    round_trip: RoundTrip,
    base_delay: BaseDelay,
    rate: Box<dyn Controller>,
    pacer: Pacer,
    /// Whether something has been waiting to be sent ever since the last packet left.
    busy: bool,
    /// IP bytes sent so far.
    sent: u64,
    /// What was sent of late.
    load: Load,
    share: Share,
    next_number: u64,
    next_esi: u64,
    /// The number of the last packet with data, once there is one.
    last_data: Option<u64>,
    unanswered: Unanswered,
    /// The newest feedback: its packet number, and the accounts of losses and of trains in it.
    heard: Option<(u64, Losses, Trains, u32)>,
    largest: Option<u64>,
    dropped: VecDeque<FrameId>,
}

/// Packets to which no feedback has answered.
#[derive(Clone, Copy, Debug, Default)]
struct Unanswered {
    /// Since when feedback is waited for, while it is.
    since: Option<Time>,
    /// How often in a row it did not come; every time, twice as long is waited.
    times: u32,
}

impl Sender {
    pub(super) fn new(flow: Flow, config: &Config, encoder: Box<dyn Encoder<Bytes>>) -> Self {
        let payload_max = payload_max(config.datagram, &*encoder);
        Self {
            flow,
            config: *config,
            coded: encoder.needs_symbols(),
            encoder,
            repair: None,
            queue: Queue::new(payload_max as u32),
            resend: Resend::default(),
            answers: Answers::default(),
            round_trip: RoundTrip::default(),
            base_delay: BaseDelay::default(),
            rate: config.rate.controller(),
            pacer: Pacer::default(),
            busy: false,
            sent: 0,
            load: Load::default(),
            share: Share::new(payload_max, config.datagram),
            next_number: 0,
            next_esi: 0,
            last_data: None,
            unanswered: Unanswered::default(),
            heard: None,
            largest: None,
            dropped: VecDeque::new(),
        }
    }

    /// Takes a frame to be sent.
    pub(super) fn offer(&mut self, trace: &mut Trace, frame: Frame) {
        if let Err(frame) = self.queue.push(frame) {
            trace.tell(Event::FrameDropped { frame: frame.id, begun: false });
            self.dropped.push_back(frame.id);
        }
    }

    /// From now on so many repair packets more with each block, or fewer.
    pub(super) fn adjust_repair(&mut self, steps: i8) {
        self.encoder.adjust_repair(steps);
    }

    /// The next packet with data that may leave now.
    pub(super) fn poll_transmit(&mut self, trace: &mut Trace) -> Option<Packet> {
        if self.config.stale == Stale::Drop {
            self.drop_stale(trace);
        }
        loop {
            if self.coded && self.repair.is_none() {
                self.repair = self.encoder.poll_repair(trace.now);
            }
            if !self.waits() {
                self.busy = false;
                return None;
            }
            if self.pacer.ready_at() > trace.now {
                return None;
            }
            if self.resend.is_due()
                && let Some(packet) = self.retransmit(trace.now)
            {
                return Some(packet);
            }
            let arrival = self.arrival_of_repeats(trace.now);
            if let Some(answer) = self.answers.next_due(self.next_number, trace.now, arrival) {
                return Some(self.stamp_data(trace.now, Body::Answer(answer)));
            }
            if let Some(repair) = self.repair.take() {
                return Some(self.stamp_data(trace.now, Body::Repair(repair)));
            }
            if self.queue.is_empty() {
                self.busy = false;
                return None;
            }
            if let Some(source) = self.cut(trace) {
                return Some(self.stamp_data(trace.now, Body::Source(source)));
            }
        }
    }

    /// Feedback as a packet: charged to the pacer, but it does not wait.
    pub(super) fn stamp(&mut self, now: Time, body: Body) -> Packet {
        let header = Header {
            number: self.next_number as u32,
            sent: now.as_micros() as u32,
            round_trip: Header::round_trip_field(self.round_trip.smoothed()),
            train: self.busy,
            protected: self.encoder.protects(),
        };
        self.next_number += 1;
        let packet = Packet { header, body };
        let size = packet.size();
        self.pacer.charge(now, self.rate.rate(), size);
        self.sent += u64::from(size);
        self.load.note(now, size);
        self.share.note(&packet, size);
        packet
    }

    /// Takes what the other end's receiving half says, in its packet `number`.
    pub(super) fn handle_feedback(
        &mut self,
        trace: &mut Trace,
        number: u64,
        feedback: &Feedback,
    ) -> Result<(), Malformed> {
        let largest = expand(feedback.largest, self.next_number)
            .filter(|largest| *largest < self.next_number)
            .ok_or(Malformed::OutOfRange)?;
        if self.heard.as_ref().is_some_and(|(newest, ..)| number < *newest) {
            // Overtaken by one that says the same and more.
            return Ok(());
        }
        if self.largest.is_none_or(|before| largest > before) {
            self.measure(trace, feedback);
            self.largest = Some(largest);
            self.unanswered.times = 0;
        }
        let since = if self.last_data <= self.largest { None } else { Some(trace.now) };
        self.unanswered.since = since;
        let heard = self.heard.replace((number, feedback.losses, feedback.trains, feedback.marked));
        let (_, losses, trains, marked) = heard.unwrap_or_default();
        self.report(trace.now, &losses, &trains, marked, feedback);
        if self.config.retransmit != Retransmit::Never {
            let heard = Heard {
                now: trace.now,
                feedback,
                largest,
                tolerance: self.config.tolerance.packets,
                timeout: self.timeout(),
            };
            let deadline = |esi| self.resend.deadline(esi);
            let encoder = &mut *self.encoder;
            let answered = self.answers.handle_feedback(&heard, self.next_esi, deadline, encoder);
            self.resend.handle_feedback(&heard, self.next_esi, &answered);
        }
        Ok(())
    }

    /// Timers of this half that are due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.encoder.poll_timeout().is_some_and(|due| due <= now) {
            self.encoder.handle_timeout(now);
        }
        if self.answer_due().is_some_and(|due| due <= now) {
            self.handle_silence(now);
        }
    }

    /// When this half wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let ready = self.waits().then(|| self.pacer.ready_at());
        Time::earliest([ready, self.encoder.poll_timeout(), self.answer_due()])
    }

    /// Frames that were dropped, in order.
    pub(super) fn poll_dropped(&mut self) -> Option<FrameId> {
        self.dropped.pop_front()
    }

    /// Application bytes that wait.
    pub(super) fn backlog(&self) -> ByteSize {
        ByteSize::new(self.queue.bytes())
    }

    /// The rate that is left for the application.
    pub(super) fn rate_estimate(&self) -> Option<Bitrate> {
        Some(self.rate.rate()?.mul_f64(self.share.get()))
    }

    /// How long an answer may take before it counts as missing.
    pub(super) fn timeout(&self) -> Duration {
        self.round_trip.timeout(self.config.feedback)
    }

    /// Whether something is to be sent as soon as the pacer lets it.
    fn waits(&self) -> bool {
        self.repair.is_some() || self.resend.is_due() || self.answers.is_due() || !self.queue.is_empty()
    }

    fn drop_stale(&mut self, trace: &mut Trace) {
        let under_way = self.unanswered.since.is_some();
        let arrival = Stale::arrival(trace.now, Some(self.round_trip.least()), under_way);
        while let Some(frame) = self.queue.drop_stale(arrival) {
            trace.tell(Event::FrameDropped { frame, begun: false });
            self.dropped.push_back(frame);
        }
    }

    fn retransmit(&mut self, now: Time) -> Option<Packet> {
        let arrival = self.arrival_of_repeats(now);
        let (esi, fragment, frame) = self.resend.next_due(arrival)?;
        let payload = filler::payload(self.flow, frame, &fragment);
        self.resend.sent(esi, self.next_number, now);
        let source = Source { esi: esi as u32, fragment, payload, riders: Vec::new() };
        Some(self.stamp_data(now, Body::Retransmission(source)))
    }

    /// When something sent again now arrives, where that matters; else the start of time.
    fn arrival_of_repeats(&self, now: Time) -> Time {
        match self.config.retransmit {
            Retransmit::Deadline => now + self.one_way(),
            Retransmit::Never | Retransmit::Always => Time::ZERO,
        }
    }

    /// Cuts the next source packet from the queue, which is not empty; none where the code keeps it.
    fn cut(&mut self, trace: &mut Trace) -> Option<Source> {
        let cut = self.queue.front()?;
        let fragment = Fragment::of(cut.frame, cut.index, cut.count);
        let payload = filler::payload(self.flow, cut.frame, &fragment);
        let esi = self.next_esi;
        let meta = SourceMeta {
            esi: esi as u32,
            frame: fragment.frame,
            frame_end: cut.index + 1 == cut.count,
            priority: cut.frame.priority,
            deadline: cut.frame.deadline,
            size: (Fragment::LEN + payload.len()) as u16,
        };
        self.next_esi += 1;
        let bytes = payload.len() as u32;
        trace.tell(Event::SourceSent { source: esi, bytes });
        if cut.index == 0 && self.config.retransmit != Retransmit::Never {
            self.resend.remember(esi, cut.count, cut.frame.clone());
        }
        self.queue.advance(bytes);
        let protect = self.protect(trace.now, &meta, &fragment, &payload);
        match protect {
            Protect::Send(riders) => Some(Source { esi: esi as u32, fragment, payload, riders }),
            Protect::Hold => None,
        }
    }

    fn protect(
        &mut self,
        now: Time,
        meta: &SourceMeta,
        fragment: &Fragment,
        payload: &Bytes,
    ) -> Protect<Bytes> {
        if !self.coded {
            return self.encoder.push_source(now, meta, &Bytes::new());
        }
        let protect = self.encoder.push_source(now, meta, &unit::seal(fragment, payload));
        if meta.frame_end && self.queue.is_empty() {
            self.encoder.flush(now, Flush::FrameEnd);
        }
        protect
    }

    /// A packet with data, to which feedback is expected.
    fn stamp_data(&mut self, now: Time, body: Body) -> Packet {
        self.last_data = Some(self.next_number);
        self.unanswered.since.get_or_insert(now);
        let packet = self.stamp(now, body);
        self.busy = true;
        packet
    }

    fn measure(&mut self, trace: &mut Trace, feedback: &Feedback) {
        // An echo from the future is a lie, and one of half an hour ago as well.
        let passed = (trace.now.as_micros() as u32).wrapping_sub(feedback.echo);
        let Some(sample) = passed.checked_sub(feedback.held).filter(|micros| *micros < u32::MAX / 2) else {
            return;
        };
        let sample = Duration::from_micros(u64::from(sample));
        self.round_trip.update(sample);
        trace.tell(Event::RoundTrip(sample));
    }

    /// Hands the account of losses to the code and to the rate.
    fn report(&mut self, now: Time, before: &Losses, trains: &Trains, marked: u32, feedback: &Feedback) {
        let losses = &feedback.losses;
        let load = self.load.rate(now);
        let report = LossReport {
            expected: losses.expected.wrapping_sub(before.expected),
            lost: losses.lost.wrapping_sub(before.lost),
            residual: losses.residual.wrapping_sub(before.residual),
            runs: std::array::from_fn(|class| losses.runs[class].wrapping_sub(before.runs[class])),
            deficit_max: losses.deficit,
            round_trip: self.round_trip.smoothed(),
            queue: self.base_delay.queue(now, feedback.delay),
            spare: self.rate.rate().map(|rate| rate.saturating_sub(load)),
            load,
            retransmits: self.config.retransmit != Retransmit::Never,
        };
        if let Some(round_trip) = report.round_trip {
            self.rate.handle_feedback(&Sample {
                now,
                queue: report.queue,
                round_trip,
                expected: report.expected,
                lost: report.lost,
                marked: feedback.marked.wrapping_sub(marked),
                sent: self.sent,
                train: Train {
                    bytes: feedback.trains.bytes.wrapping_sub(trains.bytes),
                    time: Duration::from_micros(u64::from(
                        feedback.trains.micros.wrapping_sub(trains.micros),
                    )),
                },
            });
        }
        self.encoder.handle_report(now, &report);
        let floor = expand(feedback.floor, self.next_esi).filter(|floor| *floor <= self.next_esi);
        if let Some(last) = floor.and_then(|floor| floor.checked_sub(1)) {
            self.encoder.handle_ack(last as u32);
        }
    }

    /// No feedback came in time.
    fn handle_silence(&mut self, now: Time) {
        let unheard =
            self.last_data.map_or(0, |last| last - self.largest.map_or(0, |largest| largest.min(last)));
        if unheard >= SILENCE_PACKETS {
            self.rate.handle_silence();
        }
        self.unanswered.times += 1;
        let probes = self.next_esi.checked_sub(1).is_some_and(|last| self.resend.probe(last));
        self.unanswered.since = (probes || unheard >= SILENCE_PACKETS).then_some(now);
        if self.unanswered.times >= SILENCES_MAX {
            self.unanswered = Unanswered::default();
        }
    }

    /// When feedback counts as missing.
    fn answer_due(&self) -> Option<Time> {
        let Unanswered { since, times } = self.unanswered;
        Some(since? + self.timeout() * (1 << times))
    }

    /// How long a packet takes, as far as this end can know.
    fn one_way(&self) -> Duration {
        self.round_trip.smoothed().unwrap_or(Duration::ZERO) / 2
    }
}

/// The longest payload of a packet in bytes, so that source packets with their riders and repair packets
/// of this code fit a UDP payload of `datagram` bytes. A frame is cut into as few packets as this allows.
///
/// It is never less than room for the head of a frame, so that too small a datagram becomes larger than
/// configured.
pub fn payload_max(datagram: u16, encoder: &dyn Encoder<Bytes>) -> usize {
    let overhead = encoder.overhead();
    let unit = Fragment::LEN + usize::from(overhead.repair);
    let (riders, rider) = (usize::from(overhead.copies), RIDER_OVERHEAD + unit);
    let space = |headers: usize| usize::from(datagram).saturating_sub(headers);
    let of_source = space(Source::HEADER_LEN + riders * rider) / (1 + riders);
    let of_repair = space(ENVELOPE_LEN + Header::LEN + REPAIR_HEADER_LEN + unit);
    let payload = if encoder.needs_symbols() { of_source.min(of_repair) } else { of_source };
    payload.max(PAYLOAD_LEAST)
}

/// The least payload of a packet: twice [`Frame::HEAD_MAX`], so that a head fits into a half of it.
/// A datagram too small even for this much becomes larger than configured.
const PAYLOAD_LEAST: usize = 2 * Frame::HEAD_MAX;

/// Packets without any answer that show that the path, and not only the last packet, is gone.
const SILENCE_PACKETS: u64 = 10;

/// How often an answer is waited for, each time twice as long, before the other end counts as gone:
/// eight times are 25 seconds where an answer takes 100 ms.
const SILENCES_MAX: u32 = 8;
