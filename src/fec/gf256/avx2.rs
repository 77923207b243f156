//! AVX2 with vectors of 32 bytes: Intel since Haswell, AMD since Excavator.
//!
//! A product is the sum of those of the byte's halves, which two shuffles look up.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_load_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256,
    _mm256_xor_si256,
};

use super::fused::{self, HALVES, Rows, Vector};

/// 32 bytes.
#[derive(Clone, Copy)]
struct Avx2(__m256i);

impl Vector for Avx2 {
    const BYTES: usize = 32;
    type Split = (__m256i, __m256i);
    type Factor = (__m256i, __m256i);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises that the instructions are there, here as below.
        unsafe { Self(_mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: so many bytes are readable; the instruction asks for no alignment.
        unsafe { Self(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: so many bytes are writable; the instruction asks for no alignment.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_xor_si256(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        // SAFETY: as above.
        unsafe {
            let mask = _mm256_set1_epi8(0x0f);
            let high = _mm256_srli_epi64::<4>(self.0);
            (_mm256_and_si256(self.0, mask), _mm256_and_si256(high, mask))
        }
    }

    #[inline(always)]
    unsafe fn factor(coefficient: u8) -> Self::Factor {
        let halves = &HALVES[usize::from(coefficient)];
        // SAFETY: as above; halves are 16 bytes each, at multiples of 16.
        unsafe {
            let (low, high) = (halves.low.as_ptr().cast(), halves.high.as_ptr().cast());
            (
                _mm256_broadcastsi128_si256(_mm_load_si128(low)),
                _mm256_broadcastsi128_si256(_mm_load_si128(high)),
            )
        }
    }

    #[inline(always)]
    unsafe fn times((low, high): Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(_mm256_xor_si256(_mm256_shuffle_epi8(factor.0, low), _mm256_shuffle_epi8(factor.1, high)))
        }
    }
}

/// As [`fused::combine`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn combine(rows: Rows) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::combine::<Avx2>(rows) }
}

/// As [`fused::add_scaled`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::add_scaled::<Avx2>(dst, coefficient, src) }
}
