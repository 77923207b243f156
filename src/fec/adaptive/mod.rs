//! The adaptive code: as much redundancy as is worth its bytes, where the path needs it, when it helps.
//!
//! Repair packets are those of the sliding-window code ([`rlc`](super::rlc)); what is new is who decides
//! on them. The code makes three decisions, all with one rule (`plan`: a repair packet is sent where
//! what it adds to the chance of a frame in time is worth more than its bytes), from the losses and
//! bursts in the receiver's reports (`estimate`):
//!
//! | when | what | the chance it adds counts |
//! | --- | --- | --- |
//! | a frame is complete | repair packets at once | little where the receiver can ask in time or a last call follows; in full where nothing can |
//! | the receiver asks | what it misses, and some more against the loss of these | in full |
//! | last call: a repair packet sent later would be late | what is still lacking for everything that has not been acknowledged | in full |
//!
//! So it finds by itself where no redundancy is right (no loss), where retransmission is (a round trip
//! fits the deadline several times), and where a code is (it does not). At a last call the window takes in
//! the frames since, so that a burst that took a whole frame meets repair packets that left later; and
//! the last packet of a pause, whose loss nothing reveals, is repeated without being asked for.
//!
//! Bytes cost more where they make others wait: the price rises with the queue of the path and as the
//! rate that congestion control allows is used up, and losses that come with a long queue are not
//! answered with more load.
//!
//! Sources: rate-distortion optimized streaming (Chou and Miao 2006) for the rule; hybrid ARQ type II
//! (Lin and Costello 1983); WebRTC's choice between retransmission and codes by round trip (RFC 8854
//! section 8), here by expected worth; Tambur (NSDI '23) for windows over several frames.
//!
//! | here | elsewhere |
//! | --- | --- |
//! | redundancy from a model of the channel and the deadline | WebRTC: a table over loss and bit rate; Tambur: a neural network; kcp-go, Sunshine, UDPspeeder: fixed |
//! | small frames get more, for their bytes are cheap | a share of the packets, with a floor |

mod estimate;
mod plan;

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use super::block::UNIT_OVERHEAD;
use super::sliding::{RandomLinear, WindowDecoder, WindowEncoder};
use super::{Encoder, Flush, InvalidScheme, LossReport, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

use estimate::Estimate;
use plan::Plan;

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    worth: u32,
}

impl Default for Adaptive {
    /// A frame in time is worth 250 kB, some forty mean frames of a remote desktop: the last percent of
    /// frames in time may cost 40 % more bytes, the last tenth of it 4 %.
    fn default() -> Self {
        Self { worth: 250_000 }
    }
}

impl Adaptive {
    /// A frame in time is `worth` so much, from 1 kB to 100 MB: repair packets are sent as long as what
    /// they add to its chance, times this, is more than their bytes. More worth is more redundancy.
    ///
    /// # Errors
    ///
    /// Where the worth is out of its range.
    pub fn new(worth: ByteSize) -> Result<Self, InvalidScheme> {
        let got = u32::try_from(worth.get()).unwrap_or(u32::MAX);
        super::scheme::within("worth", got, 1_000..=100_000_000).map(|worth| Self { worth })
    }

    /// What a frame in time is worth.
    pub fn worth(self) -> ByteSize {
        ByteSize::new(u64::from(self.worth))
    }

    pub(super) fn encoder<S: Symbol>(self) -> AdaptiveEncoder<S> {
        let estimate = Estimate::default();
        AdaptiveEncoder {
            worth: f64::from(self.worth),
            plan: Plan::new(estimate.channel()),
            estimate,
            path: Path::default(),
            window: WindowEncoder::new(RandomLinear, HELD_MAX),
            open: None,
            bytes: REPAIR_HEADERS,
            groups: VecDeque::new(),
            protects: true,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> WindowDecoder<S, RandomLinear> {
        WindowDecoder::new(RandomLinear, WINDOW_MAX).coming_back()
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct AdaptiveEncoder<S> {
    /// What a frame in time is worth, in bytes.
    worth: f64,
    estimate: Estimate,
    plan: Plan,
    path: Path,
    window: WindowEncoder<S, RandomLinear>,
    /// The group that is being sent.
    open: Option<Group>,
    /// The bytes of a repair packet over the last group.
    bytes: u16,
    /// Groups that wait for their last call, oldest first.
    groups: VecDeque<Group>,
    /// Whether the last group got repair packets at once.
    protects: bool,
    ready: VecDeque<Repair<S>>,
}

/// The packets of a frame, or of a part of one that is very large.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: u32,
    count: u16,
    /// The bytes of a repair packet over it.
    bytes: u16,
    /// When its first packet left.
    since: Time,
    /// When repair packets must begin to leave to be in time.
    last_call: Time,
    /// Repair packets over it that were sent.
    repairs: u16,
}

impl Group {
    fn end(&self) -> u32 {
        self.first.wrapping_add(u32::from(self.count))
    }
}

/// What the reports say of the path.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    round_trip: Option<Duration>,
    queue: Duration,
    spare: Option<Bitrate>,
    load: Bitrate,
    retransmits: bool,
}

impl Path {
    /// How long a packet is under way.
    fn one_way(&self) -> Option<Duration> {
        self.round_trip.map(|round_trip| round_trip / 2)
    }

    /// How often the receiver can ask for something and be answered within `time`.
    fn rounds(&self, time: Duration) -> u32 {
        let Some(round_trip) = self.round_trip.filter(|_| self.retransmits) else { return 0 };
        (time.as_nanos() / (round_trip + REACTION).as_nanos().max(1)) as u32
    }

    /// What a byte costs: 1 where nobody waits, more with the queue and as the rate is used up.
    fn price(&self) -> f64 {
        let queue = self.queue.as_secs_f64() / QUEUE_LONG.as_secs_f64();
        let used = self.spare.map_or(0.0, |spare| {
            let load = self.load.bps() as f64;
            load / (spare.bps() as f64).max(0.02 * load).max(1.0)
        });
        1.0 + queue * queue + used / 8.0
    }

    /// Whether losses come from a queue that is too long.
    fn is_congested(&self) -> bool {
        self.queue > QUEUE_LONG
    }
}

impl<S: Symbol> Encoder<S> for AdaptiveEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn protects(&self) -> bool {
        self.protects
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        self.window.push(meta.esi, symbol.clone());
        let last_call = self.last_call(now, meta.deadline);
        let group = self.open.get_or_insert(Group {
            first: meta.esi,
            count: 0,
            bytes: 0,
            since: now,
            last_call,
            repairs: 0,
        });
        group.count += 1;
        group.bytes = group.bytes.max(meta.size.saturating_add(REPAIR_HEADERS));
        if meta.frame_end || group.count == GROUP_MAX {
            self.close(now);
        }
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, now: Time, why: Flush) {
        if why == Flush::Shutdown {
            self.close(now);
            self.call(Time::NEVER);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.groups.iter().map(|group| group.last_call).min()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.call(now);
    }

    fn handle_report(&mut self, _now: Time, report: &LossReport) {
        self.path = Path {
            round_trip: report.round_trip,
            queue: report.queue,
            spare: report.spare,
            load: report.load,
            retransmits: report.retransmits,
        };
        if !self.path.is_congested() {
            self.estimate.note(report);
            self.plan.update(self.estimate.channel());
        }
    }

    fn request_repair(&mut self, _now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        let held = self.window.held();
        let first = held.start.max(*range.start());
        let end = held.end.min(range.end().saturating_add(1));
        if first >= end || end - first > u32::from(WINDOW_MAX) {
            return Vec::new();
        }
        let span = (end - first) as u16;
        let overlaps = |group: &&mut Group| group.first < end && first < group.end();
        let bytes = self.groups.iter_mut().filter(overlaps).map(|group| group.bytes).max();
        let count = count.min(span);
        let more = self.plan.repairs(count, 0, self.cost(bytes.unwrap_or(self.bytes)));
        let fresh: Vec<Repair<S>> =
            (0..count + more).map_while(|_| self.window.repair(first, span, DENSITY)).collect();
        for group in self.groups.iter_mut().filter(overlaps) {
            group.repairs = group.repairs.saturating_add(fresh.len() as u16);
        }
        fresh
    }

    fn handle_ack(&mut self, esi: u32) {
        self.groups.retain(|group| group.end() > esi.wrapping_add(1));
        self.window.advance(esi.wrapping_add(1));
    }
}

impl<S: Symbol> AdaptiveEncoder<S> {
    /// When a repair packet for what is sent now must leave at the latest.
    fn last_call(&self, now: Time, deadline: Time) -> Time {
        let lifetime = deadline.since(now);
        let one_way = self.path.one_way().unwrap_or(lifetime / 2);
        now + lifetime.saturating_sub(one_way + MARGIN).min(WAIT_MAX)
    }

    /// The open group is complete: what is worth sending at once?
    fn close(&mut self, now: Time) {
        let Some(mut group) = self.open.take() else { return };
        // All that it may need in the end takes its time to leave, as its own packets did.
        let spacing = now.since(group.since) / u64::from(group.count);
        let sources = self.sources(group.first, group.end());
        let cost = self.cost(group.bytes);
        let all = self.plan.repairs(sources, 0, cost);
        group.last_call = now.max(group.last_call.saturating_sub(spacing * u64::from(all)));
        if self.groups.len() == GROUPS_MAX {
            self.groups.pop_front();
        }
        self.groups.push_back(group);
        self.bytes = group.bytes;
        let time = group.last_call.since(now);
        let rounds = self.path.rounds(time);
        let urgency = if time < REACTION {
            1.0
        } else if rounds > 0 {
            // What the code leaves to the rounds may fail in all of them.
            let fails = 2.0 * self.estimate.channel().mean_loss() + ROUND_FAILS;
            PATIENCE / 2.0 + fails.min(1.0).powi(rounds.min(8) as i32)
        } else {
            PATIENCE
        };
        let repairs = self.plan.repairs(sources, 0, cost / urgency);
        self.protects = repairs > 0;
        // Where the receiver can ask, windows end with the frame, so that it soon knows when to.
        let oldest = if rounds > 0 { self.groups.len() - 1 } else { self.reach(now) };
        self.send(oldest..self.groups.len(), repairs);
    }

    /// The last call of all groups for which it has come at `now`.
    fn call(&mut self, now: Time) {
        while let Some(place) = self.groups.iter().position(|group| group.last_call <= now) {
            let group = self.groups[place];
            let span = place..self.extent(place);
            let sources = self.sources(group.first, self.groups[span.end - 1].end());
            let repairs = self.plan.repairs(sources, group.repairs, self.cost(group.bytes));
            self.send(span, repairs);
            self.groups.remove(place);
        }
    }

    /// How many of the source packets from `first` to before `end` the receiver may lack.
    fn sources(&self, first: u32, end: u32) -> u16 {
        let open = end.saturating_sub(first.max(self.window.held().start));
        open.min(u32::from(WINDOW_MAX)) as u16
    }

    /// What a repair packet of so many bytes costs, as a share of what a frame is worth.
    fn cost(&self, bytes: u16) -> f64 {
        f64::from(bytes) * self.path.price() / self.worth
    }

    /// The oldest group before the newest that its repair packets can still help in time without
    /// becoming longer by it.
    fn reach(&self, now: Time) -> usize {
        let newest = self.groups.len() - 1;
        let end = self.groups[newest].end();
        let mut first = newest;
        for place in (0..newest).rev() {
            let (group, after) = (self.groups[place], self.groups[first]);
            let fits = group.end() == after.first && end.wrapping_sub(group.first) <= u32::from(WINDOW_MAX);
            if !fits || group.last_call < now || !alike(group.bytes, self.groups[newest].bytes) {
                break;
            }
            first = place;
        }
        first
    }

    /// One above the last group behind `place` whose packets a window from there can take in without
    /// its repair packets becoming longer.
    fn extent(&self, place: usize) -> usize {
        let oldest = self.groups[place];
        let mut end = place + 1;
        while let Some(group) = self.groups.get(end) {
            let fits = group.first == self.groups[end - 1].end()
                && group.end().wrapping_sub(oldest.first) <= u32::from(WINDOW_MAX);
            if !fits || !alike(group.bytes, oldest.bytes) {
                break;
            }
            end += 1;
        }
        end
    }

    /// Sends repair packets over what is not acknowledged of a span of groups.
    fn send(&mut self, span: Range<usize>, repairs: u16) {
        let (first, end) = (self.groups[span.start].first, self.groups[span.end - 1].end());
        let sources = self.sources(first, end);
        let first = end.saturating_sub(u32::from(sources));
        let mut fresh = |_| self.window.repair(first, sources, DENSITY);
        let before = self.ready.len();
        self.ready.extend((0..repairs).map_while(&mut fresh));
        let made = (self.ready.len() - before) as u16;
        for group in self.groups.range_mut(span) {
            group.repairs = group.repairs.saturating_add(made);
        }
    }
}

/// Whether a packet of so many bytes makes one of `measure` bytes hardly longer.
fn alike(bytes: u16, measure: u16) -> bool {
    u32::from(bytes) * 4 <= u32::from(measure) * 5
}

/// The most source packets of a window.
const WINDOW_MAX: u16 = 512;

/// The most source packets that are held for requests: two seconds of 10 Mbit/s.
const HELD_MAX: usize = 2_048;

/// The most source packets of a group; a larger frame is several.
const GROUP_MAX: u16 = 128;

/// The most groups that wait for their last call: a second of a fast screen.
const GROUPS_MAX: usize = 64;

/// All coefficients are other than zero (RFC 8681 §3.2 for short windows).
const DENSITY: u8 = 15;

/// Bytes of headers in a repair packet: IP, UDP, ours.
const REPAIR_HEADERS: u16 = 60;

/// What is left for jitter before a deadline.
const MARGIN: Duration = Duration::from_millis(8);

/// How long it takes beside the round trip until a loss is noticed, asked for and answered: reordering
/// is waited for, feedback and pacing take their turns.
const REACTION: Duration = Duration::from_millis(15);

/// The longest time to a last call: frames without a deadline are not protected for ever.
const WAIT_MAX: Duration = Duration::from_millis(300);

/// What coming at once is worth, as a share of coming in time at all.
const PATIENCE: f64 = 0.05;

/// The chance that a round of asking and answering fails though nothing of it was lost: it was late.
const ROUND_FAILS: f64 = 0.03;

/// A queue at which a byte costs twice, and from which on losses count as the queue's.
const QUEUE_LONG: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::meta;

    /// A report of a round trip of 100 ms, in which `lost` of 200 packets were lost one by one.
    fn report(lost: u32, retransmits: bool) -> LossReport {
        LossReport {
            expected: 200,
            lost,
            runs: [lost, 0, 0, 0, 0, 0, 0, 0],
            round_trip: Some(Duration::from_millis(100)),
            retransmits,
            ..LossReport::default()
        }
    }

    /// An encoder that has sent a frame of `packets` packets at one second, whose deadline is 150 ms later.
    fn after_a_frame(lost: u32, retransmits: bool, packets: u32) -> AdaptiveEncoder<()> {
        let mut encoder = Adaptive::default().encoder();
        encoder.handle_report(Time::ZERO, &report(lost, retransmits));
        for esi in 0..packets {
            let frame_end = esi + 1 == packets;
            let deadline = Time::from_millis(1_150);
            let meta = SourceMeta { esi, frame_end, deadline, ..meta(0) };
            encoder.push_source(Time::from_secs(1), &meta, &());
        }
        encoder
    }

    fn ready(encoder: &mut AdaptiveEncoder<()>) -> Vec<(u32, u16)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        all.map(|Repair { header, .. }| (header.first, header.count)).collect()
    }

    #[test]
    fn the_last_call_comes_half_a_round_trip_and_a_margin_before_the_deadline() {
        let mut encoder = after_a_frame(10, false, 20);
        let at_once = ready(&mut encoder).len();
        let call = encoder.poll_timeout().unwrap();
        assert_eq!(call, Time::from_millis(1_150 - 50).saturating_sub(MARGIN));
        encoder.handle_timeout(call);
        let at_last = ready(&mut encoder);
        assert!(at_once < 3 && at_last.len() > 1, "{at_once}, then {}", at_last.len());
        assert!(at_last.iter().all(|window| *window == (0, 20)));
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn what_is_acknowledged_is_not_repaired_and_the_rest_of_its_frame_is() {
        let mut encoder = after_a_frame(10, false, 20);
        ready(&mut encoder);
        encoder.handle_ack(4);
        encoder.handle_timeout(encoder.poll_timeout().unwrap());
        let windows = ready(&mut encoder);
        assert!(!windows.is_empty() && windows.iter().all(|window| *window == (5, 15)), "{windows:?}");

        let mut encoder = after_a_frame(10, false, 20);
        encoder.handle_ack(19);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn no_loss_asks_for_no_repair() {
        let mut encoder = after_a_frame(0, false, 20);
        encoder.handle_report(Time::ZERO, &report(0, false));
        encoder.handle_timeout(encoder.poll_timeout().unwrap());
        assert_eq!(ready(&mut encoder), []);
    }

    #[test]
    fn where_the_receiver_can_ask_less_is_sent_at_once() {
        let short = |retransmits| {
            let mut encoder = after_a_frame(40, retransmits, 1);
            encoder.handle_report(
                Time::ZERO,
                &LossReport { round_trip: Some(Duration::from_millis(10)), ..report(40, retransmits) },
            );
            let meta = SourceMeta { esi: 1, frame_end: true, deadline: Time::from_millis(1_150), ..meta(0) };
            ready(&mut encoder);
            encoder.push_source(Time::from_secs(1), &meta, &());
            ready(&mut encoder).len()
        };
        assert!(short(true) <= short(false), "{} and {}", short(true), short(false));
    }

    #[test]
    fn a_request_is_answered_with_more_where_the_answers_may_be_lost_too() {
        for (lost, least) in [(0, 3), (40, 4)] {
            let mut encoder = after_a_frame(lost, true, 20);
            encoder.handle_report(Time::ZERO, &report(lost, true));
            let fresh = encoder.request_repair(Time::from_secs(1), 3..=12, 3);
            assert!(fresh.len() >= least && fresh.len() < 30, "{} for {lost}", fresh.len());
            assert!(fresh.iter().all(|repair| (repair.header.first, repair.header.count) == (3, 10)));
        }
        let mut encoder = after_a_frame(10, true, 20);
        assert_eq!(encoder.request_repair(Time::ZERO, 30..=40, 3), [], "nothing was sent there");
        assert!(encoder.request_repair(Time::ZERO, 0..=u32::MAX, u16::MAX).len() < 200);
    }

    #[test]
    fn a_worth_out_of_its_range_is_refused() {
        assert!(Adaptive::new(ByteSize::new(999)).is_err() && Adaptive::new(ByteSize::new(1_000)).is_ok());
        assert!(Adaptive::new(ByteSize::new(100_000_001)).is_err());
        assert!(Adaptive::new(ByteSize::new(u64::MAX)).is_err());
    }
}
