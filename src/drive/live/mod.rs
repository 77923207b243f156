//! The driver in real time over real UDP sockets, the link in front of them.
//!
//! ```text
//! server's end -> link down -> door -> socket on 3224 ~~> socket -> door -> person's end
//! person's end -> link up   -> door -> socket         ~~> socket on 3224 -> door -> server's end
//! ```
//!
//! What is due is done at its due time, also when the machine is late: so its lateness does not add up,
//! and is reported ([`Timing`](super::timing::Timing)). What arrives at a socket arrives when the clock
//! says so. One thread does everything for a trial, in a tokio runtime of its own.
//!
//! TCP in this driver is the model's: its segments are handed over when they leave the link, without a
//! socket. The kernel's own TCP needs the kernel path.

mod alarm;
mod bells;
mod gate;
mod gates;
mod half;
mod ports;
mod trial;

use std::io;
use std::sync::mpsc::Receiver;

pub use self::alarm::SPIN;
use self::half::Other;
pub use self::half::{Cue, Cues, Half};
pub use self::ports::{Held, Lease, LivePorts, PortError, Skipped};
use self::trial::Trial;
use super::datagram::Datagram;
use super::host::Host;
use super::links::Links;
use super::message::{Command, Message};
use super::udp::Counts;
use crate::session::door::{DoorConfig, Failure, Refusals};
use crate::time::{Duration, Time};

/// How often the driver looks whether it was told something, at least.
const PERIOD: Duration = Duration::from_millis(50);

/// How a trial is run.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Where sessions get their ports.
    pub ports: LivePorts,
    /// How many sessions have sockets: the first ones. What the others send is handed over when it
    /// leaves the link, as TCP's segments and what neighbors send.
    pub sockets: usize,
    /// How the doors of the sessions are made.
    pub door: DoorConfig,
    /// When the trial ends.
    pub end: Time,
    /// How much earlier than due to wake up, and spin for the rest: [`SPIN`] where the timers need it;
    /// with more of it a core is busy all the time.
    pub spin: Duration,
    /// Whether datagrams of equal size may leave in batches where the platform can do that.
    pub segmentation: bool,
}

impl LiveConfig {
    /// So many sessions with sockets until `end`, as well as this platform can do it.
    pub fn new(ports: LivePorts, sockets: usize, door: DoorConfig, end: Time) -> Self {
        Self { ports, sockets, door, end, spin: SPIN, segmentation: true }
    }
}

/// What has gone through the sockets of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketReport {
    /// Datagrams, whoever sent them.
    pub counts: Counts,
    /// Datagrams that the doors refused, by reason.
    pub refused: Refusals,
    /// Packets that were sent and did not arrive: this machine lost them. Zero where the other ends are
    /// on another machine, which alone knows.
    pub missing: u64,
    /// Packets of the sessions that were sent from here.
    pub posted: u64,
    /// Packets of the sessions that arrived here.
    pub arrived: u64,
}

/// Why a trial could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A session got no port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A session could not be opened.
    #[error("a session could not be opened: {0}")]
    Door(#[from] Failure),
    /// The system refused something that it should not.
    #[error("a socket or a timer failed: {0}; with many sessions, look at the limit of open files")]
    Socket(io::Error),
    /// It was told to stop, or the other machine did, before it had started.
    #[error("it was stopped before it had started")]
    Stopped,
    /// The other machine did not get ready.
    #[error(
        "the other machine did not open all sessions; check that firewalls let UDP through on the ports of \
         the range"
    )]
    Alone,
    /// The start that was named cannot be kept.
    #[error("the start had passed when it was heard of; the connection between the machines is too slow")]
    Start,
}

/// Runs a trial to its end: `sessions` over `links`, each item a flow's server and its person.
///
/// What happens goes to `tell`, from [`Message::Started`] to [`Message::Closed`]; `commands` are obeyed
/// within 50 ms. A link's time is the time since the start, which is when all sessions are open.
///
/// # Errors
/// [`LiveError`]; nothing that the network or a stranger does is one.
pub fn run(
    sessions: impl IntoIterator<Item = [Host; 2]>,
    links: Links<Datagram>,
    config: &LiveConfig,
    commands: &Receiver<Command>,
    tell: &mut dyn FnMut(Message),
) -> Result<SocketReport, LiveError> {
    block_on(async { Trial::set_up(sessions, links, config, tell).await?.run(commands).await })
}

/// Runs half of a trial to its end: `sessions` as in [`run`], of which only the ends of this half are used.
///
/// What happens here goes to `tell`, in the time that both halves share; the person's half tells before its
/// end what it knows of the server's clock. `commands` are obeyed and passed on to the other half.
///
/// # Errors
/// [`LiveError`].
pub fn run_half(
    sessions: impl IntoIterator<Item = [Host; 2]>,
    links: Links<Datagram>,
    config: &LiveConfig,
    half: &Half,
    cues: Cues<'_>,
    commands: &Receiver<Command>,
    tell: &mut dyn FnMut(Message),
) -> Result<SocketReport, LiveError> {
    let mut say = |cue| (cues.tell)(cue);
    let other = Other::new(half, Cues { tell: &mut say, hear: cues.hear });
    block_on(async {
        let trial = Trial::set_up_half(sessions, links, config, half, other, commands, tell).await?;
        trial.run(commands).await
    })
}

fn block_on<T>(trial: impl Future<Output = Result<T, LiveError>>) -> Result<T, LiveError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().build().map_err(LiveError::Socket)?;
    // Else the runtime would hold back news of sockets after a hundred of them, for the sake of
    // other tasks that are not there.
    runtime.block_on(tokio::task::unconstrained(trial))
}
