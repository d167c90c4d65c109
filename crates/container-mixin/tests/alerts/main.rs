//! The alerts as others judge them: promtool, amtool, and the rules that linters of mixins have.

mod alertmanager;
mod linted;
mod promtool;

use std::process::{Command, Output, Stdio};

use container_mixin::{Output as Made, Settings};

/// What is made with these settings, each written `key=value`.
fn made(profile: &str, set: &[&str]) -> Made {
    let settings = Settings::default().with_profile(profile).expect("a profile");
    let settings = set.iter().try_fold(settings, |settings, one| settings.with_set(one)).expect("settings");
    container_mixin::files(&settings).expect("all can be made")
}

/// The text of one of the files.
#[track_caller]
fn file<'a>(made: &'a Made, path: &str) -> &'a str {
    let found = made.files.iter().find(|file| file.path == path);
    &found.unwrap_or_else(|| panic!("{path} is made")).text
}

/// Runs one of Prometheus' tools. `None` where it is missing, which is said; with `CI=true` that is a failure.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a test has nothing else to say it with")]
fn run(package: &str, program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            let why = format!("{program}: {error}; enable with: apt-get install {package}");
            let is_ci = matches!(std::env::var("CI").as_deref(), Ok("true" | "1"));
            assert!(!is_ci, "CI=true, and there a skip is a failure: {why}");
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// What a program said on both streams.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}
