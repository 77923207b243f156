use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::endpoint::{Class, Flow, Transmit};
use crate::impair::config::{CodelConfig, FqCodelConfig, PieConfig, RateConfig};
use crate::impair::laws::{any_rate, clear_path, radio_path};
use crate::time::Duration;
use crate::units::Bitrate;

/// A packet that entered at `entered`.
pub(super) fn waiting(entered: Time, flow: u16, index: u64, size: u32, ecn: Ecn) -> Queued<()> {
    let meta = Meta { flow: Flow(flow), index, established_index: index, size, class: Class::Source, ecn };
    Queued { meta, transmit: Transmit { packet: (), ecn }, entered }
}

/// Queues that drop early, so that short loads show it.
pub(in crate::impair) fn any_managed() -> impl Strategy<Value = ManagedConfig> {
    let ms = Duration::from_millis;
    (0..3, 1..30_usize, 0..8_u64, any::<bool>()).prop_map(move |(which, limit, target, ecn)| match which {
        0 => ManagedConfig::Codel(CodelConfig { limit, target: ms(target), interval: ms(10), ecn }),
        1 => {
            let (target, update) = (ms(target), ms(1));
            ManagedConfig::Pie(PieConfig { limit, target, update, alpha: 32, beta: 32, ecn })
        }
        _ => ManagedConfig::FqCodel(FqCodelConfig {
            limit,
            memory_limit: ByteSize::new(30_000),
            flows: 4,
            target: ms(target),
            interval: ms(10),
            quantum: 600,
            ecn,
        }),
    })
}

/// What went in, by flow and index, and everything that came out with the times.
type Passage = (BTreeMap<(u16, u64), (Time, Ecn)>, Vec<(Time, Dequeued<()>)>);

/// Puts packets into a queue, takes out what is due before each, and all the rest in the end.
fn pass(queue: &mut dyn Queue<()>, load: &[(u64, u16, u32, bool)]) -> Passage {
    let (mut entered, mut out) = (BTreeMap::new(), Vec::new());
    let mut numbers = [0; 8];
    let mut now = Time::ZERO;
    let mut drain = |queue: &mut dyn Queue<()>, until: Time| {
        while let Some(at) = queue.next_at().filter(|&at| at <= until) {
            while let Some(left) = queue.dequeue(at) {
                out.push((at, left));
            }
        }
    };
    for &(gap, flow, size, takes_part) in load {
        now += Duration::from_micros(gap);
        drain(queue, now);
        let index = numbers[usize::from(flow)];
        numbers[usize::from(flow)] += 1;
        let ecn = if takes_part { Ecn::Ect0 } else { Ecn::NotEct };
        entered.insert((flow, index), (now, ecn));
        queue.enqueue(now, waiting(now, flow, index, size, ecn));
    }
    drain(queue, Time::NEVER);
    (entered, out)
}

fn any_load() -> impl Strategy<Value = Vec<(u64, u16, u32, bool)>> {
    prop::collection::vec((0..3_000_u64, 0..6_u16, 40..1500_u32, any::<bool>()), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_packet_comes_out_once_and_each_flow_in_order(
        config in any_managed(), (rate, _) in any_rate(), seed: u64, load in any_load()
    ) {
        let server = Server::new(&rate, &radio_path(), Seed(seed));
        let mut queue = queue::<()>(config, server, 1500, Seed(seed), "down");
        let (mut entered, out) = pass(&mut *queue, &load);
        let mut last = BTreeMap::new();
        for (at, left) in out {
            let (Dequeued::Passed { ref packet, .. } | Dequeued::Dropped(ref packet, _)) = left;
            let (flow, index) = (packet.meta.flow.0, packet.meta.index);
            let (came, ecn) = entered.remove(&(flow, index)).expect("it comes out once");
            prop_assert!(came <= at && packet.entered == came);
            prop_assert!(packet.transmit.ecn == ecn || (packet.transmit.ecn, ecn) == (Ecn::Ce, Ecn::Ect0));
            if let Dequeued::Passed { begun, .. } = left {
                prop_assert!(came <= begun && begun <= at);
                prop_assert!(last.insert(flow, index).is_none_or(|before| before < index));
            }
        }
        // Only what a rate of zero never sends stays inside.
        let mut inside = 0;
        queue.for_each(&mut |_| inside += 1);
        prop_assert_eq!(inside, entered.len());
        let may_stop = matches!(rate, RateConfig::Channel { .. });
        prop_assert!(inside == 0 || may_stop);
    }

    #[test]
    fn the_transmitter_never_rests_while_a_packet_waits(config in any_managed(), load in any_load()) {
        let rate = RateConfig::Constant(Bitrate::from_bps(8_000_000));
        let server = Server::new(&rate, &clear_path(), Seed(0));
        let mut queue = queue::<()>(config, server, 1500, Seed(0), "down");
        let (_, out) = pass(&mut *queue, &load);
        let mut free_at = Time::ZERO;
        for (at, left) in out {
            if let Dequeued::Passed { packet, begun } = left {
                // It begins when the one before is done, or when it comes to an idle link.
                prop_assert_eq!(begun, free_at.max(packet.entered));
                prop_assert_eq!(at, begun + Duration::from_micros(packet.meta.size.into()));
                free_at = at;
            }
        }
    }

    #[test]
    fn a_driver_that_comes_late_sees_the_same_as_one_that_is_on_time(
        config in any_managed(), (rate, _) in any_rate(), load in any_load()
    ) {
        let fresh = || {
            let server = Server::new(&rate, &radio_path(), Seed(1));
            queue::<()>(config, server, 1500, Seed(1), "down")
        };
        let (_, out) = pass(&mut *fresh(), &load);
        let on_time: Vec<String> = out.iter().map(|(_, left)| format!("{left:?}")).collect();
        // The late one takes nothing out before everything is in.
        let mut queue = fresh();
        let (mut numbers, mut now) = ([0; 8], Time::ZERO);
        for &(gap, flow, size, takes_part) in &load {
            now += Duration::from_micros(gap);
            let index = numbers[usize::from(flow)];
            numbers[usize::from(flow)] += 1;
            let ecn = if takes_part { Ecn::Ect0 } else { Ecn::NotEct };
            queue.enqueue(now, waiting(now, flow, index, size, ecn));
        }
        let mut late = Vec::new();
        while let Some(at) = queue.next_at() {
            late.extend(queue.dequeue(at.max(now)).map(|left| format!("{left:?}")));
        }
        prop_assert_eq!(late, on_time);
    }
}
