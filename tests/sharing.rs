//! Who shares a bottleneck with whom, and what its queue makes of it: through the whole stack.

use std::sync::atomic::AtomicBool;

use framehawk_sim::report::verdict;
use framehawk_sim::runner::{self, Conduct, Outcome, Progress};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{self, Scenario};

#[derive(Debug)]
struct Quiet;

impl Progress for Quiet {
    fn advance(&self, _: usize, _: usize) {}
}

/// A screen of 1.2 Mbit/s over TCP, and what `sets` say, on a path of 40 ms that carries 10 Mbit/s.
fn run(seeds: u64, sets: &[&str]) -> Outcome {
    let text = r#"
        duration = "30s"
        [measure]
        warm-up = "5s"
        [traffic.down.screen]
        constant = { rate = "30Hz", size = "5kB" }
        deadline = "200ms"
        [path.down]
        delay = "20ms"
        bottleneck.rate = "10Mbit/s"
        [path.up]
        delay = "20ms"
        [contender.tcp]
        tcp = {}
    "#;
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let draft = scenario::parse(Sources::built_in("test", text), &sets).unwrap_or_else(|e| panic!("{e}"));
    let scenario = Scenario::new(&draft).unwrap_or_else(|e| panic!("{e}"));
    let conduct = Conduct { threads: None, cancelled: &AtomicBool::new(false), progress: &Quiet };
    let seeds: Vec<u64> = (1..=seeds).collect();
    runner::run(&scenario, &seeds, &conduct).unwrap()
}

fn mean(outcome: &Outcome, contender: usize, key: &str) -> f64 {
    outcome.contenders[contender].mean(key).unwrap_or_else(|| panic!("{key} has a value"))
}

const CODEL: &str = "path.down.bottleneck.queue.codel={}";
const PIE: &str = "path.down.bottleneck.queue.pie={}";
const FQ_CODEL: &str = "path.down.bottleneck.queue.fq-codel={}";
const DROP_TAIL: &str = "path.down.bottleneck.queue.droptail=250ms";
const DOWNLOAD: &str = "neighbour.download.tcp.congestion=cubic";

#[test]
fn downloads_share_fq_codel_evenly_whatever_their_congestion_control() {
    let bulk = "traffic.down={ file.bulk = {} }";
    for neighbour in ["neighbour.other.tcp.congestion=reno", "neighbour.other.tcp.congestion=bbr"] {
        let outcome = run(1, &[FQ_CODEL, bulk, DOWNLOAD, neighbour, "neighbour.other.count=2"]);
        let jain = mean(&outcome, 0, "path_jain_index");
        assert!(jain > 0.99, "{neighbour}: {jain}");
        let all = mean(&outcome, 0, "goodput_bps") + mean(&outcome, 0, "neighbour_goodput_bps");
        assert!(all > 8.5e6, "{neighbour}: {all}");
    }
}

#[test]
fn a_download_fills_drop_tail_and_not_the_others() {
    let waits = |queue| mean(&run(1, &[queue, DOWNLOAD]), 0, "queue_delay_p50_ms");
    let (tail, codel, pie, fq) = (waits(DROP_TAIL), waits(CODEL), waits(PIE), waits(FQ_CODEL));
    // CUBIC keeps a queue of 250 ms at least 70 % full; CoDel and PIE aim at 5 and 15 ms. The screen's own
    // bursts of four packets of 1.2 ms each are all that waits in a queue of its own, beside one packet
    // of the download at a time.
    assert!(tail > 120.0, "drop-tail {tail} ms");
    assert!((2.0..25.0).contains(&codel), "CoDel {codel} ms");
    assert!((5.0..35.0).contains(&pie), "PIE {pie} ms");
    assert!(fq < 6.0, "FQ-CoDel {fq} ms");
}

#[test]
fn marks_take_the_place_of_losses_where_both_take_part() {
    for contender in
        ["contender.tcp.tcp.ecn=true", "contender.tcp={ udp = { rate = \"delay\", ecn = true } }"]
    {
        for queue in ["codel.ecn=true", "fq-codel={}"] {
            let queue = format!("path.down.bottleneck.queue.{queue}");
            // Frames of 12 Mbit/s, so that it is the contender that fills the queue.
            let outcome = run(1, &[&queue, contender, "traffic.down.screen.constant.size=50kB"]);
            let (marked, lost) =
                (mean(&outcome, 0, "network_marked_pct"), mean(&outcome, 0, "network_loss_queue_pct"));
            assert!(marked > 0.02 && lost == 0.0, "{contender} {queue}: {marked} % marked, {lost} % lost");
        }
    }
    let outcome = run(1, &[CODEL, "contender.tcp.tcp.ecn=true", DOWNLOAD]);
    assert_eq!(mean(&outcome, 0, "network_marked_pct"), 0.0, "a queue without ecn marks nothing");
}

#[test]
fn whoever_takes_a_neighbours_share_is_named_and_nobody_else() {
    let pushes = "contender.udp-pushes={ udp = { rate = \"none\" } }";
    let yields = "contender.udp-yields={ udp = { rate = \"delay\" } }";
    let size = "traffic.down.screen.constant.size=36kB";
    let outcome = run(5, &[DROP_TAIL, DOWNLOAD, pushes, yields, size]);
    let starved: Vec<bool> =
        outcome.contenders.iter().map(|one| one.neighbours[0].starved.is_some()).collect();
    let goodput = |place: usize| outcome.contenders[place].neighbours[0].goodput;
    assert_eq!(starved, [false, true, false], "{:?} {:?} {:?}", goodput(0), goodput(1), goodput(2));
    let sentence = verdict::sentences(&outcome).into_iter().find(|sentence| sentence.contains("starves"));
    assert!(sentence.unwrap().starts_with("udp-pushes starves its neighbour download (TCP cubic): "));
    // In queues of their own nobody can.
    let outcome = run(5, &[FQ_CODEL, DOWNLOAD, pushes, yields, size]);
    assert!(outcome.contenders.iter().all(|one| one.neighbours[0].starved.is_none()));
}

#[test]
fn the_same_seed_gives_the_same_result_with_every_queue() {
    for queue in [CODEL, PIE, FQ_CODEL] {
        let sets = [queue, DOWNLOAD, "path.down.loss.iid.rate=1%"];
        assert_eq!(run(2, &sets), run(2, &sets), "{queue}");
    }
}

#[test]
fn a_bottleneck_of_changing_rate_works_with_every_queue() {
    let radio = "channel.radio.two-state={ good = \"900ms\", bad = \"60ms\" }";
    let slow = ["path.down.bottleneck.channel=radio", "path.down.bottleneck.bad-factor=0.1"];
    for queue in [CODEL, PIE, FQ_CODEL] {
        let outcome = run(1, &[queue, DOWNLOAD, radio, slow[0], slow[1]]);
        let used = mean(&outcome, 0, "goodput_bps") + mean(&outcome, 0, "neighbour_goodput_bps");
        assert!(used > 6e6, "{queue}: {used}");
    }
}
