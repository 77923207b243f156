//! The sockets of a trial: what its ends send and receive through.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use nix::poll::PollFlags;
use socket2::Socket;

use super::super::namespace::{Side, Unavailable};
use super::super::tcp::socket::{SocketError, prepare_namespace};
use super::super::tcp::{KernelTcp, Tap};
use super::Stage;
use crate::drive::datagram::Datagram;
use crate::drive::ends::Outlet;
use crate::drive::message::TcpSample;
use crate::drive::udp::{Inbox, UdpPort};
use crate::endpoint::{Arrival, Direction, Flow, Transmit};
use crate::record::Sink;
use crate::session::door::{Door, DoorConfig, State};
use crate::session::ports::{Exhausted, PortAllocator};
use crate::time::Time;
use crate::transport::Packet;
use crate::{tcp, transport};

/// What carries a session.
#[derive(Debug)]
pub enum Carrier {
    /// Our transport's packets.
    Udp(Box<UdpEnds>),
    /// The kernel's TCP.
    Tcp {
        /// The server's port.
        port: u16,
        /// What there is to know of the server's end, and of the person's.
        taps: [Tap; 2],
    },
}

/// The sockets of both ends of a session over UDP, the server's first, each with its door.
#[derive(Debug)]
pub struct UdpEnds {
    ports: [UdpPort; 2],
    doors: [Door; 2],
}

/// Why the sockets of a trial cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// No namespace to make them in.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Of TCP.
    #[error(transparent)]
    Tcp(#[from] SocketError),
    /// More sessions than ports.
    #[error(transparent)]
    Ports(#[from] Exhausted),
    /// Of UDP.
    #[error("cannot make a UDP socket: {0}")]
    Udp(io::Error),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// This protocol is played in virtual time and between the ends of one process.
    #[error("{0} has no sockets to play it through")]
    NoSockets(&'static str),
    /// Both ends are there and do not hear each other.
    #[error("the two ends did not find each other through the TUN devices")]
    NoIntroduction,
    /// A connection ended before its session.
    #[error("{0}")]
    Broken(String),
}

impl Carrier {
    /// The server's port.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Udp(ends) => ends.ports[0].local_addr().port(),
            Self::Tcp { port, .. } => *port,
        }
    }

    /// Sockets for a session over UDP with this configuration, on the next port of `ports`.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub fn udp(
        stage: &Stage,
        config: &transport::Config,
        ports: &mut PortAllocator,
    ) -> Result<Self, SetUpError> {
        let bind = |side: Side, port| UdpPort::bind(SocketAddr::new(side.address().into(), port));
        let bound = stage.at(Side::Server, || ports.allocate(|port| bind(Side::Server, port).ok()))?;
        let (_, server) = bound?;
        let person = stage.at(Side::Person, || bind(Side::Person, 0))?.map_err(SetUpError::Udp)?;
        let doors = DoorConfig { datagram: config.datagram, clock: false, ..DoorConfig::default() };
        let address = server.local_addr();
        let doors = [Door::server(doors.clone(), secret()?), Door::client(doors, secret()?, address)];
        Ok(Self::Udp(Box::new(UdpEnds { ports: [server, person], doors })))
    }

    /// Sockets and both ends of a session over TCP, on the next port of `ports`.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub fn tcp(
        stage: &Stage,
        config: &tcp::Config,
        flow: Flow,
        ports: &mut PortAllocator,
    ) -> Result<(Self, [KernelTcp; 2]), SetUpError> {
        let (port, ()) = ports.allocate(|_| Some(()))?;
        let address = SocketAddr::new(Side::Server.address().into(), port);
        let server = stage.at(Side::Server, || {
            prepare_namespace(config)?;
            KernelTcp::server(config, flow, address)
        })??;
        let person = stage.at(Side::Person, || {
            prepare_namespace(config)?;
            KernelTcp::client(config, flow, address)
        })??;
        let taps = [server.tap(), person.tap()];
        Ok((Self::Tcp { port, taps }, [server, person]))
    }
}

fn secret() -> Result<[u8; 32], SetUpError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(SetUpError::Random)?;
    Ok(secret)
}

/// All of them. Ends are numbered as in [`Ends`](crate::drive::ends::Ends).
#[derive(Debug)]
pub(super) struct Sockets {
    carriers: Vec<Carrier>,
    inbox: Inbox,
    ready: Vec<usize>,
}

/// A socket to wait for.
#[derive(Debug)]
pub(super) enum Waiting<'a> {
    Udp(BorrowedFd<'a>),
    Tcp(Rc<Socket>),
}

impl AsFd for Waiting<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(fd) => *fd,
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

impl Sockets {
    pub(super) fn new(carriers: Vec<Carrier>) -> Self {
        Self { carriers, inbox: Inbox::default(), ready: Vec::new() }
    }

    /// The server's port of each session.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.carriers.iter().map(Carrier::port).collect()
    }

    /// Takes the introductions of sessions over UDP a step further; whether all are done.
    pub(super) fn introduce(&mut self, now: Time) -> Result<bool, SetUpError> {
        let mut all = true;
        for carrier in &mut self.carriers {
            let Carrier::Udp(ends) = carrier else { continue };
            let UdpEnds { ports, doors } = &mut **ends;
            for (port, door) in ports.iter_mut().zip(doors) {
                port.recv(&mut self.inbox, DATAGRAMS_MAX, |from, _, datagram| {
                    // Nobody sends packets yet, so that there is nothing else to be admitted.
                    let _ = door.admit(now, from, datagram);
                })
                .map_err(SetUpError::Udp)?;
                let mut out = bytes::BytesMut::new();
                while let Some(to) = door.poll_transmit(now, &mut out) {
                    port.push(to, crate::endpoint::Ecn::NotEct, |queue| queue.extend_from_slice(&out));
                    out.clear();
                }
                port.flush().map_err(SetUpError::Udp)?;
                all &= matches!(door.state(), State::Open { .. });
            }
        }
        Ok(all)
    }

    /// When [`Sockets::introduce`] wants to be called, if nothing arrives before.
    pub(super) fn introduction_at(&self) -> Option<Time> {
        let doors = self.carriers.iter().filter_map(|carrier| match carrier {
            Carrier::Udp(ends) => Some(&ends.doors),
            Carrier::Tcp { .. } => None,
        });
        doors.flatten().filter_map(Door::poll_timeout).min()
    }

    /// The sockets to wait for: whose, which, and for what.
    pub(super) fn waiting(&self) -> Vec<(usize, Waiting<'_>, PollFlags)> {
        let mut waiting = Vec::with_capacity(2 * self.carriers.len());
        for (flow, carrier) in self.carriers.iter().enumerate() {
            for end in 0..2 {
                match carrier {
                    Carrier::Udp(ends) => {
                        let port = &ends.ports[end];
                        let interest = interest(port.queued() > 0);
                        waiting.push((2 * flow + end, Waiting::Udp(port.as_fd()), interest));
                    }
                    Carrier::Tcp { taps, .. } => {
                        if let Some(socket) = taps[end].socket() {
                            let interest = interest(taps[end].wants_to_write());
                            waiting.push((2 * flow + end, Waiting::Tcp(socket), interest));
                        }
                    }
                }
            }
        }
        waiting
    }

    /// These ends' sockets are ready.
    pub(super) fn set_ready(&mut self, ready: Vec<usize>) {
        self.ready = ready;
    }

    /// The ends whose sockets are ready, once.
    pub(super) fn ready(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.ready)
    }

    /// Whether an end's transport reads its socket itself.
    pub(super) fn is_tcp(&self, number: usize) -> bool {
        matches!(self.carriers[number / 2], Carrier::Tcp { .. })
    }

    /// What the socket of an end over UDP has received.
    pub(super) fn receive(&mut self, number: usize, now: Time) -> io::Result<Vec<Arrival<Datagram>>> {
        let Carrier::Udp(ends) = &mut self.carriers[number / 2] else { return Ok(Vec::new()) };
        let (port, door) = (&mut ends.ports[number % 2], &mut ends.doors[number % 2]);
        let mut arrivals = Vec::new();
        port.recv(&mut self.inbox, DATAGRAMS_MAX, |from, ecn, datagram| {
            let packet = door.admit(now, from, datagram).map(Packet::decode);
            if let Some(Ok(packet)) = packet {
                arrivals.push(Arrival { packet: packet.into(), ecn });
            }
        })?;
        Ok(arrivals)
    }

    /// Hands over to the kernel what an end has sent.
    pub(super) fn flush(&mut self, number: usize) {
        if let Carrier::Udp(ends) = &mut self.carriers[number / 2] {
            // What the kernel does not take is counted, or waits until it does.
            let _ = ends.ports[number % 2].flush();
        }
    }

    /// How far the application of an end over TCP has read.
    pub(super) fn position(&self, number: usize) -> Option<u64> {
        match &self.carriers[number / 2] {
            Carrier::Udp(_) => None,
            Carrier::Tcp { taps, .. } => Some(taps[number % 2].position()),
        }
    }

    /// What the kernel has said about connections since the last call.
    pub(super) fn take_samples(&self, each: &mut dyn FnMut(TcpSample)) {
        for carrier in &self.carriers {
            if let Carrier::Tcp { taps, .. } = carrier
                && let Some(sample) = taps[Direction::Down as usize].take_sample()
            {
                each(sample);
            }
        }
    }

    /// Why a connection is over, if one is.
    pub(super) fn failure(&self) -> Option<String> {
        let taps = self.carriers.iter().filter_map(|carrier| match carrier {
            Carrier::Udp(_) => None,
            Carrier::Tcp { taps, .. } => Some(taps),
        });
        taps.flatten().find_map(Tap::failure)
    }

    /// Datagrams that did not get into the kernel.
    pub(super) fn dropped(&self) -> u64 {
        let ports = self.carriers.iter().filter_map(|carrier| match carrier {
            Carrier::Udp(ends) => Some(&ends.ports),
            Carrier::Tcp { .. } => None,
        });
        ports.flatten().map(|port| port.counts().overflowed + port.counts().refused).sum()
    }
}

impl Outlet<Datagram> for Sockets {
    fn send(
        &mut self,
        _: Time,
        flow: Flow,
        direction: Direction,
        transmit: Transmit<Datagram>,
        _: &mut dyn Sink,
    ) {
        let Some(Carrier::Udp(ends)) = self.carriers.get_mut(usize::from(flow.0)) else { return };
        let (port, door) = (&mut ends.ports[direction as usize], &mut ends.doors[direction as usize]);
        if let (Datagram::Udp(packet), State::Open { peer }) = (&transmit.packet, door.state()) {
            port.push(peer, transmit.ecn, |out| door.seal(packet, out));
        }
    }
}

/// Datagrams that one socket may have before the others' turn.
const DATAGRAMS_MAX: usize = 512;

fn interest(write: bool) -> PollFlags {
    if write { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN }
}
