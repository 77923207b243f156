//! Feedback on the wire: what the receiving half of an end tells the other end's sending half.
//!
//! Everything in it is a state, not a change: ranges, wants and requests are repeated and counters
//! count from the start of the session, so that a lost feedback packet is made good by the next one.
//!
//! Behind the common header, `v` being a variable-length integer of 1, 2, 4 or 8 bytes (RFC 9000 §16)
//! that must fit 32 bits:
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 4 | largest | the highest packet number that arrived, modulo 2^32 |
//! | 4 | echo | that packet's time of sending |
//! | v | held | µs from its arrival to the sending of this |
//! | 4 | delay | least relative one-way delay since the last feedback, µs modulo 2^32 |
//! | 4, 4 | train bytes, train time | what arrived in trains right behind the packet before it, and how long behind, µs; both modulo 2^32 |
//! | v | first run | packet numbers that arrived without a gap up to the largest, at least 1 |
//! | v, 2 v each | ranges | how many; each a gap and the run below it, both at least 1 |
//! | v, v, v | expected, lost, residual | packets whose fate on the network is known, lost ones, source packets given up |
//! | 8 v | runs | how many runs of losses were 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more packets long |
//! | v | deficit | the most repair packets that are missing in any block or window |
//! | 4 | floor | every source packet below this ESI has its fate |
//! | v, (4 + v) each | wanted | source packets to be sent again: how many ranges; first ESI and count of each |
//! | v, (4 + v + v) each | deficits | blocks or windows in which repair packets are missing: how many; first ESI, count of source packets and number missing of each |
//! | 4 | taken | refresh requests of the other end that arrived, modulo 2^32 |
//! | 4 | asked | number of the first refresh request that follows, modulo 2^32 |
//! | v, 4 each | requests | how many; the frame that each one misses |
//! | v | marked | packets that arrived with a mark of congestion, ECN-CE (RFC 9000 §19.3.2); absent where none did |
//!
//! The ranges follow RFC 9000 §19.3, but count gaps and runs from 1 instead of from 0. The oldest fall
//! off where there are more than [`Feedback::RANGES_MAX`].

use bytes::{Buf, BufMut, BytesMut};

use crate::frame::FrameId;
use crate::record::Malformed;

/// What a feedback packet says; the module documentation has the fields' meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// The highest packet number that arrived.
    pub largest: u32,
    /// When that packet was sent.
    pub echo: u32,
    /// Microseconds from its arrival to this feedback.
    pub held: u32,
    /// The least relative one-way delay since the last feedback: arrival minus sending, each on its own
    /// clock, in microseconds modulo 2^32. Only differences mean anything.
    pub delay: u32,
    /// What arrived in trains.
    pub trains: Trains,
    /// Packet numbers that arrived without a gap, up to and with `largest`.
    pub run: u32,
    /// What arrived below that, downwards.
    pub ranges: Vec<Range>,
    /// What was lost.
    pub losses: Losses,
    /// Every source packet below this ESI has arrived or was given up.
    pub floor: u32,
    /// Source packets that the receiver wants again.
    pub wanted: Vec<Wanted>,
    /// Blocks or windows that fresh repair packets would complete; the source packets missing in them
    /// are in `wanted` as well, for a code that cannot make any.
    pub deficits: Vec<Deficit>,
    /// How many refresh requests of the other end arrived, in order.
    pub taken: u32,
    /// The number of the first of `requests`, counted from the start of the session.
    pub asked: u32,
    /// The frames that are missed, by requests of which the other end has not told that they arrived.
    pub requests: Vec<FrameId>,
    /// How many packets arrived marked with congestion, since the start of the session, modulo 2^32.
    pub marked: u32,
}

/// Packets of trains that arrived right behind the packet sent before them, since the start of the
/// session. Their dispersion is the rate of the path's slowest hop (Jain and Routhier, "Packet trains",
/// 1986), whatever is lost, because only neighbors count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trains {
    /// Their IP bytes, modulo 2^32.
    pub bytes: u32,
    /// Microseconds from the packet before to each of them, modulo 2^32.
    pub micros: u32,
}

/// Packet numbers that did not arrive and, below them, ones that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// How many did not.
    pub gap: u32,
    /// How many below them did.
    pub run: u32,
}

/// A range of source packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The first ESI, modulo 2^32.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// A block or window in which repair packets are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deficit {
    /// The ESI of its first source packet, modulo 2^32.
    pub first: u32,
    /// How many source packets it spans.
    pub count: u32,
    /// How many fresh repair packets would do.
    pub missing: u32,
}

/// The account of losses since the start of the session, each count modulo 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Packets whose fate on the network is known.
    pub expected: u32,
    /// Packets of them that were lost.
    pub lost: u32,
    /// Source packets that were given up.
    pub residual: u32,
    /// Runs of consecutive losses by length, as in [`crate::fec::LossReport::runs`].
    pub runs: [u32; 8],
    /// The most repair packets that are missing in any block or window now.
    pub deficit: u16,
}

impl Feedback {
    /// The most ranges of packet numbers: at 40 % loss they reach back over 250 packets.
    pub const RANGES_MAX: usize = 64;
    /// The most ranges of wanted source packets.
    pub const WANTED_MAX: usize = 32;
    /// The most blocks or windows in which repair packets are missing.
    pub const DEFICITS_MAX: usize = 16;
    /// The most refresh requests; more wait for the next feedback.
    pub const REQUESTS_MAX: usize = 16;

    /// Writes the fields behind what is in `out`.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.largest);
        out.put_u32(self.echo);
        put_varint(out, self.held);
        out.put_u32(self.delay);
        out.put_u32(self.trains.bytes);
        out.put_u32(self.trains.micros);
        put_varint(out, self.run);
        put_varint(out, self.ranges.len() as u32);
        for range in &self.ranges {
            put_varint(out, range.gap);
            put_varint(out, range.run);
        }
        for count in self.losses.counts() {
            put_varint(out, count);
        }
        out.put_u32(self.floor);
        put_varint(out, self.wanted.len() as u32);
        for wanted in &self.wanted {
            out.put_u32(wanted.first);
            put_varint(out, wanted.count);
        }
        put_varint(out, self.deficits.len() as u32);
        for deficit in &self.deficits {
            out.put_u32(deficit.first);
            put_varint(out, deficit.count);
            put_varint(out, deficit.missing);
        }
        out.put_u32(self.taken);
        out.put_u32(self.asked);
        put_varint(out, self.requests.len() as u32);
        for frame in &self.requests {
            out.put_u32(frame.0);
        }
        if self.marked > 0 {
            put_varint(out, self.marked);
        }
    }

    /// The length of what [`Feedback::encode`] writes.
    pub(super) fn encoded_len(&self) -> usize {
        let ranges = self.ranges.iter().map(|range| varint_len(range.gap) + varint_len(range.run));
        let wanted = self.wanted.iter().map(|wanted| 4 + varint_len(wanted.count));
        let deficits =
            self.deficits.iter().map(|deficit| 4 + varint_len(deficit.count) + varint_len(deficit.missing));
        let fixed = 8 * 4;
        let lengths = [self.ranges.len(), self.wanted.len(), self.deficits.len(), self.requests.len()];
        fixed
            + varint_len(self.held)
            + varint_len(self.run)
            + lengths.into_iter().map(|len| varint_len(len as u32)).sum::<usize>()
            + self.losses.counts().map(varint_len).sum::<usize>()
            + ranges.sum::<usize>()
            + wanted.sum::<usize>()
            + deficits.sum::<usize>()
            + 4 * self.requests.len()
            + if self.marked > 0 { varint_len(self.marked) } else { 0 }
    }

    /// Reads the fields; nothing may follow them.
    pub(super) fn decode(mut rest: &[u8]) -> Result<Self, Malformed> {
        let rest = &mut rest;
        let feedback = Self {
            largest: get_u32(rest)?,
            echo: get_u32(rest)?,
            held: get_varint(rest)?,
            delay: get_u32(rest)?,
            trains: Trains { bytes: get_u32(rest)?, micros: get_u32(rest)? },
            run: at_least_one(get_varint(rest)?)?,
            ranges: get_list(rest, Self::RANGES_MAX, |rest| {
                let (gap, run) = (get_varint(rest)?, get_varint(rest)?);
                Ok(Range { gap: at_least_one(gap)?, run: at_least_one(run)? })
            })?,
            losses: Losses::decode(rest)?,
            floor: get_u32(rest)?,
            wanted: get_list(rest, Self::WANTED_MAX, |rest| {
                Ok(Wanted { first: get_u32(rest)?, count: at_least_one(get_varint(rest)?)? })
            })?,
            deficits: get_list(rest, Self::DEFICITS_MAX, |rest| {
                Ok(Deficit {
                    first: get_u32(rest)?,
                    count: at_least_one(get_varint(rest)?)?,
                    missing: at_least_one(get_varint(rest)?)?,
                })
            })?,
            taken: get_u32(rest)?,
            asked: get_u32(rest)?,
            requests: get_list(rest, Self::REQUESTS_MAX, |rest| Ok(FrameId(get_u32(rest)?)))?,
            marked: if rest.is_empty() { 0 } else { at_least_one(get_varint(rest)?)? },
        };
        if rest.is_empty() { Ok(feedback) } else { Err(Malformed::InvalidField) }
    }

    /// Whether the packet numbered `largest - below` is said to have arrived. Of numbers below the
    /// oldest range nothing is known, which is no "yes".
    pub(super) fn acknowledges(&self, below: u64) -> bool {
        let mut end = u64::from(self.run);
        if below < end {
            return true;
        }
        for range in &self.ranges {
            let start = end + u64::from(range.gap);
            end = start + u64::from(range.run);
            if below < end {
                return below >= start;
            }
        }
        false
    }
}

impl Losses {
    /// Counts a run of `length` consecutive losses.
    pub(super) fn count_run(&mut self, length: u32) {
        // 1, 2, 3–4, 5–8, …: the class is the logarithm to base 2, rounded up.
        let class = length.next_power_of_two().trailing_zeros().min(7);
        let count = &mut self.runs[class as usize];
        *count = count.wrapping_add(1);
    }

    fn counts(&self) -> impl Iterator<Item = u32> {
        let Self { expected, lost, residual, runs, deficit } = *self;
        [expected, lost, residual].into_iter().chain(runs).chain([u32::from(deficit)])
    }

    fn decode(rest: &mut &[u8]) -> Result<Self, Malformed> {
        let (expected, lost, residual) = (get_varint(rest)?, get_varint(rest)?, get_varint(rest)?);
        let mut runs = [0; 8];
        for count in &mut runs {
            *count = get_varint(rest)?;
        }
        let deficit = u16::try_from(get_varint(rest)?).map_err(|_| Malformed::InvalidField)?;
        Ok(Self { expected, lost, residual, runs, deficit })
    }
}

fn at_least_one(value: u32) -> Result<u32, Malformed> {
    if value == 0 { Err(Malformed::InvalidField) } else { Ok(value) }
}

fn get_u32(rest: &mut &[u8]) -> Result<u32, Malformed> {
    rest.try_get_u32().map_err(|_| Malformed::Truncated)
}

fn get_list<T>(
    rest: &mut &[u8],
    len_max: usize,
    mut get: impl FnMut(&mut &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let len = get_varint(rest)? as usize;
    if len > len_max {
        return Err(Malformed::InvalidField);
    }
    (0..len).map(|_| get(rest)).collect()
}

fn varint_len(value: u32) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

fn put_varint(out: &mut BytesMut, value: u32) {
    match varint_len(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(0x4000 | value as u16),
        4 => out.put_u32(0x8000_0000 | value),
        _ => out.put_u64(0xc000_0000_0000_0000 | u64::from(value)),
    }
}

fn get_varint(rest: &mut &[u8]) -> Result<u32, Malformed> {
    let len = 1_usize << (rest.first().ok_or(Malformed::Truncated)? >> 6);
    if rest.len() < len {
        return Err(Malformed::Truncated);
    }
    let value = rest.get_uint(len) & (u64::MAX >> (64 - 8 * len + 2));
    u32::try_from(value).map_err(|_| Malformed::InvalidField)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::transport) fn any_feedback() -> impl Strategy<Value = Feedback> {
        let range = (1_u32.., 1_u32..).prop_map(|(gap, run)| Range { gap, run });
        let wanted = (0_u32.., 1_u32..).prop_map(|(first, count)| Wanted { first, count });
        let deficit =
            (0_u32.., 1_u32.., 1_u32..).prop_map(|(first, count, missing)| Deficit { first, count, missing });
        let losses =
            any::<([u32; 3], [u32; 8], u16)>().prop_map(|([expected, lost, residual], runs, deficit)| {
                Losses { expected, lost, residual, runs, deficit }
            });
        (
            (any::<[u32; 10]>(), 1_u32.., losses),
            prop::collection::vec(range, 0..=Feedback::RANGES_MAX),
            prop::collection::vec(wanted, 0..=Feedback::WANTED_MAX),
            prop::collection::vec(deficit, 0..=Feedback::DEFICITS_MAX),
            prop::collection::vec((0_u32..).prop_map(FrameId), 0..=Feedback::REQUESTS_MAX),
        )
            .prop_map(|((numbers, run, losses), ranges, wanted, deficits, requests)| {
                let [largest, echo, held, delay, bytes, micros, floor, taken, asked, marked] = numbers;
                Feedback {
                    largest,
                    echo,
                    held,
                    delay,
                    trains: Trains { bytes, micros },
                    run,
                    ranges,
                    losses,
                    floor,
                    wanted,
                    deficits,
                    taken,
                    asked,
                    requests,
                    marked,
                }
            })
    }

    #[test]
    fn variable_length_integers_keep_their_value_at_every_length() {
        for value in [0, 0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, u32::MAX] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            assert_eq!(get_varint(&mut &out[..]), Ok(value));
        }
        // 2^32 itself does not fit.
        let too_large = [0xc0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(get_varint(&mut &too_large[..]), Err(Malformed::InvalidField));
    }

    #[test]
    fn acknowledgements_count_down_from_the_largest() {
        // Largest 9, arrived: 9 8 | lost 7 6 | arrived 5 | lost 4 | arrived 3 2, nothing said below.
        let ranges = vec![Range { gap: 2, run: 1 }, Range { gap: 1, run: 2 }];
        let feedback = Feedback { largest: 9, run: 2, ranges, ..Feedback::default() };
        let arrived: Vec<u64> =
            (0..=9).filter(|below| feedback.acknowledges(*below)).map(|b| 9 - b).collect();
        assert_eq!(arrived, [9, 8, 5, 3, 2]);
    }

    #[test]
    fn runs_fall_into_classes_by_powers_of_two() {
        let mut losses = Losses::default();
        for length in [1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 64, 65, 1000] {
            losses.count_run(length);
        }
        assert_eq!(losses.runs, [1, 1, 2, 2, 2, 1, 2, 2]);
    }

    #[test]
    fn the_longest_feedback_fits_the_smallest_usual_datagram() {
        let feedback = Feedback {
            held: 1 << 20,
            run: 1 << 14,
            ranges: vec![Range { gap: 1 << 13, run: 1 << 13 }; Feedback::RANGES_MAX],
            losses: Losses {
                expected: u32::MAX,
                lost: u32::MAX,
                residual: u32::MAX,
                runs: [u32::MAX; 8],
                deficit: u16::MAX,
            },
            wanted: vec![Wanted { first: 0, count: 1 << 13 }; Feedback::WANTED_MAX],
            deficits: vec![Deficit { first: 0, count: 1 << 10, missing: 63 }; Feedback::DEFICITS_MAX],
            requests: vec![FrameId(0); Feedback::REQUESTS_MAX],
            ..Feedback::default()
        };
        // 1200 bytes pass every path of the internet (RFC 9000 §14).
        assert!(feedback.encoded_len() + 15 <= 1200, "{} bytes", feedback.encoded_len());
    }
}
