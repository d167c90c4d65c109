//! Families as a registry of the `prometheus` crate wants them.

use prometheus::core::Desc;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// A family, for documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The name on the page.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

/// The name of a family, what it says, and whether it only rises.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: MetricType,
}

impl Head {
    pub(crate) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::COUNTER }
    }

    pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::GAUGE }
    }

    /// Empty where the name is not valid, which a test of each table excludes.
    pub(crate) fn desc(&self, labels: &[&str]) -> Option<Desc> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, Default::default()).ok()
    }

    pub(crate) fn describe(&self, labels: &'static [&'static str]) -> Description {
        let kind = if self.kind == MetricType::COUNTER { "counter" } else { "gauge" };
        Description { name: self.name, help: self.help, kind, labels }
    }

    /// One series.
    pub(crate) fn metric(&self, labels: &[(&str, &str)], value: f64) -> Metric {
        let mut metric = Metric::default();
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        metric.set_label(pairs.collect());
        metric
    }

    pub(crate) fn family(&self, metrics: Vec<Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        family
    }

    /// A family of one series without labels.
    pub(crate) fn alone(&self, value: f64) -> MetricFamily {
        self.family(vec![self.metric(&[], value)])
    }
}

/// What OpenTelemetry calls a family.
#[cfg(feature = "tokio")]
#[cfg_attr(not(any(feature = "spans", test)), expect(dead_code, reason = "only a meter asks"))]
pub(crate) struct Otel {
    pub(crate) name: &'static str,
    /// In UCUM.
    pub(crate) unit: &'static str,
}

#[cfg(all(feature = "tokio", test))]
impl Otel {
    /// The two names are one, as the rules of translation between them have it.
    pub(crate) fn assert_is(&self, head: &Head) {
        let unit = if self.unit == "s" { "_seconds" } else { "" };
        let total = if head.kind == MetricType::COUNTER { "_total" } else { "" };
        assert_eq!(head.name, format!("{}{unit}{total}", self.name.replace('.', "_")));
        assert!(unit == "_seconds" || self.unit.starts_with('{'), "{}", self.unit);
        assert!(head.desc(&[]).is_some(), "{}", head.name);
    }
}
