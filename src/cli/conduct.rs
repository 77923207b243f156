//! How the trials of a command are run: threads, progress, Ctrl-C.

use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use framehawk_sim::runner::Conduct;

use super::output;
use super::progress::Bar;

/// The options of every command that runs trials.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Manner {
    /// Says nothing beside the result: no progress, no verdict
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// How many threads [default: one a core]; changes no result
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Manner {
    /// Does `work` with a progress bar. The first Ctrl-C ends it with what is complete, the second at
    /// once.
    pub(super) fn conduct<T>(self, work: impl FnOnce(&Conduct<'_>) -> T) -> anyhow::Result<T> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (flag, quiet) = (Arc::clone(&cancelled), self.quiet);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                process::exit(130);
            }
            if !quiet {
                output::tell("interrupted: the trials under way are finished; again to end at once");
            }
        })
        .context("cannot listen to Ctrl-C")?;
        let bar = Bar::new(!self.quiet && output::stderr_is_terminal());
        let result = work(&Conduct { threads: self.threads, cancelled: &cancelled, progress: &bar });
        bar.finish();
        Ok(result)
    }
}
