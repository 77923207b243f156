//! What is in the packets that an end sends: quinn-proto does not tell, but nothing here is encrypted.
//!
//! A datagram is any number of packets with long headers (RFC 9000, section 17.2) and, behind them, at most
//! one with a short header, in which the application's data travels. Only frames that say something about
//! that data are told; of the others only that they are there.

use super::plaintext::TAG_LEN;

/// Something in a datagram that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// Bytes of a stream.
    Stream {
        /// The stream's id (RFC 9000, section 2.1).
        stream: u64,
        /// Where in the stream they begin.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// An unreliable datagram (RFC 9221).
    Datagram(&'a [u8]),
    /// Something that sets the connection up.
    SetUp,
}

/// Gives everything in `datagram` that matters to `each`. None where it cannot be read, which then is no
/// packet of ours. `id_len` is the length of connection ids in short headers.
pub(super) fn contents<'a>(
    datagram: &'a [u8],
    id_len: usize,
    mut each: impl FnMut(Content<'a>),
) -> Option<()> {
    let mut rest = Reader(datagram);
    while let Some(&first) = rest.0.first() {
        let number_len = usize::from(first & 3) + 1;
        if first & 0x80 == 0 {
            let text = rest.0.get(..rest.0.len().checked_sub(TAG_LEN)?)?;
            return frames(Reader(text.get(1 + id_len + number_len..)?), &mut each);
        }
        each(Content::SetUp);
        rest.long_packet(first)?;
    }
    Some(())
}

fn frames<'a>(mut text: Reader<'a>, each: &mut impl FnMut(Content<'a>)) -> Option<()> {
    while !text.0.is_empty() {
        match text.number()? {
            // PADDING, PING, IMMEDIATE_ACK.
            0x00 | 0x01 | 0x1f => {}
            kind @ (0x02 | 0x03) => text.acknowledgment(kind == 0x03)?,
            // RESET_STREAM.
            0x04 => text.numbers(3)?,
            // STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED.
            0x05 | 0x11 | 0x15 => text.numbers(2)?,
            // MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID.
            0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => text.numbers(1)?,
            // PATH_CHALLENGE, PATH_RESPONSE.
            0x1a | 0x1b => drop(text.take(8)?),
            // ACK_FREQUENCY.
            0xaf => text.numbers(4)?,
            kind @ 0x08..=0x0f => each(text.stream(kind)?),
            kind @ (0x30 | 0x31) => {
                let length = if kind == 0x31 { text.number()? } else { text.0.len() as u64 };
                each(Content::Datagram(text.take(length)?));
            }
            // CRYPTO.
            0x06 => {
                text.number()?;
                text.skip_field()?;
                each(Content::SetUp);
            }
            // NEW_TOKEN.
            0x07 => {
                text.skip_field()?;
                each(Content::SetUp);
            }
            // NEW_CONNECTION_ID.
            0x18 => {
                text.numbers(2)?;
                let length = *text.take(1)?.first()?;
                text.take(u64::from(length) + 16)?;
                each(Content::SetUp);
            }
            // HANDSHAKE_DONE.
            0x1e => each(Content::SetUp),
            // CONNECTION_CLOSE.
            kind @ (0x1c | 0x1d) => {
                text.numbers(if kind == 0x1c { 2 } else { 1 })?;
                text.skip_field()?;
            }
            _ => return None,
        }
    }
    Some(())
}

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// A variable-length integer (RFC 9000, section 16).
    fn number(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let bytes = self.take(1 << (first >> 6))?;
        Some(bytes[1..].iter().fold(u64::from(first & 0x3f), |number, byte| number << 8 | u64::from(*byte)))
    }

    fn numbers(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(|_| ()))
    }

    /// Bytes behind their length.
    fn skip_field(&mut self) -> Option<()> {
        let length = self.number()?;
        self.take(length).map(|_| ())
    }

    /// A packet with a long header: flags, version, two connection ids, in an Initial a token, and the length
    /// of the rest.
    fn long_packet(&mut self, first: u8) -> Option<()> {
        self.take(5)?;
        for _ in 0..2 {
            let length = *self.take(1)?.first()?;
            self.take(u64::from(length))?;
        }
        if first >> 4 & 3 == 0 {
            self.skip_field()?;
        }
        self.skip_field()
    }

    fn acknowledgment(&mut self, counts: bool) -> Option<()> {
        self.numbers(2)?;
        let ranges = self.number()?;
        self.number()?;
        (0..ranges).try_for_each(|_| self.numbers(2))?;
        if counts { self.numbers(3) } else { Some(()) }
    }

    fn stream(&mut self, kind: u64) -> Option<Content<'a>> {
        let stream = self.number()?;
        let offset = if kind & 4 != 0 { self.number()? } else { 0 };
        let length = if kind & 2 != 0 { self.number()? } else { self.0.len() as u64 };
        self.take(length)?;
        Some(Content::Stream { stream, offset, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(datagram: &[u8]) -> Option<Vec<Content<'_>>> {
        let mut found = Vec::new();
        contents(datagram, 4, |content| found.push(content))?;
        Some(found)
    }

    /// A packet with a short header around these frames.
    fn short(frames: &[u8]) -> Vec<u8> {
        [&[0x41, 1, 2, 3, 4, 0, 9][..], frames, &[0; TAG_LEN]].concat()
    }

    #[test]
    fn frames_behind_an_acknowledgment_are_found() {
        let frames = [
            &[0x02, 9, 0, 1, 3, 0, 2][..],
            &[0x0e, 0x40, 0x22, 0x44, 0x00, 3, 1, 2, 3],
            &[0x01, 0x0b, 6, 2, 8, 8],
            &[0x31, 1, 5, 0x30, 7, 7],
        ];
        let packet = short(&frames.concat());
        let expected = [
            Content::Stream { stream: 0x22, offset: 0x400, length: 3 },
            Content::Stream { stream: 6, offset: 0, length: 2 },
            Content::Datagram(&[5]),
            Content::Datagram(&[7, 7]),
        ];
        assert_eq!(read(&packet).unwrap(), expected);
    }

    #[test]
    fn a_packet_behind_those_of_the_handshake_is_found() {
        let initial = [0xc0, 0, 0, 0, 1, 2, 8, 8, 1, 9, 1, 5, 3, 0, 0, 0];
        let handshake = [0xe0, 0, 0, 0, 1, 0, 0, 2, 0, 0];
        let datagram = [&initial[..], &handshake, &short(&[0x08, 3, 1])].concat();
        let stream = Content::Stream { stream: 3, offset: 0, length: 1 };
        assert_eq!(read(&datagram).unwrap(), [Content::SetUp, Content::SetUp, stream]);
    }

    #[test]
    fn a_frame_that_is_not_known_or_ends_too_early_is_refused() {
        assert!(read(&short(&[0x40, 0x52])).is_none());
        assert!(read(&short(&[0x0a, 1, 9, 0])).is_none());
        assert!(read(&[0x41, 1]).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
            let _ = read(&short(&bytes));
        }
    }
}
