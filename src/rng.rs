//! Counter-based randomness: a draw is a pure function of seed, stream name, key and count.
//!
//! Every use of randomness has a stream named after its place (`"down/loss"`), and every draw in it a
//! key that says what the draw is for (a packet's index, a time slot). So one extra packet of one
//! contender shifts nobody else's luck, and the n-th packet of a direction meets the same fate under
//! TCP as under UDP (common random numbers).
//!
//! The generator is Philox2x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
//! 1, 2, 3", SC'11), fixed for good by its published test vectors. `rand::rngs::StdRng` is not
//! portable by its own documentation, so it never decides a result. The samplers are our own and use
//! `libm`, because `ln` and `exp` of the platform differ in the last bit from one system to the next.

use std::convert::Infallible;

use rand::{Rng, TryRng};

use crate::units::Probability;

/// What a whole trial is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream called `name`; different names give independent streams.
    pub fn stream(self, name: &str) -> Stream {
        // FNV-1a spreads names apart; Philox then makes the keys independent.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let [key, _] = philox(self.0, [hash, 0x5eed]);
        Stream { key }
    }
}

/// A named source of randomness. Copies of it draw the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The numbers drawn for `key`, as many as are asked for.
    pub fn at(self, key: u64) -> Draws {
        Draws { stream: self, key, block: 0, spare: None }
    }

    /// The first number drawn for `key`: [`Stream::at`] for the common case of one.
    pub fn word(self, key: u64) -> u64 {
        philox(self.key, [key, 0])[0]
    }

    /// The first two numbers drawn for `key`, for the price of one.
    pub fn pair(self, key: u64) -> [u64; 2] {
        philox(self.key, [key, 0])
    }

    /// A number from 0 (included) to 1 (excluded) drawn for `key`.
    pub fn unit(self, key: u64) -> f64 {
        to_unit(self.word(key))
    }

    /// Whether the event of probability `p` happens at `key`.
    pub fn chance(self, key: u64, p: Probability) -> bool {
        self.unit(key) < p.get()
    }

    /// A stream of its own within this one, for the part numbered `part`.
    pub fn part(self, part: u64) -> Self {
        let [key, _] = philox(self.key, [part, 0x7061_7274]);
        Self { key }
    }
}

/// The numbers of one stream at one key, in order; a [`rand::Rng`].
#[derive(Clone, Debug)]
pub struct Draws {
    stream: Stream,
    key: u64,
    block: u64,
    spare: Option<u64>,
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        if let Some(spare) = self.spare.take() {
            return Ok(spare);
        }
        let [first, second] = philox(self.stream.key, [self.key, self.block]);
        self.block += 1;
        self.spare = Some(second);
        Ok(first)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A number from 0 (included) to 1 (excluded), of 53 random bits.
pub fn unit(rng: &mut impl Rng) -> f64 {
    to_unit(rng.next_u64())
}

/// Whether an event of probability `p` happens.
pub fn chance(rng: &mut impl Rng, p: Probability) -> bool {
    unit(rng) < p.get()
}

/// A whole number from 0 (included) to `bound` (excluded); 0 where `bound` is 0.
///
/// The multiply-shift reduction is biased by less than `bound` / 2^64.
pub fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// A draw from the exponential distribution with this mean, by inversion.
pub fn exponential(rng: &mut impl Rng, mean: f64) -> f64 {
    -mean * libm::log1p(-unit(rng))
}

/// A draw from the standard normal distribution, by the transform of Box and Muller.
pub fn normal(rng: &mut impl Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log1p(-unit(rng)));
    radius * libm::cos(std::f64::consts::TAU * unit(rng))
}

/// A draw from the gamma distribution with this shape and scale (both above 0).
///
/// Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000), with
/// their boost for shapes below 1.
pub fn gamma(rng: &mut impl Rng, shape: f64, scale: f64) -> f64 {
    if shape < 1.0 {
        let boost = libm::pow(1.0 - unit(rng), 1.0 / shape);
        return gamma(rng, shape + 1.0, scale) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(rng);
        let v = libm::pow(1.0 + c * x, 3.0);
        // The chance of a rejection is below 5 %, so the loop ends.
        if v > 0.0 && libm::log(1.0 - unit(rng)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v * scale;
        }
    }
}

/// A draw from the Pareto distribution with this minimum and tail index (both above 0), by inversion.
pub fn pareto(rng: &mut impl Rng, minimum: f64, index: f64) -> f64 {
    minimum * libm::pow(1.0 - unit(rng), -1.0 / index)
}

/// A number from 0 (included) to 1 (excluded), from the upper 53 bits of a random word.
pub fn to_unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Philox2x64 with ten rounds: a keyed bijection of 128-bit counters.
fn philox(mut key: u64, mut counter: [u64; 2]) -> [u64; 2] {
    /// The multiplier of the 2×64 variant (Salmon et al., table 2).
    const MULTIPLIER: u64 = 0xd2b7_4407_b1ce_6e93;
    /// The golden ratio's fraction, added to the key each round (a Weyl sequence).
    const WEYL: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..10 {
        let product = u128::from(MULTIPLIER) * u128::from(counter[0]);
        counter = [(product >> 64) as u64 ^ key ^ counter[1], product as u64];
        key = key.wrapping_add(WEYL);
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_its_published_test_vectors() {
        // The known-answer tests of the Random123 library for philox2x64, 10 rounds.
        assert_eq!(philox(0, [0, 0]), [0xca00_a045_9843_d731, 0x66c2_4222_c9a8_45b5]);
        let ones = u64::MAX;
        assert_eq!(philox(ones, [ones, ones]), [0x65b0_21d6_0cd8_310f, 0x4d02_f322_2f86_df20]);
        assert_eq!(
            philox(0xa409_3822_299f_31d0, [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]),
            [0x0a5e_742c_2997_341c, 0xb0f8_83d3_8000_de5d]
        );
    }

    #[test]
    fn samplers_keep_their_values_for_good() {
        let mut draws = Seed(7).stream("test").at(0);
        let values = [
            unit(&mut draws),
            exponential(&mut draws, 2.0),
            normal(&mut draws),
            gamma(&mut draws, 0.5, 2.0),
            gamma(&mut draws, 3.0, 2.0),
            pareto(&mut draws, 1.0, 2.5),
            below(&mut draws, 1_000_000) as f64,
        ];
        insta::assert_debug_snapshot!(values);
    }

    #[test]
    fn streams_and_keys_are_independent_of_each_other() {
        let stream = Seed(1).stream("down/loss");
        let mut draws = stream.at(5);
        assert_eq!(stream.pair(5), [draws.next_u64(), draws.next_u64()]);
        assert_eq!(stream.word(5), stream.pair(5)[0]);
        assert_ne!(stream.word(5), stream.word(6));
        assert_ne!(stream.word(5), Seed(1).stream("up/loss").word(5));
        assert_ne!(stream.word(5), Seed(2).stream("down/loss").word(5));
        assert_ne!(stream.word(5), stream.part(1).word(5));
    }

    #[test]
    fn samplers_have_the_moments_of_their_distributions() {
        // 200,000 draws: the standard error of a mean is deviation / 447, and five of them leave a
        // wrong alarm at less than one in a million per line, on a seed that never changes anyway.
        let n = 200_000;
        let mut draws = Seed(3).stream("moments").at(0);
        let mut check = |name: &str, mean: f64, deviation: f64, f: &mut dyn FnMut(&mut Draws) -> f64| {
            let got = (0..n).map(|_| f(&mut draws)).sum::<f64>() / f64::from(n);
            let bound = 5.0 * deviation / f64::from(n).sqrt();
            assert!((got - mean).abs() < bound, "{name}: mean {got}, not {mean} ± {bound}");
        };
        check("unit", 0.5, (1.0_f64 / 12.0).sqrt(), &mut |d| unit(d));
        check("exponential", 2.0, 2.0, &mut |d| exponential(d, 2.0));
        check("normal", 0.0, 1.0, &mut |d| normal(d));
        check("normal squared", 1.0, 2.0_f64.sqrt(), &mut |d| normal(d).powi(2));
        check("gamma 0.5", 1.0, 2.0_f64.sqrt(), &mut |d| gamma(d, 0.5, 2.0));
        check("gamma 3", 6.0, 12.0_f64.sqrt(), &mut |d| gamma(d, 3.0, 2.0));
        // Index 2.5: mean 5/3 and variance 20/9, as index / (index - 1) and so on say.
        check("pareto", 5.0 / 3.0, (20.0_f64 / 9.0).sqrt(), &mut |d| pareto(d, 1.0, 2.5));
        check("below", 4.5, 8.25_f64.sqrt(), &mut |d| below(d, 10) as f64);
    }
}
