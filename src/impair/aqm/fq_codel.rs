//! FQ-CoDel: a queue for each flow, served in turn by bytes, each under CoDel. Linux's default.
//!
//! Source: RFC 8290, sections 4 and 5; tc-fq_codel(8) for names and defaults.
//!
//! A flow that has just come goes before those that have stood in line, for one quantum: so a flow that
//! sends less than its share hardly waits at all.
//!
//! | | RFC 8290 | Linux | here |
//! | --- | --- | --- | --- |
//! | flows | hash of protocol, addresses and ports, with a secret | the same | hash of the session's number with the seed, so that two may share a queue as there |
//! | when one MTU waits, CoDel spares it | not said | what waits in all queues counts | as Linux |
//! | a full queue | drops half of the longest queue's bytes, 64 packets at most, at its head | the same | the same |
//! | memory | not said | counts the kernel's own bytes, some 900 a packet more | counts the packets' bytes |
//! | the Ethernet header | not said | counts for quantum and shares | does not count |

use std::collections::VecDeque;
use std::fmt::Debug;

use crate::endpoint::Flow;
use crate::record::DropReason;
use crate::rng::Stream;
use crate::time::Time;
use crate::units::ByteSize;

use super::super::config::FqCodelConfig;
use super::super::per_flow::PerFlow;
use super::super::{Backlog, Meta, Queued};
use super::codel::{Control, Law};
use super::{Discipline, Drops, Fifo};

/// How many packets are dropped at once where everything is full.
const DROP_BATCH: usize = 64;

/// A queue for each flow, each under CoDel.
#[derive(Clone, Debug)]
pub struct FqCodel<P> {
    queues: Vec<FlowQueue<P>>,
    /// The queue of each flow.
    places: PerFlow<usize>,
    secret: Stream,
    /// Queues that have just become busy, and those that have been so for a round; by their places.
    new: VecDeque<usize>,
    old: VecDeque<usize>,
    law: Law,
    quantum: i64,
    limit: usize,
    memory_limit: u64,
    packets: usize,
    bytes: u64,
}

/// The queue of a flow, or of some.
#[derive(Clone, Debug)]
struct FlowQueue<P> {
    fifo: Fifo<P>,
    control: Control,
    /// The bytes that it may still send before it is the next one's turn.
    credit: i64,
    /// Whether it is in a list.
    busy: bool,
}

impl<P> FqCodel<P> {
    /// Empty queues for packets of up to `mtu` bytes, in which flows get their places by `secret`.
    pub fn new(config: &FqCodelConfig, mtu: u32, secret: Stream) -> Self {
        let queue = |_| FlowQueue { fifo: Fifo::new(), control: Control::default(), credit: 0, busy: false };
        Self {
            queues: (0..config.flows.max(1)).map(queue).collect(),
            places: PerFlow::new(),
            secret,
            new: VecDeque::new(),
            old: VecDeque::new(),
            law: Law::new(config.target, config.interval, config.ecn, mtu),
            quantum: i64::from(config.quantum.max(1)),
            limit: config.limit,
            memory_limit: config.memory_limit.get(),
            packets: 0,
            bytes: 0,
        }
    }

    /// The place of a flow's queue (section 4.1).
    fn place(&mut self, flow: Flow) -> usize {
        let (secret, queues) = (self.secret, self.queues.len() as u128);
        let hash = |flow: Flow| u128::from(secret.word(flow.0.into()));
        *self.places.entry(flow, |flow| ((hash(flow) * queues) >> 64) as usize)
    }

    /// Drops half of what waits in the longest queue, from its head (section 4.1).
    fn drop_from_longest(&mut self, drops: &mut Drops<P>) {
        let longest = self.queues.iter_mut().rev().max_by_key(|queue| queue.fifo.bytes);
        let Some(queue) = longest else { return };
        let goal = queue.fifo.bytes / 2;
        let mut dropped = 0;
        for _ in 0..DROP_BATCH {
            let Some(packet) = queue.fifo.pop() else { return };
            let bytes = u64::from(packet.meta.size);
            (self.packets, self.bytes) = (self.packets - 1, self.bytes - bytes);
            drops.push((packet, DropReason::QueueFull));
            // What is dropped here counts as CoDel's own drops do.
            queue.control.count = queue.control.count.saturating_add(1);
            dropped += bytes;
            if dropped >= goal {
                return;
            }
        }
    }
}

impl<P: Debug> Discipline<P> for FqCodel<P> {
    fn enqueue(&mut self, _: Time, packet: Queued<P>, drops: &mut Drops<P>) {
        let place = self.place(packet.meta.flow);
        let queue = &mut self.queues[place];
        self.packets += 1;
        self.bytes += u64::from(packet.meta.size);
        queue.fifo.push(packet);
        if !queue.busy {
            queue.busy = true;
            queue.credit = self.quantum;
            self.new.push_back(place);
        }
        while self.packets > self.limit || self.bytes > self.memory_limit {
            self.drop_from_longest(drops);
        }
    }

    fn dequeue(&mut self, now: Time, drops: &mut Drops<P>) -> Option<Queued<P>> {
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &mut self.new } else { &mut self.old };
            let place = *list.front()?;
            let queue = &mut self.queues[place];
            if queue.credit <= 0 {
                queue.credit += self.quantum;
                list.pop_front();
                self.old.push_back(place);
                continue;
            }
            let (fifo, packets, bytes) = (&mut queue.fifo, &mut self.packets, &mut self.bytes);
            let packet = queue.control.dequeue(now, &self.law, drops, || {
                let packet = fifo.pop()?;
                *packets -= 1;
                *bytes -= u64::from(packet.meta.size);
                Some((packet, *bytes))
            });
            if let Some(packet) = packet {
                queue.credit -= i64::from(packet.meta.size);
                return Some(packet);
            }
            // A new queue that is empty waits a round, or one that comes and goes would starve the old ones.
            list.pop_front();
            if is_new && !self.old.is_empty() {
                self.old.push_back(place);
            } else {
                queue.busy = false;
            }
        }
    }

    fn backlog(&self) -> Backlog {
        Backlog { packets: self.packets, bytes: ByteSize::new(self.bytes) }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Meta)) {
        self.queues.iter().for_each(|queue| queue.fifo.for_each(visit));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::waiting;
    use super::*;
    use crate::endpoint::Ecn;
    use crate::rng::Seed;
    use crate::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    fn fq(config: FqCodelConfig) -> FqCodel<()> {
        FqCodel::new(&config, 1500, Seed(1).stream("test"))
    }

    fn enqueue(fq: &mut FqCodel<()>, now: Time, flow: u16, size: u32) -> Drops<()> {
        let mut drops = Vec::new();
        fq.enqueue(now, waiting(now, flow, 0, size, Ecn::NotEct), &mut drops);
        drops
    }

    #[test]
    fn flows_that_always_wait_get_equal_bytes_whatever_the_size_of_their_packets() {
        let mut fq = fq(FqCodelConfig::default());
        let sizes = [1500, 300, 900, 1400];
        let mut sent = [0.0; 4];
        for turn in 0..4000_u64 {
            // No wait is above the target, so that only the turns decide.
            let now = Time::from_micros(turn);
            for (flow, &size) in (0..).zip(&sizes) {
                let place = fq.place(Flow(flow));
                while fq.queues[place].fifo.packets.len() < 5 {
                    assert!(enqueue(&mut fq, now, flow, size).is_empty());
                }
            }
            let packet = fq.dequeue(now, &mut Vec::new()).unwrap();
            sent[usize::from(packet.meta.flow.0)] += f64::from(packet.meta.size);
        }
        let (sum, squares) = sent.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        assert!(sum * sum / (4.0 * squares) > 0.9999, "Jain's index of {sent:?}");
    }

    #[test]
    fn a_flow_that_sends_little_goes_before_those_that_stand_in_line() {
        let mut fq = fq(FqCodelConfig::default());
        for _ in 0..50 {
            enqueue(&mut fq, Time::ZERO, 0, 1500);
            enqueue(&mut fq, Time::ZERO, 1, 1500);
        }
        for turn in 0..40 {
            let now = Time::from_micros(turn);
            if turn % 10 == 5 {
                enqueue(&mut fq, now, 2, 200);
            }
            let packet = fq.dequeue(now, &mut Vec::new()).unwrap();
            assert_eq!(packet.meta.flow == Flow(2), turn % 10 == 5, "{turn}");
        }
    }

    #[test]
    fn the_longest_queue_pays_for_a_full_one() {
        let mut fq = fq(FqCodelConfig { limit: 100, ..FqCodelConfig::default() });
        for _ in 0..10 {
            assert!(enqueue(&mut fq, Time::ZERO, 1, 1500).is_empty());
        }
        let mut dropped = Vec::new();
        for _ in 0..91 {
            dropped.extend(enqueue(&mut fq, Time::ZERO, 0, 1500));
        }
        assert_eq!(dropped.len(), 46, "half of 91 packets, rounded up");
        let full = |(packet, reason): &(Queued<()>, _)| {
            packet.meta.flow == Flow(0) && *reason == DropReason::QueueFull
        };
        assert!(dropped.iter().all(full));
        assert_eq!(fq.backlog(), Backlog { packets: 55, bytes: ByteSize::new(55 * 1500) });
    }

    #[test]
    fn memory_is_bounded_and_a_batch_of_drops_too() {
        let memory_limit = ByteSize::new(200 * 1500);
        let mut fq = fq(FqCodelConfig { memory_limit, ..FqCodelConfig::default() });
        let dropped: usize = (0..201).map(|_| enqueue(&mut fq, Time::ZERO, 0, 1500).len()).sum();
        assert_eq!(dropped, DROP_BATCH);
    }

    #[test]
    fn only_the_flow_that_makes_a_queue_stand_is_dropped_from() {
        let mut fq = fq(FqCodelConfig::default());
        let mut drops = Vec::new();
        for turn in 0..2000_u64 {
            let now = Time::ZERO + MS * turn;
            // A packet a millisecond is what leaves; the bulky flow alone brings that much, and stands.
            let bulky = fq.place(Flow(0));
            while fq.queues[bulky].fifo.packets.len() < 30 {
                enqueue(&mut fq, now, 0, 1500);
            }
            if turn % 16 == 0 {
                enqueue(&mut fq, now, 1, 200);
            }
            fq.dequeue(now, &mut drops);
        }
        assert!(drops.len() > 20, "{} drops in 2 s of a wait of 30 ms", drops.len());
        assert!(drops.iter().all(|(packet, _)| packet.meta.flow == Flow(0)));
    }

    #[test]
    fn flows_find_their_queues_by_the_seed_and_may_share_one() {
        let mut fq = fq(FqCodelConfig { flows: 8, ..FqCodelConfig::default() });
        let places: Vec<usize> = (0..64).map(|flow| fq.place(Flow(flow))).collect();
        assert!((0..8).all(|place| places.contains(&place)), "{places:?}");
        let mut other = FqCodel::<()>::new(
            &FqCodelConfig { flows: 8, ..FqCodelConfig::default() },
            1500,
            Seed(2).stream("test"),
        );
        assert!((0..64).any(|flow| other.place(Flow(flow)) != places[usize::from(flow)]));
    }
}
