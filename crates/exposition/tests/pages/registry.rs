//! Families of a registry of the `prometheus` crate.

use exposition::{Encoder, Family, Format, Kind, Number, registry};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary};
use prometheus::{Counter, Gauge, Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use crate::{FORMATS, page, parse, same_in_every_format, text};

fn gathered() -> Vec<MetricFamily> {
    let registry = Registry::new();
    let requests =
        IntCounterVec::new(Opts::new("requests_total", "Requests \"answered\"."), &["code"]).expect("opts");
    requests.with_label_values(&["200"]).inc_by(3);
    requests.with_label_values(&["5\"\\\n"]).inc();
    let odd = Counter::new("failcnt", "A counter without its suffix.").expect("opts");
    odd.inc_by(0.5);
    let gauge = Gauge::new("load", "Load.").expect("opts");
    gauge.set(-0.25);
    let bounds = HistogramOpts::new("wait_seconds", "Wait.").buckets(vec![0.005, 1.0, 250.5]);
    let histogram = Histogram::with_opts(bounds).expect("opts");
    histogram.observe(0.5);
    histogram.observe(300.0);
    registry.register(Box::new(requests)).expect("new");
    registry.register(Box::new(odd)).expect("new");
    registry.register(Box::new(gauge)).expect("new");
    registry.register(Box::new(histogram)).expect("new");
    registry.gather()
}

#[test]
fn every_format_has_what_the_registry_has() {
    let families = gathered();
    let ours = same_in_every_format(|encoder| assert!(registry::write(encoder, &families).is_empty()));
    assert_eq!(ours.samples.len(), 2 + 1 + 1 + 6);
    // Bounds apart, whose spelling that crate has its own idea of, its own encoder says the same.
    let theirs = prometheus::TextEncoder::new().encode_to_string(&families).expect("text");
    let theirs = parse(Format::Text004, theirs.replace("le=\"1\"", "le=\"1.0\"").as_bytes());
    assert_eq!(ours, theirs);
}

#[test]
fn a_counter_without_total_is_unknown_in_open_metrics() {
    let page =
        text(Format::OpenMetrics100, |encoder| assert!(registry::write(encoder, &gathered()).is_empty()));
    assert!(page.contains("# TYPE failcnt unknown\nfailcnt 0.5\n"), "{page}");
}

fn family(name: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

#[test]
fn summaries_are_written() {
    let mut quantile = Quantile::default();
    quantile.set_quantile(0.5);
    quantile.set_value(2.0);
    let mut summary = Summary::default();
    summary.set_sample_count(4);
    summary.set_sample_sum(9.0);
    summary.set_quantile(vec![quantile]);
    let mut metric = Metric::from_label(vec![]);
    metric.set_summary(summary);
    let families = [family("s", MetricType::SUMMARY, vec![metric])];
    let page = same_in_every_format(|encoder| assert!(registry::write(encoder, &families).is_empty()));
    assert_eq!(
        (page.value("s"), page.value("s_sum"), page.value("s_count")),
        (Some(2.0), Some(9.0), Some(4.0))
    );
}

#[test]
fn what_no_page_can_carry_is_left_out_with_its_reason() {
    let label = |name: &str| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair
    };
    let twice = Metric::from_label(vec![label("a"), label("a")]);
    let good = Metric::from_label(vec![label("b")]);
    let families = [
        family("taken", MetricType::GAUGE, vec![good.clone()]),
        family("mixed", MetricType::GAUGE, vec![twice, good]),
        family("empty", MetricType::GAUGE, vec![]),
        family("not legal", MetricType::GAUGE, vec![]),
    ];
    for format in FORMATS {
        let bytes = page(format, |encoder: &mut Encoder| {
            encoder.family(&Family::new("taken", "", Kind::Gauge)).expect("a new name");
            encoder.sample(&[], Number::Integer(1), None);
            let skipped: Vec<_> =
                registry::write(encoder, &families).iter().map(ToString::to_string).collect();
            assert_eq!(
                skipped,
                [
                    "left out a family of the registry",
                    "left out a series of \"mixed\" of the registry",
                    "left out a family of the registry"
                ]
            );
        });
        assert_eq!(parse(format, &bytes).samples.len(), 2);
    }
}
