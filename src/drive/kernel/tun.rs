//! A TUN device: what the kernel routes to it is read here, and what is written here the kernel takes as
//! received.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::sys;

/// Where TUN devices are made.
pub(super) const CLONE_DEVICE: &str = "/dev/net/tun";

/// A TUN device. It goes when this goes.
#[derive(Debug)]
pub struct Tun {
    device: File,
    name: String,
    /// The statistics of the devices of its namespace.
    statistics: File,
}

impl Tun {
    /// Opens what devices are made from.
    pub(super) fn open() -> io::Result<File> {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(CLONE_DEVICE)
    }

    /// Makes a device called `name` in the network namespace that the calling thread is in.
    pub(super) fn make(device: File, name: &str) -> io::Result<Self> {
        sys::make_tun(&device, name)?;
        // An open file of /proc stays in the namespace in which it was opened.
        let statistics = File::open("/proc/thread-self/net/dev")?;
        Ok(Self { device, name: name.to_owned(), statistics })
    }

    /// Reads the next packet that the kernel sends, behind a header about what is left to
    /// do (`offload`); how many bytes both have, or none where there is none.
    ///
    /// # Errors
    /// What read(2) says: above all that the device is down.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.device.read(buffer) {
                Ok(length) => return Ok(Some(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands the kernel a packet as received, behind the same header. It may come in pieces.
    ///
    /// # Errors
    /// What writev(2) says; the packet is lost then.
    pub fn write(&mut self, packet: &[IoSlice<'_>]) -> io::Result<()> {
        loop {
            match self.device.write_vectored(packet) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many packets the kernel has dropped because its queue before [`Tun::read`] was full.
    ///
    /// # Errors
    /// What reading the statistics says.
    pub fn dropped(&mut self) -> io::Result<u64> {
        self.statistics.rewind()?;
        let mut table = String::new();
        self.statistics.read_to_string(&mut table)?;
        transmit_drops(&table, &self.name)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the device has no statistics"))
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// The column "drop" under "Transmit" of a device in the table of proc_net(5): the twelfth.
fn transmit_drops(table: &str, name: &str) -> Option<u64> {
    let row = table.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    row.split_whitespace().nth(11)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_a_device_are_found_in_the_table() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo:       1       2    3    4    5     6          7         8        9      10   11   12   13    14
  tun0:12345678       2    3    4    5     6          7         8        9      10   11   99   13    14
";
        assert_eq!(transmit_drops(table, "tun0"), Some(99));
        assert_eq!(transmit_drops(table, "lo"), Some(12));
        assert_eq!(transmit_drops(table, "tun"), None);
        assert_eq!(transmit_drops("", "lo"), None);
    }
}
