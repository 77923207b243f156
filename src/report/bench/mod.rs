//! What a person and what a program read of a grid of strategies and links.

pub mod csv;
pub mod json;
pub mod table;
