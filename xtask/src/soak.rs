//! `cargo xtask soak`: the long forms of the faults' tests, outside CI.
//!
//! The forms are tests of the end-to-end program behind its feature `soak`; what is here gives them an engine, runs each in a
//! process of its own, and puts what they say of themselves into a table.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::cli::SoakOptions;
use crate::engine::{Engine, Keep};
use crate::error::{Error, Result};
use crate::{metadata, process};

/// The forms' names begin with this.
const FORMS: &str = "faults::soak::";
/// What a form may take beyond its time: it starts and ends in order.
const MORE: Duration = Duration::from_mins(60);
/// What a form says of itself stands behind this.
const FIGURES: &str = "figures: ";

/// The programs.
struct Programs {
    e2e: PathBuf,
    exporter: PathBuf,
}

/// How one form went.
struct Row {
    form: String,
    ok: bool,
    took: Duration,
    figures: String,
}

/// Runs the forms, and prints the table. The exit code says whether all held.
pub(crate) fn run(options: &SoakOptions) -> Result<ExitCode> {
    if let Some(obstacle) = Engine::obstacle() {
        return Err(Error::failed(obstacle));
    }
    let programs = build(options)?;
    let forms = forms(&programs, &options.only)?;
    let mut engine = Engine::start(Keep::Nothing)?;
    let mut rows = Vec::new();
    for form in forms {
        println!("── {form}");
        match one(&form, &programs, &engine, options.minutes) {
            Ok(row) => {
                print!("{}", line(&row));
                rows.push(row);
            }
            Err(Error::Interrupted) => break,
            Err(error) => return Err(error),
        }
    }
    if engine.has_died() {
        engine.print_log_tail();
    }
    engine.stop()?;
    process::check_interrupted()?;
    println!("\n{}", table(&rows, options.minutes));
    Ok(if rows.iter().all(|row| row.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the tests with their long forms, and the exporter as it is shipped, or nearly so.
fn build(options: &SoakOptions) -> Result<Programs> {
    let package = ["--quiet", "--package", "container-exporter"];
    let mut tests = process::cargo(&["test"]);
    tests.args(package).args(["--features", "soak", "--test", "e2e", "--no-run"]);
    let e2e = executable(tests, "e2e")?;
    let mut exporter = process::cargo(&["build"]);
    exporter.args(package);
    if !options.unoptimized {
        println!("building the exporter as a release (some minutes where it is not up to date)");
        exporter.arg("--release");
    }
    Ok(Programs { e2e, exporter: executable(exporter, "container-exporter")? })
}

/// What cargo says of something it built.
#[derive(Debug, Deserialize)]
struct Artifact {
    target: metadata::Target,
    executable: Option<PathBuf>,
}

fn executable(mut command: Command, name: &str) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics");
    let mut found = None;
    let finished = process::lines(&mut command, |line| {
        if let Ok(Artifact { target, executable: Some(file) }) = serde_json::from_str(line)
            && target.name == name
        {
            found = Some(file);
        }
    })?;
    found
        .filter(|_| finished.status.success())
        .ok_or_else(|| Error::failed(format!("failed to build {name}")))
}

/// The forms' names, as the program lists them.
fn forms(programs: &Programs, only: &[String]) -> Result<Vec<String>> {
    let mut command = process::command(&programs.e2e, &[FORMS, "--list", "--format", "terse"]);
    let text = process::succeed(&mut command, process::When::Working)?.text();
    let all: Vec<String> = text.lines().filter_map(form).map(str::to_owned).collect();
    let wanted = |form: &String| only.is_empty() || only.iter().any(|part| form.contains(part.as_str()));
    let chosen: Vec<String> = all.iter().filter(|form| wanted(form)).cloned().collect();
    if chosen.is_empty() {
        return Err(Error::failed(format!("there is no such form; the forms are {}", all.join(", "))));
    }
    Ok(chosen)
}

/// The form of a line such as `faults::soak::an_hour_of_churn: test`.
fn form(line: &str) -> Option<&str> {
    line.strip_prefix(FORMS)?.strip_suffix(": test")
}

fn one(form: &str, programs: &Programs, engine: &Engine, minutes: u32) -> Result<Row> {
    // One stream of both, in their order.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(&programs.e2e);
    command.args(["--exact", &format!("{FORMS}{form}"), "--nocapture", "--test-threads", "1"]);
    command.stdin(Stdio::null()).current_dir("bins/container-exporter");
    command.env("CONTAINER_EXPORTER_E2E_ENGINE", engine.docker_host());
    command.env("CONTAINER_EXPORTER_E2E_HOST", "native");
    command.env("CONTAINER_EXPORTER_E2E_PROGRAM", &programs.exporter);
    command.env("CONTAINER_EXPORTER_E2E_SOAK_MINUTES", minutes.to_string());
    // A soak that cannot be had is none.
    command.env("CI", "true");
    command.envs(engine.for_own_engines()?);
    let begun = Instant::now();
    let mut figures = Vec::new();
    let limit = Duration::from_mins(u64::from(minutes)) + MORE;
    // libtest has begun the line with the test's name.
    let finished = process::lines_within(&mut command, limit, |line| match line.split_once(FIGURES) {
        Some((_, said)) => figures.push(said.to_owned()),
        None => println!("   {line}"),
    });
    let ok = match finished {
        Ok(finished) => finished.status.success(),
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(Error::Failed(reason)) => {
            figures.push(reason);
            false
        }
    };
    let figures = figures.join("; ");
    Ok(Row { form: form.replace('_', " "), ok, took: begun.elapsed(), figures })
}

fn line(row: &Row) -> String {
    let result = if row.ok { "ok" } else { "**FAILED**" };
    let minutes = row.took.as_secs_f64() / 60.0;
    format!("| {} | {result} | {minutes:.1} min | {} |\n", row.form, row.figures)
}

fn table(rows: &[Row], minutes: u32) -> String {
    let mut text =
        format!("| `cargo xtask soak --minutes {minutes}` | result | took | figures |\n|---|---|---|---|\n");
    rows.iter().for_each(|row| _ = write!(text, "{}", line(row)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_from_the_list() {
        assert_eq!(form("faults::soak::an_hour_of_churn: test"), Some("an_hour_of_churn"));
        assert_eq!(form("faults::link::a_socket: test"), None);
        assert_eq!(form("1 test, 0 benchmarks"), None);
    }

    #[test]
    fn what_failed_stands_out() {
        let row =
            |ok| Row { form: "a".to_owned(), ok, took: Duration::from_secs(90), figures: "1; 2".to_owned() };
        let text = table(&[row(true), row(false)], 3);
        assert!(text.contains("--minutes 3"), "{text}");
        assert!(text.contains("| a | ok | 1.5 min | 1; 2 |\n| a | **FAILED** |"), "{text}");
    }
}
