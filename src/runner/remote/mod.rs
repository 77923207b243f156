//! A scenario between two machines: the server's listens, the person's connects and leads.
//!
//! The person's machine names the trials one after the other; both play their half, and when it is over the
//! server tells what happened at its end. So the person's machine has all records, and measures.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::trial::modelled;
use crate::drive::Links;
use crate::drive::control::{Disagreement, Refusal};
use crate::drive::live::{self, Cues, Half, LiveConfig, LiveError, LivePorts, SocketReport};
use crate::drive::message::{Command, Message};
use crate::rng::Seed;
use crate::scenario::{Protocol, Scenario};
use crate::session::door::{DoorConfig, Refusals};
use crate::session::key::{Key, TAG_LEN};

mod client;
mod reception;
mod server;
mod side;

pub use self::client::Client;
pub use self::server::{Told, serve};
use self::side::Side;

/// What both machines have to agree on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The scenario, with UDP contenders only ([`udp_only`]).
    pub scenario: Scenario,
    /// The SHA-256 of the scenario as it was written, with every key.
    pub digest: [u8; 32],
    /// The key of the conversation and of the sessions.
    pub key: Option<Key>,
}

/// What a session of trials was like, at one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials that were played to an end.
    pub trials: u32,
    /// Packets that this end sent.
    pub posted: u64,
    /// Packets that arrived at it.
    pub arrived: u64,
    /// Datagrams that its doors refused.
    pub refused: Refusals,
    /// Packets that the network between the machines lost; only the person's end knows.
    pub lost_between: u64,
}

/// Why two machines could not play together.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nobody listens there, or there is no way.
    #[error(
        "cannot connect to {server}: {error}; start `fhsim live SCENARIO --listen ADDRESS` there first, and \
         check the address and the firewalls"
    )]
    Unreachable {
        /// Where.
        server: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is somebody, but we cannot talk to each other.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// We can talk, but the server does not play with this client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The other half of a trial could not be played; in its words, cut short and fit to be printed.
    #[error("the other machine: {0}")]
    Failed(String),
    /// An earlier trial came to nothing, because of this, and the conversation is over.
    #[error("{0}")]
    Over(String),
    /// The conversation broke off.
    #[error("the other machine broke the conversation off")]
    BrokeOff,
    /// The other end says what makes no sense.
    #[error("the other machine says what was not expected; both must run the same version")]
    Unexpected,
    /// The connection failed.
    #[error("the connection to the other machine failed: {0}")]
    Connection(#[from] io::Error),
    /// Our half could not be played.
    #[error(transparent)]
    Half(#[from] LiveError),
    /// There is more to remember than fits.
    #[error("the trial has too many records to keep; shorten the scenario's duration")]
    TooLong,
}

/// Where a half is played.
struct Site {
    half: Half,
    /// The server's address, which its sessions have ports at.
    address: IpAddr,
    /// The only host that sessions are for, as far as that is known.
    only: Option<IpAddr>,
}

/// How much longer than a trial the other machine may be silent.
const SILENCE: Duration = Duration::from_secs(90);

/// Words that wait until they are listened to; then their sender has to wait.
const WAITING: usize = 64;

/// The scenario with its UDP contenders only, and the names of the others: the link in front of our sockets
/// is not in front of the kernel's TCP, and QUIC has no sockets.
pub fn udp_only(scenario: Scenario) -> (Scenario, Vec<String>) {
    scenario.with_only(|protocol| matches!(protocol, Protocol::Udp { .. }))
}

impl Terms {
    /// How long a word may be waited for while a trial may be running.
    fn silence(&self) -> Duration {
        Duration::from_nanos(self.scenario.end.as_nanos()) + SILENCE
    }

    /// Plays one half of a trial; `follow` sees now and then what has happened there so far.
    fn play(
        &self,
        contender: usize,
        seed: u64,
        Site { half, address, only }: &Site,
        cues: Cues<'_>,
        commands: &Receiver<Command>,
        follow: &mut dyn FnMut(&Side),
    ) -> Result<Side, RemoteError> {
        let scenario = &self.scenario;
        let contender = scenario.contenders.get(contender).ok_or(RemoteError::Unexpected)?;
        let Protocol::Udp { down, .. } = &contender.protocol else { return Err(RemoteError::Unexpected) };
        let tag = if self.key.is_some() { TAG_LEN as u16 } else { 0 };
        let datagram = down.datagram.saturating_add(tag);
        let door = DoorConfig { datagram, key: self.key.clone(), clock: true, only: *only };
        let ports = LivePorts::new(scenario.ports, *address);
        let config = LiveConfig::new(ports, usize::from(scenario.sessions), door, scenario.end);
        let seed = Seed(seed);
        let (hosts, links) = (modelled(scenario, contender, seed), Links::new(&scenario.path, seed));
        let mut side = Side::default();
        let mut note = |message| {
            let now_and_then = matches!(message, Message::Timing(_));
            side.note(message);
            if now_and_then {
                follow(&side);
            }
        };
        let report = live::run_half(hosts, links, &config, half, cues, commands, &mut note)?;
        side.report = report;
        if side.is_full() { Err(RemoteError::TooLong) } else { Ok(side) }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trials, posted, arrived, refused, .. } = self;
        let plural = if *trials == 1 { "trial" } else { "trials" };
        write!(
            f,
            "{trials} {plural}; {posted} packets sent from here, {arrived} arrived here; refused: {refused}"
        )
    }
}

impl Tally {
    fn add(&mut self, report: &SocketReport) {
        self.trials += 1;
        self.posted += report.posted;
        self.arrived += report.arrived;
        self.refused += report.refused;
    }
}
