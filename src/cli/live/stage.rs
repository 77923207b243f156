//! The trials under way, as those see them who command them: keys, Ctrl-C, the other machine.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use framehawk_sim::drive::message::Command;

/// The trials under way.
#[derive(Debug, Default)]
pub(super) struct Stage {
    cancelled: AtomicBool,
    altered: AtomicBool,
    commands: Mutex<Vec<Sender<Command>>>,
}

impl Stage {
    /// A trial has begun, which takes commands there.
    pub(super) fn watch(&self, commands: Sender<Command>) {
        if let Ok(mut all) = self.commands.lock() {
            // One that begins after all were told to stop has not heard of it.
            if self.cancelled.load(Ordering::Relaxed) {
                let _ = commands.send(Command::Stop);
            }
            all.push(commands);
        }
    }

    /// Tells all trials under way. Those that have ended no longer listen.
    pub(super) fn command(&self, command: Command) {
        match command {
            Command::Stop => self.cancelled.store(true, Ordering::Relaxed),
            Command::Loss { .. } | Command::Repair(_) => self.altered.store(true, Ordering::Relaxed),
        }
        if let Ok(mut all) = self.commands.lock() {
            all.retain(|trial| trial.send(command).is_ok());
        }
    }

    /// Set once the trials were told to stop.
    pub(super) const fn cancelled(&self) -> &AtomicBool {
        &self.cancelled
    }

    /// Whether the trials were told something that makes them other ones than the scenario's.
    pub(super) fn is_altered(&self) -> bool {
        self.altered.load(Ordering::Relaxed)
    }
}

/// The first Ctrl-C ends the trials with what they have, the second at once.
pub(super) fn stop_on_interrupt(stage: &Arc<Stage>) -> anyhow::Result<()> {
    let stage = Arc::clone(stage);
    on_interrupt(move || {
        let first = !stage.cancelled.load(Ordering::Relaxed);
        stage.command(Command::Stop);
        first
    })
}

/// Calls `stop` at every Ctrl-C, and ends the process where it says that there is nothing to stop.
pub(super) fn on_interrupt(mut stop: impl FnMut() -> bool + Send + 'static) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        if !stop() {
            process::exit(130);
        }
    })
    .context("cannot listen to Ctrl-C")
}
