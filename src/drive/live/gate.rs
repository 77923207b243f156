//! The real socket of one end of a session, with its door.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::LiveError;
use super::ports::{Claim, Lease, LivePorts};
use super::trial::TURN;
use crate::drive::udp::{Inbox, UdpPort};
use crate::endpoint::{Arrival, Ecn};
use crate::record::Malformed;
use crate::session::door::{Door, DoorConfig, Reason};
use crate::time::Time;
use crate::transport::Packet;

/// Datagrams that one socket may bring in before the next one gets its turn. More than may be sent in the
/// meantime, so that a receive buffer does not fill because of it.
const BUDGET: usize = 2 * TURN;

/// The socket of one end, and what stands between it and the transport.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) port: UdpPort,
    /// The same socket, as the runtime watches it.
    pub(super) watch: UdpSocket,
    pub(super) door: Door,
    /// The server's port, given back when the sockets are closed.
    _claim: Option<Claim>,
    /// Packets that were to go out.
    pub(super) posted: u64,
    /// Packets that were let in.
    admitted: u64,
}

/// What has come in at a gate.
pub(super) type Arrived = Result<Arrival<Packet>, Malformed>;

impl Gate {
    /// The server's end of a session, on the next port that is free.
    pub(super) fn server(
        ports: &LivePorts,
        config: &DoorConfig,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        let Lease { udp, claim } = ports.lease()?;
        Self::new(udp, Door::server(config.clone(), secret()?), Some(claim), segmentation)
    }

    /// The person's end of a session, on any port at `from`.
    pub(super) fn person(
        from: SocketAddr,
        server: SocketAddr,
        config: &DoorConfig,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        let udp = UdpPort::bind(from).map_err(LiveError::Socket)?;
        Self::new(udp, Door::client(config.clone(), secret()?, server), None, segmentation)
    }

    fn new(
        mut port: UdpPort,
        door: Door,
        claim: Option<Claim>,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        port.set_segmentation(segmentation);
        let watch = port.socket().try_clone().and_then(UdpSocket::from_std).map_err(LiveError::Socket)?;
        Ok(Self { port, watch, door, _claim: claim, posted: 0, admitted: 0 })
    }

    /// Sends what the door has to say of its own accord.
    pub(super) fn knock(&mut self, now: Time) -> Result<(), LiveError> {
        let mut letter = BytesMut::new();
        while let Some(to) = self.door.poll_transmit(now, &mut letter) {
            self.port.push(to, Ecn::NotEct, |out| out.extend_from_slice(&letter));
            letter.clear();
        }
        self.flush().map_err(LiveError::Socket)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.port.flush()? {
            exhausted(&self.watch, Interest::WRITABLE);
        }
        Ok(())
    }

    pub(super) fn receive(
        &mut self,
        now: Time,
        inbox: &mut Inbox,
        each: &mut dyn FnMut(Arrived),
    ) -> io::Result<()> {
        let Self { port, door, admitted, .. } = self;
        // At most one answer to each datagram, while the socket is busy with reading.
        let mut letters = Vec::new();
        let drained =
            port.recv(inbox, BUDGET, |from, ecn, datagram| match door.admit(now, from, datagram) {
                Some(packet) => {
                    *admitted += 1;
                    each(Packet::decode(packet).map(|packet| Arrival { packet, ecn }));
                }
                None => {
                    let mut letter = BytesMut::new();
                    while let Some(to) = door.poll_transmit(now, &mut letter) {
                        letters.push((to, letter.split()));
                    }
                }
            })?;
        if drained {
            exhausted(&self.watch, Interest::READABLE);
        }
        if letters.is_empty() {
            return Ok(());
        }
        for (to, letter) in letters {
            self.port.push(to, Ecn::NotEct, |out| out.extend_from_slice(&letter));
        }
        // At once: an answer about the time is worth the less the longer it waits.
        self.flush()
    }

    /// Packets of the session that arrived here, those among them that came twice too: a link may
    /// duplicate, and a door keeps the second one out.
    pub(super) fn arrived(&self) -> u64 {
        self.admitted + self.door.refused().of(Reason::Replayed)
    }
}

/// Tells the runtime that the kernel has no more to read, or no room to write: else it would not say
/// when that changes. Nothing can change in between: one thread does the work and hears the news.
fn exhausted(watch: &UdpSocket, interest: Interest) {
    let _ = watch.try_io(interest, || Err::<(), _>(ErrorKind::WouldBlock.into()));
}

fn secret() -> Result<[u8; 32], LiveError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| LiveError::Socket(io::Error::other(error)))?;
    Ok(secret)
}
