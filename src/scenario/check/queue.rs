//! The checks of a bottleneck's `queue`.

use super::Checker;
use crate::scenario::file::path::Bottleneck;
use crate::scenario::file::queue::Queue;
use crate::scenario::place::At;
use crate::scenario::problem::Problem;
use crate::scenario::quantity::QueueLimit;
use crate::time::Duration;
use crate::units::ByteSize;

/// More packets than any queue holds.
const PACKETS_MAX: u32 = 1_000_000;
/// More than any managed queue lets packets wait.
const WAIT_MAX: Duration = Duration::from_secs(10);

impl Checker<'_> {
    pub(super) fn queue(&mut self, queue: &Queue, bottleneck: &Bottleneck) {
        match queue {
            Queue::Droptail(limit) => self.drop_tail(limit, bottleneck),
            Queue::Codel(codel) => {
                self.number(&codel.limit, 1..=PACKETS_MAX);
                self.law(&codel.target, &codel.interval);
            }
            Queue::Pie(pie) => {
                self.number(&pie.limit, 1..=PACKETS_MAX);
                self.written(&pie.target, Duration::from_nanos(1), WAIT_MAX);
                self.written(&pie.tupdate, Duration::from_millis(1), WAIT_MAX);
                self.number(&pie.alpha, 0..=32);
                self.number(&pie.beta, 0..=32);
            }
            Queue::FqCodel(fq) => {
                self.number(&fq.limit, 1..=PACKETS_MAX);
                self.written(&fq.memory_limit, ByteSize::new(1500), ByteSize::new(2_000_000_000));
                self.number(&fq.flows, 1..=65_536);
                self.law(&fq.target, &fq.interval);
                self.written(&fq.quantum, ByteSize::new(256), ByteSize::new(64_000));
            }
        }
    }

    fn drop_tail(&mut self, limit: &At<QueueLimit>, bottleneck: &Bottleneck) {
        let holds_nothing = match limit.value {
            QueueLimit::Time(time) => time.is_zero(),
            QueueLimit::Bytes(bytes) => bytes == ByteSize::ZERO,
            QueueLimit::Packets(packets) => packets == 0,
        };
        if holds_nothing {
            let problem = Problem::at(limit.span(), "a queue that holds nothing drops everything");
            self.problems.push(problem.label("must be above 0"));
        }
        if bottleneck.trace.is_some() && matches!(limit.value, QueueLimit::Time(_)) {
            let problem = Problem::at(limit.span(), "a trace has no one rate to measure this time by");
            self.problems.push(problem.label("write a size or a number of packets: \"150 packets\""));
        }
    }

    /// The target and the interval of CoDel (RFC 8289, sections 4.2 and 4.3).
    fn law(&mut self, target: &At<Duration>, interval: &At<Duration>) {
        self.written(target, Duration::from_nanos(1), WAIT_MAX);
        self.written(interval, Duration::from_nanos(1), WAIT_MAX);
        if target.value >= interval.value {
            let place = target.span().or(interval.span());
            let problem = Problem::at(place, "the target is not below the interval");
            let label = format!("the target is {}, the interval {}", **target, **interval);
            self.problems.push(problem.label(label));
        }
    }
}
