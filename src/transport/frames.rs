//! Putting frames together again, and telling which will never be whole.
//!
//! Source packets are numbered across frames without gaps, so a frame of which nothing arrived is told
//! from one that the sender dropped before sending: between its neighbors source packets are missing or
//! not. (Where some of several frames between two neighbors were dropped and others lost, all of them
//! count as lost.)

use std::collections::VecDeque;

use bytes::Bytes;

use crate::frame::{Delivered, FrameId};
use crate::record::Malformed;
use crate::time::Time;

use super::packet::Fragment;

/// The frames of one direction that are not finished yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The oldest frame's number is `base`; the newest one is never `None`, which stands for frames
    /// of which nothing arrived.
    slots: VecDeque<Option<Slot>>,
    base: u64,
    /// The source packet after the last of the frames below `base` of which something arrived.
    after: u64,
}

/// A frame of which something arrived.
#[derive(Debug)]
struct Slot {
    first: u64,
    count: u16,
    size: u32,
    missing: u16,
    lost: bool,
    deadline: Time,
    head: Bytes,
}

impl Frames {
    /// Whether `fragment` with this ESI agrees with what is known of its frame.
    pub(super) fn check(&self, fragment: &Fragment, esi: u64) -> Result<(), Malformed> {
        let id = u64::from(fragment.frame.0);
        let first = esi.checked_sub(u64::from(fragment.index)).ok_or(Malformed::OutOfRange)?;
        if id >= self.base + JUMP_MAX {
            return Err(Malformed::OutOfRange);
        }
        match self.slot(id) {
            Some(slot) if (slot.first, slot.count, slot.size) != (first, fragment.count, fragment.size) => {
                Err(Malformed::InvalidField)
            }
            _ => Ok(()),
        }
    }

    /// Takes a piece, checked and for the first time; frames that no longer find room are given up:
    /// they go to `lost`.
    pub(super) fn add(
        &mut self,
        fragment: &Fragment,
        esi: u64,
        deadline: Time,
        payload: &Bytes,
        lost: &mut Vec<FrameId>,
    ) -> Option<Delivered> {
        let id = u64::from(fragment.frame.0);
        while id >= self.base + FRAMES_MAX {
            self.drop_oldest(lost);
        }
        let place = id.checked_sub(self.base)? as usize;
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, || None);
        }
        let slot = self.slots[place].get_or_insert_with(|| Slot {
            first: esi - u64::from(fragment.index),
            count: fragment.count,
            size: fragment.size,
            missing: fragment.count,
            lost: false,
            deadline,
            head: Bytes::new(),
        });
        if fragment.head > 0 {
            slot.head = payload.slice(..usize::from(fragment.head));
        }
        slot.missing = slot.missing.saturating_sub(1);
        (slot.missing == 0 && !slot.lost).then(|| Delivered {
            id: fragment.frame,
            size: slot.size,
            head: std::mem::take(&mut slot.head),
        })
    }

    /// The source packet `esi` was given up: the frame that is lost by it, if it was not before.
    pub(super) fn give_up(&mut self, esi: u64) -> Option<FrameId> {
        let base = self.base;
        let known =
            self.slots.iter_mut().enumerate().filter_map(|(place, slot)| Some((place, slot.as_mut()?)));
        let (place, slot) = known
            .take_while(|(_, slot)| slot.first <= esi)
            .find(|(_, slot)| esi < slot.first + u64::from(slot.count))?;
        let fresh = !std::mem::replace(&mut slot.lost, true);
        fresh.then(|| FrameId((base + place as u64) as u32))
    }

    /// Every source packet below `floor` has its fate: forgets finished frames. Those of which nothing
    /// arrived, and now never will, go to `lost`.
    pub(super) fn finish(&mut self, floor: u64, lost: &mut Vec<FrameId>) {
        while let Some(front) = self.slots.front() {
            match front {
                Some(slot) => {
                    let end = slot.first + u64::from(slot.count);
                    if end > floor {
                        return;
                    }
                    self.after = end;
                }
                None => {
                    let next = self.slots.iter().flatten().next().expect("the newest frame is known");
                    if next.first > floor {
                        return;
                    }
                    if next.first > self.after {
                        lost.push(FrameId(self.base as u32));
                    }
                }
            }
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// The newest frame of which something arrived: the source packet after its last, and its deadline.
    pub(super) fn newest(&self) -> Option<(u64, Time)> {
        let slot = self.slots.back()?.as_ref()?;
        Some((slot.first + u64::from(slot.count), slot.deadline))
    }

    fn slot(&self, id: u64) -> Option<&Slot> {
        self.slots.get(id.checked_sub(self.base)? as usize)?.as_ref()
    }

    fn drop_oldest(&mut self, lost: &mut Vec<FrameId>) {
        let unfinished = match self.slots.pop_front() {
            Some(Some(slot)) => {
                self.after = slot.first + u64::from(slot.count);
                slot.missing > 0 && !slot.lost
            }
            // Nothing arrived of it, not even of a later one if there is no slot.
            Some(None) | None => true,
        };
        if unfinished {
            lost.push(FrameId(self.base as u32));
        }
        self.base += 1;
    }
}

/// The most frames between the oldest unfinished and the newest: a minute at 60 frames a second.
const FRAMES_MAX: u64 = 4096;

/// The farthest that a frame may be ahead: an outage of 18 minutes at 60 frames a second.
const JUMP_MAX: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(frame: u32, index: u16, count: u16) -> Fragment {
        let size = u32::from(count) * 10;
        Fragment { frame: FrameId(frame), index, count, size, head: 0, captured: 0, lifetime: 0 }
    }

    /// Adds a piece of a frame whose first source packet is `first`.
    fn add(frames: &mut Frames, frame: u32, first: u64, index: u16, count: u16) -> Option<FrameId> {
        let fragment = fragment(frame, index, count);
        let esi = first + u64::from(index);
        assert_eq!(frames.check(&fragment, esi), Ok(()));
        let mut lost = Vec::new();
        let delivered = frames.add(&fragment, esi, Time::ZERO, &Bytes::new(), &mut lost);
        assert!(lost.is_empty());
        delivered.map(|delivered| delivered.id)
    }

    fn finish(frames: &mut Frames, floor: u64) -> Vec<u32> {
        let mut lost = Vec::new();
        frames.finish(floor, &mut lost);
        lost.into_iter().map(|frame| frame.0).collect()
    }

    #[test]
    fn frames_complete_in_any_order_of_their_packets_and_of_themselves() {
        let mut frames = Frames::default();
        assert_eq!(add(&mut frames, 1, 2, 1, 2), None);
        assert_eq!(add(&mut frames, 0, 0, 1, 2), None);
        assert_eq!(add(&mut frames, 1, 2, 0, 2), Some(FrameId(1)));
        assert_eq!(add(&mut frames, 0, 0, 0, 2), Some(FrameId(0)));
        assert!(finish(&mut frames, 4).is_empty());
        assert_eq!(frames.base, 2);
    }

    #[test]
    fn a_frame_that_lost_a_packet_is_lost_once_and_never_delivered() {
        let mut frames = Frames::default();
        add(&mut frames, 0, 0, 0, 3);
        assert_eq!(frames.give_up(1), Some(FrameId(0)));
        assert_eq!(frames.give_up(2), None);
        assert_eq!(add(&mut frames, 0, 0, 1, 3), None);
        assert_eq!(add(&mut frames, 0, 0, 2, 3), None);
    }

    #[test]
    fn frames_of_which_nothing_arrived_are_lost_if_source_packets_are_missing_and_else_were_dropped() {
        let mut frames = Frames::default();
        add(&mut frames, 0, 0, 0, 1);
        // Frame 1 was dropped by its sender, frame 2 has packet 1, frame 3 had packets 2 and 3.
        add(&mut frames, 2, 1, 0, 1);
        add(&mut frames, 4, 4, 0, 1);
        assert!(finish(&mut frames, 2).is_empty());
        assert!(finish(&mut frames, 3).is_empty(), "packet 3 may still come");
        assert_eq!(finish(&mut frames, 5), [3]);
    }

    #[test]
    fn pieces_that_contradict_each_other_are_refused() {
        let mut frames = Frames::default();
        add(&mut frames, 0, 0, 0, 3);
        assert_eq!(frames.check(&fragment(0, 1, 3), 5), Err(Malformed::InvalidField));
        assert_eq!(frames.check(&fragment(0, 1, 4), 1), Err(Malformed::InvalidField));
        assert_eq!(frames.check(&fragment(0, 2, 3), 1), Err(Malformed::OutOfRange));
        assert_eq!(frames.check(&fragment(1 << 20, 0, 1), 3), Err(Malformed::OutOfRange));
    }

    #[test]
    fn frames_beyond_the_bound_push_out_the_oldest() {
        let mut frames = Frames::default();
        add(&mut frames, 0, 0, 0, 2);
        let mut lost = Vec::new();
        let far = fragment(FRAMES_MAX as u32 + 1, 0, 1);
        frames.add(&far, 100, Time::ZERO, &Bytes::new(), &mut lost);
        assert_eq!(lost, [FrameId(0), FrameId(1)]);
    }
}
