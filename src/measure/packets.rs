//! What the network did to the packets of all sessions together, and what they cost.

use super::histogram::Times;
use crate::endpoint::{Class, Direction};
use crate::record::{Arrived, DropReason, Event, PacketInfo, Record};
use crate::time::{Duration, Time};

/// The packets of all sessions of a contender.
#[derive(Clone, Debug)]
pub(super) struct Packets {
    from: Time,
    to: Time,
    flows: Vec<FlowState>,
    pub(super) loss: LossCounts,
    pub(super) bytes: ByteCounts,
    pub(super) queue_delay: Times,
    pub(super) recovery_delay: Times,
    /// The sum of the jitter at every source packet that arrived, in seconds, and how many did.
    pub(super) jitter: (f64, u64),
}

/// Packets that travel down and were sent in the time that counts, and what the network lost of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LossCounts {
    /// Packets that entered the link, and second copies that it made.
    pub(super) sent: u64,
    pub(super) random: u64,
    pub(super) queue: u64,
    /// Packets that a queue marked.
    pub(super) marked: u64,
    /// Lost packets, and how many of them directly follow another lost one.
    pub(super) in_runs: u64,
    pub(super) following: u64,
    /// Source packets, and how many of them never became available.
    pub(super) sources: u64,
    pub(super) sources_lost: u64,
}

/// Bytes; of both directions unless the name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteCounts {
    /// Application bytes in all packets, first-time or not, that carry or protect some.
    pub(super) payload: u64,
    /// Application bytes sent for the first time.
    pub(super) source: u64,
    /// All IP bytes.
    pub(super) wire: u64,
    /// IP bytes of feedback, before the captures end.
    pub(super) feedback: u64,
    /// IP bytes delivered downwards before the captures end.
    pub(super) delivered_down: u64,
}

#[derive(Clone, Debug)]
struct FlowState {
    /// The first packet and the first source packet that go down and count.
    first_packet: Option<u64>,
    first_source: Option<u64>,
    /// The packets lost of late: the index plus 1, at the index modulo the length.
    lost: [u64; LOST_MEMORY],
    /// The transit time of the last source packet, and the jitter so far, in seconds.
    transit: Option<f64>,
    jitter: f64,
    /// Application bytes that arrived, going down, before the captures end.
    goodput_bytes: u64,
}

impl Packets {
    /// For so many sessions; packets count that are sent from `from` on, and rates until `to`.
    pub(super) fn new(from: Time, to: Time, sessions: usize) -> Self {
        let flow = FlowState {
            first_packet: None,
            first_source: None,
            lost: [0; LOST_MEMORY],
            transit: None,
            jitter: 0.0,
            goodput_bytes: 0,
        };
        Self {
            from,
            to,
            flows: vec![flow; sessions],
            loss: LossCounts::default(),
            bytes: ByteCounts::default(),
            queue_delay: Times::new(),
            recovery_delay: Times::new(),
            jitter: (0.0, 0),
        }
    }

    /// What happens from `at` on does not count.
    pub(super) fn cut(&mut self, at: Time) {
        self.to = self.to.min(at);
    }

    /// Takes a record of one of the sessions.
    pub(super) fn record(&mut self, record: &Record) {
        let Some(flow) = self.flows.get_mut(usize::from(record.flow.0)) else { return };
        let down = record.direction == Direction::Down;
        let started = self.from <= record.at;
        let ended = self.to <= record.at;
        match record.event {
            Event::PacketSent(packet) if started => {
                self.bytes.count_sent(packet, ended);
                if down {
                    flow.first_packet.get_or_insert(packet.index);
                    self.loss.sent += 1;
                }
            }
            Event::PacketDuplicated(packet) if down && flow.counts(packet) => self.loss.sent += 1,
            Event::PacketMarked(packet) if down && flow.counts(packet) => self.loss.marked += 1,
            Event::PacketDropped(packet, reason) if down && flow.counts(packet) => {
                self.loss.count_drop(flow, packet, reason);
            }
            Event::PacketDelivered(packet, transit) if down => {
                if started && !ended {
                    self.bytes.delivered_down += u64::from(packet.size);
                }
                let counts = flow.counts(packet);
                if counts {
                    self.queue_delay.record(transit.queued, 1);
                }
                if packet.class == Class::Source {
                    flow.update_jitter(transit.total);
                    if counts {
                        self.jitter.0 += flow.jitter;
                        self.jitter.1 += 1;
                    }
                }
            }
            Event::SourceSent { source, bytes } if started => {
                self.bytes.source += u64::from(bytes);
                if down {
                    flow.first_source.get_or_insert(source);
                    self.loss.sources += 1;
                }
            }
            Event::SourceArrived { source, bytes, by, .. } if down => {
                if started && !ended {
                    flow.goodput_bytes += u64::from(bytes);
                }
                if let Arrived::Recovered { after } = by
                    && flow.first_source.is_some_and(|first| source >= first)
                {
                    self.recovery_delay.record(after, 1);
                }
            }
            Event::SourceLost { source }
                if down && flow.first_source.is_some_and(|first| source >= first) =>
            {
                self.loss.sources_lost += 1;
            }
            _ => {}
        }
    }

    /// The application bytes that arrived in each session.
    pub(super) fn goodput_bytes(&self) -> impl Iterator<Item = u64> {
        self.flows.iter().map(|flow| flow.goodput_bytes)
    }
}

impl ByteCounts {
    fn count_sent(&mut self, packet: PacketInfo, ended: bool) {
        self.wire += u64::from(packet.size);
        match packet.class {
            Class::Source | Class::Repair | Class::Retransmission => {
                self.payload += u64::from(packet.payload);
            }
            Class::Feedback if !ended => self.feedback += u64::from(packet.size),
            Class::Feedback | Class::Handshake => {}
        }
    }
}

impl LossCounts {
    fn count_drop(&mut self, flow: &mut FlowState, packet: PacketInfo, reason: DropReason) {
        match reason {
            DropReason::QueueFull | DropReason::QueueManaged => self.queue += 1,
            DropReason::Loss
            | DropReason::Outage
            | DropReason::RetriesExhausted
            | DropReason::Corrupted
            | DropReason::TooLarge => self.random += 1,
        }
        if !flow.is_lost(packet.index) {
            flow.lost[packet.index as usize % LOST_MEMORY] = packet.index + 1;
            self.in_runs += 1;
            // Drops are told as they happen, which need not be the order of sending.
            self.following += u64::from(packet.index > 0 && flow.is_lost(packet.index - 1));
            self.following += u64::from(flow.is_lost(packet.index + 1));
        }
    }
}

impl FlowState {
    fn counts(&self, packet: PacketInfo) -> bool {
        self.first_packet.is_some_and(|first| packet.index >= first)
    }

    fn is_lost(&self, index: u64) -> bool {
        self.lost[index as usize % LOST_MEMORY] == index + 1
    }

    /// RFC 3550 §6.4.1: J += (|D| − J) / 16, D being the difference of two packets' transit times.
    fn update_jitter(&mut self, transit: Duration) {
        let transit = transit.as_secs_f64();
        if let Some(last) = self.transit.replace(transit) {
            let difference = (transit - last).abs();
            self.jitter += (difference - self.jitter) / 16.0;
        }
    }
}

/// How many packets back neighbors of a lost packet are found: more than wait in any queue between
/// the places where two neighbors may be dropped, in nearly every case. Beyond it a run counts as two.
const LOST_MEMORY: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::metrics::Value;
    use super::*;
    use crate::endpoint::Flow;
    use crate::record::Transit;

    fn packet(index: u64) -> PacketInfo {
        PacketInfo { index, class: Class::Source, size: 1240, payload: 1200 }
    }

    fn feed(packets: &mut Packets, millis: u64, direction: Direction, event: Event) {
        packets.record(&Record { at: Time::from_millis(millis), flow: Flow(0), direction, event });
    }

    /// Packets count from 1 s on, rates until 2 s.
    fn packets() -> Packets {
        Packets::new(Time::from_secs(1), Time::from_secs(2), 1)
    }

    #[test]
    fn runs_of_losses_are_counted_in_whatever_order_they_are_told() {
        let mut packets = packets();
        for index in 0..20 {
            feed(&mut packets, 1000, Direction::Down, Event::PacketSent(packet(index)));
        }
        for index in [4, 3, 9, 5, 12, 11] {
            let dropped = Event::PacketDropped(packet(index), DropReason::Loss);
            feed(&mut packets, 1010, Direction::Down, dropped);
        }
        // 3–5, 9, 11–12: six packets in three runs.
        assert_eq!((packets.loss.in_runs, packets.loss.following), (6, 3));
    }

    #[test]
    fn losses_are_told_apart_and_warm_up_does_not_count() {
        let mut packets = packets();
        let drop = |index, reason| Event::PacketDropped(packet(index), reason);
        for (index, at) in [(0, 990), (1, 1000), (2, 2500)] {
            feed(&mut packets, at, Direction::Down, Event::PacketSent(packet(index)));
        }
        feed(&mut packets, 1001, Direction::Down, Event::PacketDuplicated(packet(1)));
        feed(&mut packets, 1001, Direction::Down, Event::PacketDuplicated(packet(0)));
        feed(&mut packets, 1002, Direction::Down, drop(0, DropReason::Loss));
        feed(&mut packets, 1002, Direction::Down, drop(1, DropReason::QueueFull));
        feed(&mut packets, 2502, Direction::Down, drop(2, DropReason::Outage));
        feed(&mut packets, 2502, Direction::Up, drop(3, DropReason::Outage));
        let LossCounts { sent, random, queue, .. } = packets.loss;
        assert_eq!((sent, random, queue), (3, 1, 1));
    }

    #[test]
    fn bytes_are_told_apart_by_class() {
        let mut packets = packets();
        let sent = |class, payload| Event::PacketSent(PacketInfo { class, payload, ..packet(0) });
        feed(&mut packets, 1100, Direction::Down, Event::SourceSent { source: 0, bytes: 1000 });
        feed(&mut packets, 1100, Direction::Down, sent(Class::Source, 1100));
        feed(&mut packets, 1100, Direction::Down, sent(Class::Repair, 500));
        feed(&mut packets, 2100, Direction::Down, sent(Class::Retransmission, 400));
        feed(&mut packets, 1100, Direction::Up, sent(Class::Feedback, 0));
        feed(&mut packets, 2100, Direction::Up, sent(Class::Feedback, 0));
        feed(&mut packets, 100, Direction::Up, sent(Class::Feedback, 0));
        let ByteCounts { payload, source, wire, feedback, .. } = packets.bytes;
        assert_eq!((payload, source, wire, feedback), (2000, 1000, 5 * 1240, 1240));
    }

    #[test]
    fn sources_lost_and_recovered_are_those_sent_in_time() {
        let mut packets = packets();
        let arrived = |source, by| Event::SourceArrived { source, bytes: 1000, by, in_time: true };
        let recovered = |ms| Arrived::Recovered { after: Duration::from_millis(ms) };
        feed(&mut packets, 900, Direction::Down, Event::SourceSent { source: 6, bytes: 1000 });
        for source in 7..10 {
            feed(&mut packets, 1100, Direction::Down, Event::SourceSent { source, bytes: 1000 });
        }
        feed(&mut packets, 1150, Direction::Down, arrived(6, recovered(50)));
        feed(&mut packets, 1150, Direction::Down, arrived(7, recovered(20)));
        feed(&mut packets, 2150, Direction::Down, arrived(8, Arrived::Delivered));
        feed(&mut packets, 2200, Direction::Down, Event::SourceLost { source: 6 });
        feed(&mut packets, 2200, Direction::Down, Event::SourceLost { source: 9 });
        assert_eq!((packets.loss.sources, packets.loss.sources_lost), (3, 1));
        assert_eq!(packets.recovery_delay.max_ms("none"), Value::Number(20.0));
        assert_eq!(packets.goodput_bytes().collect::<Vec<_>>(), [2000]);
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut packets = packets();
        for (index, transit) in [(0, 20), (1, 36), (2, 20)] {
            feed(&mut packets, 1000, Direction::Down, Event::PacketSent(packet(index)));
            let queued = Duration::from_millis(transit - 20);
            let transit = Transit { total: Duration::from_millis(transit), queued };
            feed(&mut packets, 1100, Direction::Down, Event::PacketDelivered(packet(index), transit));
        }
        // 0, then 16/16 = 1 ms, then 1 + 15/16 ms.
        let (sum, count) = packets.jitter;
        assert_eq!(count, 3);
        assert!((sum - (1.0 + 1.9375) / 1e3).abs() < 1e-12, "{sum}");
        assert_eq!(packets.queue_delay.max_ms("none"), Value::Number(16.0));
    }
}
