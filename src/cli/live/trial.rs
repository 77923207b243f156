//! One trial in real time: in a thread with UDP on loopback, or in a process with network namespaces of
//! its own.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use framehawk_sim::drive::live::LivePorts;
use framehawk_sim::drive::message::{self, Message};
use framehawk_sim::drive::patience::Patience;
use framehawk_sim::runner;
use framehawk_sim::runner::realtime::{self, Playing, RealTimeError};
use framehawk_sim::scenario::Scenario;
use framehawk_sim::time::{Duration, Time};

use super::super::output;
use super::super::selection::Selection;

/// The network of a trial in real time.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Network {
    /// Whose TCP: the kernel's, in network namespaces of its own, as UDP is then too; or the model's, with
    /// UDP on this machine's own ports
    #[arg(long, value_enum, default_value_t = Tcp::Kernel)]
    tcp: Tcp,
    /// Waits for the last microseconds by spinning: less late at the median, for up to a whole core a
    /// contender; later at the worst where there are no such cores
    #[arg(long)]
    spin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tcp {
    /// The kernel's
    Kernel,
    /// The simulator's
    Model,
}

impl Network {
    /// The options that it was made by.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        let tcp = (self.tcp == Tcp::Model).then_some("--tcp model");
        tcp.into_iter().chain(self.spin.then_some("--spin"))
    }

    const fn patience(self) -> Patience {
        if self.spin { Patience::Spin } else { Patience::Sleep }
    }

    /// Starts a trial of the contender at this place. `ports` are those of this machine, for trials that
    /// need them.
    pub(in crate::cli) fn start(
        self,
        selection: &Selection,
        scenario: &Scenario,
        contender: usize,
        seed: u64,
        ports: &LivePorts,
    ) -> io::Result<Playing> {
        match self.tcp {
            Tcp::Kernel if !cfg!(target_os = "linux") => {
                Err(io::Error::other("the kernel path needs Linux; `--tcp model` does without it"))
            }
            Tcp::Kernel => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("kernel-trial").arg(&selection.scenario);
                command.args(selection.sets.iter().flat_map(|set| ["--set", set]));
                command.args(["--contender", &contender.to_string(), "--seed", &seed.to_string()]);
                command.args(self.spin.then_some("--spin"));
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                // Ctrl-C is for us: trials are told to stop, and tell what they have.
                #[cfg(unix)]
                std::os::unix::process::CommandExt::process_group(&mut command, 0);
                Playing::in_process(command.spawn()?)
            }
            Tcp::Model => {
                let (scenario, ports) = (scenario.clone(), ports.clone());
                Playing::in_thread(move |commands, tell| {
                    let played = runner::loopback::play(
                        &scenario,
                        contender,
                        seed,
                        self.patience(),
                        ports,
                        &commands,
                        tell,
                    );
                    if let Err(error) = played {
                        tell(Message::Failed(error.to_string()));
                    }
                })
            }
        }
    }

    /// What of a scenario can be played there, said to whoever looks on unless `quiet`.
    pub(in crate::cli) fn playable(self, scenario: Scenario, quiet: bool) -> anyhow::Result<Scenario> {
        const NO_QUIC: &str =
            "QUIC has no sockets for the kernel path; `fhsim run` and `--tcp model` play it";
        if self.tcp == Tcp::Model {
            return Ok(scenario);
        }
        let (scenario, quic) = realtime::without_quic(scenario);
        if scenario.contenders.is_empty() {
            return Err(anyhow!("the scenario has QUIC only, and {NO_QUIC}"));
        }
        if !quic.is_empty() && !quiet {
            output::tell(&format!("left out: {}; {NO_QUIC}", quic.join(", ")));
        }
        Ok(scenario)
    }

    /// The ports of this machine that a scenario's sessions get.
    pub(in crate::cli) fn ports(scenario: &Scenario) -> LivePorts {
        LivePorts::new(scenario.ports, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// What to say where a trial came to nothing.
    pub(in crate::cli) fn failure(self, contender: &str, error: &RealTimeError) -> anyhow::Error {
        let advice = match (self.tcp, error) {
            (Tcp::Kernel, RealTimeError::Failed(_)) => {
                "\n`fhsim doctor` says what is missing; `--tcp model` does without the kernel's TCP"
            }
            _ => "",
        };
        anyhow!("{contender}: {error}{advice}")
    }
}

/// Plays one contender in network namespaces of its own and tells about it on standard output, for the
/// process that has started it
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub(in crate::cli) struct KernelTrial {
    #[command(flatten)]
    selection: Selection,
    /// The contender's place in the scenario
    #[arg(long)]
    contender: usize,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Whether to wait by spinning
    #[arg(long)]
    spin: bool,
}

#[cfg(target_os = "linux")]
impl KernelTrial {
    pub(in crate::cli) fn run(self) -> Result<(), super::super::Failure> {
        // Whoever has started us counts the others only.
        let (scenario, _) = realtime::without_quic(Scenario::new(&self.selection.draft()?)?);
        if self.contender >= scenario.contenders.len() {
            return Err(super::super::Failure::Usage("the scenario has no such contender".to_owned()));
        }
        let patience = if self.spin { Patience::Spin } else { Patience::Sleep };
        let mut out = Told::default();
        let mut tell = |message: Message| out.tell(&message);
        let played = runner::kernel::play(&scenario, self.contender, self.seed, patience, listen, &mut tell);
        if let Err(error) = played {
            tell(Message::Failed(error.to_string()));
        }
        Ok(())
    }
}

/// Takes commands from standard input, in a thread of its own.
#[cfg(target_os = "linux")]
fn listen() -> mpsc::Receiver<message::Command> {
    let (commands, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Ok(Some(command)) = message::read(&mut input) {
            if commands.send(command).is_err() {
                return;
            }
        }
        // Whoever has started us is gone.
        let _ = commands.send(message::Command::Stop);
    });
    receiver
}

/// Messages on standard output, in portions: records are many and small.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
struct Told {
    waiting: Vec<u8>,
    /// When records were last written.
    written: Time,
}

#[cfg(target_os = "linux")]
impl Told {
    /// How long a record waits at most where others follow.
    const PORTION: Duration = Duration::from_millis(20);
    /// The most bytes that wait.
    const WAITING_MAX: usize = 1 << 16;

    fn tell(&mut self, message: &Message) {
        message::encode(message, &mut self.waiting);
        let more = match message {
            Message::Record(record) if record.at < self.written + Self::PORTION => true,
            Message::Record(record) => {
                self.written = record.at;
                false
            }
            _ => false,
        };
        if more && self.waiting.len() < Self::WAITING_MAX {
            return;
        }
        // Where nobody listens any more, the trial ends by the end of its commands.
        let mut out = io::stdout().lock();
        let _ = out.write_all(&self.waiting).and_then(|()| out.flush());
        self.waiting.clear();
    }
}
