//! A scenario between two machines: `--listen` on the server's, `--connect` on the person's.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context, anyhow};
use clap::Args;
use framehawk_sim::drive::control::Reception;
use framehawk_sim::drive::message::{Command, Message};
use framehawk_sim::runner::realtime::Playing;
use framehawk_sim::runner::remote::{self, Client, Terms, Told};
use framehawk_sim::scenario::{Draft, Scenario};
use framehawk_sim::session::key::Key;
use sha2::{Digest, Sha256};

use super::super::{Exit, Failure, output};
use super::stage::on_interrupt;

/// The two machines of a scenario.
#[derive(Clone, Debug, Args)]
pub(super) struct Machines {
    /// Plays the server: waits at this address, or ADDRESS:PORT, for the person's machine
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["connect", "seed", "seeds", "tcp", "spin"])]
    pub(super) listen: Option<String>,
    /// Plays the person: connects to the server's machine there
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["tcp", "spin"])]
    pub(super) connect: Option<String>,
    /// Encrypts all that the machines tell each other with the key in this file: 64 hexadecimal digits, the same on both machines
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Machines {
    /// Plays the server's end with one client, until it leaves.
    pub(super) fn serve(&self, listen: &str, draft: &Draft, scenario: Scenario) -> Result<Exit, Failure> {
        let address = address(listen, &scenario)?;
        let terms = self.terms(draft, scenario, address.ip())?;
        let reception = Reception::open(address)
            .with_context(|| format!("cannot listen on {address}; give another port as ADDRESS:PORT"))?;
        let (commands, to_obey) = mpsc::channel();
        let playing = Arc::new(AtomicBool::new(false));
        let stoppable = Arc::clone(&playing);
        on_interrupt(move || {
            stoppable.swap(false, Ordering::Relaxed) && commands.send(Command::Stop).is_ok()
        })?;
        output::tell(&format!("listening on {address}; Ctrl-C ends it"));
        let told: Arc<dyn Fn(Told) + Send + Sync> = Arc::new(move |what: Told| {
            if matches!(what, Told::Greeted(_) | Told::Trial { .. }) {
                playing.store(true, Ordering::Relaxed);
            }
            output::tell(&what.to_string());
        });
        let tally = remote::serve(&terms, reception, &to_obey, &told).map_err(anyhow::Error::from)?;
        output::tell(&format!("served: {tally}"));
        if tally.trials == 0 {
            return Err(anyhow!("no trial was played to its end").into());
        }
        Ok(Exit::Success)
    }

    /// Connects to the server's machine; with it, what is left of the scenario.
    pub(super) fn visit(
        &self,
        server: &str,
        draft: &Draft,
        scenario: Scenario,
    ) -> Result<(Guest, Scenario), Failure> {
        let address = address(server, &scenario)?;
        let terms = self.terms(draft, scenario, address.ip())?;
        let scenario = terms.scenario.clone();
        let client = Client::connect(terms, address).map_err(anyhow::Error::from)?;
        Ok((Guest(Arc::new(Mutex::new(client))), scenario))
    }

    fn terms(&self, draft: &Draft, scenario: Scenario, address: IpAddr) -> Result<Terms, Failure> {
        let text = toml::to_string(&draft.file).context("cannot write the scenario as TOML")?;
        let (scenario, others) = remote::udp_only(scenario);
        if scenario.contenders.is_empty() {
            return Err(anyhow!("the scenario has no contender over UDP, and {UDP_ONLY}").into());
        }
        if !others.is_empty() {
            output::tell(&format!("left out: {}; {UDP_ONLY}", others.join(", ")));
        }
        let key = self.key()?;
        if key.is_none() && !address.is_loopback() {
            output::tell(
                "warning: without --key-file anyone on the way can read and alter all of it, and anyone at all can join in; \
                 `openssl rand -hex 32` makes a key",
            );
        }
        Ok(Terms { scenario, digest: Sha256::digest(text).into(), key })
    }

    fn key(&self) -> anyhow::Result<Option<Key>> {
        let Some(path) = &self.key_file else { return Ok(None) };
        let mut text = String::new();
        // A key is far shorter than what is read of a file that is none.
        File::open(path)
            .and_then(|file| file.take(KEY_FILE_MAX).read_to_string(&mut text))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let key = Key::parse(&text).with_context(|| format!("{} has no key", path.display()))?;
        Ok(Some(key))
    }
}

/// The most that is read of a key file, in bytes.
const KEY_FILE_MAX: u64 = 1 << 10;

/// Why the other contenders are left out.
const UDP_ONLY: &str = "TCP and QUIC cannot be played between two machines: the link is not in front of the \
    kernel's TCP, and QUIC has no sockets";

/// The address that `text` means: by default on the lowest port of the scenario's range.
fn address(text: &str, scenario: &Scenario) -> anyhow::Result<SocketAddr> {
    let (port, _) = scenario.ports.ends();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let named = text.to_socket_addrs().or_else(|_| (text, port).to_socket_addrs());
    let first = named.with_context(|| format!("`{text}` is no address, and no name of one"))?.next();
    first.ok_or_else(|| anyhow!("`{text}` has no address"))
}

/// The person's end of two machines. The trials take turns.
pub(super) struct Guest(Arc<Mutex<Client>>);

impl Guest {
    /// Plays the contender at this place once it is its turn; `stopped` is called where the server's machine
    /// ends the trial early.
    pub(super) fn start(
        &self,
        contender: usize,
        seed: u64,
        stopped: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Playing> {
        let client = Arc::clone(&self.0);
        Playing::in_thread(move |commands, tell| {
            // One that failed has told why, and the next ones say the same.
            let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = client.play(contender, seed, &commands, &stopped, tell) {
                tell(Message::Failed(error.to_string()));
            }
        })
    }

    /// Says what it was like beside the figures.
    pub(super) fn tell(&self) {
        let tally = self.0.lock().unwrap_or_else(PoisonError::into_inner).tally();
        output::tell(&format!("sockets: {tally}"));
        if tally.lost_between > 0 {
            output::tell(&format!(
                "the network between the machines lost {} packets beside those of the link",
                tally.lost_between
            ));
        }
    }
}
