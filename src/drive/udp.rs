//! A UDP socket that moves batches: many datagrams for one system call where the platform has that.
//!
//! | platform | sending | receiving |
//! | --- | --- | --- |
//! | Linux | one `sendmsg` for up to 64 datagrams of equal size (segmentation offload, GSO) | `recvmmsg`, each message up to 64 datagrams (GRO) |
//! | elsewhere | one system call each | what quinn-udp finds |
//!
//! The socket never blocks. Whoever drives it waits for its readiness in his own way, with poll or in
//! tokio, and calls [`UdpPort::recv`] and [`UdpPort::flush`] then.

mod outgoing;

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::ops::AddAssign;

use bytes::{Bytes, BytesMut};
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use self::outgoing::Outgoing;
use crate::endpoint::Ecn;

/// The socket buffers asked for, in bytes, each way: a second of 30 Mbit/s. The kernel gives what its
/// limits allow.
const SOCKET_BUFFER: usize = 4 << 20;

/// Messages that one system call receives at most.
const MESSAGES: usize = 16;

/// Room for one received message: a whole batch of the kernel's.
const MESSAGE_BYTES: usize = 65_536;

/// A UDP socket and what waits to leave through it.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    outgoing: Outgoing,
    segmentation: bool,
    counts: Counts,
}

/// What has gone through a [`UdpPort`], in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The kernel took them.
    pub sent: u64,
    /// Received, whoever sent them.
    pub received: u64,
    /// Dropped because too much waited in front of the socket.
    pub overflowed: u64,
    /// The kernel did not want them: too long for the way, no way, not permitted.
    pub refused: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.overflowed += other.overflowed;
        self.refused += other.refused;
    }
}

/// Room for what is received in one go; one is enough for all sockets of a thread.
#[derive(Debug)]
pub struct Inbox {
    room: Box<[u8]>,
    meta: [RecvMeta; MESSAGES],
}

impl UdpPort {
    /// Binds `address`, which nobody else may hold: neither side shares (no `SO_REUSEADDR`, no
    /// `SO_REUSEPORT`). Port 0 stands for any port that is free.
    ///
    /// # Errors
    /// What the system says; [`ErrorKind::AddrInUse`] where somebody holds the port.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&address.into())?;
        Self::new(socket.into())
    }

    /// Takes a socket that is bound.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let state = UdpSocketState::new((&socket).into())?;
        #[cfg(target_os = "linux")]
        leave_room_for_the_mark(&socket)?;
        // The limits of the system may give less: `buffers` says how much it is.
        let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER);
        let (outgoing, counts) = (Outgoing::default(), Counts::default());
        Ok(Self { socket, state, local, outgoing, segmentation: true, counts })
    }

    /// Whether datagrams of equal size may leave together where the platform can do that; they may
    /// unless it is said otherwise.
    pub const fn set_segmentation(&mut self, on: bool) {
        self.segmentation = on;
    }

    /// Puts a datagram for `to` into the queue; `write` appends it to what it gets. False where there
    /// is no room, and the datagram is dropped.
    pub fn push(&mut self, to: SocketAddr, ecn: Ecn, write: impl FnOnce(&mut BytesMut)) -> bool {
        let most = if self.segmentation { self.state.max_gso_segments() } else { 1 };
        let room = self.outgoing.push(to, ecn, most, write);
        self.counts.overflowed += u64::from(!room);
        room
    }

    /// Hands over to the kernel as much as it takes; whether all of the queue is gone.
    ///
    /// # Errors
    /// None for a single datagram's sake: one that the kernel refuses is counted and gone.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some((batch, contents)) = self.outgoing.first() {
            let transmit = Transmit {
                destination: batch.to,
                ecn: codepoint(batch.ecn),
                contents,
                segment_size: Some(batch.segment),
                src_ip: None,
            };
            match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Ok(()) => self.counts.sent += self.outgoing.pop(),
                Err(error) if is_full(&error) => return Ok(false),
                // Something on the way cannot cut the batch up; quinn-udp has noted that.
                Err(_) if batch.datagrams() > 1 => self.outgoing.split(),
                Err(error) if error.kind() == ErrorKind::NotConnected => return Err(error),
                Err(_) => self.counts.refused += self.outgoing.pop(),
            }
        }
        Ok(true)
    }

    /// Receives what has come, until there is nothing more or at least `budget` datagrams have been read
    /// (one system call may bring 1024 of them); whether there is nothing more. `each` gets the sender of each datagram, its mark and
    /// its bytes.
    ///
    /// # Errors
    /// What the system says; a bad datagram or an ICMP message is none.
    pub fn recv(
        &mut self,
        inbox: &mut Inbox,
        budget: usize,
        mut each: impl FnMut(SocketAddr, Ecn, Bytes),
    ) -> io::Result<bool> {
        let (start, mut errors) = (self.counts.received, 0);
        while self.counts.received - start + errors < budget as u64 {
            let Inbox { room, meta } = inbox;
            let mut rooms = room.chunks_mut(MESSAGE_BYTES).map(IoSliceMut::new);
            let mut rooms: [IoSliceMut<'_>; MESSAGES] =
                std::array::from_fn(|_| rooms.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut rooms, meta) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                // An ICMP message about something sent earlier; reading it clears it.
                Err(error) if is_transient(&error) => {
                    errors += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (meta, room) in meta.iter().zip(&rooms).take(count) {
                let ecn = mark(meta.ecn);
                // A datagram without bytes has a stride of zero, and is one all the same.
                let stride = meta.stride.max(1);
                let mut left = Bytes::copy_from_slice(&room[..meta.len]);
                loop {
                    self.counts.received += 1;
                    each(meta.addr, ecn, left.split_to(stride.min(left.len())));
                    if left.is_empty() {
                        break;
                    }
                }
            }
            // recvmmsg found no more; asking again would only have it say so. Elsewhere calls may bring
            // less than there is.
            if cfg!(target_os = "linux") && count < MESSAGES {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What waits to leave, in bytes.
    pub fn queued(&self) -> usize {
        self.outgoing.bytes()
    }

    /// The address that it is bound to.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What has gone through so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The socket, to wait for its readiness and to ask the system about it.
    pub const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The bytes that the kernel holds for it at most: received, and to be sent; as the kernel counts
    /// them, with its own share (socket(7)).
    ///
    /// # Errors
    /// What the system says.
    pub fn buffers(&self) -> io::Result<(usize, usize)> {
        let socket = UdpSockRef::from(&self.socket);
        let received = self.state.recv_buffer_size(socket)?;
        Ok((received, self.state.send_buffer_size(UdpSockRef::from(&self.socket))?))
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for UdpPort {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Default for Inbox {
    fn default() -> Self {
        let room = vec![0; MESSAGES * MESSAGE_BYTES].into_boxed_slice();
        Self { room, meta: [RecvMeta::default(); MESSAGES] }
    }
}

/// quinn-udp 0.6.3 asks for the time of arrival too, and its control buffer of 96 bytes then has no room
/// left for the ECN mark of a batch; we do not read that time.
#[cfg(target_os = "linux")]
fn leave_room_for_the_mark(socket: &UdpSocket) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::ReceiveTimestampns, &false)?)
}

/// Whether the kernel has no room at present.
fn is_full(error: &io::Error) -> bool {
    // ENOBUFS where a device's queue is full; no ErrorKind has it.
    let no_buffers = if cfg!(target_os = "linux") { 105 } else { 55 };
    error.kind() == ErrorKind::WouldBlock || cfg!(unix) && error.raw_os_error() == Some(no_buffers)
}

/// Whether an error of receiving speaks of something sent earlier, and the next call may succeed.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

const fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

const fn mark(codepoint: Option<EcnCodepoint>) -> Ecn {
    match codepoint {
        None => Ecn::NotEct,
        Some(EcnCodepoint::Ect0) => Ecn::Ect0,
        Some(EcnCodepoint::Ect1) => Ecn::Ect1,
        Some(EcnCodepoint::Ce) => Ecn::Ce,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::outgoing::QUEUE_MAX;
    use super::*;

    fn port() -> UdpPort {
        UdpPort::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    /// Sends datagrams of these lengths, each full of its number, and gives back what arrives.
    fn across(lengths: &[usize], segmentation: bool) -> Vec<Vec<u8>> {
        let (mut from, mut to) = (port(), port());
        from.set_segmentation(segmentation);
        for (number, &length) in lengths.iter().enumerate() {
            let datagram = vec![number as u8; length];
            assert!(from.push(to.local_addr(), Ecn::Ect0, |out| out.extend_from_slice(&datagram)));
        }
        assert!(from.flush().unwrap());
        assert_eq!(from.counts().sent, lengths.len() as u64);
        let (mut inbox, mut got) = (Inbox::default(), Vec::new());
        // Loopback hands over before it returns, but for a moment of the kernel's choice.
        for _ in 0..2000 {
            let each = |sender, ecn, bytes: Bytes| {
                assert_eq!((sender, ecn), (from.local_addr(), Ecn::Ect0));
                got.push(bytes.to_vec());
            };
            to.recv(&mut inbox, usize::MAX, each).unwrap();
            if got.len() >= lengths.len() {
                break;
            }
            std::thread::yield_now();
        }
        got
    }

    fn expected(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().enumerate().map(|(number, &length)| vec![number as u8; length]).collect()
    }

    #[test]
    fn a_batch_arrives_as_the_datagrams_that_it_was_made_of() {
        // More than one batch, a short one in between, one without bytes.
        let lengths: Vec<usize> =
            std::iter::repeat_n(1200, 100).chain([700, 1200, 1200, 0, 0, 1, 1, 9000, 9000]).collect();
        assert_eq!(across(&lengths, true), expected(&lengths));
        assert_eq!(across(&lengths, false), expected(&lengths));
    }

    #[test]
    fn a_port_that_is_held_is_not_shared() {
        let held = port();
        assert_eq!(UdpPort::bind(held.local_addr()).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn beyond_the_bound_of_the_queue_datagrams_are_dropped_and_counted() {
        let mut from = port();
        let to = from.local_addr();
        let pushed = (0..5000).filter(|_| from.push(to, Ecn::NotEct, |out| out.resize(out.len() + 1000, 0)));
        let pushed = pushed.count();
        assert_eq!(pushed, QUEUE_MAX / 1000);
        assert_eq!(from.counts().overflowed, 5000 - pushed as u64);
        assert!(from.queued() <= QUEUE_MAX);
    }

    #[test]
    fn a_datagram_that_the_kernel_refuses_is_counted_and_holds_up_nothing() {
        let (mut from, mut to) = (port(), port());
        let address = to.local_addr();
        from.push(address, Ecn::NotEct, |out| out.resize(out.len() + 70_000, 1));
        from.push(address, Ecn::NotEct, |out| out.extend_from_slice(b"small"));
        assert!(from.flush().unwrap());
        assert_eq!((from.counts().sent, from.counts().refused), (1, 1));
        let mut got = Vec::new();
        to.recv(&mut Inbox::default(), 100, |_, _, bytes| got.push(bytes)).unwrap();
        assert_eq!(got, [&b"small"[..]]);
    }

    #[test]
    fn a_budget_ends_the_reading_early() {
        let (mut from, mut to) = (port(), port());
        from.set_segmentation(false);
        for _ in 0..200 {
            from.push(to.local_addr(), Ecn::NotEct, |out| out.extend_from_slice(b"x"));
        }
        from.flush().unwrap();
        assert!(!to.recv(&mut Inbox::default(), 50, |_, _, _| ()).unwrap());
        // The last system call may bring more than was left.
        assert!((50..50 + MESSAGES as u64).contains(&to.counts().received));
    }
}
