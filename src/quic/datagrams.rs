//! The sending half on unreliable datagrams (RFC 9221): a frame is cut into pieces, and nothing is sent
//! twice.
//!
//! A piece is its number in four bytes, the same fields about its frame that a source packet has over UDP
//! ([`Fragment`]), and its bytes.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn_proto::Connection;

use super::plaintext::TAG_LEN;
use super::setup::ID_LEN;
use super::streams::Carried;
use crate::endpoint::{Flow, FrameEvent, Stale};
use crate::frame::Frame;
use crate::record::{Event, Malformed};
use crate::time::Time;
use crate::transport::filler;
use crate::transport::packet::{Fragment, Source};
use crate::transport::queue::Queue;
use crate::transport::trace::Trace;

/// Bytes in front of a piece.
const HEADER_LEN: usize = 4 + Fragment::LEN;

/// What quinn-proto takes off the largest datagram for the header, the longest packet number, the tag, and
/// the frame's type and length.
const OVERHEAD: usize = 1 + ID_LEN + 4 + TAG_LEN + 9;

/// The most bytes of a frame in a packet whose UDP payload has at most so many.
pub(super) const fn piece_max(payload_max: u16) -> u32 {
    (payload_max as usize).saturating_sub(OVERHEAD + HEADER_LEN) as u32
}

/// What waits to be sent in datagrams.
#[derive(Debug)]
pub(super) struct DatagramSender {
    flow: Flow,
    stale: Stale,
    queue: Queue,
    /// The numbers of the next piece to cut, and of the next to leave.
    next: u64,
    leaving: u64,
    /// Bytes of pieces handed to the connection that have not left, headers counted.
    unsent: u64,
    /// How many unsent bytes make the connection take no more.
    low_water: u64,
    last_sent: Time,
}

impl DatagramSender {
    /// A sender whose connection always has a packet to send, where there is any; its UDP payload has at
    /// most `payload_max` bytes.
    pub(super) fn new(flow: Flow, stale: Stale, payload_max: u16) -> Self {
        Self {
            flow,
            stale,
            queue: Queue::new(piece_max(payload_max)),
            next: 0,
            leaving: 0,
            unsent: 0,
            low_water: u64::from(payload_max),
            last_sent: Time::ZERO,
        }
    }

    /// Takes a frame, or gives it back where the queue is full.
    pub(super) fn offer(&mut self, frame: Frame) -> Result<(), Frame> {
        self.queue.push(frame)
    }

    /// Bytes of frames that were not sent.
    pub(super) fn backlog(&self) -> u64 {
        self.queue.bytes() + self.unsent
    }

    /// When the last piece left, or [`Time::NEVER`] while some wait.
    pub(super) fn last_sent(&self) -> Time {
        if self.unsent > 0 { Time::NEVER } else { self.last_sent }
    }

    /// Drops frames of which nothing was sent and that come too late where what leaves now comes at
    /// `arrival`, and hands over to the connection what it can send next.
    pub(super) fn fill(
        &mut self,
        trace: &mut Trace,
        connection: &mut Connection,
        arrival: Time,
        events: &mut VecDeque<FrameEvent>,
    ) {
        while self.stale == Stale::Drop
            && let Some(frame) = self.queue.drop_stale(arrival)
        {
            trace.tell(Event::FrameDropped { frame, begun: false });
            events.push_back(FrameEvent::Dropped(frame));
        }
        // None until the other end has said that it takes datagrams.
        let ready = connection.datagrams().max_size().is_some();
        while ready
            && self.unsent < self.low_water
            && let Some(piece) = self.cut()
        {
            self.unsent += piece.len() as u64;
            let sent = connection.datagrams().send(piece, false);
            debug_assert!(sent.is_ok(), "the buffer is larger than what waits in it, and pieces fit packets");
        }
    }

    fn cut(&mut self) -> Option<Bytes> {
        let cut = self.queue.front()?;
        let fragment = Fragment::of(cut.frame, cut.index, cut.count);
        let payload = filler::payload(self.flow, cut.frame, &fragment);
        let mut piece = BytesMut::with_capacity(HEADER_LEN + payload.len());
        piece.put_u32(self.next as u32);
        fragment.encode(&mut piece);
        piece.put_slice(&payload);
        self.next += 1;
        self.queue.advance(payload.len() as u32);
        Some(piece.freeze())
    }

    /// A piece leaves.
    pub(super) fn sent(&mut self, trace: &mut Trace, piece: &[u8], carried: &mut Carried) {
        self.unsent = self.unsent.saturating_sub(piece.len() as u64);
        self.last_sent = trace.now;
        let bytes = piece.len().saturating_sub(HEADER_LEN) as u32;
        carried.first += bytes;
        trace.tell(Event::SourceSent { source: self.leaving, bytes });
        self.leaving += 1;
    }
}

/// Reads a piece and its number.
pub(super) fn decode(mut piece: Bytes) -> Result<Source, Malformed> {
    if piece.len() < HEADER_LEN {
        return Err(Malformed::Truncated);
    }
    let esi = piece.get_u32();
    let (fragment, payload) = Fragment::decode(piece)?;
    if payload.len() != fragment.payload_len() {
        return Err(Malformed::InvalidField);
    }
    Ok(Source { esi, fragment, payload, riders: Vec::new() })
}
