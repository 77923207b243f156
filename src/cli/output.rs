//! Where text goes: to stdout, which may be a terminal, a file, or a pipe that closes early.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use framehawk_sim::report::layout::Look;

use super::Failure;

/// Prints a result; colors are left out where they cannot or should not be shown.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot write the result")?;
    Ok(())
}

/// Says something beside the result. Where stderr is gone, there is nobody to tell.
pub(super) fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// How a table on stdout may look. Colors are taken out again by [`print()`] where they do not belong.
pub(super) fn look() -> Look {
    Look { unicode: unicode(), styled: true }
}

/// Whether a person sees what stderr gets.
pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether the locale says that text is UTF-8 (POSIX: the first of these that is not empty).
fn unicode() -> bool {
    if cfg!(windows) {
        return true;
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
