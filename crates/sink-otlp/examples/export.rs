//! What an export says: two containers, with the semantic conventions' names or the page's.
//!
//! `cargo run -p sink-otlp --example export -- [semconv|prometheus] [resource|datapoint|both]`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State, Value,
    catalogue::ids,
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{NumberDataPoint, metric::Data},
};
use prost::Message as _;
use sink_otlp::{Identity, Names, Options, OtlpSink};

fn container(name: &str, state: State, now: SystemTime) -> ContainerSample {
    let mut container = Container::new(ContainerId::new(&format!("{name}-id")), Engine::Docker, state);
    container.name = Some(name.into());
    container.image = Some("nginx:1.29".into());
    container.started_at = Some(now - Duration::from_secs(60));
    let mut sample = Sample::absent(Absence::NotCollected);
    sample.set(ids::CPU_USER, Reading::Value(Value::Nanos(2_500_000_000)));
    sample.set(ids::CPU_SYSTEM, Reading::Value(Value::Nanos(500_000_000)));
    sample.set(ids::MEMORY_USAGE, Reading::int(64 << 20));
    sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::int(1500));
    ContainerSample::new(container, sample, now)
}

fn print(point: &NumberDataPoint) {
    let attributes: Vec<_> = point
        .attributes
        .iter()
        .map(|pair| format!("{}={:?}", pair.key, pair.value.as_ref().and_then(|value| value.value.clone())))
        .collect();
    println!("    {{{}}} {:?}", attributes.join(", "), point.value);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::default();
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "semconv" => options.names = Names::Semconv,
            "prometheus" => options.names = Names::Prometheus,
            "resource" => options.identity = Identity::Resource,
            "datapoint" => options.identity = Identity::DataPoint,
            "both" => options.identity = Identity::Both,
            other => return Err(format!("{other:?} is neither names nor an identity").into()),
        }
    }
    options.resource = vec![("service.name".to_owned(), "export-example".into())];
    let now = SystemTime::now();
    let mut snapshot = Snapshot::empty(now);
    snapshot.containers = vec![container("job", State::Exited, now), container("web", State::Running, now)];
    let mut sink = OtlpSink::new(options);
    for batch in sink.export(Arc::new(snapshot)) {
        println!("a request of {} bytes with {} points", batch.body.len(), batch.points);
        for resource in ExportMetricsServiceRequest::decode(batch.body)?.resource_metrics {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let keys: Vec<_> = attributes.iter().map(|attribute| &*attribute.key).collect();
            println!("Resource with {}", keys.join(", "));
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                println!("  {} in {:?}", metric.name, metric.unit);
                match metric.data {
                    Some(Data::Sum(sum)) => sum.data_points.iter().for_each(print),
                    Some(Data::Gauge(gauge)) => gauge.data_points.iter().for_each(print),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
