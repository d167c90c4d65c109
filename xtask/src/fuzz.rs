//! `cargo xtask fuzz`: libFuzzer over every parser of foreign bytes.
//!
//! The targets and what they promise stand in `crates/fuzz-targets`; `fuzz/` holds their seeds and a binary that runs any of
//! them. It is built here with the flags that cargo-fuzz gives, so that nothing has to be installed but nightly and a C++
//! compiler.
//! What a run learns is kept below `target/fuzz/`, where the next run begins; seeds change by hand only.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::cli::FuzzOptions;
use crate::error::{Context as _, Error, Result};
use crate::process::{self, When};
use crate::{metadata, step};

/// The seeds: a directory for each target.
const SEEDS: &str = "fuzz/corpus";

/// The binary of `fuzz/` that runs the target that `FUZZ_TARGET` names: one to link instead of one for each.
const ANY: &str = "any";

/// What cargo-fuzz gives: counters on every edge, comparisons traced. Without AddressSanitizer, which takes half of the time:
/// no parser has `unsafe` code, which the compiler holds them to.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// An input that takes a target longer is a finding.
const INPUT_SECONDS_MAX: u32 = 10;
const MEMORY_MB_MAX: u32 = 1024;

/// How long each target runs as a step of `cargo xtask test`.
const STEP_SECONDS: u32 = 2;

/// Runs the targets that the options name; all without a name.
pub(crate) fn run(options: &FuzzOptions) -> Result<ExitCode> {
    if let Some(obstacle) = obstacle() {
        return Err(Error::failed(obstacle));
    }
    let summary = fuzz(options)?;
    println!("{summary}");
    Ok(ExitCode::SUCCESS)
}

/// A few seconds of each target, as a step. Without nightly the corpora alone were run, by the unit tests.
pub(crate) fn step() -> Result<step::Outcome> {
    if let Some(obstacle) = obstacle() {
        return Ok(step::Outcome::Passed(format!("only the corpora, as unit tests: {obstacle}")));
    }
    fuzz(&FuzzOptions { seconds: STEP_SECONDS, targets: Vec::new() }).map(step::Outcome::Passed)
}

/// What is missing to fuzz here.
fn obstacle() -> Option<String> {
    let works = |program: &str, args: &[&str]| {
        process::capture(&mut process::command(program, args), When::Working)
            .is_ok_and(|said| said.status.success())
    };
    if !works("rustup", &["run", "nightly", "cargo", "--version"]) {
        return Some(
            "nightly is not installed; `rustup toolchain install nightly --profile minimal`".to_owned(),
        );
    }
    if !works("c++", &["--version"]) {
        return Some("libFuzzer needs a C++ compiler (package g++)".to_owned());
    }
    None
}

fn fuzz(options: &FuzzOptions) -> Result<String> {
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        return Err(Error::failed(format!("no target is named {unknown:?}; there are {}", all.join(", "))));
    }
    let wanted = if options.targets.is_empty() { &all } else { &options.targets };
    let place = metadata::read()?.target_directory.join("fuzz");
    let binary = build(&place)?;

    let queue = Mutex::new(wanted.iter());
    let ended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = next(&queue) {
                    let outcome = target(name, &binary, &place, options.seconds);
                    ended.lock().unwrap_or_else(PoisonError::into_inner).push((name, outcome));
                }
            });
        }
    });
    let (mut runs, mut failed) = (0, Vec::new());
    for (name, outcome) in ended.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match outcome {
            Ok(count) => runs += count,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(Error::Failed(reason)) => {
                eprintln!("{reason}");
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(format!("{} targets, {} s each, {runs} inputs", wanted.len(), options.seconds));
    }
    Err(Error::failed(format!(
        "found something in {}; add the input to its directory in {SEEDS}, where the unit tests find it, and mend the parser",
        failed.join(", ")
    )))
}

fn next<'a>(queue: &Mutex<std::slice::Iter<'a, String>>) -> Option<&'a String> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// The names of the seeds' directories, which a unit test holds equal to the list of targets.
fn targets() -> Result<Vec<String>> {
    let read = || -> std::io::Result<Vec<String>> {
        let names =
            std::fs::read_dir(SEEDS)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    };
    let mut names = read().context(|| format!("failed to list {SEEDS}"))?;
    names.sort_unstable();
    Ok(names)
}

/// Builds the binary that runs any target; returns its path.
fn build(place: &Path) -> Result<PathBuf> {
    // Its dependencies are those of the workspace: one lock file is kept, this copy is not.
    std::fs::copy("Cargo.lock", "fuzz/Cargo.lock")
        .context(|| "failed to write fuzz/Cargo.lock".to_owned())?;
    let rustc = process::succeed(
        &mut process::command("rustup", &["run", "nightly", "rustc", "-vV"]),
        When::Working,
    )?;
    let text = rustc.text();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Error::failed("failed to find the host in what `rustc -vV` printed"))?;
    let mut command = nightly_cargo(&["build", "--quiet", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target of its own, build scripts and macros go without the flags.
    command.args(["--target", host]).arg("--target-dir").arg(place);
    command.args(["--bin", ANY]);
    let built = process::show(command.env("RUSTFLAGS", FLAGS))?;
    if !built.status.success() {
        return Err(Error::failed(format!("failed to build fuzz/: {}", built.status)));
    }
    Ok(place.join(host).join("release").join(ANY))
}

/// Nightly's cargo, without what this cargo has told its children.
fn nightly_cargo(args: &[&str]) -> Command {
    let mut command = process::command("rustup", &["run", "nightly", "cargo"]);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let told =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_ENCODED_"].iter().any(|prefix| name.starts_with(prefix));
        if told || matches!(name.as_ref(), "CARGO" | "RUSTC" | "RUSTUP_TOOLCHAIN") {
            command.env_remove(name.as_ref());
        }
    }
    command.args(args);
    command
}

/// Runs one target; returns how many inputs it took, or an error with what libFuzzer said.
fn target(name: &str, binary: &Path, place: &Path, seconds: u32) -> Result<u64> {
    let (learned, found) = (place.join("corpus").join(name), place.join("artifacts").join(name));
    for directory in [&learned, &found] {
        std::fs::create_dir_all(directory).context(|| format!("failed to create {}", directory.display()))?;
    }
    let mut command = process::command(binary, &["-print_final_stats=1", "-detect_leaks=0"]);
    command
        .env("FUZZ_TARGET", name)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        // New inputs go into the first directory, the others are only read.
        .arg(learned)
        .arg(Path::new(SEEDS).join(name));
    let finished = process::capture(&mut command, When::Working)?;
    let said = String::from_utf8_lossy(&finished.stderr);
    if !finished.status.success() {
        return Err(Error::failed(format!("── {name}: {}\n{}", finished.status, tail(&said))));
    }
    let runs = runs(&said);
    println!("{name:<16} {runs:>10} inputs");
    Ok(runs)
}

/// `stat::number_of_executed_units: 12345` of libFuzzer's last words.
fn runs(said: &str) -> u64 {
    let number = |line: &str| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok();
    said.lines().find_map(number).unwrap_or_default()
}

/// Without the lines that tell of progress.
fn tail(said: &str) -> String {
    let lines: Vec<&str> =
        said.lines().filter(|line| !line.starts_with('#') || line.contains(" in ")).collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_read() {
        let said = "#2\tINITED cov: 4\nDone 17 runs in 3 second(s)\nstat::number_of_executed_units: 17\n";
        assert_eq!(runs(said), 17);
        assert_eq!(tail(said), "Done 17 runs in 3 second(s)\nstat::number_of_executed_units: 17");
    }
}
