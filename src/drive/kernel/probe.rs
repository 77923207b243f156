//! Measures what the kernel path of this machine can do: how many packets, how fast, how late.
//!
//! Everything happens in this process: a sender's thread in the server's namespace, a receiver's in the
//! person's, and the relay's between them. Delays are measured from the sender's stamp in the packet to
//! the stamp that the kernel gives it when it is received (SO_TIMESTAMPNS), so that what the receiving
//! thread needs to wake up does not count.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use hdrhistogram::Histogram;
use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    self, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::namespace::{Namespaces, Side, Step, Unavailable};
use super::relay::{Relay, Seen, Strays, Watch};
use super::sys;
use super::tun::Tun;
use super::wait::{Patience, Waiter};
use crate::drive::clock::Clock;
use crate::drive::links::Links;
use crate::drive::timing::{Lateness, Timing};
use crate::endpoint::{Class, Direction, Flow};
use crate::impair::config::{LinkConfig, PathConfig};
use crate::record::{Discard, Sink};
use crate::rng::Seed;
use crate::time::{Duration, Time};

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel path is not to be had.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A socket did not do what it should.
    #[error("cannot send or receive across the kernel path: {0}")]
    Socket(#[from] io::Error),
}

/// What was measured, and how the relay did meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Measured<T> {
    /// What was measured.
    pub figure: T,
    /// How well the relay kept time, the part of a core that it took, and what was lost beside the link.
    pub timing: Timing,
}

/// A flow of datagrams of [`DATAGRAM`] bytes one way.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Until the last was received.
    pub lasted: Duration,
}

impl Flood {
    /// Datagrams received per second.
    pub fn rate(&self) -> f64 {
        self.received as f64 / self.lasted.as_secs_f64()
    }
}

/// By how much more than the link's delay packets were late.
#[derive(Clone, Copy, Debug)]
pub struct Added {
    /// Packets received.
    pub packets: u64,
    /// How many came before the link's delay was over: none, or the clock is broken.
    pub early: u64,
    /// The median.
    pub p50: Duration,
    /// 99 of 100 packets were at most so late.
    pub p99: Duration,
    /// 999 of 1000.
    pub p999: Duration,
}

/// What was found out by trying the kernel path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Of so many datagrams that were sent across a link without loss,
    pub sent: u64,
    /// so many arrived.
    pub received: u64,
    /// The algorithms of [`CONGESTION`] that TCP sockets may use.
    pub congestion: Vec<&'static str>,
}

/// The congestion controls that contenders name.
pub const CONGESTION: [&str; 3] = ["cubic", "bbr", "reno"];

/// What a datagram of the flow carries, in bytes.
pub const DATAGRAM: usize = 1200;

/// The link's delay where delays are measured.
pub const DELAY: Duration = Duration::from_millis(10);

/// Tries every step of the kernel path, and sends datagrams across it. `done` is told each step that
/// succeeded.
///
/// # Errors
/// [`ProbeError`]: the step that failed.
pub fn check(done: impl FnMut(Step)) -> Result<Check, ProbeError> {
    let checked = across(Duration::ZERO, Patience::Sleep, done, |namespaces| {
        namespaces.enter(Side::Person).map_err(io::Error::other)?;
        let socket = TcpListener::bind((Side::Person.address(), PORT))?;
        let usable = |name: &&str| setsockopt(&socket, sockopt::TcpCongestion, &(*name).into()).is_ok();
        let congestion = CONGESTION.into_iter().filter(usable).collect();
        let Flood { sent, received, .. } = flow(namespaces, Some(1000), Duration::from_millis(100))?;
        Ok(Check { sent, received, congestion })
    })?;
    Ok(checked.figure)
}

/// By how much a thread that sleeps until a time wakes up late, when nothing else runs here: no driver
/// that sleeps can be better.
///
/// # Errors
/// What ppoll(2) says.
pub fn wake_up_floor(patience: Patience) -> io::Result<Timing> {
    let waiter = Waiter::new(patience)?;
    let clock = Clock::start();
    let mut lateness = Lateness::default();
    for number in 1..=1000 {
        let due = Time::from_millis(number);
        waiter.wait(&mut [], &clock, Some(due))?;
        lateness.note(due, clock.now());
    }
    Ok(lateness.timing())
}

/// Datagrams one way without delay: `per_second` of them, or as many as can be sent.
///
/// # Errors
/// [`ProbeError`].
pub fn flood(per_second: Option<u64>, lasting: Duration) -> Result<Measured<Flood>, ProbeError> {
    across(Duration::ZERO, Patience::Sleep, |_| (), |namespaces| flow(namespaces, per_second, lasting))
}

fn flow(namespaces: &Namespaces, per_second: Option<u64>, lasting: Duration) -> io::Result<Flood> {
    let (sender, receiver) = datagram_sockets(namespaces)?;
    let done = AtomicBool::new(false);
    let clock = Clock::start();
    thread::scope(|scope| {
        let receiving = scope.spawn(|| count(&receiver, &clock, &done));
        let sent = send_batches(&sender, per_second, &clock, Time::ZERO + lasting)?;
        // What is on its way arrives long before that.
        Waiter::new(Patience::Sleep)?.wait(&mut [], &clock, Some(clock.now() + SETTLE))?;
        done.store(true, Ordering::Relaxed);
        let (received, last) = joined(receiving)?;
        Ok(Flood { sent, received, lasted: last.since(Time::ZERO) })
    })
}

/// A TCP connection's bits per second without delay, under `congestion`.
///
/// # Errors
/// [`ProbeError`].
pub fn tcp(congestion: &str, lasting: Duration) -> Result<Measured<f64>, ProbeError> {
    across(
        Duration::ZERO,
        Patience::Sleep,
        |_| (),
        |namespaces| {
            namespaces.enter(Side::Person).map_err(io::Error::other)?;
            let listener = TcpListener::bind((Side::Person.address(), PORT))?;
            namespaces.enter(Side::Server).map_err(io::Error::other)?;
            let sender = TcpStream::connect((Side::Person.address(), PORT))?;
            setsockopt(&sender, sockopt::TcpCongestion, &congestion.into())?;
            let (receiver, _) = listener.accept()?;
            thread::scope(|scope| {
                let receiving = scope.spawn(move || read_all(receiver));
                let clock = Clock::start();
                write_until(&sender, &clock, Time::ZERO + lasting)?;
                sender.shutdown(std::net::Shutdown::Write)?;
                let bytes = joined(receiving)?;
                Ok(bytes as f64 * 8.0 / clock.now().as_secs_f64())
            })
        },
    )
}

/// What is added to a delay of [`DELAY`], with `per_second` small datagrams in bursts a millisecond apart.
///
/// # Errors
/// [`ProbeError`].
pub fn delay(per_second: u64, patience: Patience, lasting: Duration) -> Result<Measured<Added>, ProbeError> {
    across(
        DELAY,
        patience,
        |_| (),
        |namespaces| {
            let (sender, receiver) = datagram_sockets(namespaces)?;
            setsockopt(&receiver, sockopt::ReceiveTimestampns, &true)?;
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let receiving = scope.spawn(|| time(&receiver, &done));
                send_stamped(&sender, per_second, lasting)?;
                let clock = Clock::start();
                Waiter::new(Patience::Sleep)?.wait(&mut [], &clock, Some(Time::ZERO + SETTLE))?;
                done.store(true, Ordering::Relaxed);
                joined(receiving)
            })
        },
    )
}

/// Measures something across a path with this delay down.
fn across<T>(
    delay: Duration,
    patience: Patience,
    done: impl FnMut(Step),
    measure: impl FnOnce(&Namespaces) -> io::Result<T>,
) -> Result<Measured<T>, ProbeError> {
    let (mut namespaces, tuns) = Namespaces::make(MTU, done)?;
    let down = LinkConfig { delay, ..LinkConfig::default() };
    let path = PathConfig { mtu: MTU, channels: Vec::new(), down, up: LinkConfig::default() };
    let done = AtomicBool::new(false);
    let (figure, timing, strays) = thread::scope(|scope| {
        let relaying = scope.spawn(|| relay(tuns, &path, patience, &done));
        let figure = measure(&namespaces);
        done.store(true, Ordering::Relaxed);
        joined(relaying).and_then(|(timing, strays)| Ok((figure?, timing, strays)))
    })?;
    let device_drops = strays.overflowed + strays.refused;
    let timing = Timing { socket_drops: namespaces.socket_drops()?, device_drops, ..timing };
    Ok(Measured { figure, timing })
}

/// Relays until it is done.
fn relay(
    tuns: [Tun; 2],
    path: &PathConfig,
    patience: Patience,
    done: &AtomicBool,
) -> io::Result<(Timing, Strays)> {
    let mut relay = Relay::new(tuns, Links::new(path, Seed(1)), OneFlow);
    // As a trial's would be; without the right to it, as it is.
    sys::raise_priority();
    let waiter = Waiter::new(patience)?;
    let clock = Clock::start();
    let mut lateness = Lateness::default();
    while !done.load(Ordering::Relaxed) {
        relay.work(&clock, &mut lateness, &mut Discard)?;
        let until = relay.next_at().unwrap_or(Time::NEVER).min(clock.now() + LOOK);
        let mut fds = relay.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        waiter.wait(&mut fds, &clock, Some(until))?;
    }
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let cpu = nanos(used) as f64 / clock.now().as_nanos() as f64;
    Ok((Timing { cpu, ..lateness.timing() }, relay.strays()?))
}

/// What a thread found out.
fn joined<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the probe panicked")))
}

#[derive(Debug)]
struct OneFlow;

impl Watch for OneFlow {
    fn see(&mut self, _: Time, _: Direction, packet: &[u8], _: &mut dyn Sink) -> Seen {
        Seen::Impair { flow: Flow(0), class: Class::Source, payload: packet.len() as u32 - 28 }
    }
}

/// A socket in the server's namespace that sends to the one in the person's.
fn datagram_sockets(namespaces: &Namespaces) -> io::Result<(UdpSocket, UdpSocket)> {
    let bind = |side: Side| {
        namespaces.enter(side).map_err(io::Error::other)?;
        UdpSocket::bind((side.address(), PORT))
    };
    let (sender, receiver) = (bind(Side::Server)?, bind(Side::Person)?);
    sender.connect((Side::Person.address(), PORT))?;
    // More than the system's limit takes rights that only root has; what it gives may do.
    let _ = setsockopt(&receiver, sockopt::RcvBuf, &BUFFER_BYTES);
    let _ = setsockopt(&receiver, sockopt::RcvBufForce, &BUFFER_BYTES);
    receiver.set_read_timeout(Some(std::time::Duration::from_millis(20)))?;
    Ok((sender, receiver))
}

/// Sends batches that the kernel cuts into datagrams (UDP GSO), until `end`; how many datagrams.
fn send_batches(socket: &UdpSocket, per_second: Option<u64>, clock: &Clock, end: Time) -> io::Result<u64> {
    let waiter = Waiter::new(Patience::Sleep)?;
    let bytes = vec![0; BATCH * DATAGRAM];
    let segment = DATAGRAM as u16;
    let mut sent = 0;
    loop {
        let now = clock.now();
        if now >= end {
            return Ok(sent);
        }
        let batch = match per_second {
            None => BATCH as u64,
            Some(rate) => {
                let due = (now.as_secs_f64() * rate as f64) as u64 - sent;
                if due == 0 {
                    waiter.wait(&mut [], clock, Some(now + Duration::from_millis(1)))?;
                }
                due.min(BATCH as u64)
            }
        };
        if batch > 0 {
            let part = [io::IoSlice::new(&bytes[..batch as usize * DATAGRAM])];
            let control = [ControlMessage::UdpGsoSegments(&segment)];
            socket::sendmsg::<()>(socket.as_raw_fd(), &part, &control, MsgFlags::empty(), None)?;
            sent += batch;
        }
    }
}

/// Counts datagrams until it is done and none comes; and when the last came.
fn count(socket: &UdpSocket, clock: &Clock, done: &AtomicBool) -> io::Result<(u64, Time)> {
    // Before the sender, which would take all of the processor and fill the queues for nobody.
    sys::raise_priority();
    let mut buffers = vec![[0; DATAGRAM]; BATCH];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let (mut received, mut last) = (0, Time::ZERO);
    loop {
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [io::IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        match socket::recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None) {
            Ok(datagrams) => {
                received += datagrams.count() as u64;
                last = clock.now();
            }
            Err(nix::Error::EAGAIN) if done.load(Ordering::Relaxed) => return Ok((received, last)),
            Err(nix::Error::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends small datagrams, each with the time at which it is sent.
fn send_stamped(socket: &UdpSocket, per_second: u64, lasting: Duration) -> io::Result<()> {
    let waiter = Waiter::new(Patience::Sleep)?;
    let clock = Clock::start();
    let mut datagram = [0; 200 - 28];
    for burst in 1..=lasting.as_nanos() / 1_000_000 {
        waiter.wait(&mut [], &clock, Some(Time::from_millis(burst)))?;
        for _ in 0..per_second / 1000 {
            let now = nanos(clock_gettime(ClockId::CLOCK_REALTIME)?);
            datagram[..8].copy_from_slice(&now.to_le_bytes());
            socket.send(&datagram)?;
        }
    }
    Ok(())
}

/// Takes stamped datagrams until it is done and none comes.
fn time(socket: &UdpSocket, done: &AtomicBool) -> io::Result<Added> {
    let mut added =
        Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds that are valid");
    let (mut packets, mut early) = (0, 0);
    let mut datagram = [0; 2048];
    let mut control = cmsg_space!(TimeSpec);
    loop {
        let mut slices = [io::IoSliceMut::new(&mut datagram)];
        let fd = socket.as_raw_fd();
        let received = socket::recvmsg::<()>(fd, &mut slices, Some(&mut control), MsgFlags::empty());
        let received_at = match received {
            Ok(message) => message.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(at) => Some(nanos(at)),
                _ => None,
            }),
            Err(nix::Error::EAGAIN) if !done.load(Ordering::Relaxed) => continue,
            Err(nix::Error::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        };
        let stamp: [u8; 8] = datagram[..8].try_into().expect("eight bytes");
        let sent_at = u64::from_le_bytes(stamp);
        let received_at = received_at.ok_or_else(|| io::Error::other("the kernel gives no time stamps"))?;
        packets += 1;
        match received_at.checked_sub(sent_at + DELAY.as_nanos()) {
            Some(late) => added.saturating_record(late),
            None => early += 1,
        }
    }
    let at = |quantile| Duration::from_nanos(added.value_at_quantile(quantile));
    Ok(Added { packets, early, p50: at(0.5), p99: at(0.99), p999: at(0.999) })
}

fn write_until(mut sender: &TcpStream, clock: &Clock, end: Time) -> io::Result<()> {
    let bytes = vec![0; 1 << 18];
    while clock.now() < end {
        io::Write::write_all(&mut sender, &bytes)?;
    }
    Ok(())
}

fn read_all(mut receiver: TcpStream) -> io::Result<u64> {
    let mut bytes = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        match io::Read::read(&mut receiver, &mut bytes)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

fn nanos(time: TimeSpec) -> u64 {
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}

const MTU: u32 = 1500;
/// A port of the discard service (RFC 863).
const PORT: u16 = 9;
/// So many datagrams go to the kernel at once; it cuts at most 64 KiB into at most 64.
const BATCH: usize = 50;
const BUFFER_BYTES: usize = 32 << 20;
/// When everything that was sent has arrived.
const SETTLE: Duration = Duration::from_millis(300);
/// How often the relay looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);
