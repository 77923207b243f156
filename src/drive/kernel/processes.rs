//! Starts a program so that whatever it starts ends with it, and it with this process.
//!
//! The program is the first process of a PID namespace: when that ends, for whatever reason, the kernel
//! kills all others in it, also those that left their process group. And it is killed itself when this
//! process ends.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::namespace::{Unavailable, unshare_as_root};
use super::sys;

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kernel does not allow it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It could not be started, or waited for.
    #[error("cannot run {program}: {error}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        error: io::Error,
    },
}

/// Runs `command` as the first process of a PID namespace, and passes on the signals that would end this
/// process. The calling process must have one thread only, and can make no other one after this.
///
/// # Errors
/// [`RunError`].
pub fn run_alone(command: &mut Command) -> Result<ExitStatus, RunError> {
    unshare_as_root(CloneFlags::CLONE_NEWPID, &mut |_| ())?;
    let failed = |command: &Command, error: io::Error| RunError::Start {
        program: command.get_program().display().to_string(),
        error,
    };
    let mut signals = Signals::listen().map_err(|error| failed(command, error))?;
    let child = sys::unblock_signals(sys::die_with_parent(command))
        .spawn()
        .map_err(|error| failed(command, error))?;
    let child = Pid::from_raw(child.id().cast_signed());
    loop {
        for signal in signals.wait().map_err(|error| failed(command, error))? {
            pass_on(&signal, child);
        }
        while let Some((ended, status)) = reap() {
            if ended == child {
                return Ok(status);
            }
        }
    }
}

/// The signals that say that a child ended or that this process should end. They are blocked, and read
/// instead; programs that are started need them [unblocked](sys::unblock_signals).
#[derive(Debug)]
pub(super) struct Signals(pub(super) SignalFd);

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        signals.thread_block()?;
        Ok(Self(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Those that have come since the last call.
    pub(super) fn read(&mut self) -> io::Result<Vec<siginfo>> {
        let mut come = Vec::new();
        while let Some(signal) = self.0.read_signal()? {
            come.push(signal);
        }
        Ok(come)
    }

    /// Waits until one comes.
    fn wait(&mut self) -> io::Result<Vec<siginfo>> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let readable = PollFd::new(self.0.as_fd(), PollFlags::POLLIN);
        match poll(&mut [readable], PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => self.read(),
            Err(error) => Err(error.into()),
        }
    }
}

/// Passes a signal on to a child. One that a terminal sent (Ctrl-C) went to the child as well.
pub(super) fn pass_on(signal: &siginfo, child: Pid) {
    let from_terminal = signal.ssi_code == libc::SI_KERNEL;
    if let Ok(signal) = Signal::try_from(signal.ssi_signo.cast_signed())
        && signal != Signal::SIGCHLD
        && !from_terminal
    {
        // A child that has just ended needs none.
        let _ = kill(child, signal);
    }
}

/// A child that has ended and how; none while there is none.
pub(super) fn reap() -> Option<(Pid, ExitStatus)> {
    loop {
        return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(child, code)) => Some((child, ExitStatus::from_raw(code << 8))),
            Ok(WaitStatus::Signaled(child, signal, _)) => Some((child, ExitStatus::from_raw(signal as i32))),
            Ok(WaitStatus::StillAlive) | Err(_) => None,
            Ok(_) => continue,
        };
    }
}

/// What a shell makes of how a program ended: its exit code, or 128 and the number of the signal.
pub fn exit_code(status: ExitStatus) -> u8 {
    let signal = || 128 + status.signal().unwrap_or_default();
    u8::try_from(status.code().unwrap_or_else(signal)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_becomes_an_exit_code_as_in_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(libc::SIGKILL)), 137);
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
    }
}
