//! What leaves by OTLP of real containers, as a back end counts it.

#[path = "../support/receiver.rs"]
mod receiver;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{
    NumberDataPoint, ResourceMetrics, metric::Data, number_data_point::Value,
};

use crate::harness::{Scope, assert_near, await_within, is_emulated};
use crate::program::PATIENCE;

type Receiver = receiver::Receiver<ExportMetricsServiceRequest>;
type Seen = receiver::Seen<ExportMetricsServiceRequest>;

/// Of the container.
const CPUS: f64 = 0.4;

fn is_of(metrics: &ResourceMetrics, id: &str) -> bool {
    let attributes = metrics.resource.iter().flat_map(|resource| &resource.attributes);
    let mut ids = attributes.filter(|attribute| attribute.key == "container.id");
    ids.any(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        matches!(value, Some(any_value::Value::StringValue(text)) if text == id)
    })
}

fn points(metrics: &ResourceMetrics) -> impl Iterator<Item = &NumberDataPoint> {
    let scopes = metrics.scope_metrics.iter().flat_map(|scope| &scope.metrics);
    let times = scopes.filter(|metric| metric.name == "container.cpu.time");
    times.flat_map(|metric| match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.as_slice(),
        other => panic!("CPU time is no sum: {other:?}"),
    })
}

/// Each run of a container by its start, in order, with the CPU seconds that each export tells of it, all modes together.
fn runs(seen: &[Seen], id: &str) -> Vec<(u64, Vec<f64>)> {
    let mut runs: Vec<(u64, Vec<f64>)> = Vec::new();
    let resources = seen.iter().flat_map(|seen| &seen.request.resource_metrics);
    for metrics in resources.filter(|metrics| is_of(metrics, id)) {
        let (mut start, mut used) = (None, 0.0);
        for point in points(metrics) {
            // The end of a series has none.
            if let Some(Value::AsDouble(seconds)) = point.value {
                assert!(start.is_none_or(|start| start == point.start_time_unix_nano), "one run, two starts");
                start = Some(point.start_time_unix_nano);
                used += seconds;
            }
        }
        match (start, runs.last_mut()) {
            (Some(start), Some((last, all))) if *last == start => all.push(used),
            (Some(start), _) => runs.push((start, vec![used])),
            (None, _) => {}
        }
    }
    runs
}

/// A back end adds up the rises of each start. What the container has used is all of it, once.
#[test]
fn what_a_restarted_container_used_is_counted_once() {
    let Some(scope) = Scope::new("otlp") else { return };
    let receiver = Receiver::of(|path| path == "/v1/metrics");
    let container = scope.run("loop", &["--cpus", &CPUS.to_string()], "while :; do :; done");
    let endpoint = format!("endpoint = \"http://{}\"\ninterval = 1", receiver.address);
    let exporter = scope.exporter().config("otlp", &endpoint).start();
    exporter.await_container(&container.name);
    let await_run = |number: usize| {
        let found = receiver.find(|seen| {
            let runs = runs(seen, &container.id);
            (runs.len() >= number && runs[number - 1].1.len() >= 3).then_some(())
        });
        assert!(found.is_ok(), "run {number} did not come: {}", exporter.log());
    };
    await_run(1);
    let kernel = container.kernel();
    // Seconds of CPU in some seconds. Counted twice, the first run would be far beyond it.
    let tolerance = CPUS * if is_emulated() { 20.0 } else { 4.0 };
    let first = await_within(PATIENCE, "the first run has used some seconds", || {
        kernel.cpu_seconds().filter(|seconds| *seconds > 2.5 * tolerance)
    });
    container.cli(&["restart", "-t", "0"]);
    await_run(2);
    let runs = runs(&receiver.seen(), &container.id);
    let second = container.kernel().cpu_seconds().expect("it runs");
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[0].0 < runs[1].0, "the start moves: {runs:?}");
    for (_, told) in &runs {
        assert!(told.is_sorted(), "a sum falls within a run: {told:?}");
    }
    let counted: f64 = runs.iter().filter_map(|(_, told)| told.last()).sum();
    // Between them lies what was used from the reading to the end of the run, and since the last export.
    assert_near("what a back end counts over a restart", counted, first + second, tolerance);
}
