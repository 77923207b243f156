//! A line for each contender and second, for where nobody sees a screen.

use framehawk_sim::drive::message::Progress;
use framehawk_sim::measure::Fate;
use framehawk_sim::report::layout::Look;
use framehawk_sim::report::live::{LiveContender, LiveEvent, LiveInterval};
use framehawk_sim::time::Time;

use super::notation::{clock, millis, none, percent, share_of_frames, shortened, sign, span};
use super::{Scene, Shown, Status};

/// The second's figures as an event for programs.
pub(in crate::cli) fn event(scene: &Scene) -> LiveEvent {
    let running = scene.contenders.iter().filter(|one| one.status == Status::Running);
    LiveEvent::Interval(LiveInterval {
        time_s: scene.now.as_secs_f64(),
        seed: scene.seed.to_string(),
        contenders: running.map(|one| LiveContender::new(&one.name, &one.glance)).collect(),
    })
}

/// The headings of [`lines`].
pub(in crate::cli) fn heading() -> String {
    format!(
        " time  {:18} {:>8} {:>7} {:>8} {:>6} {:>6} {:>6} {:>7} {:>7}",
        "contender", "age now", "p99 ms", "freeze", "shown", "loss", "burst", "repair", "Mbit/s"
    )
}

/// A line for each contender of `scene` that is running.
pub(in crate::cli) fn lines(scene: &Scene, look: Look) -> String {
    let running = scene.contenders.iter().filter(|one| one.status == Status::Running);
    let lines: Vec<String> = running.map(|one| line(&clock(scene.now), one, look)).collect();
    lines.join("\n")
}

/// What has come to this end of a trial on two machines until now; what is sent is sent for `duration`.
pub(in crate::cli) fn progress(contender: &str, seed: u64, progress: &Progress, duration: Time) -> String {
    let Progress { at, frames, lost, bytes } = progress;
    let rate = *bytes as f64 * 8.0 / 1e6 / at.as_secs_f64().max(1e-3);
    format!(
        "{contender}, seed {seed}, {} of {}: {frames} frames whole, {lost} lost, {rate:.2} Mbit/s",
        clock(*at),
        clock(duration)
    )
}

fn line(time: &str, shown: &Shown, look: Look) -> String {
    let glance = &shown.glance;
    format!(
        "{time}  {} {:16} {:>8} {:>7} {:>8} {:>6} {:>6} {:>6} {:>7} {:>7}",
        sign(shown.tcp, look),
        shortened(&shown.name, 16, look),
        glance.age.map_or_else(|| none(look), span),
        millis(glance.age_p99_ms, look),
        span(glance.freeze_longest),
        percent(share_of_frames(glance, |fate| fate == Fate::Shown as usize), look),
        percent(glance.loss, look),
        glance.burst.map_or_else(|| none(look), |burst| format!("{burst:.1}")),
        repair(glance.repair_overhead, look),
        glance.goodput.map_or_else(|| none(look), |rate| format!("{:.2}", rate.bps() as f64 / 1e6)),
    )
}

/// What is sent on top.
pub(super) fn repair(overhead: Option<f64>, look: Look) -> String {
    overhead.map_or_else(|| none(look), |overhead| format!("{:+.0} %", overhead * 100.0))
}
