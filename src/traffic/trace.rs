//! Recorded frame sizes: a CSV file of `time_us,bytes,keyframe`, played in a circle.

use std::sync::Arc;

use super::updates::{SHORTEST_INTERVAL, Update, Updates};
use crate::rng::{Stream, below};
use crate::time::{Duration, Time};

/// A recorded sequence of frames: at least two, their times not falling. Copies share the frames.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameTrace {
    frames: Arc<[TraceFrame]>,
    period: Duration,
}

/// One recorded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceFrame {
    /// When, counted from the trace's first frame.
    pub at: Duration,
    /// Its size in bytes, at least 1.
    pub bytes: u32,
    /// Whether it refers to no other frame.
    pub key: bool,
}

/// Why a trace could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct TraceError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: TraceFault,
}

/// What is wrong with a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceFault {
    /// The first line is something else.
    #[error("expected the header `time_us,bytes,keyframe`")]
    Header,
    /// A line has fewer or more than three fields.
    #[error("expected three fields `time_us,bytes,keyframe`, got {got}")]
    Fields {
        /// How many it has.
        got: usize,
    },
    /// The time is no whole number of microseconds, or too large.
    #[error("expected the time as a whole number of microseconds up to 10^15, got `{got}`")]
    Time {
        /// What stands there.
        got: String,
    },
    /// The size is no whole number of bytes from 1 to [`FrameTrace::FRAME_MAX`].
    #[error("expected a size from 1 to {} bytes, got `{got}`", FrameTrace::FRAME_MAX)]
    Size {
        /// What stands there.
        got: String,
    },
    /// The key frame mark is neither 0 nor 1.
    #[error("expected 1 for a key frame or 0 for another, got `{got}`")]
    Key {
        /// What stands there.
        got: String,
    },
    /// The time is before the last line's.
    #[error("the time is before that of the line above")]
    Order,
    /// There are fewer than two frames, or all have the same time.
    #[error("expected at least two frames at different times")]
    TooShort,
}

impl FrameTrace {
    /// The largest frame that a trace may hold, in bytes: an uncompressed 4K picture is 33 MB.
    pub const FRAME_MAX: u32 = 64_000_000;

    /// Reads the text of a CSV file: the header `time_us,bytes,keyframe`, then a line a frame.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, line)| line.trim_end() != HEADER) {
            return Err(TraceError { line: 1, column: 1, fault: TraceFault::Header });
        }
        let mut frames: Vec<TraceFrame> = Vec::new();
        let mut first = Duration::ZERO;
        let mut last_line = 1;
        for (index, line) in lines {
            if line.trim().is_empty() {
                continue;
            }
            last_line = index + 1;
            let mut frame =
                parse_line(line).map_err(|(column, fault)| TraceError { line: last_line, column, fault })?;
            if frames.is_empty() {
                first = frame.at;
            }
            let behind = frame.at.saturating_sub(first);
            if frame.at < first || frames.last().is_some_and(|last| behind < last.at) {
                return Err(TraceError { line: last_line, column: 1, fault: TraceFault::Order });
            }
            frame.at = behind;
            frames.push(frame);
        }
        let span = frames.last().map_or(Duration::ZERO, |last| last.at);
        if span.is_zero() {
            return Err(TraceError { line: last_line, column: 1, fault: TraceFault::TooShort });
        }
        // The last frame lasts as long as the mean of the others.
        let period = span + (span / (frames.len() as u64 - 1)).max(SHORTEST_INTERVAL);
        Ok(Self { frames: frames.into(), period })
    }

    /// The frames in order; the first is at 0.
    pub fn frames(&self) -> &[TraceFrame] {
        &self.frames
    }

    /// After how long it starts again.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// The size of the latest key frame at or before the frame `index`, going around; the largest
    /// frame's where the trace has no key frame.
    fn key_bytes(&self, index: usize) -> u32 {
        let (after, before) = (&self.frames[index + 1..], &self.frames[..=index]);
        let key = before.iter().rev().chain(after.iter().rev()).find(|frame| frame.key);
        key.map_or_else(|| self.frames.iter().map(|frame| frame.bytes).max().unwrap_or(1), |key| key.bytes)
    }
}

const HEADER: &str = "time_us,bytes,keyframe";

/// The latest time a trace may name: 31 years, so that no sum of times comes near the end of 64 bits.
const TIME_MAX_US: u64 = 1_000_000_000_000_000;

/// One line, or the column (from 1) at which it is wrong.
fn parse_line(line: &str) -> Result<TraceFrame, (usize, TraceFault)> {
    let fields: Vec<&str> = line.split(',').collect();
    let &[time, bytes, key] = fields.as_slice() else {
        return Err((1, TraceFault::Fields { got: fields.len() }));
    };
    let bytes_column = time.len() + 2;
    let key_column = bytes_column + bytes.len() + 1;
    let micros = time.trim().parse().ok().filter(|&micros| micros <= TIME_MAX_US);
    let size = bytes.trim().parse().ok().filter(|size| (1..=FrameTrace::FRAME_MAX).contains(size));
    Ok(TraceFrame {
        at: Duration::from_micros(micros.ok_or_else(|| (1, TraceFault::Time { got: time.trim().into() }))?),
        bytes: size.ok_or_else(|| (bytes_column, TraceFault::Size { got: bytes.trim().into() }))?,
        key: match key.trim() {
            "0" => false,
            "1" => true,
            other => return Err((key_column, TraceFault::Key { got: other.into() })),
        },
    })
}

/// Plays a trace in a circle, from one of its key frames on.
#[derive(Debug)]
pub(super) struct TracePlayer {
    trace: FrameTrace,
    /// The frame that comes next.
    index: usize,
    /// When the round that it belongs to began, had it been played from the trace's first frame; the
    /// first round may have begun before the start of the run.
    round: i128,
    screen_bytes: u32,
}

impl TracePlayer {
    /// Starts at `start` with a key frame drawn from `stream`; with the first frame where there is none.
    pub(super) fn new(trace: FrameTrace, start: Time, stream: Stream) -> Self {
        let keys: Vec<usize> =
            trace.frames.iter().enumerate().filter(|(_, frame)| frame.key).map(|(index, _)| index).collect();
        let index = keys.get(below(&mut stream.at(0), keys.len() as u64) as usize).copied().unwrap_or(0);
        let round = i128::from(start.as_nanos()) - i128::from(trace.frames[index].at.as_nanos());
        let screen_bytes = trace.key_bytes(index);
        Self { trace, index, round, screen_bytes }
    }
}

impl Updates for TracePlayer {
    fn next_at(&self) -> Time {
        let nanos = self.round + i128::from(self.trace.frames[self.index].at.as_nanos());
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn take(&mut self) -> Update {
        let frame = self.trace.frames[self.index];
        if frame.key {
            self.screen_bytes = frame.bytes;
        }
        self.index += 1;
        if self.index == self.trace.frames.len() {
            self.index = 0;
            self.round += i128::from(self.trace.period.as_nanos());
        }
        Update { bytes: frame.bytes, key: frame.key }
    }

    fn screen_bytes(&self) -> u32 {
        self.screen_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_stream;
    use super::*;

    const RECORDED: &str = include_str!("../../scenarios/traces/desktop-session-30fps.csv");

    fn fault(text: &str) -> (usize, usize, String) {
        let error = FrameTrace::parse(text).unwrap_err();
        (error.line, error.column, error.fault.to_string())
    }

    #[test]
    fn the_recorded_session_reads_whole() {
        let trace = FrameTrace::parse(RECORDED).unwrap();
        assert_eq!(trace.frames().len(), 2251);
        assert_eq!(trace.frames().iter().filter(|frame| frame.key).count(), 8);
        assert_eq!(trace.frames().iter().map(|frame| frame.bytes).max(), Some(117_235));
        assert_eq!(trace.frames()[2250].at, Duration::from_micros(75_033_000));
    }

    #[test]
    fn faults_name_line_and_column() {
        let cases = [
            ("bytes\n", 1, 1, "header"),
            ("", 1, 1, "header"),
            ("time_us,bytes,keyframe\n0,1,1\n1,2\n", 3, 1, "three fields"),
            ("time_us,bytes,keyframe\n-1,1,1\n", 2, 1, "got `-1`"),
            ("time_us,bytes,keyframe\n0,1,1\n33000,0,0\n", 3, 7, "got `0`"),
            ("time_us,bytes,keyframe\n0,64000001,1\n", 2, 3, "64000001"),
            ("time_us,bytes,keyframe\n0,17,yes\n", 2, 6, "got `yes`"),
            ("time_us,bytes,keyframe\n5,1,1\n4,1,1\n", 3, 1, "before that of the line above"),
            ("time_us,bytes,keyframe\n5,1,1\n", 2, 1, "two frames"),
            ("time_us,bytes,keyframe\n99999999999999999999,1,1\n", 2, 1, "10^15"),
        ];
        for (text, line, column, words) in cases {
            let got = fault(text);
            assert_eq!((got.0, got.1), (line, column), "{text:?}: {}", got.2);
            assert!(got.2.contains(words), "{text:?}: {}", got.2);
        }
    }

    #[test]
    fn a_trace_goes_around_without_a_seam() {
        let trace = FrameTrace::parse("time_us,bytes,keyframe\n100,10,1\n300,20,0\r\n500,30,0\n").unwrap();
        assert_eq!(trace.period(), Duration::from_micros(600));
        let mut player = TracePlayer::new(trace, Time::from_micros(50), test_stream("player"));
        let played: Vec<_> = (0..5).map(|_| (player.next_at().as_micros(), player.take().bytes)).collect();
        assert_eq!(played, [(50, 10), (250, 20), (450, 30), (650, 10), (850, 20)]);
    }

    #[test]
    fn sessions_start_at_different_key_frames() {
        let trace = FrameTrace::parse(RECORDED).unwrap();
        let mut starts: Vec<_> = (0..40)
            .map(|session| {
                let mut player =
                    TracePlayer::new(trace.clone(), Time::ZERO, test_stream("starts").part(session));
                assert_eq!(player.next_at(), Time::ZERO);
                let update = player.take();
                assert!(update.key && player.screen_bytes() == update.bytes);
                update.bytes
            })
            .collect();
        starts.sort_unstable();
        starts.dedup();
        // Two of the eight key frames have the same size. That one of seven sizes is missing after 40
        // draws has a chance below 7 × (7/8)^40 = 3 %, and the seed is fixed.
        assert_eq!(starts.len(), 7);
    }

    #[test]
    fn what_a_screen_costs_is_the_latest_key_frame() {
        let text = "time_us,bytes,keyframe\n0,5,0\n1,100,1\n2,5,0\n3,200,1\n4,5,0\n";
        let trace = FrameTrace::parse(text).unwrap();
        let costs: Vec<_> = (0..5).map(|index| trace.key_bytes(index)).collect();
        assert_eq!(costs, [200, 100, 100, 200, 200]);
        let trace = FrameTrace::parse("time_us,bytes,keyframe\n0,5,0\n1,7,0\n").unwrap();
        assert_eq!(trace.key_bytes(0), 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_text_gives_a_trace_or_a_reason(text in "(time_us,bytes,keyframe\n)?([0-9,\n -]|\\PC){0,80}") {
            match FrameTrace::parse(&text) {
                Ok(trace) => prop_assert!(trace.frames().len() >= 2),
                Err(error) => prop_assert!(error.line >= 1 && error.column >= 1),
            }
        }
    }
}
