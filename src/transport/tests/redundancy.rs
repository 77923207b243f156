//! What codes do inside the transport: riders, answers by repair packets, and codes at rest.

use super::*;
use crate::fec::adaptive::Adaptive;
use crate::fec::red::Red;
use crate::fec::reed_solomon::{PerFrame, PerPackets};
use crate::fec::rlc::Rlc;

fn answering(retransmit: Retransmit) -> Config {
    Config { answer: Answer::Repair, ..config(retransmit) }
}

fn count_answers(pair: &Pair) -> usize {
    pair.packets.iter().filter(|(_, _, packet)| matches!(packet.body, Body::Answer(_))).count()
}

#[test]
fn what_rides_in_the_next_packet_recovers_the_one_before_it() {
    let red = Scheme::Red(Red::new(1).unwrap());
    let mut pair = Pair::losing(config(Retransmit::Never), &red, &[2, 7, 8, 20]);
    pair.stream(10, 5000, millis(20));
    pair.run_for(millis(200));
    // Two in a row are too many for a depth of one: the first of them is lost.
    assert_eq!(pair.lost().len(), 1);
    assert_eq!(pair.delivered().len(), 9);
    assert_eq!(
        pair.count(|event| matches!(event, Event::SourceArrived { by: Arrived::Recovered { .. }, .. })),
        3
    );
    // The copy makes packets no larger than they may be, and is counted where it is carried.
    assert!(pair.packets.iter().all(|(_, _, packet)| packet.size() <= 1228));
    let riders = pair.records.iter().map(|record| match record.event {
        Event::RidersArrived { count } => count as usize,
        _ => 0,
    });
    let alone = pair.count_sent(Class::Repair);
    let settled = pair.count(|event| matches!(event, Event::RepairSettled(_)));
    assert!(settled <= riders.sum::<usize>() + alone);
}

#[test]
fn a_receiver_that_misses_two_of_a_block_is_answered_by_two_fresh_repair_packets() {
    // Frames of 5 packets and one repair packet: packets 18 to 23 are those of the fourth frame, when the
    // round trip is known.
    let scheme = Scheme::ReedSolomonPerFrame(PerFrame::new(20, 1).unwrap());
    let mut pair = Pair::losing(answering(Retransmit::Deadline), &scheme, &[18, 20, 21]);
    pair.stream(6, 5000, millis(30));
    pair.run_for(millis(300));
    assert_eq!(pair.delivered().len(), 6);
    assert_eq!(count_answers(&pair), 2);
    assert_eq!(pair.count_sent(Class::Retransmission), 0);
    assert!(pair.lost().is_empty());
}

#[test]
fn where_nothing_of_a_block_is_known_the_packets_are_asked_for_together() {
    // The window code makes fresh repair packets for any range.
    let scheme = Scheme::Rlc(Rlc::new(8, 100, 1, 15).unwrap());
    let mut pair = Pair::losing(answering(Retransmit::Deadline), &scheme, &[6, 8]);
    pair.stream(6, 5000, millis(30));
    pair.run_for(millis(300));
    assert_eq!(pair.delivered().len(), 6);
    assert_eq!((count_answers(&pair), pair.count_sent(Class::Retransmission)), (2, 0));
}

#[test]
fn a_code_that_can_make_no_more_leaves_the_answer_to_retransmission() {
    let mut pair = Pair::losing(answering(Retransmit::Deadline), &xor(5), &[6, 8]);
    pair.stream(6, 5000, millis(30));
    pair.run_for(millis(300));
    assert_eq!(pair.delivered().len(), 6);
    assert_eq!((count_answers(&pair), pair.count_sent(Class::Retransmission)), (0, 2));
}

#[test]
fn the_adaptive_code_is_silent_on_a_clean_path_and_says_that_it_rests() {
    let scheme = Scheme::Adaptive(Adaptive::default());
    let mut pair = Pair::losing(answering(Retransmit::Deadline), &scheme, &[]);
    pair.stream(100, 5000, millis(30));
    pair.run_for(millis(300));
    // It cannot know in the first round trip that nothing will be lost.
    assert!(pair.count_sent(Class::Repair) <= 4, "{}", pair.count_sent(Class::Repair));
    let last = pair.packets.iter().rfind(|(_, _, packet)| matches!(packet.body, Body::Source(_)));
    assert!(last.is_some_and(|(_, _, packet)| !packet.header.protected));
}

#[test]
fn the_adaptive_code_protects_before_the_receiver_can_ask_where_a_round_trip_is_too_long() {
    let scheme = Scheme::Adaptive(Adaptive::default());
    let mut every_tenth = Pair::new(answering(Retransmit::Deadline), &scheme, |_, direction, _, index, _| {
        if direction == Direction::Down && index % 10 == 5 { vec![] } else { vec![Duration::ZERO] }
    });
    every_tenth.one_way = millis(60);
    for _ in 0..100 {
        every_tenth.offer(SERVER, 5000, millis(160));
        every_tenth.run_for(millis(30));
    }
    every_tenth.run_for(millis(500));
    let in_time = every_tenth.delivered().len();
    // The first frames pass before the first report; from then on hardly any is lost.
    assert!(in_time >= 92, "{in_time} of 100");
    assert_eq!(every_tenth.count_sent(Class::Retransmission), 0);
}

#[test]
fn repair_packets_that_are_added_while_the_session_runs_repair() {
    let scheme = Scheme::ReedSolomon(PerPackets::new(5, 1, None).unwrap());
    // Two packets of a block of 5 + 1 are too many, of one of 5 + 3 they are not.
    let mut pair = Pair::losing(config(Retransmit::Never), &scheme, &[1, 2, 13, 14]);
    pair.stream(2, 5000, millis(20));
    pair.run_for(millis(25));
    pair.ends[0].adjust_repair(2);
    pair.stream(4, 5000, millis(20));
    pair.run_for(millis(200));
    assert_eq!(pair.count_sent(Class::Repair), 2 + 4 * 3);
    assert_eq!(pair.lost().len(), 1);
    assert_eq!(pair.count(|event| matches!(event, Event::Malformed(_))), 0);
}
