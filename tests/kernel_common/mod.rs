//! What the tests of the kernel path share.

use std::process::Command;

/// The program, as a user runs it.
pub(crate) fn fhsim() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fhsim"))
}

/// Whether the kernel path is to be had; says why not.
pub(crate) fn is_to_be_had() -> bool {
    let doctor = fhsim().args(["doctor", "--quiet"]).output().unwrap();
    if !doctor.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&doctor.stderr));
    }
    doctor.status.success()
}
