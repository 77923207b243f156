//! The client asks for the time, again and again, and both ends learn how their clocks differ.
//!
//! A probe and its answer are a round trip for the client; an answer and the next probe, which tells when
//! that answer arrived, are one for the server (NTP's symmetric mode, RFC 5905 §3).

use super::clock_offset::ClockOffset;
use super::door::Reason;
use crate::time::{Duration, Time};

/// What an end knows of the probes of its session.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    offset: ClockOffset,
    /// At the client: when the next probe is due, and how many have been sent.
    due: Time,
    sent: u32,
    /// When the newest probe was sent that has been answered, when that answer was sent, on the server's
    /// clock, and when it arrived.
    answered: Option<[Time; 3]>,
    /// At the server: when the last answer was sent, while nobody has said when it arrived.
    unheard: Option<Time>,
}

impl Probes {
    /// The times of a probe that is due.
    pub(super) fn poll(&mut self, now: Time) -> Option<[Time; 3]> {
        if now < self.due {
            return None;
        }
        self.due = now + if self.sent < QUICK { INTERVAL / 10 } else { INTERVAL };
        self.sent = self.sent.saturating_add(1);
        let [_, sent, arrived] = self.answered.unwrap_or_default();
        Some([now, sent, arrived])
    }

    /// A probe arrived at the server.
    pub(super) fn handle_probe(&mut self, now: Time, [sent, heard, arrived]: [Time; 3]) {
        // Each answer counts once, so that a probe that is played again tells nothing.
        if self.unheard.take_if(|answer| *answer == heard).is_some() {
            self.offset.sample(heard, arrived, sent, now);
        }
    }

    /// The times of the answer, sent now, to a probe that was sent at `sent` and arrived at `arrived`.
    pub(super) fn answer(&mut self, now: Time, sent: Time, arrived: Time) -> [Time; 3] {
        self.unheard = Some(now);
        [sent, arrived, now]
    }

    /// An answer arrived at the client.
    pub(super) fn handle_answer(
        &mut self,
        now: Time,
        [sent, arrived, answered]: [Time; 3],
    ) -> Result<(), Reason> {
        if self.answered.is_some_and(|[newest, ..]| sent <= newest) {
            return Err(Reason::Replayed);
        }
        if !self.offset.sample(sent, arrived, answered, now) {
            return Err(Reason::Malformed);
        }
        self.answered = Some([sent, answered, now]);
        Ok(())
    }

    /// When the next probe is due.
    pub(super) fn due(&self) -> Time {
        self.due
    }

    /// What has been learned.
    pub(super) fn offset(&self) -> &ClockOffset {
        &self.offset
    }
}

/// From probe to probe; 74 bytes each, with IP and UDP, are 2.4 kbit/s.
const INTERVAL: Duration = Duration::from_millis(250);

/// So many of them come ten times as fast at first, so that there is a good estimate at once.
const QUICK: u32 = 8;
