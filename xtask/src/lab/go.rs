//! The Go command, as everything here calls it.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::error::{Context as _, Error, Result};
use crate::process::{self, When};

/// A program for this machine, whatever a person has set for their own.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = process::command("go", arguments);
    with_environment(&mut command);
    command
}

/// The same for a program that calls Go itself.
pub(crate) fn with_environment(command: &mut Command) {
    command.env("GOFLAGS", "").env("GOWORK", "off");
    if std::env::var_os("GOTOOLCHAIN").is_none() {
        // A module that wants a newer Go than the machine's gets it.
        command.env("GOTOOLCHAIN", "auto");
    }
}

/// Where `go mod download` has put a module.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: String,
    sum: String,
}

/// Copies a module's sources, of which every byte is the one that `sum` was taken of, so that they can be written to.
pub(crate) fn copy_module(module: &str, sum: &str, to: &Path) -> Result<()> {
    let said = process::succeed(&mut command(&["mod", "download", "-json", module]), When::Working)?;
    let found: Downloaded = serde_json::from_slice(&said.stdout)
        .context(|| format!("failed to read what `go mod download` says of {module}"))?;
    if found.sum != sum {
        return Err(Error::failed(format!(
            "{module} is not the one that is meant: its sum is {}",
            found.sum
        )));
    }
    let mut copy = process::command("cp", &["-R", "--no-preserve=mode", &found.dir]);
    process::succeed(copy.arg(to), When::Working).map(|_| ())
}
