//! The system calls that no crate wraps, each as a safe function.
#![expect(unsafe_code, reason = "TCP_INFO, TCP_CC_INFO and SIOCOUTQNSD are wrapped by no crate")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use crate::time::Duration;

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
