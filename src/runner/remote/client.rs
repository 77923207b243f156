//! The person's end of the conversation.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use super::super::merge::merge;
use super::super::trial::flows;
use super::side::{Limits, RECORDS_MAX, Side, readable};
use super::{RemoteError, Site, Tally, Terms, WAITING};
use crate::drive::control::{self, Disagreement, Listener, Speaker, Word};
use crate::drive::live::{Cue, Cues, Half, LiveError, SocketReport};
use crate::drive::message::{Command, Message};

/// How often is looked whether the trial is to stop, while nothing runs that does.
const LOOKING: Duration = Duration::from_millis(50);

/// How often is looked whether the server has ports: for ten seconds.
const LOOKS_FOR_PORTS: u32 = 200;

/// How often is looked whether it has said everything about a trial that came to nothing here: for three.
const LOOKS_FOR_THE_END: u32 = 60;

/// The most words about a trial: its records, and some.
const WORDS_MAX: usize = RECORDS_MAX + 1000;

/// What became of the halves of a trial, ours first.
type Halves = (Result<Side, RemoteError>, Result<Side, RemoteError>);

/// The person's end of the conversation.
#[derive(Debug)]
pub struct Client {
    terms: Terms,
    server: SocketAddr,
    speaker: Speaker,
    heard: Listener,
    tally: Tally,
    /// Why no trial can be played any more: what went wrong first.
    over: Option<String>,
}

impl Client {
    /// Connects to the server's machine, and makes sure that it has the same terms.
    ///
    /// # Errors
    /// [`RemoteError`]; a server that does not play with us says why, within seconds.
    pub fn connect(terms: Terms, server: SocketAddr) -> Result<Self, RemoteError> {
        let (mut speaker, mut heard) =
            control::connect(server, terms.key.as_ref()).map_err(|error| match error {
                Disagreement::Connection(error) => RemoteError::Unreachable { server, error },
                // It does so where too many others connect.
                Disagreement::Left => RemoteError::BrokeOff,
                other => other.into(),
            })?;
        speaker.say(&Word::Hello { digest: terms.digest })?;
        match heard.hear()? {
            Some(Word::Welcome) => heard.let_in(terms.silence()),
            Some(Word::Refused(why)) => return Err(why.into()),
            Some(_) => return Err(RemoteError::Unexpected),
            None => return Err(RemoteError::BrokeOff),
        }
        Ok(Self { terms, server, speaker, heard, tally: Tally::default(), over: None })
    }

    /// What it was like so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Plays the contender at this place; tells what comes to this end as it comes, and the records of both
    /// ends when it is over: telling them before would load the network that is measured. `stopped` is
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
        if let Some(why) = &self.over {
            return Err(RemoteError::Over(why.clone()));
        }
        let played = self.play_trial(contender, seed, commands, stopped, tell);
        self.over = played.as_ref().err().map(ToString::to_string);
        played
    }

    fn play_trial(
        &mut self,
        contender: usize,
        seed: u64,
        commands: &Receiver<Command>,
        stopped: &(dyn Fn() + Sync),
        tell: &mut dyn FnMut(Message),
    ) -> Result<(), RemoteError> {
        let (ours, theirs) = match self.play_halves(contender, seed, commands, stopped, tell)? {
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

    /// Has the server play its half, and plays ours while that is listened to.
    fn play_halves(
        &mut self,
        contender: usize,
        seed: u64,
        commands: &Receiver<Command>,
        stopped: &(dyn Fn() + Sync),
        tell: &mut dyn FnMut(Message),
    ) -> Result<Halves, RemoteError> {
        let Self { terms, server, speaker, heard, .. } = self;
        let scenario = &terms.scenario;
        let played = scenario.contenders.get(contender).ok_or(RemoteError::Unexpected)?;
        let limits = Limits { end: scenario.end, flows: flows(scenario, played).count() };
        let place = u16::try_from(contender).map_err(|_| RemoteError::Unexpected)?;
        speaker.say(&Word::Play { contender: place, seed })?;
        let (cues, hear) = mpsc::sync_channel(WAITING);
        Ok(thread::scope(|scope| {
            let theirs = scope.spawn(move || listen(heard, limits, &cues, stopped));
            let ours = await_ports(usize::from(scenario.sessions), &hear, commands).and_then(|ports| {
                let servers = ports.iter().map(|&port| SocketAddr::new(server.ip(), port)).collect();
                tell(Message::Started { ports });
                // Where the connection is gone, whoever listens to it notices and ends the trial.
                let mut pass_on = |cue| drop(speaker.say(&Word::Cue(cue)));
                let cues = Cues { tell: &mut pass_on, hear: &hear };
                let site = Site { half: Half::Person(servers), address: server.ip(), only: None };
                let mut follow = |side: &Side| tell(Message::Progress(side.progress()));
                terms.play(contender, seed, &site, cues, commands, &mut follow)
            });
            if ours.is_err() {
                drop(speaker.say(&Word::Cue(Cue::Command(Command::Stop))));
                await_end(&hear, speaker);
            }
            drop(hear);
            let theirs = theirs.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (ours, theirs)
        }))
    }
}

/// Waits for the ports of so many sessions at the server.
fn await_ports(
    sessions: usize,
    hear: &Receiver<Cue>,
    commands: &Receiver<Command>,
) -> Result<Vec<u16>, RemoteError> {
    for _ in 0..LOOKS_FOR_PORTS {
        if commands.try_iter().any(|command| command == Command::Stop) {
            return Err(LiveError::Stopped.into());
        }
        match hear.recv_timeout(LOOKING) {
            Ok(Cue::Ports(ports)) if ports.len() == sessions => return Ok(ports),
            // Whoever listens knows why nothing more comes.
            Ok(Cue::Command(Command::Stop)) | Err(RecvTimeoutError::Disconnected) => {
                return Err(LiveError::Stopped.into());
            }
            Ok(_) => return Err(RemoteError::Unexpected),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "it named no ports for the sessions").into())
}

/// Waits until the server has said everything about a trial that came to nothing here; where that takes too
/// long, the conversation is over.
fn await_end(hear: &Receiver<Cue>, speaker: &mut Speaker) {
    for _ in 0..LOOKS_FOR_THE_END {
        if hear.recv_timeout(LOOKING) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
    speaker.close();
}

/// Listens to the server until it has said everything about a trial.
fn listen(
    heard: &mut Listener,
    limits: Limits,
    cues: &SyncSender<Cue>,
    stopped: &(dyn Fn() + Sync),
) -> Result<Side, RemoteError> {
    let mut side = Side::default();
    for _ in 0..WORDS_MAX {
        match heard.hear()? {
            Some(Word::Cue(cue)) => {
                if cue == Cue::Command(Command::Stop) {
                    stopped();
                }
                // Our half may be over already.
                let _ = cues.send(cue);
            }
            Some(Word::Message(message)) if limits.allow(&message) => side.note(message),
            Some(Word::Done { posted, arrived }) => {
                side.report = SocketReport { posted, arrived, ..SocketReport::default() };
                return if side.is_full() { Err(RemoteError::TooLong) } else { Ok(side) };
            }
            Some(Word::Failed(why)) => return Err(RemoteError::Failed(readable(&why))),
            Some(_) => return Err(RemoteError::Unexpected),
            None => return Err(RemoteError::BrokeOff),
        }
    }
    Err(RemoteError::TooLong)
}
