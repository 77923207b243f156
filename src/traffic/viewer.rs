//! The receiving application: decodes frames, and asks for a refresh where something is missing.
//!
//! A viewer of a chain keeps one picture, the one it decoded last. A frame that refers to another waits
//! while that other may still come, and is undecodable as soon as it cannot: the other was lost, was
//! undecodable itself, or a refresh has taken its place. Which tiles of an update are newer than what
//! is on the screen is decided where it is displayed.

use std::collections::{BTreeMap, BTreeSet};

use super::DependencyKind;
use super::head::Head;
use crate::endpoint::{Direction, Flow};
use crate::frame::{Delivered, FrameId};
use crate::record::{Event, Record, Sink};
use crate::time::Time;

/// The receiving application of one session and direction.
#[derive(Debug)]
pub struct Viewer {
    flow: Flow,
    direction: Direction,
    dependency: DependencyKind,
    /// The frame that made the picture, in a chain.
    picture: Option<FrameId>,
    /// Frames that wait, by the frame that they refer to. References are unique in a chain.
    waiting: BTreeMap<FrameId, FrameId>,
    /// Frames newer than the picture that are lost or undecodable.
    dead: BTreeSet<FrameId>,
}

impl Viewer {
    /// The viewer of frames that travel in `direction` in the session `flow`.
    pub(super) fn new(flow: Flow, direction: Direction, dependency: DependencyKind) -> Self {
        let (waiting, dead) = (BTreeMap::new(), BTreeSet::new());
        Self { flow, direction, dependency, picture: None, waiting, dead }
    }

    /// A frame is here, whole. Some means: ask the sender for a refresh, because of this frame.
    pub fn handle_delivered(&mut self, now: Time, frame: &Delivered, sink: &mut dyn Sink) -> Option<FrameId> {
        match Head::decode(&frame.head) {
            Ok(Head::Whole) if self.dependency == DependencyKind::Chain => self.refresh(now, frame.id, sink),
            Ok(Head::Whole | Head::Tiles(_)) => self.tell(now, Event::FrameDecoded { frame: frame.id }, sink),
            Ok(Head::Delta { reference }) => return self.handle_delta(now, frame.id, reference, sink),
            Err(reason) => {
                self.tell(now, Event::Malformed(reason), sink);
                self.tell(now, Event::FrameUndecodable { frame: frame.id }, sink);
                return self.handle_missing(now, frame.id, sink);
            }
        }
        None
    }

    /// A frame will never be here whole. Some means: ask the sender for a refresh, because of it.
    pub fn handle_lost(&mut self, now: Time, frame: FrameId, sink: &mut dyn Sink) -> Option<FrameId> {
        self.handle_missing(now, frame, sink)
    }

    /// A frame that needs no other: from here on the picture is this one's.
    fn refresh(&mut self, now: Time, id: FrameId, sink: &mut dyn Sink) {
        self.tell(now, Event::FrameDecoded { frame: id }, sink);
        if self.picture.is_some_and(|picture| id < picture) {
            return;
        }
        let newer = self.waiting.split_off(&id);
        for frame in std::mem::replace(&mut self.waiting, newer).into_values() {
            self.tell(now, Event::FrameUndecodable { frame }, sink);
        }
        self.show(now, id, sink);
    }

    /// The picture is `id`'s now; whatever waited for it follows.
    fn show(&mut self, now: Time, id: FrameId, sink: &mut dyn Sink) {
        let mut picture = id;
        while let Some(next) = self.waiting.remove(&picture) {
            self.tell(now, Event::FrameDecoded { frame: next }, sink);
            picture = next;
        }
        self.picture = Some(picture);
        self.dead = self.dead.split_off(&picture);
    }

    fn handle_delta(
        &mut self,
        now: Time,
        id: FrameId,
        reference: FrameId,
        sink: &mut dyn Sink,
    ) -> Option<FrameId> {
        if self.picture == Some(reference) {
            self.tell(now, Event::FrameDecoded { frame: id }, sink);
            self.show(now, id, sink);
            return None;
        }
        let outdated = self.picture.is_some_and(|picture| reference < picture);
        if outdated || reference >= id || self.dead.contains(&reference) {
            self.tell(now, Event::FrameUndecodable { frame: id }, sink);
            self.bury(now, id, sink);
            return None;
        }
        if let Some(doubled) = self.waiting.insert(reference, id) {
            self.tell(now, Event::FrameUndecodable { frame: doubled }, sink);
        }
        if self.waiting.len() > WAITING_MAX {
            // What the oldest waits for is taken for lost.
            let oldest = self.waiting.first_key_value().map(|(&reference, _)| reference)?;
            return self.handle_missing(now, oldest, sink);
        }
        None
    }

    /// The frame `id` cannot be shown any more: asks for a refresh if anything depends on it.
    fn handle_missing(&mut self, now: Time, id: FrameId, sink: &mut dyn Sink) -> Option<FrameId> {
        let wanted = match self.dependency {
            DependencyKind::Independent => false,
            DependencyKind::Regions => true,
            DependencyKind::Chain => self.picture.is_none_or(|picture| id > picture),
        };
        if !wanted {
            return None;
        }
        if self.dependency == DependencyKind::Chain {
            self.bury(now, id, sink);
        }
        self.tell(now, Event::RefreshRequested { frame: id }, sink);
        Some(id)
    }

    /// Marks `id` dead, and whatever waits for it.
    fn bury(&mut self, now: Time, id: FrameId, sink: &mut dyn Sink) {
        let mut dead = Some(id);
        while let Some(id) = dead {
            if self.picture.is_none_or(|picture| id > picture) {
                self.dead.insert(id);
            }
            dead = self.waiting.remove(&id);
            if let Some(frame) = dead {
                self.tell(now, Event::FrameUndecodable { frame }, sink);
            }
        }
        while self.dead.len() > DEAD_MAX {
            self.dead.pop_first();
        }
    }

    fn tell(&self, at: Time, event: Event, sink: &mut dyn Sink) {
        sink.record(&Record { at, flow: self.flow, direction: self.direction, event });
    }
}

/// How many frames may wait for others. Half a minute at 30 frames a second: a transport that has not
/// told the fate of a frame by then never will.
const WAITING_MAX: usize = 1000;

/// How many dead frames are remembered. A frame that refers to one forgotten waits in vain, within
/// [`WAITING_MAX`].
const DEAD_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn viewer(dependency: DependencyKind) -> Viewer {
        Viewer::new(Flow(0), Direction::Down, dependency)
    }

    fn delivered(id: u32, head: Head) -> Delivered {
        Delivered { id: FrameId(id), size: 100, head: head.encode() }
    }

    fn delta(id: u32) -> Delivered {
        delivered(id, Head::Delta { reference: FrameId(id - 1) })
    }

    fn key(id: u32) -> Delivered {
        delivered(id, Head::Whole)
    }

    /// Feeds frames and losses; returns what was told as letters and numbers, and the requests.
    fn told(viewer: &mut Viewer, steps: &[Result<Delivered, u32>]) -> (String, Vec<u32>) {
        let mut records: Vec<Record> = Vec::new();
        let mut requests = Vec::new();
        for step in steps {
            let request = match step {
                Ok(frame) => viewer.handle_delivered(Time::ZERO, frame, &mut records),
                Err(lost) => viewer.handle_lost(Time::ZERO, FrameId(*lost), &mut records),
            };
            requests.extend(request.map(|frame| frame.0));
        }
        let words: Vec<_> = records
            .iter()
            .map(|record| match record.event {
                Event::FrameDecoded { frame } => format!("d{}", frame.0),
                Event::FrameUndecodable { frame } => format!("u{}", frame.0),
                Event::RefreshRequested { frame } => format!("r{}", frame.0),
                other => format!("{other:?}"),
            })
            .collect();
        (words.join(" "), requests)
    }

    #[test]
    fn a_chain_is_decoded_in_order_even_if_it_arrives_otherwise() {
        let mut viewer = viewer(DependencyKind::Chain);
        let steps = [Ok(key(0)), Ok(delta(3)), Ok(delta(1)), Ok(delta(2)), Ok(delta(4))];
        assert_eq!(told(&mut viewer, &steps), ("d0 d1 d2 d3 d4".into(), vec![]));
    }

    #[test]
    fn a_lost_frame_breaks_the_chain_until_a_refresh() {
        let mut viewer = viewer(DependencyKind::Chain);
        let steps = [Ok(key(0)), Ok(delta(2)), Err(1), Ok(delta(3)), Ok(key(4)), Ok(delta(5))];
        assert_eq!(told(&mut viewer, &steps), ("d0 u2 r1 u3 d4 d5".into(), vec![1]));
    }

    #[test]
    fn a_lost_refresh_is_asked_for_again() {
        let mut viewer = viewer(DependencyKind::Chain);
        let steps = [Ok(key(0)), Err(1), Err(3), Ok(delta(4)), Ok(key(5))];
        assert_eq!(told(&mut viewer, &steps), ("d0 r1 r3 u4 d5".into(), vec![1, 3]));
    }

    #[test]
    fn what_a_refresh_has_overtaken_is_of_no_use() {
        let mut viewer = viewer(DependencyKind::Chain);
        let steps = [Ok(key(0)), Ok(delta(2)), Ok(key(3)), Ok(delta(1)), Err(1), Ok(delta(4))];
        assert_eq!(told(&mut viewer, &steps), ("d0 d3 u2 u1 d4".into(), vec![]));
    }

    #[test]
    fn frames_after_a_refresh_wait_for_it_although_the_chain_was_broken() {
        let mut viewer = viewer(DependencyKind::Chain);
        let steps = [Ok(key(0)), Err(1), Ok(delta(5)), Err(7), Ok(key(4)), Ok(delta(6)), Ok(delta(8))];
        assert_eq!(told(&mut viewer, &steps), ("d0 r1 r7 d4 d5 d6 u8".into(), vec![1, 7]));
    }

    #[test]
    fn lost_regions_are_asked_for_and_lost_independent_frames_are_not() {
        let tiles = || delivered(1, Head::Tiles(crate::frame::Regions::ALL));
        let steps = [Ok(tiles()), Err(0)];
        assert_eq!(told(&mut viewer(DependencyKind::Regions), &steps), ("d1 r0".into(), vec![0]));
        let steps = [Ok(key(1)), Err(0)];
        assert_eq!(told(&mut viewer(DependencyKind::Independent), &steps), ("d1".into(), vec![]));
    }

    #[test]
    fn a_head_that_makes_no_sense_is_a_record_with_a_reason() {
        let frame = Delivered { id: FrameId(1), size: 1, head: Bytes::from_static(&[9]) };
        let (words, requests) = told(&mut viewer(DependencyKind::Chain), &[Ok(key(0)), Ok(frame)]);
        assert_eq!((words.as_str(), requests), ("d0 Malformed(UnknownKind) u1 r1", vec![1]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn every_frame_is_decoded_undecodable_lost_or_waiting_within_bounds(
            steps in proptest::collection::vec((0_u32..3000, 0_u32..4, any::<bool>()), 0..2500),
        ) {
            let mut viewer = viewer(DependencyKind::Chain);
            let mut records: Vec<Record> = Vec::new();
            for (id, back, lost) in steps {
                if lost && back == 0 {
                    viewer.handle_lost(Time::ZERO, FrameId(id), &mut records);
                } else {
                    let head = if back == 0 { Head::Whole } else {
                        Head::Delta { reference: FrameId(id.wrapping_sub(back)) }
                    };
                    viewer.handle_delivered(Time::ZERO, &delivered(id, head), &mut records);
                }
                prop_assert!(viewer.waiting.len() <= WAITING_MAX && viewer.dead.len() <= DEAD_MAX);
            }
        }
    }
}
