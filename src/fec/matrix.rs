//! Solving small systems over GF(2^8), the one thing that decoding needs beyond the kernel.

use super::gf256::{add_scaled, inv};

/// The matrix that gives the sources in the `missing` columns of a block from repair packets and the
/// sources in the `known` columns, in this order; none where the repair packets do not tell the missing
/// ones apart. `rows` are the coefficients of as many repair packets as columns are missing.
///
/// Repair packets are M·missing + C·known, where M is the square part of the code's matrix in the columns of
/// the missing ones. So missing = M⁻¹·repairs + (M⁻¹·C)·known: only what is lost is inverted.
pub(super) fn recovery<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    missing: &[usize],
    known: &[usize],
) -> Option<Vec<u8>> {
    let lost = missing.len();
    let (before, after) = (2 * lost + known.len(), lost + known.len());
    let mut system = Vec::with_capacity(lost * before);
    for (index, coefficients) in rows.enumerate() {
        system.extend(missing.iter().map(|&column| coefficients[column]));
        system.extend((0..lost).map(|repair| u8::from(repair == index)));
        system.extend(known.iter().map(|&column| coefficients[column]));
    }
    debug_assert_eq!(system.len(), lost * before, "the part to be inverted is square");
    if !solve(&mut system, lost) {
        return None;
    }
    // What is left of M is the identity, and of no use.
    for row in 0..lost {
        system.copy_within(row * before + lost..(row + 1) * before, row * after);
    }
    system.truncate(lost * after);
    Some(system)
}

/// Solves M·X = R, where `system` has `n` rows of [M | R] and is left with [I | X]. False where M is
/// singular; then the rows mean nothing.
///
/// Gauss–Jordan elimination; `n` is the number of packets lost in a block, so mostly 1 to 3.
fn solve(system: &mut [u8], n: usize) -> bool {
    let width = system.len() / n.max(1);
    let mut scaled = Vec::new();
    for pivot in 0..n {
        let Some(found) = (pivot..n).find(|row| system[row * width + pivot] != 0) else { return false };
        let (before, after) = system.split_at_mut(pivot * width);
        let (above, below) = after.split_at_mut(width);
        if found != pivot {
            above.swap_with_slice(&mut below[(found - pivot - 1) * width..][..width]);
        }
        if above[pivot] != 1 {
            scaled.clear();
            scaled.resize(width, 0);
            add_scaled(&mut scaled, inv(above[pivot]), above);
            above.copy_from_slice(&scaled);
        }
        for row in before.chunks_exact_mut(width).chain(below.chunks_exact_mut(width)) {
            // The row of the pivot has only zeros left of it.
            let factor = row[pivot];
            add_scaled(&mut row[pivot..], factor, &above[pivot..]);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::gf256::mul;
    use super::*;

    fn product(a: &[u8], b: &[u8], n: usize) -> Vec<u8> {
        (0..n * n).map(|i| (0..n).fold(0, |sum, j| sum ^ mul(a[i / n * n + j], b[j * n + i % n]))).collect()
    }

    /// The inverse of an `n`×`n` matrix, or none where it is singular.
    fn invert(matrix: &[u8], n: usize) -> Option<Vec<u8>> {
        let columns: Vec<usize> = (0..n).collect();
        recovery(matrix.chunks_exact(n), &columns, &[])
    }

    proptest! {
        #[test]
        fn a_matrix_times_its_inverse_is_the_identity(
            (n, matrix) in (1_usize..8).prop_flat_map(|n| (Just(n), prop::collection::vec(0_u8..5, n * n)))
        ) {
            if let Some(inverse) = invert(&matrix, n) {
                let identity: Vec<u8> = (0..n * n).map(|i| u8::from(i / n == i % n)).collect();
                prop_assert_eq!(product(&matrix, &inverse, n), identity);
            }
        }

        #[test]
        fn a_matrix_with_a_row_that_is_a_multiple_of_another_has_no_inverse(
            row in prop::collection::vec(any::<u8>(), 2), factor: u8
        ) {
            let multiple = [mul(factor, row[0]), mul(factor, row[1])];
            prop_assert_eq!(invert(&[&row[..], &multiple].concat(), 2), None);
        }
    }

    #[test]
    fn a_zero_on_the_diagonal_is_no_obstacle() {
        assert_eq!(invert(&[0, 1, 1, 0], 2), Some(vec![0, 1, 1, 0]));
    }

    #[test]
    fn known_sources_are_taken_out_of_the_repair_packets() {
        // The repair packet is 2·a + 3·b + 5·c, and b is missing.
        let recovery = recovery([&[2, 3, 5][..]].into_iter(), &[1], &[0, 2]);
        assert_eq!(recovery, Some(vec![inv(3), mul(inv(3), 2), mul(inv(3), 5)]));
    }
}
