//! The container exporter: parse, build, run, exit code.

use std::process::ExitCode;

use clap::Parser;

mod app;
mod cli;
mod config;
mod doctor;
mod out;

use cli::{Cli, Command, ConfigAction};
use config::{ConfigError, Inputs, Loaded, Settings};

/// Usage and configuration; clap has the same.
const EXIT_CONFIG: u8 = 2;
/// Everything that fails later.
const EXIT_RUN_TIME: u8 = 1;

fn main() -> ExitCode {
    let (command, inputs) = Cli::parse().split();
    match dispatch(&command, &inputs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(error)) => {
            for problem in &error.problems {
                out::say("error", problem);
            }
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::RunTime(error)) => {
            out::say("error", &error);
            ExitCode::from(EXIT_RUN_TIME)
        }
        Err(Failure::Told) => ExitCode::from(EXIT_RUN_TIME),
    }
}

/// What decides the exit code.
enum Failure {
    Config(ConfigError),
    RunTime(Box<dyn std::error::Error>),
    /// What was printed on stdout tells it already.
    Told,
}

impl From<app::AppError> for Failure {
    fn from(error: app::AppError) -> Self {
        match error {
            app::AppError::Ill => Self::Told,
            error => Self::RunTime(error.into()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

fn dispatch(command: &Command, inputs: &Inputs) -> Result<(), Failure> {
    let text = match command {
        // Neither depends on a configuration, which may be broken.
        Command::Config { action: ConfigAction::Default } => config::default_file(),
        Command::Config { action: ConfigAction::Docs } => config::markdown(),
        Command::Config { action: ConfigAction::Show } => {
            let Loaded { settings, effective } = config::load(inputs)?;
            tell(&settings);
            config::show(&effective)
        }
        Command::Config { action: ConfigAction::Check } => {
            tell(&config::load(inputs)?.settings);
            "the configuration is right\n".to_owned()
        }
        Command::Run
        | Command::Once { .. }
        | Command::Metrics { .. }
        | Command::Health { .. }
        | Command::Doctor => {
            let loaded = config::load(inputs)?;
            return app::run(command, inputs, loaded).map_err(Failure::from);
        }
    };
    out::print(&text).map_err(|error| {
        Failure::RunTime(format!("failed to write to stdout: {error}; is the disk full?").into())
    })
}

/// Says on stderr what is odd; a run logs the same.
fn tell(settings: &Settings) {
    for warning in &settings.warnings {
        out::say("warning", warning);
    }
}
