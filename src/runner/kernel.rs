//! A contender of a scenario over the kernel path.

use std::sync::mpsc::Receiver;

use super::trial::flows;
use crate::drive::Links;
use crate::drive::kernel::trial::{Carrier, SetUpError, Stage, Trial, TrialError};
use crate::drive::kernel::wait::Patience;
use crate::drive::message::{Command, Message};
use crate::endpoint::Direction;
use crate::rng::Seed;
use crate::scenario::{Protocol, Scenario};
use crate::session::ports::{PortAllocator, PortRange};
use crate::transport;

/// Plays the contender at `place` in the calling thread, which must be the only one of its process until
/// `commands` is called: making namespaces without root takes that.
///
/// # Errors
/// [`TrialError`]: why it cannot be played here, and what can be done about it.
pub fn play(
    scenario: &Scenario,
    place: usize,
    seed: u64,
    patience: Patience,
    commands: impl FnOnce() -> Receiver<Command>,
    tell: &mut dyn FnMut(Message),
) -> Result<(), TrialError> {
    let seed = Seed(seed);
    let stage = Stage::make(scenario.path.mtu)?;
    if flows(scenario, &scenario.contenders[place]).any(|flow| flow.protocol.is_tcp_with_ecn()) {
        stage.ask_for_ecn()?;
    }
    let mut ports = PortAllocator::new(scenario.ports);
    let mut others = PortAllocator::new(NEIGHBOURS);
    let mut sessions = Vec::new();
    for flow in flows(scenario, &scenario.contenders[place]) {
        let ports = if flow.number.0 < scenario.sessions { &mut ports } else { &mut others };
        sessions.push(match flow.protocol {
            Protocol::Udp { down, up, scheme } => {
                let end = |direction, config| {
                    transport::End::new(flow.number, direction, config, scheme.encoder(), scheme.decoder())
                };
                let ends = [end(Direction::Down, down), end(Direction::Up, up)];
                (Carrier::udp(&stage, down, ports)?, flow.hosts(ends, scenario.duration, seed))
            }
            Protocol::Quic(_) => return Err(SetUpError::NoSockets("QUIC").into()),
            Protocol::Tcp(config) => {
                let (carrier, ends) = Carrier::tcp(&stage, config, flow.number, ports)?;
                (carrier, flow.hosts(ends, scenario.duration, seed))
            }
        });
    }
    let trial = Trial { sessions, links: Links::new(&scenario.path, seed), end: scenario.end, patience };
    stage.play(trial, &commands(), tell)
}

/// Ports for the neighbors, away from those of sessions: those that IANA leaves to everybody.
const NEIGHBOURS: PortRange = match PortRange::new(49_152, 65_535) {
    Some(range) => range,
    None => PortRange::FRAMEHAWK,
};
