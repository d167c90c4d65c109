//! What the encoder is told about a metric, and what it is given for histograms and summaries.

use thiserror::Error;

/// What a family's values mean. OpenTelemetry's names map onto these: a monotonic sum is a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Only grows, and starts again at 0. Its name should end in `_total`; OpenMetrics calls it `unknown` otherwise,
    /// because there a counter without that suffix makes Prometheus refuse the page.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts per upper bound; see [`Histogram`].
    Histogram,
    /// Values at quantiles; see [`Summary`].
    Summary,
    /// Not known: `untyped` in text 0.0.4.
    Unknown,
}

/// One metric: its name, what it says, its kind and unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// The full Prometheus name, with `_total` for counters.
    pub name: &'a str,
    /// One sentence; any text, escaped when it is written. Empty: no HELP line.
    pub help: &'a str,
    /// What the values mean.
    pub kind: Kind,
    /// The unit's Prometheus name, such as `bytes`. Only OpenMetrics and protobuf carry it, and only if the name
    /// (without `_total`) ends in `_` and the unit: anything else makes Prometheus refuse the page.
    pub unit: Option<&'a str>,
}

impl<'a> Family<'a> {
    /// A family without a unit.
    #[must_use]
    pub const fn new(name: &'a str, help: &'a str, kind: Kind) -> Self {
        Self { name, help, kind, unit: None }
    }

    /// The same with a unit.
    #[must_use]
    pub const fn with_unit(self, unit: &'a str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The name without `_total` if this is a counter: what OpenMetrics calls the metric family.
    pub(crate) fn base_name(&self) -> &'a str {
        match (self.kind, self.name.strip_suffix("_total")) {
            (Kind::Counter, Some(base)) if !base.is_empty() => base,
            _ => self.name,
        }
    }

    /// The unit if `base`, the name of the metric family, ends in it.
    pub(crate) fn unit_of(&self, base: &str) -> Option<&'a str> {
        let unit = self.unit.filter(|unit| !unit.is_empty())?;
        base.strip_suffix(unit)?.ends_with('_').then_some(unit)
    }

    /// Every name that a sample of the family can have.
    pub(crate) fn sample_names(&self) -> impl Iterator<Item = String> {
        let suffixes: &[&str] = match self.kind {
            Kind::Histogram => &["", "_bucket", "_sum", "_count"],
            Kind::Summary => &["", "_sum", "_count"],
            Kind::Counter | Kind::Gauge | Kind::Unknown => &[""],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.name))
    }
}

/// Why a family was refused. Its samples are then passed over, and the rest of the page is whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FamilyError {
    /// The name is outside `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    #[error("failed to write metric {name:?}: not a legal metric name; pass it through sanitize_metric_name")]
    InvalidName {
        /// The name as it was given.
        name: String,
    },
    /// The page has samples of that name already.
    #[error(
        "failed to write metric {name:?}: the page has samples of that name already; write each metric once"
    )]
    Duplicate {
        /// The name as it was given.
        name: String,
    },
    /// [`Encoder::finish`](crate::Encoder::finish) was called before.
    #[error("failed to write metric {name:?}: the page is finished; start another encoder")]
    Finished {
        /// The name as it was given.
        name: String,
    },
}

/// A classic histogram's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    /// Upper bounds, rising, each with the number of observations at or below it. The `+Inf` bucket may be left out.
    pub buckets: &'a [(f64, u64)],
    /// The sum of all observations.
    pub sum: f64,
    /// The number of all observations.
    pub count: u64,
}

impl Histogram<'_> {
    /// The buckets with `+Inf` behind them, whose count is that of all observations.
    pub(crate) fn closed_buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let finite = self.buckets.iter().copied().filter(|(bound, _)| *bound != f64::INFINITY);
        finite.chain([(f64::INFINITY, self.count)])
    }
}

/// A summary's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary<'a> {
    /// Quantiles (0 to 1) with the value at each.
    pub quantiles: &'a [(f64, f64)],
    /// The sum of all observations.
    pub sum: f64,
    /// The number of all observations.
    pub count: u64,
}
