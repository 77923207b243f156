//! Sessions: one sender/receiver pair each, on a port of its own.

pub mod door;
pub mod key;
pub mod ports;
mod sealing;
mod setup;
