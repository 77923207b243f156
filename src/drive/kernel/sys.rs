//! System calls that no crate wraps, each behind a safe function: the only unsafe code of the drivers.
#![expect(unsafe_code, reason = "ioctl, getsockopt and the hook between fork and exec have no safe wrapper")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{c_int, c_short};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use crate::time::Duration;

/// Makes a device of the open `/dev/net/tun`: a TUN, whose packets are IP packets with a `struct
/// virtio_net_hdr` in front, in the network namespace that the calling thread is in. Checksums and the
/// cutting of large packets are left to whoever reads it.
///
/// # Errors
/// What ioctl says; [`io::ErrorKind::InvalidInput`] for a name that is too long for a device.
pub(super) fn make_tun(tun: impl AsFd, name: &str) -> io::Result<()> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags as c_short },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    // SAFETY: TUNSETIFF reads and writes the ifreq that it is given, which outlives the call.
    let answer = unsafe { libc::ioctl(tun.as_fd().as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4;
    // Linux has trains of datagrams (USO) since 6.2, for both versions of IP or none.
    set_offload(&tun, tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6).or_else(|_| set_offload(&tun, tcp))
}

fn set_offload(tun: impl AsFd, features: libc::c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number.
    let answer =
        unsafe { libc::ioctl(tun.as_fd().as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks that the calling thread run before others, so that a busy machine is late less often; whether it
/// will. It takes root or CAP_SYS_NICE. Programs that it starts later run before others too.
pub fn raise_priority() -> bool {
    // SAFETY: setpriority takes three numbers. 0 is the calling thread: in Linux each has its own.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE_LEAST) == 0 }
}

/// The least nice value, which is the highest priority.
const NICE_LEAST: c_int = -20;

/// Makes the child that `command` will start die with the thread that starts it, whatever ends that.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = nix::unistd::getpid();
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before the kernel knew that it matters. In a PID namespace of
        // its own the child cannot see its parent: there it is 0.
        let seen = nix::unistd::getppid();
        if seen == parent || seen.as_raw() == 0 { Ok(()) } else { Err(nix::Error::ESRCH.into()) }
    };
    // SAFETY: the hook makes two system calls that POSIX and Linux allow between fork and exec, and
    // neither allocates nor locks: the errors are plain numbers.
    unsafe { command.pre_exec(hook) }
}

/// Lets the child that `command` will start get all signals, also those that are blocked here.
pub(super) fn unblock_signals(command: &mut Command) -> &mut Command {
    let hook = || SigSet::empty().thread_set_mask().map_err(io::Error::from);
    // SAFETY: the hook makes one system call that POSIX allows between fork and exec, and neither
    // allocates nor locks.
    unsafe { command.pre_exec(hook) }
}

/// What the kernel says about a connection (`TCP_INFO`): the part of it that is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpInfo {
    /// The smoothed round trip; none before the first measurement.
    pub(super) smoothed_round_trip: Option<Duration>,
    /// The least round trip of the last five minutes; none before the first measurement.
    pub(super) least_round_trip: Option<Duration>,
    /// The congestion window, in segments.
    pub(super) window: u32,
    /// The bytes of the stream in a full segment.
    pub(super) segment_bytes: u32,
    /// Segments sent and not acknowledged in order.
    pub(super) unacknowledged: u32,
    /// Segments sent again since the start.
    pub(super) retransmitted: u32,
    /// The rate at which data has lately been delivered, in bytes per second.
    pub(super) delivery_rate: u64,
}

/// Asks the kernel about a TCP connection.
pub(super) fn tcp_info(socket: impl AsFd) -> io::Result<TcpInfo> {
    let raw: RawTcpInfo = option(&socket, libc::TCP_INFO)?;
    let micros = |micros: u32| Duration::from_micros(u64::from(micros));
    Ok(TcpInfo {
        smoothed_round_trip: (raw.rtt != 0).then(|| micros(raw.rtt)),
        // The kernel says the largest number, or nothing, before the first measurement.
        least_round_trip: (raw.min_rtt != u32::MAX && raw.min_rtt != 0).then(|| micros(raw.min_rtt)),
        window: raw.snd_cwnd,
        segment_bytes: raw.snd_mss,
        unacknowledged: raw.unacked,
        retransmitted: raw.total_retrans,
        delivery_rate: raw.delivery_rate,
    })
}

/// The bandwidth that BBR believes in, in bytes per second (`TCP_CC_INFO`); 0 before the first
/// measurement. Only for a socket whose congestion control is BBR: others say something else here.
pub(super) fn bbr_bandwidth(socket: impl AsFd) -> io::Result<u64> {
    let raw: RawBbrInfo = option(&socket, libc::TCP_CC_INFO)?;
    Ok(u64::from(raw.bw_hi) << 32 | u64::from(raw.bw_lo))
}

/// Bytes in a TCP socket that have not been sent for the first time (`SIOCOUTQNSD`).
pub(super) fn unsent(socket: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while `socket` lives, and this request writes one `int`.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCOUTQNSD as _, &mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(bytes.unsigned_abs()))
}

/// An option of a TCP socket. What the kernel does not fill is 0.
fn option<T: Plain>(socket: &impl AsFd, name: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which `value` has.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            name,
            value.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `T` is plain, so every pattern of bits is a value, and all of it was set to 0 before.
    Ok(unsafe { value.assume_init() })
}

/// Types that any pattern of bits is a value of.
///
/// # Safety
/// Only for types of integers alone, with the layout of C.
unsafe trait Plain {}

// SAFETY: integers alone, `repr(C)`.
unsafe impl Plain for RawTcpInfo {}
// SAFETY: integers alone, `repr(C)`.
unsafe impl Plain for RawBbrInfo {}

/// `struct tcp_info` of linux/tcp.h up to `tcpi_delivery_rate`. libc's ends before `tcpi_min_rtt`.
#[repr(C)]
struct RawTcpInfo {
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    window_scales: u8,
    flags: u8,
    rto: u32,
    ato: u32,
    snd_mss: u32,
    rcv_mss: u32,
    unacked: u32,
    sacked: u32,
    lost: u32,
    retrans: u32,
    fackets: u32,
    last_data_sent: u32,
    last_ack_sent: u32,
    last_data_recv: u32,
    last_ack_recv: u32,
    pmtu: u32,
    rcv_ssthresh: u32,
    rtt: u32,
    rttvar: u32,
    snd_ssthresh: u32,
    snd_cwnd: u32,
    advmss: u32,
    reordering: u32,
    rcv_rtt: u32,
    rcv_space: u32,
    total_retrans: u32,
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    delivery_rate: u64,
}

/// `struct tcp_bbr_info` of linux/inet_diag.h.
#[repr(C)]
struct RawBbrInfo {
    bw_lo: u32,
    bw_hi: u32,
    min_rtt: u32,
    pacing_gain: u32,
    cwnd_gain: u32,
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn the_kernel_tells_about_a_connection() {
        let (mut near, _far) = connection();
        near.write_all(&[0; 5000]).unwrap();
        let info = tcp_info(&near).unwrap();
        // Every Linux starts with a window of ten segments (RFC 6928).
        assert!(info.window >= 10 && info.segment_bytes > 500, "{info:?}");
    }

    #[test]
    fn what_is_no_tcp_socket_has_no_answer() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(tcp_info(&socket).is_err());
        assert!(unsent(io::stdin()).is_err() && tcp_info(io::stdin()).is_err());
    }

    #[test]
    fn what_does_not_fit_the_window_counts_as_unsent() {
        let (near, _far) = connection();
        assert_eq!(unsent(&near).unwrap(), 0);
        // Nobody reads at the far end, so that its window fills.
        near.set_nonblocking(true).unwrap();
        while (&near).write(&[0; 65536]).is_ok() {}
        assert!(unsent(&near).unwrap() > 0);
    }

    #[test]
    fn a_child_gets_the_signals_that_are_blocked_here() {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTERM);
        let before = blocked.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).unwrap();
        let status = unblock_signals(Command::new("sh").args(["-c", "kill -TERM $$"])).status();
        before.thread_set_mask().unwrap();
        assert_eq!(status.unwrap().signal(), Some(15));
    }

    #[test]
    fn a_child_that_dies_with_its_parent_still_ends_as_it_likes() {
        let status = die_with_parent(Command::new("sh").args(["-c", "exit 7"])).status().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(7), None));
    }
}
