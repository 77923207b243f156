//! Who holds which port of this machine.
//!
//! Linux lists its sockets in `/proc/net` (proc_pid_net(5)) and what each process has open in
//! `/proc/PID/fd`. Elsewhere a port is asked about by trying to bind it, and nobody knows by whom it is
//! held.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::session::ports::PortRange;

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP; what counts is who listens.
    Tcp,
}

/// A port that is held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Whose port.
    pub protocol: Protocol,
    /// The address that it is bound to.
    pub local: SocketAddr,
    /// Who has the socket, where this can be seen.
    pub owner: Option<Owner>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its number.
    pub pid: u32,
    /// The name of its command, as the system knows it: on Linux at most 15 bytes.
    pub command: String,
}

impl Holder {
    /// Whether a socket bound to `address` would be in its way. One that takes IPv6 from everywhere
    /// mostly takes IPv4 too.
    pub fn hinders(&self, address: IpAddr) -> bool {
        let theirs = self.local.ip();
        theirs.is_unspecified() || address.is_unspecified() || theirs.to_canonical() == address.to_canonical()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

#[cfg(not(target_os = "linux"))]
pub use self::elsewhere::holders;
#[cfg(target_os = "linux")]
pub use self::linux::{drops, holders};

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// The held ports of `range`, lowest first, UDP before TCP.
    ///
    /// # Errors
    /// Where the lists of sockets cannot be read.
    pub fn holders(range: PortRange) -> io::Result<Vec<Holder>> {
        let mut sockets = listed(Protocol::Udp)?;
        sockets.extend(listed(Protocol::Tcp)?);
        sockets.retain(|socket| range.ports().contains(&socket.local.port()));
        let owners = owners(&sockets.iter().map(|socket| socket.inode).collect());
        let mut holders: Vec<Holder> = sockets
            .into_iter()
            .map(|Listed { protocol, local, inode, .. }| Holder {
                protocol,
                local,
                owner: owners.get(&inode).cloned(),
            })
            .collect();
        holders.sort_by_key(|holder| (holder.local.port(), holder.protocol, holder.local));
        Ok(holders)
    }

    /// How many datagrams the kernel has dropped at the UDP socket bound to `local`, for each of them.
    ///
    /// # Errors
    /// Where the list of sockets cannot be read.
    pub fn drops() -> io::Result<BTreeMap<SocketAddr, u64>> {
        Ok(listed(Protocol::Udp)?.into_iter().map(|socket| (socket.local, socket.drops)).collect())
    }

    /// A line of one of the lists.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Listed {
        protocol: Protocol,
        local: SocketAddr,
        inode: u64,
        drops: u64,
    }

    /// Every socket of a protocol in this thread's network namespace; of TCP those that listen.
    fn listed(protocol: Protocol) -> io::Result<Vec<Listed>> {
        let mut sockets = Vec::new();
        for family in ["", "6"] {
            match fs::read_to_string(format!("/proc/thread-self/net/{protocol}{family}")) {
                Ok(list) => {
                    sockets.extend(list.lines().skip(1).filter_map(|line| parse(protocol, line)));
                }
                // A kernel without IPv6.
                Err(error) if family == "6" && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sockets)
    }

    /// Reads a line; none where it is not one of a socket that holds its port.
    pub(super) fn parse(protocol: Protocol, line: &str) -> Option<Listed> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if protocol == Protocol::Tcp && *fields.get(3)? != LISTENING {
            return None;
        }
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let local = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
        let inode = fields.get(9)?.parse().ok()?;
        // Only UDP's list has this column.
        let drops = fields.get(12).and_then(|drops| drops.parse().ok()).unwrap_or(0);
        Some(Listed { protocol, local, inode, drops })
    }

    /// The state of a TCP socket that listens (`TCP_LISTEN` of the kernel's `tcp_states.h`).
    const LISTENING: &str = "0A";

    /// Reads an address as the kernel prints it: words of 32 bits, each as a number of the machine.
    fn address(hex: &str) -> Option<IpAddr> {
        let word = |at: usize| {
            let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        };
        match hex.len() {
            8 => Some(Ipv4Addr::from(word(0)?).into()),
            32 => {
                let mut bytes = [0; 16];
                for (index, chunk) in bytes.chunks_mut(4).enumerate() {
                    chunk.copy_from_slice(&word(8 * index)?);
                }
                Some(Ipv6Addr::from(bytes).into())
            }
            _ => None,
        }
    }

    /// The processes that have these sockets, as far as we may look: for the others there is no entry.
    fn owners(inodes: &BTreeSet<u64>) -> BTreeMap<u64, Owner> {
        let mut owners = BTreeMap::new();
        if inodes.is_empty() {
            return owners;
        }
        let Ok(processes) = fs::read_dir("/proc") else { return owners };
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids {
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            for inode in files.filter_map(|entry| socket(&fs::read_link(entry.ok()?.path()).ok()?)) {
                if inodes.contains(&inode) && !owners.contains_key(&inode) {
                    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                    owners.insert(inode, Owner { pid, command: command.trim_end().to_owned() });
                }
            }
        }
        owners
    }

    /// The inode of the socket that an entry of `/proc/PID/fd` points at.
    fn socket(link: &std::path::Path) -> Option<u64> {
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    use super::*;

    /// The held ports of `range`, lowest first, UDP before TCP.
    ///
    /// # Errors
    /// None; a port that cannot be bound for another reason does not count as held.
    pub fn holders(range: PortRange) -> io::Result<Vec<Holder>> {
        let mut holders = Vec::new();
        for port in range.ports() {
            let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let held =
                |bound: io::Result<()>| bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
            let tries = [
                (Protocol::Udp, held(UdpSocket::bind(local).map(drop))),
                (Protocol::Tcp, held(TcpListener::bind(local).map(drop))),
            ];
            let held = tries.into_iter().filter(|(_, held)| *held);
            holders.extend(held.map(|(protocol, _)| Holder { protocol, local, owner: None }));
        }
        Ok(holders)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    use super::linux::parse;
    use super::*;

    fn holders_of(port: u16) -> Vec<Holder> {
        holders(PortRange::new(port, port).unwrap()).unwrap()
    }

    fn ourselves(holder: &Holder) -> bool {
        holder.owner.as_ref().is_some_and(|owner| owner.pid == std::process::id())
    }

    #[test]
    fn our_own_sockets_are_found_with_us_as_their_owner() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let udp = socket.local_addr().unwrap();
        let found = holders_of(udp.port());
        let found = found.iter().find(|holder| holder.local == udp).expect("it is open");
        assert!(found.protocol == Protocol::Udp && ourselves(found), "{found:?}");

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tcp = listener.local_addr().unwrap();
        let found = holders_of(tcp.port());
        assert!(
            found.iter().any(|holder| holder.local == tcp && holder.protocol == Protocol::Tcp),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_bound_everywhere_is_in_the_way_of_every_address() {
        let holder =
            |local: &str| Holder { protocol: Protocol::Udp, local: local.parse().unwrap(), owner: None };
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert!(holder("0.0.0.0:3224").hinders(loopback) && holder("[::]:3224").hinders(loopback));
        assert!(holder("127.0.0.1:3224").hinders(loopback));
        assert!(!holder("192.0.2.1:3224").hinders(loopback));
        assert!(holder("192.0.2.1:3224").hinders(Ipv4Addr::UNSPECIFIED.into()));
    }

    #[test]
    fn lines_that_are_none_of_a_listening_socket_are_left_out() {
        let line = |state| {
            format!(
                "  1: 0100007F:0C98 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 632 1 0"
            )
        };
        assert!(parse(Protocol::Tcp, &line("0A")).is_some());
        assert!(parse(Protocol::Tcp, &line("01")).is_none(), "connected");
        assert!(parse(Protocol::Udp, "").is_none() && parse(Protocol::Udp, "1: xyz:0C98").is_none());
    }
}
