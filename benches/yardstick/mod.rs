//! The yardstick of the benches: the least that a simulator can do.
//!
//! A source of constant rate, a trivial generator for loss and jitter, the calendar queue, a sink; no
//! records, no flows, no packets. It runs in the process of what it is compared with, because ratios
//! survive a busy machine and times do not.

use framehawk_sim::impair::calendar::Calendar;
use framehawk_sim::time::{Duration, Time};

/// Packets per measurement: many times what is under way.
pub(crate) const PACKETS: u64 = 100_000;
/// From one packet to the next; with a mean delay of 12.5 ms, 1000 packets are under way.
pub(crate) const GAP: Duration = Duration::from_nanos(12_500);
/// What every packet takes.
pub(crate) const DELAY: Duration = Duration::from_millis(10);
/// The most that a packet takes more.
pub(crate) const JITTER: Duration = Duration::from_millis(5);
/// The share of packets that are lost.
pub(crate) const LOSS: f64 = 0.02;

/// An event of the bare loop, as large as a small simulator's.
#[derive(Clone, Copy)]
enum Event {
    Source,
    Arrival(u32),
}

/// The loop with the source's next packet in the calendar as well, as event simulators have it: two
/// events a packet. Gives the bytes received.
pub(crate) fn two_events() -> u64 {
    let mut calendar = Calendar::new(DELAY + JITTER);
    let mut random = SplitMix(1);
    let lost_below = (LOSS * u64::MAX as f64) as u64;
    let (mut sent, mut number, mut received) = (0, 1, 0);
    calendar.push(Time::ZERO, 0, Event::Source);
    while let Some((now, event)) = calendar.pop() {
        match event {
            Event::Arrival(size) => received += u64::from(size),
            Event::Source if sent == PACKETS => {}
            Event::Source => {
                sent += 1;
                calendar.push(now + GAP, number, Event::Source);
                if random.word() >= lost_below {
                    let jitter = Duration::from_nanos(random.below(JITTER.as_nanos()));
                    calendar.push(now + DELAY + jitter, number + 1, Event::Arrival(1200));
                }
                number += 2;
            }
        }
    }
    received
}

/// The generator of Steele, Lea and Flood's SplitMix: as little as randomness can cost.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }
}
