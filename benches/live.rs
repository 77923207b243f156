//! What sockets and the driver in real time can do on this machine: packets per second through a pair of
//! sockets, with batches and without, and whole sessions over them with the lateness that comes of it.
//!
//! `cargo bench --bench live`; it takes half a minute and wants a machine that does nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use framehawk_sim::drive::Links;
use framehawk_sim::drive::host::Host;
use framehawk_sim::drive::live::{self, LiveConfig, LivePorts};
use framehawk_sim::drive::message::Message;
use framehawk_sim::drive::timing::Timing;
use framehawk_sim::drive::udp::{Inbox, UdpPort};
use framehawk_sim::endpoint::{Direction, Ecn, Flow};
use framehawk_sim::record::Event;
use framehawk_sim::rng::Seed;
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Protocol, Scenario};
use framehawk_sim::session::door::DoorConfig;
use framehawk_sim::session::ports::PortRange;
use framehawk_sim::time::Duration;
use framehawk_sim::transport::End;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn main() {
    for segmentation in [true, false] {
        let rate = sockets(segmentation);
        println!("sockets alone, 1200 bytes, {}: {:.0} packets/s", batches(segmentation), rate);
    }
    println!();
    for segmentation in [true, false] {
        let flat_out = scenario(1, "1kHz", "2MB", "2s");
        trial("one session, as much as goes", &flat_out, segmentation, 0);
    }
    let loads = [(1, "100Hz", "10kB"), (1, "1kHz", "10kB"), (1, "1kHz", "50kB"), (101, "30Hz", "4kB")];
    for (sessions, rate, size) in loads {
        let what = format!("{sessions} x {rate} x {size}");
        trial(&what, &scenario(sessions, rate, size, "5s"), true, 0);
    }
    trial("1 x 100Hz x 10kB, 50 000 datagrams/s of garbage", &scenario(1, "100Hz", "10kB", "5s"), true, 50);
}

const fn batches(on: bool) -> &'static str {
    if on { "in batches" } else { "one by one" }
}

/// Packets per second from one socket to another, both driven by this thread.
#[expect(clippy::disallowed_methods, reason = "a bench has a clock")]
fn sockets(segmentation: bool) -> f64 {
    const PACKETS: u64 = 1_000_000;
    let port = || UdpPort::bind((LOOPBACK, 0).into()).expect("loopback has ports");
    let (mut from, mut to, mut inbox) = (port(), port(), Inbox::default());
    from.set_segmentation(segmentation);
    let datagram = [7; 1200];
    let start = Instant::now();
    while from.counts().sent < PACKETS {
        for _ in 0..64 {
            from.push(to.local_addr(), Ecn::NotEct, |out| out.extend_from_slice(&datagram));
        }
        from.flush().expect("loopback takes it");
        to.recv(&mut inbox, usize::MAX, |_, _, _| ()).expect("loopback gives it");
    }
    to.counts().received as f64 / start.elapsed().as_secs_f64()
}

/// Equal frames down a clean path, without repair and without congestion control.
fn scenario(sessions: u16, rate: &str, size: &str, duration: &str) -> Scenario {
    let text = format!(
        "duration = \"{duration}\"\nsession.count = {sessions}\nmeasure = {{ warm-up = \"0s\", drain = \"100ms\" }}\n\
         [traffic.down.screen]\nconstant = {{ rate = \"{rate}\", size = \"{size}\" }}\n\
         [path.down]\ndelay = \"5ms\"\n[path.up]\ndelay = \"5ms\"\n\
         [contender.udp]\nudp = {{ fec = \"none\", rate = \"fixed\" }}\n"
    );
    let draft = scenario::parse(Sources::built_in("bench", &text), &[]).unwrap_or_else(|e| panic!("{e}"));
    Scenario::new(&draft).unwrap_or_else(|e| panic!("{e}"))
}

fn sessions(scenario: &Scenario, seed: Seed) -> Vec<[Host; 2]> {
    let Protocol::Udp { down, up, scheme } = &scenario.contenders[0].protocol else {
        unreachable!("it is UDP")
    };
    let traffic = |direction| scenario.traffic.get(direction);
    let end = |flow, way: Direction, config| {
        let end = End::new(flow, way, config, scheme.encoder(), scheme.decoder());
        let workload = traffic(way).map(|config| config.workload(seed, flow, way));
        let viewer = traffic(way.reverse()).map(|config| config.viewer(flow, way.reverse()));
        Host::new(flow, way, end, workload, scenario.duration, viewer)
    };
    let session = |flow| [end(flow, Direction::Down, down), end(flow, Direction::Up, up)];
    (0..scenario.sessions).map(|flow| session(Flow(flow))).collect()
}

#[expect(clippy::disallowed_methods, reason = "a bench has a clock")]
fn trial(what: &str, scenario: &Scenario, segmentation: bool, garbage_per_ms: u32) {
    let range = PortRange::new(23_000, 23_200).expect("a range");
    let ports = LivePorts::new(range, LOOPBACK);
    let sockets = usize::from(scenario.sessions);
    let mut config = LiveConfig::new(ports, sockets, DoorConfig::default(), scenario.end);
    config.segmentation = segmentation;
    let (mut delivered, mut timing, mut start) = (0_u64, Timing::default(), Instant::now());
    let over = Arc::new(AtomicBool::new(false));
    let mut tell = |message| match message {
        Message::Started { ports } => {
            start = Instant::now();
            if garbage_per_ms > 0 {
                throw(garbage_per_ms, ports[0], Arc::clone(&over));
            }
        }
        Message::Record(record) => {
            delivered += u64::from(matches!(record.event, Event::PacketDelivered(..)));
        }
        Message::Timing(latest) => timing = latest,
        _ => {}
    };
    let (_commands, told) = channel();
    let links = Links::new(&scenario.path, Seed(1));
    let hosts = sessions(scenario, Seed(1));
    let report = live::run(hosts, links, &config, &told, &mut tell).expect("loopback has ports");
    over.store(true, Ordering::Relaxed);
    // The sessions start within a second.
    let rate = delivered as f64 / start.elapsed().as_secs_f64();
    let late = |late: Duration| late.as_nanos() as f64 / 1000.0;
    println!(
        "{what}, {}: {rate:.0} packets/s, late {:.0} µs p50, {:.0} µs p99, {:.0} µs at most, {} lost, {} refused, \
         {:.0} % of a core",
        batches(segmentation),
        late(timing.late_p50),
        late(timing.late_p99),
        late(timing.late_max),
        timing.socket_drops,
        report.refused.total(),
        100.0 * timing.cpu,
    );
}

/// Throws garbage at a port, so much every millisecond, until it is over.
#[expect(clippy::disallowed_methods, reason = "a bench has a clock")]
fn throw(per_ms: u32, port: u16, over: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut socket = UdpPort::bind((LOOPBACK, 0).into()).expect("loopback has ports");
        let (start, mut thrown) = (Instant::now(), 0);
        while !over.load(Ordering::Relaxed) {
            let wanted = start.elapsed().as_millis() * u128::from(per_ms);
            while thrown < wanted {
                socket.push((LOOPBACK, port).into(), Ecn::NotEct, |out| out.extend_from_slice(&[0x5a; 400]));
                thrown += 1;
            }
            socket.flush().expect("loopback takes it");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
}
