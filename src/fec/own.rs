//! Codes from outside this crate.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use super::{Decoder, Encoder};

/// A code of one's own, to be run and compared with the ones here:
/// [`Scheme::Own`](super::Scheme::Own) takes it wherever a scheme is wanted. `examples/own_strategy.rs`
/// has a whole one.
pub trait Code: Debug + Send + Sync {
    /// What tables call it: one word or few.
    fn name(&self) -> String;

    /// The sender's half at its start.
    fn encoder(&self) -> Box<dyn Encoder<Bytes>>;

    /// The receiver's half at its start.
    fn decoder(&self) -> Box<dyn Decoder<Bytes>>;

    /// Both halves without contents, for sweeps that only ask what is recovered; none where the code has
    /// no such twin, and such sweeps leave it out.
    fn hollow(&self) -> Option<Halves<()>> {
        None
    }
}

/// Both halves of a code.
pub type Halves<S> = (Box<dyn Encoder<S>>, Box<dyn Decoder<S>>);

/// A shared [`Code`]; equal only to itself.
#[derive(Clone, Debug)]
pub struct Own(pub Arc<dyn Code>);

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
