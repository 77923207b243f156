//! The way of a frame from the camera to the screen, by stage.
//!
//! A frame is whole when the last of its source packets is there, and that packet's way is the frame's:
//! records tell of each frame by which source packet it became whole, when that packet left, and how it
//! crossed the link. Where the packet itself was lost and came back, it counts as having taken as long as
//! the last one that arrived; what remains is the wait for its repair.

use std::collections::{BTreeSet, VecDeque};

use crate::endpoint::Class;
use crate::frame::FrameId;
use crate::record::{Arrived, Event, Transit};
use crate::time::{Duration, Time};

/// How many stages there are.
pub(super) const STAGES: usize = 5;

/// The frames of one session that are on their way down.
#[derive(Clone, Debug, Default)]
pub(super) struct Journeys {
    /// Frames of the picture that are not on the screen, oldest first.
    frames: VecDeque<Journey>,
    /// Frames that are not sent yet, oldest first, and the bytes that are left of them.
    unsent: VecDeque<(FrameId, u32)>,
    /// The source packets of late; the first one's number is `first`.
    sources: VecDeque<SourcePacket>,
    first: u64,
    /// How many packets with source data have entered the link.
    entered: u64,
    /// How the last of them that arrived crossed it.
    transit: Transit,
    /// The source packet that arrived last.
    arrived: Option<u64>,
    /// Frames of which something was repaired.
    repaired: BTreeSet<FrameId>,
}

#[derive(Clone, Copy, Debug)]
struct Journey {
    frame: FrameId,
    captured: Time,
    /// When the packet that made it whole entered the link, left its queue, and arrived.
    packet: Option<[Time; 3]>,
    decoded: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct SourcePacket {
    frame: Option<FrameId>,
    sent: Time,
    /// The index of its packet, once that has entered the link.
    index: Option<u64>,
    arrived: Option<(Time, Transit)>,
}

impl Journeys {
    /// Takes what happened to something that travels down.
    pub(super) fn handle(&mut self, at: Time, event: &Event) {
        match *event {
            Event::FrameCaptured { frame, bytes, regions, .. } => {
                push_bounded(&mut self.unsent, (frame, bytes), FRAMES_MAX);
                if !regions.is_empty() {
                    let journey = Journey { frame, captured: at, packet: None, decoded: None };
                    push_bounded(&mut self.frames, journey, FRAMES_MAX);
                }
            }
            Event::FrameDropped { frame, .. } => self.unsent.retain(|(waiting, _)| *waiting != frame),
            Event::SourceSent { source, bytes } => self.send(at, source, bytes),
            Event::PacketSent(packet) if packet.class == Class::Source => self.enter(packet.index),
            Event::PacketDelivered(packet, transit) if packet.class == Class::Source => {
                self.arrive(at, packet.index, transit);
            }
            Event::SourceArrived { source, by, .. } => {
                self.arrived = Some(source);
                if matches!(by, Arrived::Recovered { .. })
                    && let Some(frame) = self.source(source).and_then(|source| source.frame)
                {
                    self.repaired.insert(frame);
                    if self.repaired.len() > FRAMES_MAX {
                        self.repaired.pop_first();
                    }
                }
            }
            Event::FrameComplete { frame } => self.complete(frame),
            Event::FrameDecoded { frame } => {
                if let Some(journey) = self.journey(frame) {
                    journey.decoded.get_or_insert(at);
                }
            }
            _ => {}
        }
    }

    /// A frame came on the screen at `at`: how long it took in each stage. None where too little is known
    /// of it.
    pub(super) fn show(&mut self, frame: FrameId, at: Time) -> Option<[Duration; STAGES]> {
        let place = self.frames.binary_search_by_key(&frame, |journey| journey.frame).ok()?;
        let Journey { captured, packet, decoded, .. } = self.frames[place];
        // What is older was overtaken or will be late; it has been waited for long enough.
        self.frames.drain(..=place);
        let [entered, unqueued, arrived] = packet?;
        let ends = [entered, unqueued, arrived, decoded?, at];
        let mut before = captured;
        Some(ends.map(|end| {
            let end = end.clamp(before, at.max(before));
            end.since(std::mem::replace(&mut before, end))
        }))
    }

    /// Whether something of the frame was computed from repair packets.
    pub(super) fn is_repaired(&self, frame: FrameId) -> bool {
        self.repaired.contains(&frame)
    }

    /// A source packet leaves. Frames leave in the order of capture and whole.
    fn send(&mut self, at: Time, source: u64, bytes: u32) {
        if source != self.first + self.sources.len() as u64 {
            self.sources.clear();
            self.first = source;
        }
        let frame = self.unsent.front().map(|(frame, _)| *frame);
        let mut left = bytes;
        while let Some((_, unsent)) = self.unsent.front_mut()
            && left > 0
        {
            let now = left.min(*unsent);
            *unsent -= now;
            left -= now;
            if *unsent > 0 {
                break;
            }
            self.unsent.pop_front();
        }
        self.sources.push_back(SourcePacket { frame, sent: at, index: None, arrived: None });
        if self.sources.len() > SOURCES_MAX {
            self.sources.pop_front();
            self.first += 1;
        }
    }

    /// A packet with source data enters the link: they do so in their order.
    fn enter(&mut self, index: u64) {
        let source = self.entered;
        self.entered += 1;
        if let Some(source) = self.source(source) {
            source.index = Some(index);
        }
    }

    fn arrive(&mut self, at: Time, index: u64, transit: Transit) {
        self.transit = transit;
        let place = self.sources.partition_point(|source| source.index.is_some_and(|own| own < index));
        if let Some(source) = self.sources.get_mut(place)
            && source.index == Some(index)
        {
            source.arrived.get_or_insert((at, transit));
        }
    }

    fn complete(&mut self, frame: FrameId) {
        let transit = self.transit;
        let Some(source) = self.arrived.and_then(|arrived| self.source(arrived).copied()) else { return };
        let (entered, transit) = match source.arrived {
            Some((at, transit)) => (at.saturating_sub(transit.total), transit),
            None => (source.sent, transit),
        };
        if let Some(journey) = self.journey(frame) {
            journey.packet = Some([entered, entered + transit.queued, entered + transit.total]);
        }
    }

    fn journey(&mut self, frame: FrameId) -> Option<&mut Journey> {
        let place = self.frames.binary_search_by_key(&frame, |journey| journey.frame).ok()?;
        self.frames.get_mut(place)
    }

    fn source(&mut self, number: u64) -> Option<&mut SourcePacket> {
        self.sources.get_mut(number.checked_sub(self.first)? as usize)
    }
}

/// Adds an item; the oldest goes where there are too many.
fn push_bounded<T>(items: &mut VecDeque<T>, item: T, most: usize) {
    items.push_back(item);
    if items.len() > most {
        items.pop_front();
    }
}

/// The most frames on their way: half a minute at 60 frames a second. Older ones count in no stage.
const FRAMES_MAX: usize = 2_048;

/// The most source packets that are remembered: a second of 20 Mbit/s.
const SOURCES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Regions;
    use crate::record::PacketInfo;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn captured(frame: u32, bytes: u32) -> Event {
        let (regions, again) = (Regions::ALL, Regions::NONE);
        Event::FrameCaptured { frame: FrameId(frame), bytes, deadline: Time::NEVER, regions, again }
    }

    fn packet(index: u64, class: Class) -> PacketInfo {
        PacketInfo { index, class, size: 1228, payload: 1200 }
    }

    fn delivered(index: u64, total: u64, queued: u64) -> Event {
        let [total, queued] = [total, queued].map(Duration::from_millis);
        Event::PacketDelivered(packet(index, Class::Source), Transit { total, queued })
    }

    fn arrived(source: u64, by: Arrived) -> Event {
        Event::SourceArrived { source, bytes: 1200, by, in_time: true }
    }

    fn play(events: &[(u64, Event)]) -> Journeys {
        let mut journeys = Journeys::default();
        for (at, event) in events {
            journeys.handle(ms(*at), event);
        }
        journeys
    }

    fn sent(at: u64, source: u64, index: u64) -> [(u64, Event); 2] {
        let packet = Event::PacketSent(packet(index, Class::Source));
        [(at, Event::SourceSent { source, bytes: 1200 }), (at, packet)]
    }

    fn stages(journeys: &mut Journeys, frame: u32, at: u64) -> Option<[u64; STAGES]> {
        Some(journeys.show(FrameId(frame), ms(at))?.map(|stage| stage.as_micros() / 1000))
    }

    const WHOLE: Event = Event::FrameComplete { frame: FrameId(0) };
    const DECODED: Event = Event::FrameDecoded { frame: FrameId(0) };

    #[test]
    fn a_frame_goes_the_way_of_the_packet_that_made_it_whole() {
        let [first, second] = [sent(5, 0, 0), sent(9, 1, 2)];
        let mut events = vec![(0, captured(0, 2400))];
        events.extend(first.into_iter().chain(second));
        events.extend([
            (30, delivered(0, 25, 5)),
            (30, arrived(0, Arrived::Delivered)),
            (36, delivered(2, 27, 7)),
            (40, arrived(1, Arrived::Delivered)),
            (40, WHOLE),
            (41, DECODED),
        ]);
        assert_eq!(stages(&mut play(&events), 0, 48), Some([9, 7, 20, 5, 7]));
    }

    #[test]
    fn a_packet_that_was_repaired_waited_for_its_repair() {
        let mut events = vec![(0, captured(0, 1200)), (1, captured(1, 1200))];
        events.extend(sent(5, 0, 0).into_iter().chain(sent(6, 1, 1)));
        events.extend([
            (36, delivered(1, 30, 10)),
            (36, arrived(1, Arrived::Delivered)),
            (60, arrived(0, Arrived::Recovered { after: Duration::from_millis(24) })),
            (60, WHOLE),
            (60, DECODED),
        ]);
        let mut journeys = play(&events);
        assert_eq!(stages(&mut journeys, 0, 64), Some([5, 10, 20, 25, 4]));
        assert!(journeys.is_repaired(FrameId(0)) && !journeys.is_repaired(FrameId(1)));
    }

    #[test]
    fn a_dropped_frame_is_not_taken_for_the_one_that_is_sent() {
        let mut events = vec![(0, captured(0, 5000)), (1, captured(1, 1200))];
        events.push((2, Event::FrameDropped { frame: FrameId(0), begun: false }));
        events.extend(sent(3, 0, 0));
        events.push((50, arrived(0, Arrived::Recovered { after: Duration::ZERO })));
        assert!(play(&events).is_repaired(FrameId(1)));
    }

    #[test]
    fn stages_add_up_to_the_whole_way_however_the_records_contradict_each_other() {
        // The packet arrives before it can have been sent, and the frame is decoded before that.
        let mut events = vec![(10, captured(0, 1200))];
        events.extend(sent(12, 0, 0));
        events.extend([
            (20, delivered(0, 500, 900)),
            (15, arrived(0, Arrived::Delivered)),
            (15, WHOLE),
            (15, DECODED),
        ]);
        let total: u64 = stages(&mut play(&events), 0, 30).unwrap().iter().sum();
        assert_eq!(total, 20);
    }

    #[test]
    fn what_never_became_whole_has_no_stages() {
        let mut journeys = play(&[(0, captured(0, 1200)), (5, DECODED)]);
        assert_eq!(stages(&mut journeys, 0, 10), None);
        assert_eq!(stages(&mut journeys, 7, 10), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut journeys = Journeys::default();
        for number in 0..100_000_u64 {
            journeys.handle(ms(number), &captured(number as u32, 1_000_000));
            for (at, event) in sent(number, number, 2 * number) {
                journeys.handle(ms(at), &event);
            }
            journeys.handle(ms(number), &arrived(number, Arrived::Recovered { after: Duration::ZERO }));
        }
        assert_eq!(journeys.frames.len(), FRAMES_MAX);
        assert!(journeys.unsent.len() <= FRAMES_MAX && journeys.sources.len() <= SOURCES_MAX);
        assert!(journeys.repaired.len() <= FRAMES_MAX);
    }
}
