//! `doctor`: looks at everything that a run needs, and says the exact fix of what is missing.
//!
//! Each check is a function from a [`Machine`] to [`Finding`]s. A machine is where to look, so that tests make each fault in a
//! directory of their own.

mod cgroups;
mod elsewhere;
mod engines;
mod gpus;
mod machine;
mod proc;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::config::Settings;
use machine::Machine;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// As it should be.
    Ok,
    /// Some numbers are absent or dearer than need be.
    Warning,
    /// A run would fail, or lack what it is for.
    Problem,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    /// What was looked at, in a word.
    area: &'static str,
    /// What was found, in a sentence.
    what: String,
    /// What mends it: a command, flag or line to type.
    fix: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, area, what: what.into(), fix: None }
    }

    fn warning(area: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, area, what: what.into(), fix: Some(fix.into()) }
    }

    fn problem(area: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Problem, area, what: what.into(), fix: Some(fix.into()) }
    }
}

/// All findings; printed one a line, fixes indented below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is a problem; warnings are allowed.
    pub(crate) fn is_well(&self) -> bool {
        self.count(Verdict::Problem) == 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.area.len()).max().unwrap_or(0);
        for Finding { verdict, area, what, fix } in &self.findings {
            // What engines and files say may hold anything; a line stays a line.
            let what = what.replace(char::is_control, " ");
            writeln!(f, "{:<7}  {area:<width$}  {what}", verdict.as_str())?;
            if let Some(fix) = fix {
                writeln!(f, "{:<7}  {:<width$}  fix: {fix}", "", "")?;
            }
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (problems, warnings) = (self.count(Verdict::Problem), self.count(Verdict::Warning));
        if problems + warnings == 0 {
            return writeln!(f, "\nAll is well.");
        }
        writeln!(f, "\n{problems} problem{}, {warnings} warning{}.", plural(problems), plural(warnings))
    }
}

/// Looks at this machine with the eyes of a run on these settings. Takes some seconds where an engine does not answer.
pub(crate) fn examine(settings: &Settings) -> Report {
    examine_on(&Machine::this(settings), settings)
}

fn examine_on(machine: &Machine<'_>, settings: &Settings) -> Report {
    let (mut findings, engine_answers) = engines::check(machine, settings);
    let (of_cgroups, host) = cgroups::check(machine);
    findings.extend(of_cgroups);
    findings.extend(proc::check(machine, host.as_ref(), engine_answers));
    findings.extend(gpus::check(machine, settings, host.as_ref()));
    findings.extend(server::check(machine, settings.server.listen));
    Report { findings }
}
