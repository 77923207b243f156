//! Congestion control: quinn's NewReno and CUBIC as they are, and the BBR of our TCP.
//!
//! quinn's BBR draws from the thread's generator, which no seed reaches, and is not paced by its own rate. The
//! one here is the very algorithm of `tcp = { congestion = "bbr" }`, so that a difference between the two
//! contenders is one of the transports.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig, NewRenoConfig};

use super::Congestion;
use super::clock::time;
use crate::rng::Stream;
use crate::tcp::BbrModel;
use crate::units::Bitrate;

/// Bytes that may leave before the first acknowledgment, in packets of at most `mtu` (RFC 9002, section 7.2).
fn initial_window(mtu: u16) -> u64 {
    let mtu = u64::from(mtu);
    (10 * mtu).min(14_720.max(2 * mtu))
}

/// What an end and its controller have to tell each other and quinn-proto has no words for.
#[derive(Clone, Debug, Default)]
pub(super) struct Coupling(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// In bits per second; 0 for none.
    bandwidth: AtomicU64,
    held: AtomicBool,
}

impl Coupling {
    /// What the controller believes that the path can carry, in QUIC packets; none before it has an idea, and
    /// from controllers that never have one.
    pub(super) fn bandwidth(&self) -> Option<Bitrate> {
        Some(self.0.bandwidth.load(Ordering::Relaxed)).filter(|&bps| bps > 0).map(Bitrate::from_bps)
    }

    /// From now on data waits, or does so no longer. Acknowledgments and probes never do.
    pub(super) fn hold(&self, held: bool) {
        self.0.held.store(held, Ordering::Relaxed);
    }
}

/// Makes the controller of a connection.
pub(super) struct Factory {
    congestion: Congestion,
    coupling: Coupling,
    stream: Stream,
}

impl Factory {
    /// The controller and its end have the `coupling`; `stream` is for what it draws at random.
    pub(super) const fn new(congestion: Congestion, coupling: Coupling, stream: Stream) -> Self {
        Self { congestion, coupling, stream }
    }
}

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        match self.congestion {
            Congestion::NewReno => {
                let mut config = NewRenoConfig::default();
                config.initial_window(initial_window(mtu));
                Arc::new(config).build(now, mtu)
            }
            Congestion::Cubic => {
                let mut config = CubicConfig::default();
                config.initial_window(initial_window(mtu));
                Arc::new(config).build(now, mtu)
            }
            Congestion::Bbr => Box::new(Bbr {
                model: BbrModel::new(u32::from(mtu), initial_window(mtu), self.stream),
                coupling: self.coupling.clone(),
            }),
        }
    }
}

/// BBR version 1.
#[derive(Clone)]
struct Bbr {
    model: BbrModel,
    coupling: Coupling,
}

impl Controller for Bbr {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.model.sent(time(now), bytes);
    }

    fn on_ack(&mut self, _now: Instant, sent: Instant, bytes: u64, _app_limited: bool, _: &RttEstimator) {
        self.model.acknowledged(time(sent), bytes);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _largest: Option<u64>) {
        self.model.end_acknowledgment(time(now), in_flight, app_limited);
        let bandwidth = self.model.bandwidth().map_or(0, Bitrate::bps);
        self.coupling.0.bandwidth.store(bandwidth, Ordering::Relaxed);
    }

    fn on_congestion_event(&mut self, now: Instant, _sent: Instant, persistent: bool, lost_bytes: u64) {
        self.model.lost(time(now), lost_bytes, persistent);
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        // quinn-proto paces by its window only, so that a rate of our own has to close it. It sends while less
        // than the window is in flight with the next packet.
        let held = self.coupling.0.held.load(Ordering::Relaxed);
        if held { 1 } else { self.model.window_bytes() + 1 }
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window();
        metrics.pacing_rate = self.model.pacing_rate().map(Bitrate::bps);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.model.initial_window_bytes()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
