//! One contender, one scenario, one seed.

use crate::drive::host::Host;
use crate::drive::sim::Simulation;
use crate::endpoint::{Direction, Flow};
use crate::impair::config::RateConfig;
use crate::impair::link::Link;
use crate::ledger::{Imbalance, Ledger};
use crate::measure::{MeasureConfig, Metrics, Summary};
use crate::rng::Seed;
use crate::scenario::{Contender, Protocol, Scenario};
use crate::session::ports::{Exhausted, PortAllocator};
use crate::time::Time;
use crate::traffic::WorkloadConfig;
use crate::units::Bitrate;
use crate::{tcp, transport};

/// The lowest and the highest port that the sessions of a contender get.
pub(super) fn ports(scenario: &Scenario) -> Result<(u16, u16), Exhausted> {
    let mut allocator = PortAllocator::new(scenario.ports);
    for _ in 0..scenario.sessions {
        // In virtual time nobody else can hold a port.
        allocator.allocate(|_| Some(()))?;
    }
    let mut ports = allocator.in_use();
    let lowest = ports.next().unwrap_or_default();
    Ok((lowest, ports.last().unwrap_or(lowest)))
}

/// The metrics of one trial. The path, the traffic and the neighbors are functions of the seed alone, so
/// that all contenders meet the same.
pub(super) fn run(scenario: &Scenario, contender: &Contender, seed: u64) -> Result<Metrics, Imbalance> {
    let seed = Seed(seed);
    let measure = MeasureConfig {
        warm_up: scenario.warm_up,
        duration: scenario.duration,
        end: scenario.end,
        display: scenario.display,
        sessions: scenario.sessions,
        capacity: capacity(scenario),
    };
    let mut sink = (Summary::new(measure, seed), Ledger::default());
    let link = |direction| Link::new(&scenario.path, direction, seed);
    let sessions = sessions(scenario, contender, seed);
    let mut simulation = Simulation::new(sessions, link(Direction::Down), link(Direction::Up));
    simulation.run(scenario.end, &mut sink);
    let (summary, ledger) = sink;
    ledger.close(
        simulation.under_way().into_iter().map(|(flow, direction, class)| (flow, direction, class, 1)),
    )?;
    Ok(summary.finish())
}

/// The nominal rate of the bottleneck down, where there is one.
fn capacity(scenario: &Scenario) -> Option<Bitrate> {
    Some(match &scenario.path.down.bottleneck.as_ref()?.rate {
        RateConfig::Constant(rate) | RateConfig::Channel { rate, .. } => *rate,
        RateConfig::Trace(trace) => trace.mean_rate(),
    })
}

/// Both ends of every session of the contender, and of every neighbor behind them.
fn sessions(scenario: &Scenario, contender: &Contender, seed: Seed) -> Vec<[Host; 2]> {
    let traffic = |direction| scenario.traffic.get(direction);
    let own = (0..scenario.sessions)
        .map(|_| (&contender.protocol, [traffic(Direction::Down), traffic(Direction::Up)]));
    let neighbors = scenario.neighbours.iter().flat_map(|neighbor| {
        (0..neighbor.count).map(|_| (&neighbor.protocol, [Some(&neighbor.traffic), None]))
    });
    own.chain(neighbors)
        .zip(0..)
        .map(|((protocol, traffic), flow)| session(protocol, traffic, Flow(flow), scenario.duration, seed))
        .collect()
}

/// The server's end of a session and the person's. `traffic` is what travels down, and up.
fn session(
    protocol: &Protocol,
    traffic: [Option<&WorkloadConfig>; 2],
    flow: Flow,
    until: Time,
    seed: Seed,
) -> [Host; 2] {
    let workload = |direction: Direction| {
        traffic[direction as usize].map(|config| config.workload(seed, flow, direction))
    };
    // What travels in a direction is looked at at its far end.
    let viewer =
        |direction: Direction| traffic[direction as usize].map(|config| config.viewer(flow, direction));
    match protocol {
        Protocol::Tcp(config) => {
            let [server, person] = tcp::connection(config, flow, seed);
            [
                Host::new(
                    flow,
                    Direction::Down,
                    server,
                    workload(Direction::Down),
                    until,
                    viewer(Direction::Up),
                ),
                Host::new(
                    flow,
                    Direction::Up,
                    person,
                    workload(Direction::Up),
                    until,
                    viewer(Direction::Down),
                ),
            ]
        }
        Protocol::Udp { down, up, scheme } => {
            [(Direction::Down, down), (Direction::Up, up)].map(|(direction, config)| {
                let end = transport::End::new(flow, direction, config, scheme.encoder(), scheme.decoder());
                Host::new(flow, direction, end, workload(direction), until, viewer(direction.reverse()))
            })
        }
    }
}
