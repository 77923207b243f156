//! How far a door is, and why it may never open.

use std::net::SocketAddr;

use super::retry::TRIES;
use crate::transport::packet::VERSION;

/// Whether a session is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet.
    Waiting,
    /// It is.
    Open {
        /// The address of the other end.
        peer: SocketAddr,
    },
    /// It never will be.
    Failed(Failure),
}

/// Why a client was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody answered, or nobody with our key.
    #[error(
        "no answer from {server} to {TRIES} datagrams; check that it is started, that the address is right, \
         and that firewalls let UDP through both ways"
    )]
    Silence {
        /// Who was asked.
        server: SocketAddr,
    },
    /// The other end speaks another version of the protocol.
    #[error(
        "the other end speaks version {theirs} of the protocol, this one version {VERSION}; use the same program at both ends"
    )]
    Version {
        /// The other end's version.
        theirs: u8,
    },
    /// The other end has a session.
    #[error("{server} has a session with someone else; use another port, or wait until that ends")]
    Busy {
        /// Who was asked.
        server: SocketAddr,
    },
    /// The ends do not have the same key.
    #[error("{server} has another key, or only one end has one; give both the same key, or none")]
    Key {
        /// Who was asked.
        server: SocketAddr,
    },
}
