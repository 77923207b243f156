use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::drive::ends::{Ends, Outlet};
use crate::drive::host::Host;
use crate::frame::{Delivered, Priority};
use crate::ledger::Ledger;
use crate::rng::Seed;
use crate::traffic::{DependencyKind, EncoderKind, WorkloadConfig, WorkloadKind};

/// Every user may choose Reno, and every machine has these buffers.
fn config(stale: Stale) -> Config {
    let (congestion, receive_buffer) = (Congestion::Reno, ByteSize::new(64 << 10));
    Config { congestion, receive_buffer, stale, ..Config::default() }
}

fn ends(config: &Config) -> [KernelTcp; 2] {
    let server = KernelTcp::server(config, Flow(0), SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = server.tap().socket().unwrap().local_addr().unwrap().as_socket().unwrap();
    [server, KernelTcp::client(config, Flow(0), address).unwrap()]
}

/// Waits until one of the sockets is as its end wants it, but not for long; whether each is.
fn wait<const N: usize>(taps: [Tap; N]) -> [bool; N] {
    let sockets = taps.each_ref().map(Tap::socket);
    let mut places = [None; N];
    let mut waiting = Vec::new();
    for ((socket, tap), place) in sockets.iter().zip(&taps).zip(&mut places) {
        let Some(socket) = socket else { continue };
        let write = if tap.wants_to_write() { PollFlags::POLLOUT } else { PollFlags::empty() };
        *place = Some(waiting.len());
        waiting.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN | write));
    }
    // Longer than any system takes to pass bytes on over loopback, unless nothing happens any more.
    poll(&mut waiting, PollTimeout::from(100_u8)).unwrap();
    places.map(|place| place.is_some_and(|place| waiting[place].any().unwrap()))
}

/// Two ends over loopback. Time is what the test says; only the sockets take their own.
struct Pair {
    ends: [KernelTcp; 2],
    /// Which ends are driven.
    driven: [bool; 2],
    now: Time,
    ledger: Ledger,
    records: Vec<Record>,
    events: [Vec<FrameEvent>; 2],
}

impl Pair {
    fn new(config: &Config) -> Self {
        let (ledger, records, events) = (Ledger::default(), Vec::new(), Default::default());
        Self { ends: ends(config), driven: [true; 2], now: Time::ZERO, ledger, records, events }
    }

    fn established(config: &Config) -> Self {
        let mut pair = Self::new(config);
        pair.run_while(|pair| pair.ends.iter().any(|end| end.connection().is_none()));
        pair
    }

    fn offer(&mut self, id: u32, size: u32, deadline: Time) {
        let head = Bytes::copy_from_slice(&id.to_be_bytes());
        let (id, captured, priority) = (FrameId(id), self.now, Priority::Delta);
        let frame = Frame { id, captured, deadline, priority, size, head };
        self.ends[0].offer(self.now, frame, &mut (&mut self.ledger, &mut self.records));
    }

    /// Calls the ends as a driver does until nothing is left to do, as far as `goes_on` says so.
    fn run_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        // The first call opens the connection, and writes what was offered since the last.
        let mut ready = [true; 2];
        while goes_on(self) && ready.contains(&true) {
            for (number, ready) in ready.into_iter().enumerate() {
                self.call(number, ready);
            }
            ready = wait(self.ends.each_ref().map(KernelTcp::tap));
            ready = [ready[0] && self.driven[0], ready[1] && self.driven[1]];
        }
    }

    fn call(&mut self, number: usize, ready: bool) {
        if !self.driven[number] {
            return;
        }
        let (end, sink) = (&mut self.ends[number], &mut (&mut self.ledger, &mut self.records));
        if ready {
            end.handle_timeout(self.now, sink);
        }
        assert!(end.poll_transmit(self.now, sink).is_none());
        self.events[number].extend(std::iter::from_fn(|| end.poll_event()));
    }

    fn run(&mut self) {
        self.run_while(|_| true);
    }

    /// The numbers of the frames that came to the client, each of which is as it was offered.
    fn delivered(&self) -> Vec<u32> {
        let number = |event: &FrameEvent| match event {
            FrameEvent::Delivered(Delivered { id, head, .. }) => {
                assert_eq!(head[..], id.0.to_be_bytes());
                Some(id.0)
            }
            _ => None,
        };
        self.events[1].iter().filter_map(number).collect()
    }

    fn dropped(&self) -> Vec<u32> {
        let number = |event: &FrameEvent| match event {
            FrameEvent::Dropped(frame) => Some(frame.0),
            _ => None,
        };
        self.events[0].iter().filter_map(number).collect()
    }
}

#[test]
fn frames_offered_before_the_handshake_arrive_whole_and_in_order() {
    let mut pair = Pair::new(&config(Stale::Keep));
    for (id, size) in [(0, 4), (1, 100_000), (2, 3000)] {
        pair.offer(id, size, Time::NEVER);
    }
    assert_eq!(pair.ends[0].backlog(), ByteSize::new(103_004));
    assert_eq!(pair.ends[0].rate_estimate(), None);
    pair.run();
    assert_eq!(pair.delivered(), [0, 1, 2]);
    assert_eq!(pair.ends[0].backlog(), ByteSize::ZERO);
    let delivered =
        Delivered { id: FrameId(1), size: 100_000, head: Bytes::copy_from_slice(&1_u32.to_be_bytes()) };
    assert_eq!(pair.events[1][1], FrameEvent::Delivered(delivered));
    let complete = pair.records.iter().filter(|record| matches!(record.event, Event::FrameComplete { .. }));
    assert!(complete.clone().count() == 3 && complete.clone().all(|r| r.direction == Direction::Down));
    assert_eq!(pair.ends[1].tap().position(), 103_004 + 3 * 8);
}

#[test]
fn ten_megabytes_cross_a_socket_that_holds_far_less() {
    let mut pair = Pair::established(&config(Stale::Keep));
    for id in 0..160 {
        pair.offer(id, 65_536, Time::NEVER);
    }
    pair.run();
    assert_eq!(pair.ends.each_ref().map(|end| end.tap().failure()), [None, None]);
    assert!(pair.delivered().into_iter().eq(0..160), "{:?}", pair.delivered());
    assert_eq!(pair.ends[0].backlog(), ByteSize::ZERO);
    assert!(!pair.ends[0].tap().wants_to_write());
}

#[test]
fn frames_behind_a_full_socket_are_dropped_as_they_become_stale() {
    let mut pair = Pair::established(&config(Stale::Drop));
    pair.driven = [true, false];
    let deadline = pair.now + Duration::from_millis(50);
    for id in 0..100 {
        pair.offer(id, 20_000, deadline);
    }
    pair.run();
    assert!(pair.ends[0].tap().wants_to_write(), "two megabytes do not fit");
    assert!(pair.dropped().is_empty());
    pair.now = deadline + Duration::from_nanos(1);
    pair.run();
    let dropped = pair.dropped();
    assert_eq!(dropped.last(), Some(&99));
    assert_eq!(pair.ends[0].queue.bytes(), ByteSize::ZERO);
    // What is in the socket cannot be taken back, nor the frame that was begun.
    pair.driven = [true, true];
    pair.run();
    let delivered = pair.delivered();
    assert!(!delivered.is_empty() && delivered.iter().chain(&dropped).copied().eq(0..100));
}

#[test]
fn a_stale_frame_with_nothing_under_way_is_sent_whatever_the_round_trip() {
    let mut pair = Pair::established(&config(Stale::Drop));
    pair.now = Time::from_secs(1);
    pair.offer(0, 1000, pair.now.saturating_sub(Duration::from_nanos(1)));
    pair.offer(1, 1000, pair.now);
    pair.run();
    assert_eq!((pair.delivered(), pair.dropped()), (vec![1], vec![0]));
}

#[test]
fn a_refresh_request_overtakes_the_frames_that_wait() {
    let mut pair = Pair::established(&config(Stale::Keep));
    pair.driven = [true, false];
    for id in 0..100 {
        pair.offer(id, 20_000, Time::NEVER);
    }
    pair.run();
    pair.ends[0].request_refresh(pair.now, FrameId(7));
    pair.driven = [true, true];
    pair.run();
    let request = FrameEvent::RefreshRequested(FrameId(7));
    let place = pair.events[1].iter().position(|event| *event == request).unwrap();
    assert!((1..100).contains(&place), "behind what is in the socket, ahead of what is above it: {place}");
    assert!(pair.delivered().into_iter().eq(0..100));
}

#[test]
fn a_full_queue_drops_the_new_frame() {
    let mut pair = Pair::new(&config(Stale::Keep));
    for id in 0..5000 {
        pair.offer(id, 100, Time::NEVER);
    }
    assert_eq!(pair.ends[0].poll_event(), Some(FrameEvent::Dropped(FrameId(4096))));
}

#[test]
fn the_kernel_says_how_the_connection_does_ten_times_a_second() {
    let mut pair = Pair::established(&config(Stale::Keep));
    pair.offer(0, 100_000, Time::NEVER);
    pair.run();
    let tap = pair.ends[0].tap();
    assert_eq!(tap.take_sample().unwrap().at, Time::ZERO);
    assert_eq!(pair.ends[0].poll_timeout(), Some(Time::from_millis(100)));
    pair.now = Time::from_millis(99);
    pair.call(0, true);
    assert_eq!(tap.take_sample(), None);
    pair.now = Time::from_millis(100);
    pair.call(0, true);
    let sample = tap.take_sample().unwrap();
    assert!(sample.window >= 10 && sample.delivery_rate_bps > 0, "{sample:?}");
    assert!(sample.least_round_trip > Duration::ZERO && sample.smoothed_round_trip < Duration::from_secs(1));
    assert!(matches!(pair.records.last().unwrap().event, Event::RoundTrip(_)));
}

#[test]
fn every_congestion_control_that_is_to_be_had_has_an_estimate_of_the_rate() {
    let mut had = Vec::new();
    for congestion in Congestion::ALL {
        let config = Config { congestion, ..config(Stale::Keep) };
        match KernelTcp::server(&config, Flow(0), SocketAddr::from(([127, 0, 0, 1], 0))) {
            Ok(_) => had.push(config),
            Err(SocketError::NoCongestion(_) | SocketError::CongestionRefused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // Reno is in every kernel and allowed to everybody.
    assert!(had.iter().any(|config| config.congestion == Congestion::Reno));
    for config in had {
        let mut pair = Pair::established(&config);
        pair.offer(0, 1_000_000, Time::NEVER);
        pair.run();
        let server = &pair.ends[0];
        let rate = server.rate_estimate().unwrap();
        // A loopback round trip is below a second, and a window at least a segment.
        assert!(rate > Bitrate::from_bps(8 * 500), "{config:?}: {rate:?}");
        let bandwidth = sys::bbr_bandwidth(&*server.connection().unwrap());
        if config.congestion == Congestion::Bbr {
            assert_eq!(Some(rate), bandwidth.ok().map(|bytes| Bitrate::from_bps(8 * bytes)));
        }
    }
}

#[test]
fn a_connection_that_the_other_end_gives_up_drops_what_waits_and_says_why() {
    let mut pair = Pair::established(&config(Stale::Keep));
    pair.driven = [true, false];
    for id in 0..100 {
        // More than the kernel takes of a frame at a time.
        pair.offer(id, 200_000, Time::NEVER);
    }
    pair.run();
    // Closing a socket with unread bytes in it resets the connection.
    let [_, fresh] = ends(&config(Stale::Keep));
    pair.ends[1] = fresh;
    pair.run();
    let tap = pair.ends[0].tap();
    assert!(tap.failure().unwrap().starts_with("the TCP connection broke: "), "{:?}", tap.failure());
    assert!(tap.socket().is_none() && !tap.wants_to_write());
    assert_eq!(pair.dropped().last(), Some(&99));
    let begun = pair.records.iter().filter(|r| matches!(r.event, Event::FrameDropped { begun: true, .. }));
    assert_eq!(begun.count(), 1);
    pair.offer(100, 10, Time::NEVER);
    assert_eq!(pair.ends[0].poll_event(), Some(FrameEvent::Dropped(FrameId(100))));
    assert_eq!((pair.ends[0].poll_timeout(), pair.ends[0].rate_estimate()), (None, None));
}

#[test]
fn a_client_that_nobody_listens_to_says_so() {
    let mut pair = Pair::new(&config(Stale::Keep));
    let [elsewhere, _] = ends(&config(Stale::Keep));
    pair.ends[0] = elsewhere;
    pair.run();
    let failure = pair.ends[1].tap().failure().unwrap();
    assert!(failure.contains("refused"), "{failure}");
}

#[test]
fn a_stream_that_cannot_be_understood_ends_the_connection() {
    let [mut server, _] = ends(&config(Stale::Keep));
    let tap = server.tap();
    let address = tap.socket().unwrap().local_addr().unwrap().as_socket().unwrap();
    let mut stranger = TcpStream::connect(address).unwrap();
    stranger.write_all(&[0xff; 100]).unwrap();
    let mut records: Vec<Record> = Vec::new();
    while tap.failure().is_none() {
        assert_eq!(wait([tap.clone()]), [true], "the stranger's bytes come");
        server.handle_timeout(Time::ZERO, &mut records);
    }
    assert!(tap.failure().unwrap().contains("cannot be understood"), "{:?}", tap.failure());
    let malformed = records.iter().find(|r| matches!(r.event, Event::Malformed(_))).unwrap();
    assert_eq!(malformed.direction, Direction::Up);
    drop(server);
    let mut rest = Vec::new();
    let end = stranger.read_to_end(&mut rest);
    assert!(rest.is_empty() && end.map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |n| n == 0));
}

/// For ends that send no packets.
struct Nowhere;

impl Outlet<Datagram> for Nowhere {
    fn send(&mut self, _: Time, _: Flow, _: Direction, _: Transmit<Datagram>, _: &mut dyn Sink) {
        panic!("the kernel sends the packets");
    }
}

#[test]
fn bulk_data_flows_between_hosts_that_are_driven_as_in_a_trial() {
    let [server, client] = ends(&config(Stale::Keep));
    let taps = [server.tap(), client.tap()];
    let deadline = Duration::from_secs(1);
    let (dependency, encoder) = (DependencyKind::Independent, EncoderKind::Fixed);
    let bulk = WorkloadConfig { kind: WorkloadKind::Bulk, dependency, encoder, deadline };
    let workload = bulk.workload(Seed(1), Flow(0), Direction::Down);
    let viewer = bulk.viewer(Flow(0), Direction::Down);
    let server = Host::new(Flow(0), Direction::Down, server, Some(workload), Time::NEVER, None);
    let client = Host::new(Flow(0), Direction::Up, client, None, Time::NEVER, Some(viewer));
    let mut ends = Ends::new([[server, client]]);
    let mut records: Vec<Record> = Vec::new();
    ends.start(Time::ZERO, &mut Nowhere, &mut records);
    let ten_megabytes = 10_000_000;
    // The clock is the alarms', which bulk data sets every millisecond.
    while taps[1].position() < ten_megabytes {
        let (now, number) = ends.next().unwrap();
        ends.handle_timeout(number, now, &mut Nowhere, &mut records);
        assert_eq!(taps.each_ref().map(Tap::failure), [None, None]);
        for number in 0..2 {
            ends.call(number, now, &mut Nowhere, &mut records, |host, sink| host.handle_ready(now, sink));
        }
        assert!(now < Time::from_secs(60), "bulk data makes no progress");
    }
    let mut ledger = Ledger::default();
    records.iter().for_each(|record| ledger.record(record));
    assert_eq!(ledger.close([]), Ok(()));
    let complete = records.iter().filter(|r| matches!(r.event, Event::FrameDecoded { .. }));
    assert!(complete.count() >= 10_000_000 / (65_536 + 8));
}
