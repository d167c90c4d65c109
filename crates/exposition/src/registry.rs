//! Writes what a registry of the `prometheus` crate gathers.
//!
//! The functions take that crate's types, version 0.14 without its `protobuf` feature: they are what a registry hands
//! out, so there is nothing to hide.

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::encoder::Encoder;
use crate::family::{Family, FamilyError, Histogram, Kind, Summary};
use crate::label::{LabelBlock, LabelError};
use crate::negotiate::negotiate;
use crate::number::Number;

/// A family or one of its series that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Skipped {
    /// The encoder refused the family.
    #[error("left out a family of the registry")]
    Family(#[from] FamilyError),
    /// A series has labels that no page can carry.
    #[error("left out a series of {family:?} of the registry")]
    Series {
        /// The family's name.
        family: String,
        /// What is wrong with its labels.
        source: LabelError,
    },
}

/// What a server answers to a scrape of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The header of that name.
    pub content_type: &'static str,
    /// The page.
    pub body: Vec<u8>,
    /// What had to be left out.
    pub skipped: Vec<Skipped>,
}

/// Gathers a registry into a page in the format that `Accept` asks for (several headers joined by commas).
///
/// ```
/// use exposition::registry;
///
/// let metrics = prometheus::Registry::new();
/// metrics.register(Box::new(prometheus::IntCounter::new("requests_total", "Requests answered.")?))?;
///
/// let page = registry::page(&metrics, Some("application/openmetrics-text;version=1.0.0"));
/// assert!(page.content_type.starts_with("application/openmetrics-text"));
/// assert!(page.body.ends_with(b"requests_total 0.0\n# EOF\n"));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[must_use]
pub fn page(registry: &Registry, accept: Option<&str>) -> Page {
    let answer = negotiate(accept);
    let mut encoder = Encoder::new(answer.format);
    let skipped = write(&mut encoder, &registry.gather());
    encoder.finish();
    Page { content_type: answer.content_type(), body: encoder.take(), skipped }
}

/// Writes the families, as `prometheus::Registry::gather` returns them, and returns what had to be left out.
///
/// Counters, gauges, histograms, summaries and untyped metrics keep their kind; a family without series leaves
/// nothing. Timestamps that a collector may have set are dropped: a page of ours has none.
///
/// ```
/// use exposition::{Encoder, Format, registry};
///
/// let metrics = prometheus::Registry::new();
/// let requests = prometheus::IntCounter::new("requests_total", "Requests answered.")?;
/// metrics.register(Box::new(requests.clone()))?;
/// requests.inc();
///
/// let mut encoder = Encoder::new(Format::Text004);
/// assert!(registry::write(&mut encoder, &metrics.gather()).is_empty());
/// encoder.finish();
/// assert!(encoder.buffer().ends_with(b"requests_total 1.0\n"));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[must_use = "says what the page lacks"]
pub fn write(encoder: &mut Encoder, families: &[MetricFamily]) -> Vec<Skipped> {
    let mut skipped = Vec::new();
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::GAUGE => Kind::Gauge,
            MetricType::HISTOGRAM => Kind::Histogram,
            MetricType::SUMMARY => Kind::Summary,
            MetricType::UNTYPED => Kind::Unknown,
        };
        if let Err(error) = encoder.family(&Family::new(family.name(), family.help(), kind)) {
            skipped.push(error.into());
            continue;
        }
        for metric in family.get_metric() {
            let labels: Vec<_> = metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            match LabelBlock::new(&labels) {
                Ok(block) => write_metric(encoder, kind, &block, metric),
                Err(source) => skipped.push(Skipped::Series { family: family.name().to_owned(), source }),
            }
        }
    }
    skipped
}

fn write_metric(encoder: &mut Encoder, kind: Kind, block: &LabelBlock, metric: &Metric) {
    match kind {
        Kind::Counter => encoder.sample(&[block], Number::Float(metric.get_counter().get_value()), None),
        Kind::Gauge => encoder.sample(&[block], Number::Float(metric.get_gauge().get_value()), None),
        Kind::Unknown => encoder.sample(&[block], Number::Float(untyped_value(metric)), None),
        Kind::Histogram => {
            let histogram = metric.get_histogram();
            let buckets: Vec<_> = histogram
                .get_bucket()
                .iter()
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect();
            let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
            encoder.histogram(&[block], &Histogram { buckets: &buckets, sum, count }, None);
        }
        Kind::Summary => {
            let summary = metric.get_summary();
            let quantiles: Vec<_> = summary
                .get_quantile()
                .iter()
                .map(|quantile| (quantile.quantile(), quantile.value()))
                .collect();
            let (sum, count) = (summary.sample_sum(), summary.sample_count());
            encoder.summary(&[block], &Summary { quantiles: &quantiles, sum, count }, None);
        }
    }
}

#[expect(deprecated, reason = "it names no other way to the value of an untyped metric")]
fn untyped_value(metric: &Metric) -> f64 {
    metric.get_untyped().get_value()
}
