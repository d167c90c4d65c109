//! Names, types, labels and buckets, as dashboards and alerts spell them.

mod scripted;

use std::collections::{BTreeMap, BTreeSet};

use metric_schema::{Instrument, MetricDef, Origin, Values, check_definition};
use prometheus::core::Collector as _;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{IntCounter, Registry};
use runtime_metrics::{Protocol, RuntimeMetrics, catalogue};
use scripted::{Mode, Service, page};
use tokio_metrics::TaskMonitor;

/// The ten metrics of the Grafana integration guide: name, type, labels, buckets.
const GUIDE: [(&str, MetricType, &[&str], &[f64]); 10] = [
    ("otlp_spans_created_total", MetricType::COUNTER, &["service_name", "span_kind"], &[]),
    ("otlp_spans_exported_total", MetricType::COUNTER, &["exporter", "status"], &[]),
    ("otlp_spans_export_errors_total", MetricType::COUNTER, &["error_type", "exporter"], &[]),
    (
        "otlp_spans_duration_seconds",
        MetricType::HISTOGRAM,
        &["service_name", "span_kind"],
        &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0],
    ),
    ("otlp_exporter_batch_size", MetricType::HISTOGRAM, &[], &[10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0]),
    (
        "otlp_exporter_latency_seconds",
        MetricType::HISTOGRAM,
        &["exporter", "protocol"],
        &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0],
    ),
    ("otlp_exporter_queue_size", MetricType::GAUGE, &["exporter"], &[]),
    ("otlp_system_cpu_usage_percent", MetricType::GAUGE, &[], &[]),
    ("otlp_system_memory_usage_bytes", MetricType::GAUGE, &[], &[]),
    ("otlp_system_tasks_count", MetricType::GAUGE, &[], &[]),
];

/// A host that was half idle since it booted.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("stat"), "cpu  10 20 20 40 10 0 0 0 0 0\nbtime 1000\n").expect("a file");
    std::fs::write(root.path().join("meminfo"), "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n")
        .expect("a file");
    root
}

fn find<'a>(families: &'a [MetricFamily], name: &str) -> &'a MetricFamily {
    families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn the_ten_metrics_of_the_guide() {
    let (registry, root) = (Registry::new(), host());
    let metrics = RuntimeMetrics::builder()
        .service("shop")
        .proc_root(root.path())
        .tokio(tokio::runtime::Handle::current())
        .register(&registry)
        .expect("an empty registry");
    let exporter = scripted::Script::new(Mode::Deliver).exporter();
    let _provider = metrics.pipeline(exporter, Protocol::Grpc).provider().build();
    // Ticks pass, half of them idle.
    std::fs::write(root.path().join("stat"), "cpu  60 20 20 80 20 0 0 0 0 0\n").expect("a file");
    let families = registry.gather();
    for (name, kind, labels, buckets) in GUIDE {
        let family = find(&families, name);
        assert_eq!(family.get_field_type(), kind, "{name}");
        for metric in family.get_metric() {
            let found: Vec<&str> = metric.get_label().iter().map(|pair| pair.name()).collect();
            assert_eq!(found, labels, "{name}");
            let found: Vec<f64> =
                metric.get_histogram().get_bucket().iter().map(|bucket| bucket.upper_bound()).collect();
            assert_eq!(found, buckets, "{name}");
        }
    }
    let value = |name: &str| find(&families, name).get_metric()[0].get_gauge().get_value();
    assert_eq!(value("otlp_system_cpu_usage_percent"), 50.0);
    assert_eq!(value("otlp_system_memory_usage_bytes"), f64::from(3072 * 1024));
    assert_eq!(value("otlp_system_tasks_count"), 0.0);
}

/// Every family on a page is a row of the catalogue, as that has it, and every row is on the page.
#[tokio::test]
async fn a_page_is_the_catalogue() {
    let registry = Registry::new();
    let metrics = RuntimeMetrics::builder()
        .service("shop")
        .process(true)
        .tokio(tokio::runtime::Handle::current())
        .task_monitor("orders", TaskMonitor::new())
        .register(&registry)
        .expect("an empty registry");
    let exporter = scripted::Script::new(Mode::Deliver).exporter();
    let _provider = metrics.pipeline(exporter, Protocol::Grpc).provider().build();
    let mut rows: BTreeMap<String, &MetricDef> = BTreeMap::new();
    for def in catalogue::all() {
        check_definition(def).unwrap_or_else(|error| panic!("{error}"));
        if def.only_aliased.is_none() {
            assert!(rows.insert(def.prometheus_name(), def).is_none(), "{} stands there twice", def.name);
        }
    }
    for family in registry.gather() {
        let def = rows.remove(family.name()).unwrap_or_else(|| panic!("no row for {}", family.name()));
        assert_eq!(family.help(), def.help);
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        assert_eq!(kind, def.instrument.prometheus_type(), "{}", def.name);
        for metric in family.get_metric() {
            let bounds = metric.get_histogram().get_bucket().iter().map(|bucket| bucket.upper_bound());
            assert!(bounds.eq(def.buckets.iter().copied()), "{}", def.name);
            let found: BTreeMap<_, _> =
                metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            assert!(
                found.keys().eq(&def.attributes.iter().map(|a| a.name).collect::<BTreeSet<_>>()),
                "{}",
                def.name
            );
            for attribute in def.attributes {
                let Values::Closed(values) = attribute.values else { continue };
                assert!(values.contains(&found[attribute.name]), "{}: {found:?}", def.name);
            }
        }
    }
    // A percentage needs a tick to have passed, a limit has to be there, and elsewhere than on Linux nothing is read.
    rows.retain(|name, _| {
        let may_be_absent = ["otlp_system_cpu_usage_percent", "process_max_fds"].contains(&name.as_str());
        !may_be_absent && (cfg!(target_os = "linux") || !name.starts_with("process_"))
    });
    assert!(rows.is_empty(), "not on the page: {:?}", rows.keys());
}

/// The tables in the crate's documentation name what there is.
#[test]
fn the_crates_documentation_has_every_metric() {
    let text =
        [include_str!("../src/lib.rs"), include_str!("../src/process.rs"), include_str!("../src/runtime.rs")];
    for def in
        [catalogue::SPANS, catalogue::SYSTEM, catalogue::PROCESS, catalogue::RUNTIME].into_iter().flatten()
    {
        if def.only_aliased.is_some() {
            continue;
        }
        let name = def.prometheus_name();
        let mut lines = text.iter().flat_map(|text| text.lines());
        // With braces and labels behind it where there is no column for them.
        let row = lines.find(|line| {
            line.contains(&format!("/ | `{name}` |"))
                || line.contains(&format!("! | `{name}` |"))
                || line.contains(&format!("`{name}{{"))
        });
        let row = row.unwrap_or_else(|| panic!("{name} is in no table"));
        if name.starts_with("otlp_") {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert_eq!(cells[2], def.instrument.prometheus_type(), "{name}");
            let labels: BTreeSet<&str> = def.attributes.iter().map(|attribute| attribute.name).collect();
            let told: BTreeSet<&str> = cells[3].split(", ").filter(|label| !label.is_empty()).collect();
            assert_eq!(told, labels, "{name}");
        }
    }
}

/// A series that is born at 1 is invisible to `increase()`, and a set that grows with what spans carry fills a server.
#[test]
fn every_series_is_there_from_the_start_and_none_is_added() {
    let service = Service::start(3);
    let series = || -> BTreeSet<String> {
        let page = page(&service.registry);
        // A percentage needs a tick to have passed.
        let lines =
            page.lines().filter(|line| !line.starts_with('#') && !line.starts_with("otlp_system_cpu"));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let before = series();
    assert!(before.contains(r#"otlp_spans_export_errors_total{error_type="unavailable",exporter="otlp"}"#));
    assert!(before.contains(r#"otlp_exporter_latency_seconds_count{exporter="otlp",protocol="grpc"}"#));
    service.spans(7);
    for mode in [Mode::Deliver, Mode::Fail("Unavailable"), Mode::Fail("something new"), Mode::TimeOut] {
        service.script.set(mode);
        service.spans(1);
        // Failures are what this is for.
        let _ = service.provider.force_flush();
    }
    service.provider.shutdown().expect("nothing waits");
    assert_eq!(before, series());
}

/// What is measured of spans and batches.
#[test]
fn histograms_count_what_was_exported() {
    let service = Service::start(100);
    let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    for millis in [3, 30, 300, 30_000] {
        use opentelemetry::trace::{Span as _, SpanKind, Tracer as _};
        let tracer = service.tracer();
        let builder = tracer.span_builder("span").with_kind(SpanKind::Client).with_start_time(now);
        builder.start(&tracer).end_with_timestamp(now + std::time::Duration::from_millis(millis));
    }
    service.provider.force_flush().expect("delivered");
    let of = |name: &str| -> BTreeMap<String, f64> {
        let page = page(&service.registry);
        let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        lines.map(|(labels, value)| (labels.to_owned(), value.parse().expect("a number"))).collect()
    };
    let durations = of(r#"otlp_spans_duration_seconds"#);
    let bucket =
        |le: &str| durations[&format!(r#"_bucket{{service_name="shop",span_kind="client",le="{le}"}}"#)];
    assert_eq!(["0.001", "0.005", "0.05", "0.5", "10", "+Inf"].map(bucket), [0.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
    let batches = of("otlp_exporter_batch_size");
    assert_eq!((batches["_count"], batches["_sum"]), (1.0, 4.0));
    let latency = of("otlp_exporter_latency_seconds");
    assert_eq!(latency[r#"_count{exporter="otlp",protocol="grpc"}"#], 1.0);
}

#[test]
fn everything_stands_beside_metrics_of_the_service_and_only_once() {
    let registry = Registry::new();
    let own = IntCounter::new("shop_orders_total", "Orders.").expect("a name");
    registry.register(Box::new(own.clone())).expect("a new name");
    let builder =
        RuntimeMetrics::builder().service("shop").process(true).task_monitor("orders", TaskMonitor::new());
    builder.clone().register(&registry).expect("other names");
    assert!(page(&registry).contains("shop_orders_total 0"));
    for (builder, kind) in [
        (builder, "process"),
        (RuntimeMetrics::builder().task_monitor("x", TaskMonitor::new()), "task"),
        (RuntimeMetrics::builder().service("x"), "span"),
    ] {
        let error = builder.register(&registry).expect_err("registered already").to_string();
        let expect = format!("failed to register the {kind} metrics; register each kind once per registry");
        assert_eq!(error, expect);
    }
    assert_eq!(own.desc().len(), 1);
}

/// Metrics that the semantic conventions (1.44) name and this crate has: name, instrument, unit.
const CONVENTIONS: &[(&str, Instrument, &str)] = &[
    ("otel.sdk.exporter.operation.duration", Instrument::Histogram, "s"),
    ("otel.sdk.exporter.span.exported", Instrument::Counter, "{span}"),
    ("otel.sdk.exporter.span.inflight", Instrument::UpDownCounter, "{span}"),
    ("otel.sdk.processor.span.processed", Instrument::Counter, "{span}"),
    ("otel.sdk.processor.span.queue.capacity", Instrument::UpDownCounter, "{span}"),
    ("otel.sdk.processor.span.queue.size", Instrument::UpDownCounter, "{span}"),
    ("otel.sdk.span.live", Instrument::UpDownCounter, "{span}"),
    ("otel.sdk.span.started", Instrument::Counter, "{span}"),
    ("process.cpu.time", Instrument::Counter, "s"),
    ("process.memory.usage", Instrument::UpDownCounter, "By"),
    ("process.memory.virtual", Instrument::UpDownCounter, "By"),
    ("process.thread.count", Instrument::UpDownCounter, "{thread}"),
    ("process.unix.file_descriptor.count", Instrument::UpDownCounter, "{file_descriptor}"),
    ("process.uptime", Instrument::Gauge, "s"),
];

/// What leaves by OTLP in a namespace of OpenTelemetry's has its name, unit and instrument; nothing of ours stands there.
#[test]
fn names_of_the_conventions_are_used_as_they_are_meant() {
    let mut found = BTreeSet::new();
    for metric in catalogue::all().filter_map(|def| def.otel_metric().ok()) {
        let known = CONVENTIONS.iter().find(|(name, ..)| *name == metric.name);
        assert_eq!(known.is_some(), metric.origin == Origin::Convention, "{}", metric.name);
        match known {
            Some((name, instrument, unit)) => {
                assert_eq!((metric.instrument, metric.unit.ucum()), (*instrument, *unit), "{name}");
                found.insert(*name);
            }
            None => {
                let is_theirs =
                    ["otel.", "process.", "system."].iter().any(|space| metric.name.starts_with(space));
                assert!(!is_theirs, "{}", metric.name);
            }
        }
    }
    assert_eq!(found, CONVENTIONS.iter().map(|(name, ..)| *name).collect());
}
