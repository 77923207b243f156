//! One direction of a path: the steps in their order, and what is under way.
//!
//! The driver calls [`Link::send`] for each packet, comes back at [`Link::next_at`] and calls
//! [`Link::poll`] until there is nothing more. Every packet is a record when it enters and a record when
//! its fate shows; a packet lost on the air is under way until the air loses it. So at any time, in each
//! flow and class, packets sent and duplicated are those delivered, dropped and under way.

use crate::endpoint::{Arrival, Class, Direction, Ecn, Flow, Transmit, Wire};
use crate::record::{DropReason, Event, PacketInfo, Record, Sink, Transit};
use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::Probability;

use super::aqm;
use super::bottleneck::DropTail;
use super::chance::{Chance, Duplicate};
use super::config::{BottleneckConfig, LinkArqConfig, LinkConfig, LossPlace, PathConfig, QueueConfig};
use super::delay::Delay;
use super::loss::Loss;
use super::outage::Outage;
use super::per_flow::PerFlow;
use super::radio::Radio;
use super::server::Server;
use super::under_way::UnderWay;
use super::{Backlog, Dequeued, Fate, Meta, Queue, Queued, Stage};

/// One direction of a path.
#[derive(Debug)]
pub struct Link<P> {
    direction: Direction,
    mtu: u32,
    numbering: PerFlow<Numbering>,
    before_queue: Option<Loss>,
    bottleneck: Bottleneck<P>,
    air: Air,
    under_way: UnderWay<Crossing<P>>,
}

/// How many packets of a flow have entered.
#[derive(Clone, Copy, Debug, Default)]
struct Numbering {
    all: u64,
    handshake: u64,
}

#[derive(Debug)]
enum Bottleneck<P> {
    Open,
    DropTail(DropTail),
    Managed(Box<dyn Queue<P>>),
}

/// A packet whose fate is known and not yet due.
#[derive(Clone, Debug)]
struct Crossing<P> {
    transmit: Transmit<P>,
    flow: Flow,
    index: u64,
    entered: Time,
    queued: Duration,
    /// Why it will be dropped; none where it will be delivered.
    dropped: Option<DropReason>,
    /// Whether it is the copy of a duplicated packet, made when it is due.
    copy: bool,
}

impl<P: Wire> Link<P> {
    /// The link of one direction of `path`.
    pub fn new(path: &PathConfig, direction: Direction, seed: Seed) -> Self {
        let config = path.link(direction);
        let place = match direction {
            Direction::Down => "down",
            Direction::Up => "up",
        };
        let bottleneck = config.bottleneck.as_ref();
        let before = config.loss.as_ref().filter(|loss| loss.at == LossPlace::BeforeQueue);
        Self {
            direction,
            mtu: path.mtu,
            numbering: PerFlow::new(),
            before_queue: before.map(|loss| Loss::new(loss, path, seed, &format!("{place}/loss"))),
            bottleneck: bottleneck
                .map_or(Bottleneck::Open, |config| Bottleneck::new(config, path, seed, place)),
            air: Air::new(path, config, seed, place),
            under_way: UnderWay::new(reach(config)),
        }
    }

    /// Takes a packet of `flow`. Times never go back, from any call to the next.
    pub fn send(&mut self, now: Time, flow: Flow, transmit: Transmit<P>, sink: &mut dyn Sink) {
        let meta = self.number(flow, &transmit);
        let crossing = Crossing {
            transmit,
            flow,
            index: meta.index,
            entered: now,
            queued: Duration::ZERO,
            dropped: None,
            copy: false,
        };
        let info = crossing.info();
        self.record(now, flow, Event::PacketSent(info), sink);
        if meta.size > self.mtu {
            return self.drop(now, flow, info, DropReason::TooLarge, sink);
        }
        if let Fate::Drop(_, reason) = self.before_queue.admit(now, &meta) {
            return self.drop(now, flow, info, reason, sink);
        }
        match &mut self.bottleneck {
            Bottleneck::Open => self.cross(now, &meta, crossing),
            Bottleneck::DropTail(queue) => match queue.offer(now, meta.size) {
                Some(service) => {
                    let queued = service.begun.since(now);
                    self.cross(service.done, &meta, Crossing { queued, ..crossing });
                }
                None => self.drop(now, flow, info, DropReason::QueueFull, sink),
            },
            Bottleneck::Managed(queue) => {
                let Crossing { transmit, entered, .. } = crossing;
                queue.enqueue(now, Queued { meta, transmit, entered });
            }
        }
    }

    /// From now on the link loses this share of packets, in bursts of this mean length in packets, in the
    /// place where it has random losses, or on the air; 1 or less means independent losses. False, and
    /// nothing changes, where there are no such losses. Packets under way keep their fate.
    pub fn set_loss(&mut self, share: Probability, burst_packets: f64) -> bool {
        let loss = self.before_queue.as_mut().unwrap_or_else(|| self.air.loss());
        loss.set_mean(share, burst_packets)
    }

    /// When [`Link::poll`] has something to do; none while nothing is under way.
    pub fn next_at(&self) -> Option<Time> {
        let arrival = self.under_way.next_at();
        match self.queue_at() {
            Some(at) => Some(arrival.map_or(at, |arrival| arrival.min(at))),
            None => arrival,
        }
    }

    /// The next packet that arrives at the far end at `now`; called until there is none. What is
    /// dropped meanwhile is recorded only.
    pub fn poll(&mut self, now: Time, sink: &mut dyn Sink) -> Option<(Flow, Arrival<P>)> {
        loop {
            self.advance_queue(now, sink);
            let crossing = self.under_way.pop_due(now)?;
            let (flow, info) = (crossing.flow, crossing.info());
            if crossing.copy {
                self.record(now, flow, Event::PacketDuplicated(info), sink);
            }
            if let Some(reason) = crossing.dropped {
                self.drop(now, flow, info, reason, sink);
                continue;
            }
            let transit = Transit { total: now.since(crossing.entered), queued: crossing.queued };
            self.record(now, flow, Event::PacketDelivered(info, transit), sink);
            let Transmit { packet, ecn } = crossing.transmit;
            return Some((flow, Arrival { packet, ecn }));
        }
    }

    /// What waits in the bottleneck's queue at `now`.
    pub fn backlog(&self, now: Time) -> Backlog {
        match &self.bottleneck {
            Bottleneck::Open => Backlog::default(),
            Bottleneck::DropTail(queue) => queue.backlog(now),
            Bottleneck::Managed(queue) => queue.backlog(now),
        }
    }

    /// Flow and class of each packet that has entered and whose fate has not shown, in no particular
    /// order. Copies that are not made yet do not count.
    pub fn under_way(&self) -> Vec<(Flow, Class)> {
        let originals = self.under_way.iter().filter(|crossing| !crossing.copy);
        let mut packets: Vec<_> =
            originals.map(|crossing| (crossing.flow, crossing.transmit.packet.class())).collect();
        if let Bottleneck::Managed(queue) = &self.bottleneck {
            queue.for_each(&mut |meta| packets.push((meta.flow, meta.class)));
        }
        packets
    }

    /// Gives the packet its place in its flow.
    fn number(&mut self, flow: Flow, transmit: &Transmit<P>) -> Meta {
        let numbering = self.numbering.entry(flow, |_| Numbering::default());
        let class = transmit.packet.class();
        let meta = Meta {
            flow,
            index: numbering.all,
            established_index: numbering.all - numbering.handshake,
            size: transmit.packet.size(),
            class,
            ecn: transmit.ecn,
        };
        numbering.all += 1;
        numbering.handshake += u64::from(class == Class::Handshake);
        meta
    }

    /// Sends a packet that leaves the bottleneck at `at` over the air.
    fn cross(&mut self, at: Time, meta: &Meta, mut crossing: Crossing<P>) {
        match self.air.admit(at, meta) {
            Fate::Drop(at, reason) => {
                crossing.dropped = Some(reason);
                self.under_way.push(at, crossing);
            }
            Fate::Pass(at) => {
                crossing.dropped = self.air.corrupts(meta, false);
                self.under_way.push(at, crossing);
            }
            Fate::PassTwice(at) => {
                crossing.dropped = self.air.corrupts(meta, false);
                let dropped = self.air.corrupts(meta, true);
                let copy = Crossing { copy: true, dropped, ..crossing.clone() };
                self.under_way.push(at, crossing);
                self.under_way.push(at, copy);
            }
        }
    }

    /// Lets packets leave a general queue, up to what is due before them under way.
    fn advance_queue(&mut self, now: Time, sink: &mut dyn Sink) {
        while let Some(at) = self.queue_at() {
            if at > now || self.under_way.next_at().is_some_and(|arrival| arrival < at) {
                return;
            }
            let Bottleneck::Managed(queue) = &mut self.bottleneck else { return };
            match queue.dequeue(at) {
                None => return,
                Some(Dequeued::Passed { packet, begun }) => {
                    let (meta, queued) = (packet.meta, begun.since(packet.entered));
                    let marked = packet.transmit.ecn == Ecn::Ce && meta.ecn != Ecn::Ce;
                    let crossing = Crossing::of(packet, queued);
                    if marked {
                        self.record(now, meta.flow, Event::PacketMarked(crossing.info()), sink);
                    }
                    self.cross(at, &meta, crossing);
                }
                Some(Dequeued::Dropped(packet, reason)) => {
                    let crossing = Crossing::of(packet, Duration::ZERO);
                    self.drop(now, crossing.flow, crossing.info(), reason, sink);
                }
            }
        }
    }

    fn queue_at(&self) -> Option<Time> {
        match &self.bottleneck {
            Bottleneck::Managed(queue) => queue.next_at(),
            Bottleneck::Open | Bottleneck::DropTail(_) => None,
        }
    }

    fn drop(&self, at: Time, flow: Flow, info: PacketInfo, reason: DropReason, sink: &mut dyn Sink) {
        self.record(at, flow, Event::PacketDropped(info, reason), sink);
    }

    fn record(&self, at: Time, flow: Flow, event: Event, sink: &mut dyn Sink) {
        sink.record(&Record { at, flow, direction: self.direction, event });
    }
}

impl<P: Wire> Bottleneck<P> {
    fn new(config: &BottleneckConfig, path: &PathConfig, seed: Seed, place: &str) -> Self {
        match config.queue {
            QueueConfig::DropTail(limit) => Self::DropTail(DropTail::new(limit, &config.rate, path, seed)),
            QueueConfig::Managed(queue) => {
                let server = Server::new(&config.rate, path, seed);
                Self::Managed(aqm::queue(queue, server, path.mtu, seed, place))
            }
        }
    }
}

impl<P: Wire> Crossing<P> {
    fn of(packet: Queued<P>, queued: Duration) -> Self {
        let Queued { meta, transmit, entered } = packet;
        let (flow, index) = (meta.flow, meta.index);
        Self { transmit, flow, index, entered, queued, dropped: None, copy: false }
    }

    fn info(&self) -> PacketInfo {
        let packet = &self.transmit.packet;
        PacketInfo {
            index: self.index,
            class: packet.class(),
            size: packet.size(),
            payload: packet.payload(),
        }
    }
}

/// The steps behind the bottleneck.
#[derive(Clone, Debug)]
struct Air {
    outage: Option<Outage>,
    radio: Option<Radio>,
    link_arq: Option<LinkArqConfig>,
    seed: Seed,
    place: &'static str,
    /// Whether a packet that is tried again falls behind those after it.
    retries_overtaken: bool,
    delay: Delay,
    duplicate: Duplicate,
    corrupt: Chance,
}

impl Air {
    fn new(path: &PathConfig, config: &LinkConfig, seed: Seed, place: &'static str) -> Self {
        let chance = |name, p| Chance::new(seed.stream(&format!("{place}/{name}")), p);
        let outage = config.outage.as_ref();
        let loss = config.loss.as_ref().filter(|loss| loss.at == LossPlace::AfterQueue);
        Self {
            outage: outage.map(|outage| Outage::new(outage, path, seed, &format!("{place}/outage"))),
            radio: loss.map(|loss| Radio::new(loss, config.link_arq, path, seed, place)),
            link_arq: config.link_arq,
            seed,
            place,
            retries_overtaken: config.link_arq.is_some_and(|arq| !arq.in_order),
            delay: Delay::new(config, path, seed, place),
            duplicate: Duplicate(chance("duplicate", config.duplicate)),
            corrupt: chance("corrupt", config.corrupt),
        }
    }

    /// The random losses on the air.
    fn loss(&mut self) -> &mut Loss {
        self.radio.get_or_insert_with(|| Radio::clear(self.link_arq, self.seed, self.place)).loss()
    }

    /// Whether a packet that arrives, or the copy of it, is dropped for flipped bits.
    fn corrupts(&mut self, meta: &Meta, copy: bool) -> Option<DropReason> {
        let corrupts = if copy { self.corrupt.strikes_copy(meta) } else { self.corrupt.strikes(meta) };
        corrupts.then_some(DropReason::Corrupted)
    }
}

impl Stage for Air {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        let up = match self.outage.admit(at, meta) {
            Fate::Pass(up) | Fate::PassTwice(up) => up,
            dropped @ Fate::Drop(..) => return dropped,
        };
        let through = match self.radio.admit(up, meta) {
            Fate::Pass(through) | Fate::PassTwice(through) => through,
            dropped @ Fate::Drop(..) => return dropped,
        };
        // A delay that keeps order must not make packets wait for a retry that they may overtake: so
        // the retries come on top of the delay then.
        let arrives = if self.retries_overtaken {
            self.delay.release(up, meta) + through.since(up)
        } else {
            self.delay.release(through, meta)
        };
        self.duplicate.admit(arrives, meta)
    }
}

/// How far ahead most arrivals lie when a packet enters.
fn reach(config: &LinkConfig) -> Duration {
    let jitter = config.jitter.map_or(Duration::ZERO, |jitter| jitter.distribution.reach());
    let channel = config.channel_delay.map_or(Duration::ZERO, |delay| delay.extra);
    let retries = config.link_arq.map_or(Duration::ZERO, |arq| arq.interval * u64::from(arq.tries));
    // A bottleneck's queue, a tenth of a second as a rule, comes on top.
    let queue = config.bottleneck.as_ref().map_or(Duration::ZERO, |_| Duration::from_millis(100));
    config.delay + jitter + channel + retries + queue + Duration::from_micros(100)
}
