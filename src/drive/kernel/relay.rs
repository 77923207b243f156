//! Carries packets from one TUN device to the other over the links of a path.
//!
//! A packet enters its link when it has been read, so never before it was sent; and it is written when
//! the clock has reached the time at which the link delivers it, so never early.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::offload::{self, Pool};
use super::packet::{self, IpPacket};
use super::tun::Tun;
use crate::drive::clock::Clock;
use crate::drive::links::Links;
use crate::drive::timing::Lateness;
use crate::endpoint::{Class, Direction, Flow, Transmit};
use crate::record::Sink;
use crate::time::Time;

/// Sees every packet before it enters its link, and says what becomes of it.
pub trait Watch {
    /// What to do with the IPv4 `packet` that travels in `direction` and was read at `now`.
    fn see(&mut self, now: Time, direction: Direction, packet: &[u8], sink: &mut dyn Sink) -> Seen;
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It crosses the link.
    Impair {
        /// As a packet of this flow,
        flow: Flow,
        /// of this class,
        class: Class,
        /// and with so many bytes of payload, as [`Wire`](crate::endpoint::Wire) has it.
        payload: u32,
    },
    /// It is handed over at once, and the link knows nothing of it.
    Pass,
    /// It is dropped, and counted.
    Ignore,
}

/// What was lost or left out beside the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Packets that the kernel would not take when they were due.
    pub refused: u64,
    /// Packets that [`Watch`] ignored, and what was no IPv4 packet.
    pub ignored: u64,
    /// Packets that the kernel dropped before they could be read; one that was to be cut counts once.
    pub overflowed: u64,
}

/// Both devices and the path between them.
#[derive(Debug)]
pub struct Relay<W> {
    /// The device that sends down, the server's, and the one that sends up.
    tuns: [Tun; 2],
    links: Links<IpPacket>,
    watch: W,
    strays: Strays,
    scratch: Box<[u8]>,
    pool: Pool,
    /// What was read and has not been taken, of each direction: a large packet is cut into many.
    cut: [(Time, VecDeque<BytesMut>); 2],
}

/// A packet that was read and has not entered its link.
#[derive(Debug)]
pub struct Incoming {
    /// When it was read.
    pub at: Time,
    direction: Direction,
    bytes: BytesMut,
}

impl<W: Watch> Relay<W> {
    /// A relay between the devices of [`Namespaces::make`](super::Namespaces::make).
    pub fn new(tuns: [Tun; 2], links: Links<IpPacket>, watch: W) -> Self {
        let scratch = vec![0; PACKET_MAX].into_boxed_slice();
        let cut = Default::default();
        Self { tuns, links, watch, strays: Strays::default(), scratch, pool: Pool::default(), cut }
    }

    /// Takes everything that can be read, up to a bound, and hands over everything that is due; each
    /// packet that is read finds its link as it is at that time.
    ///
    /// # Errors
    /// Where a device cannot be read any more.
    pub fn work(&mut self, clock: &Clock, lateness: &mut Lateness, sink: &mut dyn Sink) -> io::Result<()> {
        for direction in Direction::BOTH {
            for _ in 0..BATCH {
                let Some(incoming) = self.read(direction, clock)? else { break };
                self.deliver(incoming.at, clock, lateness, sink);
                self.admit(incoming, sink);
            }
        }
        self.deliver(clock.now(), clock, lateness, sink);
        Ok(())
    }

    /// Reads the next packet that travels in `direction`; none where there is none. Before it is
    /// [admitted](Relay::admit), everything that is due by then should be done.
    ///
    /// # Errors
    /// Where the device cannot be read any more.
    pub fn read(&mut self, direction: Direction, clock: &Clock) -> io::Result<Option<Incoming>> {
        let place = direction as usize;
        loop {
            let (at, cut) = &mut self.cut[place];
            if let Some(bytes) = cut.pop_front() {
                return Ok(Some(Incoming { at: *at, direction, bytes }));
            }
            let Some(length) = self.tuns[place].read(&mut self.scratch)? else { return Ok(None) };
            *at = clock.now();
            let read = &self.scratch[..length];
            if !packet::is_ipv4(packet::ip(read)) || offload::cut(read, &mut self.pool, cut).is_err() {
                self.strays.ignored += 1;
            }
        }
    }

    /// Puts a packet on its link, or does with it what the watch says.
    pub fn admit(&mut self, incoming: Incoming, sink: &mut dyn Sink) {
        let Incoming { at, direction, bytes } = incoming;
        match self.watch.see(at, direction, packet::ip(&bytes), sink) {
            Seen::Impair { flow, class, payload } => {
                let ecn = packet::ecn(packet::ip(&bytes));
                let packet = IpPacket::new(bytes, class, payload);
                self.links.get(direction).send(at, flow, Transmit { packet, ecn }, sink);
            }
            Seen::Pass => self.write(direction, &bytes),
            Seen::Ignore => self.strays.ignored += 1,
        }
    }

    /// Hands over what is due until `until`, which must not lie ahead of the clock.
    pub fn deliver(&mut self, until: Time, clock: &Clock, lateness: &mut Lateness, sink: &mut dyn Sink) {
        while let Some((due, direction)) = self.links.next()
            && due <= until
        {
            while let Some((_, arrival)) = self.links.poll(due, direction, sink) {
                let mut packet = arrival.packet;
                packet.mark(arrival.ecn);
                lateness.note(due, clock.now());
                self.write(direction, packet.with_header());
            }
        }
    }

    /// Hands the kernel a packet that travelled in `direction`, with the kernel's header in front.
    fn write(&mut self, direction: Direction, packet: &[u8]) {
        if self.tuns[direction.reverse() as usize].write(packet).is_err() {
            self.strays.refused += 1;
        }
    }

    /// When there is something to do even if the devices have nothing to read: to [deliver](Self::deliver)
    /// a packet, or at once, where [`Relay::read`] has more of a large packet.
    pub fn next_at(&self) -> Option<Time> {
        let cut = self.cut.each_ref().map(|(at, cut)| (!cut.is_empty()).then_some(*at));
        Time::earliest([self.links.next().map(|(at, _)| at), cut[0], cut[1]])
    }

    /// What to wait for: readable when [`Relay::read`] has something to do, down first.
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        self.tuns.each_ref().map(AsFd::as_fd)
    }

    /// The path, to look at what is under way or to change it.
    pub const fn links(&mut self) -> &mut Links<IpPacket> {
        &mut self.links
    }

    /// The watch.
    pub const fn watch(&mut self) -> &mut W {
        &mut self.watch
    }

    /// What has been lost or left out beside the link so far.
    ///
    /// # Errors
    /// Where the kernel's statistics cannot be read.
    pub fn strays(&mut self) -> io::Result<Strays> {
        let [down, up] = &mut self.tuns;
        Ok(Strays { overflowed: down.dropped()? + up.dropped()?, ..self.strays })
    }
}

/// How many packets are read from one device before the other one's turn.
const BATCH: usize = 64;

/// The largest IP packet there is, and the kernel's header.
const PACKET_MAX: usize = 65_535 + offload::HEADER;
