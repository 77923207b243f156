//! `fhsim verify`: the same scenario in virtual time and in real time, side by side.

use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Args;
use framehawk_sim::report::agreement::table;
use framehawk_sim::runner::agreement::{self, PacketFates};
use framehawk_sim::scenario::Scenario;

use super::live::trial::Network;
use super::selection::{Selection, seeds};
use super::{Exit, Failure, output};

/// Run a scenario in virtual time and in real time, and compare
#[derive(Debug, Args)]
#[command(after_help = "\
The contenders run one after the other, each as long as the scenario says. What has to agree:

  losses drawn by packet              packet by packet, whatever the transport
  contenders that nothing can change  the fate of every packet, where no queue dropped any
  frame delay over UDP                p50, p95 and p99 within 2 ms and the machine's lateness
  goodput over TCP                    within 15 %: the model of TCP against the kernel's, or with
                                      --tcp model any TCP and QUIC against itself

A contender that nothing can change has no retransmission, no code that adapts, no congestion control, no
traffic up, and frames that are independent. The rest is shown and not judged: a microsecond of difference can
decide whether a packet meets a fade.

Exit codes: 0 everything agrees, 99 something does not, others as of `fhsim run`")]
pub(super) struct Verify {
    #[command(flatten)]
    selection: Selection,
    /// The seeds: how many, or A..B
    #[arg(long, value_name = "N|A..B", default_value = "1", value_parser = seeds)]
    seeds: (u64, u64),
    #[command(flatten)]
    network: Network,
}

impl Verify {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let draft = self.selection.draft()?;
        let scenario = self.network.playable(Scenario::new(&draft)?, false)?;
        let ports = Network::ports(&scenario);
        let mut agrees = true;
        for seed in self.seeds.0..=self.seeds.1 {
            for (place, contender) in scenario.contenders.iter().enumerate() {
                let playing = self.network.start(&self.selection, &scenario, place, seed, &ports);
                let playing = playing.with_context(|| format!("cannot start {}", contender.name))?;
                let mut fates = PacketFates::default();
                let played = playing
                    .finish(&scenario, seed, place, &AtomicBool::new(false), &(), &mut fates)
                    .map_err(|error| self.network.failure(&contender.name, &error))?;
                let real = (&played.metrics, &fates, &played.timing);
                let comparisons =
                    agreement::compare(&scenario, contender, seed, real).map_err(anyhow::Error::from)?;
                agrees &= comparisons.iter().all(|one| one.agrees != Some(false));
                let heading = format!("{} ({}), seed {seed}", contender.name, contender.protocol);
                output::print(&table(&heading, &comparisons, output::look()))?;
                output::tell(&format!("timing: {}", played.timing));
            }
        }
        output::tell(if agrees { "verify: everything agrees" } else { "verify: NOT everything agrees" });
        Ok(if agrees { Exit::Success } else { Exit::Unmet })
    }
}
