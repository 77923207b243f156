//! Inverting small matrices over GF(2^8), the one thing that decoding needs beyond the kernel.

use super::gf256::{add_scaled, inv, mul};

/// The inverse of the `n`×`n` matrix given row by row, or none where it is singular.
///
/// Gauss–Jordan elimination; `n` is the number of packets lost in a block, so mostly 1 to 3.
pub(super) fn invert(mut matrix: Vec<u8>, n: usize) -> Option<Vec<u8>> {
    debug_assert_eq!(matrix.len(), n * n, "the matrix is square");
    let mut inverse = vec![0; n * n];
    for i in 0..n {
        inverse[i * n + i] = 1;
    }
    for pivot in 0..n {
        let found = (pivot..n).find(|row| matrix[row * n + pivot] != 0)?;
        let scale = inv(matrix[found * n + pivot]);
        for side in [&mut matrix, &mut inverse] {
            let mut row: Vec<u8> =
                side[found * n..][..n].iter().map(|&element| mul(scale, element)).collect();
            side[pivot * n..][..n].swap_with_slice(&mut row);
            if found != pivot {
                side[found * n..][..n].swap_with_slice(&mut row);
            }
        }
        for row in (0..n).filter(|&row| row != pivot) {
            let coefficient = matrix[row * n + pivot];
            subtract_row(&mut matrix, n, row, coefficient, pivot);
            subtract_row(&mut inverse, n, row, coefficient, pivot);
        }
    }
    Some(inverse)
}

/// Subtracts `coefficient` times the row `from` from the row `row`.
fn subtract_row(matrix: &mut [u8], n: usize, row: usize, coefficient: u8, from: usize) {
    let (low, high) = matrix.split_at_mut(row.max(from) * n);
    let (low, high) = (&mut low[row.min(from) * n..][..n], &mut high[..n]);
    let (dst, src) = if row < from { (low, high) } else { (high, low) };
    add_scaled(dst, coefficient, src);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn product(a: &[u8], b: &[u8], n: usize) -> Vec<u8> {
        (0..n * n).map(|i| (0..n).fold(0, |sum, j| sum ^ mul(a[i / n * n + j], b[j * n + i % n]))).collect()
    }

    proptest! {
        #[test]
        fn a_matrix_times_its_inverse_is_the_identity(
            (n, matrix) in (1_usize..8).prop_flat_map(|n| (Just(n), prop::collection::vec(0_u8..5, n * n)))
        ) {
            if let Some(inverse) = invert(matrix.clone(), n) {
                let identity: Vec<u8> = (0..n * n).map(|i| u8::from(i / n == i % n)).collect();
                prop_assert_eq!(product(&matrix, &inverse, n), identity);
            }
        }

        #[test]
        fn a_matrix_with_a_row_that_is_a_multiple_of_another_has_no_inverse(
            row in prop::collection::vec(any::<u8>(), 2), factor: u8
        ) {
            let multiple = [mul(factor, row[0]), mul(factor, row[1])];
            prop_assert_eq!(invert([&row[..], &multiple].concat(), 2), None);
        }
    }

    #[test]
    fn a_zero_on_the_diagonal_is_no_obstacle() {
        assert_eq!(invert(vec![0, 1, 1, 0], 2), Some(vec![0, 1, 1, 0]));
    }
}
