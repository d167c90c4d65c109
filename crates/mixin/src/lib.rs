//! Dashboards, rules and alerts as values built from [`MetricDef`](metric_schema::MetricDef)s.
//!
//! An [`Expr`] is a PromQL expression that refers to rows, never to names in strings. It is built once and
//! [rendered](Expr::render) for a [`Scope`]: a [`Profile`] of names and labels, and the matchers that every selector
//! carries (`job=~"$job", instance=~"$instance"` on a dashboard, none in an alert).
//!
//! ```
//! use metric_schema::{MetricDef, Unit};
//! use mixin::{Metric, Scope, Window};
//!
//! const CPU: MetricDef = MetricDef::counter("container.cpu.usage", Unit::Seconds, "cpu", "CPU time used.");
//! let cpu = Metric::of(&CPU).identified(&["container_name"]);
//!
//! let used = cpu.rate(Window::Interval).sum_by(&["instance", "container_name"]);
//! let query = used.render(&Scope::dashboard()).expect("every label is one of the metric's");
//! assert_eq!(
//!     query.text,
//!     r#"sum(rate(container_cpu_usage_seconds_total{job=~"$job", instance=~"$instance"}[$__rate_interval])) by (instance, container_name)"#,
//! );
//!
//! // What is misspelt is found when the files are written, not by whoever looks at an empty panel.
//! let wrong = cpu.rate(Window::Interval).sum_by(&["container"]);
//! assert!(wrong.render(&Scope::dashboard()).is_err());
//! ```
//!
//! Which series an expression yields is known: [`Rendered::labels`]. So `by`, `on`, legends and the templates of alerts are
//! checked against it ([`Rendered::template`]).
//!
//! A profile may lack a name or a label. Then the error [is one](Error::is_unanswerable) that lets a caller leave the panel or
//! the alert out and say why; every other error is a mistake in the expression. [`Expr::or_else`] offers another way to ask.

mod alert;
pub mod dashboard;
mod error;
mod expr;
mod metric;
mod profile;
mod promtool;
mod render;
mod rules;
mod runbook;
mod setting;
#[cfg(test)]
mod tests;
mod text;
mod trial;
mod yaml;

pub use alert::{Alert, Link, Links, Severity};
pub use error::{Error, Result};
pub use expr::{Expr, Matching, Op, Selector, Window, number, scalar_time, vector};
pub use metric::{Metric, Series, target};
pub use profile::{Match, Matcher, Profile, Scope};
pub use promtool::{Test, TestFile};
pub use render::{Labels, Rendered};
pub use rules::{Recording, RuleGroup, rule_file};
pub use runbook::{Runbook, Step};
pub use setting::{Chosen, Setting, duration, parse_duration};
pub use text::Sentence;
pub use trial::{About, Signal, Trial, above, below, far_above};

/// The example of the README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
