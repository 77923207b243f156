//! The TCP model against real Linux TCP.
//!
//! `kernel/*.csv` holds medians over seeds of what Linux 6.18 did over two TUN devices with a user-space
//! link between them: RTT 50 ms, MTU 1500, loss on data segments after the handshake and before the
//! queue, drop-tail queues counted in packets. Rows that were bound by the machine are left out (no rate
//! limit with no loss or with BBR), and so are rows with jitter.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use framehawk_sim::endpoint::{Arrival, Class, Endpoint, Flow, FrameEvent, FrameTransport, Wire};
use framehawk_sim::frame::{Frame, FrameId, Priority};
use framehawk_sim::record::Discard;
use framehawk_sim::rng::{Seed, Stream};
use framehawk_sim::tcp::{self, Config, Congestion, Segment};
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::units::{Bitrate, ByteSize, Probability};

/// The link's delay each way.
const DELAY: Duration = Duration::from_millis(25);

/// One direction of the reference link.
struct Link {
    loss: Probability,
    burst: f64,
    stream: Stream,
    sent: u64,
    bad: bool,
    rate: Option<Bitrate>,
    queue: usize,
    /// When the packets in the queue, and the one in transmission, will have left it.
    departures: std::collections::VecDeque<Time>,
    under_way: std::collections::VecDeque<(Time, Segment)>,
}

impl Link {
    fn new(loss_pct: f64, burst: f64, rate_mbps: f64, queue: usize, stream: Stream) -> Self {
        let rate = (rate_mbps > 0.0).then(|| Bitrate::from_bps_f64(rate_mbps * 1e6));
        let loss = Probability::new(loss_pct / 100.0).unwrap();
        Self {
            loss,
            burst,
            stream,
            sent: 0,
            bad: false,
            rate,
            queue,
            departures: Default::default(),
            under_way: Default::default(),
        }
    }

    /// Whether the next packet is lost: independently, or in bursts of a mean length.
    fn loses(&mut self) -> bool {
        self.sent += 1;
        let draw = self.stream.unit(self.sent);
        if self.burst <= 1.0 {
            return draw < self.loss.get();
        }
        let leave = 1.0 / self.burst;
        let enter = self.loss.get() * leave / (1.0 - self.loss.get());
        self.bad = if self.bad { draw >= leave } else { draw < enter };
        self.bad
    }

    fn send(&mut self, now: Time, segment: Segment) {
        if segment.class != Class::Handshake && self.loses() {
            return;
        }
        let mut leaves = now;
        if let Some(rate) = self.rate {
            while self.departures.front().is_some_and(|&at| at <= now) {
                self.departures.pop_front();
            }
            // The packet in transmission is not in the queue.
            if self.departures.len() > self.queue {
                return;
            }
            let size = ByteSize::new(u64::from(segment.size()));
            leaves = self.departures.back().copied().unwrap_or(now).max(now) + rate.time_for(size);
            self.departures.push_back(leaves);
        }
        self.under_way.push_back((leaves + DELAY, segment));
    }

    fn next_at(&self) -> Option<Time> {
        self.under_way.front().map(|&(at, _)| at)
    }
}

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

/// When frame `number` of a workload is captured.
fn captured(number: u32, interval: Duration) -> Time {
    Time::from_millis(100) + interval * u64::from(number)
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
    let Conditions { congestion, loss_pct, burst, ack_loss_pct, rate_mbps, queue } = conditions;
    let seed = Seed(seed);
    let config = Config { congestion, not_sent_low: ByteSize::new(1 << 20), ..Config::default() };
    let [mut server, mut client] = tcp::connection(&config, Flow(0), seed);
    let mut down = Link::new(loss_pct, burst, rate_mbps, queue, seed.stream("down/loss"));
    let mut up = Link::new(ack_loss_pct, 1.0, 0.0, queue, seed.stream("up/loss"));
    let end = Time::from_secs(seconds + grace);
    let size = frames.map_or(1 << 17, |(_, size)| size);
    let interval = frames.map(|(rate, _)| Duration::from_secs_f64(1.0 / rate));
    let (mut offered, mut bytes, mut delays) = (0_u32, 0, Vec::new());
    let mut now = Time::ZERO;
    loop {
        let next_frame = interval.map(|interval| captured(offered, interval));
        let next_frame = next_frame.filter(|&at| at < Time::from_secs(seconds));
        let due = next_frame.map_or(interval.is_none() && server.backlog().get() < 4 << 20, |at| at <= now);
        if due {
            let frame = Frame {
                id: FrameId(offered),
                captured: now,
                deadline: Time::NEVER,
                priority: Priority::Delta,
                size,
                head: Bytes::new(),
            };
            offered += 1;
            server.offer(now, frame, &mut Discard);
            continue;
        }
        while let Some(transmit) = server.poll_transmit(now, &mut Discard) {
            down.send(now, transmit.packet);
        }
        while let Some(transmit) = client.poll_transmit(now, &mut Discard) {
            up.send(now, transmit.packet);
        }
        while let Some(event) = client.poll_event() {
            if let FrameEvent::Delivered(delivered) = event {
                bytes += u64::from(delivered.size);
                let sent = interval.map_or(Time::ZERO, |interval| captured(delivered.id.0, interval));
                delays.push(now.since(sent).as_millis_f64());
            }
        }
        let times = [down.next_at(), up.next_at(), server.poll_timeout(), client.poll_timeout(), next_frame];
        let Some(next) = times.into_iter().flatten().min().filter(|&next| next <= end) else { break };
        now = next.max(now);
        if down.next_at() == Some(now) {
            let (_, packet) = down.under_way.pop_front().unwrap();
            client.handle_packet(now, Arrival { packet, ecn: Default::default() }, &mut Discard);
        } else if up.next_at() == Some(now) {
            let (_, packet) = up.under_way.pop_front().unwrap();
            server.handle_packet(now, Arrival { packet, ecn: Default::default() }, &mut Discard);
        } else {
            server.handle_timeout(now, &mut Discard);
            client.handle_timeout(now, &mut Discard);
        }
    }
    (bytes, delays)
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
    // two standard errors or 15 %, whichever is more, is the tolerance. The model's median is of 15.
    let mut table = String::from("\nloss %  burst  acks %  rate         model  kernel  ratio  allowed\n");
    let (mut wrong, mut ratios) = (0, Vec::new());
    for row in rows(include_str!("kernel/bulk.csv")) {
        let conditions = conditions(&row);
        let kernel: f64 = row["goodput_mbps"].parse().unwrap();
        let error: f64 = row["standard_error_mbps"].parse().unwrap();
        let goodput = |seed| run(conditions, None, 20, 0, seed).0 as f64 * 8.0 / 20.0 / 1e6;
        let model = median((1..=15).map(goodput).collect());
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
