//! No control: everything leaves at once.

use crate::units::Bitrate;

use super::Controller;

/// The controller that does nothing.
#[derive(Debug)]
pub(super) struct None;

impl Controller for None {
    fn rate(&self) -> Option<Bitrate> {
        Option::None
    }
}
