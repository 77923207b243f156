//! Waiting for the next thing that is due or can be read, whichever comes first.

use std::io;

use nix::errno::Errno;
use nix::poll::{PollFd, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use crate::drive::clock::Clock;
pub use crate::drive::patience::Patience;
use crate::time::{Duration, Time};

/// Waits, to the nanosecond as far as the system can.
#[derive(Debug)]
pub struct Waiter {
    patience: Patience,
}

impl Waiter {
    /// A waiter for the calling thread, whose sleep the kernel is told not to stretch: otherwise it does
    /// by 50 µs to wake up several threads at once.
    ///
    /// # Errors
    /// What prctl(2) says.
    pub fn new(patience: Patience) -> io::Result<Self> {
        prctl::set_timerslack(1)?;
        Ok(Self { patience })
    }

    /// Waits until one of `fds` is ready or `until` has come; for ever where that is none. A signal ends
    /// it too. How many are ready.
    ///
    /// # Errors
    /// What ppoll(2) says.
    pub fn wait(&self, fds: &mut [PollFd], clock: &Clock, until: Option<Time>) -> io::Result<usize> {
        let Some(until) = until else { return poll(fds, None) };
        let mut ready = poll(fds, Some(clock.until(until).saturating_sub(self.patience.ahead())))?;
        while ready == 0 && self.patience == Patience::Spin && clock.now() < until {
            ready = poll(fds, Some(Duration::ZERO))?;
        }
        Ok(ready)
    }
}

fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout =
        timeout.map(|timeout| TimeSpec::from_duration(std::time::Duration::from_nanos(timeout.as_nanos())));
    match ppoll(fds, timeout, None) {
        Ok(ready) => Ok(ready.unsigned_abs() as usize),
        Err(Errno::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
