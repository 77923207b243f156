//! The kernel path (Linux): two network namespaces with a TUN device each and the impaired path between
//! them, so that ordinary sockets of the kernel cross it packet by packet.

pub mod sys;
