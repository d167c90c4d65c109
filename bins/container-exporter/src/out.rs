//! Writing to stdout and stderr without dying of a reader that has gone away, as in `container-exporter … | head`.

use std::io::{self, ErrorKind, Write};

/// Writes a command's result to stdout; a closed pipe is a reader that has seen enough.
///
/// # Errors
/// What the system says where stdout cannot be written otherwise, such as on a full disk.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes one line to stderr, where a failure leaves nobody to tell.
pub(crate) fn say(severity: &str, what: &dyn std::fmt::Display) {
    _ = writeln!(io::stderr().lock(), "{severity}: {what}");
}
