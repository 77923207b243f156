//! framehawk-sim: over this link, for this traffic and this deadline, what does the person at the
//! screen see under TCP, what under UDP with error correction, and what does it cost in bytes?
//!
//! The modules in reading order; imports point from later ones to earlier ones only.

// The vocabulary.
pub mod time;
pub mod units;

pub mod rng;

pub mod frame;

pub mod record;

pub mod endpoint;

// The parts: links, codes, protocols, applications.
pub mod impair;

pub mod fec;
pub mod transport;

pub mod tcp;

pub mod quic;

pub mod session;

pub mod traffic;

// Running and measuring.
pub mod ledger;

pub mod drive;

pub mod measure;

pub mod scenario;

pub mod runner;

pub mod lab;

pub mod report;
