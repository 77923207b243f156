//! Sockets with every option set that decides the result, and read back: a fresh namespace takes its
//! defaults from the machine, so that none of them can be trusted.

use std::fs;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::tcp::Config;
use crate::units::ByteSize;

/// A socket that cannot be had as the contender needs it.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The kernel has no such congestion control.
    #[error(
        "this kernel has no congestion control `{0}`: load it (`modprobe tcp_{0}`), or take the TCP model instead"
    )]
    NoCongestion(&'static str),
    /// The congestion control is there, but not for this user.
    #[error(
        "the congestion control `{0}` is refused to this user: run as root, or let an administrator add \
         it to net.ipv4.tcp_allowed_congestion_control"
    )]
    CongestionRefused(&'static str),
    /// The kernel took the option and uses another congestion control all the same.
    #[error("the socket uses the congestion control `{got}` instead of `{wanted}`")]
    OtherCongestion {
        /// What was asked for.
        wanted: &'static str,
        /// What the socket says.
        got: String,
    },
    /// A buffer is too small for the receive buffer of the contender.
    #[error(
        "the socket's {which} buffer has {got} bytes and needs {wanted}: raise net.ipv4.{sysctl} in this \
         namespace, or net.core.{limit} on the machine"
    )]
    Buffer {
        /// Send or receive.
        which: &'static str,
        /// Bytes that it has, the kernel's overhead counted.
        got: usize,
        /// Bytes that it needs.
        wanted: usize,
        /// What sets its default.
        sysctl: &'static str,
        /// What limits what may be asked for.
        limit: &'static str,
    },
    /// The first window of a socket is the kernel's (RFC 6928).
    #[error("the kernel's initial window is 10 segments, not {0}: leave it at 10, or take the TCP model")]
    InitialWindow(u32),
    /// A system call failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl SocketError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Prepares the namespace of the calling thread for sockets with this configuration: to be called before
/// they are made, and only in a namespace of our own, as it sets the defaults of everybody in it.
///
/// Buffers get one size, so that nothing grows while a trial runs: twice the model's receive buffer, as
/// the kernel counts its overhead, which may be as much again, in. The receive buffer is then what the
/// kernel's autotuning ends at on most machines. The send buffer is as large: the model's sender has no
/// limit but the receiver's window. What a connection has learned is not kept for the next one.
///
/// # Errors
/// Where the system refuses it.
pub fn prepare_namespace(config: &Config) -> Result<(), SocketError> {
    let bytes = buffer_bytes(config.receive_buffer);
    let fixed = format!("{bytes} {bytes} {bytes}");
    // These belong to the namespace of the thread that opens them.
    let set = |name, value: &str| fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
    set("tcp_rmem", &fixed).map_err(SocketError::system("set net.ipv4.tcp_rmem"))?;
    set("tcp_wmem", &fixed).map_err(SocketError::system("set net.ipv4.tcp_wmem"))?;
    set("tcp_no_metrics_save", "1").map_err(SocketError::system("set net.ipv4.tcp_no_metrics_save"))
}

/// A socket that listens on `address`, in the namespace of the calling thread. What it accepts inherits
/// its options.
///
/// # Errors
/// Where the system refuses something, or the contender cannot be had.
pub(super) fn listening(config: &Config, address: SocketAddr) -> Result<Socket, SocketError> {
    let socket = prepared(config, address)?;
    socket.set_reuse_address(true).map_err(SocketError::system("let the port be used again"))?;
    socket.bind(&address.into()).map_err(SocketError::system("bind the TCP port"))?;
    // One connection a session.
    socket.listen(1).map_err(SocketError::system("listen on the TCP port"))?;
    Ok(socket)
}

/// A socket that can connect to `address`, in the namespace of the calling thread.
///
/// # Errors
/// Where the system refuses something, or the contender cannot be had.
pub(super) fn prepared(config: &Config, address: SocketAddr) -> Result<Socket, SocketError> {
    if config.initial_window != KERNEL_INITIAL_WINDOW {
        return Err(SocketError::InitialWindow(config.initial_window));
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(SocketError::system("make a TCP socket"))?;
    socket.set_nonblocking(true).map_err(SocketError::system("make a TCP socket nonblocking"))?;
    socket.set_tcp_nodelay(true).map_err(SocketError::system("set TCP_NODELAY"))?;
    socket
        .set_tcp_notsent_lowat(low_water_mark(config.not_sent_low))
        .map_err(SocketError::system("set TCP_NOTSENT_LOWAT"))?;
    set_congestion(&socket, config.congestion.name())?;
    fix_buffers(&socket, buffer_bytes(config.receive_buffer))?;
    Ok(socket)
}

/// Whether the socket uses the congestion control that it should.
///
/// # Errors
/// Where it does not, or does not say.
pub(super) fn check_congestion(socket: &Socket, wanted: &'static str) -> Result<(), SocketError> {
    let name = socket.tcp_congestion().map_err(SocketError::system("read TCP_CONGESTION"))?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    if name != wanted.as_bytes() {
        let got = String::from_utf8_lossy(name).into_owned();
        return Err(SocketError::OtherCongestion { wanted, got });
    }
    Ok(())
}

fn set_congestion(socket: &Socket, name: &'static str) -> Result<(), SocketError> {
    socket.set_tcp_congestion(name.as_bytes()).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => SocketError::NoCongestion(name),
        Some(libc::EPERM) => SocketError::CongestionRefused(name),
        _ => SocketError::System { what: "set TCP_CONGESTION", source: error },
    })?;
    check_congestion(socket, name)
}

/// Gives both buffers at least `wanted` bytes. In a namespace that is [prepared](prepare_namespace)
/// they have them, whatever the limits of the machine.
fn fix_buffers(socket: &Socket, wanted: usize) -> Result<(), SocketError> {
    let socket = SockRef::from(socket);
    let receive = || socket.recv_buffer_size().map_err(SocketError::system("read SO_RCVBUF"));
    let send = || socket.send_buffer_size().map_err(SocketError::system("read SO_SNDBUF"));
    // The kernel doubles what is asked for.
    if receive()? < wanted {
        socket.set_recv_buffer_size(wanted.div_ceil(2)).map_err(SocketError::system("set SO_RCVBUF"))?;
    }
    if send()? < wanted {
        socket.set_send_buffer_size(wanted.div_ceil(2)).map_err(SocketError::system("set SO_SNDBUF"))?;
    }
    let check = |which, got, sysctl, limit| match got < wanted {
        true => Err(SocketError::Buffer { which, got, wanted, sysctl, limit }),
        false => Ok(()),
    };
    check("receive", receive()?, "tcp_rmem", "rmem_max")?;
    check("send", send()?, "tcp_wmem", "wmem_max")
}

fn buffer_bytes(receive_buffer: ByteSize) -> usize {
    usize::try_from(receive_buffer.get() * 2).unwrap_or(usize::MAX)
}

/// The value of `TCP_NOTSENT_LOWAT` with which the application writes as the model's does: while less
/// than `not_sent_low` bytes are unsent.
///
/// Linux says that a socket can be written when *twice* what is unsent is below the value, so it has to
/// be twice the mark. The kernel takes up to the value itself of a frame once it is begun, which
/// changes nothing: a frame that is begun is finished.
fn low_water_mark(not_sent_low: ByteSize) -> u32 {
    u32::try_from(not_sent_low.get() * 2).unwrap_or(u32::MAX)
}

/// `TCP_INIT_CWND` of Linux.
const KERNEL_INITIAL_WINDOW: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::Congestion;

    fn config() -> Config {
        // Small enough for the default limits of any machine.
        Config { receive_buffer: ByteSize::new(64 << 10), ..Config::default() }
    }

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn a_socket_has_the_options_that_were_asked_for() {
        let config = Config { congestion: Congestion::Reno, ..config() };
        let socket = prepared(&config, any_port()).unwrap();
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 32_768);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.recv_buffer_size().unwrap() >= 128 << 10);
        assert!(check_congestion(&socket, "reno").is_ok());
        assert!(matches!(
            check_congestion(&socket, "cubic"),
            Err(SocketError::OtherCongestion { wanted: "cubic", got }) if got == "reno"
        ));
    }

    #[test]
    fn a_congestion_control_that_is_not_there_is_said_to_be_missing() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let error = set_congestion(&socket, "no-such").unwrap_err();
        assert!(error.to_string().contains("modprobe tcp_no-such"), "{error}");
    }

    #[test]
    fn a_buffer_that_cannot_be_had_is_an_error_and_not_a_smaller_one() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let error = fix_buffers(&socket, 1 << 31).unwrap_err();
        assert!(error.to_string().contains("tcp_rmem"), "{error}");
    }

    #[test]
    fn an_initial_window_that_the_kernel_does_not_have_is_refused() {
        let config = Config { initial_window: 2, ..config() };
        assert!(matches!(prepared(&config, any_port()), Err(SocketError::InitialWindow(2))));
    }
}
