//! RACK: a segment is lost when one sent after it was delivered and it has had time enough to arrive
//! too (RFC 8985, as Linux 6.18 does it in `tcp_recovery.c`, where it is the only detector).
//!
//! | | RFC 8985 | here and Linux |
//! | --- | --- | --- |
//! | reordering window | min_rtt / 4, growing with DSACKs | min_rtt / 4 once reordering was seen, or with fewer than three segments sacked; else 0 |
//! | growth by DSACK | yes | no (Linux: yes) |

use super::congestion::State;
use super::scoreboard::{Scoreboard, Sent};
use crate::time::{Duration, Time};

/// So many segments sacked make what is missing before them lost at once (`tcp_reordering`).
const DUPLICATE_THRESHOLD: usize = 3;

#[derive(Clone, Debug, Default)]
pub(super) struct Rack {
    /// The segment sent last of all that were delivered: when it was sent, and its end.
    newest: Option<(Time, u64)>,
    /// Its round trip.
    round_trip: Duration,
    /// Whether an acknowledgment moved `newest` since losses were looked for.
    advanced: bool,
    reordering_seen: bool,
    lost_retransmission: bool,
}

/// What a look for losses found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Segments newly marked as lost.
    pub(super) lost: u32,
    /// When the segments that are only suspected will be lost.
    pub(super) check_again_at: Option<Time>,
}

impl Rack {
    /// A segment was delivered.
    pub(super) fn delivered(&mut self, now: Time, sent: &Sent, round_trip_min: Option<Duration>) {
        let round_trip = now.since(sent.sent_at);
        // Sooner than any round trip: the acknowledgment is of the original, not of the retransmission.
        if sent.ever_retransmitted && round_trip_min.is_some_and(|least| round_trip < least) {
            return;
        }
        self.advanced = true;
        self.round_trip = round_trip;
        self.newest = self.newest.max(Some((sent.sent_at, sent.end())));
    }

    /// Segments arrive out of order on this path.
    pub(super) const fn reordering_seen(&mut self) {
        self.reordering_seen = true;
    }

    /// How long a segment may be overtaken before it is lost.
    pub(super) fn reordering_window(
        &self,
        state: State,
        sacked: usize,
        round_trip_min: Option<Duration>,
        smoothed: Option<Duration>,
    ) -> Duration {
        if !self.reordering_seen && (state >= State::Recovery || sacked >= DUPLICATE_THRESHOLD) {
            return Duration::ZERO;
        }
        (round_trip_min.unwrap_or_default() / 4).min(smoothed.unwrap_or_default())
    }

    /// Marks as lost what was sent before the newest segment delivered and has had its time.
    pub(super) fn detect(&mut self, now: Time, board: &mut Scoreboard, window: Duration) -> Found {
        let mut found = Found::default();
        self.lost_retransmission = false;
        let Some((newest_at, newest_end)) = self.newest else { return found };
        self.advanced = false;
        while let Some((sent_at, number)) = board.oldest_transmission() {
            let overtaken = sent_at < newest_at
                || sent_at == newest_at && board.get(number).is_some_and(|sent| sent.end() < newest_end);
            if !overtaken {
                break;
            }
            if now < sent_at + self.round_trip + window {
                // The last one overtaken left just before the newest: look once for all of them.
                found.check_again_at = Some(newest_at + self.round_trip + window);
                break;
            }
            self.lost_retransmission |= board.mark_lost(number);
            found.lost += 1;
        }
        found
    }

    /// Whether the last look found a retransmission lost.
    pub(super) const fn lost_retransmission(&self) -> bool {
        self.lost_retransmission
    }

    /// Whether a segment was sent so lately that a timeout of an earlier one says nothing of it.
    pub(super) fn is_recent(&self, now: Time, sent: &Sent) -> bool {
        self.newest.is_some() && now < sent.sent_at + self.round_trip
    }
}
