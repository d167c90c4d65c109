//! The parts that run on the settings.

use crate::cli::Command;
use crate::config::{Inputs, Loaded};

/// Why a command failed at run time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AppError {
    /// The build has no such part.
    #[error(
        "failed to start `{command}`: this build has only the configuration commands; see `config --help`"
    )]
    NotBuilt {
        /// The command's name.
        command: &'static str,
    },
}

/// Runs a command to its end. `inputs` are what `loaded` was made from, to be read again on SIGHUP.
///
/// # Errors
/// [`AppError`] where it failed.
pub(crate) fn run(command: &Command, _inputs: &Inputs, _loaded: &Loaded) -> Result<(), AppError> {
    let command = match command {
        Command::Run => "run",
        Command::Once { .. } => "once",
        Command::Metrics { .. } => "metrics",
        Command::Config { .. } => "config",
        Command::Health { .. } => "health",
        Command::Doctor => "doctor",
    };
    Err(AppError::NotBuilt { command })
}
