//! Sessions: one sender/receiver pair each, on a port of its own.

pub mod ports;
