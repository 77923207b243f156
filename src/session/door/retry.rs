//! How often and how long a client knocks.

use crate::time::{Duration, Time};

/// When to say something again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) due: Time,
    wait: Duration,
    pub(super) left: u32,
}

impl Retry {
    pub(super) const fn new(due: Time) -> Self {
        Self { due, wait: RETRY, left: TRIES }
    }

    pub(super) fn again(&mut self, now: Time) {
        self.due = now + self.wait;
        self.wait = self.wait * 2;
        self.left -= 1;
    }
}

/// The first time that an answer is waited for, each further one being twice as long: longer than most
/// round trips, short enough that a person does not notice.
const RETRY: Duration = Duration::from_millis(250);

/// How often a client says the same: after 16 seconds nobody believes in an answer.
pub(super) const TRIES: u32 = 6;
