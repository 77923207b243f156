//! The kernel path (Linux): two network namespaces with a TUN device each and the impaired path between
//! them, so that ordinary sockets of the kernel cross it packet by packet.
//!
//! | file | duty |
//! | --- | --- |
//! | [`namespace`] | makes the two namespaces, with [`netlink`] and without any program |
//! | [`tun`] | reads and writes packets |
//! | [`relay`] | carries them over the [links](super::links), never early |
//! | [`wait`] | sleeps until something is due or comes |
//! | [`tcp`] | the kernel's TCP as a contender |
//! | [`sys`] | the system calls that no crate wraps |

pub mod namespace;
mod netlink;
pub mod packet;
pub mod probe;
pub mod relay;
pub mod sys;
pub mod tcp;
mod tun;
pub mod wait;

pub use namespace::{Namespaces, Side};
pub use packet::IpPacket;
pub use relay::Relay;
pub use tun::Tun;
