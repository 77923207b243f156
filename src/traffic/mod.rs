//! What applications send.
