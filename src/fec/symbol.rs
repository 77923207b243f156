//! What codes compute with: vectors over GF(2^8), real or imagined.

use std::fmt::Debug;

use bytes::Bytes;

use super::gf256;
use super::own::{Code, Halves};

/// A vector over GF(2^8) of any length, as if zeros followed it for ever.
///
/// Real packets are [`Bytes`]. The twin without contents is `()`: whether a linear code can decode
/// depends on which packets arrived and never on what is in them, so the very same encoder and decoder
/// work out what is recovered at a fraction of the cost, for sweeps over millions of packets.
pub trait Symbol: Clone + Debug + PartialEq + Send + 'static {
    /// Whether there are contents to compute; where not, what would only serve to compute them may be
    /// left out.
    const CONTENTS: bool = true;

    /// The matrix product: the i-th result is Σ c(i, j)·term j, where `coefficients` has a row for each
    /// result, as wide as there are terms (at least one). Results are as long as the longest term.
    fn combine(coefficients: &[u8], terms: &[&Self]) -> Vec<Self>;

    /// Its contents; nothing where it has none. For codes that are computed elsewhere.
    fn to_bytes(&self) -> Bytes;

    /// The symbol with these contents.
    fn from_bytes(contents: Bytes) -> Self;

    /// Both halves of a code from outside; none where it has no twin for these symbols.
    fn halves(code: &dyn Code) -> Option<Halves<Self>>;
}

impl Symbol for Bytes {
    fn combine(coefficients: &[u8], terms: &[&Self]) -> Vec<Self> {
        let terms: Vec<&[u8]> = terms.iter().map(|term| &term[..]).collect();
        gf256::product(coefficients, &terms).into_iter().map(Self::from).collect()
    }

    fn to_bytes(&self) -> Bytes {
        self.clone()
    }

    fn from_bytes(contents: Bytes) -> Self {
        contents
    }

    fn halves(code: &dyn Code) -> Option<Halves<Self>> {
        Some((code.encoder(), code.decoder()))
    }
}

impl Symbol for () {
    const CONTENTS: bool = false;

    fn combine(coefficients: &[u8], terms: &[&Self]) -> Vec<Self> {
        vec![(); coefficients.len() / terms.len().max(1)]
    }

    fn to_bytes(&self) -> Bytes {
        Bytes::new()
    }

    fn from_bytes(_contents: Bytes) -> Self {}

    fn halves(code: &dyn Code) -> Option<Halves<Self>> {
        code.hollow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_terms_count_as_extended_by_zeros() {
        let (long, short) = (Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[1]));
        let results = Bytes::combine(&[1, 1, 0, 2], &[&long, &short]);
        assert_eq!(results, [Bytes::from_static(&[0, 2, 3]), Bytes::from_static(&[2, 0, 0])]);
        assert_eq!(<()>::combine(&[1, 1, 0, 2], &[&(), &()]).len(), 2);
    }
}
