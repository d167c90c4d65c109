//! Recording rules, and files of rules.

use metric_schema::MetricDef;

use crate::alert::{Alert, Links};
use crate::error::Result;
use crate::expr::Expr;
use crate::profile::Scope;
use crate::promtool::Test;
use crate::render::Rendered;
use crate::trial::{self, Signal};
use crate::yaml::Yaml;

/// A recording rule. Its name is `level:metric:operation`, made of what it records.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct Recording {
    /// What one series is about, such as `container` or `instance`.
    pub level: &'static str,
    /// The metric, or two of which the first is divided by the second.
    pub metrics: (&'static MetricDef, Option<&'static MetricDef>),
    /// What is done with it, such as `rate5m`, `sum` or `ratio_rate5m`.
    pub operation: &'static str,
    /// The expression.
    pub expr: Expr,
    /// What it is good for, in one sentence.
    pub help: &'static str,
    /// Series of each of two containers, and the value of every series that is then recorded.
    pub shown: (Vec<Signal>, f64),
}

impl Recording {
    /// Of one metric.
    pub const fn new(
        level: &'static str,
        metric: &'static MetricDef,
        operation: &'static str,
        expr: Expr,
        help: &'static str,
    ) -> Self {
        Self { level, metrics: (metric, None), operation, expr, help, shown: (Vec::new(), 0.0) }
    }

    /// How it is tested: where two containers each have these series, as they are while all is well, every series that it records has
    /// this value.
    pub fn shows(mut self, value: f64, signals: Vec<Signal>) -> Self {
        self.shown = (signals, value);
        self
    }

    /// Of a metric divided by another.
    pub const fn per(mut self, metric: &'static MetricDef) -> Self {
        self.metrics.1 = Some(metric);
        self
    }

    /// The name: native metric names whatever the profile, so that what asks for it need not change.
    #[must_use]
    pub fn name(&self) -> String {
        let stem = |def: &MetricDef| {
            let name = def.prometheus_name();
            name.strip_suffix("_total").map_or(name.clone(), str::to_owned)
        };
        let (of, per) = self.metrics;
        let per = per.map_or_else(String::new, |per| format!("_per_{}", stem(per)));
        format!("{}:{}{per}:{}", self.level, stem(of), self.operation)
    }

    /// The expression, written for a profile.
    ///
    /// # Errors
    ///
    /// As [`Expr::render`].
    pub fn render(&self, scope: &Scope) -> Result<Rendered> {
        self.expr.render(scope)
    }

    /// Its test.
    ///
    /// # Errors
    ///
    /// As [`Recording::render`], and where a signal leaves a label of its row open.
    pub fn test(&self, scope: &Scope) -> Result<Test> {
        let (signals, value) = &self.shown;
        let name = self.name();
        let recorded = trial::steady(Test::new(name.as_str()), signals, &self.render(scope)?, scope)?;
        let (test, labels) = recorded;
        let samples: Vec<(String, f64)> =
            labels.iter().map(|labels| (format!("{name}{labels}"), *value)).collect();
        let samples: Vec<(&str, f64)> = samples.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        Ok(test.query(trial::STEADY_MINUTE, name.as_str(), &samples))
    }

    fn rule(&self, scope: &Scope) -> Result<Yaml> {
        Ok(Yaml::Map(vec![
            ("record", Yaml::plain(self.name())),
            ("expr", Yaml::Block(self.render(scope)?.text)),
        ]))
    }
}

/// A group of rules, which Prometheus evaluates one after the other.
#[derive(Debug, Clone)]
#[must_use]
pub struct RuleGroup {
    name: String,
    interval: Option<&'static str>,
    rules: Vec<Yaml>,
}

impl RuleGroup {
    /// An empty group.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), interval: None, rules: Vec::new() }
    }

    /// Evaluated at this interval, such as `30s`, instead of the server's.
    pub const fn every(mut self, interval: &'static str) -> Self {
        self.interval = Some(interval);
        self
    }

    /// One more alert.
    ///
    /// # Errors
    ///
    /// One that [is unanswerable](crate::Error::is_unanswerable) where the profile lacks a name or a label: the alert is then to be
    /// left out; any other is a mistake in its definition.
    pub fn alert(&mut self, alert: &Alert, scope: &Scope, links: &Links) -> Result<()> {
        self.rules.push(alert.rule(scope, links)?);
        Ok(())
    }

    /// One more recording rule.
    ///
    /// # Errors
    ///
    /// As [`Recording::render`].
    pub fn record(&mut self, recording: &Recording, scope: &Scope) -> Result<()> {
        self.rules.push(recording.rule(scope)?);
        Ok(())
    }

    /// Whether it has no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn yaml(self) -> Yaml {
        let mut group = vec![("name", Yaml::plain(self.name))];
        group.extend(self.interval.map(|interval| ("interval", Yaml::plain(interval))));
        group.push(("rules", Yaml::List(self.rules)));
        Yaml::Map(group)
    }
}

/// A file of rules for `rule_files`; groups without rules are left away.
#[must_use]
pub fn rule_file(comment: &str, groups: impl IntoIterator<Item = RuleGroup>) -> String {
    let groups = groups.into_iter().filter(|group| !group.is_empty()).map(RuleGroup::yaml);
    Yaml::Map(vec![("groups", Yaml::List(groups.collect()))]).document(comment)
}
