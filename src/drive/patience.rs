//! How a driver in real time waits for what is due.

use crate::time::Duration;

/// How to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// Sleep until it is time. The system wakes a thread some time late.
    #[default]
    Sleep,
    /// Sleep, but be awake [`SPIN`] before anything is due: on time, for more of the processor.
    Spin,
}

/// How long before something is due [`Patience::Spin`] is awake: several times what an idle machine takes
/// to wake a thread up.
pub const SPIN: Duration = Duration::from_micros(200);

impl Patience {
    /// How long before something is due to be awake.
    pub const fn ahead(self) -> Duration {
        match self {
            Self::Sleep => Duration::ZERO,
            Self::Spin => SPIN,
        }
    }
}
