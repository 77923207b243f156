//! What a trial in real time tells while it runs, and what it may be told: as values, and as bytes where
//! the trial runs in a process of its own or on another machine.
//!
//! Each message is a postcard value behind its length in four bytes, little-endian.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::timing::Timing;
use crate::endpoint::{Class, Direction, Flow};
use crate::record::{Record, Sink};
use crate::time::{Duration, Time};

/// What a trial tells, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Everything is set up and the clock starts: the port of each session.
    Started {
        /// The ports, session by session.
        ports: Vec<u16>,
    },
    /// Something happened.
    Record(Record),
    /// How the driver has kept time so far; now and then, and once more at the end.
    Timing(Timing),
    /// What the kernel says about a connection; now and then.
    Tcp(TcpSample),
    /// The trial is on two machines: what is known of the other one's clock, once at the end.
    Clock(ClockReading),
    /// The trial is on two machines, and its records come when it is over: what has come to this end so far.
    Progress(Progress),
    /// Something that whoever reads the figures should know.
    Note(String),
    /// The trial is over.
    Closed {
        /// What the links still hold.
        under_way: Vec<(Flow, Direction, Class)>,
    },
    /// The trial could not be run, or was given up: why, and what can be done about it.
    Failed(String),
}

/// What the kernel says about the sending half of a TCP connection (`TCP_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpSample {
    /// When it was asked.
    pub at: Time,
    /// Which session's connection.
    pub flow: Flow,
    /// The congestion window, in segments.
    pub window: u32,
    /// The smoothed round trip.
    #[serde(with = "crate::time::nanos")]
    pub smoothed_round_trip: Duration,
    /// The least round trip seen.
    #[serde(with = "crate::time::nanos")]
    pub least_round_trip: Duration,
    /// Segments sent again since the start.
    pub retransmitted: u32,
    /// The rate at which data has lately been delivered, in bits per second.
    pub delivery_rate_bps: u64,
}

/// What has come to the person's end of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Until when.
    pub at: Time,
    /// Frames that are whole.
    pub frames: u64,
    /// Frames that never will be.
    pub lost: u64,
    /// The application's bytes, each counted once.
    pub bytes: u64,
}

/// What is known of the clock of the other machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockReading {
    /// How far it is ahead of this one's, in nanoseconds; both count from when their sockets were opened.
    pub offset_ns: i64,
    /// How much faster it runs, in millionths; none where it was not watched for long enough.
    pub skew_ppm: Option<f64>,
    /// How wrong the offset may be: half the least round trip. No delay from one machine to the other is
    /// known any better.
    #[serde(with = "crate::time::nanos")]
    pub bound: Duration,
}

impl fmt::Display for ClockReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.offset_ns as f64 / 1e6;
        write!(
            f,
            "the other machine's is known to ± {:.3} ms (its count began {millis:.3} ms before ours)",
            self.bound.as_millis_f64()
        )?;
        match self.skew_ppm {
            Some(skew) => write!(f, " and is faster by {skew:.1} millionths")?,
            None => f.write_str("; whether it is faster takes longer to see")?,
        }
        f.write_str("; one-way delays below that bound are withheld")
    }
}

/// What a trial may be told while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// From now on the path down loses this share of packets, in bursts of this mean length; 1 or less
    /// means independent losses.
    Loss {
        /// The share, from 0 to 1.
        share: f64,
        /// The mean length of a burst, in packets.
        burst: f64,
    },
    /// From now on codes with a fixed amount of repair send so many repair packets more, or less, with
    /// each block.
    Repair(i8),
    /// The trial ends now, with what it has.
    Stop,
}

/// Tells records as messages.
pub struct Teller<'a>(
    /// Whoever is told.
    pub &'a mut dyn FnMut(Message),
);

impl Sink for Teller<'_> {
    fn record(&mut self, record: &Record) {
        (self.0)(Message::Record(*record));
    }
}

impl fmt::Debug for Teller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

/// The largest message in bytes; a longer one is no message.
const MESSAGE_MAX: usize = 64 << 20;

/// Puts a message behind what is in `out`.
pub fn encode(message: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    // Writing into memory cannot fail, and every type here can be written.
    if let Ok(written) = postcard::to_extend(message, std::mem::take(out)) {
        *out = written;
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// The next message; none where the other end closed.
///
/// # Errors
/// What `input` says; [`ErrorKind::InvalidData`] for what is no message, [`ErrorKind::UnexpectedEof`]
/// where it breaks off.
pub fn read<M: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<M>> {
    read_bounded(input, MESSAGE_MAX)
}

/// As [`read`], for messages of at most `most` bytes.
///
/// # Errors
/// As [`read`].
pub fn read_bounded<M: DeserializeOwned>(input: &mut impl Read, most: usize) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match input.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => input.read_exact(&mut length[1..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    match postcard::take_from_bytes(&bytes) {
        Ok((message, [])) => Ok(Some(message)),
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "a message is longer than what it says")),
        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DropReason, Event, PacketInfo};

    fn messages() -> Vec<Message> {
        let info = PacketInfo { index: 7, class: Class::Repair, size: 1228, payload: 1172 };
        let event = Event::PacketDropped(info, DropReason::RetriesExhausted);
        let record = Record { at: Time::from_micros(5), flow: Flow(100), direction: Direction::Up, event };
        vec![
            Message::Started { ports: vec![3224, 3225] },
            Message::Record(record),
            Message::Timing(Timing { late_p99: Duration::from_micros(61), cpu: 0.5, ..Timing::default() }),
            Message::Closed { under_way: vec![(Flow(3), Direction::Down, Class::Source)] },
            Message::Failed("no /dev/net/tun".to_owned()),
        ]
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let mut bytes = Vec::new();
        messages().iter().for_each(|message| encode(message, &mut bytes));
        let mut input = &bytes[..];
        let mut back = Vec::new();
        while let Some(message) = read::<Message>(&mut input).unwrap() {
            back.push(message);
        }
        assert_eq!(back, messages());
    }

    #[test]
    fn what_is_cut_short_or_no_message_is_an_error() {
        let mut bytes = Vec::new();
        encode(&messages()[1], &mut bytes);
        for end in 1..bytes.len() {
            assert!(read::<Message>(&mut &bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(read::<Message>(&mut &[1, 0, 0, 0, 99][..]).is_err(), "unknown kind");
        bytes.push(0);
        bytes[0] += 1;
        assert!(read::<Message>(&mut &bytes[..]).is_err(), "more than it says");
        assert!(read::<Message>(&mut &[0xff; 8][..]).is_err(), "too long");
    }
}
