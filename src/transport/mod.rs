//! UDP transport of frames.
