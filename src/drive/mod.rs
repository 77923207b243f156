//! Drivers: whoever owns the clock and the network and feeds the ends.
//!
//! | driver | clock | network |
//! | --- | --- | --- |
//! | [`sim`] | jumps from event to event | none: links hand packets over |
//! | [`live`] | the machine's | UDP sockets of this machine, a link in front of each |
//! | `kernel` (Linux) | the machine's | the kernel's own UDP and TCP, between two network namespaces |
//!
//! They share the ends and the [links](Links). A driver in real time tells what happens as
//! [messages](message), which may come from another process, and how well it kept [time](timing).

mod alarms;
pub mod clock;
pub mod control;
mod datagram;
mod ends;
pub mod holders;
pub mod host;
#[cfg(target_os = "linux")]
pub mod kernel;
mod links;
pub mod live;
pub mod message;
pub mod patience;
pub mod sim;
pub mod timing;
pub mod udp;

pub use datagram::Datagram;
pub use links::Links;
