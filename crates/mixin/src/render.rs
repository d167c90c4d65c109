//! From an expression to PromQL, with the labels of what it yields.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use metric_schema::{Instrument, Values};

use crate::error::{Error, Result};
use crate::expr::{Expr, Matching, Node, Op, Selector};
use crate::metric::{Metric, Series, TARGET_LABELS};
use crate::profile::{Match, Profile, Scope};

/// Label names, by their native names.
pub type Labels = BTreeSet<&'static str>;

/// An expression written for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendered {
    /// The PromQL.
    pub text: String,
    /// The labels that the series which it yields can have; `None` of a scalar.
    pub labels: Option<Labels>,
    /// The native names of the metrics that it asks for.
    pub metrics: BTreeSet<String>,
    profile: Profile,
}

/// The binding of what is no binary expression.
const TIGHT: u8 = 10;

/// Text while it is being put together.
struct Part {
    text: String,
    labels: Option<Labels>,
    precedence: u8,
}

impl Part {
    const fn tight(text: String, labels: Option<Labels>) -> Self {
        Self { text, labels, precedence: TIGHT }
    }
}

impl Expr {
    /// Writes the expression for a scope.
    ///
    /// # Errors
    ///
    /// One that [is unanswerable](Error::is_unanswerable) where the profile lacks a name or a label; any other is a mistake in
    /// the expression.
    pub fn render(&self, scope: &Scope) -> Result<Rendered> {
        let mut renderer = Renderer { scope, metrics: BTreeSet::new() };
        let part = renderer.expr(self)?;
        Ok(Rendered {
            text: part.text,
            labels: part.labels,
            metrics: renderer.metrics,
            profile: scope.profile,
        })
    }
}

impl Rendered {
    /// A template over the labels: each `{label}` becomes what `shown` makes of the label's name under the profile; what stands in
    /// double braces stays as it is.
    ///
    /// # Errors
    ///
    /// As [`Expr::render`], for a label that the series do not have.
    pub fn template(&self, template: &str, shown: impl Fn(&str) -> String) -> Result<String> {
        let mut out = String::with_capacity(template.len() + 16);
        let mut rest = template;
        let unclosed = || Error::Template(template.to_owned());
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            rest = &rest[open..];
            if rest.starts_with("{{") {
                let end = rest.find("}}").ok_or_else(unclosed)? + 2;
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            } else {
                let end = rest.find('}').ok_or_else(unclosed)?;
                let label = &rest[1..end];
                let labels = self.labels.clone().unwrap_or_default();
                let known =
                    check_label(&labels, label, || format!("the template {template:?} of {}", self.text))?;
                out.push_str(&shown(here(&self.profile, known)?));
                rest = &rest[end + 1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// A legend as Grafana has it: `{container_name}` becomes `{{container_name}}`, or what the profile calls it.
    ///
    /// # Errors
    ///
    /// As [`template`](Self::template).
    pub fn legend(&self, template: &str) -> Result<String> {
        self.template(template, |label| format!("{{{{{label}}}}}"))
    }

    /// A sentence of an alert: `{container_name}` becomes `{{ $labels.container_name }}`, or what the profile calls it.
    ///
    /// # Errors
    ///
    /// As [`template`](Self::template).
    pub fn annotation(&self, template: &str) -> Result<String> {
        self.template(template, |label| format!("{{{{ $labels.{label} }}}}"))
    }

    /// What a label is called under the profile, if the series have it.
    ///
    /// # Errors
    ///
    /// As [`template`](Self::template).
    pub fn label(&self, native: &str) -> Result<&'static str> {
        let labels = self.labels.clone().unwrap_or_default();
        here(&self.profile, check_label(&labels, native, || self.text.clone())?)
    }
}

fn check_label(labels: &Labels, label: &str, place: impl FnOnce() -> String) -> Result<&'static str> {
    labels.get(label).copied().ok_or_else(|| Error::UnknownLabel {
        label: label.to_owned(),
        place: place(),
        known: joined(labels),
    })
}

fn here(profile: &Profile, native: &'static str) -> Result<&'static str> {
    profile.label(native).ok_or_else(|| Error::NoLabel { profile: profile.name, label: native.to_owned() })
}

fn joined(labels: &Labels) -> String {
    if labels.is_empty() {
        return "no labels".to_owned();
    }
    labels.iter().copied().collect::<Vec<_>>().join(", ")
}

fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "Inf" } else { "-Inf" }.to_owned(),
        _ => value.to_string(),
    }
}

struct Renderer<'a> {
    scope: &'a Scope,
    metrics: BTreeSet<String>,
}

impl Renderer<'_> {
    fn expr(&mut self, expr: &Expr) -> Result<Part> {
        match &expr.0 {
            Node::Number(value) => Ok(Part::tight(number(*value), None)),
            Node::Vector(value) => {
                Ok(Part::tight(format!("vector({})", number(*value)), Some(Labels::new())))
            }
            Node::Time => Ok(Part::tight("time()".to_owned(), None)),
            Node::Select(selector) => {
                check_function(NOW, selector)?;
                let (text, labels) = self.selector(selector)?;
                Ok(Part::tight(text, Some(labels)))
            }
            Node::Absent(selector) => {
                let (text, _) = self.selector(selector)?;
                let fixed = selector.matchers.iter().filter(|(_, op, _)| *op == Match::Equal);
                Ok(Part::tight(format!("absent({text})"), Some(fixed.map(|(label, _, _)| *label).collect())))
            }
            Node::Over { function, selector, window, after } => {
                check_function(function, selector)?;
                let (text, labels) = self.selector(selector)?;
                let after = after.map_or_else(String::new, |value| format!(", {}", number(value)));
                Ok(Part::tight(format!("{function}({text}[{}]{after})", window.text()), Some(labels)))
            }
            Node::Recorded { name, labels } => Ok(self.recorded(name, labels)),
            Node::Call { function, before, inner, after } => self.call(function, *before, inner, *after),
            Node::Aggregate { function, parameter, by, inner } => {
                self.aggregate(function, *parameter, by.as_deref(), inner)
            }
            Node::Binary { op, left, right, matching } => self.binary(*op, left, right, matching),
            Node::Either(first, second) => {
                let before = self.metrics.clone();
                match self.expr(first) {
                    Err(error) if error.is_unanswerable() => {
                        self.metrics = before;
                        self.expr(second)
                    }
                    answered => answered,
                }
            }
        }
    }

    /// The text of a selector and the labels of its series.
    fn selector(&mut self, selector: &Selector) -> Result<(String, Labels)> {
        let Selector { metric, series, matchers } = selector;
        let native = metric.name();
        let profile = &self.scope.profile;
        let (name, added) = if profile.is_native() {
            (native.clone(), &[][..])
        } else {
            let alias = metric.def.alias(profile.name);
            match alias {
                Some(alias) => (alias.name.to_owned(), alias.labels),
                None if profile.keeps(metric.def) => (native.clone(), &[][..]),
                None => return Err(Error::NoName { profile: profile.name, metric: native }),
            }
        };
        let mut labels = labels_of(metric, *series);
        let mut shown: Vec<String> = Vec::new();
        for (label, op, value) in &self.scope.matchers {
            if labels.contains(label) {
                shown.push(matcher_text(here(profile, label)?, *op, value));
            }
        }
        if !metric.identity.is_empty() {
            shown.extend(
                profile
                    .identified
                    .iter()
                    .map(|matcher| matcher_text(matcher.label, matcher.op, matcher.value)),
            );
        }
        for (label, value) in metric.def.labels.iter().chain(added) {
            shown.push(matcher_text(label, Match::Equal, value));
        }
        for (label, op, value) in matchers {
            let known = check_label(&labels, label, || format!("a selector of {native}"))?;
            check_value(metric, known, *op, value)?;
            shown.push(matcher_text(here(profile, known)?, *op, value));
        }
        labels.extend(added.iter().map(|(label, _)| *label));
        self.metrics.insert(native);
        let suffix = series.suffix();
        let braces = if shown.is_empty() { String::new() } else { format!("{{{}}}", shown.join(", ")) };
        Ok((format!("{name}{suffix}{braces}"), labels))
    }

    fn recorded(&self, name: &str, labels: &[&'static str]) -> Part {
        let labels: Labels = labels.iter().copied().collect();
        let shown: Vec<String> = self
            .scope
            .matchers
            .iter()
            .filter(|(label, _, _)| labels.contains(label))
            .map(|(label, op, value)| matcher_text(label, *op, value))
            .collect();
        let braces = if shown.is_empty() { String::new() } else { format!("{{{}}}", shown.join(", ")) };
        Part::tight(format!("{name}{braces}"), Some(labels))
    }

    fn call(
        &mut self,
        function: &str,
        before: Option<f64>,
        inner: &Expr,
        after: Option<f64>,
    ) -> Result<Part> {
        let part = self.expr(inner)?;
        let mut labels = part.labels;
        if function == "histogram_quantile"
            && let Some(labels) = &mut labels
        {
            check_label(labels, "le", || function.to_owned())?;
            labels.remove("le");
        }
        let before = before.map_or_else(String::new, |value| format!("{}, ", number(value)));
        let after = after.map_or_else(String::new, |value| format!(", {}", number(value)));
        Ok(Part::tight(format!("{function}({before}{}{after})", part.text), labels))
    }

    fn aggregate(
        &mut self,
        function: &str,
        parameter: Option<f64>,
        by: Option<&[&'static str]>,
        inner: &Expr,
    ) -> Result<Part> {
        let part = self.expr(inner)?;
        let inner_labels = part.labels.unwrap_or_default();
        let parameter = parameter.map_or_else(String::new, |value| format!("{}, ", number(value)));
        let mut text = format!("{function}({parameter}{})", part.text);
        let labels = match by {
            Some(by) => {
                let shown = self.label_list(by, &inner_labels, function)?;
                let _ = write!(text, " by ({shown})");
                by.iter().copied().collect()
            }
            None if function == "topk" => inner_labels,
            None => Labels::new(),
        };
        Ok(Part::tight(text, Some(labels)))
    }

    /// The names under the profile of labels that the series must have.
    fn label_list(&self, labels: &[&'static str], known: &Labels, place: &str) -> Result<String> {
        let mut shown = Vec::with_capacity(labels.len());
        for label in labels {
            let native = check_label(known, label, || place.to_owned())?;
            shown.push(here(&self.scope.profile, native)?);
        }
        Ok(shown.join(", "))
    }

    fn binary(&mut self, op: Op, left: &Expr, right: &Expr, matching: &Matching) -> Result<Part> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let modifier = self.modifier(op, &left.labels, &right.labels, matching)?;
        let labels = match (&left.labels, &right.labels, matching) {
            (None, other, _) | (other, None, _) => other.clone(),
            (Some(left), Some(right), Matching::Same) if op == Op::Or => Some(left & right),
            (Some(left), _, Matching::Same) => Some(left.clone()),
            (Some(left), _, Matching::On(_)) if op.is_set() => Some(left.clone()),
            (_, _, Matching::On(on)) => Some(on.iter().copied().collect()),
            (Some(left), _, Matching::ManyToOne { copied, .. }) => {
                Some(left.iter().chain(copied).copied().collect())
            }
        };
        let wrap = |part: Part, least: u8| {
            if part.precedence < least { format!("({})", part.text) } else { part.text }
        };
        let precedence = op.precedence();
        let text = format!(
            "{} {}{modifier} {}",
            wrap(left, precedence),
            op.text(),
            // Operators bind to the left.
            wrap(right, precedence + 1)
        );
        Ok(Part { text, labels, precedence })
    }

    fn modifier(
        &self,
        op: Op,
        left: &Option<Labels>,
        right: &Option<Labels>,
        matching: &Matching,
    ) -> Result<String> {
        let (Some(left), Some(right)) = (left, right) else { return Ok(String::new()) };
        let on = |labels: &[&'static str]| {
            self.label_list(labels, left, op.text())?;
            self.label_list(labels, right, op.text())
        };
        match matching {
            // A difference is meant only in `or`.
            Matching::Same if op == Op::Or => Ok(String::new()),
            Matching::Same => match left.symmetric_difference(right).next() {
                None => Ok(String::new()),
                Some(lone) => Err(Error::UnknownLabel {
                    label: (*lone).to_owned(),
                    place: format!("`{}` of series that match by all their labels", op.text()),
                    known: format!("{} on the left and {} on the right", joined(left), joined(right)),
                }),
            },
            Matching::On(labels) => Ok(format!(" on ({})", on(labels)?)),
            Matching::ManyToOne { on: labels, copied } => {
                let copied = self.label_list(copied, right, "group_left")?;
                Ok(format!(" on ({}) group_left ({copied})", on(labels)?))
            }
        }
    }
}

/// What stands for the value without a function.
const NOW: &str = "the bare value";

/// Counters and the series of histograms want `rate` or `increase`, gauges want anything else.
fn check_function(function: &'static str, selector: &Selector) -> Result<()> {
    let instrument = selector.metric.def.instrument;
    let rises = instrument == Instrument::Counter || selector.series != Series::Value;
    let reason = match (instrument == Instrument::Histogram, selector.series != Series::Value) {
        (true, false) => Some("a histogram has buckets, a sum and a count"),
        (false, true) => Some("it is no histogram"),
        _ => match (function, rises) {
            ("rate" | "increase", false) => Some("it is no counter"),
            ("rate" | "increase", true) | (_, false) => None,
            (_, true) => Some("a counter tells nothing without rate or increase"),
        },
    };
    match reason {
        None => Ok(()),
        Some(reason) => Err(Error::Meaningless { function, metric: selector.metric.name(), reason }),
    }
}

fn labels_of(metric: &Metric, series: Series) -> Labels {
    let own = metric.def.attributes.iter().map(|attribute| attribute.name);
    let fixed = metric.def.labels.iter().map(|(label, _)| *label);
    let le = (series == Series::Bucket).then_some("le");
    let around = TARGET_LABELS.iter().chain(metric.identity).chain(metric.extra).copied();
    around.chain(own).chain(fixed).chain(le).collect()
}

/// A closed set of values is known; a misspelt one would match nothing for ever.
fn check_value(metric: &Metric, label: &str, op: Match, value: &str) -> Result<()> {
    let attribute = metric.def.attributes.iter().find(|attribute| attribute.name == label);
    let Some(Values::Closed(known)) = attribute.map(|attribute| attribute.values) else { return Ok(()) };
    let asked: Vec<&str> = match op {
        Match::Equal | Match::NotEqual => vec![value],
        // Other patterns, and variables of a dashboard, are not understood here.
        Match::Regex | Match::NotRegex => {
            let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            value.split('|').filter(plain).collect()
        }
    };
    match asked.into_iter().find(|word| !known.contains(word)) {
        None => Ok(()),
        Some(word) => Err(Error::UnknownValue {
            metric: metric.name(),
            label: label.to_owned(),
            value: word.to_owned(),
            known: known.join(", "),
        }),
    }
}

fn matcher_text(label: &str, op: Match, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{label}{}\"{escaped}\"", op.operator())
}
