//! Alerts: a condition over metrics, what it says, and the numbers of it that can be set.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;
use crate::expr::Expr;
use crate::profile::Scope;
use crate::render::Rendered;
use crate::runbook::Runbook;
use crate::setting::{Chosen, Setting, duration};
use crate::text::Sentence;
use crate::trial::Trial;
use crate::yaml::Yaml;

/// How urgent an alert is: the label `severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody is woken.
    Critical,
    /// Somebody looks at it today.
    Warning,
    /// Somebody may want to know.
    Info,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Info];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    /// Reads the value of the label.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// The dashboard that shows what an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The dashboard's uid.
    pub dashboard: &'static str,
    /// Its variables that are set, with the (native) label whose value they get.
    pub variables: &'static [(&'static str, &'static str)],
}

/// Where links lead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Links {
    /// The folder of runbook pages, as people reach it.
    pub runbooks: String,
    /// Grafana, as people reach it.
    pub grafana: String,
}

impl Links {
    /// To these addresses, without a slash at the end.
    #[must_use]
    pub fn new(runbooks: &str, grafana: &str) -> Self {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        Self { runbooks: trimmed(runbooks), grafana: trimmed(grafana) }
    }
}

/// One alert.
///
/// Built by [`Alert::new`] and refinements; [`RuleGroup::alert`](crate::RuleGroup::alert) writes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct Alert {
    /// In CamelCase.
    pub name: &'static str,
    /// The default severity, or what was set.
    pub severity: Severity,
    /// How long the condition holds before it fires: `for`.
    pub wait: Duration,
    /// Whether it is written at all.
    pub enabled: bool,
    /// Labels beside the severity.
    pub labels: &'static [(&'static str, &'static str)],
    /// The numbers that can be set.
    pub settings: Vec<Setting>,
    /// The job of the targets that it is about, where it asks for them by their job.
    pub job: Option<String>,
    /// The condition with these numbers.
    pub condition: fn(&Chosen) -> Expr,
    /// One plain sentence, as [`Sentence`] reads it.
    pub summary: &'static str,
    /// What is the case, as [`Sentence`] reads it, with at least one label or the value.
    pub description: &'static str,
    /// What shows more.
    pub link: Link,
    /// What to do.
    pub runbook: Runbook,
    /// How it is tested.
    pub trial: fn(&Chosen) -> Trial,
}

impl Alert {
    /// A warning that fires at once, without settings.
    pub fn new(
        name: &'static str,
        condition: fn(&Chosen) -> Expr,
        link: Link,
        runbook: Runbook,
        trial: fn(&Chosen) -> Trial,
    ) -> Self {
        Self {
            name,
            severity: Severity::Warning,
            wait: Duration::ZERO,
            enabled: true,
            labels: &[],
            settings: Vec::new(),
            job: None,
            condition,
            summary: "",
            description: "",
            link,
            runbook,
            trial,
        }
    }

    /// What it says: one plain sentence, and what is the case.
    pub const fn says(mut self, summary: &'static str, description: &'static str) -> Self {
        self.summary = summary;
        self.description = description;
        self
    }

    /// How urgent it is.
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// How long the condition holds before it fires.
    pub const fn wait_minutes(mut self, minutes: u64) -> Self {
        self.wait = Duration::from_secs(minutes * 60);
        self
    }

    /// One more number that can be set.
    pub fn setting(mut self, setting: Setting) -> Self {
        self.settings.push(setting);
        self
    }

    /// About the targets of a job.
    pub fn of_job(mut self, job: &str) -> Self {
        self.job = Some(job.to_owned());
        self
    }

    /// Labels beside the severity.
    pub const fn labelled(mut self, labels: &'static [(&'static str, &'static str)]) -> Self {
        self.labels = labels;
        self
    }

    /// What is chosen now.
    #[must_use]
    pub fn chosen(&self) -> Chosen {
        Chosen::of(&self.settings, self.job.as_deref().unwrap_or_default())
    }

    /// The condition, written for a profile.
    ///
    /// # Errors
    ///
    /// As [`Expr::render`].
    pub fn expr(&self, scope: &Scope) -> Result<Rendered> {
        (self.condition)(&self.chosen()).render(scope)
    }

    /// The labels that the rule adds.
    #[must_use]
    pub fn added_labels(&self) -> Vec<(String, String)> {
        let own = self.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        [("severity".to_owned(), self.severity.as_str().to_owned())].into_iter().chain(own).collect()
    }

    /// The annotations as they are written in the rule: name and sentence.
    ///
    /// # Errors
    ///
    /// Where a sentence or the link names a label that the condition's series lack.
    pub(crate) fn sentences(&self, of: &Rendered, links: &Links) -> Result<Vec<(&'static str, Sentence)>> {
        let mut dashboard = format!("{}/d/{}", links.grafana, self.link.dashboard);
        let mut separator = '?';
        for (variable, label) in self.link.variables {
            if of.label(label).is_ok() {
                dashboard.push_str(&format!("{separator}var-{variable}={{{label}:link}}"));
                separator = '&';
            }
        }
        Ok(vec![
            ("summary", Sentence::parse(self.summary)?),
            ("description", Sentence::parse(self.description)?),
            ("dashboard_url", Sentence::parse(&dashboard)?),
            ("runbook_url", Sentence::parse(&format!("{}/{}.md", links.runbooks, self.name))?),
        ])
    }

    /// The rule.
    ///
    /// # Errors
    ///
    /// One that [is unanswerable](crate::Error::is_unanswerable) where the profile lacks a name or a label; any other is a
    /// mistake in the definition.
    pub(crate) fn rule(&self, scope: &Scope, links: &Links) -> Result<Yaml> {
        let expr = self.expr(scope)?;
        let annotations = self
            .sentences(&expr, links)?
            .into_iter()
            .map(|(name, sentence)| Ok((name.to_owned(), sentence.annotation(&expr)?)))
            .collect::<Result<_>>()?;
        let mut rule = vec![("alert", Yaml::plain(self.name)), ("expr", Yaml::Block(expr.text))];
        if !self.wait.is_zero() {
            rule.push(("for", Yaml::plain(duration(self.wait))));
        }
        rule.push(("labels", Yaml::Texts(self.added_labels())));
        rule.push(("annotations", Yaml::Texts(annotations)));
        Ok(Yaml::Map(rule))
    }

    /// The annotations when the alert fires for these labels (by their native names) with this value.
    pub(crate) fn filled(
        &self,
        of: &Rendered,
        links: &Links,
        labels: &BTreeMap<String, String>,
        value: f64,
    ) -> Result<Vec<(String, String)>> {
        let filled = |(name, sentence): (&str, Sentence)| (name.to_owned(), sentence.filled(labels, value));
        Ok(self.sentences(of, links)?.into_iter().map(filled).collect())
    }
}
