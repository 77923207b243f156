//! Carries packets from one TUN device to the other over the links of a path.
//!
//! A packet enters its link when it has been read, so never before it was sent; and it is written when
//! the clock has reached the time at which the link delivers it, so never early.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::offload::{self, Pool, Train};
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
    /// What arrives and has not been handed over.
    train: Train,
    /// When packets last entered the link of each direction.
    entered: [Time; 2],
}

/// Packets that were read together and have not entered their link.
#[derive(Debug)]
pub struct Incoming {
    /// When they were read.
    pub at: Time,
    direction: Direction,
    packets: Vec<BytesMut>,
}

impl Incoming {
    /// How many packets they are.
    pub const fn count(&self) -> usize {
        self.packets.len()
    }
}

impl<W: Watch> Relay<W> {
    /// A relay between the devices of [`Namespaces::make`](super::Namespaces::make).
    pub fn new(tuns: [Tun; 2], links: Links<IpPacket>, watch: W) -> Self {
        let scratch = vec![0; PACKET_MAX].into_boxed_slice();
        let (strays, pool, train, entered) = Default::default();
        Self { tuns, links, watch, strays, scratch, pool, train, entered }
    }

    /// Takes everything that can be read, up to a bound, and hands over everything that is due; each
    /// packet that is read finds its link as it is at that time.
    ///
    /// # Errors
    /// Where a device cannot be read any more.
    pub fn work(&mut self, clock: &Clock, lateness: &mut Lateness, sink: &mut dyn Sink) -> io::Result<()> {
        for direction in Direction::BOTH {
            let mut taken = 0;
            while taken < BATCH
                && let Some(incoming) = self.read(direction, clock)?
            {
                taken += incoming.count();
                self.deliver(incoming.at, clock, lateness, sink);
                self.admit(incoming, sink);
            }
        }
        self.deliver(clock.now(), clock, lateness, sink);
        Ok(())
    }

    /// Reads what travels in `direction`: the next packet, or those that a large one stands for; none where
    /// there is none. Before they are [admitted](Relay::admit), everything that is due by then should be done.
    ///
    /// # Errors
    /// Where the device cannot be read any more.
    pub fn read(&mut self, direction: Direction, clock: &Clock) -> io::Result<Option<Incoming>> {
        loop {
            let Some(length) = self.tuns[direction as usize].read(&mut self.scratch)? else {
                return Ok(None);
            };
            let at = clock.now();
            let read = &self.scratch[..length];
            match offload::cut(read, &mut self.pool) {
                Ok(packets) if packet::is_ipv4(packet::ip(read)) => {
                    return Ok(Some(Incoming { at, direction, packets }));
                }
                _ => self.strays.ignored += 1,
            }
        }
    }

    /// Puts packets on their link, or does with each what the watch says.
    pub fn admit(&mut self, incoming: Incoming, sink: &mut dyn Sink) {
        let Incoming { at, direction, packets } = incoming;
        self.entered[direction as usize] = at;
        for bytes in packets {
            match self.watch.see(at, direction, packet::ip(&bytes), sink) {
                Seen::Impair { flow, class, payload } => {
                    let ecn = packet::ecn(packet::ip(&bytes));
                    let packet = IpPacket::new(bytes, class, payload);
                    self.links.get(direction).send(at, flow, Transmit { packet, ecn }, sink);
                }
                Seen::Pass => {
                    let written = self.tuns[direction.reverse() as usize].write(&[IoSlice::new(&bytes)]);
                    self.strays.refused += u64::from(written.is_err());
                }
                Seen::Ignore => self.strays.ignored += 1,
            }
        }
    }

    /// Hands over what is due until `until`, which must not lie ahead of the clock.
    ///
    /// What crossed its link in no time is joined again. Where a link takes time nothing is: a receiver
    /// acknowledges a large packet once, and with few packets under way the sender then misses the
    /// acknowledgments. (Measured: at 2 % loss and 25 ms each way CUBIC loses 2 % of its goodput, Reno 4 %.)
    pub fn deliver(&mut self, until: Time, clock: &Clock, lateness: &mut Lateness, sink: &mut dyn Sink) {
        while let Some((due, direction)) = self.links.next()
            && due <= until
        {
            let at_once = due == self.entered[direction as usize];
            while let Some((_, arrival)) = self.links.poll(due, direction, sink) {
                let mut packet = arrival.packet;
                packet.mark(arrival.ecn);
                lateness.note(due, clock.now());
                if let Err(next) = self.train.couple(packet) {
                    self.hand_over(direction);
                    self.train.couple(next).expect("the first is always taken");
                }
                if !at_once {
                    self.hand_over(direction);
                }
            }
            self.hand_over(direction);
        }
    }

    /// Hands the kernel what has arrived in `direction`.
    fn hand_over(&mut self, direction: Direction) {
        let tun = &mut self.tuns[direction.reverse() as usize];
        if self.train.count() > 1 && tun.write(&self.train.joined()).is_ok() {
            self.train.clear();
        }
        // What cannot be joined, or not for this kernel: Linux takes trains of datagrams since 6.2.
        for packet in self.train.drain() {
            self.strays.refused += u64::from(tun.write(&[IoSlice::new(packet.with_header())]).is_err());
        }
    }

    /// When there is something to [deliver](Self::deliver), even if the devices have nothing to read.
    pub fn next_at(&self) -> Option<Time> {
        self.links.next().map(|(at, _)| at)
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

/// After how many packets from one device it is the other one's turn.
pub(super) const BATCH: usize = 64;

/// The largest IP packet there is, and the kernel's header.
const PACKET_MAX: usize = 65_535 + offload::HEADER;
