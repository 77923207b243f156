//! CoDel: drops at the head of the queue while even the shortest wait of the last while is too long.
//!
//! Source: RFC 8289, sections 4 and 5; tc-codel(8) for names and defaults.
//!
//! | | RFC 8289 | Linux | here |
//! | --- | --- | --- | --- |
//! | congestion marks instead of drops | allowed | with `ecn` | as Linux: one mark or drop each time |
//! | 1/√count | exact | Newton's iteration | exact |
//! | the last packet is spared | of up to one MTU | of up to an MTU and the Ethernet header | of up to one MTU |
//! | a full queue | not said | drops what comes | drops what comes |

use std::fmt::Debug;

use crate::record::DropReason;
use crate::time::{Duration, Time};

use super::super::config::CodelConfig;
use super::super::{Backlog, Meta, Queued};
use super::{Discipline, Drops, Fifo, mark};

/// One queue under CoDel.
#[derive(Clone, Debug)]
pub struct Codel<P> {
    fifo: Fifo<P>,
    limit: usize,
    law: Law,
    control: Control,
}

impl<P> Codel<P> {
    /// An empty queue for packets of up to `mtu` bytes.
    pub fn new(config: &CodelConfig, mtu: u32) -> Self {
        let law = Law::new(config.target, config.interval, config.ecn, mtu);
        Self { fifo: Fifo::new(), limit: config.limit, law, control: Control::default() }
    }
}

impl<P: Debug> Discipline<P> for Codel<P> {
    fn enqueue(&mut self, _: Time, packet: Queued<P>, drops: &mut Drops<P>) {
        if self.fifo.packets.len() >= self.limit {
            drops.push((packet, DropReason::QueueFull));
        } else {
            self.fifo.push(packet);
        }
    }

    fn dequeue(&mut self, now: Time, drops: &mut Drops<P>) -> Option<Queued<P>> {
        let fifo = &mut self.fifo;
        self.control.dequeue(now, &self.law, drops, || {
            let packet = fifo.pop()?;
            Some((packet, fifo.bytes))
        })
    }

    fn backlog(&self) -> Backlog {
        self.fifo.backlog()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Meta)) {
        self.fifo.for_each(visit);
    }
}

/// The parameters of the control law.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    target: Duration,
    interval: Duration,
    ecn: bool,
    /// A queue that holds no more than this is left alone (MAXPACKET).
    spared_bytes: u64,
}

impl Law {
    pub(super) const fn new(target: Duration, interval: Duration, ecn: bool, mtu: u32) -> Self {
        Self { target, interval, ecn, spared_bytes: mtu as u64 }
    }

    /// When the next drop is due after one at `last` (section 5.6, `control_law`).
    fn next(&self, last: Time, count: u32) -> Time {
        last + self.interval.mul_f64(1.0 / libm::sqrt(f64::from(count.max(1))))
    }

    /// Marks a packet in the place of a drop, where that can be.
    fn marks<P>(&self, packet: &mut Queued<P>) -> bool {
        self.ecn && mark(packet)
    }
}

/// The state of the control law of one queue (section 5.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    /// From when on packets may be dropped, if the wait stays above the target until then.
    first_above: Option<Time>,
    dropping: bool,
    drop_next: Time,
    /// Drops since this state was entered, and how many there had been when it was entered last.
    pub(super) count: u32,
    last_count: u32,
}

impl Control {
    /// The next packet to send; `pop` takes the head of the queue and says how many bytes are left
    /// (section 5.5).
    pub(super) fn dequeue<P>(
        &mut self,
        now: Time,
        law: &Law,
        drops: &mut Drops<P>,
        mut pop: impl FnMut() -> Option<(Queued<P>, u64)>,
    ) -> Option<Queued<P>> {
        let (mut packet, above) = self.judge(now, law, pop());
        if above && !self.dropping {
            if let Some(dropped) = packet.take_if(|packet| !law.marks(packet)) {
                drops.push((dropped, DropReason::QueueManaged));
                (packet, _) = self.judge(now, law, pop());
            }
            self.enter(now, law);
            return packet;
        }
        self.dropping &= above;
        while self.dropping && now >= self.drop_next {
            self.count = self.count.saturating_add(1);
            let marked = packet.as_mut().is_some_and(|packet| law.marks(packet));
            if !marked {
                drops.extend(packet.take().map(|packet| (packet, DropReason::QueueManaged)));
                (packet, self.dropping) = self.judge(now, law, pop());
            }
            if self.dropping {
                self.drop_next = law.next(self.drop_next, self.count);
            }
            if marked {
                break;
            }
        }
        packet
    }

    /// Enters the state in which packets are dropped. Where it was left a short while ago, the rate that
    /// controlled the queue then is a good start (section 5.5).
    fn enter(&mut self, now: Time, law: &Law) {
        let since = self.count.saturating_sub(self.last_count);
        let recent = now.since(self.drop_next) < law.interval * 16;
        self.count = if since > 1 && recent { since } else { 1 };
        self.last_count = self.count;
        self.drop_next = law.next(now, self.count);
        self.dropping = true;
    }

    /// Whether the wait has been above the target for an interval, as of the packet at the head of the
    /// queue (section 5.6, `dodequeue`).
    fn judge<P>(
        &mut self,
        now: Time,
        law: &Law,
        head: Option<(Queued<P>, u64)>,
    ) -> (Option<Queued<P>>, bool) {
        let Some((packet, bytes_left)) = head else {
            self.first_above = None;
            return (None, false);
        };
        if now.since(packet.entered) < law.target || bytes_left <= law.spared_bytes {
            self.first_above = None;
            return (Some(packet), false);
        }
        let above = match self.first_above {
            Some(from) => now >= from,
            None => {
                self.first_above = Some(now + law.interval);
                false
            }
        };
        (Some(packet), above)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::waiting;
    use super::*;
    use crate::endpoint::Ecn;

    const MS: Duration = Duration::from_millis(1);

    fn config(ecn: bool) -> CodelConfig {
        CodelConfig { ecn, ..CodelConfig::default() }
    }

    /// A queue in which every packet has waited 20 ms or more when its turn comes, once a millisecond for `turns`
    /// from `from` on: the turns at which packets were dropped, and at which marked ones left.
    fn standing(codel: &mut Codel<()>, ecn: Ecn, from: Time, turns: u64) -> (Vec<u64>, Vec<u64>) {
        let (mut dropped, mut marked) = (Vec::new(), Vec::new());
        for turn in 0..turns {
            let now = from + MS * turn;
            while codel.backlog().packets < 6 {
                codel.enqueue(now, waiting(now.saturating_sub(MS * 20), 0, 0, 1500, ecn), &mut Vec::new());
            }
            let mut drops = Vec::new();
            let packet = codel.dequeue(now, &mut drops).unwrap();
            assert!(drops.iter().all(|(_, reason)| *reason == DropReason::QueueManaged));
            dropped.extend(drops.iter().map(|_| turn));
            if packet.transmit.ecn == Ecn::Ce {
                marked.push(turn);
            }
        }
        (dropped, marked)
    }

    const START: Time = Time::from_secs(1);

    #[test]
    fn drops_come_at_the_interval_over_the_square_root_of_their_count() {
        let (dropped, marked) = standing(&mut Codel::new(&config(false), 1500), Ecn::NotEct, START, 600);
        // The first after an interval above the target, then each 100/√count ms after the one before,
        // seen at the next of the turns a millisecond apart.
        let (mut due, mut expected) = (100.0, vec![100]);
        for count in 1.. {
            due += 100.0 / f64::from(count).sqrt();
            if due >= 600.0 {
                break;
            }
            expected.push(due.ceil() as u64);
        }
        assert_eq!(dropped, expected);
        assert_eq!(dropped[..4], [100, 200, 271, 329], "RFC 8289: 100, then 100/√1, 100/√2, 100/√3");
        assert!(marked.is_empty());
    }

    #[test]
    fn packets_that_take_part_are_marked_at_the_same_times() {
        let expected = standing(&mut Codel::new(&config(false), 1500), Ecn::NotEct, START, 600).0;
        let (dropped, marked) = standing(&mut Codel::new(&config(true), 1500), Ecn::Ect0, START, 600);
        assert_eq!((dropped, marked), (Vec::new(), expected.clone()));
        let (dropped, marked) = standing(&mut Codel::new(&config(true), 1500), Ecn::NotEct, START, 600);
        assert_eq!((dropped, marked), (expected, Vec::new()), "others are dropped all the same");
    }

    #[test]
    fn a_wait_below_the_target_and_a_last_packet_are_left_alone() {
        for (waited, packets) in [(2, 3), (50, 1)] {
            let mut codel = Codel::new(&config(false), 1500);
            for ms in 0..1000 {
                let now = Time::from_millis(1000 + ms);
                while codel.backlog().packets < packets {
                    let packet = waiting(now.saturating_sub(MS * waited), 0, 0, 1500, Ecn::NotEct);
                    codel.enqueue(now, packet, &mut Vec::new());
                }
                let mut drops = Vec::new();
                assert!(codel.dequeue(now, &mut drops).is_some() && drops.is_empty());
            }
        }
    }

    #[test]
    fn soon_after_the_last_drops_it_begins_at_the_rate_that_it_had() {
        let mut codel = Codel::new(&config(false), 1500);
        let (dropped, _) = standing(&mut codel, Ecn::NotEct, START, 600);
        let count = codel.control.count;
        assert_eq!(count as usize, dropped.len());
        // An empty queue ends it; then the queue stands again, and drops after an interval.
        while codel.dequeue(Time::from_millis(1600), &mut Vec::new()).is_some() {}
        assert!(!codel.control.dropping);
        let gap = |from| {
            let (dropped, _) = standing(&mut codel.clone(), Ecn::NotEct, from, 250);
            dropped[1] - dropped[0]
        };
        let rate = 100.0 / f64::from(count - 1).sqrt();
        assert_eq!(gap(Time::from_millis(1700)), rate.ceil() as u64);
        assert_eq!(gap(Time::from_secs(10)), 100, "after sixteen intervals it begins anew");
    }

    #[test]
    fn a_full_queue_drops_what_comes() {
        let mut codel = Codel::new(&CodelConfig { limit: 2, ..CodelConfig::default() }, 1500);
        let mut drops = Vec::new();
        for index in 0..4 {
            codel.enqueue(Time::ZERO, waiting(Time::ZERO, 0, index, 1500, Ecn::NotEct), &mut drops);
        }
        let dropped: Vec<_> = drops.iter().map(|(packet, reason)| (packet.meta.index, *reason)).collect();
        assert_eq!(dropped, [(2, DropReason::QueueFull), (3, DropReason::QueueFull)]);
    }
}
