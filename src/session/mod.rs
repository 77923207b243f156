//! Sessions and their ports.
