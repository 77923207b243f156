//! Waiting for the next thing that is due or can be read, whichever comes first.

use std::io;

use nix::errno::Errno;
use nix::poll::{PollFd, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use crate::drive::clock::Clock;
use crate::time::{Duration, Time};

/// How to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// Sleep until it is time. The system wakes a thread some time late.
    #[default]
    Sleep,
    /// Sleep, but be awake [`SPIN`] before anything is due: on time, for more of the processor.
    Spin,
}

/// How long before something is due [`Patience::Spin`] is awake: several times what an idle machine takes
/// to wake a thread up.
pub const SPIN: Duration = Duration::from_micros(200);

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
        let ahead = match self.patience {
            Patience::Sleep => Duration::ZERO,
            Patience::Spin => SPIN,
        };
        let mut ready = poll(fds, Some(clock.until(until).saturating_sub(ahead)))?;
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
