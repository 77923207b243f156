//! The ports of sessions in real time: bound, and so taken for good.
//!
//! Whether a port is free is decided by the one call that takes it, so that two processes at once never
//! share a port, and neither fails because the other was quicker: it takes the next one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::drive::holders::{Owner, Protocol, holders};
use crate::drive::udp::UdpPort;
use crate::session::ports::{Exhausted, PortAllocator, PortRange};

/// Hands out bound ports of a range. Clones hand out from the same range, also in other threads.
#[derive(Clone, Debug)]
pub struct LivePorts {
    address: IpAddr,
    range: PortRange,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    allocator: PortAllocator,
    skipped: BTreeMap<u16, Option<Owner>>,
}

/// A port of the range with its socket; given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    /// The socket. It closes before the port is given back.
    pub(super) udp: UdpPort,
    pub(super) claim: Claim,
}

/// That a port is ours.
#[derive(Debug)]
pub(super) struct Claim {
    port: u16,
    ports: LivePorts,
}

/// A port that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub port: u16,
    /// Who holds it, where that can be seen.
    pub owner: Option<Owner>,
}

/// Ports that others hold, lowest first; as text the first few of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped(pub Vec<Held>);

/// Why a session got no port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// None is free.
    #[error("{exhausted}{}", in_brackets(held))]
    Exhausted {
        /// How the range is used.
        exhausted: Exhausted,
        /// What others hold.
        held: Skipped,
    },
    /// The system does not let us.
    #[error("cannot bind {address}: {error}; check that it is an address of this machine")]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl LivePorts {
    /// The ports of `range`, at this address of the machine.
    pub fn new(range: PortRange, address: IpAddr) -> Self {
        let state = State { allocator: PortAllocator::new(range), skipped: BTreeMap::new() };
        Self { address, range, state: Arc::new(Mutex::new(state)) }
    }

    /// Binds the lowest port that is free.
    ///
    /// # Errors
    /// [`PortError`] where there is none, or the address is not ours.
    pub fn lease(&self) -> Result<Lease, PortError> {
        let (mut skipped, mut failed) = (Vec::new(), None);
        let allocated = self.state().allocator.allocate(|port| {
            let address = SocketAddr::new(self.address, port);
            // What is wrong with the address is wrong with it on every port.
            if failed.is_some() {
                return None;
            }
            match UdpPort::bind(address) {
                Ok(udp) => Some(udp),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    skipped.push(port);
                    None
                }
                Err(error) => {
                    failed = Some(PortError::Bind { address, error });
                    None
                }
            }
        });
        self.note(&skipped);
        match (allocated, failed) {
            (Ok((port, udp)), _) => Ok(Lease { udp, claim: Claim { port, ports: self.clone() } }),
            (Err(_), Some(failed)) => Err(failed),
            (Err(exhausted), None) => {
                let held = self.skipped().0.into_iter().filter(|held| skipped.contains(&held.port));
                Err(PortError::Exhausted { exhausted, held: Skipped(held.collect()) })
            }
        }
    }

    /// The ports that were skipped because someone else held them, lowest first.
    pub fn skipped(&self) -> Skipped {
        let state = self.state();
        let held = state.skipped.iter().map(|(&port, owner)| Held { port, owner: owner.clone() });
        Skipped(held.collect())
    }

    /// Looks up who holds the ports that were skipped for the first time.
    fn note(&self, skipped: &[u16]) {
        let mut state = self.state();
        if skipped.iter().all(|port| state.skipped.contains_key(port)) {
            return;
        }
        // Where the list cannot be read, someone holds them.
        let mut holders = holders(self.range).unwrap_or_default();
        holders.retain(|holder| holder.protocol == Protocol::Udp && holder.hinders(self.address));
        for &port in skipped {
            let holder = holders.iter().find(|holder| holder.local.port() == port);
            state.skipped.insert(port, holder.and_then(|holder| holder.owner.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that died in here left nothing half done: every step is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The port.
    pub const fn port(&self) -> u16 {
        self.claim.port
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ports.state().allocator.release(self.port);
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{} by {owner}", self.port),
            None => write!(f, "{} by someone", self.port),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (index, held) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{held}", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len() {
            0..=SHOWN => Ok(()),
            more => write!(f, " and {} more; see `fhsim ports`", more - SHOWN),
        }
    }
}

/// What others hold, as the end of a sentence.
fn in_brackets(held: &Skipped) -> String {
    if held.0.is_empty() { String::new() } else { format!(" (held: {held})") }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_that_is_dropped_is_the_next_to_be_bound_again() {
        // A range of this test's own, below the ports that the system gives out.
        let ports = LivePorts::new(PortRange::new(24_100, 24_120).unwrap(), LOOPBACK);
        let (first, _second) = (ports.lease().unwrap(), ports.lease().unwrap());
        let port = first.port();
        drop(first);
        assert_eq!(ports.lease().unwrap().port(), port);
    }

    #[test]
    fn an_address_that_is_not_ours_is_an_error_of_its_own() {
        // TEST-NET-1 (RFC 5737).
        let ports = LivePorts::new(PortRange::FRAMEHAWK, Ipv4Addr::new(192, 0, 2, 1).into());
        let error = ports.lease().unwrap_err();
        assert!(matches!(error, PortError::Bind { .. }), "{error}");
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }

    #[test]
    fn a_full_range_names_the_first_few_that_hold_it() {
        let owner = |pid| Some(Owner { pid, command: "iperf3".to_owned() });
        let held: Vec<Held> = (1..=6).map(|n| Held { port: n, owner: owner(u32::from(n)) }).collect();
        assert_eq!(in_brackets(&Skipped(held[..1].to_vec())), " (held: 1 by iperf3 (pid 1))");
        assert!(in_brackets(&Skipped(held)).ends_with(" and 2 more; see `fhsim ports`)"));
        assert_eq!(in_brackets(&Skipped(Vec::new())), "");
        assert_eq!(Held { port: 7, owner: None }.to_string(), "7 by someone");
    }
}
