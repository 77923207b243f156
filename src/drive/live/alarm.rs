//! A wake-up call that the runtime can wait for.
//!
//! tokio's own timers tick in milliseconds, which is later than a packet may be. Linux has timers with
//! a file descriptor (timerfd_create(2)), which are as exact as the kernel's clock. Elsewhere tokio's
//! has to do, and the driver asks to be woken early and spins for the rest ([`SPIN`]).

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

#[cfg(target_os = "linux")]
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};

use crate::drive::clock::Clock;
use crate::time::{Duration, Time};

/// How much earlier than due the driver should be woken where nothing else is said.
pub const SPIN: Duration = if cfg!(target_os = "linux") { Duration::ZERO } else { Duration::from_millis(2) };

/// One wake-up call.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: Timer,
    /// When it is set to.
    at: Option<Time>,
}

impl Alarm {
    /// One that is not set. The runtime must be there.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { timer: Timer::new()?, at: None })
    }

    /// Sets it to `at`, whatever it was set to.
    pub(super) fn set(&mut self, clock: &Clock, at: Time) -> io::Result<()> {
        if self.at != Some(at) {
            self.timer.set(clock.until(at).max(Duration::from_nanos(1)))?;
            self.at = Some(at);
        }
        Ok(())
    }

    /// Whether its time has come; then it is not set any more.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.timer.poll(context))?;
        self.at = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Timer {
    timer: TimerFd,
    /// The same, as the runtime watches it.
    watch: AsyncFd<OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Timer {
    #[expect(deprecated, reason = "what replaces it has the caller promise what an OwnedFd promises anyway")]
    fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let watch = AsyncFd::with_interest(timer.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        Ok(Self { timer, watch })
    }

    fn set(&mut self, wait: Duration) -> io::Result<()> {
        let wait = std::time::Duration::from_nanos(wait.as_nanos());
        Ok(self.timer.set(Expiration::OneShot(wait.into()), TimerSetTimeFlags::empty())?)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.watch.poll_read_ready(context))?;
            // Nothing can happen between reading it and this: one thread does both.
            guard.clear_ready();
            match self.timer.wait() {
                Ok(()) => return Poll::Ready(Ok(())),
                // It was set anew after it had gone off.
                Err(nix::errno::Errno::EAGAIN) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Timer(std::pin::Pin<Box<tokio::time::Sleep>>);

#[cfg(not(target_os = "linux"))]
impl Timer {
    fn new() -> io::Result<Self> {
        Ok(Self(Box::pin(tokio::time::sleep(std::time::Duration::MAX))))
    }

    fn set(&mut self, wait: Duration) -> io::Result<()> {
        let wait = std::time::Duration::from_nanos(wait.as_nanos());
        self.0.as_mut().reset(tokio::time::Instant::now() + wait);
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        use std::future::Future;
        ready!(self.0.as_mut().poll(context));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn an_alarm_goes_off_at_the_time_that_was_set_last_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut alarm, clock) = (Alarm::new().unwrap(), Clock::start());
            // One that has passed, then sooner, then later.
            for millis in [0, 5, 3, 8] {
                let at = Time::from_millis(millis);
                alarm.set(&clock, Time::from_secs(3600)).unwrap();
                alarm.set(&clock, at).unwrap();
                poll_fn(|context| alarm.poll(context)).await.unwrap();
                assert!(clock.now() >= at);
            }
            // One that has gone off is not heard where it is set anew before.
            alarm.set(&clock, clock.now()).unwrap();
            while clock.until(Time::from_millis(12)) > Duration::ZERO {
                std::thread::yield_now();
            }
            let again = clock.now() + Duration::from_millis(2);
            alarm.set(&clock, again).unwrap();
            poll_fn(|context| alarm.poll(context)).await.unwrap();
            assert!(clock.now() >= again);
        });
    }
}
