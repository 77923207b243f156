//! The slowest part of a path: a drop-tail queue before a transmitter.
//!
//! First in, first out and no second thoughts: when a packet leaves is known when it arrives. So the queue
//! holds no packets at all, only when the transmission of each begins and how large it is, as far as the
//! limit must know.
//!
//! Source: RFC 7567 (the words), tc-pfifo(8) and tc-bfifo(8). As in the Linux kernel, the packet in
//! transmission has left the queue and does not count against the limit.

use std::collections::VecDeque;

use crate::record::DropReason;
use crate::rng::Seed;
use crate::time::Time;
use crate::units::ByteSize;

use super::config::{PathConfig, QueueLimit, RateConfig};
use super::server::{Server, Service};
use super::{Backlog, Fate, Meta, Stage};

/// A bottleneck with a drop-tail queue.
#[derive(Clone, Debug)]
pub struct DropTail {
    server: Server,
    limit: Limit,
    /// When each waiting packet's transmission begins, and its bytes; in order.
    waiting: VecDeque<(Time, u32)>,
    waiting_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    Bytes(u64),
    Packets(usize),
}

impl DropTail {
    /// A queue of this limit before a transmitter of this rate.
    pub fn new(limit: QueueLimit, rate: &RateConfig, path: &PathConfig, seed: Seed) -> Self {
        let limit = match limit {
            QueueLimit::Bytes(size) => Limit::Bytes(size.get()),
            QueueLimit::Packets(packets) => Limit::Packets(packets),
            QueueLimit::Time(time) => Limit::Bytes(rate.nominal().in_time(time).get()),
        };
        let server = Server::new(rate, path, seed);
        Self { server, limit, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    /// Takes a packet of `size` bytes and says when it will be sent; none where the queue is full.
    pub fn offer(&mut self, now: Time, size: u32) -> Option<Service> {
        self.forget_begun(now);
        let waits = self.server.free_at() > now;
        if waits && !self.has_room(size) {
            return None;
        }
        let service = self.server.send(now, ByteSize::new(size.into()));
        if service.begun > now {
            self.waiting.push_back((service.begun, size));
            self.waiting_bytes += u64::from(size);
        }
        Some(service)
    }

    /// What waits at `now`.
    pub fn backlog(&self, now: Time) -> Backlog {
        let begun = self.waiting.partition_point(|&(begin, _)| begin <= now);
        let bytes = self.waiting.iter().skip(begun).map(|&(_, size)| u64::from(size)).sum();
        Backlog { packets: self.waiting.len() - begun, bytes: ByteSize::new(bytes) }
    }

    fn has_room(&self, size: u32) -> bool {
        match self.limit {
            Limit::Bytes(bytes) => self.waiting_bytes + u64::from(size) <= bytes,
            Limit::Packets(packets) => self.waiting.len() < packets,
        }
    }

    fn forget_begun(&mut self, now: Time) {
        while let Some(&(begin, size)) = self.waiting.front() {
            if begin > now {
                break;
            }
            self.waiting.pop_front();
            self.waiting_bytes -= u64::from(size);
        }
    }
}

impl Stage for DropTail {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        match self.offer(at, meta.size) {
            Some(service) => Fate::Pass(service.done),
            None => Fate::Drop(at, DropReason::QueueFull),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::impair::laws::{any_rate, clear_path, radio_path};
    use crate::time::Duration;
    use crate::units::Bitrate;

    fn bottleneck(queue: QueueLimit) -> DropTail {
        // 1000 bytes take 1 ms.
        let rate = RateConfig::Constant(Bitrate::from_bps(8_000_000));
        DropTail::new(queue, &rate, &clear_path(), Seed(0))
    }

    #[test]
    fn the_limit_does_not_count_the_packet_in_transmission() {
        for queue in [
            QueueLimit::Packets(3),
            QueueLimit::Bytes(ByteSize::new(3_999)),
            QueueLimit::Time(Duration::from_millis(3)),
        ] {
            let mut link = bottleneck(queue);
            let accepted = (0..10).filter(|_| link.offer(Time::ZERO, 1000).is_some()).count();
            assert_eq!(accepted, 4, "{queue:?}");
            assert_eq!(link.backlog(Time::ZERO), Backlog { packets: 3, bytes: ByteSize::new(3000) });
            // A millisecond later one waiting packet's transmission begins and leaves its place.
            assert!(link.offer(Time::from_millis(1), 1000).is_some());
            assert!(link.offer(Time::from_millis(1), 1000).is_none());
        }
    }

    #[test]
    fn waiting_times_of_steady_arrivals_are_those_of_the_closed_form() {
        // D/D/1 with batches: every 4 ms three packets of 1 ms wait 0, 1 and 2 ms.
        let mut link = bottleneck(QueueLimit::Packets(100));
        for round in 0..100 {
            let now = Time::from_millis(4 * round);
            for waits in 0..3 {
                let service = link.offer(now, 1000).unwrap();
                assert_eq!(service.begun.since(now), Duration::from_millis(waits));
            }
        }
    }

    #[test]
    fn waiting_times_of_random_arrivals_are_those_of_pollaczek_and_khinchine() {
        // M/D/1 at load 0.5: the mean wait is rho / (2 (1 - rho)) services = 0.5 ms.
        let mut link = bottleneck(QueueLimit::Packets(100_000));
        let mut draws = Seed(1).stream("arrivals").at(0);
        let n = 400_000;
        let (mut now, mut waited) = (Time::ZERO, 0.0);
        for _ in 0..n {
            now += Duration::from_secs_f64(crate::rng::exponential(&mut draws, 0.002));
            waited += link.offer(now, 1000).unwrap().begun.since(now).as_millis_f64();
        }
        // The wait's variance is rho / (3 (1 - rho)) + mean² = 0.58 ms²; successive waits correlate
        // over some rho / (1 - rho)² = 2 services each way or ten packets: the standard error of the
        // mean is about sqrt(0.58 · 10 / n) = 0.004 ms. Five of them.
        let mean = waited / f64::from(n);
        assert!((mean - 0.5).abs() < 0.02, "{mean} ms");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn packets_keep_their_order_and_never_exceed_the_rate(
            (rate, fastest) in any_rate(), seed: u64, packets in prop::collection::vec((0..3_000_u64, 40..1500_u32), 2..80)
        ) {
            let mut link = DropTail::new(QueueLimit::Packets(20), &rate, &radio_path(), Seed(seed));
            let mut now = Time::ZERO;
            let mut sent: Vec<(Time, u64)> = Vec::new();
            for (gap, size) in packets {
                now += Duration::from_micros(gap);
                if let Some(service) = link.offer(now, size) {
                    prop_assert!(service.begun >= now && service.done >= service.begun);
                    prop_assert!(sent.last().is_none_or(|&(last, _)| service.done >= last));
                    sent.push((service.done, size.into()));
                }
                prop_assert!(link.backlog(now).packets <= 20);
            }
            // Over any interval between two departures; a chance to send lets 1500 bytes go at once.
            let burst = if matches!(rate, RateConfig::Trace(_)) { 2 * 1500 } else { 0 };
            for from in 0..sent.len() {
                let mut bytes = 0;
                for &(at, size) in &sent[from + 1..] {
                    bytes += size;
                    let time = at.since(sent[from].0);
                    if at < Time::NEVER {
                        prop_assert!(bytes <= fastest.in_time(time).get() + burst + 1, "{bytes} in {time}");
                    }
                }
            }
        }
    }
}
