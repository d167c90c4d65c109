//! A real OpenTelemetry Collector takes what is sent, by both protocols, and tells and hands on the same.
//!
//! `cargo xtask test --only peers` builds it and runs this.

#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/simulated.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use collector_core::Snapshot;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value};
use otlp_client::{Client, Compression, Payload, Protocol, Said, Values};
use prost::Message as _;
use receiver::Receiver;
use simulated::snapshot;
use sink_otlp::{Options, OtlpSink};
use test_support::PATIENCE;
use test_support::peers::{Otelcol, Peer};

/// Metrics by name, each with the values of its points as text, smallest first.
type Told = BTreeMap<String, Vec<String>>;

/// What the debug exporter tells: names, and values with six digits after the point.
fn read(said: &str) -> Told {
    let mut told = Told::new();
    let mut name = "";
    for line in said.lines().map(str::trim) {
        if let Some(found) = line.strip_prefix("-> Name: ") {
            name = found;
        } else if line.starts_with("NumberDataPoints #") {
            told.entry(name.to_owned()).or_default();
        } else if let Some(value) = line.strip_prefix("Value: ") {
            told.entry(name.to_owned()).or_default().push(value.to_owned());
        }
    }
    told.values_mut().for_each(|values| values.sort_unstable());
    told
}

/// What it has to tell of these.
fn tell(requests: &[ExportMetricsServiceRequest]) -> Told {
    let mut told = Told::new();
    let scopes =
        requests.iter().flat_map(|request| &request.resource_metrics).flat_map(|one| &one.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let values = told.entry(metric.name.clone()).or_default();
        values.extend(points(metric.data.as_ref()).iter().filter_map(|point| match point.value.as_ref()? {
            Value::AsInt(value) => Some(value.to_string()),
            Value::AsDouble(value) => Some(format!("{value:.6}")),
        }));
    }
    told.values_mut().for_each(|values| values.sort_unstable());
    told
}

fn points(data: Option<&Data>) -> &[NumberDataPoint] {
    match data {
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        Some(Data::Sum(sum)) => &sum.data_points,
        other => panic!("no such metric is sent: {other:?}"),
    }
}

/// Every point with what stands around it: Resource, scope, metric.
fn flatten(requests: &[ExportMetricsServiceRequest]) -> BTreeMap<String, Vec<NumberDataPoint>> {
    let mut all: BTreeMap<String, Vec<NumberDataPoint>> = BTreeMap::new();
    for resource in requests.iter().flat_map(|request| &request.resource_metrics) {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                let points = points(metric.data.as_ref()).to_vec();
                let mut head = metric.clone();
                match head.data.as_mut() {
                    Some(Data::Gauge(gauge)) => gauge.data_points.clear(),
                    Some(Data::Sum(sum)) => sum.data_points.clear(),
                    _ => {}
                }
                let around = format!("{:?} {:?} {head:?}", resource.resource, scope.scope);
                all.entry(around).or_default().extend(points);
            }
        }
    }
    all
}

#[tokio::test]
async fn it_tells_and_hands_on_what_it_was_sent() {
    let Some(program) = Peer::Otelcol.program() else { return };
    let receiver = Receiver::<ExportMetricsServiceRequest>::of(|_| true);
    let collector = Otelcol::start(program, Some(receiver.address)).await;
    let snapshot = snapshot().await;
    let mut all = Vec::new();
    for (protocol, address) in [(Protocol::Grpc, collector.grpc), (Protocol::HttpProtobuf, collector.http)] {
        let mut values = Values::default();
        values.endpoint = Some(Said::new(format!("http://{address}"), "the test"));
        values.protocol = Some(Said::new(protocol, "the test"));
        values.compression = Some(Said::new(Compression::Gzip, "the test"));
        let settings = values.resolve().expect("a URL").expect("an endpoint");
        let client = Client::start(settings).expect("no TLS");
        let mut sink = OtlpSink::new(Options::default());
        let before = receiver.seen().len();
        // All containers, and then the end of all their series.
        let empty = Arc::new(Snapshot::empty(SystemTime::now()));
        let mut requests = Vec::new();
        for snapshot in [Arc::clone(&snapshot), empty] {
            for batch in sink.export(snapshot) {
                requests.push(ExportMetricsServiceRequest::decode(batch.body.clone()).expect("a request"));
                client.has_room(batch.body.len()).await;
                client.submit(Payload { body: batch.body, points: batch.points });
            }
        }
        let stats = Arc::clone(client.stats());
        client.shutdown(PATIENCE).await;
        let count = |all: &BTreeMap<String, Vec<NumberDataPoint>>| all.values().map(Vec::len).sum::<usize>();
        let sent = flatten(&requests);
        assert!(count(&sent) > 2_000, "{} points", count(&sent));
        assert_eq!(stats.snapshot().exported, count(&sent) as u64, "{protocol}: {:?}", stats.snapshot());
        // It has answered, so it has handed everything on.
        let found: Vec<_> = receiver.seen().drain(before..).map(|seen| seen.request).collect();
        let found = flatten(&found);
        for (around, points) in &sent {
            assert_eq!(found.get(around), Some(points), "{protocol}: {around}");
        }
        assert_eq!(found.len(), sent.len(), "{protocol}");

        all.extend(requests);
        assert_eq!(read(&collector.said()), tell(&all), "{protocol}");
    }
}
