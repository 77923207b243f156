//! What is on the screen of one session, display tick by display tick.
//!
//! There are no tick events: the display has a clock of its own, with a phase drawn per session, and
//! goes through the ticks before each record that comes. At a tick the frames decoded since the last
//! one come on the screen; of every tile the newest version stays.
//!
//! The **age of the picture** at a tick is, of each tile, the time since the capture of the oldest
//! change that is newer than what the tile shows; a tile with nothing newer is not behind. The tick's
//! age is the mean over the tiles that are behind, and 0 where none is. The mean is not taken over the
//! whole screen: a person looks at the part that changes, and a large part that rests must not dilute
//! its age. With one region for the whole screen this is the plain definition.

use std::collections::VecDeque;

use super::fate::{Evidence, Fate};
use super::gaps::Gaps;
use super::histogram::Times;
use super::stillness::Stillness;
use super::summary::MeasureConfig;
use crate::frame::{FrameId, Regions};
use crate::record::Event;
use crate::rng::Seed;
use crate::time::{Duration, Time};

/// The screen of one session.
#[derive(Clone, Debug)]
pub(super) struct Display {
    from: Time,
    to: Time,
    interval: Duration,
    next_tick: Time,
    /// Frames whose fate is open or which the screen has not caught up with, oldest first.
    open: VecDeque<Open>,
    /// Frames decoded since the last tick.
    ready: Vec<FrameId>,
    shown_by: [Option<FrameId>; Regions::COUNT as usize],
    started: bool,
    gaps: Gaps,
    stillness: Stillness,
    ages: Times,
    delays: Times,
    counts: FrameCounts,
    /// What was seen since it was last asked for, where somebody watches.
    seen: Option<Vec<Seen>>,
}

/// What somebody sees who watches the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The screen refreshed, and the picture on it was so old.
    Tick { at: Time, age: Duration, measured: bool },
    /// A frame came on the screen.
    Shown { frame: FrameId, at: Time },
    /// Nothing more can happen to a frame.
    Closed { frame: FrameId, fate: Fate },
}

/// A frame as the application captured it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CapturedFrame {
    pub(super) id: FrameId,
    pub(super) captured: Time,
    pub(super) deadline: Time,
    pub(super) bytes: u32,
    pub(super) regions: Regions,
    pub(super) again: Regions,
}

/// Counts of the frames captured in the time that is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameCounts {
    /// Frames of the picture.
    pub(super) captured: u64,
    /// Those of them that were decoded by their deadline.
    pub(super) on_time: u64,
    /// How many had each fate, in the order of [`Fate::ALL`].
    pub(super) fates: [u64; Fate::ALL.len()],
    /// Bytes of all frames, of the picture or not.
    pub(super) captured_bytes: u64,
    /// Bytes of those that became whole.
    pub(super) delivered_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    frame: CapturedFrame,
    measured: bool,
    decoded: bool,
    /// The tiles that it changed and that do not show this yet, nor anything newer.
    pending: Regions,
    /// Those of them that nothing changed again for a while after.
    still: Regions,
    evidence: Evidence,
}

impl Display {
    /// A display that refreshes every `interval`, first at `phase`; ticks and frames count within the
    /// time from `from` (included) to `to` (excluded).
    pub(super) fn new(from: Time, to: Time, interval: Duration, phase: Duration) -> Self {
        Self {
            from,
            to,
            interval: interval.max(SHORTEST_INTERVAL),
            next_tick: Time::ZERO + phase,
            open: VecDeque::new(),
            ready: Vec::new(),
            shown_by: [None; Regions::COUNT as usize],
            started: false,
            gaps: Gaps::new(from, to),
            stillness: Stillness::new(),
            ages: Times::new(),
            delays: Times::new(),
            counts: FrameCounts::default(),
            seen: None,
        }
    }

    /// The display of a session: its phase comes from the seed, so that it is the same for all contenders.
    pub(super) fn of_session(config: &MeasureConfig, seed: Seed, flow: u16) -> Self {
        let phase = seed.stream("measure/display-phase").unit(u64::from(flow));
        Self::new(config.warm_up, config.duration, config.display, config.display.mul_f64(phase))
    }

    /// The same with somebody who watches, and [takes](Display::take_seen) what there is to see.
    pub(super) fn watched(self) -> Self {
        Self { seen: Some(Vec::new()), ..self }
    }

    /// What was seen since this was last called, in order.
    pub(super) fn take_seen(&mut self) -> Vec<Seen> {
        self.seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes what happened to a frame that travels to this screen; false where it happened to something
    /// else.
    pub(super) fn handle(&mut self, at: Time, event: &Event) -> bool {
        match *event {
            Event::FrameCaptured { frame, bytes, deadline, regions, again } => {
                self.capture(CapturedFrame { id: frame, captured: at, deadline, bytes, regions, again });
            }
            Event::FrameComplete { frame } => self.complete(frame, at),
            Event::FrameDecoded { frame } => self.decode(frame, at),
            Event::FrameUndecodable { frame } => self.undecodable(frame, at),
            Event::FrameDropped { frame, begun } => self.give_up(frame, at, !begun),
            Event::FrameLost { frame } => self.give_up(frame, at, false),
            _ => return false,
        }
        true
    }

    /// The application captured a frame.
    pub(super) fn capture(&mut self, frame: CapturedFrame) {
        self.advance(frame.captured);
        if self.open.back().is_some_and(|last| last.frame.id >= frame.id) {
            return;
        }
        let measured = self.from <= frame.captured && frame.captured < self.to;
        let picture = !frame.regions.is_empty();
        if measured {
            self.counts.captured += u64::from(picture);
            self.counts.captured_bytes += u64::from(frame.bytes);
        }
        if picture && !self.started {
            self.started = true;
            let late = frame.captured.since(self.next_tick).as_nanos().div_ceil(self.interval.as_nanos());
            self.next_tick += self.interval * late;
        }
        let pending = frame.regions & !frame.again;
        self.note_change(&frame, pending, measured);
        let (still, evidence) = (Regions::NONE, Evidence::default());
        self.open.push_back(Open { frame, measured, decoded: false, pending, still, evidence });
        if self.open.len() > OPEN_MAX {
            self.push_out_oldest();
        }
    }

    /// A frame is whole.
    pub(super) fn complete(&mut self, id: FrameId, now: Time) {
        self.advance(now);
        if let Some(place) = self.find(id) {
            self.complete_at(place, now);
        }
    }

    /// A frame could be decoded.
    pub(super) fn decode(&mut self, id: FrameId, now: Time) {
        self.advance(now);
        let Some(place) = self.find(id) else { return };
        self.complete_at(place, now);
        let open = &mut self.open[place];
        if open.decoded || open.evidence.undecodable || open.frame.regions.is_empty() {
            return;
        }
        open.decoded = true;
        self.ready.push(id);
        if open.measured {
            self.counts.on_time += u64::from(now <= open.frame.deadline);
            self.delays.record(now.since(open.frame.captured), 1);
        }
    }

    /// A whole frame was useless.
    pub(super) fn undecodable(&mut self, id: FrameId, now: Time) {
        self.advance(now);
        if let Some(place) = self.find(id)
            && !self.open[place].decoded
        {
            self.open[place].evidence.undecodable = true;
        }
    }

    /// The sender or the receiver gave a frame up; `unsent` says that it did so before any of it left.
    pub(super) fn give_up(&mut self, id: FrameId, now: Time, unsent: bool) {
        self.advance(now);
        if let Some(place) = self.find(id) {
            let evidence = &mut self.open[place].evidence;
            evidence.given_up |= !unsent;
            evidence.never_sent |= unsent;
        }
    }

    /// What happens from `at` on does not count.
    pub(super) fn cut(&mut self, at: Time) {
        self.to = self.to.min(at);
        self.gaps.cut(at);
    }

    /// The run ends at `end`.
    pub(super) fn finish(&mut self, end: Time) {
        self.advance(end + Duration::from_nanos(1));
        if let Some(since) = self.behind_since() {
            self.gaps.finish(since);
        }
        self.stillness.finish(self.to);
        while let Some(open) = self.open.pop_front() {
            self.stillness.stayed_blurred(open.still.count());
            self.close(&open);
        }
        // Every frame whose delay is not known by now has an infinite one.
        let known = self.delays.len();
        self.delays.record_infinite(self.counts.captured - known);
    }

    pub(super) fn counts(&self) -> FrameCounts {
        self.counts
    }

    pub(super) fn ages(&self) -> &Times {
        &self.ages
    }

    pub(super) fn delays(&self) -> &Times {
        &self.delays
    }

    pub(super) fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// The longest freeze so far; one that is not over at `now` counts until then.
    pub(super) fn longest_freeze(&self, now: Time) -> Duration {
        self.gaps.longest(self.behind_since(), now)
    }

    /// The pictures whose fate is open in name only or in fact, oldest first: what it is by now, and
    /// whether it is measured.
    pub(super) fn open(&self) -> impl DoubleEndedIterator<Item = (FrameId, Fate, bool)> {
        let pictures = self.open.iter().filter(|open| !open.frame.regions.is_empty());
        pictures.map(|open| (open.frame.id, open.evidence.fate(open.frame.deadline), open.measured))
    }

    pub(super) fn sharp_after(&self) -> &Times {
        self.stillness.sharp_after()
    }

    /// Goes through the ticks before `now`. What happens at the very time of a tick is on the screen.
    pub(super) fn advance(&mut self, now: Time) {
        while self.started && self.next_tick < now {
            let tick = self.next_tick;
            if !self.ready.is_empty() {
                self.present(tick);
            }
            let measured = self.from <= tick && tick < self.to;
            if measured || self.seen.is_some() {
                let age = self.age(tick);
                self.tell(Seen::Tick { at: tick, age, measured });
                if measured {
                    self.ages.record(age, 1);
                }
            }
            self.close_settled();
            self.next_tick += self.interval;
        }
    }

    /// Brings the frames that are ready on the screen: the newest first, so that none is shown under it.
    fn present(&mut self, tick: Time) {
        let behind_since = self.behind_since();
        let mut changed = false;
        let mut ready = std::mem::take(&mut self.ready);
        ready.sort_unstable();
        for id in ready.drain(..).rev() {
            let Some(place) = self.find(id) else { continue };
            let visible = self.overwrite(id, self.open[place].frame.regions);
            if visible.is_empty() {
                self.open[place].evidence.overtaken = true;
                continue;
            }
            changed = true;
            self.open[place].evidence.shown = true;
            self.tell(Seen::Shown { frame: id, at: tick });
            self.stillness.show(id, visible, tick);
            for open in self.open.range_mut(..=place) {
                let sharp = open.pending & visible & open.still;
                open.pending = open.pending & !visible;
                open.still = open.still & !visible;
                self.stillness.became_sharp(open.frame.captured, tick, sharp.count());
            }
        }
        self.ready = ready;
        if let Some(since) = behind_since
            && changed
        {
            self.gaps.change(tick, since);
        }
    }

    /// Those of `regions` that show nothing newer than `id`; from now on they show it.
    fn overwrite(&mut self, id: FrameId, regions: Regions) -> Regions {
        let mut visible = Regions::NONE;
        for tile in regions.iter() {
            let shown_by = &mut self.shown_by[tile as usize];
            if shown_by.is_none_or(|shown| shown < id) {
                *shown_by = Some(id);
                visible = visible.with(tile);
            }
        }
        visible
    }

    fn age(&self, tick: Time) -> Duration {
        let mut seen = Regions::NONE;
        let mut nanos = 0_u128;
        for open in &self.open {
            let oldest_here = open.pending & !seen;
            nanos += u128::from(oldest_here.count()) * u128::from(tick.since(open.frame.captured).as_nanos());
            seen |= open.pending;
            if seen == Regions::ALL {
                break;
            }
        }
        // A mean of 64-bit values fits 64 bits.
        Duration::from_nanos((nanos / u128::from(seen.count().max(1))) as u64)
    }

    /// The capture of the oldest change that the screen does not show.
    fn behind_since(&self) -> Option<Time> {
        self.open.iter().find(|open| !open.pending.is_empty()).map(|open| open.frame.captured)
    }

    fn note_change(&mut self, frame: &CapturedFrame, changed: Regions, measured: bool) {
        let mut forgotten = 0;
        let open = &mut self.open;
        self.stillness.capture(frame.id, frame.captured, changed, measured, |before, tile| {
            let place = open.binary_search_by_key(&before, |open| open.frame.id);
            match place.ok().and_then(|place| open.get_mut(place)) {
                Some(open) if open.pending.contains(tile) => open.still = open.still.with(tile),
                _ => forgotten += 1,
            }
        });
        self.stillness.stayed_blurred(forgotten);
    }

    fn complete_at(&mut self, place: usize, now: Time) {
        let open = &mut self.open[place];
        if open.evidence.complete_at.is_none() {
            open.evidence.complete_at = Some(now);
            if open.measured {
                self.counts.delivered_bytes += u64::from(open.frame.bytes);
            }
        }
    }

    fn find(&self, id: FrameId) -> Option<usize> {
        self.open.binary_search_by_key(&id, |open| open.frame.id).ok()
    }

    fn close_settled(&mut self) {
        while let Some(open) = self.open.front()
            && open.is_settled()
        {
            let open = *open;
            self.close(&open);
            self.open.pop_front();
        }
    }

    /// The oldest frame leaves although it is open. What it changed counts as changed by the next one.
    fn push_out_oldest(&mut self) {
        let Some(oldest) = self.open.pop_front() else { return };
        self.stillness.stayed_blurred(oldest.still.count());
        self.close(&oldest);
        if let Some(next) = self.open.front_mut() {
            next.pending |= oldest.pending;
        }
    }

    fn close(&mut self, open: &Open) {
        if open.frame.regions.is_empty() {
            return;
        }
        let fate = open.evidence.fate(open.frame.deadline);
        if open.measured {
            self.counts.fates[fate as usize] += 1;
        }
        self.tell(Seen::Closed { frame: open.frame.id, fate });
    }

    fn tell(&mut self, what: Seen) {
        if let Some(seen) = &mut self.seen {
            seen.push(what);
        }
    }
}

impl Open {
    /// Whether nothing that can still happen matters. A frame that was given up may yet turn out to be
    /// whole, so it stays while something in it is not on the screen.
    fn is_settled(&self) -> bool {
        let Evidence { shown, undecodable, overtaken, complete_at, never_sent, given_up } = self.evidence;
        if self.frame.regions.is_empty() {
            return complete_at.is_some() || never_sent || given_up;
        }
        let decided = shown || undecodable || overtaken || (!self.decoded && (never_sent || given_up));
        decided && self.pending.is_empty()
    }
}

/// How many frames may be open at once: four minutes at 30 frames a second, more than any transport
/// keeps waiting. The oldest is pushed out with the fate that it has by then.
const OPEN_MAX: usize = 8192;

/// Displays refresh no faster; it bounds the work of a simulated second.
const SHORTEST_INTERVAL: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests;
