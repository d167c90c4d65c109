//! A meter reads the numbers that the registry has.

mod scripted;

use std::collections::{BTreeMap, BTreeSet};

use metric_schema::MetricDef;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::Sampler;
use prometheus::Registry;
use runtime_metrics::{Protocol, RuntimeMetrics, catalogue};
use scripted::{Mode, Script};
use tokio_metrics::TaskMonitor;

/// Values by name and attributes, `count` of a histogram.
fn values(exported: &[ResourceMetrics]) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut put = |name: &str, unit: &str, attributes: Vec<String>, value: f64| {
        let twice =
            found.insert(format!("{name} [{unit}] {}", attributes.join(",")).trim_end().to_owned(), value);
        assert_eq!(twice, None, "{name} {attributes:?}");
    };
    macro_rules! points {
        ($metric:expr, $data:expr) => {{
            let attributes = |pairs: Vec<&opentelemetry::KeyValue>| {
                pairs.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect::<Vec<_>>()
            };
            let (name, unit) = ($metric.name(), $metric.unit());
            match $data {
                MetricData::Gauge(data) => data.data_points().for_each(|point| {
                    put(name, unit, attributes(point.attributes().collect()), point.value() as f64)
                }),
                MetricData::Sum(data) => data.data_points().for_each(|point| {
                    put(name, unit, attributes(point.attributes().collect()), point.value() as f64)
                }),
                MetricData::Histogram(data) => data.data_points().for_each(|point| {
                    put(name, unit, attributes(point.attributes().collect()), point.count() as f64)
                }),
                MetricData::ExponentialHistogram(_) => panic!("nobody asked for one"),
            }
        }};
    }
    let last = exported.last().expect("a collection");
    for metric in last.scope_metrics().flat_map(|scope| scope.metrics()) {
        match metric.data() {
            AggregatedMetrics::F64(data) => points!(metric, data),
            AggregatedMetrics::U64(data) => points!(metric, data),
            AggregatedMetrics::I64(data) => points!(metric, data),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_reads_the_same_numbers() {
    let (registry, monitor) = (Registry::new(), TaskMonitor::new());
    let metrics = RuntimeMetrics::builder()
        .service("shop")
        .process(true)
        .tokio(tokio::runtime::Handle::current())
        .task_monitor("orders", monitor.clone())
        .register(&registry)
        .expect("an empty registry");
    let memory = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(memory.clone()).with_interval(std::time::Duration::from_secs(3_600));
    let meters = SdkMeterProvider::builder().with_reader(reader.build()).build();
    metrics.observe(&meters.meter("runtime-metrics"));

    let script = Script::new(Mode::Deliver);
    let pipeline = metrics.pipeline(script.exporter(), Protocol::Grpc).sampler(Sampler::AlwaysOn);
    let provider = pipeline.queue_spans_max(3).provider().build();
    let tracer = provider.tracer("test");
    let spans = |count: usize| (0..count).for_each(|_| tracer.start("span").end());
    spans(5);
    provider.force_flush().expect("delivered");
    script.set(Mode::Fail("Unavailable"));
    spans(2);
    provider.force_flush().expect_err("unavailable");
    let _living = tracer.start("span");
    spans(1);
    tokio::spawn(monitor.instrument(async {})).await.expect("it ends");

    meters.force_flush().expect("collected");
    let found = values(&memory.get_finished_metrics().expect("metrics"));
    let expected = [
        ("otel.sdk.span.started [{span}] otel.span.sampling_result=DROP", 0.0),
        ("otel.sdk.span.started [{span}] otel.span.sampling_result=RECORD_ONLY", 0.0),
        ("otel.sdk.span.started [{span}] otel.span.sampling_result=RECORD_AND_SAMPLE", 9.0),
        ("otel.sdk.span.live [{span}] otel.span.sampling_result=RECORD_AND_SAMPLE", 1.0),
        ("otel.sdk.processor.span.processed [{span}]", 5.0),
        ("otel.sdk.processor.span.processed [{span}] error.type=queue_full", 2.0),
        ("otel.sdk.processor.span.processed [{span}] error.type=already_shutdown", 0.0),
        ("otel.sdk.processor.span.queue.size [{span}]", 1.0),
        ("otel.sdk.processor.span.queue.capacity [{span}]", 3.0),
        ("otel.sdk.exporter.span.inflight [{span}]", 0.0),
        ("otel.sdk.exporter.span.exported [{span}]", 3.0),
        ("otel.sdk.exporter.span.exported [{span}] error.type=unavailable", 2.0),
        ("otel.sdk.exporter.operation.duration [s]", 1.0),
        ("otel.sdk.exporter.operation.duration [s] error.type=unavailable", 1.0),
        ("tokio.runtime.workers [{worker}]", 2.0),
        ("tokio.task.polls [{poll}] tokio.task=orders", 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(found.get(series), Some(&value), "{series} in {found:#?}");
    }
    let others = [
        "process.cpu.time [s]",
        "process.memory.usage [By]",
        "process.memory.virtual [By]",
        "process.thread.count [{thread}]",
        "process.unix.file_descriptor.count [{file_descriptor}]",
        "process.uptime [s]",
    ];
    if cfg!(target_os = "linux") {
        for series in others {
            assert!(found.get(series).is_some_and(|value| *value > 0.0), "{series} in {found:#?}");
        }
    }
    for worker in 0..2 {
        let series = format!("tokio.runtime.worker.busy_duration [s] tokio.worker={worker}");
        assert!(found.contains_key(&series), "{series} in {found:#?}");
    }
    // All that leaves is in the catalogue, under its name and unit, and by its attributes.
    let mut rows: BTreeMap<String, &MetricDef> = BTreeMap::new();
    for def in catalogue::all() {
        if let Ok(metric) = def.otel_metric() {
            let series = format!("{} [{}]", metric.name, metric.unit.ucum());
            assert!(rows.insert(series, def).is_none(), "{} leaves twice", def.name);
        }
    }
    let mut seen = BTreeSet::new();
    for series in found.keys() {
        let (head, attributes) = series.split_once("]").expect("a unit");
        let (name, def) =
            rows.get_key_value(&format!("{head}]")).unwrap_or_else(|| panic!("no row for {series}"));
        let metric = def.otel_metric().expect("it leaves");
        let keys: Vec<&str> = def.attributes.iter().filter_map(|attribute| attribute.otel).collect();
        for (key, value) in attributes.trim().split(',').filter_map(|pair| pair.split_once('=')) {
            let is_fixed = metric.attributes.contains(&(key, value));
            assert!(is_fixed || keys.contains(&key), "{series}");
        }
        seen.insert(name);
    }
    if cfg!(target_os = "linux") {
        assert!(seen.into_iter().eq(rows.keys()));
    }
    // The registry has the same.
    let page = scripted::page(&registry);
    assert!(page.contains(r#"otlp_spans_exported_total{exporter="otlp",status="success"} 3"#), "{page}");
    assert!(page.contains(r#"otlp_spans_dropped_total{exporter="otlp",reason="queue_full"} 2"#), "{page}");
}
