//! A desktop that is shown to the other end: updates from a source, made into frames by a dependency
//! rule and an encoder.

use super::dependency::Dependency;
use super::encoder::RateLaw;
use super::updates::Updates;
use super::{Captured, EncoderKind, Workload, WorkloadConfig};
use crate::frame::{Frame, FrameId};
use crate::rng::Stream;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// The screen of one session.
#[derive(Debug)]
pub(super) struct Screen {
    updates: Box<dyn Updates>,
    dependency: Dependency,
    encoder: Option<RateLaw>,
    deadline: Duration,
    next_id: u32,
    last_capture: Time,
    /// When a repair of the picture is sent by itself, if no update comes before.
    repair_at: Option<Time>,
}

impl Screen {
    pub(super) fn new(updates: Box<dyn Updates>, config: &WorkloadConfig, damage: Stream) -> Self {
        Self {
            updates,
            dependency: Dependency::new(config.dependency, damage),
            encoder: match config.encoder {
                EncoderKind::Fixed => None,
                EncoderKind::Adaptive => Some(RateLaw::new()),
            },
            deadline: config.deadline,
            next_id: 0,
            last_capture: Time::ZERO,
            repair_at: None,
        }
    }

    fn handle_missing(&mut self, now: Time, frame: FrameId) {
        self.dependency.handle_missing(frame);
        if self.repair_at.is_none() && self.dependency.repair_due() {
            self.repair_at = Some(now.max(self.last_capture + REPAIR_WAIT));
        }
    }
}

impl Workload for Screen {
    fn next_at(&self) -> Option<Time> {
        let update = self.updates.next_at();
        Some(self.repair_at.map_or(update, |repair| repair.min(update)))
    }

    fn capture(&mut self, now: Time, rate: Option<Bitrate>, backlog: ByteSize) -> Option<Captured> {
        let update = (self.updates.next_at() <= now).then(|| self.updates.take());
        if update.is_none() && !self.dependency.repair_due() {
            return None;
        }
        let id = FrameId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.last_capture = now;
        self.repair_at = None;
        let composed = self.dependency.compose(id, update, self.updates.screen_bytes());
        let size = match &mut self.encoder {
            None => composed.bytes,
            Some(law) => law.size(now, composed.bytes, rate, backlog),
        };
        let head = composed.head.encode();
        // A frame holds its head, whatever its source says.
        let size = u32::try_from(size).unwrap_or(u32::MAX).max(head.len() as u32);
        let deadline = now + self.deadline;
        let frame = Frame { id, captured: now, deadline, priority: composed.priority, size, head };
        Some(Captured { frame, regions: composed.regions, again: composed.again })
    }

    fn handle_dropped(&mut self, now: Time, frame: FrameId) {
        self.handle_missing(now, frame);
    }

    fn handle_refresh_request(&mut self, now: Time, frame: FrameId) {
        self.handle_missing(now, frame);
    }
}

/// How long after the last frame a repair is sent by itself. Longer than the distance of two updates
/// of moving pictures, so that there the next update carries it; short where the screen rests.
const REPAIR_WAIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{DependencyKind, FrameTrace, WorkloadKind, test_stream};
    use super::*;
    use crate::endpoint::{Direction, Flow};
    use crate::frame::Regions;
    use crate::rng::Seed;

    fn config(kind: WorkloadKind, dependency: DependencyKind) -> WorkloadConfig {
        let deadline = Duration::from_millis(100);
        WorkloadConfig { kind, dependency, encoder: EncoderKind::Fixed, deadline }
    }

    fn slow_trace() -> FrameTrace {
        FrameTrace::parse("time_us,bytes,keyframe\n0,12800,1\n1000000,100,0\n2000000,100,0\n").unwrap()
    }

    fn capture(workload: &mut dyn Workload) -> (Time, Captured) {
        let now = workload.next_at().unwrap();
        (now, workload.capture(now, None, ByteSize::ZERO).unwrap())
    }

    #[test]
    fn a_resting_screen_repairs_itself_soon() {
        let config = config(WorkloadKind::Trace(slow_trace()), DependencyKind::Regions);
        let mut screen = config.workload(Seed(1), Flow(0), Direction::Down);
        let (start, first) = capture(&mut *screen);
        assert_eq!(first.regions, Regions::ALL);
        screen.handle_dropped(start, FrameId(0));
        assert_eq!(screen.next_at(), Some(start + Duration::from_millis(50)));
        let (_, repair) = capture(&mut *screen);
        assert_eq!((repair.frame.id, repair.again, repair.frame.size), (FrameId(1), Regions::ALL, 12_800));
        // A request that arrives later than that is due at once, and only once.
        let later = start + Duration::from_millis(400);
        screen.handle_refresh_request(later, FrameId(0));
        assert_eq!(screen.next_at(), Some(start + Duration::from_secs(1)));
        screen.handle_refresh_request(later, FrameId(1));
        screen.handle_refresh_request(later + Duration::from_millis(1), FrameId(1));
        assert_eq!(screen.next_at(), Some(later));
        assert_eq!(screen.capture(later, None, ByteSize::ZERO).unwrap().again, Regions::ALL);
        assert_eq!(screen.next_at(), Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn frames_hold_their_head_and_their_deadline() {
        let config = config(WorkloadKind::Constant { per_second: 30.0, size: 1 }, DependencyKind::Regions);
        let mut screen = config.workload(Seed(1), Flow(0), Direction::Down);
        let (now, captured) = capture(&mut *screen);
        assert_eq!(captured.frame.size as usize, captured.frame.head.len());
        assert_eq!(captured.frame.deadline, now + Duration::from_millis(100));
    }

    #[test]
    fn nothing_is_captured_before_it_is_due() {
        let config = config(WorkloadKind::Trace(slow_trace()), DependencyKind::Chain);
        let mut screen = config.workload(Seed(1), Flow(0), Direction::Down);
        capture(&mut *screen);
        assert_eq!(screen.capture(Time::from_millis(1), None, ByteSize::ZERO), None);
        assert_eq!(capture(&mut *screen).1.frame.id, FrameId(1));
    }

    #[test]
    fn sessions_are_out_of_step_and_seeds_repeat() {
        let config = config(WorkloadKind::Trace(slow_trace()), DependencyKind::Regions);
        let start = |seed, flow| config.workload(Seed(seed), Flow(flow), Direction::Down).next_at();
        assert_eq!(start(1, 0), start(1, 0));
        assert_ne!(start(1, 0), start(1, 1));
        assert_ne!(start(1, 0), start(2, 0));
    }

    #[test]
    fn what_changes_on_the_screen_is_the_same_under_every_transport() {
        let config = config(WorkloadKind::Constant { per_second: 30.0, size: 900 }, DependencyKind::Regions);
        let mut calm = config.workload(Seed(5), Flow(0), Direction::Down);
        let mut lossy = config.workload(Seed(5), Flow(0), Direction::Down);
        for number in 0..200 {
            let (now, captured) = capture(&mut *lossy);
            let fresh = captured.regions & !captured.again;
            assert_eq!(fresh, capture(&mut *calm).1.regions, "frame {number}");
            if number % 3 == 0 {
                lossy.handle_dropped(now, captured.frame.id);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_tile_reaches_the_viewer_once_losses_end(
            lost in proptest::collection::vec(any::<bool>(), 1..60),
            delay in 1_usize..8,
        ) {
            // The viewer's tiles hold the number of the update that changed them last; losses become
            // known a few frames later. After the last loss is known, one frame must make it whole.
            let trace = include_str!("../../scenarios/traces/desktop-session-30fps.csv");
            let kind = WorkloadKind::Trace(FrameTrace::parse(trace).unwrap());
            let mut config = config(kind, DependencyKind::Regions);
            config.encoder = EncoderKind::Adaptive;
            let mut screen = config.workload(Seed(3), Flow(0), Direction::Down);
            let (mut sent, mut seen) = ([0_u32; 128], [0_u32; 128]);
            let frames = lost.len() + delay + 1;
            for number in 0..frames {
                if number >= delay && lost.get(number - delay) == Some(&true) {
                    screen.handle_refresh_request(Time::ZERO, FrameId((number - delay) as u32));
                }
                let now = screen.next_at().unwrap();
                let rate = Some(Bitrate::from_bps(2_000_000));
                let captured = screen.capture(now, rate, ByteSize::ZERO).unwrap();
                for tile in (captured.regions & !captured.again).iter() {
                    sent[tile as usize] = number as u32 + 1;
                }
                if lost.get(number) != Some(&true) {
                    for tile in captured.regions.iter() {
                        seen[tile as usize] = sent[tile as usize];
                    }
                }
            }
            prop_assert_eq!(sent, seen);
        }
    }

    #[test]
    fn updates_that_are_due_are_taken_one_by_one() {
        let mut screen = Screen::new(
            Box::new(super::super::updates::Constant::new(Time::ZERO, 100.0, 10)),
            &config(WorkloadKind::Bulk, DependencyKind::Independent),
            test_stream("unused"),
        );
        let late = Time::from_millis(25);
        let frames = (0..5).filter(|_| screen.capture(late, None, ByteSize::ZERO).is_some()).count();
        assert_eq!((frames, screen.next_at()), (3, Some(Time::from_millis(30))));
    }
}
