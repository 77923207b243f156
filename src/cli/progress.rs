//! The progress bar: on a terminal only, and only when a run takes longer than a second.

use std::time::Duration;

use framehawk_sim::runner::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Runs that are shorter than this show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar on stderr, or nothing.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    shown: bool,
}

impl Bar {
    /// A bar that appears once it is worth it, where `shown`.
    pub(super) fn new(shown: bool) -> Self {
        let bar = ProgressBar::hidden();
        // The template is a constant, so a wrong one would show in the first long run.
        if let Ok(style) =
            ProgressStyle::with_template("[{elapsed_precise}] {bar:30} {pos}/{len} trials  eta {eta}")
        {
            bar.set_style(style);
        }
        Self { bar, shown }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn advance(&self, done: usize, all: usize) {
        if !self.shown {
            return;
        }
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.bar.elapsed() > PATIENCE && done < all {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}
