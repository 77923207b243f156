//! The kernel path (Linux): two network namespaces with a TUN device each and the impaired path between
//! them, so that ordinary sockets of the kernel cross it packet by packet.
//!
//! | file | duty |
//! | --- | --- |
//! | [`namespace`] | makes the two namespaces, with `netlink` and without any program |
//! | `tun` | reads and writes packets |
//! | `offload` | cuts large packets of the kernel into those that fit the MTU, and joins these again |
//! | [`relay`] | carries them over the [links](super::Links), never early |
//! | [`wait`] | sleeps until something is due or comes |
//! | [`tcp`] | the kernel's TCP as a contender |
//! | [`trial`] | plays a trial over them |
//! | [`link`](mod@link) | runs any two programs at the ends of a path |
//! | [`processes`] | ends everything that a program started together with it |
//! | [`probe`] | measures what the machine can do |
//! | [`sys`] | the system calls that no crate wraps |

pub mod link;
pub mod namespace;
mod netlink;
mod offload;
pub mod packet;
pub mod probe;
pub mod processes;
pub mod relay;
pub mod sys;
pub mod tcp;
pub mod trial;
mod tun;
pub mod wait;

pub use namespace::{Namespaces, Side};
pub use packet::IpPacket;
pub use relay::Relay;
pub use tun::Tun;
