//! What is possible but hardly meant: said before a run and by a check, and no reason to refuse it.

use super::file::ScenarioFile;
use super::lower::Scenario;
use crate::endpoint::Direction;
use crate::impair::config::{LinkConfig, RateConfig};
use crate::time::Duration;
use crate::traffic::{FrameTrace, WorkloadKind};
use crate::units::{Bitrate, ByteSize};

/// What is hardly meant in `scenario`, which was made from `file`; one line each.
pub fn warnings(file: &ScenarioFile, scenario: &Scenario) -> Vec<String> {
    let named = [(Direction::Down, "down", &file.traffic.down), (Direction::Up, "up", &file.traffic.up)];
    let late = named.into_iter().filter_map(|(direction, word, traffics)| {
        let workload = scenario.traffic.get(direction)?;
        let (name, deadline) = (traffics.names().next()?, workload.deadline);
        let least = least(&workload.kind, scenario.path.link(direction));
        let traffic = format!("of `traffic.{word}.{name}`");
        let who = match workload.kind {
            WorkloadKind::Trace(_) => format!("the mean frame {traffic} cannot"),
            _ => format!("no frame {traffic} can"),
        };
        (least >= deadline)
            .then(|| format!("{who} meet the deadline of {deadline}: the path takes at least {least}"))
    });
    let uncontrolled =
        scenario.contenders.iter().filter(|contender| !contender.protocol.is_congestion_controlled()).map(
            |contender| {
                let name = &contender.name;
                format!("contender `{name}` has no congestion control; with `rate = \"delay\"` it would have")
            },
        );
    late.chain(uncontrolled).collect()
}

/// The least time that a frame takes over the link; of a recording, that its mean frame takes.
fn least(kind: &WorkloadKind, link: &LinkConfig) -> Duration {
    let size = match kind {
        WorkloadKind::Constant { size, .. } => ByteSize::new(u64::from(*size)),
        WorkloadKind::Trace(trace) => mean(trace),
        WorkloadKind::Desktop(_) | WorkloadKind::Keystrokes { .. } | WorkloadKind::Bulk => ByteSize::ZERO,
    };
    let rate: Option<Bitrate> = link.bottleneck.as_ref().map(|bottleneck| match &bottleneck.rate {
        RateConfig::Constant(rate) | RateConfig::Channel { rate, .. } => *rate,
        RateConfig::Trace(trace) => trace.mean_rate(),
    });
    link.delay + rate.map_or(Duration::ZERO, |rate| rate.time_for(size))
}

/// The mean size of a recording's frames. Half of them may be the few bytes of a screen at rest, so that
/// the median would say nothing.
fn mean(trace: &FrameTrace) -> ByteSize {
    let sum: u64 = trace.frames().iter().map(|frame| u64::from(frame.bytes)).sum();
    ByteSize::new(sum / (trace.frames().len() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;
    use crate::scenario::source::Sources;

    const FINE: &str = r#"
        duration = "10s"
        [traffic.down.screen]
        constant = { rate = "30Hz", size = "5kB" }
        [path.down]
        delay = "20ms"
        [path.up]
        [contender.tcp]
        tcp = {}
    "#;

    fn said(sets: &[&str]) -> Vec<String> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let draft = parse(Sources::built_in("a.toml", FINE), &sets).unwrap();
        warnings(&draft.file, &Scenario::new(&draft).unwrap())
    }

    #[test]
    fn a_deadline_that_no_frame_can_meet_is_a_warning() {
        assert_eq!(said(&[]), Vec::<String>::new());
        assert_eq!(said(&["traffic.down.screen.deadline=21ms"]), Vec::<String>::new());
        assert_eq!(
            said(&["traffic.down.screen.deadline=20ms"]),
            [
                "no frame of `traffic.down.screen` can meet the deadline of 20 ms: the path takes at least 20 ms"
            ]
        );
        // 5 kB take 40 ms at 1 Mbit/s.
        let slow = "path.down.bottleneck.rate=1Mbit/s";
        assert_eq!(said(&[slow, "traffic.down.screen.deadline=60ms"]).len(), 1);
        assert_eq!(said(&[slow, "traffic.down.screen.deadline=61ms"]).len(), 0);
    }

    #[test]
    fn a_recording_is_judged_by_its_mean_frame() {
        let trace = "traffic.down.screen.trace.file=traces/desktop-session-30fps.csv";
        assert!(said(&[trace]).is_empty());
        let said = said(&[trace, "path.down.bottleneck.rate=10kbit/s"]);
        assert!(said[0].starts_with("the mean frame of `traffic.down.screen` cannot"), "{said:?}");
    }

    #[test]
    fn a_contender_without_congestion_control_is_a_warning() {
        assert!(said(&["contender.udp.udp.rate=delay"]).is_empty());
        for rate in ["none", "fixed"] {
            let said = said(&[&format!("contender.udp.udp.rate={rate}")]);
            assert!(said.len() == 1 && said[0].contains("`udp` has no congestion control"), "{said:?}");
        }
    }
}
