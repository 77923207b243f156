//! The TCP model.
