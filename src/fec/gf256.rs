//! Arithmetic in GF(2^8), and the one kernel that every linear code here is made of: `dst ^= c·src`.
//!
//! The field is that of RFC 5510, RFC 6865 and RFC 8681: polynomials over GF(2) modulo
//! x^8 + x^4 + x^3 + x^2 + 1 (0x11D), in which 2 generates all elements but 0. Addition is XOR, so
//! subtraction is the same.
//!
//! What is here is the plain version: one table lookup a byte, XOR where the coefficient is 1 (the
//! compiler makes vectors of it). [`combine`] is the seam for faster ones, since it alone sees several
//! sources and outputs at once.

/// The polynomial that products are reduced by, with its x^8.
const POLYNOMIAL: u16 = 0x11d;

/// `EXP[i]` is 2 to the power i, for exponents up to the sum of two logarithms.
const EXP: [u8; 510] = powers();
/// `LOG[a]` is the exponent of 2 that gives `a`; 0 has none, and `LOG[0]` is not used.
const LOG: [u8; 256] = logarithms();
/// All products: `PRODUCTS[a][b]` is a·b. A row of it is what multiplying by `a` does to a byte.
static PRODUCTS: [[u8; 256]; 256] = products();

/// The product a·b.
pub fn mul(a: u8, b: u8) -> u8 {
    PRODUCTS[usize::from(a)][usize::from(b)]
}

/// The inverse of `a`; 0 for 0, which has none.
pub fn inv(a: u8) -> u8 {
    if a == 0 { 0 } else { EXP[255 - usize::from(LOG[usize::from(a)])] }
}

/// Adds `coefficient`·`src` to the front of `dst`, which is at least as long: `src` counts as extended
/// by zeros.
pub fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    debug_assert!(src.len() <= dst.len(), "a sum is as long as its longest term");
    match coefficient {
        0 => {}
        1 => dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= s),
        _ => {
            let products = &PRODUCTS[usize::from(coefficient)];
            dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= products[usize::from(*s)]);
        }
    }
}

/// Adds a matrix product: to the i-th output Σ c(i, j)·source j, where `coefficients` has a row for
/// each output, as wide as there are sources. Outputs are at least as long as the longest source.
pub fn combine(coefficients: &[u8], sources: &[&[u8]], outputs: &mut [Vec<u8>]) {
    debug_assert_eq!(coefficients.len(), sources.len() * outputs.len(), "one coefficient for each pair");
    for (row, output) in coefficients.chunks_exact(sources.len().max(1)).zip(outputs) {
        for (&coefficient, source) in row.iter().zip(sources) {
            add_scaled(output, coefficient, source);
        }
    }
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

    #[test]
    fn the_kernel_multiplies_every_byte_and_leaves_what_lies_behind_the_source() {
        let source: Vec<u8> = (0..=255).collect();
        for coefficient in 0..=255 {
            let mut sum = vec![0xa5; 300];
            add_scaled(&mut sum, coefficient, &source);
            let expected = (0..300).map(|i| {
                let term = source.get(i).map_or(0, |&byte| mul_bit_by_bit(coefficient, byte));
                0xa5 ^ term
            });
            assert!(sum.iter().copied().eq(expected), "coefficient {coefficient}");
        }
    }

    #[test]
    fn combining_is_a_matrix_product() {
        let mut outputs = vec![vec![0; 2], vec![1; 2]];
        combine(&[1, 2, 0, 3], &[&[5, 6], &[7]], &mut outputs);
        assert_eq!(outputs, [vec![5 ^ mul(2, 7), 6], vec![1 ^ mul(3, 7), 1]]);
    }
}
