//! What the applications send.

use super::Lower;
use crate::endpoint::Direction;
use crate::scenario::file::traffic::{Dependency, EncoderRate, Traffic};
use crate::time::Duration;
use crate::traffic::{
    Activity, DependencyKind, DesktopPlan, EncoderKind, FrameTrace, WorkloadConfig, WorkloadKind,
};

/// The mean length of a stay in one activity of the synthetic desktop.
const STAY: Duration = Duration::from_secs(5);

impl Lower<'_> {
    /// The workload of a direction, where there is one.
    pub(super) fn traffic(&mut self, direction: Direction) -> Option<WorkloadConfig> {
        let file = self.file;
        let named = match direction {
            Direction::Down => &file.traffic.down,
            Direction::Up => &file.traffic.up,
        };
        let (_, traffic) = named.iter().next()?;
        self.workload(traffic)
    }

    pub(super) fn workload(&mut self, traffic: &Traffic) -> Option<WorkloadConfig> {
        let mut dependency = Dependency::Independent;
        let kind = if let Some(trace) = &traffic.trace {
            dependency = trace.dependency;
            WorkloadKind::Trace(self.read(&trace.file, FrameTrace::parse)?)
        } else if let Some(constant) = &traffic.constant {
            dependency = constant.dependency;
            let size = constant.size.get() as u32;
            WorkloadKind::Constant { per_second: constant.rate.hertz(), size }
        } else if let Some(desktop) = &traffic.desktop {
            dependency = desktop.dependency;
            let shares = vec![
                (Activity::Idle, desktop.idle.value),
                (Activity::Typing, desktop.typing.value),
                (Activity::Scrolling, desktop.scrolling.value),
                (Activity::Video, desktop.video.value),
            ];
            WorkloadKind::Desktop(DesktopPlan::Shares { shares, stay: STAY })
        } else if let Some(keystrokes) = &traffic.keystrokes {
            WorkloadKind::Keystrokes { per_second: keystrokes.per_second.value }
        } else {
            WorkloadKind::Bulk
        };
        Some(WorkloadConfig {
            kind,
            dependency: match dependency {
                Dependency::Independent => DependencyKind::Independent,
                Dependency::Chain => DependencyKind::Chain,
                Dependency::Regions => DependencyKind::Regions,
            },
            encoder: match traffic.encoder {
                EncoderRate::Fixed => EncoderKind::Fixed,
                EncoderRate::Adaptive => EncoderKind::Adaptive,
            },
            deadline: traffic.deadline.value,
        })
    }
}
