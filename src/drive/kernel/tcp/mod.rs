//! The kernel's TCP as a contender: the same application as the [model](crate::tcp)'s over ordinary
//! sockets, and a watch over the segments that these send.
//!
//! | part | does |
//! | --- | --- |
//! | [`socket`] | makes sockets with every option that decides the result set, and read back |
//! | stream | frames as bytes and back |
//! | [`KernelTcp`] | one end: a [`FrameTransport`](crate::endpoint::FrameTransport) whose packets are the kernel's |
//! | [`Tap`] | what the driver has to know of an end |
//! | [`TcpWatch`] | classifies segments as they enter the link, and settles what the other end read |
//!
//! A driver makes [`KernelTcp::server`] and [`KernelTcp::client`], each in its own namespace that
//! [`socket::prepare_namespace`] prepared; waits for [`Tap::socket`] to be readable (or writable while
//! [`Tap::wants_to_write`]), then calls
//! [`Host::handle_ready`](crate::drive::host::Host::handle_ready), and after that gives
//! [`Tap::position`] to the [`TcpWatch`].
//!
//! | | the model | here |
//! | --- | --- | --- |
//! | lost handshake | tried again after 1, 2, 4, … s | Linux: after 1, 2, 3, 4, 5, 7, … s |
//! | the socket's unsent bytes | a frame is in it as soon as it is begun | what the kernel has not yet taken of it counts as unsent |
//! | a connection that dies | cannot happen | its frames are dropped, and [`Tap::failure`] says why |

mod book;
pub mod socket;
mod stream;
mod tap;
mod transport;
mod watch;

pub use book::Book;
pub use tap::Tap;
pub use transport::KernelTcp;
pub use watch::{Seen, TcpWatch, parse};

#[cfg(test)]
mod tests;
