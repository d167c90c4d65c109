//! `cargo xtask stack`: what `deploy/compose` says, started by Docker Compose on an engine of our own.
//!
//! No registry is asked: the images have the names that `compose.yaml` pins, and what is in them comes from Debian's packages and from
//! our own build. The network is cut off, so that nobody outside is told of an alert. What cannot be had that way is not started:
//! `docs/deploying.md` says which services those are.

mod check;
pub(crate) mod compose;
mod image;
mod listener;
pub(crate) mod programs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::StackOptions;
use crate::engine::{Engine, Keep};
use crate::error::{Error, Result};
use crate::lab::peers;
use crate::process::{self, When};
use crate::stack::compose::Compose;
use crate::stack::image::Own;
use crate::step::{Counts, Outcome};

/// Where an OpenTelemetry Collector is that can be put into an image; `cargo xtask lab peers` builds one.
const COLLECTOR_VARIABLE: &str = "CONTAINER_EXPORTER_PEER_OTELCOL";
/// Of `deploy/compose/config/otel-collector.yaml`.
const COLLECTOR_PARTS: &[&str] = &["otlp", "memory_limiter", "batch", "spanmetrics", "debug", "prometheus"];

/// Why the stack cannot be started here, and what to do; `None` if it can.
pub(crate) fn obstacle() -> Option<String> {
    programs::obstacle().or_else(Engine::obstacle)
}

/// Starts the stack, checks it, and takes it away again, or leaves it until Ctrl-C.
pub(crate) fn run(options: &StackOptions) -> Result<ExitCode> {
    if let Some(obstacle) = obstacle() {
        return Err(Error::failed(obstacle));
    }
    let counts = start_and_check(options)?;
    println!("{}", counts.line());
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The step of `cargo xtask test`.
pub(crate) fn step() -> Result<Outcome> {
    if let Some(obstacle) = obstacle() {
        return Ok(Outcome::Skipped(obstacle));
    }
    let counts = start_and_check(&StackOptions::default())?;
    Ok(Outcome::Tests { counts, ok: counts.failed == 0 })
}

fn start_and_check(options: &StackOptions) -> Result<Counts> {
    let debian = programs::ensure()?;
    let own = Own { exporter: options.program.clone().map_or_else(build, Ok)?, collector: collector()? };
    let engine = Engine::start(Keep::Nothing)?;
    let compose = Compose::new(&engine, &debian, own.services())?;
    image::import_all(&engine, &debian, &own)?;
    let counts = check::all(&compose);
    if options.keep && !process::interrupted() {
        println!("the stack runs until Ctrl-C:\n{}", compose.addresses()?);
        process::wait_for_signal(std::time::Duration::MAX);
    }
    compose.down();
    engine.stop()?;
    counts
}

/// The collector that the variable names, or the one that the lab has built, if it has what `otel-collector.yaml` is made of: one may be built for other tests.
fn collector() -> Result<Option<PathBuf>> {
    let built = || {
        let programs = peers::find()?;
        programs.into_iter().find(|(variable, _)| *variable == COLLECTOR_VARIABLE).map(|(_, program)| program)
    };
    let Some(program) = std::env::var_os(COLLECTOR_VARIABLE).map(PathBuf::from).or_else(built) else {
        return Ok(None);
    };
    let components =
        process::succeed(&mut process::command(&program, &["components"]), When::Working)?.text();
    let has = |part: &&str| components.lines().any(|line| line.trim() == format!("- name: {part}"));
    match COLLECTOR_PARTS.iter().find(|part| !has(part)) {
        None => Ok(Some(program)),
        Some(missing) => {
            println!("   {} is left out: it has no {missing}", program.display());
            Ok(None)
        }
    }
}

/// The exporter as the tests have it, built with the features of the step before.
fn build() -> Result<PathBuf> {
    let mut program = None;
    let mut command = process::cargo(&["build", "--quiet", "--workspace", "--bins", "--examples"]);
    let finished = process::lines(command.arg("--message-format=json-render-diagnostics"), |line| {
        let said: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        if said["target"]["name"] == "container-exporter"
            && let Some(file) = said["executable"].as_str()
        {
            program = Some(PathBuf::from(file));
        }
    })?;
    match program {
        Some(program) if finished.status.success() => Ok(program),
        _ => Err(Error::failed("failed to build the exporter")),
    }
}

/// Runs a program of the engine's side with `DOCKER_HOST` set; what it says, if it succeeds.
fn drive(engine: &str, program: &Path, words: &[&str]) -> Result<String> {
    let mut command = process::command(program, words);
    process::succeed(command.env("DOCKER_HOST", engine), When::Working).map(|finished| finished.text())
}
