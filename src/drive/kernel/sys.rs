//! System calls that no crate wraps, each behind a safe function: the only unsafe code of the drivers.
#![expect(unsafe_code, reason = "ioctl, getsockopt and the hook between fork and exec have no safe wrapper")]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{c_int, c_short, c_void};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

/// What the kernel says about a TCP connection: `struct tcp_info` of Linux's `linux/tcp.h`, under its
/// names. Times are in microseconds where nothing else is said; what an older kernel does not know is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names, described there")]
pub struct TcpInfo {
    pub state: u8,
    pub ca_state: u8,
    pub retransmits: u8,
    pub probes: u8,
    pub backoff: u8,
    pub options: u8,
    /// Four bits of the sender's window scale, four of the receiver's.
    pub wscale: u8,
    /// One bit: the delivery rate is what the application offered; two about fast open.
    pub flags: u8,
    pub rto: u32,
    pub ato: u32,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    pub fackets: u32,
    /// In milliseconds, as the three below it.
    pub last_data_sent: u32,
    pub last_ack_sent: u32,
    pub last_data_recv: u32,
    pub last_ack_recv: u32,
    pub pmtu: u32,
    pub rcv_ssthresh: u32,
    /// The smoothed round trip.
    pub rtt: u32,
    pub rttvar: u32,
    /// In segments, as `snd_cwnd`.
    pub snd_ssthresh: u32,
    pub snd_cwnd: u32,
    pub advmss: u32,
    pub reordering: u32,
    pub rcv_rtt: u32,
    pub rcv_space: u32,
    /// Segments sent again since the start.
    pub total_retrans: u32,
    /// In bytes per second, as all rates here.
    pub pacing_rate: u64,
    pub max_pacing_rate: u64,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segs_out: u32,
    pub segs_in: u32,
    /// Bytes written by the application and not sent yet.
    pub notsent_bytes: u32,
    /// The least round trip of the last five minutes, or what the sysctl says.
    pub min_rtt: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
    pub delivery_rate: u64,
    pub busy_time: u64,
    pub rwnd_limited: u64,
    pub sndbuf_limited: u64,
    pub delivered: u32,
    pub delivered_ce: u32,
    pub bytes_sent: u64,
    pub bytes_retrans: u64,
    pub dsack_dups: u32,
    pub reord_seen: u32,
    pub rcv_ooopack: u32,
    pub snd_wnd: u32,
    pub rcv_wnd: u32,
    pub rehash: u32,
    pub total_rto: u16,
    pub total_rto_recoveries: u16,
    /// In milliseconds.
    pub total_rto_time: u32,
}

/// Asks the kernel about the connection of a TCP socket.
///
/// # Errors
/// What getsockopt says: it is no socket, or none of TCP.
pub fn tcp_info(socket: impl AsFd) -> io::Result<TcpInfo> {
    let mut info = TcpInfo::default();
    let mut length = mem::size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: `info` is as long as `length` says, the kernel writes no more than that, and every bit
    // pattern is a valid TcpInfo, which is made of integers alone.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast::<c_void>(),
            &raw mut length,
        )
    };
    if answer == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
}

/// The bytes that were written to a TCP socket and have not been sent for the first time.
///
/// # Errors
/// What ioctl says: it is no socket, or none of TCP, or it listens.
pub fn unsent(socket: impl AsFd) -> io::Result<u32> {
    let mut bytes: c_int = 0;
    // SAFETY: SIOCOUTQNSD writes one int to where it is told to.
    let answer = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCOUTQNSD, &raw mut bytes) };
    if answer == 0 { Ok(bytes.unsigned_abs()) } else { Err(io::Error::last_os_error()) }
}

/// `linux/sockios.h`: the part of the output queue that is not sent.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

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
        // 1 is TCP_ESTABLISHED; every Linux starts with a window of ten segments (RFC 6928).
        assert_eq!(info.state, 1);
        assert!(info.snd_cwnd >= 10 && info.snd_mss > 500, "{info:?}");
        assert!(info.bytes_sent >= 5000 && info.data_segs_out > 0, "{info:?}");
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
