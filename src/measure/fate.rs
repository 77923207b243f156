//! What became of a frame: exactly one fate each, so that the shares sum to 100 %.

use crate::time::Time;

/// The fate of a frame of the picture. The first line that holds decides:
///
/// 1. some of it came on the screen at a display tick: *shown*;
/// 2. whole, but something that it refers to is missing: *undecodable*;
/// 3. decoded, but everything in it was on the screen in a newer version first: *superseded* if it was
///    whole by its deadline, else *late*;
/// 4. the sender gave it up before any of it was sent: *never sent*;
/// 5. sender or receiver gave it up later than that: *unrepairable*;
/// 6. the run ended before one of these held: *unfinished*.
///
/// Whether a frame was in time is a property of its own: a frame that is whole after its deadline and
/// comes on the screen, because nothing newer is there, is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Some of it came on the screen.
    Shown,
    /// A newer version of all of it was on the screen first.
    Superseded,
    /// Something that it refers to is missing.
    Undecodable,
    /// It was given up after some of it had been sent.
    Unrepairable,
    /// Whole only after its deadline, when a newer version was on the screen.
    Late,
    /// It was given up before any of it was sent.
    NeverSent,
    /// Still under way at the end.
    Unfinished,
}

impl Fate {
    /// All of them, in the order in which everything lists them.
    pub const ALL: [Self; 7] = [
        Self::Shown,
        Self::Superseded,
        Self::Undecodable,
        Self::Unrepairable,
        Self::Late,
        Self::NeverSent,
        Self::Unfinished,
    ];
}

/// What is known of a frame that decides its fate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub(super) shown: bool,
    pub(super) undecodable: bool,
    /// Decoded, and a newer version of all of it was on the screen.
    pub(super) overtaken: bool,
    /// When it was whole.
    pub(super) complete_at: Option<Time>,
    pub(super) never_sent: bool,
    pub(super) given_up: bool,
}

impl Evidence {
    /// The decision tree of [`Fate`], as far as the evidence goes.
    pub(super) fn fate(&self, deadline: Time) -> Fate {
        if self.shown {
            Fate::Shown
        } else if self.undecodable {
            Fate::Undecodable
        } else if self.overtaken {
            let in_time = self.complete_at.is_some_and(|at| at <= deadline);
            if in_time { Fate::Superseded } else { Fate::Late }
        } else if self.never_sent {
            Fate::NeverSent
        } else if self.given_up {
            Fate::Unrepairable
        } else {
            Fate::Unfinished
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_tree_that_holds_decides() {
        let deadline = Time::from_millis(100);
        let mut evidence = Evidence::default();
        assert_eq!(evidence.fate(deadline), Fate::Unfinished);
        evidence.given_up = true;
        assert_eq!(evidence.fate(deadline), Fate::Unrepairable);
        evidence.never_sent = true;
        assert_eq!(evidence.fate(deadline), Fate::NeverSent);
        evidence.overtaken = true;
        evidence.complete_at = Some(Time::from_millis(101));
        assert_eq!(evidence.fate(deadline), Fate::Late);
        evidence.complete_at = Some(deadline);
        assert_eq!(evidence.fate(deadline), Fate::Superseded);
        evidence.undecodable = true;
        assert_eq!(evidence.fate(deadline), Fate::Undecodable);
        evidence.shown = true;
        assert_eq!(evidence.fate(deadline), Fate::Shown);
    }
}
