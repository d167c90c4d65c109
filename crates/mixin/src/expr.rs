//! PromQL expressions as values.

use crate::metric::{Metric, Series};
use crate::profile::Match;

/// The window of a function over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Grafana's `$__rate_interval`: at least four scrapes, and no finer than the screen shows. For dashboards.
    Interval,
    /// Grafana's `$__range`: all that the dashboard shows.
    Range,
    /// Always the same, such as `5m`.
    Fixed(&'static str),
}

impl Window {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Interval => "$__rate_interval",
            Self::Range => "$__range",
            Self::Fixed(text) => text,
        }
    }
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as it is spoken")]
pub enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    And,
    Or,
    Unless,
}

impl Op {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// How closely it binds.
    pub(crate) const fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Greater
            | Self::GreaterOrEqual
            | Self::Less
            | Self::LessOrEqual
            | Self::Equal
            | Self::NotEqual => 3,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide => 5,
        }
    }

    pub(crate) const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// Which series of both sides belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matching {
    /// Those with the same labels: both sides must have the same label names.
    Same,
    /// Those that agree on these labels.
    On(Vec<&'static str>),
    /// Those that agree on `on`; many of the left side share one of the right side, of which they take the labels `copied`.
    ManyToOne {
        /// What they agree on.
        on: Vec<&'static str>,
        /// What is copied.
        copied: Vec<&'static str>,
    },
}

/// A metric with matchers, not yet asked anything.
#[derive(Debug, Clone)]
#[must_use]
pub struct Selector {
    pub(crate) metric: Metric,
    pub(crate) series: Series,
    pub(crate) matchers: Vec<(&'static str, Match, String)>,
}

impl Selector {
    pub(crate) const fn new(metric: Metric, series: Series) -> Self {
        Self { metric, series, matchers: Vec::new() }
    }

    fn matching(mut self, label: &'static str, op: Match, value: impl Into<String>) -> Self {
        self.matchers.push((label, op, value.into()));
        self
    }

    /// Only series whose label is this.
    pub fn eq(self, label: &'static str, value: impl Into<String>) -> Self {
        self.matching(label, Match::Equal, value)
    }

    /// Only series whose label is another.
    pub fn ne(self, label: &'static str, value: impl Into<String>) -> Self {
        self.matching(label, Match::NotEqual, value)
    }

    /// Only series whose label matches.
    pub fn re(self, label: &'static str, pattern: impl Into<String>) -> Self {
        self.matching(label, Match::Regex, pattern)
    }

    /// Only series whose label does not match.
    pub fn not_re(self, label: &'static str, pattern: impl Into<String>) -> Self {
        self.matching(label, Match::NotRegex, pattern)
    }

    /// The value now.
    #[must_use]
    pub fn now(self) -> Expr {
        Expr(Node::Select(self))
    }

    fn over(self, function: &'static str, window: Window, after: Option<f64>) -> Expr {
        Expr(Node::Over { function, selector: self, window, after })
    }

    /// How fast a counter rises, per second.
    #[must_use]
    pub fn rate(self, window: Window) -> Expr {
        self.over("rate", window, None)
    }

    /// By how much a counter rose.
    #[must_use]
    pub fn increase(self, window: Window) -> Expr {
        self.over("increase", window, None)
    }

    /// How often a value changed.
    #[must_use]
    pub fn changes(self, window: Window) -> Expr {
        self.over("changes", window, None)
    }

    /// The greatest value in the window.
    #[must_use]
    pub fn max_over_time(self, window: Window) -> Expr {
        self.over("max_over_time", window, None)
    }

    /// The least value in the window.
    #[must_use]
    pub fn min_over_time(self, window: Window) -> Expr {
        self.over("min_over_time", window, None)
    }

    /// The mean value in the window.
    #[must_use]
    pub fn avg_over_time(self, window: Window) -> Expr {
        self.over("avg_over_time", window, None)
    }

    /// What a gauge will be so many seconds from now if it goes on as in the window.
    #[must_use]
    pub fn predict_linear(self, window: Window, seconds: f64) -> Expr {
        self.over("predict_linear", window, Some(seconds))
    }

    /// 1 where no series matches.
    #[must_use]
    pub fn absent(self) -> Expr {
        Expr(Node::Absent(self))
    }
}

/// A PromQL expression.
#[derive(Debug, Clone)]
pub struct Expr(pub(crate) Node);

/// What an expression is made of.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Number(f64),
    Vector(f64),
    Time,
    Select(Selector),
    Absent(Selector),
    Over {
        function: &'static str,
        selector: Selector,
        window: Window,
        after: Option<f64>,
    },
    /// Series that a recording rule made.
    Recorded {
        name: String,
        labels: Vec<&'static str>,
    },
    Call {
        function: &'static str,
        before: Option<f64>,
        inner: Box<Expr>,
        after: Option<f64>,
    },
    Aggregate {
        function: &'static str,
        parameter: Option<f64>,
        by: Option<Vec<&'static str>>,
        inner: Box<Expr>,
    },
    Binary {
        op: Op,
        left: Box<Expr>,
        right: Box<Expr>,
        matching: Matching,
    },
    Either(Box<Expr>, Box<Expr>),
}

impl From<f64> for Expr {
    fn from(number: f64) -> Self {
        Self(Node::Number(number))
    }
}

impl From<Metric> for Expr {
    fn from(metric: Metric) -> Self {
        metric.now()
    }
}

/// A number.
#[must_use]
pub fn number(number: f64) -> Expr {
    number.into()
}

/// The time of evaluation in seconds since 1970.
#[must_use]
pub const fn scalar_time() -> Expr {
    Expr(Node::Time)
}

/// One series without labels of this value.
#[must_use]
pub const fn vector(value: f64) -> Expr {
    Expr(Node::Vector(value))
}

impl Expr {
    /// Series that a recording rule makes, with the labels that they carry.
    #[must_use]
    pub fn recorded(name: impl Into<String>, labels: &[&'static str]) -> Self {
        Self(Node::Recorded { name: name.into(), labels: labels.to_vec() })
    }

    fn aggregate(self, function: &'static str, parameter: Option<f64>, by: Option<&[&'static str]>) -> Self {
        Self(Node::Aggregate { function, parameter, by: by.map(<[_]>::to_vec), inner: Box::new(self) })
    }

    /// The sum of all series.
    #[must_use]
    pub fn sum(self) -> Self {
        self.aggregate("sum", None, None)
    }

    /// The sums by labels.
    #[must_use]
    pub fn sum_by(self, labels: &[&'static str]) -> Self {
        self.aggregate("sum", None, Some(labels))
    }

    /// The greatest by labels.
    #[must_use]
    pub fn max_by(self, labels: &[&'static str]) -> Self {
        self.aggregate("max", None, Some(labels))
    }

    /// The least by labels.
    #[must_use]
    pub fn min_by(self, labels: &[&'static str]) -> Self {
        self.aggregate("min", None, Some(labels))
    }

    /// The means by labels.
    #[must_use]
    pub fn avg_by(self, labels: &[&'static str]) -> Self {
        self.aggregate("avg", None, Some(labels))
    }

    /// How many series there are, by labels.
    #[must_use]
    pub fn count_by(self, labels: &[&'static str]) -> Self {
        self.aggregate("count", None, Some(labels))
    }

    /// The greatest of all series.
    #[must_use]
    pub fn max(self) -> Self {
        self.aggregate("max", None, None)
    }

    /// How many series there are.
    #[must_use]
    pub fn count(self) -> Self {
        self.aggregate("count", None, None)
    }

    /// The series with the greatest values. For tables and graphs, not for alerts.
    #[must_use]
    pub fn topk(self, count: u16) -> Self {
        self.aggregate("topk", Some(f64::from(count)), None)
    }

    fn call(self, function: &'static str, before: Option<f64>, after: Option<f64>) -> Self {
        Self(Node::Call { function, before, inner: Box::new(self), after })
    }

    /// A quantile of buckets; the label `le` goes.
    #[must_use]
    pub fn histogram_quantile(self, quantile: f64) -> Self {
        self.call("histogram_quantile", Some(quantile), None)
    }

    /// Not above this.
    #[must_use]
    pub fn clamp_max(self, most: f64) -> Self {
        self.call("clamp_max", None, Some(most))
    }

    /// Not below this.
    #[must_use]
    pub fn clamp_min(self, least: f64) -> Self {
        self.call("clamp_min", None, Some(least))
    }

    /// The greatest first.
    #[must_use]
    pub fn sort_desc(self) -> Self {
        self.call("sort_desc", None, None)
    }

    /// Both sides joined by an operator.
    #[must_use]
    pub fn binary(self, op: Op, right: impl Into<Self>, matching: Matching) -> Self {
        Self(Node::Binary { op, left: Box::new(self), right: Box::new(right.into()), matching })
    }

    /// `+`
    #[must_use]
    pub fn plus(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Add, right, Matching::Same)
    }

    /// `-`
    #[must_use]
    pub fn minus(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Subtract, right, Matching::Same)
    }

    /// `*`
    #[must_use]
    pub fn times(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Multiply, right, Matching::Same)
    }

    /// `/`, which yields NaN or infinity where the right side is 0; see [`per`](Self::per).
    #[must_use]
    pub fn over(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Divide, right, Matching::Same)
    }

    /// `/` where the right side is above 0, and nothing elsewhere.
    #[must_use]
    pub fn per(self, right: impl Into<Self>) -> Self {
        self.over(right.into().gt(0.0))
    }

    /// As [`per`](Self::per), of series that agree on these labels.
    #[must_use]
    pub fn per_on(self, labels: &[&'static str], right: impl Into<Self>) -> Self {
        self.binary(Op::Divide, right.into().gt(0.0), Matching::On(labels.to_vec()))
    }

    /// Keeps what is above.
    #[must_use]
    pub fn gt(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Greater, right, Matching::Same)
    }

    /// Keeps what is below.
    #[must_use]
    pub fn lt(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Less, right, Matching::Same)
    }

    /// Keeps what is equal.
    #[must_use]
    pub fn equal(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Equal, right, Matching::Same)
    }

    /// Keeps what is another.
    #[must_use]
    pub fn not_equal(self, right: impl Into<Self>) -> Self {
        self.binary(Op::NotEqual, right, Matching::Same)
    }

    /// Keeps series for which the right side has one that agrees on these labels.
    #[must_use]
    pub fn and_on(self, labels: &[&'static str], right: impl Into<Self>) -> Self {
        self.binary(Op::And, right, Matching::On(labels.to_vec()))
    }

    /// Keeps series for which the right side has none that agrees on these labels.
    #[must_use]
    pub fn unless_on(self, labels: &[&'static str], right: impl Into<Self>) -> Self {
        self.binary(Op::Unless, right, Matching::On(labels.to_vec()))
    }

    /// The series of both; where both have one with the same labels, that of the left side.
    #[must_use]
    pub fn or(self, right: impl Into<Self>) -> Self {
        self.binary(Op::Or, right, Matching::Same)
    }

    /// With labels of an info metric, whose value is 1: `self * on (on) group_left (copied) info`.
    #[must_use]
    pub fn with_info(self, on: &[&'static str], copied: &[&'static str], info: Self) -> Self {
        let matching = Matching::ManyToOne { on: on.to_vec(), copied: copied.to_vec() };
        self.binary(Op::Multiply, info, matching)
    }

    /// The other expression where a profile cannot answer this one.
    #[must_use]
    pub fn or_else(self, other: Self) -> Self {
        Self(Node::Either(Box::new(self), Box::new(other)))
    }
}
