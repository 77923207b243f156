//! What somebody sees who looks at a run while it goes on: the figures of the moment.
//!
//! [`Recent`] takes the records of one contender and gives a [`Glance`] whenever it is asked. Definitions
//! are those of [`metrics`](super::metrics), made by the same code, over shorter times: counts are kept as
//! totals, and every half second the totals are noted, so that a figure over the last second or five is a
//! difference. Memory does not grow with the length of the run.

mod journey;

use std::collections::VecDeque;

use super::display::{Display, Seen};
use super::fate::Fate;
use super::histogram::Times;
use super::metrics::Value;
use super::packets::Packets;
use super::summary::MeasureConfig;
use crate::endpoint::Direction;
use crate::frame::FrameId;
use crate::record::{Event, Record, RepairFate, Sink};
use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

use journey::{Journeys, STAGES};

/// Takes the records of one contender and keeps what a live view shows of it.
#[derive(Clone, Debug)]
pub struct Recent {
    sessions: Vec<Session>,
    packets: Packets,
    /// The ages at the ticks that are measured, of all sessions.
    ages: Times,
    /// What is counted here.
    counted: Counted,
    /// The totals at the ends of the last half seconds, oldest first.
    noted: VecDeque<Totals>,
    /// The peak age in each of the last half seconds, oldest first, and in the one that is under way.
    peaks: VecDeque<Option<Duration>>,
    peak: Option<Duration>,
    /// When the half second that is under way ends.
    slot_ends: Time,
    now: Time,
}

#[derive(Clone, Debug)]
struct Session {
    display: Display,
    journeys: Journeys,
    /// The age at the last tick.
    age: Option<Duration>,
    /// The last frames whose fate is sealed, oldest first.
    closed: VecDeque<(FrameId, Fate)>,
}

/// What [`Packets`] does not count.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Bytes of the frames that were captured.
    captured: u64,
    /// The time that shown frames spent in each stage.
    stages: [Duration; STAGES],
    /// How many frames that is.
    shown: u64,
    /// Repair packets by what they were good for.
    settled: u64,
    unneeded: u64,
    insufficient: u64,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    sent: u64,
    lost: u64,
    in_runs: u64,
    following: u64,
    sources_lost: u64,
    payload: u64,
    source: u64,
    goodput: u64,
    counted: Counted,
}

/// The figures of the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    /// The time that it shows.
    pub now: Time,
    /// The age of the picture at the last display tick, as the mean over sessions; none before the first
    /// picture.
    pub age: Option<Duration>,
    /// The median and the 99th percentile of the ages since the warm-up, in milliseconds.
    pub age_p50_ms: Option<f64>,
    /// See [`Glance::age_p50_ms`].
    pub age_p99_ms: Option<f64>,
    /// The highest age in each half second of the last [`PEAKS`], oldest first; none where there was no
    /// picture.
    pub peaks: Vec<Option<Duration>>,
    /// The longest freeze since the warm-up, the one under way counted.
    pub freeze_longest: Duration,
    /// How many frames had each fate since the warm-up, in the order of [`Fate::ALL`]; those under way are
    /// not counted.
    pub fates: [u64; Fate::ALL.len()],
    /// What became of the last [`MARKS`] frames of the first session, oldest first, up to the newest whose
    /// fate is known.
    pub marks: Vec<Mark>,
    /// The share of packets that the network lost going down in the last five seconds.
    pub loss: Option<f64>,
    /// The mean length of a run of lost packets in that time.
    pub burst: Option<f64>,
    /// Repair and retransmission over first-time source payload in that time, minus one.
    pub repair_overhead: Option<f64>,
    /// Repair packets left over in the last second; negative: so many more would have been needed. None
    /// where no repair packet arrived. Records do not name blocks, so this is over all of them.
    pub margin: Option<i64>,
    /// What the applications at the server captured in the last second, whatever became of it; none before
    /// the first half second is over.
    pub offered: Option<Bitrate>,
    /// Application bytes that arrived in the last second; none before the first half second is over.
    pub goodput: Option<Bitrate>,
    /// Where the frames that came on the screen in the last second spent their time.
    pub budget: Option<Budget>,
}

/// What became of a frame, for a strip of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It came on the screen as it was sent.
    Shown,
    /// It came on the screen with the help of repair packets.
    Repaired,
    /// A newer one was there first.
    Superseded,
    /// It never came on the screen, and nothing newer took its place in time.
    Lost,
    /// It is not known yet.
    Open,
}

/// The mean way of a frame from its capture to the screen, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// At the sender, until the packet that made it whole was sent.
    pub sender: Duration,
    /// That packet's time in the bottleneck's queue.
    pub queue: Duration,
    /// The rest of its way over the link.
    pub link: Duration,
    /// Waiting for repair, for a retransmission or for what came before.
    pub blocked: Duration,
    /// Waiting for the display's next tick.
    pub tick: Duration,
}

impl Budget {
    /// The stages in their order, with a short name.
    pub const fn stages(self) -> [(&'static str, Duration); STAGES] {
        [
            ("send", self.sender),
            ("queue", self.queue),
            ("link", self.link),
            ("blocked", self.blocked),
            ("tick", self.tick),
        ]
    }

    /// From capture to screen.
    pub fn total(self) -> Duration {
        self.stages().into_iter().map(|(_, stage)| stage).sum()
    }
}

/// How many half seconds of peak ages are kept: 30 s.
pub const PEAKS: usize = 60;

/// How many frames have a mark.
pub const MARKS: usize = 256;

impl Recent {
    /// A view of nothing yet. The same configuration and seed as those of a
    /// [`Summary`](super::Summary) give the same display ticks.
    pub fn new(config: &MeasureConfig, seed: Seed) -> Self {
        let sessions: Vec<Session> = (0..config.sessions)
            .map(|flow| Session {
                display: Display::of_session(config, seed, flow).watched(),
                journeys: Journeys::default(),
                age: None,
                closed: VecDeque::new(),
            })
            .collect();
        Self {
            packets: Packets::new(Time::ZERO, Time::NEVER, sessions.len()),
            sessions,
            ages: Times::new(),
            counted: Counted::default(),
            noted: VecDeque::from([Totals::default()]),
            peaks: VecDeque::new(),
            peak: None,
            slot_ends: Time::ZERO + SLOT,
            now: Time::ZERO,
        }
    }

    /// Nothing else happened before `now`: for the times at which no records come. Records of earlier
    /// times may still follow, but count as if they were of this one.
    pub fn advance(&mut self, now: Time) {
        self.pass(now);
        self.tick(now);
    }

    /// Ends the half seconds that are over at `now`.
    fn pass(&mut self, now: Time) {
        while self.slot_ends <= now {
            let end = self.slot_ends;
            self.tick(end);
            self.note();
            self.slot_ends += SLOT;
        }
        self.now = self.now.max(now);
    }

    /// The figures of the moment.
    pub fn glance(&self) -> Glance {
        let ages: Vec<Duration> = self.sessions.iter().filter_map(|session| session.age).collect();
        let quantile = |q| match self.ages.quantile_ms(q, "") {
            Value::Number(age) => Some(age),
            Value::Absent(_) => None,
        };
        let freezes = self.sessions.iter().map(|session| session.display.longest_freeze(self.now));
        let lately = self.lately(LATELY);
        let second = self.lately(SECOND);
        let elapsed = SLOT * self.noted.len().saturating_sub(1).min(SECOND) as u64;
        let rate = |bytes| (!elapsed.is_zero()).then(|| Bitrate::of(ByteSize::new(bytes), elapsed));
        Glance {
            now: self.now,
            age: (!ages.is_empty()).then(|| ages.iter().copied().sum::<Duration>() / ages.len() as u64),
            age_p50_ms: quantile(0.5),
            age_p99_ms: quantile(0.99),
            peaks: self.peaks.iter().copied().collect(),
            freeze_longest: freezes.max().unwrap_or_default(),
            fates: self.fates(),
            marks: self.sessions.first().map(Session::marks).unwrap_or_default(),
            loss: ratio(lately.lost, lately.sent),
            burst: ratio(lately.in_runs, lately.in_runs.saturating_sub(lately.following)),
            repair_overhead: ratio(lately.payload, lately.source).map(|carried| carried - 1.0),
            margin: second.margin(),
            offered: rate(second.counted.captured),
            goodput: rate(second.goodput),
            budget: second.counted.budget(),
        }
    }

    /// Lets the displays tick up to `now`.
    fn tick(&mut self, now: Time) {
        for session in &mut self.sessions {
            session.display.advance(now);
            let (ages, peak) = (&mut self.ages, &mut self.peak);
            session.look(ages, peak, &mut self.counted);
        }
    }

    /// Notes the totals at the end of a half second.
    fn note(&mut self) {
        self.noted.push_back(self.totals());
        if self.noted.len() > LATELY + 1 {
            self.noted.pop_front();
        }
        self.peaks.push_back(self.peak.take());
        if self.peaks.len() > PEAKS {
            self.peaks.pop_front();
        }
    }

    fn totals(&self) -> Totals {
        let (loss, bytes) = (self.packets.loss, self.packets.bytes);
        Totals {
            sent: loss.sent,
            lost: loss.random + loss.queue,
            in_runs: loss.in_runs,
            following: loss.following,
            sources_lost: loss.sources_lost,
            payload: bytes.payload,
            source: bytes.source,
            goodput: self.packets.goodput_bytes().sum(),
            counted: self.counted,
        }
    }

    /// What was counted in the last `slots` half seconds that are over.
    fn lately(&self, slots: usize) -> Totals {
        let newest = self.noted.len() - 1;
        self.noted[newest].since(&self.noted[newest.saturating_sub(slots)])
    }

    fn fates(&self) -> [u64; Fate::ALL.len()] {
        let mut fates = [0; Fate::ALL.len()];
        for session in &self.sessions {
            for (sum, count) in fates.iter_mut().zip(session.display.counts().fates) {
                *sum += count;
            }
            let decided = session.display.open().filter(|(_, fate, measured)| is_known(*fate) && *measured);
            decided.for_each(|(_, fate, _)| fates[fate as usize] += 1);
        }
        fates
    }
}

impl Sink for Recent {
    fn record(&mut self, record: &Record) {
        self.pass(record.at);
        let Some(session) = self.sessions.get_mut(usize::from(record.flow.0)) else { return };
        self.packets.record(record);
        if record.direction != Direction::Down {
            return;
        }
        session.journeys.handle(record.at, &record.event);
        if session.display.handle(record.at, &record.event) {
            session.look(&mut self.ages, &mut self.peak, &mut self.counted);
        }
        match record.event {
            Event::FrameCaptured { bytes, .. } => self.counted.captured += u64::from(bytes),
            Event::RepairSettled(fate) => {
                self.counted.settled += 1;
                self.counted.unneeded += u64::from(fate == RepairFate::Unneeded);
                self.counted.insufficient += u64::from(fate == RepairFate::Insufficient);
            }
            _ => {}
        }
    }
}

impl Session {
    /// Takes what there was to see on the screen.
    fn look(&mut self, ages: &mut Times, peak: &mut Option<Duration>, counted: &mut Counted) {
        for seen in self.display.take_seen() {
            match seen {
                Seen::Tick { age, measured, .. } => {
                    self.age = Some(age);
                    *peak = (*peak).max(Some(age));
                    if measured {
                        ages.record(age, 1);
                    }
                }
                Seen::Shown { frame, at } => {
                    if let Some(stages) = self.journeys.show(frame, at) {
                        counted.shown += 1;
                        counted.stages.iter_mut().zip(stages).for_each(|(sum, stage)| *sum += stage);
                    }
                }
                Seen::Closed { frame, fate } => {
                    self.closed.push_back((frame, fate));
                    if self.closed.len() > MARKS {
                        self.closed.pop_front();
                    }
                }
            }
        }
    }

    /// The marks of the last frames up to the newest whose fate is known.
    fn marks(&self) -> Vec<Mark> {
        let open = self.display.open().map(|(frame, fate, _)| (frame, fate));
        let mut marks: Vec<Mark> = open
            .rev()
            .chain(self.closed.iter().copied().rev())
            .skip_while(|(_, fate)| !is_known(*fate))
            .take(MARKS)
            .map(|(frame, fate)| self.mark(frame, fate))
            .collect();
        marks.reverse();
        marks
    }

    fn mark(&self, frame: FrameId, fate: Fate) -> Mark {
        match fate {
            Fate::Shown if self.journeys.is_repaired(frame) => Mark::Repaired,
            Fate::Shown => Mark::Shown,
            Fate::Superseded => Mark::Superseded,
            Fate::Undecodable | Fate::Unrepairable | Fate::Late | Fate::NeverSent => Mark::Lost,
            Fate::Unfinished => Mark::Open,
        }
    }
}

impl Totals {
    fn since(&self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            lost: self.lost - before.lost,
            in_runs: self.in_runs - before.in_runs,
            following: self.following - before.following,
            sources_lost: self.sources_lost - before.sources_lost,
            payload: self.payload - before.payload,
            source: self.source - before.source,
            goodput: self.goodput - before.goodput,
            counted: self.counted.since(&before.counted),
        }
    }

    /// A block that could not be repaired lacks as many packets as it has lost source packets, less the
    /// repair packets that were there in vain.
    fn margin(&self) -> Option<i64> {
        let Counted { settled, unneeded, insufficient, .. } = self.counted;
        let lacking = self.sources_lost.saturating_sub(insufficient) as i64;
        match (settled, lacking) {
            (0, _) => None,
            (_, 0) => Some(unneeded as i64),
            _ => Some(-lacking),
        }
    }
}

impl Counted {
    fn since(&self, before: &Self) -> Self {
        let mut stages = self.stages;
        stages.iter_mut().zip(before.stages).for_each(|(stage, before)| *stage -= before);
        Self {
            captured: self.captured - before.captured,
            stages,
            shown: self.shown - before.shown,
            settled: self.settled - before.settled,
            unneeded: self.unneeded - before.unneeded,
            insufficient: self.insufficient - before.insufficient,
        }
    }

    fn budget(&self) -> Option<Budget> {
        if self.shown == 0 {
            return None;
        }
        let [sender, queue, link, blocked, tick] = self.stages.map(|stage| stage / self.shown);
        Some(Budget { sender, queue, link, blocked, tick })
    }
}

const fn is_known(fate: Fate) -> bool {
    !matches!(fate, Fate::Unfinished)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// From one note of the totals to the next.
const SLOT: Duration = Duration::from_millis(500);
/// How many slots losses are taken over: at 100 packets a second and 5 % loss, five seconds have 25.
const LATELY: usize = 10;
/// How many slots figures of the last second are taken over.
const SECOND: usize = 2;

#[cfg(test)]
mod tests;
