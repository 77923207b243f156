//! A scenario between two machines: the server's listens, the person's connects and leads.
//!
//! The person's machine names the trials one after the other; both play their half, and when it is over the
//! server tells what happened at its end. So the person's machine has all records, and measures.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use super::merge::merge;
use super::trial::modelled;
use crate::drive::Links;
use crate::drive::control::{self, Listener, Reception, Speaker, Word};
use crate::drive::live::{self, Cue, Cues, Half, LiveConfig, LiveError, LivePorts, SocketReport};
use crate::drive::message::{Command, Message};
use crate::drive::timing::Timing;
use crate::endpoint::{Class, Direction, Flow};
use crate::record::Record;
use crate::rng::Seed;
use crate::scenario::{Protocol, Scenario};
use crate::session::door::{DoorConfig, Refusals};
use crate::session::key::{Key, TAG_LEN};

/// What both machines have to agree on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The scenario, with UDP contenders only ([`udp_only`]).
    pub scenario: Scenario,
    /// The SHA-256 of the scenario as it was written, with every key.
    pub digest: [u8; 32],
    /// The key of the sessions.
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

/// What a server that waits and plays has to tell.
#[derive(Debug)]
pub enum Told {
    /// This client is played with.
    Greeted(SocketAddr),
    /// This one is not.
    TurnedAway(SocketAddr, RemoteError),
    /// A trial begins.
    Trial {
        /// The contender's name.
        contender: String,
        /// The seed.
        seed: u64,
    },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeted(client) => write!(f, "{client} is let in"),
            Self::TurnedAway(client, why) => write!(f, "{client} is turned away: {why}"),
            Self::Trial { contender, seed } => write!(f, "playing {contender}, seed {seed}"),
        }
    }
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
    /// The other end does not want to.
    #[error("{0}")]
    Refused(String),
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

/// The most records of one half: some 600 MB.
const RECORDS_MAX: usize = 1 << 23;

/// How long a client may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);

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
    fn hello(&self) -> Word {
        Word::Hello { version: env!("CARGO_PKG_VERSION").to_owned(), digest: self.digest }
    }

    /// Why we cannot play with whoever says hello so.
    fn objection(&self, version: &str, digest: [u8; 32]) -> Option<String> {
        let ours = env!("CARGO_PKG_VERSION");
        if version != ours {
            // What a stranger says is not printed as it is.
            return Some(format!(
                "the versions differ: here it is {ours}; install the same one on both machines"
            ));
        }
        (digest != self.digest).then(|| {
            "the scenarios differ; start both ends with the same scenario and the same --set options, and compare \
             `fhsim scenario show SCENARIO --effective`"
                .to_owned()
        })
    }

    fn silence(&self) -> Duration {
        Duration::from_nanos(self.scenario.end.as_nanos()) + SILENCE
    }

    /// Plays one half of a trial.
    fn play(
        &self,
        contender: usize,
        seed: u64,
        (half, address): (&Half, IpAddr),
        cues: Cues<'_>,
        commands: &Receiver<Command>,
    ) -> Result<Side, RemoteError> {
        let scenario = &self.scenario;
        let contender = scenario.contenders.get(contender).ok_or(RemoteError::Unexpected)?;
        let Protocol::Udp { down, .. } = &contender.protocol else { return Err(RemoteError::Unexpected) };
        let tag = if self.key.is_some() { TAG_LEN as u16 } else { 0 };
        let door =
            DoorConfig { datagram: down.datagram.saturating_add(tag), key: self.key.clone(), clock: true };
        let ports = LivePorts::new(scenario.ports, address);
        let config = LiveConfig::new(ports, usize::from(scenario.sessions), door, scenario.end);
        let seed = Seed(seed);
        let (hosts, links) = (modelled(scenario, contender, seed), Links::new(&scenario.path, seed));
        let mut side = Side::default();
        let mut note = |message| side.note(message);
        let report = live::run_half(hosts, links, &config, half, cues, commands, &mut note)?;
        side.report = report;
        if side.records.len() > RECORDS_MAX { Err(RemoteError::TooLong) } else { Ok(side) }
    }
}

/// What happened at one end of a trial.
#[derive(Debug, Default)]
struct Side {
    records: Vec<Record>,
    /// Messages of which only the last of each kind counts.
    clock: Option<Message>,
    timing: Timing,
    under_way: Vec<(Flow, Direction, Class)>,
    report: SocketReport,
}

impl Side {
    fn note(&mut self, message: Message) {
        match message {
            // One more than there may be says that there were too many.
            Message::Record(record) if self.records.len() <= RECORDS_MAX => self.records.push(record),
            Message::Clock(_) => self.clock = Some(message),
            Message::Timing(timing) => self.timing = timing,
            Message::Closed { under_way } => self.under_way = under_way,
            _ => {}
        }
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

/// Waits for a client with the same terms, and plays with it until it leaves. `told` hears what is worth
/// telling; `commands` stop the trial under way.
///
/// # Errors
/// [`RemoteError`]; strangers are turned away and are none.
pub fn serve(
    terms: &Terms,
    reception: &Reception,
    commands: &Receiver<Command>,
    told: &mut dyn FnMut(Told),
) -> Result<Tally, RemoteError> {
    let address = reception.address()?.ip();
    loop {
        let (client, mut speaker, mut heard) = reception.accept()?;
        match greet(terms, &mut speaker, &mut heard) {
            Ok(()) => {
                told(Told::Greeted(client));
                return Session { terms, address, speaker, tally: Tally::default() }
                    .run(heard, commands, told);
            }
            Err(error) => told(Told::TurnedAway(client, error)),
        }
    }
}

fn greet(terms: &Terms, speaker: &mut Speaker, heard: &mut Listener) -> Result<(), RemoteError> {
    heard.set_patience(HELLO)?;
    let Some(Word::Hello { version, digest }) = heard.hear()? else { return Err(RemoteError::Unexpected) };
    if let Some(why) = terms.objection(&version, digest) {
        speaker.say(&Word::Refused(why.clone()))?;
        return Err(RemoteError::Refused(why));
    }
    speaker.say(&Word::Welcome)?;
    Ok(heard.set_patience(terms.silence())?)
}

/// A client that plays with us.
struct Session<'a> {
    terms: &'a Terms,
    address: IpAddr,
    speaker: Speaker,
    tally: Tally,
}

impl Session<'_> {
    fn run(
        mut self,
        mut heard: Listener,
        commands: &Receiver<Command>,
        told: &mut dyn FnMut(Told),
    ) -> Result<Tally, RemoteError> {
        let (plays, to_play) = mpsc::sync_channel(WAITING);
        let (cues, to_hear) = mpsc::sync_channel(WAITING);
        thread::scope(|scope| {
            scope.spawn(move || sort(&mut heard, &plays, &cues));
            let played = to_play
                .iter()
                .try_for_each(|(contender, seed)| self.play((contender, seed), &to_hear, commands, told));
            self.speaker.close();
            // Lets the other thread end that may wait for room.
            drop((to_play, to_hear));
            played.map(|()| self.tally)
        })
    }

    fn play(
        &mut self,
        (contender, seed): (usize, u64),
        hear: &Receiver<Cue>,
        commands: &Receiver<Command>,
        told: &mut dyn FnMut(Told),
    ) -> Result<(), RemoteError> {
        let name = self.terms.scenario.contenders.get(contender).map_or("unknown", |one| &one.name);
        told(Told::Trial { contender: name.to_owned(), seed });
        let (mut broken, speaker) = (Ok(()), &mut self.speaker);
        let mut tell = |cue| {
            if broken.is_ok() {
                broken = speaker.say(&Word::Cue(cue));
            }
        };
        let cues = Cues { tell: &mut tell, hear };
        let side = self.terms.play(contender, seed, (&Half::Server, self.address), cues, commands);
        broken?;
        match side {
            Ok(side) => self.hand_over(side),
            // Whoever stopped it knows.
            Err(RemoteError::Half(LiveError::Stopped)) => {
                Ok(self.speaker.say(&SocketReport::default().into())?)
            }
            Err(error) => {
                self.speaker.say(&Word::Failed(error.to_string()))?;
                Err(error)
            }
        }
    }

    /// Tells the client what happened here.
    fn hand_over(&mut self, side: Side) -> Result<(), RemoteError> {
        self.tally.add(&side.report);
        for record in side.records {
            self.speaker.begin(&Word::Message(Message::Record(record)))?;
        }
        self.speaker.begin(&Word::Message(Message::Timing(side.timing)))?;
        self.speaker.begin(&Word::Message(Message::Closed { under_way: side.under_way }))?;
        Ok(self.speaker.say(&side.report.into())?)
    }
}

/// Sorts what the client says, until it leaves or says what it should not.
fn sort(heard: &mut Listener, plays: &SyncSender<(usize, u64)>, cues: &SyncSender<Cue>) {
    loop {
        let sorted = match heard.hear() {
            Ok(Some(Word::Play { contender, seed })) => plays.send((usize::from(contender), seed)).is_ok(),
            Ok(Some(Word::Cue(cue))) => cues.send(cue).is_ok(),
            _ => false,
        };
        if !sorted {
            return;
        }
    }
}

/// The person's end of the conversation.
#[derive(Debug)]
pub struct Client {
    terms: Terms,
    server: SocketAddr,
    speaker: Speaker,
    heard: Listener,
    tally: Tally,
}

impl Client {
    /// Connects to the server's machine, and makes sure that it has the same terms.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn connect(terms: Terms, server: SocketAddr) -> Result<Self, RemoteError> {
        let connected = control::connect(server);
        let (mut speaker, mut heard) =
            connected.map_err(|error| RemoteError::Unreachable { server, error })?;
        // It may be busy with someone else, who has to end first.
        heard.set_patience(terms.silence())?;
        speaker.say(&terms.hello())?;
        match heard.hear()? {
            Some(Word::Welcome) => Ok(Self { terms, server, speaker, heard, tally: Tally::default() }),
            Some(Word::Refused(why)) => Err(RemoteError::Refused(format!("{server} refuses: {why}"))),
            Some(_) => Err(RemoteError::Unexpected),
            None => Err(RemoteError::BrokeOff),
        }
    }

    /// What it was like so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Plays the contender at this place; tells the records of both ends when it is over. `stopped` is
    /// called where the server's machine ends the trial early.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn play(
        &mut self,
        contender: usize,
        seed: u64,
        commands: &Receiver<Command>,
        stopped: &(dyn Fn() + Sync),
        tell: &mut dyn FnMut(Message),
    ) -> Result<(), RemoteError> {
        let place = u16::try_from(contender).map_err(|_| RemoteError::Unexpected)?;
        self.speaker.say(&Word::Play { contender: place, seed })?;
        let ports = self.hear_ports()?;
        tell(Message::Started { ports: ports.clone() });
        let servers = ports.iter().map(|&port| SocketAddr::new(self.server.ip(), port)).collect();
        let (ours, theirs) = self.play_halves(contender, seed, &Half::Person(servers), commands, stopped);
        let (ours, theirs) = match (ours, theirs) {
            // Nothing has happened yet, and that is what there is.
            (Err(RemoteError::Half(LiveError::Stopped)), Ok(_)) => (Side::default(), Side::default()),
            (Err(RemoteError::Half(LiveError::Stopped)), Err(error)) => return Err(error),
            (Err(error), _) | (_, Err(error)) => return Err(error),
            (Ok(ours), Ok(theirs)) => (ours, theirs),
        };
        self.tally.add(&ours.report);
        let lost = |sent: u64, arrived: u64| sent.saturating_sub(arrived);
        self.tally.lost_between +=
            lost(ours.report.posted, theirs.report.arrived) + lost(theirs.report.posted, ours.report.arrived);
        merge(theirs.records, ours.records).map(Message::Record).for_each(&mut *tell);
        ours.clock.into_iter().for_each(&mut *tell);
        tell(Message::Timing(ours.timing.worse(theirs.timing)));
        tell(Message::Closed { under_way: [theirs.under_way, ours.under_way].concat() });
        Ok(())
    }

    fn hear_ports(&mut self) -> Result<Vec<u16>, RemoteError> {
        match self.heard.hear()? {
            Some(Word::Cue(Cue::Ports(ports)))
                if ports.len() == usize::from(self.terms.scenario.sessions) =>
            {
                Ok(ports)
            }
            Some(Word::Failed(why)) => Err(RemoteError::Refused(format!("{}: {why}", self.server))),
            Some(_) => Err(RemoteError::Unexpected),
            None => Err(RemoteError::BrokeOff),
        }
    }

    /// Plays our half while the other one is listened to.
    fn play_halves(
        &mut self,
        contender: usize,
        seed: u64,
        half: &Half,
        commands: &Receiver<Command>,
        stopped: &(dyn Fn() + Sync),
    ) -> (Result<Side, RemoteError>, Result<Side, RemoteError>) {
        let Self { terms, server, speaker, heard, .. } = self;
        let (cues, hear) = mpsc::sync_channel(WAITING);
        thread::scope(|scope| {
            let theirs = scope.spawn(move || listen(heard, &cues, stopped));
            // Where the connection is gone, whoever listens to it notices and ends the trial.
            let mut tell = |cue| drop(speaker.say(&Word::Cue(cue)));
            let cues = Cues { tell: &mut tell, hear: &hear };
            let ours = terms.play(contender, seed, (half, server.ip()), cues, commands);
            drop(hear);
            if ours.is_err() {
                drop(speaker.say(&Word::Cue(Cue::Command(Command::Stop))));
            }
            let theirs = theirs.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (ours, theirs)
        })
    }
}

/// Listens to the server until it has said everything about a trial.
fn listen(
    heard: &mut Listener,
    cues: &SyncSender<Cue>,
    stopped: &(dyn Fn() + Sync),
) -> Result<Side, RemoteError> {
    let mut side = Side::default();
    loop {
        match heard.hear()? {
            Some(Word::Cue(cue)) => {
                if cue == Cue::Command(Command::Stop) {
                    stopped();
                }
                // Our half may be over already.
                let _ = cues.send(cue);
            }
            Some(Word::Message(_)) if side.records.len() > RECORDS_MAX => return Err(RemoteError::TooLong),
            Some(Word::Message(message)) => side.note(message),
            Some(Word::Done { posted, arrived }) => {
                side.report = SocketReport { posted, arrived, ..SocketReport::default() };
                return Ok(side);
            }
            Some(Word::Failed(why)) => return Err(RemoteError::Refused(format!("the other machine: {why}"))),
            Some(_) => return Err(RemoteError::Unexpected),
            None => return Err(RemoteError::BrokeOff),
        }
    }
}
