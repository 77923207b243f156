//! The TCP model against real Linux TCP, over the links and the driver of every run.
//!
//! `kernel/*.csv` holds medians over seeds of what Linux 6.18 did over two TUN devices with a user-space
//! link between them: RTT 50 ms, MTU 1500, loss on data segments after the handshake and before the
//! queue, drop-tail queues counted in packets. Rows that were bound by the machine are left out (no rate
//! limit with no loss or with BBR), and so are rows with jitter.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use framehawk_sim::drive::sim::Simulation;
use framehawk_sim::endpoint::{Arrival, Direction, Endpoint, Flow, FrameEvent, FrameTransport, Transmit};
use framehawk_sim::frame::{Frame, FrameId, Priority};
use framehawk_sim::impair::config::{
    BottleneckConfig, LinkConfig, LossConfig, LossFrom, LossModel, LossPlace, PathConfig, QueueConfig,
    QueueLimit, RateConfig,
};
use framehawk_sim::impair::link::Link;
use framehawk_sim::impair::loss::gilbert_elliott::GilbertElliott;
use framehawk_sim::record::{Discard, Sink};
use framehawk_sim::rng::Seed;
use framehawk_sim::tcp::{self, Config, Congestion, Segment};
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::units::{Bitrate, ByteSize, Probability};

/// A row's link, up to the seed.
#[derive(Clone, Copy)]
struct Conditions {
    congestion: Congestion,
    loss_pct: f64,
    burst: f64,
    ack_loss_pct: f64,
    rate_mbps: f64,
    queue: usize,
}

impl Conditions {
    /// The path of the measurements: 25 ms each way, losses before the queue and after the handshake.
    fn path(self) -> PathConfig {
        let link = |loss_pct: f64, burst: f64| LinkConfig {
            delay: Duration::from_millis(25),
            loss: (loss_pct > 0.0).then(|| {
                let loss = Probability::new(loss_pct / 100.0).unwrap();
                let model = if burst <= 1.0 {
                    LossModel::Iid(loss)
                } else {
                    LossModel::GilbertElliott(GilbertElliott::from_mean(loss, burst).unwrap())
                };
                LossConfig { model, at: LossPlace::BeforeQueue, from: LossFrom::Established }
            }),
            ..LinkConfig::default()
        };
        let bottleneck = (self.rate_mbps > 0.0).then(|| BottleneckConfig {
            rate: RateConfig::Constant(Bitrate::from_bps_f64(self.rate_mbps * 1e6)),
            queue: QueueConfig::DropTail(QueueLimit::Packets(self.queue)),
        });
        let down = LinkConfig { bottleneck, ..link(self.loss_pct, self.burst) };
        PathConfig { mtu: 1500, channels: Vec::new(), down, up: link(self.ack_loss_pct, 1.0) }
    }
}

/// What a server sends.
enum Workload {
    /// As much as the connection takes.
    Bulk,
    /// Frames of a size at a distance, captured before the end.
    Frames { bytes: u32, interval: Duration, end: Time },
}

impl Workload {
    /// When frame `number` is captured, if it is.
    fn captured(&self, number: u32) -> Option<Time> {
        match self {
            Self::Bulk => None,
            Self::Frames { interval, end, .. } => {
                let at = Time::from_millis(100) + *interval * u64::from(number);
                (at < *end).then_some(at)
            }
        }
    }
}

/// One end of the connection with what it sends and what it got.
struct Station {
    end: tcp::End,
    workload: Option<Workload>,
    offered: u32,
    /// When each whole frame of the other end was here, and how large it was.
    received: Vec<(Time, FrameId, u32)>,
}

impl Station {
    fn new(end: tcp::End, workload: Option<Workload>) -> Self {
        Self { end, workload, offered: 0, received: Vec::new() }
    }

    fn offer(&mut self, now: Time) {
        while let Some(workload) = &self.workload {
            let (due, size) = match workload {
                Workload::Bulk => (self.end.backlog().get() < 4 << 20, 1 << 17),
                Workload::Frames { bytes, .. } => {
                    (workload.captured(self.offered).is_some_and(|at| at <= now), *bytes)
                }
            };
            if !due {
                return;
            }
            let (id, head) = (FrameId(self.offered), Bytes::new());
            let (deadline, priority) = (Time::NEVER, Priority::Delta);
            self.end.offer(now, Frame { id, captured: now, deadline, priority, size, head }, &mut Discard);
            self.offered += 1;
        }
    }
}

impl Endpoint for Station {
    type Packet = Segment;

    fn handle_packet(&mut self, now: Time, arrival: Arrival<Segment>, sink: &mut dyn Sink) {
        self.end.handle_packet(now, arrival, sink);
        while let Some(event) = self.end.poll_event() {
            if let FrameEvent::Delivered(frame) = event {
                self.received.push((now, frame.id, frame.size));
            }
        }
    }

    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink) {
        self.end.handle_timeout(now, sink);
    }

    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Segment>> {
        self.offer(now);
        self.end.poll_transmit(now, sink)
    }

    fn poll_timeout(&self) -> Option<Time> {
        let capture = self.workload.as_ref().and_then(|workload| workload.captured(self.offered));
        self.end.poll_timeout().into_iter().chain(capture).min()
    }
}

/// A workload over the reference link, frames of a rate and a size or as much as the connection takes:
/// the bytes of the frames that arrived, and the delay of each in ms.
fn run(
    conditions: Conditions,
    frames: Option<(f64, u32)>,
    seconds: u64,
    grace: u64,
    seed: u64,
) -> (u64, Vec<f64>) {
    let seed = Seed(seed);
    let congestion = conditions.congestion;
    let config = Config { congestion, not_sent_low: ByteSize::new(1 << 20), ..Config::default() };
    let [server, client] = tcp::connection(&config, Flow(0), seed);
    let workload = || match frames {
        None => Workload::Bulk,
        Some((rate, bytes)) => {
            let interval = Duration::from_secs_f64(1.0 / rate);
            Workload::Frames { bytes, interval, end: Time::from_secs(seconds) }
        }
    };
    let ends = [Station::new(server, Some(workload())), Station::new(client, None)];
    let link = |direction| Link::new(&conditions.path(), direction, seed);
    let mut simulation = Simulation::new([ends], link(Direction::Down), link(Direction::Up));
    simulation.run(Time::from_secs(seconds + grace), &mut Discard);
    let received = &simulation.ends()[1].received;
    let bytes = received.iter().map(|(.., size)| u64::from(*size)).sum();
    let captured = |frame: FrameId| workload().captured(frame.0).unwrap_or(Time::ZERO);
    (bytes, received.iter().map(|&(at, frame, _)| at.since(captured(frame)).as_millis_f64()).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(((values.len() as f64 * q) as usize).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The rows of a table with a header line.
fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect()
}

fn conditions(row: &BTreeMap<&str, &str>) -> Conditions {
    let number = |name: &str| row.get(name).map_or(0.0, |text| text.parse().unwrap());
    Conditions {
        congestion: Congestion::ALL.into_iter().find(|c| c.name() == row["congestion"]).unwrap(),
        loss_pct: number("loss_pct"),
        burst: number("burst"),
        ack_loss_pct: number("ack_loss_pct"),
        rate_mbps: number("rate_mbps"),
        queue: number("queue_packets") as usize,
    }
}

#[test]
fn bulk_goodput_is_that_of_the_kernel() {
    // The kernel's medians are of 3 to 5 runs with luck of their own, so each has an error of its own;
    // two standard errors or 15 %, whichever is more, is the tolerance. The model's median is of 45.
    let mut table = String::from("\nloss %  burst  acks %  rate         model  kernel  ratio  allowed\n");
    let (mut wrong, mut ratios) = (0, Vec::new());
    for row in rows(include_str!("kernel/bulk.csv")) {
        let conditions = conditions(&row);
        let kernel: f64 = row["goodput_mbps"].parse().unwrap();
        let error: f64 = row["standard_error_mbps"].parse().unwrap();
        let goodput = |seed| run(conditions, None, 20, 0, seed).0 as f64 * 8.0 / 20.0 / 1e6;
        let model = median((1..=45).map(goodput).collect());
        let ratio = model / kernel;
        let allowed = (2.0 * error / kernel).max(0.15);
        let bad = (ratio - 1.0).abs() > allowed;
        wrong += usize::from(bad);
        ratios.push((ratio - 1.0).abs());
        let Conditions { loss_pct, burst, ack_loss_pct, rate_mbps, .. } = conditions;
        writeln!(
            table,
            "{loss_pct:6} {burst:6} {ack_loss_pct:7} {rate_mbps:5} {:6} {model:6.2}  {kernel:6.2}  {ratio:5.2}  ±{allowed:.2} {}",
            row["congestion"],
            if bad { "WRONG" } else { "" },
        )
        .unwrap();
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    println!("{table}mean absolute error {:.1} %", mean * 100.0);
    assert_eq!(wrong, 0, "{table}");
}

#[test]
fn desktop_frames_arrive_as_they_do_over_the_kernel() {
    let mut table = String::from(
        "\nframes        loss %  rate         goodput model kernel ratio   p50 model kernel   p95 model kernel\n",
    );
    let mut wrong = 0;
    for row in rows(include_str!("kernel/desktop.csv")) {
        let conditions = conditions(&row);
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        let frames = (number("frames_per_second"), number("frame_bytes") as u32);
        let runs: Vec<_> = (1..=7).map(|seed| run(conditions, Some(frames), 30, 10, seed)).collect();
        let kernel = number("goodput_mbps");
        let q = |q| median(runs.iter().map(|(_, delays)| quantile(delays.clone(), q)).collect());
        // A saturated run ends when its grace does, an unsaturated one with its last frame.
        let seconds = if number("p95_ms") > 1000.0 { 40.0 } else { 30.0 };
        let model = median(runs.iter().map(|(bytes, _)| *bytes as f64 * 8.0 / seconds / 1e6).collect());
        let ratio = model / kernel;
        let bad = (ratio - 1.0).abs() > (2.0 * number("standard_error_mbps") / kernel).max(0.15);
        wrong += usize::from(bad);
        writeln!(
            table,
            "{:>3} × {:6} {:6} {:5} {:6} {:13.2} {kernel:6.2} {ratio:5.2} {:11.0} {:6.0} {:11.0} {:6.0} {}",
            frames.0,
            frames.1,
            conditions.loss_pct,
            conditions.rate_mbps,
            row["congestion"],
            model,
            q(0.5),
            number("p50_ms"),
            q(0.95),
            number("p95_ms"),
            if bad { "WRONG" } else { "" },
        )
        .unwrap();
    }
    println!("{table}");
    assert_eq!(wrong, 0, "{table}");
}
