//! Drivers: whoever owns the clock and the network and feeds the ends.

mod alarms;
mod datagram;
pub mod host;
pub mod sim;
