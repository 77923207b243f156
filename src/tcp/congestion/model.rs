//! BBR for a transport other than TCP: one that knows of each packet when it was sent, how many bytes it
//! had, and that it arrived or was lost.
//!
//! The delivery rate is measured as in Linux's `tcp_rate.c` (draft-cheng-iccrg-delivery-rate-estimation), in
//! packets, whatever their size. What is in flight is counted in bytes, as packets of full size.

use std::collections::VecDeque;

use super::bbr::Bbr;
use super::{Acknowledged, Controller, RateSample, State, Window};
use crate::rng::Stream;
use crate::time::{Duration, Time};
use crate::units::Bitrate;

/// BBR with all that it needs to know of a connection.
#[derive(Clone, Debug)]
pub(crate) struct BbrModel {
    bbr: Bbr,
    window: Window,
    packet_bytes: u32,
    initial_window: u64,
    state: State,
    /// When the recovery began that is under way.
    recovery_since: Time,
    /// What was true when packets were sent, by the time of that.
    stamps: VecDeque<Stamp>,
    /// Bytes in flight.
    in_flight: u64,
    /// What was delivered so far, in packets and in bytes.
    delivered: u64,
    delivered_bytes: u64,
    delivered_at: Time,
    /// When the packet was sent that was last known to be delivered.
    first_sent_at: Time,
    /// Bytes up to here were sent while the application limited what is sent; 0 where it does not.
    app_limited_until: u64,
    batch: Batch,
    /// Bytes lost since the last acknowledgment.
    lost: u64,
}

/// What was true when a packet was sent.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    sent_at: Time,
    delivered: u64,
    delivered_at: Time,
    first_sent_at: Time,
    app_limited: bool,
}

/// What one acknowledgment has told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    packets: u64,
    bytes: u64,
    /// The stamp of the packet sent last, and when that was.
    newest: Option<(Time, Stamp)>,
}

impl BbrModel {
    /// How long it is remembered what was true when a packet was sent. Whatever is acknowledged later
    /// gives no rate.
    const MEMORY: Duration = Duration::from_secs(2);

    /// For packets of `packet_bytes`, with `initial_window` bytes in flight at first; `stream` is for the phases
    /// of probing.
    pub(crate) fn new(packet_bytes: u32, initial_window: u64, stream: Stream) -> Self {
        Self {
            bbr: Bbr::new(packet_bytes, stream),
            window: Window::new((initial_window / u64::from(packet_bytes)) as u32),
            packet_bytes,
            initial_window,
            state: State::Open,
            recovery_since: Time::ZERO,
            stamps: VecDeque::new(),
            in_flight: 0,
            delivered: 0,
            delivered_bytes: 0,
            delivered_at: Time::ZERO,
            first_sent_at: Time::ZERO,
            app_limited_until: 0,
            batch: Batch::default(),
            lost: 0,
        }
    }

    /// A packet of so many bytes is sent.
    pub(crate) fn sent(&mut self, now: Time, bytes: u64) {
        if self.in_flight == 0 {
            let idle = now.since(self.stamps.back().map_or(now, |last| last.sent_at));
            self.bbr.restarted(now, idle, self.app_limited_until > 0);
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        self.in_flight += bytes;
        let stamp = Stamp {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.app_limited_until > 0,
        };
        // Packets that leave together share one.
        if self.stamps.back().is_none_or(|last| last.sent_at < now || last.delivered < self.delivered) {
            self.stamps.push_back(stamp);
        }
    }

    /// One of the packets that arrived, as an acknowledgment says that comes at `now`.
    pub(crate) fn acknowledged(&mut self, sent_at: Time, bytes: u64) {
        self.batch.packets += 1;
        self.batch.bytes += bytes;
        let place = self.stamps.partition_point(|stamp| stamp.sent_at <= sent_at);
        let stamp = place.checked_sub(1).and_then(|place| self.stamps.get(place)).copied();
        if self.batch.newest.is_none_or(|(newest, _)| newest <= sent_at) {
            self.batch.newest = stamp.map(|stamp| (sent_at, stamp)).or(self.batch.newest);
        }
    }

    /// The acknowledgment that comes at `now` has told everything: so many bytes are in flight still.
    pub(crate) fn end_acknowledgment(&mut self, now: Time, in_flight: u64, app_limited: bool) {
        let batch = std::mem::take(&mut self.batch);
        self.delivered += batch.packets;
        self.delivered_bytes += batch.bytes;
        self.delivered_at = now;
        self.in_flight = in_flight;
        if self.delivered_bytes > self.app_limited_until {
            self.app_limited_until = 0;
        }
        if batch.newest.is_some_and(|(sent_at, _)| sent_at > self.recovery_since) {
            self.state = State::Open;
        }
        let lost = std::mem::take(&mut self.lost);
        let round_trip = batch.newest.map(|(sent_at, _)| now.since(sent_at));
        let acknowledged = Acknowledged {
            now,
            newly_delivered: batch.packets as u32,
            advanced: batch.packets > 0,
            newly_lost: self.full_packets(lost),
            round_trip,
            round_trip_smoothed: round_trip.unwrap_or_default(),
            in_flight: self.full_packets(in_flight),
            in_flight_before: self.full_packets(in_flight + batch.bytes),
            delivered: self.delivered,
            rate: batch.newest.and_then(|(sent_at, stamp)| self.rate(now, sent_at, &stamp)),
            state: self.state,
            acknowledgment: self.delivered_bytes,
            next: self.delivered_bytes + in_flight,
            maybe_delayed: in_flight == 0 && batch.packets == 1,
        };
        self.bbr.sample(&mut self.window, &acknowledged);
        if app_limited || self.bbr.probes_round_trip() {
            self.app_limited_until = (self.delivered_bytes + in_flight).max(1);
        }
        while self.stamps.front().is_some_and(|first| first.sent_at + Self::MEMORY < now) {
            self.stamps.pop_front();
        }
    }

    /// So many bytes are lost; `all`: everything that was sent for a long time.
    pub(crate) fn lost(&mut self, now: Time, bytes: u64, all: bool) {
        self.lost += bytes;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        if bytes > 0 && self.state == State::Open {
            self.bbr.threshold_on_loss(&self.window);
            self.state = State::Recovery;
            self.recovery_since = now;
        }
        if all {
            self.bbr.timed_out(&mut self.window);
            self.state = State::Loss;
            self.recovery_since = now;
            self.window.segments = self.full_packets(self.in_flight) + 1;
        }
    }

    /// How many bytes may be in flight.
    pub(crate) fn window_bytes(&self) -> u64 {
        u64::from(self.window.segments) * u64::from(self.packet_bytes)
    }

    /// How many bytes might be in flight at first.
    pub(crate) const fn initial_window_bytes(&self) -> u64 {
        self.initial_window
    }

    /// The rate at which to send, once there is one.
    pub(crate) fn pacing_rate(&self) -> Option<Bitrate> {
        self.bbr.pacing_rate()
    }

    /// What it believes the path can carry, once it has an idea.
    pub(crate) fn bandwidth(&self) -> Option<Bitrate> {
        self.bbr.bandwidth()
    }

    /// The delivery rate since the packet was sent that is newest of those that arrived (`tcp_rate_gen`).
    fn rate(&mut self, now: Time, sent_at: Time, stamp: &Stamp) -> Option<RateSample> {
        self.first_sent_at = self.first_sent_at.max(sent_at);
        let interval = sent_at.since(stamp.first_sent_at).max(now.since(stamp.delivered_at));
        (!interval.is_zero()).then(|| RateSample {
            delivered: self.delivered - stamp.delivered,
            interval,
            prior_delivered: stamp.delivered,
            app_limited: stamp.app_limited,
        })
    }

    /// How many packets of full size so many bytes are, rounded up.
    const fn full_packets(&self, bytes: u64) -> u32 {
        bytes.div_ceil(self.packet_bytes as u64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    /// A path of 50 ms that carries a packet of 1000 bytes a millisecond, kept full for `millis`.
    fn full_path(millis: u64) -> BbrModel {
        let mut model = BbrModel::new(1000, 10_000, Seed(1).stream("test"));
        let (mut sent, mut link_free, mut paced) = (VecDeque::new(), Time::ZERO, Time::ZERO);
        for micros in (0..millis * 1000).step_by(100) {
            let now = Time::from_micros(micros);
            while sent.front().is_some_and(|&(_, arrives)| arrives <= now) {
                let (sent_at, _) = sent.pop_front().unwrap();
                model.acknowledged(sent_at, 1000);
                model.end_acknowledgment(now, sent.len() as u64 * 1000, false);
            }
            while paced <= now && (sent.len() as u64 + 1) * 1000 <= model.window_bytes() {
                model.sent(now, 1000);
                link_free = link_free.max(now) + Duration::from_millis(1);
                sent.push_back((now, link_free + Duration::from_millis(50)));
                if let Some(rate) = model.pacing_rate() {
                    paced = paced.max(now) + rate.time_for(crate::units::ByteSize::new(1000));
                }
            }
        }
        model
    }

    #[test]
    fn it_finds_the_rate_of_the_path_and_no_more_than_two_products_are_in_flight() {
        let model = full_path(3000);
        let rate = model.bandwidth().unwrap().bps() as f64;
        assert!((rate / 8e6 - 1.0).abs() < 0.03, "{rate}");
        // 51 ms at a packet a millisecond, twice, and what quantization adds.
        assert!((80_000..=120_000).contains(&model.window_bytes()), "{}", model.window_bytes());
    }

    #[test]
    fn a_loss_saves_the_window_and_its_recovery_brings_it_back() {
        let mut model = full_path(3000);
        let (now, before) = (Time::from_secs(3), model.window_bytes());
        model.lost(now, 2000, false);
        model.sent(now + Duration::from_millis(1), 1000);
        model.acknowledged(now.saturating_sub(Duration::from_millis(50)), 1000);
        model.end_acknowledgment(now + Duration::from_millis(2), 50_000, false);
        assert!(model.window_bytes() < before, "what arrives may be sent");
        model.acknowledged(now + Duration::from_millis(1), 1000);
        model.end_acknowledgment(now + Duration::from_millis(52), 50_000, false);
        assert!(model.window_bytes() >= before);
    }

    #[test]
    fn an_application_that_sends_little_does_not_lower_the_rate() {
        let mut model = full_path(3000);
        let before = model.bandwidth().unwrap();
        for frame in 0..100 {
            let now = Time::from_millis(4000 + frame * 100);
            model.end_acknowledgment(now, 0, true);
            model.sent(now, 1000);
            model.acknowledged(now, 1000);
            model.end_acknowledgment(now + Duration::from_millis(51), 0, true);
        }
        assert!(model.bandwidth().unwrap() >= before);
    }
}
