//! What whole sessions cost in virtual time, per packet with data, beside a bare event loop.
//!
//! A session is all that a trial of `fhsim run` has: applications and transports at both ends, two links,
//! and a summary and the ledger that take every record. The path of the UDP sessions is the yardstick's:
//! one packet every 12.5 µs on average, 2 % loss, 10 ms and up to 5 ms more. `overtaking` lets packets
//! pass each other within these 5 ms, so that every other arrival opens or closes a gap.

mod yardstick;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use framehawk_sim::drive::host::Host;
use framehawk_sim::drive::sim::Simulation;
use framehawk_sim::endpoint::{Class, Direction, Flow};
use framehawk_sim::fec::Scheme;
use framehawk_sim::fec::reed_solomon::PerPackets;
use framehawk_sim::impair::config::{
    BottleneckConfig, Distribution, JitterConfig, LinkConfig, LossConfig, LossFrom, LossModel, LossPlace,
    PathConfig, QueueConfig, QueueLimit, RateConfig,
};
use framehawk_sim::impair::link::Link;
use framehawk_sim::ledger::Ledger;
use framehawk_sim::measure::{MeasureConfig, Summary};
use framehawk_sim::rng::Seed;
use framehawk_sim::runner::{self, Conduct, Progress};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Scenario};
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::traffic::{DependencyKind, EncoderKind, WorkloadConfig, WorkloadKind};
use framehawk_sim::transport::rate::Rate;
use framehawk_sim::units::{Bitrate, Probability};
use framehawk_sim::{tcp, transport};

use yardstick::{DELAY, JITTER, LOSS, PACKETS};

/// Frames per second: so many that a second has enough of them, each of [`FRAME`] bytes.
const FRAMES: f64 = 500.0;
/// 160 packets of 1153 bytes: the packets cost, and not the frames.
const FRAME: u32 = 160 * 1153;

/// One session over one path.
struct Case {
    protocol: Protocol,
    path: PathConfig,
    traffic: WorkloadConfig,
    /// When the application stops.
    until: Time,
}

enum Protocol {
    Udp(transport::Config, Scheme),
    Tcp(tcp::Config),
}

/// A trial about to begin, and what takes its records.
type Trial = (Simulation<Host>, (Summary, Ledger));

impl Case {
    /// Constant frames over the path of the yardstick.
    fn udp(rate: Rate, scheme: Scheme, overtaking: bool) -> Self {
        let uniform = Distribution::Uniform { max: JITTER };
        let jitter =
            JitterConfig { distribution: uniform, correlation: Probability::ZERO, reorder: overtaking };
        let down =
            LinkConfig { delay: DELAY, jitter: Some(jitter), loss: iid(LOSS), ..LinkConfig::default() };
        Self {
            protocol: Protocol::Udp(transport::Config { rate, ..transport::Config::default() }, scheme),
            path: path(down),
            traffic: WorkloadConfig {
                kind: WorkloadKind::Constant { per_second: FRAMES, size: FRAME },
                dependency: DependencyKind::Independent,
                encoder: EncoderKind::Fixed,
                deadline: Duration::from_millis(100),
            },
            until: Time::from_millis(2000),
        }
    }

    /// A download over 100 Mbit/s and a round trip of 20 ms, as in the published figures of other
    /// simulators.
    fn tcp(congestion: tcp::Congestion, loss: f64) -> Self {
        let rate = Bitrate::from_bps(100_000_000);
        let queue = QueueConfig::DropTail(QueueLimit::Time(Duration::from_millis(20)));
        let bottleneck = BottleneckConfig { rate: RateConfig::Constant(rate), queue };
        let down = LinkConfig {
            delay: DELAY,
            loss: iid(loss),
            bottleneck: Some(bottleneck),
            ..LinkConfig::default()
        };
        Self {
            protocol: Protocol::Tcp(tcp::Config { congestion, ..tcp::Config::default() }),
            path: path(down),
            traffic: WorkloadConfig {
                kind: WorkloadKind::Bulk,
                dependency: DependencyKind::Independent,
                encoder: EncoderKind::Fixed,
                deadline: Duration::MAX,
            },
            until: Time::from_millis(10_000),
        }
    }

    fn begin(&self) -> Trial {
        let (seed, flow) = (Seed(1), Flow(0));
        let workload = || Some(self.traffic.workload(seed, flow, Direction::Down));
        let viewer = || Some(self.traffic.viewer(flow, Direction::Down));
        let (down, up, until) = (Direction::Down, Direction::Up, self.until);
        let session = match &self.protocol {
            Protocol::Udp(config, scheme) => {
                let end = |way| transport::End::new(flow, way, config, scheme.encoder(), scheme.decoder());
                [
                    Host::new(flow, down, end(down), workload(), until, None),
                    Host::new(flow, up, end(up), None, until, viewer()),
                ]
            }
            Protocol::Tcp(config) => {
                let [server, person] = tcp::connection(config, flow, seed);
                [
                    Host::new(flow, down, server, workload(), until, None),
                    Host::new(flow, up, person, None, until, viewer()),
                ]
            }
        };
        let measure = MeasureConfig {
            warm_up: Time::ZERO,
            duration: until,
            end: self.end(),
            display: Duration::from_nanos(16_666_667),
            sessions: 1,
            capacity: None,
            neighbours: Vec::new(),
        };
        let link = |way| Link::new(&self.path, way, seed);
        let simulation = Simulation::new([session], link(down), link(up));
        (simulation, (Summary::new(measure, seed), Ledger::default()))
    }

    fn end(&self) -> Time {
        self.until + Duration::from_secs(1)
    }

    /// Packets with data in a trial: what a measurement is divided by.
    fn packets(&self) -> u64 {
        let (mut simulation, mut sink) = self.begin();
        simulation.run(self.end(), &mut sink);
        let sent = |class| sink.1.packets(Flow(0), Direction::Down, class).sent;
        [Class::Source, Class::Repair, Class::Retransmission].map(sent).into_iter().sum()
    }

    fn bench(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str) {
        group.throughput(Throughput::Elements(self.packets()));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || self.begin(),
                |(simulation, sink)| {
                    simulation.run(self.end(), sink);
                    black_box(sink.0.clone().finish())
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn iid(loss: f64) -> Option<LossConfig> {
    let share = Probability::new(loss).expect("a constant from 0 to 1");
    Some(LossConfig { model: LossModel::Iid(share), at: LossPlace::AfterQueue, from: LossFrom::Start })
}

fn path(down: LinkConfig) -> PathConfig {
    let up = LinkConfig { delay: DELAY, ..LinkConfig::default() };
    PathConfig { mtu: 1500, channels: Vec::new(), down, up }
}

fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim");
    group.sample_size(10).warm_up_time(WARM_UP).measurement_time(MEASUREMENT);
    group.throughput(Throughput::Elements(PACKETS));
    group.bench_function("bare loop", |bencher| bencher.iter(|| black_box(yardstick::two_events())));

    let paced = Rate::Fixed(Bitrate::from_bps(800_000_000));
    let reed_solomon = PerPackets::new(10, 3, None).expect("a block of 13 packets fits");
    for (name, case) in [
        ("udp", Case::udp(Rate::None, Scheme::None, false)),
        ("udp, overtaking", Case::udp(Rate::None, Scheme::None, true)),
        ("udp, paced", Case::udp(paced, Scheme::None, false)),
        ("udp, reed-solomon 10+3", Case::udp(Rate::None, Scheme::ReedSolomon(reed_solomon), false)),
        ("tcp reno", Case::tcp(tcp::Congestion::Reno, 0.0)),
        ("tcp cubic", Case::tcp(tcp::Congestion::Cubic, 0.0)),
        ("tcp bbr", Case::tcp(tcp::Congestion::Bbr, 0.0)),
        ("tcp bbr, 1 % loss", Case::tcp(tcp::Congestion::Bbr, 0.01)),
    ] {
        case.bench(&mut group, name);
    }
    group.finish();
}

/// A café's Wi-Fi with everything that this takes: simulated seconds of a session per second.
fn scenarios(criterion: &mut Criterion) {
    let draft = scenario::parse(Sources::built_in("cafe", CAFE), &[]).expect("the scenario is sound");
    let scenario = Scenario::new(&draft).expect("the traces are built in");
    let simulated = scenario.end.since(Time::ZERO).as_secs_f64() * scenario.contenders.len() as f64;
    let conduct =
        Conduct { threads: NonZeroUsize::new(1), cancelled: &AtomicBool::new(false), progress: &Silent };
    let mut group = criterion.benchmark_group("scenario");
    group.sample_size(10).warm_up_time(WARM_UP).measurement_time(MEASUREMENT);
    group.throughput(Throughput::Elements(simulated as u64));
    group.bench_function("cafe, simulated seconds", |bencher| {
        bencher.iter(|| black_box(runner::run(&scenario, &[1], &conduct)));
    });
    group.finish();
}

#[derive(Debug)]
struct Silent;

impl Progress for Silent {
    fn advance(&self, _: usize, _: usize) {}
}

const CAFE: &str = r#"
format = 1
about = "A busy Wi-Fi: fades that hit loss and rate, retries, jitter, a shared queue"
duration = "60s"
traffic.down.screen = { trace = { file = "traces/desktop-session-30fps.csv", dependency = "regions" }, deadline = "150ms" }
traffic.up.keys = { keystrokes = { per-second = 5 }, deadline = "100ms" }
channel.radio.two-state = { good = "900ms", bad = "60ms" }

[path.down]
delay = "15ms"
jitter.gamma = { mean = "3ms", deviation = "3ms" }
loss.channel = { channel = "radio", good = "0.5%", bad = "40%" }
link-arq = { tries = 3, interval = "2ms", in-order = false }
bottleneck = { rate = "20Mbit/s", queue.droptail = "60ms", channel = "radio", bad-factor = 0.3 }

[path.up]
delay = "15ms"
loss.channel = { channel = "radio", good = "0.5%", bad = "40%" }
bottleneck = { rate = "10Mbit/s" }

[contender]
tcp-cubic.tcp = { congestion = "cubic" }
tcp-bbr.tcp = { congestion = "bbr" }
udp.udp = { retransmit = "deadline", rate = "delay" }
udp-rs.udp = { fec.reed-solomon = { source = 10, repair = 3 }, rate = "delay" }
"#;

const WARM_UP: std::time::Duration = std::time::Duration::from_millis(500);
const MEASUREMENT: std::time::Duration = std::time::Duration::from_secs(3);

criterion_group!(benches, sessions, scenarios);
criterion_main!(benches);
