//! A contender of a scenario over UDP sockets of this machine; its TCP is the model's, and neither that nor
//! QUIC has sockets.

use std::sync::mpsc::Receiver;

use super::trial::modelled;
use crate::drive::Links;
use crate::drive::live::{self, LiveConfig, LiveError, LivePorts};
use crate::drive::message::{Command, Message};
use crate::drive::patience::Patience;
use crate::rng::Seed;
use crate::scenario::{Protocol, Scenario};
use crate::session::door::DoorConfig;

/// Plays the contender at `place` in the calling thread, with its sessions on the next of `ports`.
///
/// # Errors
/// [`LiveError`]: no port, or no socket.
pub fn play(
    scenario: &Scenario,
    place: usize,
    seed: u64,
    patience: Patience,
    ports: LivePorts,
    commands: &Receiver<Command>,
    tell: &mut dyn FnMut(Message),
) -> Result<(), LiveError> {
    let contender = &scenario.contenders[place];
    let (sockets, door) = match &contender.protocol {
        Protocol::Udp { down, .. } => (
            usize::from(scenario.sessions),
            DoorConfig { datagram: down.datagram, clock: false, ..DoorConfig::default() },
        ),
        Protocol::Tcp(_) | Protocol::Quic(_) => (0, DoorConfig::default()),
    };
    let seed = Seed(seed);
    let hosts = modelled(scenario, contender, seed);
    let mut config = LiveConfig::new(ports, sockets, door, scenario.end);
    config.spin = config.spin.max(patience.ahead());
    live::run(hosts, Links::new(&scenario.path, seed), &config, commands, tell)?;
    Ok(())
}
