//! Virtual time against real sockets and the kernel's own TCP, as `fhsim verify` compares them.
//!
//! Where the kernel path is not to be had these tests say why and pass: CI runs them as root.
#![cfg(target_os = "linux")]

mod kernel_common;

use std::fs;
use std::process::Output;

use kernel_common::{fhsim, is_to_be_had};

/// 50 frames a second of five packets each, 25 ms each way, 2 % of the packets lost independently. Nothing
/// is drawn from the time, and nothing depends on a queue.
const SCENARIO: &str = r#"
duration = "8s"
[traffic.down.screen]
constant = { rate = "50Hz", size = "5kB", dependency = "independent" }
deadline = "100ms"
[measure]
warm-up = "1s"
[path.down]
delay = "25ms"
loss.iid = { rate = "2%" }
[path.up]
delay = "25ms"
"#;

/// Verifies the scenario with this contender and these changes, until the machine kept time, three times at most: what is
/// measured while other tests take the processors is rough by its own account, and says so.
fn verify(contender: &str, sets: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.toml");
    fs::write(&path, format!("{SCENARIO}[contender.it]\n{contender}\n")).unwrap();
    let sets = || sets.iter().flat_map(|set| ["--set", set]);
    let verify = || fhsim().arg("verify").arg(&path).args(sets()).output().unwrap();
    let rough = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("rough");
    let mut output = verify();
    for _ in 0..2 {
        if rough(&output) {
            output = verify();
        }
    }
    output
}

/// The line of the comparison that begins with these words.
fn line(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with(what));
    line.unwrap_or_else(|| panic!("no {what}: {text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

#[test]
fn every_packet_of_an_open_loop_session_has_the_same_fate_in_both_times() {
    if !is_to_be_had() {
        return;
    }
    let contender = "udp = { fec.reed-solomon = { source = 5, repair = 1 }, stale = \"keep\" }";
    let output = verify(contender, &[]);
    assert!(line(&output, "packets lost by draw").ends_with("agrees"), "{output:?}");
    assert!(line(&output, "packets down, each with its fate").ends_with("agrees"), "{output:?}");
    // Half of the frames lose nothing and take the fixed delay: no clock decides about them.
    assert!(line(&output, "frame_delay_p50_ms").ends_with("agrees"), "{output:?}");
}

#[test]
fn the_kernel_meets_the_losses_of_the_model_and_goes_as_fast_as_it() {
    if !is_to_be_had() {
        return;
    }
    // BBR carries all of these frames whatever is lost, which would show nothing: it gets more of them than
    // the link can carry.
    let more: &[&str] = &[
        "traffic.down.screen.constant.size=30kB",
        "path.down.bottleneck={ rate = \"10Mbit/s\", queue.droptail = \"100ms\" }",
    ];
    for (congestion, sets) in [("cubic", &[][..]), ("bbr", more), ("reno", &[])] {
        let output = verify(&format!("tcp = {{ congestion = \"{congestion}\" }}"), sets);
        let error = String::from_utf8_lossy(&output.stderr);
        if error.contains("has no congestion control") {
            eprintln!("skipped: {error}");
            continue;
        }
        assert!(line(&output, "packets lost by draw").ends_with("agrees"), "{congestion}: {output:?}");
        // 15 % around the model's goodput: what its own test against measured runs allows it.
        assert!(line(&output, "goodput_bps").ends_with("agrees"), "{congestion}: {output:?}");
    }
}
