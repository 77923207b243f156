//! GFNI with vectors of 32 bytes: Intel since Ice Lake, AMD since Zen 4.
//!
//! The instruction that multiplies in GF(2^8) has another polynomial built in (0x11B), but the one that
//! multiplies bytes by an 8×8 matrix of bits does every linear map.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_xor_si256,
};

use super::PRODUCTS;
use super::fused::{self, Rows, Vector};

/// The matrix of each coefficient. The instruction takes a row of bits a byte, that of the highest bit of the
/// result first.
static MATRICES: [u64; 256] = matrices();

const fn matrices() -> [u64; 256] {
    let mut table = [0; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut column = 0;
        while column < 8 {
            let product = PRODUCTS[coefficient][1 << column];
            let mut bit = 0;
            while bit < 8 {
                if product >> bit & 1 == 1 {
                    table[coefficient] |= 1 << ((7 - bit) * 8 + column);
                }
                bit += 1;
            }
            column += 1;
        }
        coefficient += 1;
    }
    table
}

/// 32 bytes.
#[derive(Clone, Copy)]
struct Gfni(__m256i);

impl Vector for Gfni {
    const BYTES: usize = 32;
    type Split = __m256i;
    type Factor = __m256i;

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
        self.0
    }

    #[inline(always)]
    unsafe fn factor(coefficient: u8) -> Self::Factor {
        // SAFETY: as above.
        unsafe { _mm256_set1_epi64x(MATRICES[usize::from(coefficient)].cast_signed()) }
    }

    #[inline(always)]
    unsafe fn times(split: Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_gf2p8affine_epi64_epi8::<0>(split, factor)) }
    }
}

/// As [`fused::combine`].
#[target_feature(enable = "gfni,avx2")]
pub(super) unsafe fn combine(rows: Rows) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::combine::<Gfni>(rows) }
}

/// As [`fused::add_scaled`].
#[target_feature(enable = "gfni,avx2")]
pub(super) unsafe fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::add_scaled::<Gfni>(dst, coefficient, src) }
}
