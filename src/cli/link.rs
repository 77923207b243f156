//! `fhsim link`: any program across the impaired link of a scenario.

use std::ffi::OsString;

use clap::Args;

use super::selection::Selection;
#[cfg(not(target_os = "linux"))]
use super::{Exit, Failure};

/// Run any program across the impaired link of a scenario (Linux)
///
/// The program runs at the person's end, and --server's command at the server's, each in a network
/// namespace of its own that has nothing but the link. $FHSIM_PEER is the other end's address,
/// $FHSIM_ADDRESS the own one. The program starts as soon as something listens at the server's end (after
/// two seconds at the latest), its exit code is passed on, and statistics go to stderr at the end. Without
/// root the programs believe that they are root.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fhsim link cafe-wifi -- sh -c 'ping -c 10 $FHSIM_PEER'
  fhsim link cafe-wifi --server 'iperf3 -s -1' -- sh -c 'iperf3 -c $FHSIM_PEER -R'
  fhsim link train-lte --server 'python3 -m http.server 80' -- sh -c 'curl -O http://$FHSIM_PEER/file'

Exit codes: the program's own; 128 and the signal's number where one ended it; 1 where it could not be run,
2 usage, 3 bad scenario")]
pub(super) struct Link {
    #[command(flatten)]
    selection: Selection,
    /// Which of the link's possible fates
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The shell command at the server's end [default: none; the end answers pings]
    #[arg(long, value_name = "CMD")]
    server: Option<String>,
    /// Waits for due packets awake: more precise, for more of the processor
    #[arg(long)]
    spin: bool,
    /// No statistics at the end
    #[arg(short, long)]
    quiet: bool,
    /// The program at the person's end, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The subcommand that runs as the first process of a PID namespace.
pub(super) const INNER: &str = "link-inner";

#[cfg(not(target_os = "linux"))]
impl Link {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        Err(anyhow::anyhow!("a link for other programs needs Linux").into())
    }

    pub(super) fn run_inner(self) -> Result<Exit, Failure> {
        self.run()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::process::Command;

    use anyhow::Context;
    use framehawk_sim::drive::kernel::link::{self, Ended, OneWay, Programs};
    use framehawk_sim::drive::kernel::processes::{exit_code, run_alone};
    use framehawk_sim::drive::kernel::wait::Patience;
    use framehawk_sim::endpoint::Direction;
    use framehawk_sim::record::DropReason;
    use framehawk_sim::rng::Seed;
    use framehawk_sim::scenario::Scenario;
    use framehawk_sim::time::Duration;

    use super::super::{Exit, Failure, output};
    use super::{INNER, Link};

    impl Link {
        /// Checks what can be checked, and lets another process of this program do it, with which
        /// everything ends that it starts.
        pub(in super::super) fn run(self) -> Result<Exit, Failure> {
            Scenario::new(&self.selection.draft()?)?;
            let program = env::current_exe().context("cannot find this program")?;
            let mut inner = Command::new(program);
            // Before it comes nothing but the name of the program and that of the command.
            inner.arg(INNER).args(env::args_os().skip(2));
            let status = run_alone(&mut inner).map_err(anyhow::Error::from)?;
            Ok(Exit::As(exit_code(status)))
        }

        /// Does it.
        pub(in super::super) fn run_inner(self) -> Result<Exit, Failure> {
            let scenario = Scenario::new(&self.selection.draft()?)?;
            let mut words = self.command.into_iter();
            let mut client = Command::new(words.next().unwrap_or_default());
            client.args(words);
            let programs = Programs { server: self.server, client };
            let patience = if self.spin { Patience::Spin } else { Patience::Sleep };
            let ended = link::run(&scenario.path, Seed(self.seed), programs, patience)
                .map_err(anyhow::Error::from)?;
            if !self.quiet {
                tell(&ended);
            }
            Ok(Exit::As(ended.code))
        }
    }

    fn tell(ended: &Ended) {
        for direction in Direction::BOTH {
            output::tell(&one_way(direction, ended.statistics.get(direction)));
        }
        let mut rest = format!("link: {} flow{}", ended.flows, if ended.flows == 1 { "" } else { "s" });
        for (count, what) in [
            (ended.under_way as u64, "packets under way at the end"),
            (ended.strays.ignored, "packets ignored that were no IPv4"),
            (ended.strays.refused, "packets refused by the kernel"),
        ] {
            if count > 0 {
                rest.push_str(&format!(", {count} {what}"));
            }
        }
        output::tell(&rest);
        output::tell(&format!("link: {}", ended.timing));
    }

    fn one_way(direction: Direction, way: &OneWay) -> String {
        let name = match direction {
            Direction::Down => "down",
            Direction::Up => "up",
        };
        let mut text = format!("link {name}: {} packets, {} bytes", way.packets, way.bytes);
        for (reason, count) in &way.dropped {
            let share = *count as f64 / (way.packets + way.copies) as f64 * 100.0;
            text.push_str(&format!("; {count} {} ({share:.2} %)", word(*reason)));
        }
        if way.copies > 0 {
            text.push_str(&format!("; {} sent twice", way.copies));
        }
        if way.delivered > 0 {
            let [p50, p99] = [0.5, 0.99].map(|quantile| millis(way.total(quantile)));
            let [queued_p50, queued_p99] = [0.5, 0.99].map(|quantile| millis(way.queued(quantile)));
            text.push_str(&format!(
                "; delay {p50} ms at p50, {p99} ms at p99, of it in the queue {queued_p50} and {queued_p99} ms"
            ));
        }
        text
    }

    fn millis(duration: Duration) -> String {
        format!("{:.1}", duration.as_millis_f64())
    }

    const fn word(reason: DropReason) -> &'static str {
        match reason {
            DropReason::Loss => "lost",
            DropReason::Outage => "lost in outages",
            DropReason::QueueFull => "dropped at the full queue",
            DropReason::QueueManaged => "dropped by the queue",
            DropReason::RetriesExhausted => "lost after all retries",
            DropReason::Corrupted => "corrupted",
            DropReason::TooLarge => "larger than the MTU",
        }
    }
}
