//! How soon an area that stands still is exact.
//!
//! Framehawk's promise is that moving areas may lose pixels while areas that stand still become exact.
//! Every change of a tile that no other follows for [`STILL`] counts, whatever the transport made of
//! it; so one that never catches up has no advantage from what it never showed.

use super::histogram::Times;
use crate::frame::{FrameId, Regions};
use crate::time::{Duration, Time};

/// The newest change of every tile of one session.
#[derive(Clone, Debug)]
pub(super) struct Stillness {
    newest: [Option<Change>; Regions::COUNT as usize],
    sharp_after: Times,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    frame: FrameId,
    captured: Time,
    /// When the screen showed it, or something newer.
    shown: Option<Time>,
    measured: bool,
}

impl Stillness {
    pub(super) fn new() -> Self {
        Self { newest: [None; Regions::COUNT as usize], sharp_after: Times::new() }
    }

    /// `frame` changes `tiles`. Calls `open` for every earlier change that stood still and is not on
    /// the screen yet, with its frame and tile: [`Stillness::became_sharp`] or
    /// [`Stillness::stayed_blurred`] is to follow for it.
    pub(super) fn capture(
        &mut self,
        frame: FrameId,
        captured: Time,
        tiles: Regions,
        measured: bool,
        mut open: impl FnMut(FrameId, u32),
    ) {
        for tile in tiles.iter() {
            let change = Change { frame, captured, shown: None, measured };
            let Some(before) = self.newest[tile as usize].replace(change) else { continue };
            if before.measured && captured.since(before.captured) >= STILL {
                match before.shown {
                    Some(shown) => self.became_sharp(before.captured, shown, 1),
                    None => open(before.frame, tile),
                }
            }
        }
    }

    /// The screen shows `tiles` as of `frame`.
    pub(super) fn show(&mut self, frame: FrameId, tiles: Regions, now: Time) {
        for tile in tiles.iter() {
            if let Some(change) = &mut self.newest[tile as usize]
                && change.frame <= frame
                && change.shown.is_none()
            {
                change.shown = Some(now);
            }
        }
    }

    /// `tiles` tiles that changed at `captured` and then stood still are exact from `now` on.
    pub(super) fn became_sharp(&mut self, captured: Time, now: Time, tiles: u32) {
        self.sharp_after.record(now.since(captured), u64::from(tiles));
    }

    /// `tiles` tiles that stood still were never exact.
    pub(super) fn stayed_blurred(&mut self, tiles: u32) {
        self.sharp_after.record_infinite(u64::from(tiles));
    }

    /// No change follows until `to`.
    pub(super) fn finish(&mut self, to: Time) {
        for tile in 0..Regions::COUNT as usize {
            if let Some(change) = self.newest[tile].take()
                && change.measured
                && to.since(change.captured) >= STILL
            {
                match change.shown {
                    Some(shown) => self.became_sharp(change.captured, shown, 1),
                    None => self.stayed_blurred(1),
                }
            }
        }
    }

    pub(super) fn sharp_after(&self) -> &Times {
        &self.sharp_after
    }
}

/// How long nothing may change for an area to stand still: as long as a glance rests on it, and longer
/// than the distance of any two frames of a moving picture.
pub(super) const STILL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::super::metrics::{NEVER_ARRIVED, Value};
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    const TILE: Regions = Regions(1);

    #[test]
    fn only_changes_that_stand_still_count() {
        let mut stillness = Stillness::new();
        let capture = |stillness: &mut Stillness, frame, at| {
            stillness.capture(FrameId(frame), ms(at), TILE, true, |_, _| panic!("all are shown"));
        };
        capture(&mut stillness, 0, 0);
        stillness.show(FrameId(0), TILE, ms(30));
        capture(&mut stillness, 1, 499);
        stillness.show(FrameId(1), TILE, ms(550));
        capture(&mut stillness, 2, 999);
        stillness.show(FrameId(3), TILE, ms(1010));
        stillness.finish(ms(1200));
        let max = stillness.sharp_after().max_ms("none");
        assert_eq!(max, Value::Number(51.0), "of three changes the middle one stood still");
    }

    #[test]
    fn an_older_version_does_not_make_an_area_exact() {
        let mut stillness = Stillness::new();
        stillness.capture(FrameId(7), ms(0), TILE, true, |_, _| {});
        stillness.show(FrameId(6), TILE, ms(10));
        stillness.show(FrameId(8), TILE, ms(40));
        stillness.finish(ms(600));
        assert_eq!(stillness.sharp_after().max_ms("none"), Value::Number(40.0));
    }

    #[test]
    fn a_change_that_is_not_on_the_screen_stays_open() {
        let mut stillness = Stillness::new();
        stillness.capture(FrameId(0), ms(0), TILE, true, |_, _| {});
        let mut open = Vec::new();
        stillness.capture(FrameId(7), ms(600), TILE, true, |frame, tile| open.push((frame, tile)));
        assert_eq!(open, [(FrameId(0), 0)]);
        stillness.became_sharp(ms(0), ms(900), 1);
        assert_eq!(stillness.sharp_after().max_ms("none"), Value::Number(900.0));
        stillness.finish(ms(1100));
        assert_eq!(stillness.sharp_after().max_ms("none"), Value::Absent(NEVER_ARRIVED));
    }
}
