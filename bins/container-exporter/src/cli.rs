//! The command line.
//!
//! Flags that set configuration keys are handed on as text, so that they are checked and reported like every other
//! source of values.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{FlagValue, Inputs};

/// Version, and the commit where the build was told it (a variable, not a build script, keeps builds reproducible).
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("CONTAINER_EXPORTER_COMMIT") {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
});

/// Tells Prometheus what every container on a host does.
///
/// Without a command it runs: it finds the engines and the cgroup version by itself and serves /metrics.
#[derive(Debug, Parser)]
#[command(name = "container-exporter", version = VERSION.as_str(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Args)]
struct Flags {
    /// Configuration file in TOML; `config default` prints all keys
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Address to listen at.
    #[arg(
        long,
        // Not the comment above: rustdoc takes the brackets for a link.
        help = "Address to listen at, such as :9100, 0.0.0.0:8080 or [::]:8080",
        short = 'b',
        visible_aliases = ["bind", "web.listen-address"],
        global = true,
        value_name = "ADDRESS"
    )]
    listen: Option<String>,
    /// Where containers are found: auto, docker, cgroup, or sim:N for N simulated ones
    #[arg(long, global = true, value_name = "SOURCE")]
    source: Option<String>,
    /// Names and labels of the series: native or cadvisor
    #[arg(long, global = true, value_name = "PROFILE")]
    profile: Option<String>,
    /// Least severity that is logged: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of the log: text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Serve metrics until told to stop (the default)
    #[default]
    Run,
    /// Print one snapshot of all containers
    Once {
        /// How
        #[arg(long, value_enum, default_value_t = SnapshotFormat::Table)]
        format: SnapshotFormat,
    },
    /// Print the catalogue of metrics
    Metrics {
        /// How
        #[arg(long, value_enum, default_value_t = CatalogueFormat::Table)]
        format: CatalogueFormat,
    },
    /// Show or check the configuration
    Config {
        /// What to do with it
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Ask a running exporter whether it is well; the exit code is the answer
    Health {
        /// Its /health; by default that of the configured address
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Examine engines, rights and cgroups, and say how to mend what is wrong
    Doctor,
}

/// What `config` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print every effective value and where it came from
    Show,
    /// Say what is wrong with the configuration, if anything
    Check,
    /// Print the commented default file
    #[command(hide = true)]
    Default,
    /// Print docs/configuration.md
    #[command(hide = true)]
    Docs,
}

/// The forms of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SnapshotFormat {
    /// Columns for people
    Table,
    /// The page that Prometheus gets
    Prometheus,
    /// JSON
    Json,
}

/// The forms of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CatalogueFormat {
    /// Columns for people
    Table,
    /// docs/metrics.md
    Markdown,
    /// JSON
    Json,
}

impl Cli {
    /// Takes the command line apart: what to do, and what the configuration is made from.
    pub(crate) fn split(self) -> (Command, Inputs) {
        let flags = self.flags;
        let values = [
            ("--listen", flags.listen),
            ("--source", flags.source),
            ("--profile", flags.profile),
            ("--log-level", flags.log_level),
            ("--log-format", flags.log_format),
        ];
        let flag = |(flag, value): (_, Option<_>)| value.map(|value| FlagValue { flag, value });
        let inputs = Inputs {
            file: flags.config,
            env: std::env::vars_os().collect(),
            flags: values.into_iter().filter_map(flag).collect(),
        };
        (self.command.unwrap_or_default(), inputs)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command};

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_behind_the_command() {
        for line in ["--listen :1 once", "once --listen :1", "once -b :1", "once --web.listen-address=:1"] {
            let words = std::iter::once("container-exporter").chain(line.split(' '));
            let (command, inputs) = Cli::try_parse_from(words).expect(line).split();
            assert!(matches!(command, Command::Once { .. }), "{line}");
            assert_eq!(inputs.flags[0].value, ":1", "{line}");
        }
    }

    #[test]
    fn every_flag_of_a_key_exists_and_every_value_flag_sets_a_key() {
        let words = [
            "container-exporter",
            "--listen=a",
            "--source=a",
            "--profile=a",
            "--log-level=a",
            "--log-format=a",
        ];
        let (_, inputs) = Cli::try_parse_from(words).expect("all flags").split();
        let mut given: Vec<_> = inputs.flags.iter().map(|flag| flag.flag).collect();
        let mut known = crate::config::flag_names();
        given.sort_unstable();
        known.sort_unstable();
        assert_eq!(given, known);
        let command = Cli::command();
        for flag in known {
            assert!(command.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--")), "{flag}");
        }
    }
}
