//! Spans are where the numbers say, also while the exporter fails, hangs and comes back.
mod scripted;

use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingDecision, SamplingResult, ShouldSample, SimpleSpanProcessor, Span,
    SpanData, SpanExporter, SpanProcessor,
};
use prometheus::Registry;
use runtime_metrics::{Protocol, RuntimeMetrics, SpanCounts};
use scripted::{Mode, Script, Service, page};

/// The places, in this order: sampled, live, queued, in flight, exported, failed, dropped.
#[track_caller]
fn check(counts: SpanCounts, expect: [u64; 7]) {
    let SpanCounts { sampled, live, queued, in_flight, exported, failed, dropped, .. } = counts;
    assert_eq!([sampled, live, queued, in_flight, exported, failed, dropped], expect);
    assert!(counts.is_balanced(), "{counts:?}");
}

#[test]
fn spans_go_from_place_to_place() {
    let service = Service::start(100);
    check(service.metrics.span_counts(), [0; 7]);
    let spans = service.begin(3);
    check(service.metrics.span_counts(), [3, 3, 0, 0, 0, 0, 0]);
    drop(spans);
    check(service.metrics.span_counts(), [3, 0, 3, 0, 0, 0, 0]);
    service.provider.force_flush().expect("delivered");
    check(service.metrics.span_counts(), [3, 0, 0, 0, 3, 0, 0]);
    assert_eq!(service.script.delivered(), 3);
}

#[test]
fn an_exporter_fails_hangs_and_comes_back() {
    let service = Service::start(20);
    service.script.set(Mode::Fail("Unavailable"));
    service.spans(4);
    service.provider.force_flush().expect_err("unavailable");
    check(service.metrics.span_counts(), [4, 0, 0, 0, 0, 4, 0]);

    service.script.set(Mode::Hang);
    // A whole batch is exported without being asked for.
    service.spans(5);
    assert_eq!(service.script.hangs(), 5);
    check(service.metrics.span_counts(), [9, 0, 0, 5, 0, 4, 0]);
    // Twenty may wait; what ends then is dropped, and counted.
    let living = service.begin(2);
    service.spans(20);
    check(service.metrics.span_counts(), [31, 2, 20, 5, 0, 4, 0]);
    service.spans(7);
    check(service.metrics.span_counts(), [38, 2, 20, 5, 0, 4, 7]);
    assert_eq!(service.value(r#"otlp_exporter_queue_size{exporter="otlp"}"#), Some(20.0));
    assert_eq!(service.value(r#"otlp_exporter_in_flight_spans{exporter="otlp"}"#), Some(5.0));

    service.script.set(Mode::Deliver);
    service.provider.force_flush().expect("delivered");
    check(service.metrics.span_counts(), [38, 2, 0, 0, 25, 4, 7]);
    drop(living);
    service.provider.force_flush().expect("delivered");
    check(service.metrics.span_counts(), [38, 0, 0, 0, 27, 4, 7]);
    assert_eq!(service.script.delivered(), 27);
    assert_eq!(
        service.value(r#"otlp_spans_export_errors_total{error_type="unavailable",exporter="otlp"}"#),
        Some(4.0)
    );
    assert_eq!(service.value(r#"otlp_spans_dropped_total{exporter="otlp",reason="queue_full"}"#), Some(7.0));
}

/// The guide's alert ExporterQueueBacklog asks for more than 10,000: the gauge comes there where the bound lets it, and where
/// it does not, stands at the bound.
#[test]
fn a_backlog_is_as_long_as_the_bound_lets_it() {
    for (bound, waiting, dropped) in [(2_048, 2_048.0, 9_952.0), (16_384, 12_000.0, 0.0)] {
        let service = Service::start(bound);
        service.script.set(Mode::Hang);
        service.spans(5);
        assert_eq!(service.script.hangs(), 5);
        service.spans(12_000);
        let of = |series: &str| service.value(series);
        assert_eq!(of(r#"otlp_exporter_queue_size{exporter="otlp"}"#), Some(waiting));
        assert_eq!(of(r#"otlp_exporter_queue_capacity{exporter="otlp"}"#), Some(bound as f64));
        assert_eq!(of(r#"otlp_spans_dropped_total{exporter="otlp",reason="queue_full"}"#), Some(dropped));
        service.script.set(Mode::Deliver);
    }
}

/// The SDK's batch processor would lose its thread, and everything from then on.
#[test]
fn an_exporter_that_panics_loses_one_batch() {
    let service = Service::start(20);
    service.script.set(Mode::Panic);
    service.spans(3);
    service.provider.force_flush().expect_err("a panic");
    check(service.metrics.span_counts(), [3, 0, 0, 0, 0, 3, 0]);
    assert_eq!(
        service.value(r#"otlp_spans_export_errors_total{error_type="panic",exporter="otlp"}"#),
        Some(3.0)
    );
    service.script.set(Mode::Deliver);
    service.spans(2);
    service.provider.force_flush().expect("delivered");
    check(service.metrics.span_counts(), [5, 0, 0, 0, 2, 3, 0]);
}

#[test]
fn a_shutdown_exports_what_waits_and_drops_what_lives() {
    let service = Service::start(20);
    let mut living = service.begin(2);
    service.spans(3);
    service.provider.shutdown().expect("delivered");
    check(service.metrics.span_counts(), [5, 0, 0, 0, 3, 0, 2]);
    // The SDK forgets spans that end later, and starts none.
    living.iter_mut().for_each(|span| span.end());
    service.spans(4);
    check(service.metrics.span_counts(), [5, 0, 0, 0, 3, 0, 2]);
    assert_eq!(service.value(r#"otlp_spans_dropped_total{exporter="otlp",reason="shutdown"}"#), Some(2.0));
    let Service { metrics, provider, .. } = service;
    drop((living, provider));
    check(metrics.span_counts(), [5, 0, 0, 0, 3, 0, 2]);
}

#[test]
fn a_shutdown_that_runs_out_of_time_leaves_spans_where_they_are() {
    let service = Service::start(20);
    service.script.set(Mode::Hang);
    service.spans(5);
    service.script.hangs();
    service.spans(3);
    service.provider.shutdown_with_timeout(Duration::from_millis(1)).expect_err("it hangs");
    check(service.metrics.span_counts(), [8, 0, 3, 5, 0, 0, 0]);
    service.script.set(Mode::Deliver);
    let Service { metrics, provider, script, .. } = service;
    // The batch thread does what it was told before it ends; its exporter goes with it.
    drop(provider);
    while script.delivered() < 8 || !metrics.span_counts().is_balanced() {
        std::thread::yield_now();
    }
    while metrics.span_counts().in_flight > 0 {
        std::thread::yield_now();
    }
    check(metrics.span_counts(), [8, 0, 0, 0, 8, 0, 0]);
}

#[test]
fn a_provider_that_takes_over_is_counted_with_the_first() {
    let service = Service::start(20);
    service.spans(3);
    let _forgotten = service.begin(1);
    service.provider.shutdown().expect("delivered");
    let second = Script::new(Mode::Deliver);
    let pipeline = service.metrics.pipeline(second.exporter(), Protocol::HttpProtobuf);
    let provider = pipeline.sampler(Sampler::AlwaysOn).provider().build();
    provider.tracer("second").start("span").end();
    provider.force_flush().expect("delivered");
    check(service.metrics.span_counts(), [5, 0, 0, 0, 4, 0, 1]);
    assert_eq!(second.delivered(), 1);
    let Service { metrics, provider: first, .. } = service;
    drop((first, _forgotten));
    check(metrics.span_counts(), [5, 0, 0, 0, 4, 0, 1]);
}

#[test]
fn other_processors_are_counted_too() {
    let registry = Registry::new();
    let metrics = RuntimeMetrics::builder().service("shop").register(&registry).expect("an empty registry");
    let memory = InMemorySpanExporter::default();
    let pipeline = metrics.pipeline(memory.clone(), Protocol::Other).sampler(Sampler::AlwaysOn);
    let provider = pipeline.provider_with(SimpleSpanProcessor::new).build();
    provider.tracer("test").in_span("a", |_| ());
    check(metrics.span_counts(), [1, 0, 0, 0, 1, 0, 0]);
    assert_eq!(memory.get_finished_spans().expect("spans").len(), 1);
}

/// Keeps nothing, as a processor's queue is kept when its thread is gone.
#[derive(Debug)]
struct Forgetful;

impl SpanProcessor for Forgetful {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Err(OTelSdkError::AlreadyShutdown)
    }
}

#[test]
fn what_a_processor_leaves_behind_is_dropped() {
    let registry = Registry::new();
    let metrics = RuntimeMetrics::builder().service("shop").register(&registry).expect("an empty registry");
    let pipeline = metrics.pipeline(Script::new(Mode::Deliver).exporter(), Protocol::Grpc);
    let provider = pipeline.sampler(Sampler::AlwaysOn).provider_with(|_| Forgetful).build();
    (0..3).for_each(|_| provider.tracer("test").start("span").end());
    check(metrics.span_counts(), [3, 0, 3, 0, 0, 0, 0]);
    provider.shutdown().expect_err("the thread is gone");
    check(metrics.span_counts(), [3, 0, 0, 0, 0, 0, 3]);
}

/// Remembers what it is told.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<&'static str>>>);

impl Told {
    fn note(&self, what: &'static str) -> OTelSdkResult {
        self.0.lock().expect("unpoisoned").push(what);
        Ok(())
    }
}

impl SpanExporter for Told {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        self.note("export")
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.note("shutdown_with_timeout")
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.note("shutdown")
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.note("force_flush")
    }

    fn set_resource(&mut self, _: &Resource) {
        _ = self.note("set_resource");
    }
}

/// An exporter overrides either way of shutting down, and learns the service's name by its resource.
#[test]
fn the_exporter_inside_is_told_everything() {
    let registry = Registry::new();
    let metrics = RuntimeMetrics::builder().service("shop").register(&registry).expect("an empty registry");
    let (told, taken) = (Told::default(), Mutex::new(None));
    let pipeline = metrics.pipeline(told.clone(), Protocol::Other);
    // The exporter itself, before it goes into a processor.
    let _provider = pipeline.provider_with(|exporter| {
        *taken.lock().expect("unpoisoned") = Some(exporter);
        Forgetful
    });
    let mut exporter = taken.lock().expect("unpoisoned").take().expect("it was made");
    exporter.set_resource(&Resource::builder().build());
    exporter.force_flush().expect("it is told");
    exporter.shutdown().expect("it is told");
    exporter.shutdown_with_timeout(Duration::ZERO).expect("it is told");
    let found = told.0.lock().expect("unpoisoned").clone();
    assert_eq!(found, ["set_resource", "force_flush", "shutdown", "shutdown_with_timeout"]);
}

/// Samples by the name of the span.
#[derive(Debug, Clone)]
struct ByName;

impl ShouldSample for ByName {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: opentelemetry::TraceId,
        name: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[opentelemetry::trace::Link],
    ) -> SamplingResult {
        let decision = match name {
            "drop" => SamplingDecision::Drop,
            "record" => SamplingDecision::RecordOnly,
            _ => SamplingDecision::RecordAndSample,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: Default::default() }
    }
}

#[test]
fn created_counts_what_the_sampler_saw() {
    let registry = Registry::new();
    let metrics = RuntimeMetrics::builder().service("shop").register(&registry).expect("an empty registry");
    let script = Script::new(Mode::Deliver);
    let provider = metrics.pipeline(script.exporter(), Protocol::Grpc).sampler(ByName).provider().build();
    let tracer = provider.tracer("test");
    for (name, count) in [("drop", 3), ("record", 2), ("sample", 4)] {
        for _ in 0..count {
            let span = tracer.span_builder(name).with_kind(SpanKind::Server).start(&tracer);
            let parent = Context::new().with_span(span);
            tracer.start_with_context("drop", &parent).end();
        }
    }
    provider.force_flush().expect("delivered");
    let counts = metrics.span_counts();
    assert_eq!((counts.created, counts.sampled), (18, 4));
    // Spans that are recorded only are not the exporter's.
    check(counts, [4, 0, 0, 0, 4, 0, 0]);
    assert_eq!(script.delivered(), 4);
    let page = page(&registry);
    for series in [
        r#"otlp_spans_created_total{service_name="shop",span_kind="server"} 9"#,
        r#"otlp_spans_created_total{service_name="shop",span_kind="internal"} 9"#,
        r#"otlp_spans_created_total{service_name="shop",span_kind="client"} 0"#,
        r#"otlp_spans_sampled_total{service_name="shop"} 4"#,
    ] {
        assert!(page.lines().any(|line| line == series), "{series} is not on:\n{page}");
    }
}

/// Threads make spans and end each other's, the exporter changes its mind, and nothing is lost.
#[test]
fn threads_lose_nothing() {
    const THREADS: usize = 4;
    const SPANS: usize = 2_000;
    let service = Service::start(50);
    std::thread::scope(|scope| {
        let (give, take) = std::sync::mpsc::channel();
        for _ in 0..THREADS {
            let (tracer, give) = (service.tracer(), give.clone());
            scope.spawn(move || {
                for round in 0..SPANS {
                    let mut span = tracer.start("span");
                    if round % 3 == 0 {
                        give.send(span).expect("a receiver");
                    } else {
                        span.end();
                    }
                }
            });
        }
        drop(give);
        scope.spawn(move || take.into_iter().for_each(drop));
        let (script, provider) = (service.script.clone(), service.provider.clone());
        scope.spawn(move || {
            let modes = [Mode::Fail("Internal"), Mode::TimeOut, Mode::Panic, Mode::Deliver];
            for mode in modes.into_iter().cycle().take(40) {
                script.set(mode);
                // Failures are what this is for.
                let _ = provider.force_flush();
            }
        });
    });
    service.script.set(Mode::Deliver);
    service.provider.force_flush().expect("delivered");
    let counts = service.metrics.span_counts();
    assert!(counts.is_balanced(), "{counts:?}");
    assert_eq!(counts.sampled, (THREADS * SPANS) as u64);
    assert_eq!((counts.live, counts.queued, counts.in_flight), (0, 0, 0));
    assert_eq!(counts.exported, service.script.delivered() as u64);
}

/// Spans end while the provider shuts down: each is exported or dropped, whichever side of the line it falls on.
#[test]
fn a_shutdown_in_the_middle_loses_nothing() {
    for round in 0..200 {
        let service = Service::start(if round % 2 == 0 { 10 } else { 1_000 });
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (spans, barrier) = (service.begin(30), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    drop(spans);
                });
            }
            barrier.wait();
            service.provider.shutdown().expect("delivered");
        });
        let counts = service.metrics.span_counts();
        let expect = [90, 0, 0, 0, service.script.delivered() as u64, 0, 90 - counts.exported];
        check(counts, expect);
    }
}
