//! What codes should leave, by formula: exact laws of loss after repair, to stand beside what was
//! measured and to choose redundancy by.
//!
//! Channels are those of Gilbert and Elliott, stepped by packet ([`Channel`]); independent losses are
//! the one without memory. Everything here is deterministic and allocates little: sums of positive
//! terms only, so that the smallest chances keep their digits.

pub mod block;
mod channel;

pub use block::{LossCount, losses_exceed};
pub use channel::Channel;
