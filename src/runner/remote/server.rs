//! The server's end of the conversation.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::reception::{Guest, receive};
use super::side::Side;
use super::{RemoteError, Site, Tally, Terms, WAITING};
use crate::drive::control::{Listener, Reception, Speaker, Word};
use crate::drive::live::{Cue, Cues, Half, LiveError, SocketReport};
use crate::drive::message::{Command, Message};

/// What a server that waits and plays has to tell.
#[derive(Debug)]
pub enum Told {
    /// This client is played with.
    Greeted(SocketAddr),
    /// This one is not.
    TurnedAway(SocketAddr, RemoteError),
    /// So many were turned away that it is not told of any more.
    NoMore,
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
            Self::NoMore => f.write_str("whoever else is turned away is not told of any more"),
            Self::Trial { contender, seed } => write!(f, "playing {contender}, seed {seed}"),
        }
    }
}

/// Waits for a client with the same terms, and plays with it until it leaves; whoever else comes in the
/// meantime is turned away. `told` hears what is worth telling; `commands` stop the trial under way.
///
/// # Errors
/// [`RemoteError`]; strangers are turned away and are none.
pub fn serve(
    terms: &Terms,
    reception: Reception,
    commands: &Receiver<Command>,
    told: &Arc<dyn Fn(Told) + Send + Sync>,
) -> Result<Tally, RemoteError> {
    let address = reception.address()?.ip();
    let (let_in, guests) = mpsc::channel();
    // Whoever is received is received until this ends.
    let (_open, closed) = mpsc::channel();
    receive(reception, terms, Arc::clone(told), let_in, closed);
    let Guest { from, speaker, mut heard } = guests.recv().map_err(|_| RemoteError::BrokeOff)??;
    heard.let_in(terms.silence());
    // A key proves more than an address, which may differ where a network translates it.
    let only = terms.key.is_none().then_some(from.ip());
    let site = Site { half: Half::Server, address, only };
    Session { terms, site, speaker, tally: Tally::default() }.run(heard, commands, &**told)
}

/// A client that plays with us.
struct Session<'a> {
    terms: &'a Terms,
    site: Site,
    speaker: Speaker,
    tally: Tally,
}

impl Session<'_> {
    fn run(
        mut self,
        mut heard: Listener,
        commands: &Receiver<Command>,
        told: &dyn Fn(Told),
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
        told: &dyn Fn(Told),
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
        let side = self.terms.play(contender, seed, &self.site, cues, commands, &mut |_| ());
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
