//! The command line of framehawk-sim.

fn main() {}
