//! Drivers: whoever owns the clock and the network and feeds the ends.

mod alarms;
pub mod sim;
