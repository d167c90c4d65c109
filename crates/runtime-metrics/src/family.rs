//! Definitions as families of the `prometheus` crate.

use metric_schema::{Instrument, MetricDef};
use prometheus::core::Desc;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// The labels of a row, in its order.
pub(crate) fn labels(def: &MetricDef) -> Vec<&'static str> {
    def.attributes.iter().map(|attribute| attribute.name).collect()
}

/// Empty where the name is not valid, which a test of the catalogue excludes.
pub(crate) fn desc(def: &MetricDef) -> Option<Desc> {
    let labels = labels(def).into_iter().map(str::to_owned).collect();
    Desc::new(def.prometheus_name(), def.help.to_owned(), labels, Default::default()).ok()
}

/// One series of a counter or gauge.
pub(crate) fn metric(def: &MetricDef, labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = Metric::default();
    if def.instrument == Instrument::Counter {
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

/// All series of a counter or gauge. Histograms are the `prometheus` crate's own.
pub(crate) fn family(def: &MetricDef, metrics: Vec<Metric>) -> MetricFamily {
    let kind = if def.instrument == Instrument::Counter { MetricType::COUNTER } else { MetricType::GAUGE };
    let mut family = MetricFamily::default();
    family.set_name(def.prometheus_name());
    family.set_help(def.help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// A family of one series without labels.
pub(crate) fn alone(def: &MetricDef, value: f64) -> MetricFamily {
    family(def, vec![metric(def, &[], value)])
}
