//! The project's own tasks: `cargo xtask --help`.
//!
//! One module per concept: [`mod@test`] is the list of steps that `.ci/run` runs, [`layers`] and [`codegen`] are two of
//! them that also stand alone, [`mod@bench`] measures, [`engine`] starts and undoes a Docker of its own, [`install`] knows which packages that
//! needs, [`process`] runs commands so that Ctrl-C ends them and never the undoing.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner prints")]

mod bench;
mod cli;
mod codegen;
mod deploy;
mod engine;
mod error;
mod fuzz;
mod gen_dashboards;
mod install;
mod lab;
mod layers;
mod metadata;
mod process;
#[cfg(test)]
mod reliability;
mod render;
mod soak;
mod stack;
mod step;
mod test;

use std::process::ExitCode;

use crate::cli::{Cli, Task};
use crate::error::{Error, Result};

fn main() -> ExitCode {
    let cli = Cli::read();
    match run(cli.task) {
        Ok(code) => code,
        Err(Error::Interrupted) => {
            eprintln!("interrupted");
            ExitCode::from(130)
        }
        Err(Error::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    process::enter_repository_root()?;
    process::listen_for_signals()?;
    match task {
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Layers => layers::run().map(|summary| done(&summary)),
        Task::Codegen(options) => codegen::run(&options).map(|summary| done(&summary)),
        Task::GenDashboards(options) => gen_dashboards::run(&options).map(|summary| done(&summary)),
        Task::RenderDashboards(options) => render::run(&options).map(|summary| done(&summary)),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Stack(options) => stack::run(&options),
        Task::Lab(command) => lab::run(&command),
    }
}

fn done(summary: &str) -> ExitCode {
    println!("{summary}");
    ExitCode::SUCCESS
}
