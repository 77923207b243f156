//! The server's reception: lets one client in that has the same terms, and tells all others why not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use super::server::Told;
use super::{RemoteError, Terms};
use crate::drive::control::{Caller, Listener, Reception, Refusal, Speaker, Word};
use crate::session::key::Key;

/// Callers that are greeted at the same time; who comes on top is sent away without a word.
const GREETING_MAX: u32 = 16;

/// Callers of whom it is told that they are turned away: enough to see what is going on, and few enough
/// that nobody can fill a disk.
const TOLD_MAX: u32 = 16;

/// Whoever is told.
pub(super) type Tell = Arc<dyn Fn(Told) + Send + Sync>;

/// A client that has been let in.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) from: SocketAddr,
    pub(super) speaker: Speaker,
    pub(super) heard: Listener,
}

/// What each caller is greeted by, in a thread of its own: who says nothing keeps nobody waiting.
struct Greeter {
    key: Option<Key>,
    digest: [u8; 32],
    tell: Tell,
    /// Whether there is a client already.
    taken: AtomicBool,
    /// Callers that are being greeted.
    greeting: AtomicU32,
    turned_away: AtomicU32,
}

/// Receives callers in a thread of its own until the other end of `closed` is dropped. The first one with
/// our terms goes to `let_in`, and so does why nobody can be received any more.
pub(super) fn receive(
    reception: Reception,
    terms: &Terms,
    tell: Tell,
    let_in: Sender<Result<Guest, RemoteError>>,
    closed: Receiver<()>,
) {
    let greeter = Arc::new(Greeter {
        key: terms.key.clone(),
        digest: terms.digest,
        tell,
        taken: AtomicBool::new(false),
        greeting: AtomicU32::new(0),
        turned_away: AtomicU32::new(0),
    });
    thread::spawn(move || {
        loop {
            match reception.accept(&closed) {
                Ok(Some((from, caller))) => Arc::clone(&greeter).begin(from, caller, let_in.clone()),
                Ok(None) => return,
                Err(error) => {
                    // Who plays already does not mind.
                    let _ = let_in.send(Err(error.into()));
                    return;
                }
            }
        }
    });
}

impl Greeter {
    fn begin(self: Arc<Self>, from: SocketAddr, caller: Caller, let_in: Sender<Result<Guest, RemoteError>>) {
        if self.greeting.fetch_add(1, Ordering::Relaxed) >= GREETING_MAX {
            self.greeting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        thread::spawn(move || {
            match self.greet(caller) {
                Ok((speaker, heard)) => {
                    (self.tell)(Told::Greeted(from));
                    // Where nobody waits for it any more, it is gone with this.
                    let _ = let_in.send(Ok(Guest { from, speaker, heard }));
                }
                Err(error) => self.turn_away(from, error),
            }
            self.greeting.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn greet(&self, caller: Caller) -> Result<(Speaker, Listener), RemoteError> {
        let (mut speaker, mut heard) = caller.greet(self.key.as_ref())?;
        let Some(Word::Hello { digest }) = heard.hear()? else { return Err(RemoteError::Unexpected) };
        let refusal = if digest != self.digest {
            Some(Refusal::Scenario)
        } else if self.taken.swap(true, Ordering::Relaxed) {
            Some(Refusal::Busy)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            speaker.say(&Word::Refused(refusal))?;
            return Err(refusal.into());
        }
        speaker.say(&Word::Welcome).inspect_err(|_| self.taken.store(false, Ordering::Relaxed))?;
        Ok((speaker, heard))
    }

    fn turn_away(&self, from: SocketAddr, why: RemoteError) {
        match self.turned_away.fetch_add(1, Ordering::Relaxed) {
            ..TOLD_MAX => (self.tell)(Told::TurnedAway(from, why)),
            TOLD_MAX => (self.tell)(Told::NoMore),
            _ => {}
        }
    }
}
