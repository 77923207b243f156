//! The laws that every link keeps, whatever its configuration; and what the tests of single steps share.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Meta;
use super::aqm::tests::any_managed;
use super::config::*;
use super::delivery_trace::DeliveryTrace;
use super::link::Link;
use super::loss::gilbert_elliott::GilbertElliott;
use super::loss::trace::LossTrace;
use crate::endpoint::{Class, Direction, Ecn, Flow, Transmit, Wire};
use crate::record::{DropReason, Event, Record};
use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, Probability};

/// A packet of 1200 bytes as a step sees it, in a flow without a handshake.
pub(super) const fn packet(flow: u16, index: u64) -> Meta {
    let (flow, class, ecn) = (Flow(flow), Class::Source, Ecn::NotEct);
    Meta { flow, index, established_index: index, size: 1200, class, ecn }
}

/// A path that does nothing.
pub(super) fn clear_path() -> PathConfig {
    let link = LinkConfig::default;
    PathConfig { mtu: 1500, channels: Vec::new(), down: link(), up: link() }
}

/// A path with a radio channel at place 0 and nothing else.
pub(super) fn radio_path() -> PathConfig {
    let ms = Duration::from_millis;
    let radio = ChannelConfig::TwoState { good: ms(9), bad: Sojourn::Exponential(ms(3)) };
    PathConfig { channels: vec![("radio".into(), radio)], ..clear_path() }
}

/// A rate on the path of [`radio_path`], and the fastest that it ever is.
pub(super) fn any_rate() -> impl Strategy<Value = (RateConfig, Bitrate)> {
    let rate = || (1_000..50_000_u64).prop_map(|kbps| Bitrate::from_bps(kbps * 1000));
    prop_oneof![
        rate().prop_map(|rate| (RateConfig::Constant(rate), rate)),
        (rate(), share())
            .prop_map(|(rate, bad_factor)| { (RateConfig::Channel { rate, channel: 0, bad_factor }, rate) }),
        // One chance in every millisecond at most.
        prop::collection::vec(1..4_u64, 1..6).prop_map(|gaps| {
            let mut at = 0;
            let lines: Vec<String> = gaps
                .iter()
                .map(|gap| {
                    at += gap;
                    at.to_string()
                })
                .collect();
            let trace = DeliveryTrace::parse(&lines.join("\n")).unwrap();
            (RateConfig::Trace(trace), Bitrate::from_bps(12_000_000))
        }),
    ]
}

fn share() -> impl Strategy<Value = Probability> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..0.5].prop_map(|p| Probability::new(p).unwrap())
}

fn any_loss() -> impl Strategy<Value = LossConfig> {
    let model = prop_oneof![
        share().prop_map(LossModel::Iid),
        (share(), share(), share(), share())
            .prop_map(|(p, r, bad, good)| LossModel::GilbertElliott(GilbertElliott { p, r, bad, good })),
        (share(), share()).prop_map(|(good, bad)| LossModel::Channel { channel: 0, good, bad }),
        Just(LossModel::Trace(LossTrace::parse("0010110", '1').unwrap())),
    ];
    (model, any::<bool>(), any::<bool>()).prop_map(|(model, before, start)| LossConfig {
        model,
        at: if before { LossPlace::BeforeQueue } else { LossPlace::AfterQueue },
        from: if start { LossFrom::Start } else { LossFrom::Established },
    })
}

fn any_jitter() -> impl Strategy<Value = JitterConfig> {
    let ms = Duration::from_millis;
    let distribution = prop_oneof![
        Just(Distribution::Uniform { max: ms(5) }),
        Just(Distribution::Normal { deviation: ms(5) }),
        Just(Distribution::Pareto { mean: ms(2), deviation: ms(4) }),
        Just(Distribution::Gamma { mean: ms(2), deviation: ms(4) }),
    ];
    (distribution, 0.0..0.9, any::<bool>()).prop_map(|(distribution, correlation, reorder)| JitterConfig {
        distribution,
        correlation: Probability::new(correlation).unwrap(),
        reorder,
    })
}

fn any_outage() -> impl Strategy<Value = OutageConfig> {
    let ms = Duration::from_millis;
    let bad = Sojourn::Fixed(ms(2));
    let timeline = prop_oneof![
        Just(Timeline::Shared(0)),
        Just(Timeline::Own(ChannelConfig::TwoState { good: ms(20), bad })),
    ];
    (timeline, any::<bool>()).prop_map(|(timeline, hold)| OutageConfig {
        timeline,
        policy: if hold { OutagePolicy::Hold } else { OutagePolicy::Drop },
    })
}

prop_compose! {
    /// A link without a bottleneck, on the path of [`radio_path`].
    fn open_link()(
        delay in 0..20_u64,
        jitter in prop::option::of(any_jitter()),
        extra in prop::option::of(0..5_u64),
        loss in prop::option::of(any_loss()),
        arq in prop::option::of((0..4_u8, any::<bool>())),
        outage in prop::option::of(any_outage()),
        reorder in prop::option::of((share(), share(), 0..5_u64)),
        duplicate in share(),
        corrupt in share(),
    ) -> LinkConfig {
        let ms = Duration::from_millis;
        LinkConfig {
            delay: ms(delay),
            jitter,
            channel_delay: extra.map(|extra| ChannelDelayConfig { channel: 0, extra: ms(extra) }),
            loss,
            link_arq: arq.map(|(tries, in_order)| LinkArqConfig { tries, interval: ms(2), in_order }),
            bottleneck: None,
            outage,
            reorder: reorder.map(|(probability, correlation, gap)| ReorderConfig { probability, correlation, gap }),
            duplicate,
            corrupt,
        }
    }
}

prop_compose! {
    fn any_link()(
        link in open_link(),
        bottleneck in prop::option::of((any_rate(), any_queue())),
    ) -> LinkConfig {
        let bottleneck = bottleneck.map(|((rate, _), queue)| BottleneckConfig { rate, queue });
        LinkConfig { bottleneck, ..link }
    }
}

fn any_queue() -> impl Strategy<Value = QueueConfig> {
    prop_oneof![
        (0..30_usize).prop_map(|packets| QueueConfig::DropTail(QueueLimit::Packets(packets))),
        any_managed().prop_map(QueueConfig::Managed),
    ]
}

/// A drop-tail queue of so many packets.
const fn tail(packets: usize) -> QueueConfig {
    QueueConfig::DropTail(QueueLimit::Packets(packets))
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Datagram(u32, Class);

impl Wire for Datagram {
    fn size(&self) -> u32 {
        self.0
    }
    fn payload(&self) -> u32 {
        self.0.saturating_sub(40)
    }
    fn class(&self) -> Class {
        self.1
    }
}

/// A packet to send: microseconds after the one before, flow, size, class.
type Load = (u64, u16, u32, Class);

fn any_load() -> impl Strategy<Value = Vec<Load>> {
    let class = prop::sample::select(Class::ALL.to_vec());
    prop::collection::vec((0..3_000_u64, 0..3_u16, 40..1520_u32, class), 1..120)
}

/// Sends a load over a link and polls it for a while longer; all records in their order.
fn run(
    link: &mut Link<Datagram>,
    load: &[Load],
    mut each: impl FnMut(&Link<Datagram>, &[Record]),
) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut now = Time::ZERO;
    let mut drain = |link: &mut Link<Datagram>, until: Time, records: &mut Vec<Record>| {
        while let Some(at) = link.next_at().filter(|&at| at <= until) {
            while link.poll(at, records).is_some() {}
            assert!(link.next_at().is_none_or(|next| next > at));
            each(link, records);
        }
    };
    for &(gap, flow, size, class) in load {
        now += Duration::from_micros(gap);
        drain(link, now, &mut records);
        let ecn = if flow == 0 { Ecn::Ect0 } else { Ecn::NotEct };
        link.send(now, Flow(flow), Transmit { packet: Datagram(size, class), ecn }, &mut records);
    }
    drain(link, now + Duration::from_secs(5), &mut records);
    records
}

fn down(link: LinkConfig, seed: u64) -> Link<Datagram> {
    Link::new(&PathConfig { down: link, ..radio_path() }, Direction::Down, Seed(seed))
}

/// What became of each packet of a flow, without times.
fn fates(records: &[Record], flow: u16) -> BTreeMap<u64, Vec<Option<DropReason>>> {
    let mut fates = BTreeMap::<u64, Vec<_>>::new();
    for record in records.iter().filter(|record| record.flow == Flow(flow)) {
        match record.event {
            Event::PacketDelivered(info, _) => fates.entry(info.index).or_default().push(None),
            Event::PacketDropped(info, reason) => fates.entry(info.index).or_default().push(Some(reason)),
            _ => {}
        }
    }
    fates
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_packet_is_lost_track_of(config in any_link(), seed: u64, load in any_load()) {
        let mut link = down(config, seed);
        // Per class: sent and duplicated, less delivered, dropped and under way.
        let mut balance = BTreeMap::<(Flow, Class), i64>::new();
        let mut seen = 0;
        let records = run(&mut link, &load, |link, records| {
            for record in &records[seen..] {
                let (info, sign) = match record.event {
                    Event::PacketSent(info) | Event::PacketDuplicated(info) => (info, 1),
                    Event::PacketDelivered(info, _) | Event::PacketDropped(info, _) => (info, -1),
                    _ => continue,
                };
                *balance.entry((record.flow, info.class)).or_default() += sign;
            }
            seen = records.len();
            let mut open = balance.clone();
            link.under_way().into_iter().for_each(|key| *open.entry(key).or_default() -= 1);
            assert!(open.values().all(|&open| open == 0), "{open:?}");
        });
        prop_assert!(records.is_sorted_by_key(|record| record.at));
        for record in &records {
            match record.event {
                Event::PacketDelivered(info, transit) => {
                    prop_assert!(info.size <= 1500 && transit.queued <= transit.total);
                }
                Event::PacketDropped(info, reason) => {
                    prop_assert_eq!(reason == DropReason::TooLarge, info.size > 1500);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_records(config in any_link(), seed: u64, load in any_load()) {
        let first = run(&mut down(config.clone(), seed), &load, |_, _| {});
        let second = run(&mut down(config, seed), &load, |_, _| {});
        prop_assert_eq!(first, second);
    }

    #[test]
    fn an_extra_packet_of_one_flow_changes_no_fate_of_another(
        config in open_link(), seed: u64, load in any_load(), at in any::<prop::sample::Index>()
    ) {
        // Without a bottleneck, because waiting for others is what sharing one means. Time goes on as
        // before: the extra packet leaves together with the one before it.
        let plain = run(&mut down(config.clone(), seed), &load, |_, _| {});
        let mut more = load.clone();
        more.insert(at.index(load.len()) + 1, (0, 2, 700, Class::Source));
        let extra = run(&mut down(config, seed), &more, |_, _| {});
        let (mut plain_fates, mut extra_fates) = (Vec::new(), Vec::new());
        for flow in [0, 1] {
            plain_fates.push(fates(&plain, flow));
            extra_fates.push(fates(&extra, flow));
        }
        prop_assert_eq!(plain_fates, extra_fates);
    }

    #[test]
    fn the_closed_form_and_a_queue_that_holds_packets_agree(
        link in open_link(), (rate, _) in any_rate(), limit in 1..30_usize, seed: u64, load in any_load()
    ) {
        let link = |queue| {
            let bottleneck = Some(BottleneckConfig { rate: rate.clone(), queue });
            down(LinkConfig { bottleneck, ..link.clone() }, seed)
        };
        // No wait is too long for this one, so that it drops what finds it full and nothing else.
        let target = Duration::from_secs(1_000_000);
        let patient = ManagedConfig::Codel(CodelConfig { limit, target, ..CodelConfig::default() });
        // Packets that arrive at the very time at which another leaves may be told in another order.
        let sorted = |mut records: Vec<Record>| {
            records.sort_by_key(|record| (record.at, format!("{record:?}")));
            records
        };
        let general = sorted(run(&mut link(QueueConfig::Managed(patient)), &load, |_, _| {}));
        let closed = sorted(run(&mut link(tail(limit)), &load, |_, _| {}));
        prop_assert_eq!(general, closed);
    }

    #[test]
    fn a_link_that_keeps_order_delivers_in_order(
        link in any_link(), seed: u64, load in any_load()
    ) {
        let link = LinkConfig {
            jitter: link.jitter.map(|jitter| JitterConfig { reorder: false, ..jitter }),
            link_arq: link.link_arq.map(|arq| LinkArqConfig { in_order: true, ..arq }),
            reorder: None,
            ..link
        };
        let mut last = BTreeMap::new();
        for record in run(&mut down(link, seed), &load, |_, _| {}) {
            if let Event::PacketDelivered(info, _) = record.event {
                let before = last.insert(record.flow, info.index);
                prop_assert!(before.is_none_or(|before| before <= info.index));
            }
        }
    }
}

#[test]
fn both_directions_see_the_same_channel() {
    let outage = Some(OutageConfig { timeline: Timeline::Shared(0), policy: OutagePolicy::Drop });
    let link = LinkConfig { outage, ..LinkConfig::default() };
    let path = PathConfig { down: link.clone(), up: link, ..radio_path() };
    let load: Vec<Load> = (0..2_000).map(|_| (500, 0, 1200, Class::Source)).collect();
    let [down, up] = Direction::BOTH.map(|direction| {
        let mut link = Link::new(&path, direction, Seed(9));
        fates(&run(&mut link, &load, |_, _| {}), 0)
    });
    assert_eq!(down, up);
    let dropped = down.values().filter(|fates| fates[0] == Some(DropReason::Outage)).count();
    assert!(
        (200..900).contains(&dropped),
        "{dropped} of 2000 in a channel that is bad a quarter of the time"
    );
}

#[test]
fn losses_that_are_set_later_are_those_that_would_have_been_from_the_start() {
    let share = Probability::new(0.2).unwrap();
    let load: Vec<u64> = (0..2_000).collect();
    let send = |link: &mut Link<Datagram>, at: u64, sink: &mut Vec<Record>| {
        let packet = Datagram(1200, Class::Source);
        link.send(Time::from_millis(at), Flow(0), Transmit { packet, ecn: Ecn::NotEct }, sink);
        while link.poll(Time::from_millis(at), sink).is_some() {}
    };
    for (burst, model) in [
        (1.0, LossModel::Iid(share)),
        (5.0, LossModel::GilbertElliott(GilbertElliott::from_mean(share, 5.0).unwrap())),
    ] {
        let other = LossModel::Iid(Probability::new(0.5).unwrap());
        let config = |model| LinkConfig {
            loss: Some(LossConfig { model, at: LossPlace::AfterQueue, from: LossFrom::Start }),
            ..LinkConfig::default()
        };
        let mut always = down(config(model), 7);
        let mut expected = Vec::new();
        load.iter().for_each(|&at| send(&mut always, at, &mut expected));
        let expected = fates(&expected, 0);
        for before in [LinkConfig::default(), config(other)] {
            let mut changed = down(before, 7);
            let mut records = Vec::new();
            load[..1_000].iter().for_each(|&at| send(&mut changed, at, &mut records));
            let unchanged = fates(&records, 0);
            assert!(!changed.set_loss(Probability::ONE, 5.0), "no chain loses everything");
            assert!(changed.set_loss(share, burst));
            load[1_000..].iter().for_each(|&at| send(&mut changed, at, &mut records));
            let records = fates(&records, 0);
            assert!(records.range(1_000..).eq(expected.range(1_000..)), "{burst}");
            assert!(records.range(..1_000).eq(unchanged.iter()), "what is over stays as it was");
        }
    }
}

#[test]
fn losses_before_the_queue_stay_there_when_they_change() {
    let model = LossModel::Iid(Probability::ZERO);
    let loss = LossConfig { model, at: LossPlace::BeforeQueue, from: LossFrom::Established };
    let mut link = down(LinkConfig { loss: Some(loss), ..LinkConfig::default() }, 1);
    assert!(link.set_loss(Probability::ONE, 1.0));
    let mut records: Vec<Record> = Vec::new();
    for class in [Class::Handshake, Class::Source] {
        let packet = Datagram(1200, class);
        link.send(Time::ZERO, Flow(0), Transmit { packet, ecn: Ecn::NotEct }, &mut records);
    }
    assert_eq!(link.under_way(), [(Flow(0), Class::Handshake)], "it is spared as before");
    assert_eq!(fates(&records, 0)[&1], [Some(DropReason::Loss)]);
}

#[test]
fn directions_have_luck_of_their_own() {
    let iid = LossModel::Iid(Probability::new(0.5).unwrap());
    let loss = LossConfig { model: iid, at: LossPlace::BeforeQueue, from: LossFrom::Start };
    let link = LinkConfig { loss: Some(loss), ..LinkConfig::default() };
    let path = PathConfig { down: link.clone(), up: link, ..clear_path() };
    let load: Vec<Load> = (0..200).map(|_| (500, 0, 1200, Class::Source)).collect();
    let [down, up] = Direction::BOTH
        .map(|direction| fates(&run(&mut Link::new(&path, direction, Seed(9)), &load, |_, _| {}), 0));
    assert_ne!(down, up);
}

#[test]
fn a_lost_packet_is_under_way_until_the_air_loses_it() {
    let always = LossModel::Iid(Probability::ONE);
    let loss = LossConfig { model: always, at: LossPlace::AfterQueue, from: LossFrom::Start };
    let rate = RateConfig::Constant(Bitrate::from_bps(8_000_000));
    let config = LinkConfig {
        delay: Duration::from_millis(10),
        loss: Some(loss),
        bottleneck: Some(BottleneckConfig { rate, queue: tail(5) }),
        ..LinkConfig::default()
    };
    let mut link = down(config, 0);
    let mut records: Vec<Record> = Vec::new();
    let transmit = Transmit { packet: Datagram(1000, Class::Repair), ecn: Ecn::NotEct };
    link.send(Time::ZERO, Flow(0), transmit, &mut records);
    assert_eq!(link.under_way(), [(Flow(0), Class::Repair)]);
    assert_eq!(link.next_at(), Some(Time::from_millis(1)));
    assert!(link.poll(Time::from_millis(1), &mut records).is_none());
    assert!(matches!(records[1].event, Event::PacketDropped(_, DropReason::Loss)));
    assert_eq!((link.under_way().len(), link.next_at()), (0, None));
}

#[test]
fn a_packet_that_never_leaves_is_under_way_for_ever() {
    let rate = RateConfig::Constant(Bitrate::from_bps(0));
    let ms = Duration::from_millis;
    let moving = ChannelConfig::TwoState { good: ms(20), bad: Sojourn::Fixed(ms(2)) };
    let (good, bad) = (Probability::ZERO, Probability::ONE);
    let config = LinkConfig {
        bottleneck: Some(BottleneckConfig { rate, queue: tail(5) }),
        outage: Some(OutageConfig { timeline: Timeline::Own(moving), policy: OutagePolicy::Hold }),
        loss: Some(LossConfig {
            model: LossModel::Channel { channel: 0, good, bad },
            at: LossPlace::AfterQueue,
            from: LossFrom::Start,
        }),
        channel_delay: Some(ChannelDelayConfig { channel: 0, extra: ms(1) }),
        ..LinkConfig::default()
    };
    let mut link = down(config, 0);
    let records = run(&mut link, &[(0, 0, 1000, Class::Source); 8], |_, _| {});
    // One in transmission for ever, five that wait, two that find the queue full.
    assert_eq!((link.under_way().len(), link.next_at()), (6, None));
    let full = |record: &&Record| matches!(record.event, Event::PacketDropped(_, DropReason::QueueFull));
    assert_eq!(records.iter().filter(full).count(), 2);
}

#[test]
fn delay_waiting_and_transmission_add_up() {
    let rate = RateConfig::Constant(Bitrate::from_bps(8_000_000));
    let config = LinkConfig {
        delay: Duration::from_millis(10),
        bottleneck: Some(BottleneckConfig { rate, queue: tail(5) }),
        ..LinkConfig::default()
    };
    let load = [(0, 0, 1000, Class::Source), (0, 0, 500, Class::Source)];
    let records = run(&mut down(config, 0), &load, |_, _| {});
    let Event::PacketDelivered(info, transit) = records[3].event else { panic!("{records:?}") };
    assert_eq!((info.index, info.payload), (1, 460));
    assert_eq!(transit.queued, Duration::from_millis(1));
    assert_eq!(transit.total, Duration::from_micros(11_500));
}
