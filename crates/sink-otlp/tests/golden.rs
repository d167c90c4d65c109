//! A whole export, to be read by eye: every change of names, units, attributes or order shows here.

mod support;

use std::{fmt::Write as _, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
};
use sink_otlp::{Identity, Names, Options, OtlpSink};
use support::{decode, export, points, small};

fn value(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::ArrayValue(list)) => {
            format!("{:?}", list.values.iter().map(|one| self::value(Some(one))).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

fn attributes(attributes: &[KeyValue]) -> String {
    let pairs = attributes.iter().map(|pair| format!("{}={}", pair.key, value(pair.value.as_ref())));
    pairs.collect::<Vec<_>>().join(", ")
}

/// An export as text: a line for each Resource, metric and point; starts as seconds of the snapshot's own clock.
fn render(options: Options) -> String {
    let mut text = String::new();
    let mut sink = OtlpSink::new(options);
    for batch in export(&mut sink, &Arc::new(small())) {
        for resource in decode(&batch).resource_metrics {
            let of = resource.resource.unwrap_or_default();
            _ = writeln!(text, "resource {{{}}} {}", attributes(&of.attributes), resource.schema_url);
            for mut metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let kind = match &metric.data {
                    Some(Data::Sum(sum)) if sum.is_monotonic => "monotonic sum",
                    Some(Data::Sum(_)) => "sum",
                    _ => "gauge",
                };
                _ = writeln!(text, "  {} ({kind}, {:?})", metric.name, metric.unit);
                for point in points(&mut metric) {
                    let value = match point.value {
                        Some(number_data_point::Value::AsInt(int)) => int.to_string(),
                        Some(number_data_point::Value::AsDouble(double)) => format!("{double:?}"),
                        None => "ended".to_owned(),
                    };
                    let start = match point.start_time_unix_nano {
                        0 => String::new(),
                        nanos => format!(" since {}", nanos / 1_000_000_000 - 1_700_000_000),
                    };
                    _ = writeln!(text, "    {{{}}} {value}{start}", attributes(&point.attributes));
                }
            }
        }
    }
    text
}

fn options() -> Options {
    let mut options = Options::default();
    options.resource = vec![("service.name".to_owned(), "container-exporter".into())];
    options.container_resource = vec![("host.name".to_owned(), "alpha".into())];
    options
}

#[test]
fn semconv() {
    insta::assert_snapshot!(render(options()));
}

#[test]
fn prometheus_by_point() {
    let mut options = options();
    options.names = Names::Prometheus;
    options.identity = Identity::DataPoint;
    insta::assert_snapshot!(render(options));
}
