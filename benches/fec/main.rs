//! What codes cost.
//!
//! `schemes` is what a sender and a receiver pay for each scheme; `blocks` is the block code alone, with
//! every set of vector instructions, beside other crates. At the end a table says how many times a copy
//! of the same bytes it takes, and what it must not exceed. Run a part with `cargo bench --bench fec --
//! blocks`.

mod blocks;
mod rivals;
mod schemes;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .configure_from_args();
    schemes::codes(&mut criterion);
    schemes::sweep(&mut criterion);
    let times = blocks::measure(&mut criterion);
    criterion.final_summary();
    print!("{}", times.table());
}
