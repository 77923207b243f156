//! SSSE3 with vectors of 16 bytes: nearly every x86-64 processor since 2006.
//!
//! A product is the sum of those of the byte's halves, which two shuffles look up.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_load_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_setzero_si128,
    _mm_shuffle_epi8, _mm_srli_epi64, _mm_storeu_si128, _mm_xor_si128,
};

use super::fused::{self, HALVES, Rows, Vector};

/// 16 bytes.
#[derive(Clone, Copy)]
struct Ssse3(__m128i);

impl Vector for Ssse3 {
    const BYTES: usize = 16;
    type Split = (__m128i, __m128i);
    type Factor = (__m128i, __m128i);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises that the instructions are there, here as below.
        unsafe { Self(_mm_setzero_si128()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: so many bytes are readable; the instruction asks for no alignment.
        unsafe { Self(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: so many bytes are writable; the instruction asks for no alignment.
        unsafe { _mm_storeu_si128(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm_xor_si128(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        // SAFETY: as above.
        unsafe {
            let mask = _mm_set1_epi8(0x0f);
            (_mm_and_si128(self.0, mask), _mm_and_si128(_mm_srli_epi64::<4>(self.0), mask))
        }
    }

    #[inline(always)]
    unsafe fn factor(coefficient: u8) -> Self::Factor {
        let halves = &HALVES[usize::from(coefficient)];
        // SAFETY: as above; halves are 16 bytes each, at multiples of 16.
        unsafe { (_mm_load_si128(halves.low.as_ptr().cast()), _mm_load_si128(halves.high.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn times((low, high): Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm_xor_si128(_mm_shuffle_epi8(factor.0, low), _mm_shuffle_epi8(factor.1, high))) }
    }
}

/// As [`fused::combine`].
#[target_feature(enable = "ssse3")]
pub(super) unsafe fn combine(rows: Rows) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::combine::<Ssse3>(rows) }
}

/// As [`fused::add_scaled`].
#[target_feature(enable = "ssse3")]
pub(super) unsafe fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::add_scaled::<Ssse3>(dst, coefficient, src) }
}
