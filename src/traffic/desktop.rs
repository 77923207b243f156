//! A synthetic desktop: a person who rests, types, scrolls and watches.
//!
//! Activities follow each other as a semi-Markov process (exponential sojourns, the next one drawn by
//! its share) or in a given sequence. Sizes are set by hand after the recorded session in
//! `scenarios/traces`: its seconds of typing have updates of 100 to 700 bytes, of scrolling 30 to 45 kB
//! with peaks of 66 kB, its key frames 115 kB. Sizes of the moving activities are gamma distributed.
//! Video has no counterpart there: 4 Mbit/s, a window of a quarter of the screen.

use super::updates::{Update, Updates};
use crate::rng::{Draws, Stream, exponential, gamma, unit};
use crate::time::{Duration, Time};

/// What the person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Nothing moves but a cursor that blinks.
    Idle,
    /// Single characters appear, at the times of a Poisson process.
    Typing,
    /// Most of the screen changes thirty times a second.
    Scrolling,
    /// A window changes thirty times a second.
    Video,
}

/// In which order the person does what.
#[derive(Clone, Debug, PartialEq)]
pub enum DesktopPlan {
    /// Each activity for an exponential time of this mean, the next one drawn by its share of the time.
    Shares {
        /// Shares of the time, at least 0; only their proportions matter.
        shares: Vec<(Activity, f64)>,
        /// The mean length of a stay.
        stay: Duration,
    },
    /// These activities for these times, over and over.
    Sequence(Vec<(Activity, Duration)>),
}

/// A person at work.
#[derive(Debug)]
pub(super) struct Desktop {
    plan: DesktopPlan,
    stream: Stream,
    /// How many activities began, and how many updates were made: the keys of the draws.
    stays: u64,
    updates: u64,
    activity: Activity,
    until: Time,
    next_at: Time,
}

impl Desktop {
    pub(super) fn new(plan: DesktopPlan, start: Time, stream: Stream) -> Self {
        let mut desktop = Self {
            plan,
            stream,
            stays: 0,
            updates: 0,
            activity: Activity::Idle,
            until: start,
            next_at: start,
        };
        desktop.change_activity();
        desktop
    }

    /// Begins the stay that follows at `self.until`.
    fn change_activity(&mut self) {
        let mut draws = self.stream.part(STAYS).at(self.stays);
        let (activity, stay) = match &self.plan {
            DesktopPlan::Shares { shares, stay } => (
                draw_activity(shares, unit(&mut draws)),
                Duration::from_secs_f64(exponential(&mut draws, stay.as_secs_f64())),
            ),
            DesktopPlan::Sequence(steps) if steps.is_empty() => (Activity::Idle, Duration::MAX),
            DesktopPlan::Sequence(steps) => steps[(self.stays % steps.len() as u64) as usize],
        };
        self.stays += 1;
        self.activity = activity;
        self.until += stay.max(SHORTEST_STAY);
    }
}

impl Updates for Desktop {
    fn next_at(&self) -> Time {
        self.next_at
    }

    fn take(&mut self) -> Update {
        while self.until <= self.next_at {
            self.change_activity();
        }
        let mut draws = self.stream.part(SIZES).at(self.updates);
        let update = Update { bytes: update_bytes(self.activity, &mut draws), key: self.updates == 0 };
        self.updates += 1;
        // An activity that begins makes its first update at once.
        self.next_at = (self.next_at + gap(self.activity, &mut draws)).min(self.until);
        if update.key { Update { bytes: SCREEN_BYTES, ..update } } else { update }
    }

    fn screen_bytes(&self) -> u32 {
        SCREEN_BYTES
    }
}

fn draw_activity(shares: &[(Activity, f64)], at: f64) -> Activity {
    let total: f64 = shares.iter().map(|(_, share)| share).sum();
    let mut left = at * total;
    for &(activity, share) in shares {
        if left < share {
            return activity;
        }
        left -= share;
    }
    Activity::Idle
}

fn update_bytes(activity: Activity, draws: &mut Draws) -> u32 {
    let (shape, mean) = match activity {
        Activity::Idle => return CURSOR_BYTES,
        Activity::Typing => (4.0, 400.0),
        Activity::Scrolling => (6.0, 40_000.0),
        Activity::Video => (12.0, 16_700.0),
    };
    (gamma(draws, shape, mean / shape) as u32).clamp(CURSOR_BYTES, SCREEN_BYTES)
}

fn gap(activity: Activity, draws: &mut Draws) -> Duration {
    match activity {
        // Half the period with which cursors blink on common desktops.
        Activity::Idle => Duration::from_millis(530),
        // 60 words a minute are five characters a second.
        Activity::Typing => Duration::from_secs_f64(exponential(draws, 0.2)).max(FRAME_INTERVAL),
        Activity::Scrolling | Activity::Video => FRAME_INTERVAL,
    }
}

/// Thirty updates a second, as in the recorded session.
const FRAME_INTERVAL: Duration = Duration::from_micros(33_333);

/// A stay holds one update at least.
const SHORTEST_STAY: Duration = FRAME_INTERVAL;

/// The smallest update of the recorded session, in bytes.
const CURSOR_BYTES: u32 = 56;

/// What the whole screen costs, in bytes: a key frame of the recorded session.
const SCREEN_BYTES: u32 = 115_000;

/// Parts of the stream.
const STAYS: u64 = 0;
const SIZES: u64 = 1;

#[cfg(test)]
mod tests {
    use super::super::test_stream;
    use super::*;

    fn bytes_until(desktop: &mut Desktop, end: Time) -> u64 {
        let mut bytes = 0;
        while desktop.next_at() < end {
            let before = desktop.next_at();
            bytes += u64::from(desktop.take().bytes);
            assert!(desktop.next_at() > before, "time stands still at {before}");
        }
        bytes
    }

    #[test]
    fn a_sequence_is_followed_and_repeated() {
        let steps =
            vec![(Activity::Idle, Duration::from_secs(10)), (Activity::Scrolling, Duration::from_secs(10))];
        let mut desktop = Desktop::new(DesktopPlan::Sequence(steps), Time::ZERO, test_stream("sequence"));
        let first = desktop.take();
        assert!(first.key && first.bytes == 115_000);
        // Eighteen blinks more in the first stay, then 300 pictures of 40 kB: the standard error of their
        // sum is 40 kB × sqrt(300 / 6) = 283 kB, and five of them are allowed.
        assert!(bytes_until(&mut desktop, Time::from_secs(10)) < 2_000);
        let scrolled = bytes_until(&mut desktop, Time::from_secs(20)) as f64;
        assert!((scrolled - 12e6).abs() < 1.5e6, "{scrolled}");
        assert!(bytes_until(&mut desktop, Time::from_secs(30)) < 2_000);
    }

    #[test]
    fn shares_are_shares_of_the_time() {
        let shares = vec![(Activity::Idle, 3.0), (Activity::Video, 1.0)];
        let plan = DesktopPlan::Shares { shares, stay: Duration::from_secs(1) };
        let mut desktop = Desktop::new(plan, Time::ZERO, test_stream("shares"));
        let seconds = 4000;
        let video = bytes_until(&mut desktop, Time::from_secs(seconds)) as f64 / 16_700.0 / 30.0;
        // Of 4000 stays of a second a quarter is video; the deviation of that sum is
        // sqrt(4000 × (2/4 − 1/16)) = 42 s, and five of them are allowed.
        assert!((video - 1000.0).abs() < 210.0, "{video} s of video");
    }

    #[test]
    fn plans_that_say_nothing_are_idle() {
        for plan in [
            DesktopPlan::Sequence(vec![]),
            DesktopPlan::Shares { shares: vec![], stay: Duration::ZERO },
            DesktopPlan::Sequence(vec![(Activity::Idle, Duration::ZERO)]),
        ] {
            let mut desktop = Desktop::new(plan, Time::ZERO, test_stream("empty"));
            desktop.take();
            assert!(bytes_until(&mut desktop, Time::from_secs(10)) < 20_000);
        }
    }
}
