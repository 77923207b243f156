//! The control connection between two machines that play a scenario together.
//!
//! The person's machine connects over TCP and leads; what both say is a [`Word`] each. Both ends must run the
//! same version of the program and have the same key, or none. With a key nobody without it can listen,
//! join in, or put in a word; [`session::key`](crate::session::key) says what that promises and what not.
//!
//! What the other end says is untrusted, and so is when it says it: a word is at most a mebibyte long, of
//! somebody who has not been let in 64 bytes; it has to be whole in the time that it is waited for; and what is
//! no word ends the conversation.

use std::fmt;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};

use super::clock::Clock;
use super::live::{Cue, SocketReport};
use super::message::{self, Message};
use crate::session::key::Key;
use crate::time::{self, Time};

mod greeting;
mod sealed;

use greeting::{End, greet};
use sealed::{Opener, Sealer};

/// What the machines say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Word {
    /// Person: I would like to play this.
    Hello {
        /// The SHA-256 of the scenario as TOML, with every key.
        digest: [u8; 32],
    },
    /// Server: so would I.
    Welcome,
    /// Server: we cannot play together, because of this.
    Refused(Refusal),
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

/// Why a server does not play with a client that it could talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// It plays with another one.
    #[error("the server plays with another client; connect again when that has ended")]
    Busy,
    /// They would play something else.
    #[error(
        "the scenarios differ; start both ends with the same scenario and the same --set options, and compare \
         `fhsim scenario show SCENARIO --effective`"
    )]
    Scenario,
}

/// Why two machines cannot talk to each other.
#[derive(Debug, thiserror::Error)]
pub enum Disagreement {
    /// The connection failed, or nothing came in time.
    #[error("the connection failed: {0}")]
    Connection(io::Error),
    /// The other end closed before it had said who it is.
    #[error("it left before it had said who it is")]
    Left,
    /// Whoever is there does not greet as we do.
    #[error("that is no `fhsim live` of this kind")]
    Stranger,
    /// The programs differ.
    #[error(
        "the versions differ: {} here and {} there; install the same one on both machines",
        Dotted(*ours), Dotted(*theirs)
    )]
    Version {
        /// Ours.
        ours: [u16; 3],
        /// The other end's.
        theirs: [u16; 3],
    },
    /// Only this end has a key.
    #[error("the other machine has no key, and this one has; give both the same --key-file")]
    NoKeyThere,
    /// Only the other end has a key.
    #[error("the other machine has a key, and this one has none; give both the same --key-file")]
    NoKeyHere,
    /// Both have one, but not the same.
    #[error("the other machine has another key; give both the same --key-file")]
    OtherKey,
}

impl From<io::Error> for Disagreement {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Left,
            _ => Self::Connection(error),
        }
    }
}

/// Shows a version as usual.
struct Dotted([u16; 3]);

impl fmt::Display for Dotted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The longest word in bytes: room for what a long queue holds when a trial ends.
const WORD_MAX: usize = 1 << 20;

/// The longest word before the ends have agreed to play.
const FIRST_WORD_MAX: usize = 64;

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long the greeting, and each word before the ends have agreed to play, may take: some round trips of
/// a slow path.
const GREETING: Duration = Duration::from_secs(4);

/// How long a word may take to leave.
const SENDING: Duration = Duration::from_secs(30);

/// How often is looked who has connected.
const LOOKING: Duration = Duration::from_millis(50);

/// How often accepting may fail in a row, once each time that is looked: for five seconds.
const ACCEPT_FAILURES_MAX: u32 = 100;

/// Room for what waits in each way, in bytes.
const BUFFER: usize = 1 << 16;

/// What is said.
#[derive(Debug)]
pub struct Speaker {
    stream: Sealer<BufWriter<TcpStream>>,
}

/// What is heard.
#[derive(Debug)]
pub struct Listener {
    stream: Opener<BufReader<Patient>>,
    patience: Duration,
    word_max: usize,
}

/// Where the server's machine is connected to.
#[derive(Debug)]
pub struct Reception(TcpListener);

/// Somebody who has connected, and has said nothing yet.
#[derive(Debug)]
pub struct Caller(TcpStream);

impl Reception {
    /// Listens at `address`.
    ///
    /// # Errors
    /// What the system says; [`ErrorKind::AddrInUse`] where somebody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Where that is.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Waits for somebody who connects; none once the other end of `closed` is dropped.
    ///
    /// # Errors
    /// What the system says again and again: some of it is about a caller who has gone since, or passes.
    pub fn accept(&self, closed: &Receiver<()>) -> io::Result<Option<(SocketAddr, Caller)>> {
        let mut failures = 0;
        loop {
            // Elsewhere than on Linux a connection is as its listener is.
            let accepted = self
                .0
                .accept()
                .and_then(|(stream, from)| stream.set_nonblocking(false).map(|()| (from, stream)));
            match accepted {
                Ok((from, stream)) => return Ok(Some((from, Caller(stream)))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if failures == ACCEPT_FAILURES_MAX => return Err(error),
                Err(_) => failures += 1,
            }
            if closed.recv_timeout(LOOKING) == Err(RecvTimeoutError::Disconnected) {
                return Ok(None);
            }
        }
    }
}

impl Caller {
    /// Greets it, and makes sure that it has our key, if we have one.
    ///
    /// # Errors
    /// [`Disagreement`], within some seconds whatever it does.
    pub fn greet(self, key: Option<&Key>) -> Result<(Speaker, Listener), Disagreement> {
        converse(self.0, End::Server, key)
    }
}

/// Connects to the server's machine, and makes sure that it has our key, if we have one.
///
/// # Errors
/// [`Disagreement`]; nobody who listens is [`ErrorKind::ConnectionRefused`].
pub fn connect(server: SocketAddr, key: Option<&Key>) -> Result<(Speaker, Listener), Disagreement> {
    converse(TcpStream::connect_timeout(&server, CONNECTING)?, End::Client, key)
}

fn converse(stream: TcpStream, end: End, key: Option<&Key>) -> Result<(Speaker, Listener), Disagreement> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SENDING))?;
    SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
    let mut patient = Patient::new(stream.try_clone()?);
    patient.wait(GREETING);
    let heard = BufReader::with_capacity(BUFFER, patient);
    let (speaker, listener) = greet(stream, heard, end, key)?;
    let listener = Listener { stream: listener, patience: GREETING, word_max: FIRST_WORD_MAX };
    Ok((Speaker { stream: speaker }, listener))
}

/// Nothing is said while a trial runs, so the kernels ask each other whether they are still there: a machine
/// that is gone without a word is found out after half a minute.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(10));
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    let keepalive = keepalive.with_interval(Duration::from_secs(5)).with_retries(4);
    keepalive
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
        let _ = self.stream.output().get_ref().shutdown(Shutdown::Both);
    }
}

impl Listener {
    /// The next word; none where the other end closed.
    ///
    /// # Errors
    /// What the system says, [`ErrorKind::TimedOut`] where the word is not whole in time, and
    /// [`ErrorKind::InvalidData`] for what is no word.
    pub fn hear(&mut self) -> io::Result<Option<Word>> {
        self.stream.input().get_mut().wait(self.patience);
        message::read_bounded(&mut self.stream, self.word_max)
    }

    /// The ends have agreed: from now on there are long words, and each may be waited for so long.
    pub fn let_in(&mut self, patience: Duration) {
        (self.patience, self.word_max) = (patience, WORD_MAX);
    }
}

/// A connection on which is waited until a certain time, however little comes at once.
#[derive(Debug)]
struct Patient {
    stream: TcpStream,
    clock: Clock,
    until: Time,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self { stream, clock: Clock::start(), until: Time::ZERO }
    }

    /// What is read from now on has to come within `patience`.
    fn wait(&mut self, patience: Duration) {
        self.until = self.clock.now() + time::Duration::from_nanos(patience.as_nanos() as u64);
    }
}

impl Read for Patient {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let silence = || io::Error::new(ErrorKind::TimedOut, "the other machine said nothing for too long");
        let left = Duration::from_nanos(self.clock.until(self.until).as_nanos());
        if left.is_zero() {
            return Err(silence());
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(out) {
            // Each system has its own name for it.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(silence())
            }
            read => read,
        }
    }
}

/// What has gone through the sockets of a half, as it is told.
impl From<SocketReport> for Word {
    fn from(report: SocketReport) -> Self {
        Self::Done { posted: report.posted, arrived: report.arrived }
    }
}

#[cfg(test)]
mod tests;
