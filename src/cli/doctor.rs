//! `fhsim doctor`: whether the kernel path is to be had here, and how good it is.

use clap::Args;

use super::Failure;

/// Try every step of the kernel path; with --bench, measure what this machine can do
///
/// The kernel path sends what the kernel's own TCP and ordinary programs send across the impaired link of a
/// scenario. It needs Linux, and root or user namespaces.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the kernel path is to be had, 1 it is not")]
pub(super) struct Doctor {
    /// Measures packets per second, TCP's rate, and by how much packets are late; takes half a minute
    #[arg(long)]
    bench: bool,
    /// Says nothing but what is wrong
    #[arg(short, long)]
    quiet: bool,
}

#[cfg(not(target_os = "linux"))]
impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        Err(anyhow::anyhow!("the kernel path needs Linux").into())
    }
}

#[cfg(target_os = "linux")]
impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        linux::check(self.quiet)?;
        if self.bench { linux::bench() } else { Ok(()) }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use anyhow::{Context, anyhow};
    use framehawk_sim::drive::kernel::namespace::{SYSCTLS, Step};
    use framehawk_sim::drive::kernel::probe::{self, CONGESTION, Measured};
    use framehawk_sim::drive::kernel::wait::Patience;
    use framehawk_sim::drive::timing::Timing;
    use framehawk_sim::time::Duration;

    use super::super::{Failure, output};

    pub(super) fn check(quiet: bool) -> Result<(), Failure> {
        let mut done: Vec<Step> = Vec::new();
        // Each step is done for both ends.
        let outcome = probe::check(|step| {
            if !done.contains(&step) {
                done.push(step);
            }
        });
        if !quiet {
            for step in done {
                output::print(&format!("ok      {step}\n"))?;
            }
        }
        let check = outcome.context("the kernel path is not to be had")?;
        let crossed = format!("{} of {} datagrams crossed the path", check.received, check.sent);
        if check.received != check.sent || check.sent == 0 {
            return Err(
                anyhow!("the kernel path loses packets: {crossed}; is the machine overloaded?").into()
            );
        }
        if quiet {
            return Ok(());
        }
        output::print(&format!("ok      {crossed}\n"))?;
        for name in CONGESTION {
            let text = if check.congestion.contains(&name) {
                format!("ok      TCP may use {name}\n")
            } else {
                format!(
                    "MISSING TCP cannot use {name}: this kernel does not have it (modprobe tcp_{name}), or does not allow it\n"
                )
            };
            output::print(&text)?;
        }
        for (name, value) in SYSCTLS {
            output::print(&format!("set     {name} = {value}\n"))?;
        }
        output::print("The kernel path is to be had.\n")
    }

    /// How long each measurement takes.
    const LASTING: Duration = Duration::from_secs(3);

    pub(super) fn bench() -> Result<(), Failure> {
        output::print("\nWake-up floor: a thread alone that sleeps for a millisecond is late by\n")?;
        for patience in [Patience::Sleep, Patience::Spin] {
            let floor = probe::wake_up_floor(patience).context("cannot sleep")?;
            let (p50, p99, max) = (micros(floor.late_p50), micros(floor.late_p99), micros(floor.late_max));
            output::print(&format!(
                "  {:<16} p50 {p50:>5} µs   p99 {p99:>5} µs   at most {max:>6} µs\n",
                name(patience)
            ))?;
        }
        output::print("\nOne way through two namespaces, no delay\n")?;
        for rate in [None, Some(100_000)] {
            flood(rate)?;
        }
        for congestion in ["cubic", "bbr"] {
            tcp(congestion)?;
        }
        output::print("\nAdded to a delay of 10 ms, packets of 200 B in bursts every millisecond\n")?;
        for patience in [Patience::Sleep, Patience::Spin] {
            for rate in [1000, 10_000] {
                delay(rate, patience)?;
            }
        }
        Ok(())
    }

    fn flood(rate: Option<u64>) -> Result<(), Failure> {
        let measured = probe::flood(rate, LASTING).context("cannot measure datagrams")?;
        let flood = &measured.figure;
        let name = rate.map_or("UDP flat out".to_owned(), |rate| format!("UDP {rate}/s"));
        let lost = match rate {
            Some(_) => format!("   {} of {} lost", flood.sent - flood.received, flood.sent),
            // As many as do not fit: that is what flat out means.
            None => String::new(),
        };
        let bits = flood.rate() * probe::DATAGRAM as f64 * 8.0 / 1e9;
        output::print(&format!(
            "  {name:<16} {:>8.0} datagrams of {} B/s, {bits:.2} Gbit/s{lost}{}\n",
            flood.rate(),
            probe::DATAGRAM,
            relay(&measured),
        ))
    }

    fn tcp(congestion: &str) -> Result<(), Failure> {
        let name = format!("TCP {congestion}");
        match probe::tcp(congestion, LASTING) {
            Ok(measured) => output::print(&format!(
                "  {name:<16} {:>8.2} Gbit/s{}\n",
                measured.figure / 1e9,
                relay(&measured),
            )),
            // A kernel need not have it.
            Err(error) => output::print(&format!("  {name:<16} {error}\n")),
        }
    }

    fn delay(rate: u64, patience: Patience) -> Result<(), Failure> {
        let measured = probe::delay(rate, patience, LASTING).context("cannot measure delays")?;
        let added = &measured.figure;
        output::print(&format!(
            "  {:<16} {rate:>6}/s   p50 {:>5} µs   p99 {:>5} µs   p99.9 {:>6} µs   {} early of {}{}\n",
            name(patience),
            micros(added.p50),
            micros(added.p99),
            micros(added.p999),
            added.early,
            added.packets,
            relay(&measured),
        ))
    }

    /// What the relay has to say, always in the same words.
    fn relay<T>(measured: &Measured<T>) -> String {
        let Timing { cpu, socket_drops, device_drops, .. } = measured.timing;
        let mut text = format!("   (relay: {:.0} % of a core", cpu * 100.0);
        for (drops, place) in [(device_drops, "the devices"), (socket_drops, "the receiver's socket")] {
            if drops > 0 {
                text.push_str(&format!(", {drops} dropped at {place}"));
            }
        }
        text + ")"
    }

    const fn name(patience: Patience) -> &'static str {
        match patience {
            Patience::Sleep => "sleep",
            Patience::Spin => "sleep, then spin",
        }
    }

    const fn micros(duration: Duration) -> u64 {
        duration.as_micros()
    }
}
