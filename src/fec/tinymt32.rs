//! TinyMT32, the generator that RFC 8682 fixes for codes with random coefficients, and the
//! coefficients that RFC 8681 (section 3.6) draws from it.
//!
//! Both ends must draw the same numbers as every other implementation, so this is the one generator
//! beside [`crate::rng`]: its seed travels in the header of a repair packet.

/// The parameter set of RFC 8682.
const MAT1: u32 = 0x8f70_11ee;
const MAT2: u32 = 0xfc78_ff1f;
const TMAT: u32 = 0x3793_fdff;

/// The density threshold at which no coefficient is zero.
pub(super) const FULL: u8 = 15;

/// The generator.
#[derive(Clone, Debug)]
pub(super) struct TinyMt32 {
    status: [u32; 4],
}

impl TinyMt32 {
    /// The generator at the start of the sequence of `seed`, which may be any number.
    pub(super) fn new(seed: u32) -> Self {
        let mut status = [seed, MAT1, MAT2, TMAT];
        for i in 1..8_usize {
            let before = status[(i - 1) & 3];
            status[i & 3] ^= (i as u32).wrapping_add((before ^ (before >> 30)).wrapping_mul(1_812_433_253));
        }
        let mut generator = Self { status };
        (0..8).for_each(|_| generator.advance());
        generator
    }

    /// The next number of the sequence.
    pub(super) fn next(&mut self) -> u32 {
        self.advance();
        let [first, _, third, fourth] = self.status;
        let sum = first.wrapping_add(third >> 8);
        // A mask in place of a branch that nobody can predict.
        fourth ^ sum ^ (TMAT & (sum & 1).wrapping_neg())
    }

    fn advance(&mut self) {
        let [first, second, third, mut y] = self.status;
        let mut x = (first & 0x7fff_ffff) ^ second ^ third;
        x ^= x << 1;
        y ^= (y >> 1) ^ x;
        let odd = (y & 1).wrapping_neg();
        self.status = [second, third ^ (MAT1 & odd), x ^ (y << 10) ^ (MAT2 & odd), y];
    }

    fn nonzero_byte(&mut self) -> u8 {
        loop {
            // Zero comes once in 256 numbers, so this ends.
            let byte = self.next() as u8;
            if byte != 0 {
                return byte;
            }
        }
    }
}

/// The coefficients of a repair packet in GF(2^8): of the first source packet of its window, the next
/// one, and so on. `key` is its repair key. One of 16 coefficients is zero for each step by which
/// `density` (0 to 15) is below [`FULL`].
pub(super) fn coefficients(key: u16, density: u8) -> impl Iterator<Item = u8> {
    let mut generator = TinyMt32::new(u32::from(key));
    std::iter::repeat_with(move || {
        let drawn = density >= FULL || (generator.next() & 0xf) as u8 <= density;
        if drawn { generator.nonzero_byte() } else { 0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_seed_1_is_that_of_rfc_8682() {
        #[rustfmt::skip]
        let expected = [
            2545341989,  981918433, 3715302833, 2387538352, 3591001365,
            3820442102, 2114400566, 2196103051, 2783359912,  764534509,
             643179475, 1822416315,  881558334, 4207026366, 3690273640,
            3240535687, 2921447122, 3984931427, 4092394160,   44209675,
            2188315343, 2908663843, 1834519336, 3774670961, 3019990707,
            4065554902, 1239765502, 4035716197, 3412127188,  552822483,
             161364450,  353727785,  140085994,  149132008, 2547770827,
            4064042525, 4078297538, 2057335507,  622384752, 2041665899,
            2193913817, 1080849512,   33160901,  662956935,  642999063,
            3384709977, 1723175122, 3866752252,  521822317, 2292524454,
        ];
        let mut generator = TinyMt32::new(1);
        assert_eq!(expected.map(|_| generator.next()), expected);
    }

    #[test]
    fn at_full_density_no_coefficient_is_zero() {
        assert!((0..=u16::MAX).step_by(97).all(|key| coefficients(key, FULL).take(300).all(|c| c != 0)));
    }

    #[test]
    fn the_share_of_coefficients_that_are_not_zero_is_a_sixteenth_more_than_the_threshold() {
        for density in 0..FULL {
            let drawn = (0..1_000).flat_map(|key| coefficients(key, density).take(100));
            let share = drawn.filter(|&c| c != 0).count() as f64 / 100_000.0;
            let expected = f64::from(density + 1) / 16.0;
            // Five standard deviations of a share of 100,000 draws are below 0.008.
            assert!((share - expected).abs() < 0.008, "density {density}: {share}");
        }
    }
}
