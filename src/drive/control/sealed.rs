//! A conversation as a stream of bytes in portions, each sealed where there is a key.
//!
//! | offset | bytes | field | |
//! | --- | --- | --- | --- |
//! | 0 | 2 | length | bytes of the portion, at most 16,384, little-endian |
//! | 2 | | portion | encrypted where there is a key (ChaCha20-Poly1305, RFC 8439) |
//! | | 16 | tag | of length and portion, where there is a key |
//!
//! As in TLS 1.3 (RFC 8446 §5.3) the nonce is the number of the portion, counted from 0 and never sent, so
//! that a portion that is left out, doubled, moved or altered ends the conversation. An end of it that
//! somebody on the way made up is no different from a broken connection; whoever listens knows from what was
//! said whether more was to come.

use std::io::{self, ErrorKind, Read, Write};

use crate::session::key::{Cipher, TAG_LEN};

/// The longest portion in bytes, as in TLS.
const PORTION_MAX: usize = 1 << 14;

/// Bytes of a portion's length.
const LENGTH_LEN: usize = 2;

/// Puts what is written into portions.
#[derive(Debug)]
pub(super) struct Sealer<W> {
    output: W,
    cipher: Option<Cipher>,
    /// The number of the next portion.
    number: u64,
    portion: Vec<u8>,
}

/// Takes what is read out of portions.
#[derive(Debug)]
pub(super) struct Opener<R> {
    input: R,
    cipher: Option<Cipher>,
    /// The number of the next portion.
    number: u64,
    portion: Vec<u8>,
    /// Bytes of it that have been read.
    read: usize,
}

impl<W: Write> Sealer<W> {
    pub(super) fn new(output: W, cipher: Option<Cipher>) -> Self {
        Self { output, cipher, number: 0, portion: Vec::new() }
    }

    /// Shows the other end that this one has the key: by an empty portion, the first of all.
    pub(super) fn prove(&mut self) -> io::Result<()> {
        self.seal()?;
        self.output.flush()
    }

    pub(super) const fn output(&self) -> &W {
        &self.output
    }

    fn seal(&mut self) -> io::Result<()> {
        // Portions are shorter than 2^16.
        let length = (self.portion.len() as u16).to_le_bytes();
        self.output.write_all(&length)?;
        let tag = self.cipher.as_ref().map(|cipher| cipher.seal(self.number, &length, &mut self.portion));
        self.number += 1;
        self.output.write_all(&self.portion)?;
        self.portion.clear();
        tag.map_or(Ok(()), |tag| self.output.write_all(&tag))
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PORTION_MAX - self.portion.len());
        self.portion.extend_from_slice(&bytes[..taken]);
        if self.portion.len() == PORTION_MAX {
            self.seal()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.portion.is_empty() {
            self.seal()?;
        }
        self.output.flush()
    }
}

impl<R: Read> Opener<R> {
    pub(super) fn new(input: R, cipher: Option<Cipher>) -> Self {
        Self { input, cipher, number: 0, portion: Vec::new(), read: 0 }
    }

    /// Whether the other end shows that it has the key; see [`Sealer::prove`].
    pub(super) fn is_proven(&mut self) -> io::Result<bool> {
        match self.open() {
            Ok(true) => Ok(self.portion.is_empty()),
            Ok(false) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Takes in the next portion; false where the stream has ended in front of one.
    fn open(&mut self) -> io::Result<bool> {
        let mut length = [0; LENGTH_LEN];
        if self.input.read(&mut length[..1])? == 0 {
            return Ok(false);
        }
        self.input.read_exact(&mut length[1..])?;
        let bytes = usize::from(u16::from_le_bytes(length));
        if bytes > PORTION_MAX {
            return Err(invalid("a portion is too long"));
        }
        self.read = 0;
        self.portion.resize(bytes, 0);
        self.input.read_exact(&mut self.portion)?;
        if let Some(cipher) = &self.cipher {
            let mut tag = [0; TAG_LEN];
            self.input.read_exact(&mut tag)?;
            if !cipher.open(self.number, &length, &mut self.portion, tag) {
                // Nothing is read of what is not authentic.
                self.portion.clear();
                return Err(invalid("what was said has been altered on the way"));
            }
        }
        self.number += 1;
        Ok(true)
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.portion.len() {
            if !self.open()? {
                return Ok(0);
            }
            // Nobody says nothing; who does might do so for ever.
            if self.portion.is_empty() {
                return Err(invalid("a portion is empty"));
            }
        }
        let taken = out.len().min(self.portion.len() - self.read);
        out[..taken].copy_from_slice(&self.portion[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::key::tests::key;

    fn cipher(of: Option<u8>) -> Option<Cipher> {
        let [client, _] = key(of?).conversation(b"an opening");
        Some(client)
    }

    /// What crosses the connection when these are said one after the other, flushed each.
    fn said(words: &[&[u8]], of: Option<u8>) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), cipher(of));
        sealer.prove().unwrap();
        for word in words {
            sealer.write_all(word).unwrap();
            sealer.flush().unwrap();
        }
        sealer.output
    }

    fn heard(bytes: &[u8], of: Option<u8>) -> io::Result<Vec<u8>> {
        let mut opener = Opener::new(bytes, cipher(of));
        if !opener.is_proven()? {
            return Err(invalid("no proof"));
        }
        let mut heard = Vec::new();
        opener.read_to_end(&mut heard).map(|_| heard)
    }

    #[test]
    fn what_is_long_goes_in_several_portions() {
        let long = vec![7; 3 * PORTION_MAX + 5];
        for of in [None, Some(1)] {
            let bytes = said(&[&long], of);
            let tag = if of.is_some() { TAG_LEN } else { 0 };
            assert_eq!(bytes.len(), long.len() + 5 * (LENGTH_LEN + tag));
            assert_eq!(heard(&bytes, of).unwrap(), long);
        }
    }

    #[test]
    fn nothing_is_heard_of_what_was_left_out_doubled_moved_or_cut() {
        let portion = |place: usize| place * (LENGTH_LEN + 4 + TAG_LEN);
        let bytes = said(&[b"one ", b"two ", b"end "], Some(1));
        let (proof, rest) = bytes.split_at(LENGTH_LEN + TAG_LEN);
        let [one, two, end] = [0, 1, 2].map(|place| &rest[portion(place)..portion(place + 1)]);
        let hear = |portions: &[&[u8]]| heard(&[&[proof], portions].concat().concat(), Some(1));
        assert_eq!(hear(&[one, two, end]).unwrap(), b"one two end ");
        for wrong in [&[one, end][..], &[one, one], &[two, one], &[proof, one], &[one, &two[..9]]] {
            assert!(hear(wrong).is_err());
        }
    }

    #[test]
    fn who_has_another_key_proves_nothing() {
        for (of, other) in [(Some(1), Some(2)), (Some(1), None)] {
            assert!(heard(&said(&[b"word"], other), of).is_err());
        }
    }

    #[test]
    fn a_portion_that_is_empty_or_too_long_is_an_error() {
        for bytes in [&[0, 0][..], &[1, 0x40, 7, 7], &[0xff; 8]] {
            let mut opener = Opener::new(bytes, None);
            assert_eq!(opener.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    proptest! {
        #[test]
        fn a_portion_that_was_altered_anywhere_ends_what_is_heard(
            place in any::<prop::sample::Index>(), flip in 1_u8..,
        ) {
            let mut bytes = said(&[b"one ", b"two "], Some(1));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(heard(&bytes, Some(1)).is_err());
        }
    }
}
