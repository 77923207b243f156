//! The packets of a session: put into envelopes and taken out of them, once each.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::door::Reason;
use super::key::{Cipher, Key, TAG_LEN};
use super::setup::Transcript;
use crate::transport::Packet;
use crate::transport::numbers::{JUMP_MAX, WINDOW};
use crate::transport::packet::{ENVELOPE_LEN, Header, VERSION};
use crate::transport::window::{Window, expand};

/// What an end of a session needs to send packets and to take those of the other.
#[derive(Debug)]
pub(super) struct Sealing {
    /// Of what is sent and of what arrives, if there is a key.
    ciphers: Option<[Cipher; 2]>,
    /// One above the largest packet number sent.
    sent: u64,
    /// The packet numbers that arrived.
    arrived: Window,
    /// One above the largest of them.
    next: u64,
}

impl Sealing {
    /// That of the session's client.
    pub(super) fn client(key: Option<&Key>, said: &Transcript) -> Self {
        Self::new(key.map(|key| key.ciphers(said)))
    }

    /// That of the session's server.
    pub(super) fn server(key: Option<&Key>, said: &Transcript) -> Self {
        Self::new(key.map(|key| {
            let [client, server] = key.ciphers(said);
            [server, client]
        }))
    }

    fn new(ciphers: Option<[Cipher; 2]>) -> Self {
        Self { ciphers, sent: 0, arrived: Window::new(WINDOW), next: 0 }
    }

    /// Writes the datagram of `packet` to the end with identity `to` behind what is in `out`.
    pub(super) fn seal(&mut self, to: u32, packet: &Packet, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(to);
        packet.encode(out);
        let low = packet.header.number;
        let number = expand(low, self.sent).unwrap_or(u64::from(low));
        self.sent = self.sent.max(number + 1);
        if let Some([outgoing, _]) = &self.ciphers {
            let (clear, body) = out[start..].split_at_mut(CLEAR_LEN);
            let tag = outgoing.seal(number, clear, body);
            out.put_slice(&tag);
        }
    }

    /// The packet in `datagram`, which bears our identity.
    pub(super) fn open(&mut self, datagram: Bytes) -> Result<Bytes, Reason> {
        let tag_len = if self.ciphers.is_some() { TAG_LEN } else { 0 };
        if datagram.len() < ENVELOPE_LEN + Header::LEN + tag_len {
            return Err(Reason::Malformed);
        }
        let mut clear = &datagram[ENVELOPE_LEN..CLEAR_LEN];
        let first = clear.get_u8();
        if first >> 5 != VERSION || !(1..=5).contains(&(first & 7)) {
            return Err(Reason::Malformed);
        }
        let number = expand(clear.get_u32(), self.next).ok_or(Reason::Malformed)?;
        // Such a jump would push everything that is still to come out of the window.
        if number >= self.next + JUMP_MAX {
            return Err(Reason::Malformed);
        }
        if number < self.arrived.start() || self.arrived.contains(number) {
            return Err(Reason::Replayed);
        }
        let packet = match &self.ciphers {
            Some([_, incoming]) => decrypt(incoming, number, datagram)?,
            None => datagram.slice(ENVELOPE_LEN..),
        };
        self.note(number);
        Ok(packet)
    }

    /// Only what is authentic may move the window (RFC 4303 §3.4.3).
    fn note(&mut self, number: u64) {
        if number >= self.arrived.end() {
            self.arrived.slide_to(number + 1 - WINDOW);
        }
        self.arrived.insert(number);
        self.next = self.next.max(number + 1);
    }
}

/// Bytes at the front of a datagram that are not encrypted, because the number is needed to decrypt the
/// rest: the envelope, the first byte and the number.
const CLEAR_LEN: usize = ENVELOPE_LEN + 5;

fn decrypt(cipher: &Cipher, number: u64, datagram: Bytes) -> Result<Bytes, Reason> {
    let mut datagram = datagram.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let (packet, tag) = datagram.split_last_chunk_mut().ok_or(Reason::Malformed)?;
    let (tag, end) = (*tag, packet.len());
    let (clear, body) = packet.split_at_mut(CLEAR_LEN);
    if !cipher.open(number, clear, body, tag) {
        return Err(Reason::NotAuthentic);
    }
    datagram.truncate(end);
    datagram.advance(ENVELOPE_LEN);
    Ok(datagram.freeze())
}
