//! Random linear codes: how often the equations that arrived are not independent.
//!
//! L unknowns and L + h equations with independent uniform coefficients of GF(q) have full rank with
//! probability ∏ (1 − q^−i) over i = h + 1 … h + L: over GF(256) one try in 255 fails with as many
//! equations as unknowns, and one in 65,000 with one more.
//!
//! RaptorQ behaves like a random code over GF(256) by design; RFC 6330 promises less than it keeps.

/// The probability that `unknowns` + `extra` random equations over the field of `order` elements (a
/// prime power, at least 2) do not determine the unknowns.
///
/// Codes that draw no zeros, as RLC with the full density of RFC 8681, never fail with one unknown, and
/// by a few percent less or more with few.
pub fn singular(order: u32, unknowns: u32, extra: u32) -> f64 {
    let q = f64::from(order);
    let log_full: f64 = (1..=unknowns)
        .map(|i| libm::pow(q, -(f64::from(extra) + f64::from(i))))
        .take_while(|&term| term > 0.0)
        .map(|term| libm::log1p(-term))
        .sum();
    -libm::expm1(log_full)
}

/// The most that decoding of RaptorQ may fail with `extra` packets more than the block has source
/// packets: one in 100, 10,000 and 1,000,000 with 0, 1 and 2 (RFC 6330 section 5.8; which says nothing
/// of more).
pub fn raptorq_failure_bound(extra: u32) -> f64 {
    match extra {
        0 => 1e-2,
        1 => 1e-4,
        _ => 1e-6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::gf256::{inv, mul};
    use crate::rng::{Seed, below};

    fn agrees(value: f64, printed: f64) -> bool {
        (value / printed - 1.0).abs() < 5e-3
    }

    #[test]
    fn the_known_values_come_out() {
        let known = [
            (2, 16, 0, 0.711),
            (16, 16, 0, 6.64e-2),
            (256, 16, 0, 3.92e-3),
            (65_536, 16, 0, 1.53e-5),
            (256, 16, 1, 1.53e-5),
            (256, 16, 2, 5.98e-8),
            (2, 64, 1, 0.422),
            (2, 64, 2, 0.230),
            (2, 64, 4, 6.12e-2),
            (2, 64, 8, 3.90e-3),
        ];
        for (order, unknowns, extra, printed) in known {
            let value = singular(order, unknowns, extra);
            assert!(agrees(value, printed), "GF({order}), {unknowns} + {extra}: {value:e}");
        }
        assert_eq!(singular(256, 0, 0), 0.0);
    }

    /// Whether random equations over GF(256) leave an unknown open, by elimination.
    fn rank_is_short(unknowns: usize, equations: usize, key: u64) -> bool {
        let mut draws = Seed(5).stream("matrices").at(key);
        let mut rows: Vec<Vec<u8>> =
            (0..equations).map(|_| (0..unknowns).map(|_| below(&mut draws, 256) as u8).collect()).collect();
        for column in 0..unknowns {
            let Some(pivot) = rows.iter().position(|row| row[column] != 0) else { return true };
            let pivot = rows.swap_remove(pivot);
            let scale = inv(pivot[column]);
            for row in &mut rows {
                let factor = mul(row[column], scale);
                for (cell, &of_pivot) in row.iter_mut().zip(&pivot) {
                    *cell ^= mul(factor, of_pivot);
                }
            }
        }
        false
    }

    #[test]
    fn random_matrices_are_singular_as_often_as_the_product_says() {
        // 200,000 matrices of 4 x 4: about 784 are singular, with a deviation of 28; five of them leave
        // a wrong alarm at less than one in a million, and the seed never changes anyway.
        let rounds = 200_000;
        let theory = singular(256, 4, 0);
        let short = (0..rounds).filter(|&key| rank_is_short(4, 4, key)).count() as f64;
        let mean = theory * rounds as f64;
        assert!((short - mean).abs() < 5.0 * mean.sqrt(), "{short}, not {mean}");
        // With one more equation three are expected; more than 15 have a chance of 4e-7.
        let short = (0..rounds).filter(|&key| rank_is_short(4, 5, key)).count();
        assert!(short <= 15, "{short}");
    }
}
