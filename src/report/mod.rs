//! What a person and what a program read of an outcome.

pub mod csv;
#[cfg(test)]
mod example;
pub mod json;
pub mod table;
pub mod verdict;
