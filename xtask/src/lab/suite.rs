//! The end-to-end test program in a host: built once, run anywhere, its results told with the host's name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::cli::Host;
use crate::engine::{Engine, Keep};
use crate::error::{Context as _, Error, Result};
use crate::lab;
use crate::lab::guest::{self, Guest};
use crate::lab::results::{Results, test_line};
use crate::metadata;
use crate::process::{self, When};

/// A guest has one CPU, but most of a test is waiting.
const GUEST_THREADS: &str = "4";
/// The oldest C library among the guests.
const GUEST_GLIBC: Version = Version(2, 41);
/// Printed by a guest before its first test: what the kernel and systemd say before is for the log only.
const BEGIN: &str = "lab: the tests begin";

/// The test program and the exporter.
#[derive(Debug)]
pub(crate) struct Programs {
    e2e: PathBuf,
    exporter: PathBuf,
}

/// Shows a result, with the host before the test's name. The rest is for its log, and of failures for the end.
fn show(host: &str, line: &str) {
    if let Some(result) = with_host(host, line) {
        println!("{result}");
    }
}

/// The line as it reads where several hosts speak, if it is a result.
fn with_host(host: &str, line: &str) -> Option<String> {
    test_line(line).map(|_| line.replacen("test ", &format!("test {host}::"), 1))
}

/// Builds both programs so that they run in every host.
pub(crate) fn build() -> Result<Programs> {
    let mut command = process::cargo(&["test", "--quiet", "--workspace", "--test", "e2e", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics");
    if builder_glibc().is_none_or(|version| version > GUEST_GLIBC) {
        // A program runs with its builder's C library or a newer one; without any, everywhere. The target is named so that the flag
        // is not for build scripts and macros.
        command.args(["--target", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)]);
        command.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    }
    let (mut e2e, mut exporter) = (None, None);
    let finished = process::lines(&mut command, |line| {
        let Ok(Artifact { target, executable: Some(file) }) = serde_json::from_str(line) else { return };
        match (target.name.as_str(), target.kind.first().map(String::as_str)) {
            ("e2e", Some("test")) => e2e = Some(file),
            ("container-exporter", Some("bin")) => exporter = Some(file),
            _ => {}
        }
    })?;
    match (finished.status.success(), e2e, exporter) {
        (true, Some(e2e), Some(exporter)) => Ok(Programs { e2e, exporter }),
        _ => Err(Error::failed("failed to build the end-to-end tests")),
    }
}

/// What cargo says of something it built.
#[derive(Debug, Deserialize)]
struct Artifact {
    target: metadata::Target,
    executable: Option<PathBuf>,
}

/// Of a C library: major, minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

fn builder_glibc() -> Option<Version> {
    let said =
        process::capture(&mut process::command("getconf", &["GNU_LIBC_VERSION"]), When::Working).ok()?;
    parse_glibc(&said.text())
}

/// `glibc 2.36`.
fn parse_glibc(said: &str) -> Option<Version> {
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some(Version(major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

/// How the tests are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    /// Only those whose name contains this.
    pub(crate) filter: Option<&'a str>,
    /// What stays of an engine of this machine after them.
    pub(crate) keep: Keep,
    /// How long they may take before the host is ended.
    pub(crate) limit: Duration,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { filter: None, keep: Keep::Nothing, limit: Duration::from_mins(30) }
    }
}

/// Runs the tests in a host, which is built if need be.
pub(crate) fn run(host: Host, programs: &Programs, options: Options<'_>) -> Result<Results> {
    let start = Instant::now();
    let name = host.name();
    let (output, broken) = match host.suite() {
        Some(suite) => in_guest(suite, programs, options),
        None => natively(host, programs, options),
    }?;
    let results = Results::read(&output, broken);
    let file = logs(name)?.join(if options.filter.is_none() { WHOLE } else { FILTERED });
    fs::write(&file, &output).context(|| format!("failed to write {}", file.display()))?;
    if !results.ok() {
        // Hosts may run side by side: what one has to say stands together.
        println!("── {name}: its logs are in {}\n{}", logs(name)?.display(), results.said);
    }
    results.failed.iter().for_each(|test| println!("failed: {name}::{test}"));
    if let Some(broken) = &results.broken {
        println!("{name}: {broken}");
    }
    println!("{name}: {} in {:.1} s", results.counts.line(), start.elapsed().as_secs_f64());
    Ok(results)
}

/// What the tests printed, and why the host ended before them, if it did.
type Said = (String, Option<String>);

fn natively(host: Host, programs: &Programs, options: Options<'_>) -> Result<Said> {
    let mut engine = Engine::start_with(lab::programs(host)?, options.keep)?;
    let mut command = Command::new(&programs.e2e);
    command.args(options.filter).arg("--show-output").stdin(std::process::Stdio::null());
    // Where cargo runs it.
    command.current_dir("bins/container-exporter");
    command.envs(environment(host.name(), &engine.docker_host(), &programs.exporter));
    command.envs(engine.for_own_engines()?);
    // What tests say of themselves goes to stderr, and to libtest's stdout in the end.
    let mut output = String::new();
    let finished = process::lines_within(&mut command, options.limit, |line| {
        show(host.name(), line);
        output.push_str(line);
        output.push('\n');
    });
    if engine.has_died() {
        engine.print_log_tail();
    }
    engine.stop()?;
    Ok((output, broken(finished.map(|_| ()))?))
}

fn in_guest(suite: &'static str, programs: &Programs, options: Options<'_>) -> Result<Said> {
    let root = lab::debian::ensure(suite)?;
    let guest = Guest::create(suite, root, &script(suite, options.filter)?)?;
    guest.add("e2e", &programs.e2e)?;
    guest.add("container-exporter", &programs.exporter)?;
    let mut begun = false;
    let ran = guest.run(options.limit, &logs(suite)?.join("console.txt"), |line| {
        if begun {
            show(suite, line);
        }
        // systemd's settings of the terminal stand before it.
        begun |= line.trim_end().ends_with(BEGIN);
    });
    let output = fs::read(guest.lab("e2e.out")).unwrap_or_default();
    Ok((String::from_utf8_lossy(&output).into_owned(), broken(ran)?))
}

/// Ctrl-C ends everything; any other reason is a result of this host.
fn broken(ran: Result<()>) -> Result<Option<String>> {
    match ran {
        Ok(()) => Ok(None),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(Error::Failed(reason)) => Ok(Some(reason)),
    }
}

/// What the guest runs. The output goes to a file, too: a console may lose some.
fn script(suite: &str, filter: Option<&str>) -> Result<String> {
    let variables = environment(suite, "unix:///run/docker.sock", Path::new("/lab/container-exporter"));
    let disk = ("CONTAINER_EXPORTER_E2E_DISK", guest::DISK.to_owned());
    let podman = ("CONTAINER_EXPORTER_E2E_PODMAN", "unix:///run/podman/podman.sock".to_owned());
    let exports: String = variables
        .into_iter()
        .chain([disk, podman, ("CONTAINER_EXPORTER_E2E_USERS", "yes".to_owned())])
        .map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
        .collect();
    let filter = filter.map(quoted).unwrap_or_default();
    Ok(format!(
        "{}{}{exports}cd /tmp\necho '{BEGIN}'\n\
         /lab/e2e {filter} --show-output --test-threads {GUEST_THREADS} 2>&1 | tee /lab/e2e.out\nsync\n",
        lab::PRELUDE,
        guest::bind_repository()?
    ))
}

fn environment(host: &str, engine: &str, exporter: &Path) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("CONTAINER_EXPORTER_E2E_ENGINE", engine.to_owned()),
        ("CONTAINER_EXPORTER_E2E_HOST", host.to_owned()),
        ("CONTAINER_EXPORTER_E2E_PROGRAM", exporter.display().to_string()),
    ];
    variables.extend(std::env::var("CI").ok().map(|value| ("CI", value)));
    variables
}

/// One word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What the last run of all tests printed, in a host's [`logs`].
pub(crate) const WHOLE: &str = "e2e.out";
/// What the last run of some of them printed.
const FILTERED: &str = "some.out";

/// Where a host's logs stay after it: its own directory goes with it.
pub(crate) fn logs(host: &str) -> Result<PathBuf> {
    let directory = metadata::read()?.target_directory.join("lab").join(host);
    fs::create_dir_all(&directory).context(|| format!("failed to create {}", directory.display()))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_bears_its_hosts_name() {
        let shown = with_host("forky", "test a::one ... ok");
        assert_eq!(shown.as_deref(), Some("test forky::a::one ... ok"));
        assert_eq!(with_host("forky", "test result: ok. 1 passed;"), None);
    }

    #[test]
    fn the_c_library_is_compared_by_number() {
        assert_eq!(parse_glibc("glibc 2.36\n"), Some(Version(2, 36)));
        assert_eq!(parse_glibc("musl"), None);
        assert!(Version(2, 5) < GUEST_GLIBC);
    }

    #[test]
    fn a_word_survives_the_shell() {
        let word = "it's; $(a) \"b\"";
        let said = process::succeed(
            &mut process::command("sh", &["-c", &format!("printf %s {}", quoted(word))]),
            When::Guarded,
        );
        assert_eq!(said.expect("runs").text(), word);
    }
}
