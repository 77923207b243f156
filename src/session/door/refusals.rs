//! What a door has refused, and why.

use std::fmt;
use std::ops::AddAssign;

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It came before there was a session, or after it failed.
    Closed,
    /// It did not come from the peer's address.
    Elsewhere,
    /// It does not bear the identity that was agreed.
    Identity,
    /// It came before, or so long ago that nobody remembers.
    Replayed,
    /// It is nothing that an end would send.
    Malformed,
    /// It is larger than any datagram of the session.
    Oversize,
    /// Its tag does not match, or it has none and should, or the other way round.
    NotAuthentic,
    /// Another client would like to come in.
    Busy,
    /// A client of another version would.
    Version,
}

impl Reason {
    /// All of them, in the order in which everything lists them.
    pub const ALL: [Self; 9] = [
        Self::Closed,
        Self::Elsewhere,
        Self::Identity,
        Self::Replayed,
        Self::Malformed,
        Self::Oversize,
        Self::NotAuthentic,
        Self::Busy,
        Self::Version,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "without a session",
            Self::Elsewhere => "from elsewhere",
            Self::Identity => "wrong identity",
            Self::Replayed => "replayed",
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::NotAuthentic => "not authentic",
            Self::Busy => "from other clients",
            Self::Version => "of another version",
        })
    }
}

/// How many datagrams were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Reason::ALL.len()]);

impl Refusals {
    /// How many for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// How many for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}

impl fmt::Display for Refusals {
    /// `12 from elsewhere, 3 replayed`; `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Reason::ALL.into_iter().filter(|&reason| self.of(reason) > 0);
        let counts: Vec<String> = counted.map(|reason| format!("{} {reason}", self.of(reason))).collect();
        f.write_str(if counts.is_empty() { "none" } else { "" })?;
        f.write_str(&counts.join(", "))
    }
}

impl AddAssign for Refusals {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, other)| *count += other);
    }
}
