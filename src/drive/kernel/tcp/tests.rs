//! A session across two namespaces and an impaired path: the parts together, with real segments.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use nix::poll::{PollFd, PollFlags};
use nix::unistd::geteuid;

use super::*;
use crate::drive::clock::Clock;
use crate::drive::datagram::Datagram;
use crate::drive::ends::{Ends, Outlet, sends};
use crate::drive::host::Host;
use crate::drive::kernel::relay::{self, Relay, Strays};
use crate::drive::kernel::wait::{Patience, Waiter};
use crate::drive::kernel::{Namespaces, Side};
use crate::drive::links::Links;
use crate::drive::message::TcpSample;
use crate::drive::timing::Lateness;
use crate::endpoint::{Class, Direction, Flow, Transmit};
use crate::impair::config::{LinkConfig, LossConfig, LossFrom, LossModel, LossPlace, PathConfig};
use crate::ledger::Ledger;
use crate::record::{Event, Record, Sink};
use crate::rng::Seed;
use crate::tcp::{Config, Congestion};
use crate::time::{Duration, Time};
use crate::traffic::{DependencyKind, EncoderKind, WorkloadConfig, WorkloadKind};
use crate::units::Probability;

struct Nowhere;

impl Outlet<Datagram> for Nowhere {
    fn send(&mut self, _: Time, _: Flow, _: Direction, _: Transmit<Datagram>, _: &mut dyn Sink) {
        panic!("the kernel sends the packets");
    }
}

impl relay::Watch for TcpWatch {
    fn see(&mut self, now: Time, direction: Direction, packet: &[u8], sink: &mut dyn Sink) -> relay::Seen {
        let segment = parse(packet).expect("nobody but the session sends");
        let Seen { class, payload } = self.handle_segment(now, direction, &segment, sink);
        relay::Seen::Impair { flow: Flow(0), class, payload }
    }
}

/// What a session left behind.
struct Outcome {
    ledger: Ledger,
    records: Vec<Record>,
    /// The last of the server.
    sample: TcpSample,
    under_way: Vec<(Flow, Direction, Class)>,
    strays: Strays,
    failures: [Option<String>; 2],
    positions: [u64; 2],
}

/// One session of 1.5 s, with traffic down for the first of them; 10 ms each way, and so much loss down.
fn session(congestion: Congestion, kind: WorkloadKind, loss: f64) -> Outcome {
    let config = Config { congestion, ..Config::default() };
    let (namespaces, tuns) = Namespaces::make(1500, |_| ()).unwrap();
    namespaces.enter(Side::Server).unwrap();
    socket::prepare_namespace(&config).unwrap();
    let address = SocketAddr::from((Side::Server.address(), 3224));
    let server = KernelTcp::server(&config, Flow(0), address).unwrap();
    namespaces.enter(Side::Person).unwrap();
    socket::prepare_namespace(&config).unwrap();
    let client = KernelTcp::client(&config, Flow(0), address).unwrap();

    let taps = [server.tap(), client.tap()];
    let watch = TcpWatch::new(Flow(0), taps.each_ref().map(Tap::book));
    let mut relay = Relay::new(tuns, Links::new(&path(loss), Seed(1)), watch);
    let mut ends = Ends::new([hosts(server, client, kind)]);
    let (mut ledger, mut records, mut sample) = (Ledger::default(), Vec::new(), None);
    let sink = &mut (&mut ledger, &mut records);
    let (waiter, mut lateness) = (Waiter::new(Patience::Sleep).unwrap(), Lateness::default());
    let (clock, end) = (Clock::start(), Time::from_millis(1500));
    ends.start(Time::ZERO, &mut Nowhere, sink);
    while clock.now() < end {
        relay.work(&clock, &mut lateness, sink).unwrap();
        while let Some((at, number)) = ends.next()
            && at <= clock.now()
        {
            ends.handle_timeout(number, at, &mut Nowhere, sink);
        }
        let until = Time::earliest([relay.next_at(), ends.next().map(|(at, _)| at), Some(end)]);
        let ready = wait(&waiter, &clock, &relay, &taps, until);
        for number in [0, 1].into_iter().filter(|&number| ready[number]) {
            let now = clock.now();
            ends.call(number, now, &mut Nowhere, sink, |host, sink| host.handle_ready(now, sink));
            relay.watch().handle_read(now, sends(number).reverse(), taps[number].position(), sink);
        }
        sample = taps[0].take_sample().or(sample);
    }
    let under_way = relay.links().under_way();
    let (failures, positions) = (taps.each_ref().map(Tap::failure), taps.each_ref().map(Tap::position));
    let (sample, strays) = (sample.expect("it was sampled"), relay.strays().unwrap());
    Outcome { ledger, records, sample, under_way, strays, failures, positions }
}

/// Waits for the devices, the sockets, and what is due; which sockets are ready.
fn wait(
    waiter: &Waiter,
    clock: &Clock,
    relay: &Relay<TcpWatch>,
    taps: &[Tap; 2],
    until: Option<Time>,
) -> [bool; 2] {
    let sockets = taps.each_ref().map(|tap| tap.socket().expect("the connection lasts"));
    let [down, up] = relay.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let [server, client] = [0, 1].map(|number| {
        let write = if taps[number].wants_to_write() { PollFlags::POLLOUT } else { PollFlags::empty() };
        PollFd::new(sockets[number].as_fd(), PollFlags::POLLIN | write)
    });
    let mut fds = [server, client, down, up];
    waiter.wait(&mut fds, clock, until).unwrap();
    [0, 1].map(|number| fds[number].any().unwrap_or_default())
}

fn path(loss: f64) -> PathConfig {
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    let model = LossModel::Iid(Probability::new(loss).unwrap());
    let loss = LossConfig { model, at: LossPlace::AfterQueue, from: LossFrom::Established };
    let down = LinkConfig { loss: Some(loss), ..link.clone() };
    PathConfig { mtu: 1500, channels: Vec::new(), down, up: link }
}

fn hosts(server: KernelTcp, client: KernelTcp, kind: WorkloadKind) -> [Host; 2] {
    let (dependency, encoder) = (DependencyKind::Independent, EncoderKind::Fixed);
    let traffic = WorkloadConfig { kind, dependency, encoder, deadline: Duration::from_millis(100) };
    let workload = traffic.workload(Seed(1), Flow(0), Direction::Down);
    let viewer = traffic.viewer(Flow(0), Direction::Down);
    let until = Time::from_secs(1);
    [
        Host::new(Flow(0), Direction::Down, server, Some(workload), until, None),
        Host::new(Flow(0), Direction::Up, client, None, until, Some(viewer)),
    ]
}

/// Runs `check` where namespaces can be made: they need root in a process that has threads, as that of
/// tests has, and a thread of their own.
fn where_possible(check: fn()) {
    if !geteuid().is_root() || !Path::new("/dev/net/tun").exists() {
        eprintln!("skipped: needs root and /dev/net/tun");
        return;
    }
    thread::spawn(check).join().unwrap();
}

impl Outcome {
    fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.records.iter().filter(|record| is_it(&record.event)).count()
    }

    /// What must hold whatever the path does.
    fn check(&self) {
        assert_eq!(self.failures, [None, None]);
        assert_eq!(self.strays, Strays::default());
        let under_way = self.under_way.iter().map(|&(flow, direction, class)| (flow, direction, class, 1));
        assert_eq!(self.ledger.close(under_way), Ok(()));
        let packets = |direction, class| self.ledger.packets(Flow(0), direction, class);
        assert_eq!(packets(Direction::Down, Class::Handshake).sent, 1);
        assert_eq!(packets(Direction::Up, Class::Handshake).sent, 2);
        assert_eq!(packets(Direction::Up, Class::Source).sent, 0, "the person has nothing to say");
        let sources = self.ledger.sources(Flow(0), Direction::Down);
        assert_eq!(sources.sent, packets(Direction::Down, Class::Source).sent);
        let bytes = |event: &Event| match event {
            Event::SourceArrived { bytes, .. } => u64::from(*bytes),
            _ => 0,
        };
        let arrived: u64 = self.records.iter().map(|record| bytes(&record.event)).sum();
        assert!(self.positions[1] - arrived < 1448, "only part of a segment is read and not settled");
    }
}

#[test]
fn the_watch_counts_what_the_kernel_sends_again() {
    where_possible(|| {
        let kind = WorkloadKind::Constant { per_second: 60.0, size: 6000 };
        let outcome = session(Congestion::Cubic, kind, 0.05);
        outcome.check();
        let again = outcome.ledger.packets(Flow(0), Direction::Down, Class::Retransmission).sent;
        assert!(again > 0, "some of 300 segments are lost");
        // The sample may be up to 100 ms old, but the server has had nothing to send for half a second.
        assert_eq!(again, u64::from(outcome.sample.retransmitted));
        let captured = outcome.count(|event| matches!(event, Event::FrameCaptured { .. }));
        let complete = outcome.count(|event| matches!(event, Event::FrameComplete { .. }));
        assert!(captured > 0 && captured == complete, "{complete} of {captured}");
    });
}

#[test]
fn the_kernel_says_when_a_pacing_sender_has_room_for_more() {
    where_possible(|| {
        let kind = WorkloadKind::Constant { per_second: 1.0, size: 20_000_000 };
        let outcome = session(Congestion::Bbr, kind, 0.0);
        outcome.check();
        // A frame that is begun goes on when the socket has room. If the kernel did not say so, it would
        // go on by 32 kB whenever the kernel is asked how the connection does: 480 kB in all.
        assert!(outcome.positions[1] > 1_000_000, "{} bytes", outcome.positions[1]);
    });
}
