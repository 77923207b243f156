//! What stands between a UDP socket that faces the world and the transport: it sets the session up, and
//! lets nothing in but the packets of its peer.
//!
//! ```text
//! client                                              server
//!   hello(C, random)            ------------------>          keeps nothing
//!           <------------------   welcome(S, random)         both computed from hello and address
//!   confirm(C, both randoms)    ------------------>          computes them again: they match
//!           <------------------   ready                      the session is open, and no other will be
//!   packets to S                <------------------>         packets to C
//! ```
//!
//! A client that shows the server's random gets datagrams at the address that it claims to have, so
//! that nobody can have a server send to a victim (SYN cookies, RFC 4987 §3.6; RFC 9000 §8.1), and until
//! then the server sends at most as many bytes as it got and remembers nothing at all. What is lost is
//! said again by the client: after 250 ms, then after twice as long each time.
//!
//! | differs | there | here |
//! | --- | --- | --- |
//! | identities | QUIC: up to 20 bytes, changed on the way | 4 bytes, as many as RTP's SSRC; who cannot see the datagrams guesses one in 4 billion |
//! | moving | QUIC: a session may change its address | it may not: what comes from elsewhere is refused |
//! | replays | RFC 4303 §3.4.3: from a window of at least 32 | the same, from as many as the transport remembers |
//! | encryption | always | only with a [`Key`], see there what it promises |

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, Bytes, BytesMut};

use super::clock_offset::ClockOffset;
use super::key::{Key, TAG_LEN, keyed_hash};
use super::probes::Probes;
use super::sealing::Sealing;
use super::setup::{Introduction, Letter, Refusal, Setup, Transcript};
use crate::time::Time;
use crate::transport::Packet;
use crate::transport::packet::{ENVELOPE_LEN, SETUP, VERSION};

mod cookie;
mod refusals;
mod retry;
mod state;

#[cfg(test)]
mod tests;

pub use refusals::{Reason, Refusals};
pub use state::{Failure, State};

use cookie::Cookies;
use retry::Retry;

/// How a door is made.
#[derive(Clone, Debug)]
pub struct DoorConfig {
    /// The largest UDP payload that is let in, in bytes; both ends of a session send no larger ones. The
    /// socket must be able to receive more than that, or it cuts what is too large to the right size.
    pub datagram: u16,
    /// The key that the other end must have, if packets are to be encrypted.
    pub key: Option<Key>,
    /// Whether the ends compare their clocks while the session is open; the client's decides.
    pub clock: bool,
    /// The only host that a server lets in; none stands for any. Who has no key cannot prove that a session
    /// is his, but he can be told from strangers elsewhere.
    pub only: Option<IpAddr>,
}

impl DoorConfig {
    /// The largest UDP payload that the transport may fill, in bytes: a tag has to fit in behind.
    pub fn room(&self) -> u16 {
        let tag = if self.key.is_some() { TAG_LEN as u16 } else { 0 };
        self.datagram.saturating_sub(tag)
    }
}

impl Default for DoorConfig {
    /// 1200 bytes, which pass every path of the internet (RFC 9000 §14); no encryption; clocks are
    /// compared; for any host.
    fn default() -> Self {
        Self { datagram: 1200, key: None, clock: true, only: None }
    }
}

/// The door of one socket, and of one session.
///
/// After every [`Door::admit`], and when [`Door::poll_timeout`] is due: [`Door::poll_transmit`] until there
/// is nothing more.
#[derive(Debug)]
pub struct Door {
    config: DoorConfig,
    role: Role,
    state: State,
    /// From the welcome on at the client, from the confirm on at the server.
    session: Option<Session>,
    /// What is to be said in answer to the last datagram.
    answer: Option<(SocketAddr, Answer)>,
    refused: Refusals,
}

impl Door {
    /// A door that waits for the first client that comes.
    ///
    /// `secret` is 32 random bytes that are used for no other door.
    pub fn server(config: DoorConfig, secret: [u8; 32]) -> Self {
        Self::new(config, Role::Server { cookies: Cookies::new(&secret) })
    }

    /// A door that knocks at the one of `server` until it is let in.
    ///
    /// `secret` is 32 random bytes that are used for no other door.
    pub fn client(config: DoorConfig, secret: [u8; 32], server: SocketAddr) -> Self {
        let client = Introduction::of(keyed_hash(&secret));
        Self::new(config, Role::Client { server, client, retry: Retry::new(Time::ZERO), hint: None })
    }

    fn new(config: DoorConfig, role: Role) -> Self {
        let refused = Refusals::default();
        Self { config, role, state: State::Waiting, session: None, answer: None, refused }
    }

    /// Takes a datagram that arrived from `from`, and gives the packet in it where it is one of the
    /// session; else it was the door's own, or it is refused and counted.
    pub fn admit(&mut self, now: Time, from: SocketAddr, datagram: Bytes) -> Option<Bytes> {
        let examined = if datagram.len() > usize::from(self.config.datagram) {
            Err(Reason::Oversize)
        } else if datagram.get(ENVELOPE_LEN).is_some_and(|first| first & 7 == SETUP) {
            self.handle_setup(now, from, &datagram).map(|()| None)
        } else {
            self.handle_packet(from, datagram).map(Some)
        };
        examined.unwrap_or_else(|reason| {
            self.refused.count(reason);
            None
        })
    }

    /// The next datagram to send, written behind what is in `out`, and where to; none for now.
    pub fn poll_transmit(&mut self, now: Time, out: &mut BytesMut) -> Option<SocketAddr> {
        if let Some((to, answer)) = self.answer.take() {
            self.write(now, answer, out);
            return Some(to);
        }
        match self.state {
            State::Waiting => self.knock(now, out),
            State::Open { peer } => self.probe(now, out).then_some(peer),
            State::Failed(_) => None,
        }
    }

    /// When [`Door::poll_transmit`] has something to send or to give up.
    pub fn poll_timeout(&self) -> Option<Time> {
        let Role::Client { retry, .. } = &self.role else { return None };
        match (self.state, &self.session) {
            (State::Waiting, _) => Some(retry.due),
            (State::Open { .. }, Some(session)) if self.config.clock => Some(session.probes.due()),
            _ => None,
        }
    }

    /// Writes the datagram of `packet` behind what is in `out`; nothing while the door is not open.
    ///
    /// A packet may be sealed again, but no other may have its number.
    pub fn seal(&mut self, packet: &Packet, out: &mut BytesMut) {
        if let (State::Open { .. }, Some(session)) = (self.state, &mut self.session) {
            session.sealing.seal(session.theirs, packet, out);
        }
    }

    /// Whether the session is open.
    pub fn state(&self) -> State {
        self.state
    }

    /// How many datagrams were refused, by reason.
    pub fn refused(&self) -> Refusals {
        self.refused
    }

    /// What is known of the other end's clock.
    pub fn clock(&self) -> Option<&ClockOffset> {
        self.session.as_ref().map(|session| session.probes.offset())
    }

    /// Says hello or confirms, where it is time to, or gives up.
    fn knock(&mut self, now: Time, out: &mut BytesMut) -> Option<SocketAddr> {
        let Role::Client { server, client, retry, hint } = &mut self.role else { return None };
        if now < retry.due {
            return None;
        }
        if retry.left == 0 {
            self.state = State::Failed(hint.unwrap_or(Failure::Silence { server: *server }));
            return None;
        }
        retry.again(now);
        let (to, client, key) = (*server, *client, self.config.key.as_ref());
        match &self.session {
            None => Setup::Hello(client).encode(0, key, None, out),
            Some(Session { said, .. }) => {
                let confirm = Setup::Confirm { client, random: said.server.random };
                confirm.encode(said.server.identity, key, Some(said), out);
            }
        }
        Some(to)
    }

    /// Asks for the time, where it is time to.
    fn probe(&mut self, now: Time, out: &mut BytesMut) -> bool {
        let asks = self.config.clock && matches!(self.role, Role::Client { .. });
        let Some(session) = self.session.as_mut().filter(|_| asks) else { return false };
        let Some(times) = session.probes.poll(now) else { return false };
        Setup::Probe(times).encode(session.theirs, self.config.key.as_ref(), Some(&session.said), out);
        true
    }

    fn handle_packet(&mut self, from: SocketAddr, datagram: Bytes) -> Result<Bytes, Reason> {
        let session =
            self.session_with(from, (&datagram[..]).try_get_u32().map_err(|_| Reason::Malformed)?)?;
        let packet = session.sealing.open(datagram)?;
        // A server that sends packets has the door open, even if its ready was lost.
        if self.state == State::Waiting {
            self.state = State::Open { peer: from };
        }
        Ok(packet)
    }

    fn handle_setup(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) -> Result<(), Reason> {
        if self.config.only.is_some_and(|only| only.to_canonical() != from.ip().to_canonical()) {
            return Err(Reason::Elsewhere);
        }
        let letter = Letter::read(datagram).ok_or(Reason::Malformed)?;
        match (&self.role, letter.setup) {
            (Role::Server { .. }, Setup::ForeignHello { identity }) => {
                self.refuse(from, identity, Refusal::Version(VERSION));
                Err(Reason::Version)
            }
            (Role::Server { cookies }, Setup::Hello(client)) => {
                let server = cookies.bake(from, client);
                self.handle_hello(from, &letter, Transcript { client, server })
            }
            (Role::Server { cookies }, Setup::Confirm { client, random }) => {
                let server = Introduction { identity: letter.to, random };
                if !cookies.knows(from, client, server) {
                    return Err(Reason::Identity);
                }
                self.handle_confirm(from, &letter, Transcript { client, server })
            }
            (Role::Client { .. }, Setup::Welcome(server)) => self.handle_welcome(now, from, &letter, server),
            (Role::Client { .. }, Setup::Ready) => self.handle_ready(from, &letter),
            (Role::Client { .. }, Setup::Refusal(refusal)) => self.handle_refusal(from, &letter, refusal),
            (Role::Server { .. }, Setup::Probe(times)) => {
                let session = self.authentic(from, &letter)?;
                session.probes.handle_probe(now, times);
                self.answer = Some((from, Answer::Time { sent: times[0], arrived: now }));
                Ok(())
            }
            (Role::Client { .. }, Setup::Answer(times)) => {
                self.authentic(from, &letter)?.probes.handle_answer(now, times)
            }
            _ => Err(Reason::Malformed),
        }
    }

    fn handle_hello(&mut self, from: SocketAddr, letter: &Letter, said: Transcript) -> Result<(), Reason> {
        let client = said.client;
        if letter.to != 0 {
            return Err(Reason::Malformed);
        }
        if let Some(session) = &self.session {
            if session.said == said {
                return Err(Reason::Replayed);
            }
            self.refuse(from, client.identity, Refusal::Busy);
            return Err(Reason::Busy);
        }
        if !letter.is_authentic(self.config.key.as_ref(), None) {
            self.refuse(from, client.identity, Refusal::Key);
            return Err(Reason::NotAuthentic);
        }
        self.answer = Some((from, Answer::Welcome(said)));
        Ok(())
    }

    fn handle_confirm(&mut self, from: SocketAddr, letter: &Letter, said: Transcript) -> Result<(), Reason> {
        if !letter.is_authentic(self.config.key.as_ref(), Some(&said)) {
            return Err(Reason::NotAuthentic);
        }
        match &self.session {
            // Our ready was lost.
            Some(session) if session.said == said => {}
            Some(_) => {
                self.refuse(from, said.client.identity, Refusal::Busy);
                return Err(Reason::Busy);
            }
            None => {
                let sealing = Sealing::server(self.config.key.as_ref(), &said);
                let (ours, theirs) = (said.server.identity, said.client.identity);
                self.session =
                    Some(Session { peer: from, said, ours, theirs, sealing, probes: Probes::default() });
                self.state = State::Open { peer: from };
            }
        }
        self.answer = Some((from, Answer::Ready(said)));
        Ok(())
    }

    fn handle_welcome(
        &mut self,
        now: Time,
        from: SocketAddr,
        letter: &Letter,
        server: Introduction,
    ) -> Result<(), Reason> {
        let client = self.client_answered(from, letter)?;
        if self.session.is_some() {
            return Err(Reason::Replayed);
        }
        let said = Transcript { client, server };
        if !letter.is_authentic(self.config.key.as_ref(), Some(&said)) {
            return Err(Reason::NotAuthentic);
        }
        let sealing = Sealing::client(self.config.key.as_ref(), &said);
        let (ours, theirs) = (client.identity, server.identity);
        self.session = Some(Session { peer: from, said, ours, theirs, sealing, probes: Probes::default() });
        if let Role::Client { retry, .. } = &mut self.role {
            *retry = Retry::new(now);
        }
        Ok(())
    }

    fn handle_ready(&mut self, from: SocketAddr, letter: &Letter) -> Result<(), Reason> {
        self.authentic(from, letter)?;
        self.state = State::Open { peer: from };
        Ok(())
    }

    /// Without a key a refusal is believed; with one it may be forged, and is only what is said when all
    /// tries have failed.
    fn handle_refusal(&mut self, from: SocketAddr, letter: &Letter, refusal: Refusal) -> Result<(), Reason> {
        self.client_answered(from, letter)?;
        let failure = match refusal {
            Refusal::Version(theirs) => Failure::Version { theirs },
            Refusal::Busy => Failure::Busy { server: from },
            Refusal::Key => Failure::Key { server: from },
        };
        let Role::Client { hint, .. } = &mut self.role else { return Err(Reason::Malformed) };
        *hint = Some(failure);
        if self.config.key.is_none() {
            self.state = State::Failed(failure);
        }
        Ok(())
    }

    /// The client's own introduction, where it waits for an answer and `letter` may be one.
    fn client_answered(&self, from: SocketAddr, letter: &Letter) -> Result<Introduction, Reason> {
        let Role::Client { server, client, .. } = &self.role else { return Err(Reason::Malformed) };
        if !is_same(*server, from) {
            return Err(Reason::Elsewhere);
        }
        if letter.to != client.identity {
            return Err(Reason::Identity);
        }
        match self.state {
            State::Waiting => Ok(*client),
            State::Open { .. } => Err(Reason::Replayed),
            State::Failed(_) => Err(Reason::Closed),
        }
    }

    /// The session, where a datagram from `from` to identity `to` belongs to it.
    fn session_with(&mut self, from: SocketAddr, to: u32) -> Result<&mut Session, Reason> {
        let session = self.session.as_mut().filter(|_| !matches!(self.state, State::Failed(_)));
        let session = session.ok_or(Reason::Closed)?;
        if !is_same(session.peer, from) {
            Err(Reason::Elsewhere)
        } else if session.ours != to {
            Err(Reason::Identity)
        } else {
            Ok(session)
        }
    }

    /// The session that `letter` is authentic in.
    fn authentic(&mut self, from: SocketAddr, letter: &Letter) -> Result<&mut Session, Reason> {
        let said = self.session_with(from, letter.to)?.said;
        if !letter.is_authentic(self.config.key.as_ref(), Some(&said)) {
            return Err(Reason::NotAuthentic);
        }
        self.session_with(from, letter.to)
    }

    fn refuse(&mut self, from: SocketAddr, identity: u32, refusal: Refusal) {
        self.answer = Some((from, Answer::Refusal(identity, refusal)));
    }

    fn write(&mut self, now: Time, answer: Answer, out: &mut BytesMut) {
        let key = self.config.key.as_ref();
        match answer {
            Answer::Welcome(said) => {
                Setup::Welcome(said.server).encode(said.client.identity, key, Some(&said), out);
            }
            Answer::Ready(said) => Setup::Ready.encode(said.client.identity, key, Some(&said), out),
            Answer::Time { sent, arrived } => {
                let Some(session) = &mut self.session else { return };
                let times = session.probes.answer(now, sent, arrived);
                Setup::Answer(times).encode(session.theirs, key, Some(&session.said), out);
            }
            Answer::Refusal(to, refusal) => Setup::Refusal(refusal).encode(to, None, None, out),
        }
    }
}

/// Which end of the session a door is.
#[derive(Debug)]
enum Role {
    Server {
        cookies: Cookies,
    },
    Client {
        server: SocketAddr,
        client: Introduction,
        retry: Retry,
        /// Why it may be that nobody lets us in.
        hint: Option<Failure>,
    },
}

/// What both ends have agreed on.
#[derive(Debug)]
struct Session {
    peer: SocketAddr,
    said: Transcript,
    ours: u32,
    theirs: u32,
    sealing: Sealing,
    probes: Probes,
}

/// What a door has to say to the last datagram.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Welcome(Transcript),
    Ready(Transcript),
    Time { sent: Time, arrived: Time },
    Refusal(u32, Refusal),
}

/// Whether two addresses are one: a socket for IPv6 shows IPv4 addresses mapped.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}
