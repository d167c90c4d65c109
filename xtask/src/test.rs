//! `cargo xtask test`: every check and every test, in one table.
//!
//! Steps run one after the other, cheap and telling ones first; only what is built by other means runs beside them. A step
//! that fails does not keep the others from running. What cannot be tried is skipped in so many words, and with `CI=true`
//! that is a failure.

use std::cell::Cell;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use crate::cli::{Host, TestOptions};
use crate::engine::{Engine, Keep};
use crate::error::{Error, Result};
use crate::install::{self, cargo_deny};
use crate::lab::{self, compatibility, peers, suite};
use crate::metadata;
use crate::process::{self, When};
use crate::step::{Counts, Outcome, Report};
use crate::{codegen, deploy, fuzz, gen_dashboards, layers, stack};

/// The name of the integration test that wants an engine.
const E2E: &str = "e2e";
const E2E_SOURCE: &str = "bins/container-exporter/tests/e2e/main.rs";

/// The tests that send to real receivers of OTLP, and their names as integration tests.
const PEERS: &str = "peers";
const PEERS_TESTS: &[&str] = &["otlp_collector", "otlp_prometheus", "real_collector"];

const HOSTS: &str = "hosts";
const STACK: &str = "stack";

/// What the runs on all hosts say, against what is written down.
const COMPATIBILITY: &str = "compatibility";

/// The crates that must build where there is no Linux; the workflow checks them on macOS.
const PORTABLE: &[&str] = &[
    "metric-schema",
    "exposition",
    "mixin",
    "runtime-metrics",
    "collector-core",
    "exporter-toolkit",
    "otlp-client",
    "source-docker",
    "source-sim",
    "sink-otlp",
    "sink-prometheus",
    "container-mixin",
];

/// A step: its name, whether `--fast` and `--filter` keep it, and its work.
struct Step {
    name: &'static str,
    fast: bool,
    filterable: bool,
    work: fn(&Run) -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "packages", fast: false, filterable: false, work: Run::packages },
    Step {
        name: "rustfmt",
        fast: false,
        filterable: false,
        work: |_| check(&["fmt", "--all", "--check"], &[]),
    },
    Step { name: "layers", fast: true, filterable: false, work: |_| layers::run().map(Outcome::Passed) },
    Step { name: "clippy", fast: false, filterable: false, work: |_| clippy() },
    Step { name: "build", fast: false, filterable: false, work: |_| build() },
    Step { name: "codegen", fast: false, filterable: false, work: |_| codegen() },
    Step {
        name: "dashboards",
        fast: true,
        filterable: false,
        work: |_| gen_dashboards::check().map(Outcome::Passed),
    },
    Step { name: "unit", fast: true, filterable: true, work: Run::unit_tests },
    Step { name: "doctests", fast: false, filterable: true, work: Run::doc_tests },
    Step { name: "docs", fast: false, filterable: false, work: |_| docs() },
    Step { name: "portable", fast: false, filterable: false, work: |_| portable() },
    Step { name: "deny", fast: false, filterable: false, work: Run::deny },
    Step { name: "deploy", fast: false, filterable: false, work: |_| deploy::step() },
    Step { name: "fuzz", fast: false, filterable: false, work: |_| fuzz::step() },
    // After all that needs no waiting, and before what tells the time: then nothing is built any more.
    Step { name: PEERS, fast: false, filterable: true, work: Run::tests_with_peers },
    Step { name: E2E, fast: false, filterable: true, work: Run::end_to_end_tests },
    Step { name: HOSTS, fast: false, filterable: true, work: Run::tests_on_hosts },
    Step { name: STACK, fast: false, filterable: false, work: Run::stack },
    Step { name: COMPATIBILITY, fast: false, filterable: false, work: |_| compatibility::step() },
];

/// What the steps of one run share.
struct Run {
    options: TestOptions,
    /// `CI=true`: install what is missing, and nothing may be skipped.
    ci: bool,
    /// Whether the step of the other hosts is among them.
    wants_hosts: bool,
    /// Whether the step with real receivers is.
    wants_peers: bool,
    /// The build of cargo-deny, if one was wanted.
    deny: Cell<Option<thread::JoinHandle<Result<()>>>>,
    /// The other hosts, once the machine has what they need.
    hosts: Cell<Option<Hosts>>,
    /// The build of the receivers, once the machine has what it needs, or what to do so that it has.
    peers: Cell<Option<PeersBuild>>,
    /// Whether the step with the stack is among them.
    wants_stack: bool,
    /// That step, where it began beside guests.
    stack: Cell<Option<thread::JoinHandle<Result<Outcome>>>>,
}

type PeersBuild = std::result::Result<thread::JoinHandle<Result<peers::Variables>>, String>;

/// Hosts that are built while other steps run.
struct Hosts {
    /// Which cannot be had here, and what to do.
    refused: Vec<(Host, String)>,
    build: thread::JoinHandle<Vec<(Host, Result<()>)>>,
}

/// Runs the steps that the options choose; the exit code says whether everything passed.
pub(crate) fn run(options: &TestOptions) -> Result<ExitCode> {
    let ci = std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"));
    let steps = choose(options)?;
    let wants_hosts = steps.iter().any(|step| step.name == HOSTS);
    // A filter is for a quick look.
    let wants_peers = options.filter.is_none() && steps.iter().any(|step| step.name == PEERS);
    let mut run = Run {
        options: options.clone(),
        ci,
        wants_hosts,
        wants_peers,
        deny: Cell::new(None),
        hosts: Cell::new(None),
        peers: Cell::new(None),
        wants_stack: steps.iter().any(|step| step.name == STACK),
        stack: Cell::new(None),
    };
    if steps.iter().any(|step| step.name == "deny") {
        run.start_deny();
    }
    let mut report = Report::default();
    for step in steps {
        report.step(step.name, || (step.work)(&run));
    }
    // Reached only when a signal came before the step: the builds got that signal, too.
    if let Some(build) = run.deny.take() {
        let _ = build.join();
    }
    if let Some(hosts) = run.hosts.take() {
        let _ = hosts.build.join();
    }
    if let Some(Ok(build)) = run.peers.take() {
        let _ = build.join();
    }
    if let Some(stack) = run.stack.take() {
        let _ = stack.join();
    }

    println!("{}", report.table());
    let counts = report.counts();
    let skipped = ci && counts.skipped > 0;
    if skipped {
        println!("CI=true: {} skipped, and there a skip is a failure", counts.skipped);
    }
    println!("{}", counts.line());
    Ok(match () {
        () if report.interrupted() => ExitCode::from(130),
        () if counts.failed > 0 || skipped => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    })
}

fn choose(options: &TestOptions) -> Result<Vec<&'static Step>> {
    if let Some(unknown) =
        options.only.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str()))
    {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(Error::failed(format!("no step is named {unknown:?}; there are {}", names.join(", "))));
    }
    let wanted = |step: &&Step| {
        (options.only.is_empty() || options.only.iter().any(|name| name == step.name))
            && (!options.fast || step.fast)
            && (options.filter.is_none() || step.filterable)
            && (step.name != HOSTS || wants_hosts(options))
            // What the document says is known only of all hosts.
            && (step.name != COMPATIBILITY || (wants_hosts(options) && other_hosts(options).count() + 1 == Host::ALL.len()))
    };
    Ok(STEPS.iter().filter(wanted).collect())
}

/// Part of every run, but for those on named hosts and for the quick look that a filter is.
fn wants_hosts(options: &TestOptions) -> bool {
    (options.filter.is_none() || !options.hosts.is_empty()) && other_hosts(options).next().is_some()
}

/// The hosts beside the machine's own: all of them, unless the options name some.
fn other_hosts(options: &TestOptions) -> impl Iterator<Item = Host> {
    let named = &options.hosts;
    let wanted = |host: &Host| *host != Host::Native && (named.is_empty() || named.contains(host));
    Host::ALL.iter().copied().filter(wanted)
}

/// A cargo command whose status is the whole answer.
fn check(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Outcome> {
    let mut command = process::cargo(arguments);
    command.envs(environment.iter().copied());
    let finished = process::show(&mut command)?;
    Ok(if finished.status.success() {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed(format!("`cargo {}`: {}", arguments.join(" "), finished.status))
    })
}

/// The binary once more with the library of GPUs, which it has only where it is asked for: that crate is built, checked and
/// tested with all others.
fn clippy() -> Result<Outcome> {
    let workspace = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-Dwarnings"];
    let with_gpus =
        ["clippy", "--quiet", "--package", "container-exporter", "--features", "gpu", "--", "-Dwarnings"];
    match check(&workspace, &[])? {
        Outcome::Passed(_) => check(&with_gpus, &[]),
        broken => Ok(broken),
    }
}

/// Binaries and examples together, so that the features are those of the tests and nothing is built twice.
fn build() -> Result<Outcome> {
    check(&["build", "--quiet", "--workspace", "--bins", "--examples"], &[])
}

/// By itself it has to build first; after that step it finds everything built.
fn codegen() -> Result<Outcome> {
    match build()? {
        Outcome::Passed(_) => codegen::run_built(true).map(Outcome::Passed),
        broken => Ok(broken),
    }
}

fn docs() -> Result<Outcome> {
    check(&["doc", "--quiet", "--no-deps", "--workspace"], &[("RUSTDOCFLAGS", "-Dwarnings")])
}

fn portable() -> Result<Outcome> {
    let mut arguments = vec!["check", "--quiet"];
    arguments.extend(PORTABLE.iter().flat_map(|package| ["--package", package]));
    check(&arguments, &[])
}

/// Runs `cargo test` and adds up what libtest says.
fn libtest(command: &mut Command) -> Result<Outcome> {
    let mut counts = Counts::default();
    let finished = process::lines(command, |line| {
        println!("{line}");
        counts.add_libtest_line(line);
    })?;
    Ok(Outcome::Tests { counts, ok: finished.status.success() })
}

impl Run {
    fn may_install(&self) -> bool {
        self.ci || self.options.install
    }

    fn start_deny(&mut self) {
        if cargo_deny::find().is_none() && self.may_install() {
            println!("building cargo-deny beside the other steps");
            self.deny.set(Some(thread::spawn(cargo_deny::install)));
        }
    }

    /// First, because unit tests ask promtool, too.
    fn packages(&self) -> Result<Outcome> {
        let answer = install::ensure(self.may_install())?;
        if self.wants_hosts {
            self.start_hosts()?;
        }
        if self.wants_peers {
            self.peers.set(Some(self.start_peers()?));
        }
        Ok(answer.map_or_else(Outcome::Skipped, Outcome::Passed))
    }

    fn deny(&self) -> Result<Outcome> {
        if let Some(build) = self.deny.take() {
            build
                .join()
                .unwrap_or_else(|_| Err(Error::failed("the thread that builds cargo-deny panicked")))?;
        }
        let Some(program) = cargo_deny::find() else {
            return Ok(Outcome::Skipped(format!("cargo-deny is missing; {}", cargo_deny::hint())));
        };
        // It reads the manifests of all platforms' crates, of which a build here fetches only its own.
        process::succeed(&mut process::cargo(&["fetch", "--quiet"]), When::Working)?;
        // As cargo calls it, the plugin's own name comes first.
        let arguments =
            ["deny", "--offline", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
        let finished = process::capture(&mut process::command(program, &arguments), When::Working)?;
        let said = [finished.stdout.as_slice(), finished.stderr.as_slice()].concat();
        let said = String::from_utf8_lossy(&said);
        if finished.status.success() {
            // Its warnings are for whoever runs it by hand.
            return Ok(Outcome::Passed(String::new()));
        }
        eprintln!("{said}");
        Ok(Outcome::Failed("deny.toml forbids what is listed above".to_owned()))
    }

    /// What stands after `--`, the filter first.
    fn with_filter(&self, mut command: Command, libtest: &[&str]) -> Command {
        command.arg("--").args(libtest).args(&self.options.filter);
        command
    }

    /// Every test target but those that want an engine or a receiver: libraries, binaries and integration tests.
    fn unit_tests(&self) -> Result<Outcome> {
        let metadata = metadata::read()?;
        let mut command =
            process::cargo(&["test", "--quiet", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
        let is_unit = |name: &&str| *name != E2E && !PEERS_TESTS.contains(name);
        for name in metadata.test_targets().into_iter().filter(is_unit) {
            command.args(["--test", name]);
        }
        let promtools = lab::promtools();
        if let Ok(paths) = std::env::join_paths(&promtools)
            && !promtools.is_empty()
        {
            command.env("CONTAINER_EXPORTER_PROMTOOLS", paths);
        }
        libtest(&mut self.with_filter(command, &[]))
    }

    fn doc_tests(&self) -> Result<Outcome> {
        let command = process::cargo(&["test", "--quiet", "--workspace", "--no-fail-fast", "--doc"]);
        libtest(&mut self.with_filter(command, &[]))
    }

    fn end_to_end_tests(&self) -> Result<Outcome> {
        if !Path::new(E2E_SOURCE).exists() {
            return Ok(Outcome::Skipped(format!("{E2E_SOURCE} does not exist")));
        }
        if let Err(missing) = install::ensure(self.may_install())? {
            return Ok(Outcome::Skipped(missing));
        }
        if let Some(obstacle) = Engine::obstacle() {
            return Ok(Outcome::Skipped(obstacle));
        }
        let keep = if self.options.keep { Keep::Running } else { Keep::Nothing };
        let options = suite::Options { keep, ..self.suite_options() };
        let results = suite::run(Host::Native, &suite::build()?, options)?;
        Ok(Outcome::Tests { counts: results.counts, ok: results.ok() })
    }

    /// Builds the receivers beside the steps that come before theirs, unless they are there.
    fn start_peers(&self) -> Result<PeersBuild> {
        Ok(peers::prepare(self.may_install())?.map(|_| thread::spawn(peers::ensure)))
    }

    /// The tests that send to real receivers of OTLP.
    fn tests_with_peers(&self) -> Result<Outcome> {
        let programs = match peers::find() {
            Some(programs) => programs,
            None if !self.wants_peers => {
                return Ok(Outcome::Skipped(format!(
                    "the receivers are not built; `{}` does",
                    peers::COMMAND
                )));
            }
            None => match self.peers.take().map_or_else(|| self.start_peers(), Ok)? {
                Ok(build) => build.join().unwrap_or_else(|_| {
                    Err(Error::failed("the thread that builds the receivers panicked"))
                })?,
                Err(missing) => return Ok(Outcome::Skipped(missing)),
            },
        };
        let mut command = process::cargo(&["test", "--quiet", "--workspace", "--no-fail-fast"]);
        for name in PEERS_TESTS {
            command.args(["--test", name]);
        }
        command.envs(programs);
        libtest(&mut self.with_filter(command, &[]))
    }

    /// Most of it is waiting for servers, so it runs beside guests where there are some.
    fn stack(&self) -> Result<Outcome> {
        match self.stack.take() {
            Some(stack) => {
                stack.join().unwrap_or_else(|_| Err(Error::failed("the thread that runs the stack panicked")))
            }
            None => stack::step(),
        }
    }

    fn suite_options(&self) -> suite::Options<'_> {
        suite::Options { filter: self.options.filter.as_deref(), ..suite::Options::default() }
    }

    /// Builds the hosts beside the steps that come before theirs: most of it is waiting for packages.
    fn start_hosts(&self) -> Result<()> {
        let mut ready = Vec::new();
        let mut refused = Vec::new();
        for host in other_hosts(&self.options) {
            match host.prepare(self.may_install())? {
                Ok(_) => ready.push(host),
                Err(reason) => refused.push((host, reason)),
            }
        }
        let build = thread::spawn(move || ready.into_iter().map(|host| (host, lab::build(host))).collect());
        self.hosts.set(Some(Hosts { refused, build }));
        Ok(())
    }

    /// The same tests on other hosts. Those that run natively come one after the other, as they tell the time; guests do not,
    /// and share the machine with each other and the stack.
    fn tests_on_hosts(&self) -> Result<Outcome> {
        let hosts = match self.hosts.take() {
            Some(hosts) => hosts,
            None => {
                self.start_hosts()?;
                self.hosts.take().ok_or_else(|| Error::failed("no host was started"))?
            }
        };
        let programs = suite::build()?;
        let mut counts = Counts::default();
        let mut ok = true;
        for (host, reason) in hosts.refused {
            println!("{} is skipped: {reason}", host.name());
            counts.add(Counts::SKIPPED);
        }
        let built =
            hosts.build.join().map_err(|_| Error::failed("the thread that builds the hosts panicked"))?;
        let mut ready = Vec::new();
        for (host, result) in built {
            match result {
                Ok(()) => ready.push(host),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(Error::Failed(reason)) => {
                    println!("{} is not to be had: {reason}", host.name());
                    counts.add(Counts::FAILED);
                }
            }
        }
        let options = self.suite_options();
        let run = |host: Host| suite::run(host, &programs, options);
        let (guests, native): (Vec<Host>, Vec<Host>) =
            ready.into_iter().partition(|host| host.suite().is_some());
        let mut results: Vec<_> = native.into_iter().map(run).collect();
        if self.wants_stack && !guests.is_empty() {
            println!("the stack starts beside the guests");
            self.stack.set(Some(thread::spawn(stack::step)));
        }
        results.extend(thread::scope(|scope| {
            let runs: Vec<_> =
                guests.into_iter().map(|host| (host, scope.spawn(move || run(host)))).collect();
            let panicked = |host: Host| Err(Error::failed(format!("the thread of {} panicked", host.name())));
            runs.into_iter()
                .map(|(host, run)| run.join().unwrap_or_else(|_| panicked(host)))
                .collect::<Vec<_>>()
        }));
        for result in results {
            match result {
                Ok(results) => {
                    counts.add(results.counts);
                    ok &= results.ok();
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(Error::Failed(reason)) => {
                    println!("{reason}");
                    counts.add(Counts::FAILED);
                }
            }
        }
        Ok(Outcome::Tests { counts, ok })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(options: &TestOptions) -> Vec<&'static str> {
        choose(options).expect("known steps").into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn without_options_everything_runs_on_every_host() {
        assert_eq!(names(&TestOptions::default()).len(), STEPS.len());
        let on = |hosts: &[Host]| names(&TestOptions { hosts: hosts.to_vec(), ..TestOptions::default() });
        assert_eq!(on(&[Host::Trixie]).len(), STEPS.len() - 1, "all but the document");
        assert_eq!(on(Host::ALL).len(), STEPS.len());
        assert!(!on(&[Host::Native]).contains(&HOSTS));
    }

    #[test]
    fn the_hosts_are_all_but_this_one_or_those_that_are_named() {
        let hosts = |named: &[Host]| -> Vec<Host> {
            other_hosts(&TestOptions { hosts: named.to_vec(), ..TestOptions::default() }).collect()
        };
        assert_eq!(hosts(&[]).len(), Host::ALL.len() - 1);
        assert_eq!(hosts(&[Host::Trixie]), [Host::Trixie]);
        assert_eq!(hosts(&[Host::Native]), []);
    }

    #[test]
    fn fast_needs_no_engine() {
        assert_eq!(
            names(&TestOptions { fast: true, ..TestOptions::default() }),
            ["layers", "dashboards", "unit"]
        );
    }

    #[test]
    fn a_filter_leaves_the_tests_only() {
        let options = TestOptions { filter: Some("oom".to_owned()), ..TestOptions::default() };
        assert_eq!(names(&options), ["unit", "doctests", "peers", "e2e"]);
        let on_trixie = TestOptions { hosts: vec![Host::Trixie], ..options };
        assert_eq!(names(&on_trixie), ["unit", "doctests", "peers", "e2e", "hosts"]);
    }

    #[test]
    fn every_test_with_a_receiver_exists() {
        let metadata = metadata::read().expect("cargo runs");
        let targets = metadata.test_targets();
        for name in PEERS_TESTS {
            assert!(targets.contains(name), "{name} is no integration test");
        }
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_known_ones() {
        let options = TestOptions { only: vec!["clipy".to_owned()], ..TestOptions::default() };
        let Err(error) = choose(&options) else { panic!("accepted") };
        assert!(error.to_string().contains("clippy"), "{error}");
    }

    #[test]
    fn the_workflow_checks_every_portable_crate() {
        let workflow = include_str!("../../.github/workflows/ci.yml");
        for package in PORTABLE {
            assert!(workflow.contains(&format!("--package {package}")), "{package} is not checked on macOS");
        }
    }
}
