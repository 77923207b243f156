//! The matrix product for any set of vector instructions.
//!
//! The outputs are cut into chunks of a few vectors. For a chunk of up to four outputs the sums stay in
//! registers while all sources pass by, so that a source is loaded once for all of them and an output is
//! written once and never read. The last chunk overlaps the one before it, which spares a loop for what
//! is left over; only outputs shorter than a chunk need a detour through a buffer.

#![allow(unsafe_code)]

use super::scalar;

/// How many outputs are computed at once at most. Two vectors of each are eight sums, which leave room for
/// sources and factors among sixteen registers; of fewer outputs there are more vectors at a time.
pub(super) const OUTPUTS_MAX: usize = 4;

/// The most bytes of a chunk: four vectors of 32 bytes.
const CHUNK_MAX: usize = 128;

/// A vector of bytes that a set of instructions computes with.
///
/// # Safety
///
/// Of all its methods: the processor has the instructions.
///
/// They are always inlined, since they become these instructions only inside of functions that are compiled
/// for them. What calls them is inlined always, too, and uses loops where it could use closures: one closure
/// that is not inlined makes calls of all that is in it.
pub(super) trait Vector: Copy {
    /// Bytes of a vector.
    const BYTES: usize;

    /// A vector made ready for products.
    type Split: Copy;

    /// What a coefficient is to the multiplying instructions.
    type Factor: Copy;

    /// All zeros.
    unsafe fn zero() -> Self;

    /// The bytes from `from` on, at any alignment; all are readable.
    unsafe fn load(from: *const u8) -> Self;

    /// Writes the bytes from `to` on, at any alignment; all are writable.
    unsafe fn store(self, to: *mut u8);

    /// The sum, which is XOR.
    unsafe fn add(self, other: Self) -> Self;

    /// Makes it ready for products.
    unsafe fn split(self) -> Self::Split;

    /// Makes a coefficient ready for products.
    unsafe fn factor(coefficient: u8) -> Self::Factor;

    /// The product of every byte with the coefficient.
    unsafe fn times(split: Self::Split, factor: Self::Factor) -> Self;
}

/// Rows of a matrix product, at most [`OUTPUTS_MAX`].
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The coefficients, row by row.
    pub(super) coefficients: &'a [u8],
    /// The sources, at least one and none longer than `length`.
    pub(super) sources: &'a [&'a [u8]],
    /// Where the outputs begin; their bytes need not be initialized.
    pub(super) outputs: &'a [*mut u8],
    /// How long they are.
    pub(super) length: usize,
}

/// Writes the outputs.
///
/// # Safety
///
/// The processor has the instructions of `V`, there is a coefficient for each pair of output and source,
/// and each output has `length` bytes that may be written and that nothing else refers to.
#[inline(always)]
pub(super) unsafe fn combine<V: Vector>(rows: Rows) {
    let parity = rows.coefficients[..rows.sources.len()].iter().all(|&coefficient| coefficient == 1);
    // SAFETY: the caller's promise is this function's; the numbers of outputs are those matched on.
    unsafe {
        match (rows.outputs.len(), parity) {
            (1, true) => chunks::<V, 1, 4, true>(rows),
            (1, false) => chunks::<V, 1, 4, false>(rows),
            (2, true) => chunks::<V, 2, 4, true>(rows),
            (2, false) => chunks::<V, 2, 4, false>(rows),
            (3, true) => chunks::<V, 3, 3, true>(rows),
            (3, false) => chunks::<V, 3, 3, false>(rows),
            (4, true) => chunks::<V, 4, 2, true>(rows),
            (4, false) => chunks::<V, 4, 2, false>(rows),
            (outputs, _) => debug_assert_eq!(outputs, 0, "at most {OUTPUTS_MAX} outputs at once"),
        }
    }
}

/// Writes `OUTPUTS` outputs in chunks of `WIDE` vectors. With `PARITY` the first row is all ones.
///
/// # Safety
///
/// As of [`combine`], and there are `OUTPUTS` outputs.
#[inline(always)]
unsafe fn chunks<V: Vector, const OUTPUTS: usize, const WIDE: usize, const PARITY: bool>(rows: Rows) {
    let bytes = WIDE * V::BYTES;
    let Rows { length, .. } = rows;
    // SAFETY: the caller promises `OUTPUTS` outputs and all else that a chunk asks for; a chunk begins
    // `bytes` before the end at the latest, and buffers are at least as long as a chunk.
    unsafe {
        let outputs: [*mut u8; OUTPUTS] = std::array::from_fn(|output| *rows.outputs.get_unchecked(output));
        if length < bytes {
            let mut buffers = [[0; CHUNK_MAX]; OUTPUTS];
            chunk::<V, OUTPUTS, WIDE, PARITY>(rows, 0, buffers.each_mut().map(|buffer| buffer.as_mut_ptr()));
            for (buffer, output) in buffers.iter().zip(outputs) {
                output.copy_from_nonoverlapping(buffer.as_ptr(), length);
            }
            return;
        }
        let last = length - bytes;
        let mut at = 0;
        while at < last {
            chunk::<V, OUTPUTS, WIDE, PARITY>(rows, at, outputs.map(|output| output.add(at)));
            at += bytes;
        }
        chunk::<V, OUTPUTS, WIDE, PARITY>(rows, last, outputs.map(|output| output.add(last)));
    }
}

/// Writes the chunks of the outputs that begin `at` bytes from their start, `to` where it says.
///
/// # Safety
///
/// The processor has the instructions of `V`, there are `OUTPUTS` rows of coefficients as wide as there are
/// sources, and a chunk can be written to each place in `to`.
#[inline(always)]
unsafe fn chunk<V: Vector, const OUTPUTS: usize, const WIDE: usize, const PARITY: bool>(
    rows: Rows,
    at: usize,
    to: [*mut u8; OUTPUTS],
) {
    let bytes = WIDE * V::BYTES;
    let (coefficients, width) = (rows.coefficients.as_ptr(), rows.sources.len());
    // SAFETY: the instructions are there. A source is read from only where a whole chunk lies inside it,
    // and a copy of its end is as long as a chunk. The coefficient is that of a row below `OUTPUTS` and a
    // source there is.
    unsafe {
        let mut sums = [[V::zero(); WIDE]; OUTPUTS];
        for (column, source) in rows.sources.iter().enumerate() {
            let vectors = if at + bytes <= source.len() {
                load::<V, WIDE>(source.as_ptr().add(at))
            } else if at < source.len() {
                load::<V, WIDE>(extended(&source[at..]).as_ptr())
            } else {
                continue;
            };
            if PARITY {
                for vector in 0..WIDE {
                    sums[0][vector] = sums[0][vector].add(vectors[vector]);
                }
                if OUTPUTS == 1 {
                    continue;
                }
            }
            let mut split = [V::zero().split(); WIDE];
            for vector in 0..WIDE {
                split[vector] = vectors[vector].split();
            }
            for (output, sum) in sums.iter_mut().enumerate() {
                if PARITY && output == 0 {
                    continue;
                }
                let factor = V::factor(*coefficients.add(output * width + column));
                for (sum, &split) in sum.iter_mut().zip(&split) {
                    *sum = sum.add(V::times(split, factor));
                }
            }
        }
        for (output, sum) in to.iter().zip(&sums) {
            for (vector, bytes) in sum.iter().enumerate() {
                bytes.store(output.add(vector * V::BYTES));
            }
        }
    }
}

/// The vectors of a chunk.
///
/// # Safety
///
/// The processor has the instructions of `V`, and a chunk can be read from `from` on.
#[inline(always)]
unsafe fn load<V: Vector, const WIDE: usize>(from: *const u8) -> [V; WIDE] {
    // SAFETY: the caller promises both.
    unsafe {
        let mut vectors = [V::zero(); WIDE];
        for (vector, place) in vectors.iter_mut().enumerate() {
            *place = V::load(from.add(vector * V::BYTES));
        }
        vectors
    }
}

/// The end of a source, shorter than a chunk, as if zeros followed.
#[cold]
fn extended(end: &[u8]) -> [u8; CHUNK_MAX] {
    let mut buffer = [0; CHUNK_MAX];
    buffer[..end.len()].copy_from_slice(end);
    buffer
}

/// Adds `coefficient`·`src` to the front of `dst`.
///
/// # Safety
///
/// The processor has the instructions of `V`, and `dst` is at least as long as `src`.
#[inline(always)]
pub(super) unsafe fn add_scaled<V: Vector>(dst: &mut [u8], coefficient: u8, src: &[u8]) {
    let length = src.len();
    if length < V::BYTES {
        return scalar::add_scaled(dst, coefficient, src);
    }
    let (dst, src) = (dst.as_mut_ptr(), src.as_ptr());
    let last = length - V::BYTES;
    // SAFETY: the instructions are there, and vectors begin `last` bytes from the start at the latest, so
    // that they lie inside of both.
    unsafe {
        let factor = V::factor(coefficient);
        // The last vector overlaps the one before it, so its sum is taken before anything is written.
        let end = sum::<V>(dst.add(last), factor, src.add(last));
        let mut at = 0;
        while at < last {
            sum::<V>(dst.add(at), factor, src.add(at)).store(dst.add(at));
            at += V::BYTES;
        }
        end.store(dst.add(last));
    }
}

/// The vector at `dst` plus that at `src` times a factor.
///
/// # Safety
///
/// The processor has the instructions of `V`, and both vectors can be read.
#[inline(always)]
unsafe fn sum<V: Vector>(dst: *const u8, factor: V::Factor, src: *const u8) -> V {
    // SAFETY: the caller promises both.
    unsafe { V::load(dst).add(V::times(V::load(src).split(), factor)) }
}

/// The products of a coefficient with the numbers below 16, and with their multiples of 16: what shuffles
/// look up.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Halves {
    pub(super) low: [u8; 16],
    pub(super) high: [u8; 16],
}

/// The halves of each coefficient.
pub(super) static HALVES: [Halves; 256] = halves();

const fn halves() -> [Halves; 256] {
    let mut table = [Halves { low: [0; 16], high: [0; 16] }; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut half = 0;
        while half < 16 {
            table[coefficient].low[half] = super::PRODUCTS[coefficient][half];
            table[coefficient].high[half] = super::PRODUCTS[coefficient][half << 4];
            half += 1;
        }
        coefficient += 1;
    }
    table
}
