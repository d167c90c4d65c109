//! Snapshots made by hand and by chance, and requests taken apart.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod chance;
pub(crate) mod oracle;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Health, Reading, Sample, Snapshot, State,
    Value, catalogue::ids,
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{Metric, NumberDataPoint, metric::Data},
};
use prost::Message as _;
use sink_otlp::{Batch, OtlpSink};

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// 64 hex digits.
pub(crate) fn id(number: usize) -> String {
    format!("{number:012x}{number:052x}")
}

pub(crate) fn container(number: usize, state: State) -> Container {
    let mut container = Container::new(ContainerId::new(&id(number)), Engine::Docker, state);
    container.name = Some(format!("name{number}").into());
    container.image = Some("registry.example:5000/team/web:1.29".into());
    container.image_id = Some("sha256:00ff".into());
    container.created_at = Some(at(1_700_000_000));
    container.started_at = Some(at(1_700_000_001));
    container
}

pub(crate) fn with(container: Container, sample: Sample) -> ContainerSample {
    ContainerSample::new(container, sample, at(1_700_000_050))
}

pub(crate) fn snapshot(containers: Vec<ContainerSample>) -> Snapshot {
    let mut snapshot = Snapshot::empty(at(1_700_000_100));
    snapshot.watched_since = at(1_700_000_040);
    snapshot.containers = containers;
    snapshot
}

/// The numbers of a web server, few, to be read by eye.
pub(crate) fn web_sample() -> Sample {
    let mut sample = Sample::absent(Absence::NotCollected);
    sample.set(ids::CPU_USAGE, Reading::Value(Value::Nanos(12_500_000_000)));
    sample.set(ids::CPU_USER, Reading::Value(Value::Nanos(10_000_000_000)));
    sample.set(ids::CPU_SYSTEM, Reading::Value(Value::Nanos(2_500_000_000)));
    sample.set(ids::CPU_USAGE_PERCENT, Reading::float(Some(50.0)));
    sample.set(ids::CPU_SPEC_QUOTA, Reading::int(150_000));
    sample.set(ids::MEMORY_USAGE, Reading::int(4096));
    sample.set(ids::MEMORY_AVAILABLE, Reading::Max);
    sample.set(ids::MEMORY_SPEC_LIMIT, Reading::int(0));
    sample.set(ids::RESTARTS, Reading::int(2));
    sample.set_in(ids::FS_READS_BYTES, &["/dev/sda", "8", "0"], Reading::int(512));
    sample.set_in(ids::FS_USAGE, &["8:0"], Reading::int(65_536));
    sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::int(1500));
    sample.set_in(ids::NETWORK_TRANSMIT_BYTES, &["eth0"], Reading::int(0));
    sample
}

/// A web server and a finished job.
pub(crate) fn small() -> Snapshot {
    let mut web = container(1, State::Running);
    web.health = Some(Health::Healthy);
    web.labels.insert("com.docker.compose.service".to_owned(), "web".to_owned());
    web.labels.insert("io.kubernetes.pod.name".to_owned(), "web-0".to_owned());
    let mut job = container(2, State::Exited);
    job.exit_code = Some(137);
    job.finished_at = Some(at(1_700_000_002));
    let mut stale = Sample::absent(Absence::NotRunning);
    stale.set(ids::MEMORY_USAGE, Reading::int(9));
    let mut snapshot = snapshot(vec![with(web, web_sample()), with(job, stale)]);
    snapshot.host.set_in(ids::CONTAINER_COUNT, &["running"], Reading::int(1));
    snapshot.host.set(ids::HOST_OOM_KILLS, Reading::int(0));
    snapshot.host.set(ids::HOST_CPU_WAITING, Reading::Value(Value::Nanos(1_000_000_000)));
    let engine = ["docker", "docker", "29.0.1", "1.52", "systemd", "overlay2", "unix:///run/docker.sock"];
    snapshot.exporter.set_in(ids::ENGINE_INFO, &engine, Reading::int(1));
    snapshot
}

/// Every request of an export.
pub(crate) fn export(sink: &mut OtlpSink, snapshot: &Arc<Snapshot>) -> Vec<Batch> {
    sink.export(Arc::clone(snapshot)).collect()
}

pub(crate) fn decode(batch: &Batch) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(batch.body.clone()).expect("a request")
}

/// One point with everything around it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flat {
    /// Resource, scope, schemas, and the metric without its points, as text.
    pub(crate) around: String,
    pub(crate) metric: String,
    pub(crate) point: NumberDataPoint,
}

impl Flat {
    /// What names the series.
    pub(crate) fn series(&self) -> (String, String) {
        (self.around.clone(), format!("{:?}", self.point.attributes))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.point.flags == 1
    }
}

pub(crate) fn flatten(request: ExportMetricsServiceRequest) -> Vec<Flat> {
    let mut flat = Vec::new();
    for resource in request.resource_metrics {
        for scope in resource.scope_metrics {
            let outside = format!(
                "{:?} {:?} {:?} {:?}",
                resource.resource, resource.schema_url, scope.scope, scope.schema_url
            );
            for mut metric in scope.metrics {
                for point in points(&mut metric) {
                    flat.push(Flat {
                        around: format!("{outside} {metric:?}"),
                        metric: metric.name.clone(),
                        point,
                    });
                }
            }
        }
    }
    flat
}

/// Takes the points out of a metric.
pub(crate) fn points(metric: &mut Metric) -> Vec<NumberDataPoint> {
    match metric.data.as_mut() {
        Some(Data::Gauge(gauge)) => std::mem::take(&mut gauge.data_points),
        Some(Data::Sum(sum)) => std::mem::take(&mut sum.data_points),
        other => panic!("no such metric is sent: {other:?}"),
    }
}

pub(crate) fn flat(batches: &[Batch]) -> Vec<Flat> {
    batches.iter().flat_map(|batch| flatten(decode(batch))).collect()
}
