//! A constant rate, as for a reserved path.

use crate::units::Bitrate;

use super::Controller;

/// The controller that always answers the same.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Bitrate);

impl Controller for Fixed {
    fn rate(&self) -> Option<Bitrate> {
        Some(self.0)
    }
}
