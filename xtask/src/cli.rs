//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

impl Cli {
    /// Reads the process's arguments; a mistake ends the process with exit code 2, as clap does.
    pub(crate) fn read() -> Self {
        Self::parse()
    }
}

/// One task each.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run every check and every test, end-to-end tests on real containers included.
    Test(TestOptions),
    /// Measure what the exporter costs and hold it against the budgets.
    Bench(BenchOptions),
    /// Check that every crate imports lower floors only.
    Layers,
    /// Write the generated files, or check that they are up to date.
    Codegen(CodegenOptions),
    /// Write the dashboards, rules and alerts that derive from the catalogue, or check that they are up to date.
    GenDashboards(GenDashboardsOptions),
    /// Draw the dashboards from recorded answers. Needs node, npm and chromium.
    RenderDashboards(RenderDashboardsOptions),
    /// Feed every parser of foreign bytes what libFuzzer comes up with. Needs nightly and a C++ compiler.
    Fuzz(FuzzOptions),
    /// Run the long forms of the faults' tests: churn, outages, collections without end.
    Soak(SoakOptions),
    /// Start deploy/compose on an engine of its own, check it, and take it away again.
    Stack(StackOptions),
    /// Start and stop the engine that the end-to-end tests use.
    #[command(subcommand)]
    Lab(LabCommand),
}

/// What `cargo xtask test` runs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TestOptions {
    /// Unit, property and golden tests only: no engine, no lints, no packages.
    #[arg(long)]
    pub(crate) fast: bool,
    /// Install missing packages (Debian-like, as root, without docker-ce) and cargo-deny. CI=true implies it.
    #[arg(long)]
    pub(crate) install: bool,
    /// Run only the tests whose name contains this; the other steps are left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) filter: Option<String>,
    /// Run only these steps (comma-separated); `--only help` lists them.
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Run the end-to-end tests on these hosts of the lab (comma-separated) and the native one only, instead of on all.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<Host>,
    /// Leave the engine running after the tests, to look at; `cargo xtask lab down` ends it.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What `cargo xtask bench` measures.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BenchOptions {
    /// Fewer rounds, and nothing that waits for caches to cool.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only these lines (comma-separated); `--only help` lists them.
    #[arg(long, value_name = "LINE", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Run another exporter on the same containers instead: a cAdvisor binary, or a collector with its configuration.
    #[arg(long, value_name = "NAME=PATH[,CONFIG]")]
    pub(crate) peer: Vec<String>,
    /// Put the table into docs/performance.md; with `--only`, what was measured into the table that is there.
    #[arg(long)]
    pub(crate) write: bool,
    /// Use the engine at this unix:// endpoint (it needs the image busybox:local) instead of starting one.
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) engine: Option<String>,
}

/// What `cargo xtask fuzz` runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct FuzzOptions {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// The targets, named as in fuzz/corpus; all without a name.
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
}

/// What `cargo xtask soak` runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct SoakOptions {
    /// How long an hour of churn takes; the other forms are shortened alike, but for the minute of SIGSTOP.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub(crate) minutes: u32,
    /// Run only the forms whose name contains one of these (comma-separated).
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Watch an exporter that is built as the tests build it: for a quick try.
    #[arg(long)]
    pub(crate) unoptimized: bool,
}

/// What `cargo xtask stack` does.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StackOptions {
    /// Leave it running after the checks, to look at, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
    /// The exporter's program, instead of one that is built.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}

/// What `cargo xtask codegen` does.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CodegenOptions {
    /// Write nothing; fail with a diff when a file is stale.
    #[arg(long)]
    pub(crate) check: bool,
}

/// What `cargo xtask gen-dashboards` does.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GenDashboardsOptions {
    /// Write nothing; fail with a diff when a file is stale.
    #[arg(long)]
    pub(crate) check: bool,
    /// Under whose names the metrics are asked for: native or cadvisor. Another than native wants --out.
    #[arg(long, value_name = "NAME", default_value = "native")]
    pub(crate) profile: String,
    /// Only the files whose path contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Write below this directory instead of the repository.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<std::path::PathBuf>,
    /// Another threshold, duration or severity than the default, such as alert.MemoryNearLimit.threshold=0.8. Wants --out.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// What `cargo xtask render-dashboards` does.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RenderDashboardsOptions {
    /// Write the pictures into this directory instead of docs/images.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Only this dashboard, named as its file without .json.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Open the rows that are closed at first.
    #[arg(long)]
    pub(crate) open: bool,
    /// Record the answers anew before, by the end-to-end test: wants what that wants, and about four minutes.
    #[arg(long)]
    pub(crate) record: bool,
}

/// The test hosts.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LabCommand {
    /// List the hosts, what is built of them, and what runs or was left behind.
    List,
    /// Print what a host needs and what is missing.
    Check {
        /// The host.
        #[arg(default_value = "native")]
        host: Host,
        /// Install what is missing.
        #[arg(long)]
        install: bool,
    },
    /// Build a host, unless it is built.
    Build {
        /// The host.
        host: Host,
    },
    /// Build the programs that the tests send OTLP to, and print the variables that name them.
    Peers {
        /// Install what is missing.
        #[arg(long)]
        install: bool,
    },
    /// Start an engine in the foreground until Ctrl-C.
    Up {
        /// The host: one with an engine on this machine.
        host: Host,
    },
    /// Start a host, run the end-to-end tests in it, or a command, or a shell, and end it.
    Run {
        /// The host.
        host: Host,
        /// Only the tests whose name contains this.
        #[arg(long, value_name = "NAME", conflicts_with_all = ["shell", "command"])]
        test: Option<String>,
        /// An interactive shell: in a guest, on its console; else on this machine with DOCKER_HOST set.
        #[arg(long, conflicts_with = "command")]
        shell: bool,
        /// Ends what runs in the host after so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 1800, conflicts_with = "shell")]
        limit: u64,
        /// A command and its arguments instead of the tests, after `--`.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Write `docs/compatibility.md` from the last whole run of every host.
    Compatibility,
    /// End what `--keep` left running or a killed run left behind.
    Down,
}

/// A test host by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Host {
    /// An engine of its own on this machine.
    Native,
    /// Docker's newest engine on this machine.
    Engine29,
    /// Debian 13, a guest.
    Trixie,
    /// Debian 14, a guest.
    Forky,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_second_command_of_the_readme_parses() {
        let cli = Cli::try_parse_from(["xtask", "test", "--install"]).expect("parses");
        assert!(matches!(cli.task, Task::Test(TestOptions { install: true, fast: false, .. })));
    }

    #[test]
    fn a_lab_run_is_of_tests_or_a_command_or_a_shell() {
        let parses = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        assert!(parses("xtask lab run native"));
        assert!(parses("xtask lab run trixie --test oom"));
        assert!(parses("xtask lab run forky --shell"));
        assert!(parses("xtask lab run engine29 -- docker ps"));
        assert!(!parses("xtask lab run native --shell -- docker ps"));
        assert!(!parses("xtask lab run native --test oom -- docker ps"));
    }
}
