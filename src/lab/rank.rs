//! Sweeps without contents: what a code leaves on a channel, over millions of packets.
//!
//! Whether a linear code recovers a packet depends on which packets arrived and never on what is in
//! them, so encoder and decoder work with symbols of type `()` and everything else as in a session.
//! Time is counted in slots at a constant rate of the channel: every source packet and every repair
//! packet takes one, save those that ride in a source packet's datagram; the sender always has a next
//! one, and a packet that is recovered more than so many slots after its own counts as lost. Timers do not
//! run: blocks are closed by count or by frame.
//!
//! **Intervals.** Losses after repair come in clumps, since a block that fails loses several packets
//! and bursts hit several blocks, so they are not independent trials. The packets are sent in batches
//! that know nothing of each other; the variance of their losses over that of independent losses is the
//! design effect (Kish, "Survey Sampling", 1965), by which the number of packets is divided before
//! Wilson's interval ("Probable inference", JASA 22, 1927) is taken. Unlike a mean with its error it
//! keeps within 0 and 1 and says something where few packets were lost. Where none was, the size of
//! clumps is unknown and taken to be all packets of a deadline.
//!
//! The batches are spread over the cores, and the result is the same whatever their number.

use std::collections::VecDeque;

use rayon::prelude::*;

use crate::fec::theory::Channel;
use crate::fec::{DecodeEvent, Decoder, Encoder, Protect, Repair, Scheme, SourceMeta};
use crate::frame::{FrameId, Priority};
use crate::rng::{Draws, Seed, Stream, unit};
use crate::time::Time;

/// Enough for a variance that is right within a fifth, and few enough that the packets before the
/// counted ones do not weigh.
const BATCHES: u32 = 64;

/// Source packets of a batch before the first one that counts, so that sliding windows are full.
const WARM_UP: u32 = 1_000;

/// Source packets between two calls of [`Decoder::expire`].
const EXPIRE_EVERY: u32 = 128;

/// The most source packets that a decoder is to remember: half of what its window holds.
const BEHIND_MAX: u32 = 8_192;

/// The bytes of packets, for codes whose rules go by rates: a full datagram's.
const SIZE: u16 = 1_200;

/// The quantile of the normal distribution for intervals of 95 %.
const Z: f64 = 1.959_964;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// How many source packets count; rounded up to a multiple of the number of batches.
    pub packets: u32,
    /// How many slots after its own a packet may be recovered.
    pub deadline_slots: u16,
    /// How many packets the frames have, again and again; where there are none, all packets belong to
    /// one frame without an end. Frames of no packets are left out.
    pub frames: &'a [u16],
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// Source packets that count.
    pub packets: u64,
    /// Those that did not arrive themselves.
    pub lost_on_wire: u64,
    /// Those that did not arrive and were not recovered in time.
    pub lost: u64,
    /// Repair packets sent for each source packet, those that ride in source packets' datagrams (in-band
    /// redundancy) like any others: what counts is bytes.
    pub overhead: f64,
    /// How many slots after its own a packet that was recovered in time was so, on average; none where
    /// none was.
    pub recovery_slots: Option<f64>,
    /// The standard error of [`Residual::share`], from the batches.
    pub error: f64,
    /// The interval of 95 % of [`Residual::share`].
    pub interval: [f64; 2],
    /// Frames whose last packet counts.
    pub frames: u64,
    /// Frames of which a packet that counts stayed lost.
    pub frames_not_whole: u64,
}

impl Residual {
    /// The share of source packets that stayed lost.
    pub fn share(&self) -> f64 {
        self.lost as f64 / self.packets as f64
    }
}

/// Sends source packets and what the code adds over the channel. None where the code has no twin without
/// contents ([`Scheme::supports`]).
pub fn sweep(scheme: &Scheme, channel: &Channel, plan: &Plan<'_>, seed: Seed) -> Option<Residual> {
    if !scheme.supports::<()>() {
        return None;
    }
    let stream = seed.stream("rank");
    let each = plan.packets.div_ceil(BATCHES).max(1);
    let batches: Vec<Counts> = (0..BATCHES)
        .into_par_iter()
        .map(|index| Batch::new(scheme, channel, plan, stream, index).run(each))
        .collect();
    Some(summarize(&batches, each, plan.deadline_slots))
}

/// What was counted in a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    repairs: u64,
    sources: u64,
    lost_on_wire: u64,
    lost: u64,
    recovered: u64,
    /// Slots that recovery took, over all packets recovered in time.
    recovery_slots: u64,
    frames: u64,
    frames_not_whole: u64,
}

/// A session of its own.
#[derive(Debug)]
struct Batch<'a> {
    encoder: Box<dyn Encoder<()>>,
    decoder: Box<dyn Decoder<()>>,
    losses: Losses,
    deadline_slots: u64,
    frames: Frames<'a>,
    /// The source packets that did not arrive and may still be recovered in time: their ESI, their slot
    /// and the number of their frame.
    missing: VecDeque<(u32, u64, FrameId)>,
    /// The slot at hand.
    slot: u64,
    /// The source packets that count.
    counted: std::ops::Range<u32>,
    /// The last frame that is known to miss a packet.
    broken: Option<FrameId>,
    counts: Counts,
}

impl<'a> Batch<'a> {
    fn new(scheme: &Scheme, channel: &Channel, plan: &Plan<'a>, stream: Stream, index: u32) -> Self {
        Self {
            encoder: scheme.encoder(),
            decoder: scheme.decoder(),
            losses: Losses::new(*channel, stream.part(u64::from(index)).at(0)),
            deadline_slots: u64::from(plan.deadline_slots),
            frames: Frames::new(plan.frames, index),
            missing: VecDeque::new(),
            slot: 0,
            counted: 0..0,
            broken: None,
            counts: Counts::default(),
        }
    }

    /// Sends so many packets that count, some before them, and behind them until their time is over.
    fn run(mut self, packets: u32) -> Counts {
        self.counted = WARM_UP..WARM_UP + packets;
        let end = self.counted.end + self.deadline_slots as u32 + 1;
        for esi in 0..end {
            self.send_source(esi);
            while let Some(repair) = self.encoder.poll_repair(Time::ZERO) {
                self.send_repair(&repair);
            }
            if esi % EXPIRE_EVERY == 0 {
                let wanted = self.missing.front().map_or(esi, |&(first, ..)| first);
                self.decoder.expire(wanted.max(esi.saturating_sub(BEHIND_MAX)));
            }
        }
        while let Some(late) = self.missing.pop_front() {
            self.lose(late);
        }
        self.counts
    }

    fn send_source(&mut self, esi: u32) {
        let (frame, frame_end) = self.frames.next();
        let counts = self.counted.contains(&esi);
        self.counts.sources += 1;
        self.counts.frames += u64::from(frame_end && counts);
        let (priority, deadline) = (Priority::Delta, Time::NEVER);
        let meta = SourceMeta { esi, frame, frame_end, priority, deadline, size: SIZE };
        let protect = self.encoder.push_source(Time::ZERO, &meta, &());
        let arrives = match &protect {
            Protect::Send(riders) => {
                self.counts.repairs += riders.len() as u64;
                !self.next_slot()
            }
            Protect::Hold => false,
        };
        if !arrives {
            self.counts.lost_on_wire += u64::from(counts);
            self.missing.push_back((esi, self.slot, frame));
            return;
        }
        self.decoder.push_source(Time::ZERO, esi, &());
        if let Protect::Send(riders) = &protect {
            for rider in riders {
                self.receive(rider);
            }
        }
        self.learn();
    }

    fn send_repair(&mut self, repair: &Repair<()>) {
        self.counts.repairs += 1;
        if !self.next_slot() {
            self.receive(repair);
            self.learn();
        }
    }

    fn receive(&mut self, repair: &Repair<()>) {
        let taken = self.decoder.push_repair(Time::ZERO, &repair.header, &repair.symbol);
        debug_assert!(taken.is_ok(), "an encoder's own header");
    }

    /// Goes to the next slot, where packets that were not recovered in time are given up, and says
    /// whether its packet is lost.
    fn next_slot(&mut self) -> bool {
        self.slot += 1;
        while let Some(&late) =
            self.missing.front().filter(|(_, slot, _)| slot + self.deadline_slots < self.slot)
        {
            self.missing.pop_front();
            self.lose(late);
        }
        self.losses.next()
    }

    /// Hears what the decoder recovered.
    fn learn(&mut self) {
        while let Some(event) = self.decoder.poll_event() {
            let DecodeEvent::Recovered { esi, .. } = event else { continue };
            let Ok(place) = self.missing.binary_search_by_key(&esi, |&(esi, ..)| esi) else { continue };
            let recovered = self.missing.remove(place);
            if let Some((_, slot, _)) = recovered.filter(|(esi, ..)| self.counted.contains(esi)) {
                self.counts.recovered += 1;
                self.counts.recovery_slots += self.slot - slot;
            }
        }
    }

    fn lose(&mut self, (esi, _, frame): (u32, u64, FrameId)) {
        if self.counted.contains(&esi) {
            self.counts.lost += 1;
            let known = self.broken.replace(frame) == Some(frame);
            self.counts.frames_not_whole += u64::from(!known && !self.frames.sizes.is_empty());
        }
    }
}

/// The frames of the packets, one after the other.
#[derive(Debug)]
struct Frames<'a> {
    sizes: &'a [u16],
    /// Where in the list of sizes we are.
    place: usize,
    frame: FrameId,
    /// Packets of the frame that are to come.
    left: u16,
}

impl<'a> Frames<'a> {
    /// Each batch begins elsewhere in the list.
    fn new(sizes: &'a [u16], batch: u32) -> Self {
        let sizes = if sizes.iter().all(|&size| size == 0) { &[] } else { sizes };
        let place = sizes.len() * batch as usize / BATCHES as usize;
        Self { sizes, place, frame: FrameId(0), left: 0 }
    }

    /// The frame of the next packet, and whether it is the last of it.
    fn next(&mut self) -> (FrameId, bool) {
        if self.sizes.is_empty() {
            return (self.frame, false);
        }
        while self.left == 0 {
            self.left = self.sizes[self.place];
            self.place = (self.place + 1) % self.sizes.len();
            self.frame.0 = self.frame.0.wrapping_add(u32::from(self.left > 0));
        }
        self.left -= 1;
        (self.frame, self.left == 0)
    }
}

/// The losses of a channel, slot by slot, in as many draws as there are losses and changes of state.
#[derive(Debug)]
struct Losses {
    channel: Channel,
    draws: Draws,
    bad: bool,
    /// Slots until the state changes.
    state_ends: u64,
    /// Slots until the next loss in this state.
    next_loss: u64,
}

impl Losses {
    /// Begins in the stationary state.
    fn new(channel: Channel, mut draws: Draws) -> Self {
        let bad = unit(&mut draws) < channel.shares()[1];
        let mut losses = Self { channel, draws, bad: !bad, state_ends: 0, next_loss: 0 };
        // What is left of a sojourn without memory is a whole one.
        losses.change();
        losses
    }

    /// Whether the packet of the next slot is lost.
    fn next(&mut self) -> bool {
        if self.state_ends == 0 {
            self.change();
        }
        self.state_ends -= 1;
        if self.next_loss > 0 {
            self.next_loss -= 1;
            return false;
        }
        self.next_loss = self.failures_before(self.channel.losses()[usize::from(self.bad)]);
        true
    }

    fn change(&mut self) {
        self.bad = !self.bad;
        let state = usize::from(self.bad);
        self.state_ends = self.failures_before(self.channel.leaving()[state]).saturating_add(1);
        self.next_loss = self.failures_before(self.channel.losses()[state]);
    }

    /// How many trials fail before the first that succeeds, with probability `p` each.
    fn failures_before(&mut self, p: f64) -> u64 {
        if p >= 1.0 {
            0
        } else if p <= 0.0 {
            u64::MAX
        } else {
            // The cast saturates.
            (libm::log1p(-unit(&mut self.draws)) / libm::log1p(-p)) as u64
        }
    }
}

/// The sum over batches of so many packets each, and what their differences say of its error.
fn summarize(batches: &[Counts], each: u32, deadline_slots: u16) -> Residual {
    let sum = |count: fn(&Counts) -> u64| batches.iter().map(count).sum::<u64>();
    let (each, number) = (f64::from(each), batches.len() as f64);
    let (lost, recovered) = (sum(|batch| batch.lost), sum(|batch| batch.recovered));
    let packets = each * number;
    let share = lost as f64 / packets;
    let squares =
        batches.iter().map(|batch| (batch.lost as f64 / each - share) * (batch.lost as f64 / each - share));
    let error = libm::sqrt(squares.sum::<f64>() / (number - 1.0) / number);
    let of_independent = share * (1.0 - share) / packets;
    let design = if of_independent > 0.0 {
        (error * error / of_independent).max(1.0)
    } else {
        1.0 + f64::from(deadline_slots)
    };
    Residual {
        packets: packets as u64,
        lost_on_wire: sum(|batch| batch.lost_on_wire),
        lost,
        overhead: sum(|batch| batch.repairs) as f64 / sum(|batch| batch.sources) as f64,
        recovery_slots: (recovered > 0).then(|| sum(|batch| batch.recovery_slots) as f64 / recovered as f64),
        error,
        interval: wilson(share, packets / design),
        frames: sum(|batch| batch.frames),
        frames_not_whole: sum(|batch| batch.frames_not_whole),
    }
}

/// Wilson's interval of 95 % for a share of so many independent trials.
fn wilson(share: f64, trials: f64) -> [f64; 2] {
    let square = Z * Z / trials;
    let center = share + square / 2.0;
    let half = libm::sqrt(share * (1.0 - share) * square + square * square / 4.0);
    [(center - half) / (1.0 + square), (center + half) / (1.0 + square)].map(|end| end.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::red::Red;
    use crate::fec::reed_solomon::{PerFrame, PerPackets};
    use crate::fec::theory;
    use crate::fec::xor::Xor;
    use crate::units::Probability;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    fn independent(loss: f64) -> Channel {
        Channel::independent(share(loss))
    }

    fn plan(packets: u32, deadline_slots: u16) -> Plan<'static> {
        Plan { packets, deadline_slots, frames: &[] }
    }

    #[test]
    fn losses_have_the_mean_and_the_variance_of_the_channel() {
        let channel = Channel::gilbert_elliott(share(0.01), share(0.2), share(0.001), share(0.7));
        let mut losses = Losses::new(channel, Seed(1).stream("losses").at(0));
        let windows = 40_000;
        let mean = 50.0 * channel.mean_loss();
        let squares: Vec<f64> =
            (0..windows).map(|_| ((0..50).filter(|_| losses.next()).count() as f64 - mean).powi(2)).collect();
        // The mean square about the known mean is the variance; its error is taken from the squares.
        // Neighboring windows share a burst at most, for which five errors leave room.
        let variance = squares.iter().sum::<f64>() / f64::from(windows);
        let spread = squares.iter().map(|s| (s - variance).powi(2)).sum::<f64>() / f64::from(windows);
        let bound = 5.0 * (spread / f64::from(windows)).sqrt();
        let theory = channel.variance_of_losses(50);
        assert!((variance - theory).abs() < bound, "{variance}, not {theory} ± {bound}");
    }

    #[test]
    fn a_channel_that_keeps_its_state_keeps_it() {
        let frozen = Channel::gilbert(share(0.5), 2.0).unwrap().frozen();
        for key in 0..20 {
            let mut losses = Losses::new(frozen, Seed(1).stream("losses").at(key));
            let first = losses.next();
            assert!((0..100).all(|_| losses.next() == first));
        }
    }

    #[test]
    fn what_blocks_leave_is_what_theory_says() {
        let channel = Channel::gilbert(share(0.05), 2.0).unwrap();
        let scheme = Scheme::ReedSolomon(PerPackets::new(10, 3, None).unwrap());
        let frames = [1, 4, 7, 30];
        let plan = Plan { packets: 640_000, deadline_slots: 13, frames: &frames };
        let measured = sweep(&scheme, &channel, &plan, Seed(1)).unwrap();
        // Five errors from 64 batches: a wrong alarm in 200,000, on a seed that never changes.
        let theory = theory::residual(&scheme, &channel, None).unwrap();
        assert!((measured.share() - theory).abs() < 5.0 * measured.error, "{measured:?}, not {theory:e}");
        assert!(measured.interval[0] < measured.share() && measured.share() < measured.interval[1]);
        assert!((measured.overhead - 0.3).abs() < 1e-3);
        // Frames of 10.5 packets on average; they share blocks, so that their number is halved for the
        // error of a binomial share.
        let theory = theory::frames_not_whole(&scheme, &channel, &frames).unwrap();
        let (frames, broken) = (measured.frames as f64, measured.frames_not_whole as f64);
        let bound = 5.0 * (theory * (1.0 - theory) / (frames / 2.0)).sqrt();
        assert!((broken / frames - theory).abs() < bound, "{broken} of {frames}, not {theory} ± {bound}");
    }

    #[test]
    fn blocks_by_frame_are_those_of_the_frames_given() {
        let (channel, frames) = (independent(0.1), [3, 0, 20]);
        let scheme = Scheme::ReedSolomonPerFrame(PerFrame::new(20, 2).unwrap());
        let plan = Plan { packets: 640_000, deadline_slots: 100, frames: &frames };
        let measured = sweep(&scheme, &channel, &plan, Seed(1)).unwrap();
        let theory = theory::residual(&scheme, &channel, Some(&frames)).unwrap();
        assert!((measured.share() - theory).abs() < 5.0 * measured.error, "{measured:?}, not {theory:e}");
        // Frames are blocks of their own, independent of each other.
        let theory = theory::frames_not_whole(&scheme, &channel, &frames).unwrap();
        let share = measured.frames_not_whole as f64 / measured.frames as f64;
        let bound = 5.0 * (theory * (1.0 - theory) / measured.frames as f64).sqrt();
        assert!((share - theory).abs() < bound, "{share}, not {theory} ± {bound}");
        assert!((measured.overhead - 6.0 / 23.0).abs() < 1e-2);
    }

    #[test]
    fn a_single_loss_of_a_row_waits_for_the_parity_packet_behind_it() {
        // Lost places are equally likely, so 1, 2, 3 or 4 slots: 2.5 on average, deviation 1.12. About
        // 5,200 are recovered.
        let scheme = Scheme::Xor(Xor::row(4, None).unwrap());
        let measured = sweep(&scheme, &independent(0.02), &plan(256_000, 4), Seed(1)).unwrap();
        let slots = measured.recovery_slots.unwrap();
        assert!((slots - 2.5).abs() < 5.0 * 1.12 / 4_700.0_f64.sqrt(), "{slots}");
    }

    #[test]
    fn what_is_recovered_after_its_deadline_is_lost() {
        let scheme = Scheme::Xor(Xor::row(4, None).unwrap());
        let lost = |slots| sweep(&scheme, &independent(0.1), &plan(64_000, slots), Seed(1)).unwrap();
        let by_deadline = [0, 1, 2, 3, 4, 100].map(|slots| lost(slots).lost);
        assert_eq!(by_deadline[0], lost(0).lost_on_wire, "nothing is recovered in its own slot");
        assert!(by_deadline[..5].windows(2).all(|pair| pair[0] > pair[1]), "{by_deadline:?}");
        assert_eq!(by_deadline[4], by_deadline[5], "the parity packet is four slots away at most");
    }

    #[test]
    fn copies_that_ride_in_source_packets_are_overhead_and_take_no_slots() {
        let scheme = Scheme::Red(Red::new(2).unwrap());
        let measured = |slots| sweep(&scheme, &independent(0.1), &plan(64_000, slots), Seed(1)).unwrap();
        // The first two packets of a batch of 2,000 have three copies less to carry.
        let overhead = measured(2).overhead;
        assert!((1.998..2.0).contains(&overhead), "{overhead}");
        // The second copy rides two source packets behind, and nothing is between them.
        assert_eq!(measured(2).lost, measured(20).lost);
        assert!(measured(1).lost > measured(2).lost);
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_cores() {
        let scheme = Scheme::ReedSolomon(PerPackets::new(4, 2, None).unwrap());
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sweep(&scheme, &independent(0.1), &plan(64_000, 24), Seed(7)))
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn where_nothing_was_lost_the_interval_reaches_as_far_as_a_clump_could() {
        let measured = sweep(&Scheme::None, &independent(0.0), &plan(64_000, 24), Seed(1)).unwrap();
        assert_eq!((measured.lost, measured.error, measured.interval[0]), (0, 0.0, 0.0));
        let trials = 64_000.0 / 25.0;
        assert!((measured.interval[1] - Z * Z / (trials + Z * Z)).abs() < 1e-12);
    }

    #[test]
    fn wilson_gives_the_intervals_of_the_tables() {
        let close = |share, trials, expected: [f64; 2]| {
            let interval = wilson(share, trials);
            assert!(interval.iter().zip(expected).all(|(a, b)| (a - b).abs() < 5e-4), "{interval:?}");
        };
        close(0.0, 10.0, [0.0, 0.2775]);
        close(0.2, 20.0, [0.0807, 0.4160]);
        close(0.5, 100.0, [0.4038, 0.5962]);
    }
}
