//! The key that both ends of a session may share, and what is made of it.
//!
//! With a key every set-up datagram carries a tag (HMAC-SHA256, RFC 2104, cut to 16 bytes), and every
//! packet is encrypted and authenticated with ChaCha20-Poly1305 (RFC 8439) under keys of its session and
//! direction, which HKDF-SHA256 (RFC 5869) makes of the key and the randoms of both ends. Where the ends
//! also talk over a connection, that is encrypted in the same way, under keys of its own
//! ([`drive::control`](crate::drive::control)).
//!
//! What that promises: nobody without the key reads or alters a session or a conversation, opens one, or
//! plays an old one again. What it does not: there is no forward secrecy, so who learns the key later can
//! read what was recorded before; lengths, times and numbers of packets stay visible; all who have the key
//! are the same to it; and who is on the path can still drop or delay everything.

use std::fmt;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;

use super::setup::Transcript;

/// Bytes of a tag, on set-up datagrams and on packets.
pub const TAG_LEN: usize = 16;

/// A secret of 32 random bytes that both ends know.
#[derive(Clone)]
pub struct Key {
    secret: [u8; 32],
    /// Makes the tags of set-up datagrams.
    setup: Hmac<Sha256>,
}

impl Key {
    /// Reads a key from 64 hexadecimal digits; white space around them does not count.
    ///
    /// # Errors
    /// [`BadKey`] where `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        if let Some((place, found)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
            return Err(BadKey::NoDigit { place: place + 1, found });
        }
        if text.len() != 64 {
            return Err(BadKey::Length { digits: text.len() });
        }
        let value = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
        let mut secret = [0; 32];
        for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = value(digits[0]) << 4 | value(digits[1]);
        }
        Ok(Self::new(secret))
    }

    fn new(secret: [u8; 32]) -> Self {
        let setup = expand(&Hkdf::new(None, &secret), b"framehawk-sim set-up");
        Self { secret, setup: keyed_hash(&setup) }
    }

    /// The tag of a set-up datagram: of what both ends have said, once both have, and of the datagram.
    pub(super) fn tag(&self, said: Option<&Transcript>, datagram: &[u8]) -> [u8; TAG_LEN] {
        let hash = self.over(said, datagram).finalize().into_bytes();
        std::array::from_fn(|place| hash[place])
    }

    /// Whether `tag` is that tag; takes as long whatever the answer.
    pub(super) fn verifies(&self, said: Option<&Transcript>, datagram: &[u8], tag: &[u8]) -> bool {
        tag.len() == TAG_LEN && self.over(said, datagram).verify_truncated_left(tag).is_ok()
    }

    /// The ciphers of a session: of what its client sends, and of what its server sends.
    pub(super) fn ciphers(&self, transcript: &Transcript) -> [Cipher; 2] {
        self.pair(&transcript.to_bytes(), [b"framehawk-sim client", b"framehawk-sim server"])
    }

    /// The ciphers of a conversation over a connection: of what its client says, and of what its server
    /// says. `opening` is what both have said in the clear, and like that of no other conversation.
    pub(crate) fn conversation(&self, opening: &[u8]) -> [Cipher; 2] {
        self.pair(opening, [b"framehawk-sim control client", b"framehawk-sim control server"])
    }

    fn pair<const N: usize>(&self, salt: &[u8], labels: [&[u8; N]; 2]) -> [Cipher; 2] {
        let extracted = Hkdf::<Sha256>::new(Some(salt), &self.secret);
        labels.map(|label| Cipher(ChaCha20Poly1305::new(&expand(&extracted, label).into())))
    }

    fn over(&self, said: Option<&Transcript>, datagram: &[u8]) -> Hmac<Sha256> {
        let hash = self.setup.clone();
        match said {
            Some(said) => hash.chain_update(said.to_bytes()).chain_update(datagram),
            None => hash.chain_update(datagram),
        }
    }
}

impl fmt::Debug for Key {
    /// Says nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It has a character that is no hexadecimal digit.
    #[error("character {place} of the key, {found:?}, is no hexadecimal digit; a key is 64 of 0–9 and a–f")]
    NoDigit {
        /// Its place, from 1.
        place: usize,
        /// The character.
        found: char,
    },
    /// It is too short or too long.
    #[error("the key has {digits} hexadecimal digits instead of 64, which are 32 random bytes")]
    Length {
        /// How many digits it has.
        digits: usize,
    },
}

/// Encrypts or decrypts one direction of one session: packets, or portions of a conversation.
#[derive(Debug)]
pub(crate) struct Cipher(ChaCha20Poly1305);

impl Cipher {
    /// Encrypts `body` in place and gives the tag of it and of `clear`, which stays as it is.
    ///
    /// `number` is used for one packet or portion only; for the same packet again the outcome is the same.
    pub(crate) fn seal(&self, number: u64, clear: &[u8], body: &mut [u8]) -> [u8; TAG_LEN] {
        (self.0.encrypt_inout_detached(&nonce(number), clear, body.into()))
            .expect("a packet is shorter than the 256 GiB that one nonce is good for")
            .into()
    }

    /// Decrypts `body` in place; whether `tag` says that it and `clear` are as they were sealed. Where it
    /// does not, `body` is untouched.
    pub(crate) fn open(&self, number: u64, clear: &[u8], body: &mut [u8], tag: [u8; TAG_LEN]) -> bool {
        let tag = Tag::from(tag);
        self.0.decrypt_inout_detached(&nonce(number), clear, body.into(), &tag).is_ok()
    }
}

/// HMAC-SHA256 under a secret, of what is still to come.
pub(super) fn keyed_hash(secret: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes a key of any length")
}

fn expand(from: &Hkdf<Sha256>, label: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    from.expand(label, &mut key).expect("HKDF gives up to 8160 bytes");
    key
}

/// A packet's number is its nonce: it is never used twice within a direction.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::session::setup::Introduction;

    pub(crate) fn key(of: u8) -> Key {
        Key::new([of; 32])
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits_and_nothing_else() {
        let digits = "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff";
        let key = Key::parse(&format!("  {digits}\n")).unwrap();
        assert_eq!((key.secret[0], key.secret[10], key.secret[31]), (0x00, 0xaa, 0xff));
        assert_eq!(
            Key::parse(&digits[1..]).unwrap_err().to_string(),
            "the key has 63 hexadecimal digits instead of 64, which are 32 random bytes"
        );
        assert_eq!(
            Key::parse(&digits.replace("99a", "99x")).unwrap_err().to_string(),
            "character 21 of the key, 'x', is no hexadecimal digit; a key is 64 of 0–9 and a–f"
        );
        assert_eq!(Key::parse("").unwrap_err(), BadKey::Length { digits: 0 });
        assert!(Key::parse("ü").is_err());
    }

    #[test]
    fn a_key_prints_nothing_of_its_secret() {
        assert_eq!(format!("{:?}", key(0xab)), "Key { .. }");
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_number_direction_session_and_key_only() {
        let introduction = |of| Introduction { identity: of, random: [of as u8; 16] };
        let transcript = |server| Transcript { client: introduction(1), server: introduction(server) };
        let [client, server] = key(1).ciphers(&transcript(2));
        let mut body = *b"a picture of something";
        let tag = client.seal(7, b"clear", &mut body);
        assert_ne!(&body, b"a picture of something");
        let [other_session, _] = key(1).ciphers(&transcript(3));
        let [other_key, _] = key(2).ciphers(&transcript(2));
        let [conversation, _] = key(1).conversation(&transcript(2).to_bytes());
        for (cipher, number, clear) in [
            (&server, 7, &b"clear"[..]),
            (&other_session, 7, b"clear"),
            (&other_key, 7, b"clear"),
            (&conversation, 7, b"clear"),
            (&client, 8, b"clear"),
            (&client, 7, b"cleaR"),
        ] {
            let sealed = body;
            assert!(!cipher.open(number, clear, &mut body, tag));
            assert_eq!(body, sealed, "nothing is touched that is not authentic");
        }
        assert!(client.open(7, b"clear", &mut body, tag));
        assert_eq!(&body, b"a picture of something");
    }
}
