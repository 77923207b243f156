//! One contender, one scenario, one seed.

use std::fmt;

use crate::drive::Datagram;
use crate::drive::host::Host;
use crate::drive::sim::Simulation;
use crate::endpoint::{Class, Direction, Flow, FrameTransport};
use crate::impair::config::RateConfig;
use crate::impair::link::Link;
use crate::ledger::{Imbalance, Ledger};
use crate::measure::{MeasureConfig, Metrics, Summary};
use crate::record::{Record, Sink};
use crate::rng::Seed;
use crate::scenario::{Contender, Protocol, Scenario};
use crate::session::ports::{Exhausted, PortAllocator};
use crate::time::Time;
use crate::traffic::WorkloadConfig;
use crate::units::Bitrate;
use crate::{quic, tcp, transport};

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
    let mut books = Books::new(scenario, seed);
    let under_way = simulate(scenario, contender, seed, &mut books);
    books.close(under_way)
}

/// Plays a trial in virtual time, and says what the links still hold then: a flow, a direction and a
/// class for each packet.
pub(super) fn simulate(
    scenario: &Scenario,
    contender: &Contender,
    seed: u64,
    sink: &mut dyn Sink,
) -> Vec<(Flow, Direction, Class)> {
    let seed = Seed(seed);
    let link = |direction| Link::new(&scenario.path, direction, seed);
    let hosts = modelled(scenario, contender, seed);
    let mut simulation = Simulation::new(hosts, link(Direction::Down), link(Direction::Up));
    simulation.run(scenario.end, sink);
    simulation.under_way()
}

/// What is written down about a trial, in whatever time it is played.
#[derive(Debug)]
pub(super) struct Books {
    summary: Summary,
    ledger: Ledger,
}

impl Books {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        Self { summary: Summary::new(measured(scenario), Seed(seed)), ledger: Ledger::default() }
    }

    /// The run was ended at `at`, before its time.
    pub(super) fn cut(&mut self, at: Time) {
        self.summary.cut(at);
    }

    /// The metrics, where every packet has a fate or is among those `under_way`.
    pub(super) fn close(self, under_way: Vec<(Flow, Direction, Class)>) -> Result<Metrics, Imbalance> {
        let each = under_way.into_iter().map(|(flow, direction, class)| (flow, direction, class, 1));
        self.ledger.close(each)?;
        Ok(self.summary.finish())
    }
}

impl Sink for Books {
    fn record(&mut self, record: &Record) {
        self.summary.record(record);
        self.ledger.record(record);
    }
}

/// What is measured of a trial.
pub(super) fn measured(scenario: &Scenario) -> MeasureConfig {
    MeasureConfig {
        warm_up: scenario.warm_up,
        duration: scenario.duration,
        end: scenario.end,
        display: scenario.display,
        sessions: scenario.sessions,
        capacity: capacity(scenario),
        neighbours: scenario.neighbours.iter().map(|neighbour| neighbour.count).collect(),
    }
}

/// The nominal rate of the bottleneck down, where there is one.
fn capacity(scenario: &Scenario) -> Option<Bitrate> {
    Some(match &scenario.path.down.bottleneck.as_ref()?.rate {
        RateConfig::Constant(rate) | RateConfig::Channel { rate, .. } => *rate,
        RateConfig::Trace(trace) => trace.mean_rate(),
    })
}

/// The hosts of a trial whose TCP is the model's.
pub(super) fn modelled(scenario: &Scenario, contender: &Contender, seed: Seed) -> Vec<[Host; 2]> {
    let flows = flows(scenario, contender);
    flows
        .map(|flow| match flow.protocol {
            Protocol::Tcp(config) => {
                flow.hosts(tcp::connection(config, flow.number, seed), scenario.duration, seed)
            }
            Protocol::Quic(config) => {
                flow.hosts(quic::connection(config, flow.number, seed), scenario.duration, seed)
            }
            Protocol::Udp { down, up, scheme } => {
                let end = |direction, config| {
                    transport::End::new(flow.number, direction, config, scheme.encoder(), scheme.decoder())
                };
                let ends = [end(Direction::Down, down), end(Direction::Up, up)];
                flow.hosts(ends, scenario.duration, seed)
            }
        })
        .collect()
}

/// A session of a contender or of a neighbor.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedFlow<'a> {
    pub(super) number: Flow,
    pub(super) protocol: &'a Protocol,
    /// What travels down, and up.
    traffic: [Option<&'a WorkloadConfig>; 2],
}

/// Every session of the contender, and every neighbor behind them.
pub(super) fn flows<'a>(
    scenario: &'a Scenario,
    contender: &'a Contender,
) -> impl Iterator<Item = PlannedFlow<'a>> {
    let traffic = |direction| scenario.traffic.get(direction);
    let own = (0..scenario.sessions)
        .map(move |_| (&contender.protocol, [traffic(Direction::Down), traffic(Direction::Up)]));
    let neighbors = scenario.neighbours.iter().flat_map(|neighbor| {
        (0..neighbor.count).map(move |_| (&neighbor.protocol, [Some(&neighbor.traffic), None]))
    });
    own.chain(neighbors).zip(0..).map(|((protocol, traffic), flow)| PlannedFlow {
        number: Flow(flow),
        protocol,
        traffic,
    })
}

impl PlannedFlow<'_> {
    /// The server and the person, on the two ends of a transport, with what they send until `until` and
    /// what they look at.
    pub(super) fn hosts<T>(&self, ends: [T; 2], until: Time, seed: Seed) -> [Host; 2]
    where
        T: FrameTransport + fmt::Debug + 'static,
        Datagram: From<T::Packet>,
        T::Packet: TryFrom<Datagram>,
    {
        let flow = self.number;
        let host = |end: T, sends: Direction| {
            let workload = self.traffic[sends as usize].map(|config| config.workload(seed, flow, sends));
            // What travels in a direction is looked at at its far end.
            let comes = sends.reverse();
            let viewer = self.traffic[comes as usize].map(|config| config.viewer(flow, comes));
            Host::new(flow, sends, end, workload, until, viewer)
        };
        let [server, person] = ends;
        [host(server, Direction::Down), host(person, Direction::Up)]
    }
}
