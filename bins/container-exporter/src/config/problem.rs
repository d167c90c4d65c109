//! Where a value came from, and what can be wrong with it.

use std::fmt;
use std::sync::Arc;

/// Where an effective value was set; the later variants win over the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The commented default file that is built in.
    Default,
    /// The file of `--config`.
    File {
        /// The path as it was given.
        path: Arc<str>,
        /// Counted from 1.
        line: usize,
    },
    /// A variable of the OpenTelemetry specification.
    Otel(&'static str),
    /// A `CONTAINER_EXPORTER__SECTION__KEY` variable.
    Env(String),
    /// A command-line flag, with its dashes.
    Flag(&'static str),
}

impl Origin {
    /// Whether a person set the value, in whichever way.
    pub(crate) fn is_set(&self) -> bool {
        *self != Self::Default
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Otel(name) => f.write_str(name),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong, with its place; shown after `error: ` or `warning: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The place, or `None` where several sources together are at fault.
    pub(crate) origin: Option<Origin>,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Problem {
    /// A problem of one place.
    pub(crate) fn at(origin: Origin, what: impl Into<String>) -> Self {
        Self { origin: Some(origin), what: what.into() }
    }

    /// A problem of no single place.
    pub(crate) fn general(what: impl Into<String>) -> Self {
        Self { origin: None, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Everything that is wrong with the configuration, not only the first of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub(crate) struct ConfigError {
    /// At least one, in the order of the sources and of their lines.
    pub(crate) problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
