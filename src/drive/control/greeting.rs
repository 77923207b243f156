//! How two machines find out whether they can talk, before either believes anything of the other.
//!
//! ```text
//! client                                server
//!   greeting            ------------>
//!           <------------ greeting, proof
//!   proof               ------------>
//!   words               <----------->  words
//! ```
//!
//! | offset | bytes | field | |
//! | --- | --- | --- | --- |
//! | 0 | 8 | name | `fhsim/ct` |
//! | 8 | 6 | version | of the program, three numbers of 2 bytes, big-endian |
//! | 14 | 1 | key | 1 where the end has a key, else 0 |
//! | 15 | 32 | random | fresh, so that no conversation is like another |
//!
//! The greetings stay as they are in all versions, so that ends of different versions can say so. They are
//! in the clear; but the keys of the conversation are made of all their bytes ([`Key::conversation`]), so
//! who alters one is found out like one with another key. Proofs are sent, and what is sealed with the key
//! begins, only where both ends have one.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

use super::sealed::{Opener, Sealer};
use super::{BUFFER, Disagreement, Patient};
use crate::session::key::Key;

/// What an end says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    version: [u16; 3],
    keyed: bool,
    random: [u8; 32],
}

/// Both ways of a conversation, once the ends have agreed.
pub(super) type Ways = (Sealer<BufWriter<TcpStream>>, Opener<BufReader<Patient>>);

/// Which end of the conversation this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

impl Greeting {
    const NAME: [u8; 8] = *b"fhsim/ct";
    pub(super) const LEN: usize = 47;

    pub(super) fn new(key: Option<&Key>) -> io::Result<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let version = [
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR"),
            env!("CARGO_PKG_VERSION_PATCH"),
        ]
        .map(|number| number.parse().unwrap_or(u16::MAX));
        Ok(Self { version, keyed: key.is_some(), random })
    }

    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&Self::NAME);
        for (place, number) in bytes[8..14].chunks_exact_mut(2).zip(self.version) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes[14] = u8::from(self.keyed);
        bytes[15..].copy_from_slice(&self.random);
        bytes
    }

    /// Reads the other end's; who does not open with the name is a stranger, and is not waited for.
    fn read(input: &mut impl Read) -> Result<Self, Disagreement> {
        let mut bytes = [0; Self::LEN];
        let (name, rest) = bytes.split_at_mut(Self::NAME.len());
        input.read_exact(name)?;
        if name != Self::NAME {
            return Err(Disagreement::Stranger);
        }
        input.read_exact(rest)?;
        let keyed = match rest[6] {
            0 => false,
            1 => true,
            _ => return Err(Disagreement::Stranger),
        };
        let number = |place: usize| u16::from_be_bytes([rest[2 * place], rest[2 * place + 1]]);
        let mut random = [0; 32];
        random.copy_from_slice(&rest[7..]);
        Ok(Self { version: [0, 1, 2].map(number), keyed, random })
    }

    /// Why an end that greets so cannot talk with one that greets like `theirs`.
    fn objection(&self, theirs: &Self) -> Option<Disagreement> {
        if self.version != theirs.version {
            return Some(Disagreement::Version { ours: self.version, theirs: theirs.version });
        }
        match (self.keyed, theirs.keyed) {
            (true, false) => Some(Disagreement::NoKeyThere),
            (false, true) => Some(Disagreement::NoKeyHere),
            _ => None,
        }
    }
}

/// Greets the other end of `stream`, and makes sure that it has our key, if we have one.
///
/// Both ends say what they have to say before they object to the other, so that it can object too.
pub(super) fn greet(
    stream: TcpStream,
    mut heard: BufReader<Patient>,
    end: End,
    key: Option<&Key>,
) -> Result<Ways, Disagreement> {
    let mut spoken = BufWriter::with_capacity(BUFFER, stream);
    let ours = Greeting::new(key)?;
    if end == End::Client {
        spoken.write_all(&ours.encode())?;
        spoken.flush()?;
    }
    let theirs = Greeting::read(&mut heard)?;
    if end == End::Server {
        spoken.write_all(&ours.encode())?;
    }
    if let Some(objection) = ours.objection(&theirs) {
        // A client that objects has nothing more to say.
        spoken.flush()?;
        return Err(objection);
    }
    let Some(key) = key else {
        spoken.flush()?;
        return Ok((Sealer::new(spoken, None), Opener::new(heard, None)));
    };
    let (client, server) = if end == End::Client { (ours, theirs) } else { (theirs, ours) };
    let [of_client, of_server] = key.conversation(&[client.encode(), server.encode()].concat());
    let (outgoing, incoming) =
        if end == End::Client { (of_client, of_server) } else { (of_server, of_client) };
    let mut sealer = Sealer::new(spoken, Some(outgoing));
    let mut opener = Opener::new(heard, Some(incoming));
    sealer.prove()?;
    if opener.is_proven()? { Ok((sealer, opener)) } else { Err(Disagreement::OtherKey) }
}
