//! Real sockets on loopback: ports, doors and trials in real time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use framehawk_sim::drive::Links;
use framehawk_sim::drive::host::Host;
use framehawk_sim::drive::live::{self, LiveConfig, LivePorts, PortError, SocketReport};
use framehawk_sim::drive::message::{self, Message};
use framehawk_sim::drive::sim::Simulation;
use framehawk_sim::drive::timing::{Quality, Timing};
use framehawk_sim::endpoint::{Direction, Flow};
use framehawk_sim::impair::link::Link;
use framehawk_sim::ledger::Ledger;
use framehawk_sim::record::{Event, Record, Sink};
use framehawk_sim::rng::Seed;
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Protocol, Scenario};
use framehawk_sim::session::door::{DoorConfig, Reason};
use framehawk_sim::session::key::Key;
use framehawk_sim::session::ports::PortRange;
use framehawk_sim::time::Time;
use framehawk_sim::{tcp, transport};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// As many ports as the default range has, from `lowest` on: each test has its own, below those that the
/// system gives out, since tests run side by side.
fn ports(lowest: u16) -> LivePorts {
    LivePorts::new(PortRange::new(lowest, lowest + 100).unwrap(), LOOPBACK)
}

/// Equal frames of a few packets each, over a path that loses some at random and nothing by a queue.
fn scenario(sessions: u16, duration: &str) -> Scenario {
    let text = format!(
        "duration = \"{duration}\"\nsession.count = {sessions}\nmeasure = {{ warm-up = \"0s\", drain = \"500ms\" }}\n\
         [traffic.down.screen]\nconstant = {{ rate = \"50Hz\", size = \"4kB\" }}\n\
         [path.down]\ndelay = \"10ms\"\nloss.iid.rate = \"5%\"\n[path.up]\ndelay = \"10ms\"\n\
         [contender.udp]\nudp = {{ fec.reed-solomon = {{ source = 4, repair = 1 }}, rate = \"fixed\" }}\n\
         [contender.tcp]\ntcp = {{ congestion = \"cubic\" }}\n"
    );
    let draft = scenario::parse(Sources::built_in("test", &text), &[]).unwrap_or_else(|e| panic!("{e}"));
    Scenario::new(&draft).unwrap_or_else(|e| panic!("{e}"))
}

fn sessions(scenario: &Scenario, contender: usize, seed: Seed) -> Vec<[Host; 2]> {
    let until = scenario.duration;
    let session = |flow: Flow| {
        let traffic = |direction| scenario.traffic.get(direction);
        let workload = |direction| traffic(direction).map(|config| config.workload(seed, flow, direction));
        let viewer = |direction| traffic(direction).map(|config| config.viewer(flow, direction));
        let (down, up) = (Direction::Down, Direction::Up);
        match &scenario.contenders[contender].protocol {
            Protocol::Tcp(config) => {
                let [server, person] = tcp::connection(config, flow, seed);
                [
                    Host::new(flow, down, server, workload(down), until, viewer(up)),
                    Host::new(flow, up, person, workload(up), until, viewer(down)),
                ]
            }
            Protocol::Quic(_) => panic!("no scenario here has QUIC"),
            Protocol::Udp { down: config, up: config_up, scheme } => {
                [(down, config), (up, config_up)].map(|(way, config)| {
                    let end = transport::End::new(flow, way, config, scheme.encoder(), scheme.decoder());
                    Host::new(flow, way, end, workload(way), until, viewer(way.reverse()))
                })
            }
        }
    };
    (0..scenario.sessions).map(|flow| session(Flow(flow))).collect()
}

/// What a trial in real time told.
struct Played {
    ports: Vec<u16>,
    records: Vec<Record>,
    timing: Timing,
    report: SocketReport,
}

/// Plays a contender with sockets for the first `sockets` sessions, and closes the books. `each` sees
/// every message at once.
fn play(
    scenario: &Scenario,
    contender: usize,
    sockets: usize,
    ports: LivePorts,
    door: DoorConfig,
    mut each: impl FnMut(&Message),
) -> Played {
    let seed = Seed(7);
    let (mut started, mut records, mut timing, mut under_way) = (None, Vec::new(), None, None);
    let mut tell = |message: Message| {
        each(&message);
        match message {
            Message::Started { ports } => assert!(started.replace(ports).is_none(), "it starts once"),
            Message::Record(record) => records.push(record),
            Message::Timing(latest) => timing = Some(latest),
            Message::Closed { under_way: held } => assert!(under_way.replace(held).is_none(), "it ends once"),
            Message::Note(note) => assert!(note.starts_with("datagrams refused"), "{note}"),
            other => panic!("{other:?}"),
        }
    };
    let (_commands, told) = channel();
    let links = Links::new(&scenario.path, seed);
    let config = LiveConfig::new(ports, sockets, door, scenario.end);
    let hosts = sessions(scenario, contender, seed);
    let report = live::run(hosts, links, &config, &told, &mut tell).unwrap();
    let mut ledger = Ledger::default();
    assert!(records.is_sorted_by_key(|record| record.at), "times never go back");
    records.iter().for_each(|record| ledger.record(record));
    let held = under_way.unwrap().into_iter().map(|(flow, way, class)| (flow, way, class, 1));
    ledger.close(held).unwrap_or_else(|imbalance| panic!("{imbalance}"));
    Played { ports: started.unwrap(), records, timing: timing.unwrap(), report }
}

/// The fate of every packet sent down whose fate showed, by flow and index: whether it was delivered.
fn fates(records: &[Record]) -> BTreeMap<(Flow, u64), bool> {
    let down = records.iter().filter(|record| record.direction == Direction::Down);
    down.filter_map(|record| match record.event {
        Event::PacketDelivered(packet, _) => Some(((record.flow, packet.index), true)),
        Event::PacketDropped(packet, _) => Some(((record.flow, packet.index), false)),
        _ => None,
    })
    .collect()
}

/// The same trial in virtual time.
fn virtually(scenario: &Scenario, contender: usize) -> Vec<Record> {
    let (seed, mut records) = (Seed(7), Vec::new());
    let link = |direction| Link::new(&scenario.path, direction, seed);
    let hosts = sessions(scenario, contender, seed);
    Simulation::new(hosts, link(Direction::Down), link(Direction::Up)).run(scenario.end, &mut records);
    records
}

/// The fate of a packet comes from its place alone. How many packets there are does so but for feedback,
/// whose times are those of the machine.
fn same_fates(real: &[Record], simulated: &[Record]) {
    let (real, simulated) = (fates(real), fates(simulated));
    let mut compared = 0;
    for (place, fate) in &real {
        let expected = simulated.get(place);
        assert!(expected.is_none_or(|expected| expected == fate), "{place:?}: {fate} and {expected:?}");
        compared += usize::from(expected.is_some());
    }
    assert!(compared * 10 > real.len() * 9, "{compared} of {}", real.len());
    assert!(real.values().any(|delivered| !delivered), "some are lost");
}

/// How many frames were captured, and how many of them were complete at the other end.
fn frames(records: &[Record]) -> (usize, usize) {
    let count = |what: fn(&Event) -> bool| records.iter().filter(|record| what(&record.event)).count();
    (
        count(|event| matches!(event, Event::FrameCaptured { .. })),
        count(|event| matches!(event, Event::FrameComplete { .. })),
    )
}

#[test]
fn a_trial_delivers_frames_loses_what_the_virtual_one_loses_and_balances_the_books() {
    let scenario = scenario(2, "2s");
    let played = play(&scenario, 0, 2, ports(20_000), DoorConfig::default(), |_| ());
    assert_eq!(played.ports.len(), 2);
    assert_eq!(played.timing.quality() == Quality::Spoiled, played.report.missing > 0);
    assert_eq!(played.report.missing, 0, "{:?}", played.report);
    assert_eq!(played.report.refused.total(), 0);
    // One in 20 packets is lost, and a repair packet follows every four: 2.3 % of the blocks lose two or
    // more, a tenth at the very most of so many.
    let (captured, complete) = frames(&played.records);
    assert!(captured > 100 && complete * 10 > captured * 9, "{complete} of {captured}");
    same_fates(&played.records, &virtually(&scenario, 0));
}

#[test]
fn a_trial_with_a_key_is_the_same_trial() {
    let scenario = scenario(1, "2s");
    let key = Some(Key::parse(&"5a".repeat(32)).unwrap());
    let door = DoorConfig { key, datagram: 1400, ..DoorConfig::default() };
    let played = play(&scenario, 0, 1, ports(20_200), door, |_| ());
    assert_eq!((played.report.missing, played.report.refused.total()), (0, 0));
    same_fates(&played.records, &virtually(&scenario, 0));
}

#[test]
fn sessions_of_the_tcp_model_need_no_sockets() {
    let scenario = scenario(1, "2s");
    let played = play(&scenario, 1, 0, ports(20_400), DoorConfig::default(), |_| ());
    assert!(played.ports.is_empty());
    assert_eq!(played.report, SocketReport::default());
    // Nothing is lost for good, but what is sent last may be under way at the end.
    let (captured, complete) = frames(&played.records);
    assert!(captured > 50 && complete + 10 > captured, "{complete} of {captured}");
}

#[test]
fn garbage_at_an_open_port_is_counted_and_changes_nothing() {
    let scenario = scenario(1, "2s");
    let stranger = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let (mut port, mut thrown, mut admissible) = (0, 0_u64, 0_u64);
    let played = play(&scenario, 0, 1, ports(20_600), DoorConfig::default(), |message| match message {
        Message::Started { ports } => port = ports[0],
        Message::Record(Record { event: Event::PacketSent(packet), .. }) => {
            // From empty to far too long, of every first byte.
            let garbage = vec![packet.index as u8; (packet.index * 37 % 3000) as usize];
            for _ in 0..5 {
                stranger.send_to(&garbage, (LOOPBACK, port)).unwrap();
                thrown += 1;
            }
        }
        Message::Record(Record { event: Event::Malformed(_), .. }) => admissible += 1,
        _ => {}
    });
    assert!(thrown > 1000, "{thrown}");
    assert_eq!(admissible, 0, "none of it was let in");
    // What is thrown in the last moments may not have been read.
    let refused = played.report.refused;
    assert!(refused.total() <= thrown && refused.total() + 50 >= thrown, "{refused:?} of {thrown}");
    assert!(refused.of(Reason::Oversize) > 0 && refused.of(Reason::Malformed) > 0, "{refused:?}");
    assert_eq!(played.report.missing, 0);
    same_fates(&played.records, &virtually(&scenario, 0));
}

#[test]
fn a_trial_that_is_told_to_stop_ends_early_with_books_that_balance() {
    let scenario = scenario(1, "60s");
    let (commands, told) = channel();
    let (mut ledger, mut last, mut under_way) = (Ledger::default(), Time::ZERO, None);
    let mut tell = |message: Message| match message {
        Message::Record(record) => {
            ledger.record(&record);
            last = record.at;
        }
        // Sessions start within a second.
        Message::Timing(_) if last > Time::from_secs(1) => commands.send(message::Command::Stop).unwrap(),
        Message::Closed { under_way: held } => under_way = Some(held),
        _ => {}
    };
    let links = Links::new(&scenario.path, Seed(7));
    let config = LiveConfig::new(ports(22_000), 1, DoorConfig::default(), scenario.end);
    live::run(sessions(&scenario, 0, Seed(7)), links, &config, &told, &mut tell).unwrap();
    assert!(last > Time::from_millis(900) && last < Time::from_secs(30), "{last}");
    let held = under_way.unwrap().into_iter().map(|(flow, way, class)| (flow, way, class, 1));
    ledger.close(held).unwrap_or_else(|imbalance| panic!("{imbalance}"));
}

#[test]
fn a_held_port_is_skipped_and_its_owner_is_named() {
    let held = UdpSocket::bind((LOOPBACK, 20_800)).unwrap();
    let ports = ports(20_800);
    assert_ne!(ports.lease().unwrap().port(), 20_800);
    let skipped = &ports.skipped().0[0];
    assert_eq!(skipped.port, 20_800);
    if cfg!(target_os = "linux") {
        let owner = skipped.owner.as_ref().expect("we may look at ourselves");
        assert_eq!(owner.pid, std::process::id());
        assert!(skipped.to_string().contains(&format!("(pid {})", owner.pid)), "{skipped}");
    }
    drop(held);
    assert_eq!(ports.lease().unwrap().port(), 20_800, "it is asked about again");
}

#[test]
fn there_is_room_for_101_sessions_and_the_next_is_refused() {
    let ports = ports(21_000);
    let mut leases = Vec::new();
    let error = loop {
        match ports.lease() {
            Ok(lease) => leases.push(lease),
            Err(error) => break error,
        }
    };
    let PortError::Exhausted { exhausted, held } = &error else { panic!("{error}") };
    // Somebody else on this machine may hold some.
    assert_eq!((exhausted.ours, exhausted.others), (leases.len(), held.0.len()));
    assert_eq!(leases.len() + held.0.len(), 101);
    assert!(error.to_string().starts_with("no port is free in 21000–21100"), "{error}");
    leases.truncate(50);
    assert!(ports.lease().is_ok(), "what is dropped is free again");
}

#[test]
fn a_hundred_and_one_sessions_run_at_once() {
    let scenario = scenario(101, "2s");
    let played = play(&scenario, 0, 101, ports(21_200), DoorConfig::default(), |_| ());
    let mut ports = played.ports.clone();
    ports.dedup();
    assert_eq!(ports.len(), 101);
    assert_eq!(played.report.missing, 0, "{:?}", played.report);
    let (captured, complete) = frames(&played.records);
    assert!(captured > 101 * 50 && complete * 10 > captured * 9, "{complete} of {captured}");
}

/// What another process holds: run by the test below, with a range to itself.
#[test]
#[ignore = "a part of the next test, in a process of its own"]
fn another_process_leases_forty_ports() {
    let ports = ports(21_400);
    let leases: Vec<_> = (0..40).map(|_| ports.lease().unwrap()).collect();
    let numbers: Vec<String> = leases.iter().map(|lease| lease.port().to_string()).collect();
    println!("leased {}", numbers.join(" "));
    // Until the other process has looked.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn two_processes_at_once_never_share_a_port_and_both_get_theirs() {
    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process_leases_forty_ports", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // Both at the same time, and we take some in between.
    let mut children = [child(), child()];
    let ours = ports(21_400);
    let leases: Vec<_> = (0..15).map(|_| ours.lease().unwrap()).collect();
    let mut all: Vec<u16> = leases.iter().map(|lease| lease.port()).collect();
    for child in &mut children {
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let leased =
            lines.map(Result::unwrap).find_map(|line| line.split_once("leased ").map(|l| l.1.to_owned()));
        let leased = leased.expect("it gets its ports");
        all.extend(leased.split(' ').map(|port| port.parse::<u16>().unwrap()));
    }
    for mut child in children {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(all.len(), 95);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 95, "no port twice");
}

#[test]
fn fhsim_ports_shows_who_holds_a_port_and_which_one_is_next() {
    let held = UdpSocket::bind((LOOPBACK, 22_200)).unwrap();
    let mut fhsim = assert_cmd::Command::cargo_bin("fhsim").unwrap();
    let output = fhsim.args(["ports", "--range", "22200-22201"]).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("udp 127.0.0.1:22200"), "{text}");
    if cfg!(target_os = "linux") {
        assert!(text.contains(&format!("(pid {})", std::process::id())), "{text}");
    }
    assert!(text.contains("the next session gets port 22201"), "{text}");
    drop(held);
}
