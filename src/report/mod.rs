//! What a person and what a program read of an outcome.

pub mod agreement;
pub mod bench;
pub mod csv;
#[cfg(test)]
mod example;
pub mod expected;
pub mod json;
pub mod layout;
pub mod live;
pub mod real_time;
mod sharing;
pub mod table;
pub mod verdict;
