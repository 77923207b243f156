//! The two network namespaces of the kernel path, one for each end, made with system calls alone.
//!
//! Namespaces and devices live as long as something holds them open, so that nothing is left behind
//! however the process ends. Without root they are made inside a user namespace, in which the caller is
//! root; the kernel lets a process with several threads make none.
//!
//! | | server | person |
//! | --- | --- | --- |
//! | address (of the network that RFC 2544 sets aside for benchmarks) | 198.18.0.1/24 | 198.18.0.2/24 |
//! | sends | down | up |

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::net::Ipv4Addr;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use super::netlink::{Device, Netlink};
use super::tun::Tun;
use crate::endpoint::Direction;

/// One end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the desktop runs.
    Server,
    /// Where the person sits.
    Person,
}

impl Side {
    /// Both, the server first: so that each has the place of the direction in which it sends.
    pub const BOTH: [Self; 2] = [Self::Server, Self::Person];

    /// The address of its device.
    pub const fn address(self) -> Ipv4Addr {
        match self {
            Self::Server => Ipv4Addr::new(198, 18, 0, 1),
            Self::Person => Ipv4Addr::new(198, 18, 0, 2),
        }
    }

    /// The direction in which it sends.
    pub const fn sends(self) -> Direction {
        match self {
            Self::Server => Direction::Down,
            Self::Person => Direction::Up,
        }
    }

    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Server => Self::Person,
            Self::Person => Self::Server,
        }
    }
}

/// The name of the device in each namespace.
pub const DEVICE: &str = "fhsim";

/// What is set in each namespace, as sysctl(8) names it: otherwise every new namespace takes buffers from
/// the host, and a connection the threshold at which the one before it ended.
///
/// The first two numbers of the buffers are Linux's own defaults; the third admits 64 MiB under way, the
/// product of 5 Gbit/s and 100 ms.
pub const SYSCTLS: [(&str, &str); 5] = [
    ("net.ipv4.tcp_rmem", "4096 131072 67108864"),
    ("net.ipv4.tcp_wmem", "4096 16384 67108864"),
    ("net.ipv4.tcp_no_metrics_save", "1"),
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
];

/// How many packets may wait before a device until it is read. The default of 500 loses packets unseen:
/// a TUN does not push back, so that TCP's bursts overflow it. What is still to be cut counts as one
/// packet, so a program that floods the path with trains of datagrams of 64 KiB can fill 1.3 GB with it
/// before the kernel drops any.
const QUEUE_PACKETS: u32 = 20_000;

/// Both namespaces.
#[derive(Debug)]
pub struct Namespaces {
    namespaces: [Namespace; 2],
}

#[derive(Debug)]
struct Namespace {
    handle: File,
    /// The counters of its protocols.
    counters: File,
}

/// A step on the way to the kernel path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Becoming root inside a user namespace; only where the caller is not root outside.
    UserNamespace,
    /// Saying who is root there.
    MapIds,
    /// A network namespace.
    NetworkNamespace,
    /// Opening `/dev/net/tun`.
    OpenTun,
    /// Making a device of it.
    MakeTun,
    /// Address, MTU and queue of the device, and switching it on.
    Configure,
    /// What [`SYSCTLS`] says.
    Sysctls,
    /// Going into a namespace, to make sockets there.
    Enter,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {error}; {}", self.advice())]
pub struct Unavailable {
    /// Which.
    pub step: Step,
    /// What the kernel says.
    pub error: io::Error,
}

impl Namespaces {
    /// Makes both namespaces, with a device for packets of up to `mtu` bytes in each: the server's first.
    /// The calling thread is in the person's namespace then. `done` is told each step that succeeded.
    ///
    /// # Errors
    /// The step that failed. Some steps may have been done then: the process should end.
    pub fn make(mtu: u32, mut done: impl FnMut(Step)) -> Result<(Self, [Tun; 2]), Unavailable> {
        let mut furnish = |side| {
            unshare_as_root(CloneFlags::CLONE_NEWNET, &mut done)?;
            Namespace::furnish(side, mtu, &mut done)
        };
        let (server, server_tun) = furnish(Side::Server)?;
        let (person, person_tun) = furnish(Side::Person)?;
        let namespaces = Self { namespaces: [server, person] };
        for side in Side::BOTH {
            namespaces.enter(side)?;
        }
        done(Step::Enter);
        Ok((namespaces, [server_tun, person_tun]))
    }

    /// Moves the calling thread into a namespace: sockets that it makes and programs that it starts then
    /// belong there.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn enter(&self, side: Side) -> Result<(), Unavailable> {
        let namespace = &self.namespaces[side as usize];
        setns(&namespace.handle, CloneFlags::CLONE_NEWNET).map_err(|error| Step::Enter.failed(error))
    }

    /// How many datagrams the sockets of both namespaces have dropped because their buffers were full.
    ///
    /// # Errors
    /// What reading the counters says.
    pub fn socket_drops(&mut self) -> io::Result<u64> {
        let mut drops = 0;
        for namespace in &mut self.namespaces {
            namespace.counters.rewind()?;
            let mut table = String::new();
            namespace.counters.read_to_string(&mut table)?;
            drops += udp_buffer_errors(&table).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "/proc/net/snmp does not count them")
            })?;
        }
        Ok(drops)
    }
}

impl Namespace {
    /// Furnishes the network namespace that the calling thread is in.
    fn furnish(side: Side, mtu: u32, done: &mut impl FnMut(Step)) -> Result<(Self, Tun), Unavailable> {
        let opened = Tun::open().map_err(|error| Step::OpenTun.failed(error))?;
        done(Step::OpenTun);
        let tun = Tun::make(opened, DEVICE).map_err(|error| Step::MakeTun.failed(error))?;
        done(Step::MakeTun);
        // Before the device is up, or IPv6 says something through it.
        set_sysctls().map_err(|error| Step::Sysctls.failed(error))?;
        done(Step::Sysctls);
        configure(side, mtu).map_err(|error| Step::Configure.failed(error))?;
        done(Step::Configure);
        let open = |name| File::open(format!("/proc/thread-self/{name}"));
        let handle = open("ns/net").map_err(|error| Step::Enter.failed(error))?;
        let counters = open("net/snmp").map_err(|error| Step::Enter.failed(error))?;
        Ok((Self { handle, counters }, tun))
    }
}

/// Makes namespaces of these kinds and moves into them; where that takes more rights than the caller has,
/// as root of a user namespace made for it.
///
/// # Errors
/// The step that failed.
pub(super) fn unshare_as_root(flags: CloneFlags, done: &mut impl FnMut(Step)) -> Result<(), Unavailable> {
    match unshare(flags) {
        Err(Errno::EPERM) => {
            become_root(done)?;
            unshare(flags).map_err(|error| Step::NetworkNamespace.failed(error))?;
        }
        outcome => outcome.map_err(|error| Step::NetworkNamespace.failed(error))?,
    }
    done(Step::NetworkNamespace);
    Ok(())
}

/// Becomes root of a user namespace of its own, which is the caller outside.
fn become_root(done: &mut impl FnMut(Step)) -> Result<(), Unavailable> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| Step::UserNamespace.failed(error))?;
    done(Step::UserNamespace);
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(|error| Step::MapIds.failed(error))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {user} 1"))?;
    write("gid_map", format!("0 {group} 1"))?;
    done(Step::MapIds);
    Ok(())
}

fn configure(side: Side, mtu: u32) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    netlink.bring_up("lo", Device::default())?;
    netlink.add_address(DEVICE, side.address(), 24)?;
    netlink.bring_up(DEVICE, Device { mtu: Some(mtu), queue_packets: Some(QUEUE_PACKETS) })
}

fn set_sysctls() -> io::Result<()> {
    for (name, value) in SYSCTLS {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        match fs::write(path, value) {
            // A kernel without IPv6 need not be told to leave it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("net.ipv6") => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// The column RcvbufErrors of the two lines "Udp:" in the table of snmp counters (proc_net(5)).
fn udp_buffer_errors(table: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == "RcvbufErrors")?;
    values.split_whitespace().nth(place)?.parse().ok()
}

impl Step {
    fn failed(self, error: impl Into<io::Error>) -> Unavailable {
        Unavailable { step: self, error: error.into() }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UserNamespace => "make a user namespace",
            Self::MapIds => "become root in the user namespace",
            Self::NetworkNamespace => "make a network namespace",
            Self::OpenTun => "open /dev/net/tun",
            Self::MakeTun => "make a TUN device",
            Self::Configure => "set up the TUN device",
            Self::Sysctls => "set the TCP options of the namespace",
            Self::Enter => "go into a namespace",
        })
    }
}

impl Unavailable {
    /// Why, as far as it is known, and what can be done about it.
    pub fn advice(&self) -> &'static str {
        let errno = self.error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        match (self.step, errno) {
            (Step::UserNamespace, Errno::EINVAL) => {
                "a process with more than one thread cannot; this is a bug of fhsim"
            }
            (Step::UserNamespace, Errno::ENOSPC) => {
                "the system allows no more user namespaces: raise the sysctl user.max_user_namespaces, or \
                 run it as root"
            }
            (Step::UserNamespace, Errno::EPERM) => {
                "the kernel or a container (seccomp) forbids user namespaces: set the sysctl \
                 kernel.unprivileged_userns_clone=1 where there is one, or run it as root, or give the \
                 container CAP_SYS_ADMIN and CAP_NET_ADMIN"
            }
            (Step::MapIds | Step::NetworkNamespace, Errno::EPERM | Errno::EACCES) => {
                "user namespaces have no rights here, as on Ubuntu since 23.10: set the sysctl \
                 kernel.apparmor_restrict_unprivileged_userns=0, or run it as root"
            }
            (Step::NetworkNamespace, Errno::ENOSPC) => {
                "the system allows no more network namespaces: raise the sysctl user.max_net_namespaces"
            }
            (Step::NetworkNamespace, Errno::EINVAL) => "this kernel has no network namespaces",
            (Step::OpenTun, Errno::ENOENT) => {
                "there is no such device: load the module (modprobe tun), or in a container add \
                 --device /dev/net/tun"
            }
            (Step::OpenTun, Errno::EACCES | Errno::EPERM) => {
                "only root may use it here: chmod 666 /dev/net/tun (the default of most systems, since a \
                 device still takes rights over its namespace), or run it as root"
            }
            (Step::OpenTun, Errno::ENODEV | Errno::ENXIO) => {
                "the kernel's TUN module is missing: modprobe tun"
            }
            (Step::MakeTun, Errno::EPERM) => "it takes CAP_NET_ADMIN over the namespace: run it as root",
            (Step::MakeTun, Errno::EBUSY) => "the namespace already has a device of that name",
            (Step::Sysctls, Errno::EROFS) => {
                "/proc/sys is read-only, as in most containers: run it outside, or with --privileged"
            }
            _ => "this error is not known to happen: please report it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_says_the_step_the_error_and_what_to_do() {
        let failed = Step::OpenTun.failed(Errno::EACCES);
        let text = failed.to_string();
        assert!(text.starts_with("cannot open /dev/net/tun: Permission denied"), "{text}");
        assert!(text.contains("chmod 666"), "{text}");
        let text = Step::UserNamespace.failed(Errno::ENOSPC).to_string();
        assert!(text.contains("user.max_user_namespaces"), "{text}");
    }

    #[test]
    fn datagrams_dropped_at_full_sockets_are_found_in_the_table() {
        let table = "\
Tcp: RtoAlgorithm RtoMin
Tcp: 1 200
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
Udp: 10 11 12 13 14 15
UdpLite: InDatagrams RcvbufErrors
UdpLite: 0 99
";
        assert_eq!(udp_buffer_errors(table), Some(14));
        assert_eq!(udp_buffer_errors("Udp: InDatagrams\nUdp: 1\n"), None);
    }

    #[test]
    fn a_side_has_the_place_of_the_direction_in_which_it_sends() {
        for (place, side) in Side::BOTH.into_iter().enumerate() {
            assert_eq!((side as usize, side.sends() as usize), (place, place));
            assert_eq!(side.peer().sends(), side.sends().reverse());
        }
    }
}
