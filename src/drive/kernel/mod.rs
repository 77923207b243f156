//! The kernel path (Linux): ordinary kernel sockets as contenders.

mod sys;
pub mod tcp;
