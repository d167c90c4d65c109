//! What a part gets to make its files: settings in, files out.

use std::collections::BTreeSet;

use mixin::{Expr, Profile, Rendered, Scope};

use crate::error::{Error, Result};
use crate::settings::Settings;

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it belongs, from the root of the repository, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// A panel or an alert that the profile cannot answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub what: String,
    /// Why: starts with `cannot be answered because`.
    pub reason: String,
}

/// Everything that was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// The files, in the order in which they were made.
    pub files: Vec<File>,
    /// What the profile cannot answer.
    pub left_out: Vec<LeftOut>,
    /// The native names of all metrics that some panel, rule or alert asks for.
    pub metrics: BTreeSet<String>,
}

/// What a part gets to make its files.
#[derive(Debug)]
pub struct Context<'a> {
    /// What the user chose.
    pub settings: &'a Settings,
    output: Output,
}

impl<'a> Context<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self { settings, output: Output::default() }
    }

    /// The profile for which is written.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.settings.profile()
    }

    /// The scope of rules and alerts: no matchers.
    #[must_use]
    pub fn rules(&self) -> Scope {
        Scope::default().under(self.profile())
    }

    /// The scope of dashboards: every selector carries the variables `job` and `instance`.
    #[must_use]
    pub fn dashboard(&self) -> Scope {
        Scope::dashboard().under(self.profile())
    }

    /// Writes an expression and notes which metrics it asks for. `None` where the profile cannot answer it: that is noted, too, and
    /// whatever `what` names is to be left out.
    ///
    /// # Errors
    ///
    /// A mistake in the expression.
    pub fn render(&mut self, what: &str, expr: &Expr, scope: &Scope) -> Result<Option<Rendered>> {
        match expr.render(scope) {
            Ok(rendered) => {
                self.output.metrics.extend(rendered.metrics.iter().cloned());
                Ok(Some(rendered))
            }
            Err(error) => self.leave_out(what, error).map(|()| None),
        }
    }

    /// Notes that something is left out.
    ///
    /// # Errors
    ///
    /// The error is a mistake and not the profile's lack.
    pub fn leave_out(&mut self, what: &str, error: mixin::Error) -> Result<()> {
        if !error.is_unanswerable() {
            return Err(Error::Expression { what: what.to_owned(), source: error });
        }
        self.output.left_out.push(LeftOut { what: what.to_owned(), reason: error.to_string() });
        Ok(())
    }

    /// Notes which metrics something asks for that was rendered elsewhere.
    pub fn asked_for(&mut self, metrics: &BTreeSet<String>) {
        self.output.metrics.extend(metrics.iter().cloned());
    }

    /// Adds a file.
    pub fn file(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.output.files.push(File { path: path.into(), text: text.into() });
    }

    pub(crate) fn finish(self) -> Result<Output> {
        self.settings.check_all_used()?;
        Ok(self.output)
    }
}
