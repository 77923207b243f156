//! What a link did with the packets that crossed it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::endpoint::Direction;
use crate::record::{DropReason, Event, Record, Sink};
use crate::time::Duration;

/// Counts what both directions of a path did.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    directions: [OneWay; 2],
}

/// One direction.
#[derive(Clone, Debug)]
pub struct OneWay {
    /// Packets that entered.
    pub packets: u64,
    /// Their bytes, IP headers counted.
    pub bytes: u64,
    /// Packets that arrived, copies included.
    pub delivered: u64,
    /// Copies that the link made.
    pub copies: u64,
    /// Packets that were dropped, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    queued: Histogram<u64>,
    total: Histogram<u64>,
}

impl Statistics {
    /// Those of a direction.
    pub const fn get(&self, direction: Direction) -> &OneWay {
        &self.directions[direction as usize]
    }
}

impl OneWay {
    /// How long packets waited in the bottleneck's queue: this quantile of those that arrived.
    pub fn queued(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.queued.value_at_quantile(quantile))
    }

    /// How long packets took: this quantile of those that arrived.
    pub fn total(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.total.value_at_quantile(quantile))
    }
}

impl Default for OneWay {
    fn default() -> Self {
        // From a nanosecond to an hour with three digits; more than that is an hour.
        let delays =
            Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("constant bounds that are valid");
        Self {
            packets: 0,
            bytes: 0,
            delivered: 0,
            copies: 0,
            dropped: BTreeMap::new(),
            queued: delays.clone(),
            total: delays,
        }
    }
}

impl Sink for Statistics {
    fn record(&mut self, record: &Record) {
        let way = &mut self.directions[record.direction as usize];
        match record.event {
            Event::PacketSent(info) => {
                way.packets += 1;
                way.bytes += u64::from(info.size);
            }
            Event::PacketDuplicated(_) => way.copies += 1,
            Event::PacketDropped(_, reason) => *way.dropped.entry(reason).or_default() += 1,
            Event::PacketDelivered(_, transit) => {
                way.delivered += 1;
                way.queued.saturating_record(transit.queued.as_nanos());
                way.total.saturating_record(transit.total.as_nanos());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Class, Flow};
    use crate::record::{PacketInfo, Transit};
    use crate::time::Time;

    #[test]
    fn each_direction_counts_what_its_packets_became() {
        let info = PacketInfo { index: 0, class: Class::Source, size: 100, payload: 72 };
        let transit = Transit { total: Duration::from_millis(20), queued: Duration::from_millis(5) };
        let mut statistics = Statistics::default();
        for event in [
            Event::PacketSent(info),
            Event::PacketSent(info),
            Event::PacketDropped(info, DropReason::Loss),
            Event::PacketDelivered(info, transit),
        ] {
            let (at, flow, direction) = (Time::ZERO, Flow(0), Direction::Up);
            statistics.record(&Record { at, flow, direction, event });
        }
        let up = statistics.get(Direction::Up);
        assert_eq!((up.packets, up.bytes, up.delivered), (2, 200, 1));
        assert_eq!(up.dropped, BTreeMap::from([(DropReason::Loss, 1)]));
        assert!((up.queued(0.5).as_millis_f64() - 5.0).abs() < 0.01);
        assert_eq!(statistics.get(Direction::Down).packets, 0);
    }
}
