//! Dashboards for Grafana as values.
//!
//! A [`Dashboard`] has sections of [`Panel`]s; [`Dashboard::build`] writes it under a [`Profile`](crate::Profile) as the JSON of Grafana's classic
//! model, which file provisioning takes. Positions, ids and references of queries are computed. What a profile cannot answer is
//! left out, with its reason, and the others close up.
//!
//! ```
//! use metric_schema::{MetricDef, Unit};
//! use mixin::dashboard::{Dashboard, Panel, Query, Section, Shown};
//! use mixin::{Metric, Profile, Window, target};
//!
//! const REQUESTS: MetricDef =
//!     MetricDef::counter("shop.requests", Unit::Count("{request}"), "http", "Requests answered.");
//! let requests = Metric::of(&REQUESTS);
//!
//! let dashboard = Dashboard::new("shop", "Shop", "What the shop does.")
//!     .targets(Metric::of(&target::UP))
//!     .section(Section::top([Panel::graph("Requests", "How many requests are answered.")
//!         .query(Query::new(requests.rate(Window::Interval).sum_by(&["instance"]), "{instance}"))
//!         .shown(Shown::RequestsPerSecond)]));
//! let built = dashboard.build(Profile::NATIVE).expect("no mistakes");
//! assert!(built.json.contains(r#""title": "Requests""#));
//! assert_eq!(built.queries.len(), 1);
//! ```

mod build;
mod json;
mod layout;
mod options;
mod panel;
mod table;
#[cfg(test)]
mod tests;
mod unit;

pub use panel::{DataLink, Mapping, Panel, Query};
pub use unit::{Color, Shown};

use crate::error::Error;
use crate::expr::Expr;
use crate::metric::Metric;

/// A variable that a user chooses at the top of a dashboard.
#[derive(Debug, Clone)]
pub struct Variable {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) metric: Metric,
    pub(crate) label: &'static str,
}

impl Variable {
    /// The values of a (native) label of a metric, as far as the variables before it allow.
    #[must_use]
    pub const fn new(name: &'static str, title: &'static str, metric: Metric, label: &'static str) -> Self {
        Self { name, title, metric, label }
    }
}

/// Marks on all graphs: each time that the expression yields a series.
#[derive(Debug, Clone)]
pub struct Annotation {
    /// What it is called at the top.
    pub name: &'static str,
    /// Yields a series when it happens.
    pub expr: Expr,
    /// A template over its labels.
    pub text: &'static str,
    /// The colour of the mark.
    pub color: Color,
}

/// Panels under one heading.
#[derive(Debug, Clone)]
pub struct Section {
    pub(crate) title: Option<String>,
    pub(crate) collapsed: bool,
    pub(crate) panels: Vec<Panel>,
}

impl Section {
    /// The panels of the first screen, without a heading.
    #[must_use]
    pub fn top(panels: impl IntoIterator<Item = Panel>) -> Self {
        Self { title: None, collapsed: false, panels: panels.into_iter().collect() }
    }

    /// Panels under a heading.
    #[must_use]
    pub fn open(title: impl Into<String>, panels: impl IntoIterator<Item = Panel>) -> Self {
        Self { title: Some(title.into()), ..Self::top(panels) }
    }

    /// Panels behind a heading: they are asked for when it is opened.
    #[must_use]
    pub fn collapsed(title: impl Into<String>, panels: impl IntoIterator<Item = Panel>) -> Self {
        Self { collapsed: true, ..Self::open(title, panels) }
    }
}

/// A dashboard.
#[derive(Debug, Clone)]
#[must_use]
pub struct Dashboard {
    pub(crate) uid: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) siblings: Option<(&'static str, &'static str)>,
    pub(crate) refresh: &'static str,
    pub(crate) from: &'static str,
    pub(crate) variables: Vec<Variable>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) sections: Vec<Section>,
}

impl Dashboard {
    /// A dashboard without panels. The uid is what links and provisioning know it by: readable, at most 40 characters.
    pub const fn new(uid: &'static str, title: &'static str, description: &'static str) -> Self {
        Self {
            uid,
            title,
            description,
            tags: Vec::new(),
            siblings: None,
            refresh: "30s",
            from: "now-1h",
            variables: Vec::new(),
            annotations: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// What links and provisioning know it by.
    #[must_use]
    pub const fn uid(&self) -> &'static str {
        self.uid
    }

    /// Adds tags.
    pub fn tags(mut self, tags: &[&'static str]) -> Self {
        self.tags.extend(tags);
        self
    }

    /// A menu of all dashboards with this tag, which keeps variables and time.
    pub const fn siblings(mut self, title: &'static str, tag: &'static str) -> Self {
        self.siblings = Some((title, tag));
        self
    }

    /// How often it asks again.
    pub const fn refresh(mut self, refresh: &'static str) -> Self {
        self.refresh = refresh;
        self
    }

    /// How far back it shows, such as `now-15m`.
    pub const fn from(mut self, from: &'static str) -> Self {
        self.from = from;
        self
    }

    /// The variables `job` and `instance`: the targets that serve this metric.
    pub fn targets(self, metric: Metric) -> Self {
        self.variable(Variable::new("job", "Job", metric, "job"))
            .variable(Variable::new("instance", "Instance", metric, "instance"))
    }

    /// Adds a variable.
    pub fn variable(mut self, variable: Variable) -> Self {
        self.variables.push(variable);
        self
    }

    /// Adds marks.
    pub fn annotation(mut self, annotation: Annotation) -> Self {
        self.annotations.push(annotation);
        self
    }

    /// Adds panels.
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }
}

/// A query as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltQuery {
    /// The panel.
    pub panel: String,
    /// The PromQL, with Grafana's variables.
    pub text: String,
    /// Whether it is asked for as soon as the dashboard is opened.
    pub first_screen: bool,
    /// Whether it asks for the values of now only, and not for those over the time that is shown.
    pub instant: bool,
    /// The native names of the metrics that it asks for.
    pub metrics: std::collections::BTreeSet<String>,
}

/// A dashboard written for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Built {
    /// The file.
    pub json: String,
    /// How many panels it has; 0 means that the profile can answer nothing of it.
    pub panels: usize,
    /// Its queries.
    pub queries: Vec<BuiltQuery>,
    /// The native names of the metrics that it asks for.
    pub metrics: std::collections::BTreeSet<String>,
    /// Panels and queries that the profile cannot answer.
    pub left_out: Vec<(String, Error)>,
}

/// A mistake, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to write {place}: {source}")]
pub struct Mistake {
    /// The dashboard and panel.
    pub place: String,
    /// What is wrong.
    pub source: Error,
}
