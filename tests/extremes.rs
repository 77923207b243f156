//! Scenarios at the ends of what may be written: each runs, ends, and accounts for every packet.

use std::sync::atomic::AtomicBool;

use framehawk_sim::measure::Value;
use framehawk_sim::runner::{self, Conduct, Outcome, Progress};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Scenario};

/// Every kind of contender, over a path that every case changes.
const BASE: &str = r#"
format = 1
duration = "2s"
[traffic.down.screen]
constant = { rate = "30Hz", size = "6kB", dependency = "chain" }
[traffic.up.keys]
keystrokes = { per-second = 5 }
[measure]
warm-up = "500ms"
drain = "500ms"
[channel.radio]
two-state = { good = "500ms", bad = "100ms" }
[path.down]
delay = "10ms"
bottleneck = { rate = "20Mbit/s", queue.droptail = "100ms" }
[path.up]
delay = "10ms"
bottleneck = { rate = "20Mbit/s", queue.droptail = "100ms" }
[contender.tcp-reno]
tcp = { congestion = "reno" }
[contender.tcp-cubic]
tcp = { congestion = "cubic", stale = "keep" }
[contender.tcp-bbr]
tcp = { congestion = "bbr" }
[contender.udp]
udp = {}
[contender.udp-repeat]
udp = { fec.repeat = { copies = 2, spacing = 3 }, retransmit = "always", stale = "keep", rate = "fixed" }
[contender.udp-xor]
udp = { fec.xor = { source = 4, interleave = 3 }, retransmit = "deadline", rate = "fixed" }
[contender.udp-rs]
udp = { fec.reed-solomon = { source = 10, repair = 3 }, retransmit = "deadline", rate = "delay" }
[contender.udp-rs-frame]
udp = { fec.reed-solomon.per-frame = { percent = 50 }, retransmit = "always", rate = "delay" }
"#;

/// What each case is called, and what it changes.
const CASES: &[(&str, &[&str])] = &[
    ("nothing changed", &[]),
    ("all lost both ways", &["path.down.loss.iid.rate=100%", "path.up.loss.iid.rate=100%"]),
    ("all lost down", &["path.down.loss.iid.rate=100%"]),
    ("all lost up", &["path.up.loss.iid.rate=100%"]),
    ("all lost once established", &["path.down.loss.iid={ rate = 1, from = \"established\" }"]),
    ("99 % lost both ways", &["path.down.loss.iid.rate=99%", "path.up.loss.iid.rate=99%"]),
    ("lost before the queue", &["path.down.loss.iid={ rate = 1, at = \"before-queue\" }"]),
    (
        "a bottleneck that stands still nearly always",
        &[
            "channel.radio.two-state={ good = \"1ms\", bad = \"1min\" }",
            "path.down.bottleneck.channel=radio",
            "path.down.bottleneck.bad-factor=0",
        ],
    ),
    ("an outage for the whole run", &["path.down.outage={ at = [\"0s\"], for = \"1min\" }"]),
    (
        "an outage for the whole run that drops, both ways",
        &[
            "path.down.outage={ at = [\"0s\"], for = \"1min\", mode = \"drop\" }",
            "path.up.outage={ at = [\"0s\"], for = \"1min\", mode = \"drop\" }",
        ],
    ),
    ("outages without end", &["path.down.outage.random={ gap = \"1ns\", for = \"1ms\" }"]),
    ("a minute of delay", &["path.down.delay=60s", "path.up.delay=60s"]),
    ("no delay and no bottleneck", &["path.down={}", "path.up={}"]),
    ("1 kbit/s", &["path.down.bottleneck.rate=1kbit/s", "path.up.bottleneck.rate=1kbit/s"]),
    ("100 Gbit/s", &["path.down.bottleneck.rate=100Gbit/s", "path.up.bottleneck.rate=100Gbit/s"]),
    (
        "a queue of one packet",
        &["path.down.bottleneck.queue.droptail=1 packets", "path.up.bottleneck.queue.droptail=1 packets"],
    ),
    ("a queue of one byte", &["path.down.bottleneck.queue.droptail=1B"]),
    ("as many sessions as ports", &["session.count=101", "duration=1s", "measure.warm-up=0ms"]),
    (
        "200 neighbors",
        &[
            "neighbour.crowd={ count = 200, tcp = {} }",
            "neighbour.other.udp={ rate = \"delay\" }",
            "duration=1s",
        ],
    ),
    ("every packet twice", &["path.down.duplicate.rate=100%", "path.up.duplicate.rate=100%"]),
    ("every packet damaged", &["path.down.corrupt.rate=100%", "path.up.corrupt.rate=100%"]),
    ("every packet early", &["path.down.reorder.rate=100%", "path.up.reorder.rate=100%"]),
    (
        "seconds of jitter that reorder",
        &[
            "path.down.jitter.uniform={ max = \"10s\", reorder = true }",
            "path.up.jitter.normal={ deviation = \"10s\", reorder = true, correlation = 0.999 }",
        ],
    ),
    ("a tail without a variance", &["path.down.jitter.pareto={ mean = \"1ns\", deviation = \"10s\" }"]),
    ("a gamma of spikes", &["path.down.jitter.gamma={ mean = \"1ms\", deviation = \"10s\" }"]),
    (
        "everything tried a hundred times",
        &[
            "path.down.loss.iid.rate=100%",
            "path.down.link-arq={ tries = 100, interval = \"1s\", in-order = true }",
        ],
    ),
    ("a deadline of a millisecond", &["traffic.down.screen.deadline=1ms"]),
    ("a deadline of an hour", &["traffic.down.screen.deadline=3600s", "path.down.loss.iid.rate=30%"]),
    ("a second without warm-up and drain", &["duration=1s", "measure.warm-up=0ms", "measure.drain=0ms"]),
    ("a nanosecond to measure", &["duration=1s", "measure.warm-up=999999999ns"]),
    ("frames of 8 MB", &["traffic.down.screen.constant={ rate = \"1Hz\", size = \"8MB\" }"]),
    (
        "a thousand small frames a second",
        &["traffic.down.screen.constant={ rate = \"1kHz\", size = \"32B\" }"],
    ),
    ("a frame every ten seconds", &["traffic.down.screen.constant.rate=0.1Hz"]),
    ("a download as the traffic", &["traffic.down.screen.bulk={}"]),
    ("downloads both ways", &["traffic.down.screen.bulk={}", "traffic.up.keys.bulk={}"]),
    ("keystrokes down", &["traffic.down.screen.keystrokes.per-second=100"]),
    ("a picture up", &["traffic.up.keys.desktop={ video = 1 }"]),
    ("a desktop that rests", &["traffic.down.screen.desktop={ idle = 1, typing = 0, scrolling = 0 }"]),
    (
        "an adaptive encoder on a slow path",
        &[
            "traffic.down.screen.desktop={ video = 1000, idle = 0 }",
            "traffic.down.screen.encoder=adaptive",
            "path.down.bottleneck.rate=100kbit/s",
        ],
    ),
    ("a display of 1 Hz", &["display.rate=1Hz"]),
    ("a display of 1000 Hz", &["display.rate=1kHz"]),
    (
        "small packets",
        &[
            "path.mtu=576",
            "contender.udp-rs.udp.datagram=200",
            "contender.udp.udp.datagram=200",
            "contender.udp-repeat.udp.datagram=200",
            "contender.udp-xor.udp.datagram=200",
            "contender.udp-rs-frame.udp.datagram=200",
        ],
    ),
    ("jumbo packets", &["path.mtu=65535", "contender.udp.udp.datagram=9000"]),
    ("the largest code", &["contender.udp-rs.udp.fec.reed-solomon={ source = 1, repair = 254 }"]),
    (
        "a block that never fills",
        &[
            "contender.udp-rs.udp.fec.reed-solomon={ source = 254, repair = 1, flush = \"off\" }",
            "path.down.loss.iid.rate=20%",
        ],
    ),
    ("a chain that stays bad", &["path.down.loss.gilbert={ p = 1, r = 0.000001 }"]),
    (
        "a microwave that never rests",
        &[
            "channel.radio.periodic={ period = \"1ns\", bad = \"1ns\" }",
            "path.down.loss.channel={ channel = \"radio\" }",
            "path.down.extra-delay={ channel = \"radio\", bad = \"10s\" }",
        ],
    ),
];

#[derive(Debug)]
struct Silent;

impl Progress for Silent {
    fn advance(&self, _: usize, _: usize) {}
}

fn run(sets: &[&str]) -> Outcome {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let draft = scenario::parse(Sources::built_in("extreme", BASE), &sets)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let scenario = Scenario::new(&draft).unwrap_or_else(|problems| panic!("{problems}"));
    let conduct = Conduct { threads: None, cancelled: &AtomicBool::new(false), progress: &Silent };
    runner::run(&scenario, &[1], &conduct).unwrap_or_else(|error| panic!("{error}"))
}

/// The fates that a frame can have; their shares sum to 100 %.
const FATES: [&str; 7] = [
    "frames_shown_pct",
    "frames_superseded_pct",
    "frames_undecodable_pct",
    "frames_unrepairable_pct",
    "frames_late_pct",
    "frames_never_sent_pct",
    "frames_unfinished_pct",
];

#[test]
fn every_extreme_scenario_ends_and_accounts_for_every_frame() {
    for (name, sets) in CASES {
        for contender in run(sets).contenders {
            let who = format!("{name}, {}", contender.name);
            let metrics = &contender.per_seed[0];
            for (metric, value) in metrics.iter() {
                // The ledger has been closed by the run; here no number may hide a division by zero.
                assert!(value.number().is_none_or(f64::is_finite), "{who}: {} is {value:?}", metric.key);
            }
            let fates: Vec<f64> =
                FATES.iter().filter_map(|key| metrics.get(key).and_then(Value::number)).collect();
            let sum: f64 = fates.iter().sum();
            assert!(fates.is_empty() || fates.len() == FATES.len(), "{who}: some fates have no value");
            assert!(fates.is_empty() || (sum - 100.0).abs() < 1e-6, "{who}: the fates sum to {sum} %");
        }
    }
}

#[test]
fn a_picture_that_never_arrives_has_an_age_and_no_frame_on_time() {
    for contender in run(&["path.down.loss.iid.rate=100%"]).contenders {
        let metric = |key: &str| contender.per_seed[0].get(key);
        assert_eq!(metric("frames_on_time_pct"), Some(Value::Number(0.0)), "{}", contender.name);
        assert_eq!(metric("goodput_bps"), Some(Value::Number(0.0)), "{}", contender.name);
        assert!(matches!(metric("frame_delay_p50_ms"), Some(Value::Absent(_))), "{}", contender.name);
    }
}
