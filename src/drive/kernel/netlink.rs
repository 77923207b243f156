//! The few messages to the kernel's routing socket (rtnetlink(7)) that configure a device.
//!
//! Over netlink because the ioctl for the length of a transmit queue wants rights in the initial
//! namespace, and this does not: so it works without root.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};

/// A socket to the kernel, about the network namespace in which it was made.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// What a device shall be like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Device {
    /// The largest packet it carries, in bytes; none leaves it as it is.
    pub(super) mtu: Option<u32>,
    /// How many packets may wait to be sent; none leaves it as it is.
    pub(super) queue_packets: Option<u32>,
}

impl Netlink {
    /// A socket about the network namespace that the calling thread is in.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Gives a device an address in a network of 2^(32 - `prefix`) addresses, and the route to them.
    pub(super) fn add_address(&mut self, name: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let index = if_nametoindex(name)?;
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        message.0.extend([libc::AF_INET as u8, prefix, 0, 0]);
        message.0.extend(index.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &address.octets());
        message.attribute(libc::IFA_ADDRESS, &address.octets());
        self.request(message)
    }

    /// Makes a device like that, and switches it on.
    pub(super) fn bring_up(&mut self, name: &str, device: Device) -> io::Result<()> {
        let index = if_nametoindex(name)?;
        let up = (libc::IFF_UP as u32).to_ne_bytes();
        let mut message = Message::new(libc::RTM_NEWLINK, 0);
        // struct ifinfomsg: family and padding, type, index, flags, and which of them to change.
        message.0.extend([0; 4]);
        message.0.extend(index.to_ne_bytes());
        message.0.extend(up);
        message.0.extend(up);
        if let Some(mtu) = device.mtu {
            message.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
        if let Some(packets) = device.queue_packets {
            message.attribute(libc::IFLA_TXQLEN, &packets.to_ne_bytes());
        }
        self.request(message)
    }

    /// Sends a message and waits for the kernel's answer to it.
    fn request(&mut self, message: Message) -> io::Result<()> {
        self.sequence += 1;
        let bytes = message.finish(self.sequence);
        socket::send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = socket::recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        outcome(&answer[..length])
    }
}

/// What an acknowledgment says (`struct nlmsgerr`): zero, or a negated error number.
fn outcome(answer: &[u8]) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer makes no sense");
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind.map(i32::from), code) {
        (Some(libc::NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(libc::NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(invalid()),
    }
}

/// `struct nlmsghdr`: length, type, flags, sequence number, sender.
const HEADER: usize = 16;

/// A message under construction, its header in front.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: i32) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self(bytes)
    }

    /// Appends a `struct rtattr` whose value has a multiple of four bytes.
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        debug_assert!(value.len().is_multiple_of(4), "needs padding");
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        let mut netlink = Netlink::open().unwrap();
        let error = netlink.bring_up("no-such-device", Device::default()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn the_kernel_s_refusal_comes_back_as_an_error() {
        // Whoever runs the tests, there is no device with this index.
        let mut netlink = Netlink::open().unwrap();
        let mut message = Message::new(libc::RTM_NEWADDR, 0);
        message.0.extend([libc::AF_INET as u8, 24, 0, 0]);
        message.0.extend(0x7fff_fff0_u32.to_ne_bytes());
        assert!(netlink.request(message).unwrap_err().raw_os_error().is_some());
    }

    #[test]
    fn an_answer_that_is_too_short_or_of_another_kind_is_an_error() {
        assert!(outcome(&[]).is_err() && outcome(&[0; 20]).is_err());
        let mut ok = [0; 20];
        ok[4] = libc::NLMSG_ERROR as u8;
        assert!(outcome(&ok).is_ok());
    }
}
