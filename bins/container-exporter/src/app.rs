//! The parts that run on the settings: one module a command, and what they share.

mod build;
mod catalogue;
mod engines;
mod health;
mod http;
mod json;
mod lines;
mod log;
mod meter;
mod once;
mod otlp;
mod own;
mod resource;
mod serve;
mod table;
mod traces;
mod users;

use crate::cli::Command;
use crate::config::{Inputs, Loaded};
use crate::{doctor, out};

/// Why a command failed at run time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AppError {
    /// No thread or timer for the runtime.
    #[error("failed to start the runtime: {0}: raise the limits of threads and open files")]
    Runtime(std::io::Error),
    /// The kernel's files cannot be read.
    #[error(transparent)]
    Kernel(#[from] collector_core::KernelError),
    /// The address cannot be listened at.
    #[error("{error} (the address is from {origin})")]
    Bind {
        /// What the server says.
        error: exporter_toolkit::BindError,
        /// What set the address.
        origin: String,
    },
    /// The server ended.
    #[error(transparent)]
    Serve(#[from] exporter_toolkit::ServeError),
    /// A file of TLS for OTLP cannot be used.
    #[error(transparent)]
    Otlp(#[from] otlp_client::SettingsError),
    /// The exporter of traces could not be made.
    #[error("failed to make the exporter of traces: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The process's own metrics could not be registered.
    #[error(transparent)]
    Register(#[from] runtime_metrics::RegisterError),
    /// A result could not be written.
    #[error("failed to write to stdout: {0}; is the disk full?")]
    Stdout(std::io::Error),
    /// The exporter that was asked is not well.
    #[error("{0}")]
    Unhealthy(String),
    /// `doctor` found problems, and its report says which.
    #[error("there is something to be mended")]
    Ill,
    /// Signals cannot be received.
    #[error("failed to listen for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs a command to its end. `inputs` are what `loaded` was made from, to be read again on SIGHUP.
///
/// # Errors
/// [`AppError`] where it failed.
pub(crate) fn run(command: &Command, inputs: &Inputs, loaded: Loaded) -> Result<(), AppError> {
    match command {
        Command::Run => runtime()?.block_on(serve::serve(inputs, loaded)),
        Command::Once { format } => runtime()?.block_on(once::once(*format, &loaded.settings)),
        Command::Metrics { format } => print(&catalogue::render(*format)),
        Command::Health { url } => health::ask(url.as_deref(), &loaded.settings),
        Command::Doctor => {
            let report = doctor::examine(&loaded.settings);
            print(&report.to_string())?;
            if report.is_well() { Ok(()) } else { Err(AppError::Ill) }
        }
        Command::Config { .. } => Ok(()),
    }
}

fn print(text: &str) -> Result<(), AppError> {
    out::print(text).map_err(AppError::Stdout)
}

/// One thread beside the sampling threads: more cost memory and gain nothing.
fn runtime() -> Result<tokio::runtime::Runtime, AppError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Runtime)
}
