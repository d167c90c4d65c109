//! A row with the labels that its series carry.

use metric_schema::MetricDef;

use crate::{Expr, Selector, Window};

/// What Prometheus itself says of every target.
pub mod target {
    use metric_schema::{MetricDef, Unit};

    /// The group of these rows.
    pub const GROUP: &str = "target";

    /// 1 while the target answers.
    pub const UP: MetricDef =
        MetricDef::gauge("up", Unit::One, GROUP, "1 if the last scrape of the target succeeded, else 0.");
    /// How long a scrape takes.
    pub const SCRAPE_DURATION: MetricDef =
        MetricDef::gauge("scrape.duration", Unit::Seconds, GROUP, "How long the last scrape took.");
    /// How many samples a scrape brings.
    pub const SCRAPE_SAMPLES: MetricDef = MetricDef::gauge(
        "scrape.samples_scraped",
        Unit::Count("{sample}"),
        GROUP,
        "Samples that the last scrape brought.",
    );
    /// How many series a scrape brings that the one before did not have.
    pub const SCRAPE_SERIES_ADDED: MetricDef = MetricDef::gauge(
        "scrape.series_added",
        Unit::Count("{series}"),
        GROUP,
        "Series of the last scrape that the one before did not have, about.",
    );
    /// All of them.
    pub const ALL: [&MetricDef; 4] = [&UP, &SCRAPE_DURATION, &SCRAPE_SAMPLES, &SCRAPE_SERIES_ADDED];
}

/// The labels that Prometheus gives every series of a target.
pub(crate) const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// Which series of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Series {
    /// The metric's own.
    #[default]
    Value,
    /// The buckets of a histogram, with the label `le`.
    Bucket,
    /// The sum of a histogram.
    Sum,
    /// The count of a histogram.
    Count,
}

impl Series {
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}

/// A row with the labels that its series carry beside those of the row itself: what identifies their entity, and what its
/// exporter adds.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub(crate) def: &'static MetricDef,
    pub(crate) identity: &'static [&'static str],
    pub(crate) extra: &'static [&'static str],
}

impl Metric {
    /// A metric of the target itself: its labels are `job`, `instance` and the row's own.
    #[must_use]
    pub const fn of(def: &'static MetricDef) -> Self {
        Self { def, identity: &[], extra: &[] }
    }

    /// With the labels that identify whose number it is.
    #[must_use]
    pub const fn identified(mut self, labels: &'static [&'static str]) -> Self {
        self.identity = labels;
        self
    }

    /// With labels that the row does not name, such as those of an info metric.
    #[must_use]
    pub const fn with_labels(mut self, labels: &'static [&'static str]) -> Self {
        self.extra = labels;
        self
    }

    /// Its row.
    #[must_use]
    pub const fn def(&self) -> &'static MetricDef {
        self.def
    }

    /// Its native name.
    #[must_use]
    pub fn name(&self) -> String {
        self.def.prometheus_name()
    }

    /// A selector to which matchers can be added.
    pub const fn select(self) -> Selector {
        Selector::new(self, Series::Value)
    }

    /// A selector of a histogram's buckets, sum or count.
    pub const fn series(self, series: Series) -> Selector {
        Selector::new(self, series)
    }

    /// Its value now.
    #[must_use]
    pub fn now(self) -> Expr {
        self.select().now()
    }

    /// How fast it rises, per second.
    #[must_use]
    pub fn rate(self, window: Window) -> Expr {
        self.select().rate(window)
    }

    /// By how much it rose.
    #[must_use]
    pub fn increase(self, window: Window) -> Expr {
        self.select().increase(window)
    }

    /// A quantile of a histogram, over all its series together.
    #[must_use]
    pub fn quantile(self, quantile: f64, window: Window) -> Expr {
        self.quantile_by(quantile, window, &[])
    }

    /// A quantile of a histogram by labels.
    #[must_use]
    pub fn quantile_by(self, quantile: f64, window: Window, by: &[&'static str]) -> Expr {
        let labels: Vec<_> = by.iter().copied().chain(["le"]).collect();
        self.series(Series::Bucket).rate(window).sum_by(&labels).histogram_quantile(quantile)
    }
}

impl From<&'static MetricDef> for Metric {
    fn from(def: &'static MetricDef) -> Self {
        Self::of(def)
    }
}
