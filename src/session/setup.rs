//! What two doors say to each other: the datagrams that set a session up, and those that compare clocks.
//!
//! Each opens with an envelope like every datagram ([`packet`](crate::transport::packet)); a hello, whose
//! sender knows no identity yet, with zeros. Offsets count from behind it.
//!
//! | offset | bytes | field | |
//! | --- | --- | --- | --- |
//! | 0 | 1 | version, flag, kind | bits 5–7 [`VERSION`]; bit 3: a tag is at the end; bits 0–2: [`SETUP`] |
//! | 1 | 1 | what | 1 hello, 2 welcome, 3 confirm, 4 ready, 5 refusal, 6 probe, 7 answer |
//! | 2 | | hello, welcome | the sender's identity, 4, and random, 16 |
//! | 2 | | confirm | the client's identity, 4, and random, 16; the server's random, 16 |
//! | 2 | | refusal | why, 1: 1 version, 2 busy, 3 key |
//! | 2 | | probe, answer | three times of 8, nanoseconds of their clocks |
//! | | 16 | tag | of what both have said so far and of this datagram |
//!
//! In all versions the kind, a hello's identity and a refusal stay where they are, so that ends of
//! different versions can say so (RFC 8999 is QUIC's list of such promises). No answer is longer than
//! what it answers.

use bytes::{Buf, BufMut, BytesMut};
use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;

use super::key::{Key, TAG_LEN};
use crate::time::Time;
use crate::transport::packet::{SETUP, VERSION};

/// What an end brings to the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    /// What is in the envelope of datagrams to it.
    pub(super) identity: u32,
    /// Makes the session unlike all others.
    pub(super) random: [u8; 16],
}

/// What both ends have brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transcript {
    pub(super) client: Introduction,
    pub(super) server: Introduction,
}

/// What a set-up datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// The client would like to come in.
    Hello(Introduction),
    /// A client of another version would.
    ForeignHello {
        /// Its identity.
        identity: u32,
    },
    /// The server says who it is, and asks whether the client is where it says it is.
    Welcome(Introduction),
    /// The client has heard that; it tells all that the server has forgotten in the meantime.
    Confirm {
        /// What it said before.
        client: Introduction,
        /// The server's random.
        random: [u8; 16],
    },
    /// The session is open.
    Ready,
    /// It is not going to be.
    Refusal(Refusal),
    /// The client asks for the time: when it sent this; when the server sent its last answer, and when
    /// that arrived ([`Time::ZERO`]: never).
    Probe([Time; 3]),
    /// The server tells it: the probe's first time, when the probe arrived, when this was sent.
    Answer([Time; 3]),
}

/// Why a server lets a client not in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It speaks another version.
    Version(u8),
    /// It has a session.
    Busy,
    /// It has another key, or only one of both has one.
    Key,
}

/// A set-up datagram that has been read.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    /// The identity in its envelope.
    pub(super) to: u32,
    pub(super) setup: Setup,
    /// Everything before the tag.
    signed: &'a [u8],
    tag: Option<&'a [u8]>,
}

impl Setup {
    /// Writes the datagram to the end with identity `to` behind what is in `out`, with a tag if there is
    /// a `key`; `said` is what both ends have said, once both have.
    pub(super) fn encode(&self, to: u32, key: Option<&Key>, said: Option<&Transcript>, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(to);
        // Refusals go to those whose tags we cannot check, so they have none.
        let key = key.filter(|_| !matches!(self, Self::Refusal(_)));
        out.put_u8(VERSION << 5 | u8::from(key.is_some()) << 3 | SETUP);
        out.put_u8(self.what());
        match self {
            Self::Hello(sender) | Self::Welcome(sender) => sender.encode(out),
            Self::ForeignHello { .. } => unreachable!("nobody sends what another version would"),
            Self::Confirm { client, random } => {
                client.encode(out);
                out.put_slice(random);
            }
            Self::Ready => {}
            Self::Refusal(refusal) => out.put_u8(refusal.code()),
            Self::Probe(times) | Self::Answer(times) => {
                times.iter().for_each(|time| out.put_u64(time.as_nanos()));
            }
        }
        if let Some(key) = key {
            let tag = key.tag(said, &out[start..]);
            out.put_slice(&tag);
        }
    }

    fn what(&self) -> u8 {
        match self {
            Self::Hello(_) | Self::ForeignHello { .. } => 1,
            Self::Welcome(_) => 2,
            Self::Confirm { .. } => 3,
            Self::Ready => 4,
            Self::Refusal(_) => 5,
            Self::Probe(_) => 6,
            Self::Answer(_) => 7,
        }
    }

    /// Reads what comes behind the kind, all of it.
    fn decode(mut rest: &[u8]) -> Option<Self> {
        let setup = match rest.try_get_u8().ok()? {
            1 => Self::Hello(Introduction::decode(&mut rest)?),
            2 => Self::Welcome(Introduction::decode(&mut rest)?),
            3 => Self::Confirm { client: Introduction::decode(&mut rest)?, random: take_random(&mut rest)? },
            4 => Self::Ready,
            5 => Self::Refusal(match rest.try_get_u8().ok()? {
                2 => Refusal::Busy,
                3 => Refusal::Key,
                _ => return None,
            }),
            6 => Self::Probe(take_times(&mut rest)?),
            7 => Self::Answer(take_times(&mut rest)?),
            _ => return None,
        };
        rest.is_empty().then_some(setup)
    }

    /// Reads what comes behind the kind in a datagram of another version.
    fn decode_foreign(version: u8, mut rest: &[u8]) -> Option<Self> {
        match rest.try_get_u8().ok()? {
            1 => Some(Self::ForeignHello { identity: rest.try_get_u32().ok()? }),
            5 => Some(Self::Refusal(Refusal::Version(version))),
            _ => None,
        }
    }
}

impl<'a> Letter<'a> {
    /// Reads a datagram; none where it is no set-up datagram.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let mut rest = datagram;
        let to = rest.try_get_u32().ok()?;
        let first = rest.try_get_u8().ok()?;
        if first & 7 != SETUP {
            return None;
        }
        let version = first >> 5;
        if version != VERSION {
            let setup = Setup::decode_foreign(version, rest)?;
            return Some(Self { to, setup, signed: datagram, tag: None });
        }
        // The bits that mean nothing are zero, so that they can mean something one day.
        if first & 0b1_0000 != 0 {
            return None;
        }
        let tagged = if first & 0b1000 == 0 { 0 } else { TAG_LEN };
        let (body, _) = rest.split_at_checked(rest.len().checked_sub(tagged)?)?;
        let (signed, tag) = datagram.split_at(datagram.len() - tagged);
        Some(Self { to, setup: Setup::decode(body)?, signed, tag: (tagged > 0).then_some(tag) })
    }

    /// Whether it comes from someone with our `key`; without one, whether it asks for none.
    pub(super) fn is_authentic(&self, key: Option<&Key>, said: Option<&Transcript>) -> bool {
        match (key, self.tag) {
            (None, None) => true,
            (Some(key), Some(tag)) => key.verifies(said, self.signed, tag),
            _ => false,
        }
    }
}

impl Introduction {
    /// The first bytes of a keyed hash, which nobody can guess.
    pub(super) fn of(hash: Hmac<Sha256>) -> Self {
        let hash = hash.finalize().into_bytes();
        let byte = |place: usize| hash[place];
        Self {
            identity: u32::from_be_bytes(std::array::from_fn(byte)),
            random: std::array::from_fn(|place| byte(4 + place)),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.identity);
        out.put_slice(&self.random);
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        Some(Self { identity: rest.try_get_u32().ok()?, random: take_random(rest)? })
    }

    /// Its bytes, as on the wire.
    pub(super) fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.identity.to_be_bytes());
        bytes[4..].copy_from_slice(&self.random);
        bytes
    }
}

impl Transcript {
    /// Its bytes, the client's first.
    pub(super) fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..20].copy_from_slice(&self.client.to_bytes());
        bytes[20..].copy_from_slice(&self.server.to_bytes());
        bytes
    }
}

impl Refusal {
    fn code(self) -> u8 {
        match self {
            Self::Version(_) => 1,
            Self::Busy => 2,
            Self::Key => 3,
        }
    }
}

fn take_random(rest: &mut &[u8]) -> Option<[u8; 16]> {
    let (random, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*random)
}

fn take_times(rest: &mut &[u8]) -> Option<[Time; 3]> {
    let mut times = [Time::ZERO; 3];
    for time in &mut times {
        *time = Time::from_nanos(rest.try_get_u64().ok()?);
    }
    Some(times)
}
