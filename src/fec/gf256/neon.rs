//! NEON with vectors of 16 bytes: every 64-bit Arm processor that runs a general operating system.
//!
//! A product is the sum of those of the byte's halves, which two table instructions look up.

#![allow(unsafe_code)]

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

use super::fused::{self, HALVES, Rows, Vector};

/// 16 bytes.
#[derive(Clone, Copy)]
struct Neon(uint8x16_t);

impl Vector for Neon {
    const BYTES: usize = 16;
    type Split = (uint8x16_t, uint8x16_t);
    type Factor = (uint8x16_t, uint8x16_t);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises that the instructions are there, here as below.
        unsafe { Self(vdupq_n_u8(0)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: so many bytes are readable; the instruction asks for no alignment.
        unsafe { Self(vld1q_u8(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: so many bytes are writable; the instruction asks for no alignment.
        unsafe { vst1q_u8(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(veorq_u8(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        // SAFETY: as above.
        unsafe { (vandq_u8(self.0, vdupq_n_u8(0x0f)), vshrq_n_u8::<4>(self.0)) }
    }

    #[inline(always)]
    unsafe fn factor(coefficient: u8) -> Self::Factor {
        let halves = &HALVES[usize::from(coefficient)];
        // SAFETY: as above; halves are 16 bytes each.
        unsafe { (vld1q_u8(halves.low.as_ptr()), vld1q_u8(halves.high.as_ptr())) }
    }

    #[inline(always)]
    unsafe fn times((low, high): Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: as above.
        unsafe { Self(veorq_u8(vqtbl1q_u8(factor.0, low), vqtbl1q_u8(factor.1, high))) }
    }
}

/// As [`fused::combine`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn combine(rows: Rows) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::combine::<Neon>(rows) }
}

/// As [`fused::add_scaled`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn add_scaled(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    // SAFETY: whoever calls this promises the same.
    unsafe { fused::add_scaled::<Neon>(dst, coefficient, src) }
}
