//! No error correction: the row that every table of codes begins with.

use super::Flush;
use super::{DecodeEvent, Decoder, Encoder, Overhead, Protect, Repair, RepairHeader, SourceMeta, Symbol};
use crate::record::Malformed;
use crate::time::Time;

/// Both halves.
#[derive(Clone, Copy, Debug)]
pub(super) struct None;

impl<S: Symbol> Encoder<S> for None {
    fn overhead(&self) -> Overhead {
        Overhead::default()
    }

    fn needs_symbols(&self) -> bool {
        false
    }

    fn push_source(&mut self, _now: Time, _meta: &SourceMeta, _symbol: &S) -> Protect<S> {
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        Option::None
    }

    fn flush(&mut self, _now: Time, _why: Flush) {}
}

impl<S: Symbol> Decoder<S> for None {
    fn needs_symbols(&self) -> bool {
        false
    }

    fn push_source(&mut self, _now: Time, _esi: u32, _symbol: &S) {}

    /// Whoever sends repair packets here talks about something else.
    fn push_repair(&mut self, _now: Time, _header: &RepairHeader, _symbol: &S) -> Result<(), Malformed> {
        Err(Malformed::UnknownKind)
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<S>> {
        Option::None
    }

    fn expire(&mut self, _esi: u32) {}
}
