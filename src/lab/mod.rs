//! The laboratory: codes compared beside each other, and beside theory.

pub mod rank;
