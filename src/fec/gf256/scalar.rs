//! The definition of the kernel, without vector instructions: one table lookup a byte, and XOR where the
//! coefficient is 1 (which compilers make vectors of).

use super::PRODUCTS;

/// Adds `coefficient`·`src` to as much of `dst`, byte by byte.
pub(super) fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    match coefficient {
        0 => {}
        1 => dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= s),
        _ => {
            let products = &PRODUCTS[usize::from(coefficient)];
            dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= products[usize::from(*s)]);
        }
    }
}

/// Writes a row of a matrix product.
pub(super) fn combine(row: &[u8], sources: &[&[u8]], output: &mut [u8]) {
    output.fill(0);
    for (&coefficient, source) in row.iter().zip(sources) {
        add_scaled(output, coefficient, source);
    }
}
