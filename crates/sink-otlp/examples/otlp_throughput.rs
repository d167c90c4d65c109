//! Encodes 10,000 containers × 40 points as the exporter does, and as the SDK does (40 observable instruments, its periodic
//! reader, the generated messages, prost), and prints the CPU time that each took: the median of some rounds, with the least
//! and the most. With `memory`: what an export needs above what is kept between two, which is right where the allocator gives
//! large buffers back at once (`MALLOC_MMAP_THRESHOLD_=131072` with glibc).
//!
//! `cargo run --release -p sink-otlp --example otlp_throughput -- [CONTAINERS [memory]]`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Group, Groups, Reading, Sample, Snapshot,
    State, Value,
    catalogue::{self, Entity},
};
use metric_schema::Unit;
use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter,
    },
};
use prost::Message as _;
use sink_otlp::{Identity, Options, OtlpSink};

const POINTS: usize = 40;
const OUR_ROUNDS: usize = 15;
const SDK_ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let containers: usize = std::env::args().nth(1).map_or(Ok(10_000), |number| number.parse())?;
    let snapshot = snapshot(containers)?;
    if std::env::args().nth(2).is_some_and(|word| word == "memory") {
        let (kept, above) = memory(&mut OtlpSink::new(options()), &snapshot)?;
        println!("memory {above} bytes above idle at most, {kept} bytes kept");
        return Ok(());
    }
    let mut ours = None;
    for identity in [Identity::Resource, Identity::DataPoint] {
        let mut options = options();
        options.identity = identity;
        let mut sink = OtlpSink::new(options);
        let timing = rounds(OUR_ROUNDS, || export(&mut sink, &snapshot))?;
        println!("{:>10}  {timing}", format!("{identity:?}"));
        ours.get_or_insert(timing);
    }
    let ours = ours.ok_or("no round")?;
    if ours.points != containers * POINTS {
        return Err(format!("{} points instead of {}", ours.points, containers * POINTS).into());
    }
    let (provider, exported) = sdk(containers);
    let theirs = rounds(SDK_ROUNDS, || {
        provider.force_flush()?;
        Ok(Exported { points: containers * POINTS, bytes: exported.load(Ordering::Relaxed) })
    })?;
    println!("{:>10}  {theirs}  1/{:.1}", "SDK", theirs.median_ms / ours.median_ms);
    Ok(())
}

/// What one round made.
#[derive(Clone, Copy)]
struct Exported {
    points: usize,
    bytes: usize,
}

fn options() -> Options {
    let mut options = Options::default();
    options.groups = [Group::Cpu, Group::Memory, Group::Network].into_iter().collect::<Groups>();
    options.container_resource = vec![("host.name".to_owned(), "bench".into())];
    options
}

/// Containers of 40 points each, of which two are of an interface.
fn snapshot(containers: usize) -> Result<Arc<Snapshot>, Box<dyn Error>> {
    let now = SystemTime::now();
    let mut sample = Sample::of_container(Absence::NotCollected, Groups::standard());
    let mut points = 0;
    for (row, definition) in catalogue::get().iter() {
        let leaves = definition.def.otel_metric().is_ok_and(|metric| !metric.is_total);
        if definition.entity != Entity::Container || definition.hidden || !leaves || points == POINTS {
            continue;
        }
        let reading = match definition.def.unit {
            Unit::Seconds => Reading::Value(Value::Nanos(1_234_567_890)),
            Unit::Percent => Reading::float(Some(12.5)),
            _ => Reading::int(1_234_567 + row.index() as u64),
        };
        match (definition.group, definition.source.dimension()) {
            (Group::Network, Some(_)) => sample.set_in(row, &["eth0"], reading),
            (Group::Cpu | Group::Memory, None) if points < POINTS - 2 => sample.set(row, reading),
            _ => continue,
        }
        points += 1;
    }
    let mut snapshot = Snapshot::empty(now);
    snapshot.containers.extend((0..containers).map(|number| {
        let mut container =
            Container::new(ContainerId::new(&format!("{number:064x}")), Engine::Docker, State::Running);
        container.name = Some(format!("project-service-{number}").into());
        container.image = Some("registry.example.com/team/service:1.2.3".into());
        container.image_id = Some(format!("sha256:{number:064x}").into());
        container.started_at = Some(now - Duration::from_secs(3600));
        for key in ["project", "service", "version", "config-hash", "container-number", "oneoff"] {
            container.labels.insert(format!("com.docker.compose.{key}"), format!("value-of-{key}"));
        }
        ContainerSample::new(container, sample.clone(), now)
    }));
    Ok(Arc::new(snapshot))
}

/// One export, each request dropped before the next is asked for, as after sending.
fn export(sink: &mut OtlpSink, snapshot: &Arc<Snapshot>) -> Result<Exported, Box<dyn Error>> {
    let mut exported = Exported { points: 0, bytes: 0 };
    for batch in sink.export(Arc::clone(snapshot)) {
        exported.points += batch.points;
        exported.bytes += std::hint::black_box(batch.body.len());
    }
    Ok(exported)
}

/// Bytes that the sink keeps, and bytes resident at most during an export above what was resident before it.
fn memory(sink: &mut OtlpSink, snapshot: &Arc<Snapshot>) -> Result<(u64, u64), Box<dyn Error>> {
    let start = status("VmRSS:")?;
    export(sink, snapshot)?;
    let idle = status("VmRSS:")?;
    // Resets the peak.
    fs::write("/proc/self/clear_refs", "5")?;
    export(sink, snapshot)?;
    let peak = status("VmHWM:")?;
    Ok((idle.saturating_sub(start), peak.saturating_sub(idle)))
}

fn status(field: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    let kilobytes: u64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// The SDK with one observable counter for each point and one attribute set for each container: it has one Resource, so
/// containers are told apart by point.
fn sdk(containers: usize) -> (SdkMeterProvider, Arc<AtomicUsize>) {
    let exported = Arc::new(AtomicUsize::new(0));
    let reader = PeriodicReader::builder(Encoder(Arc::clone(&exported)))
        .with_interval(Duration::from_secs(1_000_000))
        .build();
    let unlimited =
        move |_: &Instrument| Stream::builder().with_cardinality_limit(containers + 1).build().ok();
    let provider = SdkMeterProvider::builder().with_reader(reader).with_view(unlimited).build();
    let attributes: Arc<Vec<[KeyValue; 3]>> = Arc::new(
        (0..containers)
            .map(|number| {
                [
                    KeyValue::new("container.id", format!("{number:064x}")),
                    KeyValue::new("container.name", format!("project-service-{number}")),
                    KeyValue::new("container.image.name", "registry.example.com/team/service"),
                ]
            })
            .collect(),
    );
    let meter = provider.meter("bench");
    for point in 0..POINTS {
        let attributes = Arc::clone(&attributes);
        meter
            .u64_observable_counter(format!("container.example.{point}"))
            .with_unit("By")
            .with_callback(move |observer| {
                for attributes in attributes.iter() {
                    observer.observe(1_234_567 + point as u64, attributes);
                }
            })
            .build();
    }
    (provider, exported)
}

/// Encodes what it is given, and sends it nowhere.
struct Encoder(Arc<AtomicUsize>);

impl PushMetricExporter for Encoder {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let body = ExportMetricsServiceRequest::from(metrics).encode_to_vec();
        self.0.store(std::hint::black_box(body).len(), Ordering::Relaxed);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

struct Timing {
    least_ms: f64,
    median_ms: f64,
    most_ms: f64,
    bytes: usize,
    points: usize,
}

impl std::fmt::Display for Timing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { least_ms, median_ms, most_ms, bytes, points } = self;
        write!(f, "{median_ms:7.2} ms ({least_ms:.2} to {most_ms:.2}), {points} points, {bytes} bytes")
    }
}

fn rounds(
    many: usize,
    mut round: impl FnMut() -> Result<Exported, Box<dyn Error>>,
) -> Result<Timing, Box<dyn Error>> {
    let mut times = Vec::with_capacity(many);
    let mut exported = round()?;
    for _ in 0..many {
        let start = cpu_ms()?;
        exported = round()?;
        times.push(cpu_ms()? - start);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(Timing {
        least_ms: times[0],
        median_ms: times[many / 2],
        most_ms: times[many - 1],
        bytes: exported.bytes,
        points: exported.points,
    })
}

/// CPU time of all threads so far: the first word of `/proc/self/task/*/schedstat`, nanoseconds.
fn cpu_ms() -> Result<f64, Box<dyn Error>> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split_whitespace().next().ok_or("no number")?.parse::<u64>()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    Ok(nanos as f64 / 1e6)
}
