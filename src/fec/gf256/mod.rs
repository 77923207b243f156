//! Arithmetic in GF(2^8), and the one kernel that every linear code here is made of: sums of packets
//! times coefficients.
//!
//! The field is that of RFC 5510, RFC 6865 and RFC 8681: polynomials over GF(2) modulo
//! x^8 + x^4 + x^3 + x^2 + 1 (0x11D), in which 2 generates all elements but 0. Addition is XOR, so
//! subtraction is the same.
//!
//! # The kernel
//!
//! A code's work is a small matrix times a column of packets. [`combine`] computes it whole: the sums of
//! up to four outputs stay in registers while all sources pass by once, and are written once. There is
//! an implementation for each set of vector instructions, chosen at run time; the [scalar](Kernel::SCALAR)
//! one is the definition that the others are tested against.
//!
//! | instructions | a product is |
//! | --- | --- |
//! | none | a lookup in a row of the table of all products, a byte at a time |
//! | SSSE3, AVX2, NEON | two shuffles: the products of both halves of the byte, 16 possible ones each |
//! | GFNI | one instruction: multiplying by a constant is linear over GF(2), an 8×8 bit matrix |
//!
//! This is our own because no well-kept crate offers it: `reed-solomon-erasure` is C code chosen when it is
//! compiled, and looks for maintainers; `rlnc-simdx` has another polynomial (0x11B); `fec-rs` has had one
//! release and no NEON; `fgf` is young, enormous and has broken its interface three times in as many
//! months; and `reed-solomon-simd` works in another field.

mod fused;
mod kernel;
mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod ssse3;

pub use kernel::{Kernel, active, available};

/// The polynomial that products are reduced by, with its x^8.
const POLYNOMIAL: u16 = 0x11d;

/// `EXP[i]` is 2 to the power i, for exponents up to the sum of two logarithms.
const EXP: [u8; 510] = powers();
/// `LOG[a]` is the exponent of 2 that gives `a`; 0 has none, and `LOG[0]` is not used.
const LOG: [u8; 256] = logarithms();
/// All products: `PRODUCTS[a][b]` is a·b. A row of it is what multiplying by `a` does to a byte.
static PRODUCTS: [[u8; 256]; 256] = products();

/// The product a·b.
pub const fn mul(a: u8, b: u8) -> u8 {
    PRODUCTS[a as usize][b as usize]
}

/// The inverse of `a`; 0 for 0, which has none.
pub const fn inv(a: u8) -> u8 {
    if a == 0 { 0 } else { EXP[255 - LOG[a as usize] as usize] }
}

/// Adds `coefficient`·`src` to the front of `dst`, which is at least as long: `src` counts as extended
/// by zeros.
///
/// # Panics
///
/// If `src` is longer than `dst`.
pub fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    active().add_scaled(dst, coefficient, src);
}

/// Writes a matrix product: the i-th output becomes Σ c(i, j)·source j, where `coefficients` has a row for
/// each output, as wide as there are sources. Outputs are at least as long as the longest source; shorter
/// sources count as extended by zeros.
///
/// # Panics
///
/// If an output is too short, or there is not one coefficient for each pair.
pub fn combine<O: AsMut<[u8]>>(coefficients: &[u8], sources: &[&[u8]], outputs: &mut [O]) {
    active().combine(coefficients, sources, outputs);
}

/// As [`combine`], into outputs made for it, as long as the longest source. There are as many as
/// `coefficients` has rows; none without sources.
///
/// # Panics
///
/// If the coefficients do not fill the last row.
pub fn product(coefficients: &[u8], sources: &[&[u8]]) -> Vec<Vec<u8>> {
    active().product(coefficients, sources)
}

const fn powers() -> [u8; 510] {
    let mut table = [0; 510];
    let mut power = 1_u16;
    let mut exponent = 0;
    while exponent < 510 {
        table[exponent] = power as u8;
        power <<= 1;
        if power & 0x100 != 0 {
            power ^= POLYNOMIAL;
        }
        exponent += 1;
    }
    table
}

const fn logarithms() -> [u8; 256] {
    let mut table = [0; 256];
    let mut exponent = 0;
    while exponent < 255 {
        table[EXP[exponent] as usize] = exponent as u8;
        exponent += 1;
    }
    table
}

const fn products() -> [[u8; 256]; 256] {
    let mut table = [[0; 256]; 256];
    let mut a = 1;
    while a < 256 {
        let mut b = 1;
        while b < 256 {
            table[a][b] = EXP[LOG[a] as usize + LOG[b] as usize];
            b += 1;
        }
        a += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product by its definition, a bit of `b` at a time.
    fn mul_bit_by_bit(a: u8, b: u8) -> u8 {
        let long = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ u16::from(a) << bit);
        (8..15).rev().fold(
            long,
            |rest, bit| {
                if rest >> bit & 1 == 1 { rest ^ POLYNOMIAL << (bit - 8) } else { rest }
            },
        ) as u8
    }

    fn pairs() -> impl Iterator<Item = (u8, u8)> {
        (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b)))
    }

    #[test]
    fn products_are_those_of_polynomials_modulo_0x11d() {
        assert!(pairs().all(|(a, b)| mul(a, b) == mul_bit_by_bit(a, b)));
    }

    #[test]
    fn multiplication_commutes_and_distributes_and_associates() {
        assert!(pairs().all(|(a, b)| mul(a, b) == mul(b, a)));
        for c in [2, 3, 0x1d, 0x80, 0xff] {
            assert!(pairs().all(|(a, b)| mul(c, a ^ b) == mul(c, a) ^ mul(c, b)));
            assert!(pairs().all(|(a, b)| mul(c, mul(a, b)) == mul(mul(c, a), b)));
        }
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        assert!((1..=255).all(|a| mul(a, inv(a)) == 1));
        assert_eq!((inv(0), inv(1)), (0, 1));
    }
}
