//! What a link costs per packet, by model, beside a bare event loop over the same calendar queue.
//!
//! The yardstick puts the source's next packet into the calendar as well, as event simulators do; `one
//! event` keeps it beside, as a link does.

mod yardstick;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use framehawk_sim::endpoint::{Class, Direction, Ecn, Flow, Transmit, Wire};
use framehawk_sim::impair::calendar::Calendar;
use framehawk_sim::impair::config::{
    BottleneckConfig, ChannelConfig, Distribution, JitterConfig, LinkArqConfig, LinkConfig, LossConfig,
    LossFrom, LossModel, LossPlace, ManagedConfig, PathConfig, QueueConfig, QueueLimit, RateConfig, Sojourn,
};
use framehawk_sim::impair::link::Link;
use framehawk_sim::impair::loss::gilbert_elliott::GilbertElliott;
use framehawk_sim::record::Discard;
use framehawk_sim::rng::Seed;
use framehawk_sim::time::{Duration, Time};
use framehawk_sim::units::{Bitrate, Probability};

use yardstick::{DELAY, GAP, JITTER, LOSS, PACKETS, SplitMix};

#[derive(Clone, Copy, Debug)]
struct Datagram;

impl Wire for Datagram {
    fn size(&self) -> u32 {
        1200
    }
    fn payload(&self) -> u32 {
        1160
    }
    fn class(&self) -> Class {
        Class::Source
    }
}

fn bare_one_event() -> u64 {
    let mut calendar = Calendar::new(DELAY + JITTER);
    let mut random = SplitMix(1);
    let lost_below = (LOSS * u64::MAX as f64) as u64;
    let (mut now, mut received) = (Time::ZERO, 0);
    for number in 0..PACKETS {
        while calendar.first().is_some_and(|(at, _)| at <= now) {
            received += calendar.pop().map_or(0, |(_, size)| u64::from(size));
        }
        if random.word() >= lost_below {
            let jitter = Duration::from_nanos(random.below(JITTER.as_nanos()));
            calendar.push(now + DELAY + jitter, number, 1200_u32);
        }
        now += GAP;
    }
    while let Some((_, size)) = calendar.pop() {
        received += u64::from(size);
    }
    received
}

fn through(link: &mut Link<Datagram>) -> u64 {
    let (mut now, mut received) = (Time::ZERO, 0);
    let mut take = |link: &mut Link<Datagram>, until: Time| {
        while let Some(at) = link.next_at().filter(|&at| at <= until) {
            while let Some((_, arrival)) = link.poll(at, &mut Discard) {
                received += u64::from(arrival.packet.size());
            }
        }
    };
    for _ in 0..PACKETS {
        take(link, now);
        link.send(now, Flow(0), Transmit { packet: Datagram, ecn: Ecn::NotEct }, &mut Discard);
        now += GAP;
    }
    take(link, Time::NEVER);
    received
}

fn links() -> Vec<(&'static str, LinkConfig)> {
    let share = |p| Probability::new(p).expect("a constant from 0 to 1");
    let plain = LinkConfig { delay: DELAY, ..LinkConfig::default() };
    let loss = |model| Some(LossConfig { model, at: LossPlace::AfterQueue, from: LossFrom::Start });
    let jitter =
        |distribution, reorder| Some(JitterConfig { distribution, correlation: Probability::ZERO, reorder });
    let uniform = Distribution::Uniform { max: JITTER };
    let gamma = Distribution::Gamma { mean: JITTER / 2, deviation: JITTER / 2 };
    let iid = loss(LossModel::Iid(share(LOSS)));
    let bursts = GilbertElliott::from_mean(share(LOSS), 3.0).expect("bursts that a chain has");
    let channel = LossModel::Channel { channel: 0, good: share(0.001), bad: share(0.4) };
    let arq = |in_order| Some(LinkArqConfig { tries: 3, interval: Duration::from_millis(2), in_order });
    let queue = QueueConfig::DropTail(QueueLimit::Time(Duration::from_millis(100)));
    let bottleneck = |rate| Some(BottleneckConfig { rate, queue });
    let rate = Bitrate::from_bps(800_000_000);
    let managed = |queue| {
        let (rate, queue) = (RateConfig::Constant(rate), QueueConfig::Managed(queue));
        Some(BottleneckConfig { rate, queue })
    };
    vec![
        ("delay", plain.clone()),
        ("iid", LinkConfig { loss: iid.clone(), ..plain.clone() }),
        ("iid, jitter", LinkConfig { loss: iid.clone(), jitter: jitter(uniform, true), ..plain.clone() }),
        (
            "iid, jitter in order",
            LinkConfig { loss: iid.clone(), jitter: jitter(uniform, false), ..plain.clone() },
        ),
        ("gamma jitter in order", LinkConfig { jitter: jitter(gamma, false), ..plain.clone() }),
        (
            "gilbert, jitter",
            LinkConfig {
                loss: loss(LossModel::GilbertElliott(bursts)),
                jitter: jitter(uniform, true),
                ..plain.clone()
            },
        ),
        (
            "channel, link-arq",
            LinkConfig { loss: loss(channel.clone()), link_arq: arq(true), ..plain.clone() },
        ),
        ("drop-tail", LinkConfig { bottleneck: bottleneck(RateConfig::Constant(rate)), ..plain.clone() }),
        (
            "codel",
            LinkConfig { bottleneck: managed(ManagedConfig::Codel(Default::default())), ..plain.clone() },
        ),
        ("pie", LinkConfig { bottleneck: managed(ManagedConfig::Pie(Default::default())), ..plain.clone() }),
        (
            "fq-codel",
            LinkConfig { bottleneck: managed(ManagedConfig::FqCodel(Default::default())), ..plain.clone() },
        ),
        (
            "cafe",
            LinkConfig {
                loss: loss(channel),
                link_arq: arq(false),
                jitter: jitter(gamma, false),
                bottleneck: bottleneck(RateConfig::Channel { rate, channel: 0, bad_factor: share(0.3) }),
                ..plain
            },
        ),
    ]
}

fn impair(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("impair");
    group.throughput(Throughput::Elements(PACKETS)).sample_size(20);
    group.bench_function("bare loop, two events", |bencher| {
        bencher.iter(|| black_box(yardstick::two_events()));
    });
    group.bench_function("bare loop, one event", |bencher| bencher.iter(|| black_box(bare_one_event())));
    for (name, down) in links() {
        let radio = ChannelConfig::TwoState {
            good: Duration::from_millis(900),
            bad: Sojourn::Exponential(Duration::from_millis(60)),
        };
        let path = PathConfig {
            mtu: 1500,
            channels: vec![("radio".into(), radio)],
            down,
            up: LinkConfig::default(),
        };
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || Link::new(&path, Direction::Down, Seed(1)),
                |link| black_box(through(link)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, impair);
criterion_main!(benches);
