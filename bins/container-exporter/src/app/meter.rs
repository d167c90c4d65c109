//! The process's own metrics for OTLP: an OpenTelemetry meter reads what the page's registry holds, and is read with each
//! export.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};
use otlp_client::Payload;
use prost::Message as _;
use runtime_metrics::RuntimeMetrics;
use sink_otlp::AttributeValue;

/// A meter and how it is read.
pub(super) struct Meter {
    reader: Reader,
    /// The reader holds it weakly.
    _provider: SdkMeterProvider,
}

impl Meter {
    /// Makes the instruments: once in the life of a process, for the durations of exports go to the first meter only.
    pub(super) fn new(metrics: &RuntimeMetrics) -> Self {
        let reader = Reader(Arc::new(ManualReader::builder().build()));
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).build();
        metrics.observe(&provider.meter(env!("CARGO_PKG_NAME")));
        Self { reader, _provider: provider }
    }

    /// The numbers as they are now. `None` where the SDK
    /// cannot be read.
    pub(super) fn payload(&self, resource: &[(String, AttributeValue)]) -> Option<Payload> {
        let mut read = ResourceMetrics::default();
        if let Err(error) = self.reader.collect(&mut read) {
            tracing::debug!(%error, "failed to read the process's own metrics");
            return None;
        }
        let mut request = ExportMetricsServiceRequest::from(&read);
        // The provider's is fixed; a reload may have changed this one.
        for metrics in &mut request.resource_metrics {
            metrics.resource = Some(encoded(resource));
        }
        let scopes = request.resource_metrics.iter().flat_map(|metrics| &metrics.scope_metrics);
        let points = scopes.flat_map(|scope| &scope.metrics).map(points).sum();
        (points > 0).then(|| Payload { body: request.encode_to_vec().into(), points })
    }
}

fn encoded(resource: &[(String, AttributeValue)]) -> Resource {
    let attributes = resource.iter().map(|(key, value)| {
        let value = match value {
            AttributeValue::Text(text) => any_value::Value::StringValue(text.clone()),
            AttributeValue::Int(number) => any_value::Value::IntValue(*number),
        };
        KeyValue { key: key.clone(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    });
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

/// A reader that the provider and we have.
#[derive(Clone)]
struct Reader(Arc<ManualReader>);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, read: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(read)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, bound: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(bound)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
