//! Which instructions are used: found out once, when the first sum is computed.

#![allow(unsafe_code)]

use std::fmt;
use std::sync::LazyLock;

use super::fused::{OUTPUTS_MAX, Rows};
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{avx2, gfni, ssse3};

/// An implementation of the kernel that this processor can run.
///
/// There is no way to make one but [`Kernel::SCALAR`], [`available`] and [`active`], so whoever holds one
/// may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Instructions);

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Gfni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// The implementations that this processor can run, from the slowest to the fastest.
pub fn available() -> Vec<Kernel> {
    let mut found = vec![Kernel::SCALAR];
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            (is_x86_feature_detected!("ssse3"), Instructions::Ssse3),
            (is_x86_feature_detected!("avx2"), Instructions::Avx2),
            (is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx2"), Instructions::Gfni),
        ];
        found.extend(sets.into_iter().filter(|(there, _)| *there).map(|(_, set)| Kernel(set)));
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        found.push(Kernel(Instructions::Neon));
    }
    found
}

/// The fastest one, which everything uses that does not ask for another.
pub fn active() -> Kernel {
    static FASTEST: LazyLock<Kernel> =
        LazyLock::new(|| available().last().copied().unwrap_or(Kernel::SCALAR));
    *FASTEST
}

impl Kernel {
    /// The plain one.
    pub const SCALAR: Self = Self(Instructions::Scalar);

    /// The name of its instructions.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Instructions::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Instructions::Ssse3 => "SSSE3",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Gfni => "GFNI",
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon => "NEON",
        }
    }

    /// As [`super::add_scaled`].
    ///
    /// # Panics
    ///
    /// As that.
    pub fn add_scaled(self, dst: &mut [u8], coefficient: u8, src: &[u8]) {
        assert!(src.len() <= dst.len(), "a sum is as long as its longest term");
        // SAFETY: a kernel is made only where its instructions are there; the lengths were checked.
        unsafe {
            match self.0 {
                Instructions::Scalar => scalar::add_scaled(dst, coefficient, src),
                #[cfg(target_arch = "x86_64")]
                Instructions::Ssse3 => ssse3::add_scaled(dst, coefficient, src),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => avx2::add_scaled(dst, coefficient, src),
                #[cfg(target_arch = "x86_64")]
                Instructions::Gfni => gfni::add_scaled(dst, coefficient, src),
                #[cfg(target_arch = "aarch64")]
                Instructions::Neon => neon::add_scaled(dst, coefficient, src),
            }
        }
    }

    /// As [`super::combine`].
    ///
    /// # Panics
    ///
    /// As that.
    pub fn combine<O: AsMut<[u8]>>(self, coefficients: &[u8], sources: &[&[u8]], outputs: &mut [O]) {
        assert_eq!(coefficients.len(), sources.len() * outputs.len(), "one coefficient for each pair");
        let length = longest(sources);
        for (group, outputs) in outputs.chunks_mut(OUTPUTS_MAX).enumerate() {
            let count = outputs.len();
            let mut sums: [&mut [u8]; OUTPUTS_MAX] = Default::default();
            for (sum, output) in sums.iter_mut().zip(outputs) {
                let (front, rest) = output.as_mut().split_at_mut(length);
                rest.fill(0);
                *sum = front;
            }
            let starts = sums.each_mut().map(|sum| sum.as_mut_ptr());
            let coefficients = &coefficients[group * OUTPUTS_MAX * sources.len()..][..count * sources.len()];
            // SAFETY: the first `count` sums are `length` bytes long, and are borrowed here alone.
            unsafe { self.write(Rows { coefficients, sources, outputs: &starts[..count], length }) };
        }
    }

    /// As [`super::product`].
    ///
    /// # Panics
    ///
    /// As that.
    pub fn product(self, coefficients: &[u8], sources: &[&[u8]]) -> Vec<Vec<u8>> {
        if sources.is_empty() {
            return Vec::new();
        }
        assert!(coefficients.len().is_multiple_of(sources.len()), "one coefficient for each pair");
        let length = longest(sources);
        let mut outputs = Vec::with_capacity(coefficients.len() / sources.len());
        for coefficients in coefficients.chunks(OUTPUTS_MAX * sources.len()) {
            let from = outputs.len();
            outputs.extend((0..coefficients.len() / sources.len()).map(|_| Vec::with_capacity(length)));
            let mut starts = [std::ptr::null_mut(); OUTPUTS_MAX];
            for (start, output) in starts.iter_mut().zip(&mut outputs[from..]) {
                *start = Vec::as_mut_ptr(output);
            }
            let starts = &starts[..outputs.len() - from];
            // SAFETY: each output has room for `length` bytes, and nothing else refers to it; all of them
            // are written before they count as there.
            unsafe {
                self.write(Rows { coefficients, sources, outputs: starts, length });
                outputs[from..].iter_mut().for_each(|output| output.set_len(length));
            }
        }
        outputs
    }

    /// Writes a few rows of a product.
    ///
    /// # Safety
    ///
    /// No source is longer than `length`, there is a coefficient for each pair of output and source, and
    /// each output has `length` bytes that may be written and that nothing else refers to.
    unsafe fn write(self, rows: Rows) {
        // SAFETY: the caller promises what the functions ask for, and a kernel is made only where its
        // instructions are there.
        unsafe {
            match self.0 {
                Instructions::Scalar => {
                    let width = rows.sources.len();
                    for (index, &output) in rows.outputs.iter().enumerate() {
                        output.write_bytes(0, rows.length);
                        let output = std::slice::from_raw_parts_mut(output, rows.length);
                        scalar::combine(&rows.coefficients[index * width..][..width], rows.sources, output);
                    }
                }
                #[cfg(target_arch = "x86_64")]
                Instructions::Ssse3 => ssse3::combine(rows),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => avx2::combine(rows),
                #[cfg(target_arch = "x86_64")]
                Instructions::Gfni => gfni::combine(rows),
                #[cfg(target_arch = "aarch64")]
                Instructions::Neon => neon::combine(rows),
            }
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn longest(sources: &[&[u8]]) -> usize {
    sources.iter().map(|source| source.len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::mul;
    use super::*;

    /// Bytes that differ at every place and in every packet.
    fn noise(length: usize, salt: usize) -> Vec<u8> {
        let mut state = (salt as u32 + 1).wrapping_mul(0x9e37_79b9);
        let step = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(step).take(length).collect()
    }

    /// The outputs by the definition of a product, without the code under test.
    fn expected(coefficients: &[u8], sources: &[&[u8]], length: usize) -> Vec<Vec<u8>> {
        let byte = |source: &[u8], at: usize| source.get(at).copied().unwrap_or(0);
        let sum = |row: &[u8], at| {
            row.iter().zip(sources).fold(0, |sum, (&c, source)| sum ^ mul(c, byte(source, at)))
        };
        coefficients.chunks(sources.len()).map(|row| (0..length).map(|at| sum(row, at)).collect()).collect()
    }

    /// Whether every kernel computes what the definition says, by both ways to ask for it, from sources
    /// and to outputs that begin anywhere.
    fn check(coefficients: &[u8], lengths: &[usize], offset: usize) {
        let buffers: Vec<Vec<u8>> = (0..).zip(lengths).map(|(i, n)| noise(offset + i + n, i)).collect();
        let sources: Vec<&[u8]> = (0..).zip(&buffers).map(|(i, buffer)| &buffer[offset + i..]).collect();
        let length = longest(&sources);
        let expected = expected(coefficients, &sources, length);
        for kernel in available() {
            assert_eq!(kernel.product(coefficients, &sources), expected, "{kernel}, {lengths:?}");
            // Outputs are longer than the sources, full of something else, and have neighbours.
            let mut buffers = vec![vec![0xa5; offset + length + 7 + 64]; expected.len()];
            let mut outputs: Vec<&mut [u8]> =
                buffers.iter_mut().map(|buffer| &mut buffer[offset..][..length + 7]).collect();
            kernel.combine(coefficients, &sources, &mut outputs);
            for (buffer, expected) in buffers.iter().zip(&expected) {
                let (before, rest) = buffer.split_at(offset);
                let (output, after) = rest.split_at(length + 7);
                assert_eq!(output[..length], expected[..], "{kernel}, {lengths:?}, {offset}");
                assert!(output[length..].iter().all(|&byte| byte == 0), "zeros up to the output's end");
                assert!(before.iter().chain(after).all(|&byte| byte == 0xa5), "and nothing around it");
            }
        }
    }

    #[test]
    fn every_kernel_is_the_plain_one_at_every_length() {
        for length in (0..=200).chain(1_180..=1_220) {
            check(&[1, 1, 1, 0, 2, 0x8e, 0xff, 0x1d, 77], &[length; 3], length % 32);
        }
    }

    #[test]
    fn every_kernel_is_the_plain_one_at_every_alignment() {
        for offset in 0..64 {
            check(&[1, 1, 3, 200], &[100, 93], offset);
        }
    }

    #[test]
    fn every_kernel_is_the_plain_one_for_every_number_of_outputs_with_and_without_parity() {
        for outputs in 0..=13 {
            for first in [1, 9] {
                let mut coefficients = noise(outputs * 5, outputs);
                coefficients[..(outputs * 5).min(5)].fill(first);
                check(&coefficients, &[150; 5], 3);
            }
        }
    }

    #[test]
    fn every_kernel_multiplies_every_byte_by_every_coefficient() {
        let source: Vec<u8> = (0..=255).collect();
        for kernel in available() {
            for coefficient in 0..=255 {
                let expected: Vec<u8> = source.iter().map(|&byte| mul(coefficient, byte)).collect();
                assert_eq!(kernel.product(&[coefficient], &[&source]), [expected], "{kernel}, {coefficient}");
            }
        }
    }

    #[test]
    fn adding_changes_as_much_as_the_source_is_long() {
        for kernel in available() {
            for length in (0..=200).chain(1_190..=1_210) {
                for (offset, coefficient) in [(0, 0), (1, 1), (7, 2), (31, 0x8e)] {
                    let (source, before) = (noise(offset + length, 1), noise(offset + length + 40, 2));
                    let mut sum = before.clone();
                    kernel.add_scaled(&mut sum[offset..], coefficient, &source[offset..]);
                    let mut expected = before;
                    for (byte, &term) in expected[offset..].iter_mut().zip(&source[offset..]) {
                        *byte ^= mul(coefficient, term);
                    }
                    assert_eq!(sum, expected, "{kernel}, {length} bytes, {coefficient}");
                }
            }
        }
    }

    #[test]
    fn the_fastest_kernel_is_the_active_one() {
        assert_eq!(available().first(), Some(&Kernel::SCALAR));
        assert_eq!(available().last(), Some(&active()));
    }

    #[test]
    fn without_sources_outputs_are_zeros() {
        for kernel in available() {
            let mut outputs = [[7; 3]; 5];
            kernel.combine(&[], &[], &mut outputs);
            assert_eq!(outputs, [[0; 3]; 5], "{kernel}");
            assert!(kernel.product(&[], &[]).is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "one coefficient for each pair")]
    fn a_matrix_of_another_size_is_refused() {
        active().combine(&[1, 2, 3], &[&[1], &[2]], &mut [[0]]);
    }

    #[test]
    #[should_panic]
    fn an_output_that_is_too_short_is_refused() {
        active().combine(&[1], &[&[1; 40]], &mut [[0; 39]]);
    }

    proptest! {
        #[test]
        fn every_kernel_is_the_plain_one_for_sources_of_different_lengths(
            (coefficients, lengths) in (1_usize..12, 0_usize..10).prop_flat_map(|(sources, outputs)| (
                prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], sources * outputs),
                prop::collection::vec(prop_oneof![0_usize..300, 1_150_usize..1_250], sources),
            )),
            offset in 0_usize..40,
        ) {
            check(&coefficients, &lengths, offset);
        }
    }
}
