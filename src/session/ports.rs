//! The session allocator: one UDP port per concurrent session, bottom-up.
//!
//! Framehawk's server "tries the ports starting at the lowest number and goes up as needed" over the
//! range 3224–3324, so that 101 sessions fit (Citrix, "Framehawk display channel port range" policy);
//! mosh-server scans 60001–60999 in the same way. A released port is the next to be handed out again
//! if it is the lowest.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

/// An inclusive range of ports, lowest first; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    lowest: u16,
    highest: u16,
}

impl PortRange {
    /// The range of Framehawk's default policy: 101 ports.
    pub const FRAMEHAWK: Self = Self { lowest: 3224, highest: 3324 };

    /// The ports from `lowest` to `highest`, both included; none where that is empty or starts at
    /// port 0, which no session can have.
    pub const fn new(lowest: u16, highest: u16) -> Option<Self> {
        if lowest == 0 || highest < lowest { None } else { Some(Self { lowest, highest }) }
    }

    /// The lowest and the highest port.
    pub const fn ends(self) -> (u16, u16) {
        (self.lowest, self.highest)
    }

    /// The ports, lowest first.
    pub const fn ports(self) -> RangeInclusive<u16> {
        self.lowest..=self.highest
    }

    /// How many sessions the range has room for.
    pub const fn len(self) -> usize {
        (self.highest - self.lowest) as usize + 1
    }

    /// Always false: a range has at least one port.
    pub const fn is_empty(self) -> bool {
        false
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self::FRAMEHAWK
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}–{}", self.lowest, self.highest)
    }
}

/// Every port of the range is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no port is free in {range}: {ours} of {} are in use by sessions here, {others} by someone else; \
     end a session or widen the range",
    range.len()
)]
pub struct Exhausted {
    /// The range that was searched.
    pub range: PortRange,
    /// Ports held by sessions of this allocator.
    pub ours: usize,
    /// Ports that turned out to be held by someone else.
    pub others: usize,
}

/// Hands out the ports of a range, lowest free one first.
#[derive(Clone, Debug, Default)]
pub struct PortAllocator {
    range: PortRange,
    in_use: BTreeSet<u16>,
}

impl PortAllocator {
    /// An allocator for `range`, none of whose ports is in use here.
    pub const fn new(range: PortRange) -> Self {
        Self { range, in_use: BTreeSet::new() }
    }

    /// Hands out the lowest port that is not in use here and that `claim` gets.
    ///
    /// Whether a port is free can only be told by taking it, so `claim` does that and returns what
    /// it took (a bound socket; nothing in virtual time), or none where someone else holds the port:
    /// such a port is skipped now and asked about again next time.
    ///
    /// # Errors
    /// [`Exhausted`] where no port could be claimed.
    pub fn allocate<T>(&mut self, mut claim: impl FnMut(u16) -> Option<T>) -> Result<(u16, T), Exhausted> {
        let mut others = 0;
        for port in self.range.ports().filter(|port| !self.in_use.contains(port)) {
            if let Some(claimed) = claim(port) {
                self.in_use.insert(port);
                return Ok((port, claimed));
            }
            others += 1;
        }
        Err(Exhausted { range: self.range, ours: self.in_use.len(), others })
    }

    /// Takes a port back; whether it was in use.
    pub fn release(&mut self, port: u16) -> bool {
        self.in_use.remove(&port)
    }

    /// The ports in use here, lowest first.
    pub fn in_use(&self) -> impl Iterator<Item = u16> {
        self.in_use.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allocate(ports: &mut PortAllocator) -> Result<u16, Exhausted> {
        ports.allocate(|_| Some(())).map(|(port, ())| port)
    }

    #[test]
    fn sessions_get_ports_bottom_up_and_the_28th_gets_3251() {
        let mut ports = PortAllocator::default();
        let given: Vec<u16> = (0..28).map(|_| allocate(&mut ports).unwrap()).collect();
        assert_eq!(given, (3224..=3251).collect::<Vec<_>>());
    }

    #[test]
    fn session_102_of_the_default_range_is_refused_with_a_clear_error() {
        let mut ports = PortAllocator::default();
        for _ in 0..101 {
            allocate(&mut ports).unwrap();
        }
        let error = allocate(&mut ports).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no port is free in 3224–3324: 101 of 101 are in use by sessions here, 0 by someone else; \
             end a session or widen the range"
        );
    }

    #[test]
    fn a_released_port_is_handed_out_again_if_it_is_the_lowest() {
        let mut ports = PortAllocator::default();
        for _ in 0..5 {
            allocate(&mut ports).unwrap();
        }
        assert!(ports.release(3227) && ports.release(3225));
        assert!(!ports.release(3225), "released twice");
        assert_eq!(allocate(&mut ports), Ok(3225));
        assert_eq!(allocate(&mut ports), Ok(3227));
        assert_eq!(allocate(&mut ports), Ok(3229));
    }

    #[test]
    fn a_port_held_by_someone_else_is_skipped_and_asked_about_again_later() {
        let mut ports = PortAllocator::new(PortRange::new(3224, 3226).unwrap());
        let held = |held: u16| move |port: u16| (port != held).then_some(port);
        assert_eq!(ports.allocate(held(3224)).unwrap(), (3225, 3225));
        assert_eq!(ports.allocate(held(0)).unwrap(), (3224, 3224));
        let error = ports.allocate(held(3226)).unwrap_err();
        assert_eq!((error.ours, error.others), (2, 1));
    }

    #[test]
    fn a_range_that_is_empty_or_has_port_zero_is_no_range() {
        assert_eq!(PortRange::new(3325, 3324), None);
        assert_eq!(PortRange::new(0, 10), None);
        assert_eq!(PortRange::new(u16::MAX, u16::MAX).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn every_port_handed_out_is_the_lowest_that_was_free(
            steps in prop::collection::vec((any::<bool>(), 100_u16..110), 0..60),
        ) {
            let range = PortRange::new(100, 109).unwrap();
            let mut ports = PortAllocator::new(range);
            let mut model = BTreeSet::new();
            for (release, port) in steps {
                if release {
                    prop_assert_eq!(ports.release(port), model.remove(&port));
                } else {
                    let lowest = range.ports().find(|port| !model.contains(port));
                    prop_assert_eq!(allocate(&mut ports).ok(), lowest);
                    model.extend(lowest);
                }
                prop_assert!(ports.in_use().eq(model.iter().copied()));
            }
        }
    }
}
