//! The control connection between two machines that play a scenario together.
//!
//! The person's machine connects over TCP and leads; what both say is a [`Word`] each. Both ends must run the
//! same version of the program. What the other end says is untrusted: words are at most a mebibyte long, and
//! what is no word ends the conversation.

use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::live::{Cue, SocketReport};
use super::message::{self, Message};

/// What the machines say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Word {
    /// Person: this is who I am.
    Hello {
        /// The version of the program.
        version: String,
        /// The SHA-256 of the scenario as TOML, with every key.
        digest: [u8; 32],
    },
    /// Server: so am I.
    Welcome,
    /// Server: we cannot play together, because of this.
    Refused(String),
    /// Person: let us play the contender at this place with this seed.
    Play {
        /// Its place among those that are played.
        contender: u16,
        /// The seed.
        seed: u64,
    },
    /// Either, before and while a trial runs.
    Cue(Cue),
    /// Server, after a trial: what happened at its end.
    Message(Message),
    /// Server: that was all about this trial.
    Done {
        /// Packets of the sessions that it sent.
        posted: u64,
        /// Packets of the sessions that arrived at it.
        arrived: u64,
    },
    /// Server: the trial came to nothing, because of this.
    Failed(String),
}

/// The longest word in bytes: room for what a long queue holds when a trial ends.
const WORD_MAX: usize = 1 << 20;

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long a word may take to leave.
const SENDING: Duration = Duration::from_secs(30);

/// What is said.
#[derive(Debug)]
pub struct Speaker {
    stream: BufWriter<TcpStream>,
}

/// What is heard.
#[derive(Debug)]
pub struct Listener {
    stream: BufReader<TcpStream>,
}

/// Where the server's machine is connected to.
#[derive(Debug)]
pub struct Reception(TcpListener);

impl Reception {
    /// Listens at `address`.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AddrInUse`] where somebody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(address)?))
    }

    /// Where that is.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Waits for somebody who connects.
    ///
    /// # Errors
    /// What the system says.
    pub fn accept(&self) -> io::Result<(SocketAddr, Speaker, Listener)> {
        loop {
            let (stream, from) = self.0.accept()?;
            // One that has gone again is nobody.
            if let Ok((speaker, listener)) = split(stream) {
                return Ok((from, speaker, listener));
            }
        }
    }
}

/// Connects to the server's machine.
///
/// # Errors
/// What the system says; nobody who listens is [`io::ErrorKind::ConnectionRefused`].
pub fn connect(server: SocketAddr) -> io::Result<(Speaker, Listener)> {
    split(TcpStream::connect_timeout(&server, CONNECTING)?)
}

/// Both ways of a connection.
fn split(stream: TcpStream) -> io::Result<(Speaker, Listener)> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SENDING))?;
    let heard = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    Ok((Speaker { stream: BufWriter::with_capacity(1 << 16, stream) }, Listener { stream: heard }))
}

impl Speaker {
    /// Says a word, and what waits.
    ///
    /// # Errors
    /// What the system says.
    pub fn say(&mut self, word: &Word) -> io::Result<()> {
        self.begin(word)?;
        self.stream.flush()
    }

    /// Says a word with the ones that follow.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(&mut self, word: &Word) -> io::Result<()> {
        let mut bytes = Vec::new();
        message::encode(word, &mut bytes);
        self.stream.write_all(&bytes)
    }

    /// Ends the conversation both ways.
    pub fn close(&mut self) {
        // Where the other end has closed already, there is nothing to do.
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }
}

impl Listener {
    /// The next word; none where the other end closed.
    ///
    /// # Errors
    /// What the system says, and [`io::ErrorKind::InvalidData`] for what is no word.
    pub fn hear(&mut self) -> io::Result<Option<Word>> {
        message::read_bounded(&mut self.stream, WORD_MAX)
    }

    /// How long a word may be waited for.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }
}

/// What has gone through the sockets of a half, as it is told.
impl From<SocketReport> for Word {
    fn from(report: SocketReport) -> Self {
        Self::Done { posted: report.posted, arrived: report.arrived }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn reception() -> Reception {
        Reception::open((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    #[test]
    fn words_are_heard_as_they_were_said() {
        let reception = reception();
        let (mut speaker, _keep) = connect(reception.address().unwrap()).unwrap();
        let (_, _keep_too, mut listener) = reception.accept().unwrap();
        let words = [
            Word::Hello { version: "1".to_owned(), digest: [7; 32] },
            Word::Play { contender: 2, seed: u64::MAX },
            Word::Cue(Cue::Ports(vec![3224, 3225])),
            Word::Failed("no port".to_owned()),
        ];
        words.iter().for_each(|word| speaker.begin(word).unwrap());
        speaker.say(&Word::Welcome).unwrap();
        for word in &words {
            assert_eq!(listener.hear().unwrap().as_ref(), Some(word));
        }
        assert_eq!(listener.hear().unwrap(), Some(Word::Welcome));
        speaker.close();
        assert_eq!(listener.hear().unwrap(), None);
    }

    #[test]
    fn what_is_no_word_is_an_error() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 0, 0, 0, 99], &[0xff; 16], &[0, 0, 16, 0]] {
            let reception = reception();
            let mut stranger = TcpStream::connect(reception.address().unwrap()).unwrap();
            stranger.write_all(bytes).unwrap();
            drop(stranger);
            let (_, _keep, mut listener) = reception.accept().unwrap();
            assert!(listener.hear().is_err(), "{bytes:?}");
        }
    }
}
