//! The numbers of services that are put together in other ways: spans of `tracing`, an exporter over HTTP.

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler};
use prometheus::{Registry, TextEncoder};
use runtime_metrics::{Protocol, RuntimeMetrics};
use tracing_subscriber::layer::SubscriberExt as _;

/// `tracing-opentelemetry` makes a span when it is entered or ends, and asks the sampler once.
#[test]
fn spans_of_tracing_are_counted_once() {
    let metrics =
        RuntimeMetrics::builder().service("shop").register(&Registry::new()).expect("an empty registry");
    let exporter = InMemorySpanExporter::default();
    let pipeline = metrics.pipeline(exporter.clone(), Protocol::Other).sampler(Sampler::AlwaysOn);
    let provider = pipeline.provider().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for _ in 0..5 {
            let order = tracing::info_span!("order", otel.kind = "server").entered();
            tracing::info_span!("price").in_scope(|| tracing::info!("computed"));
            assert_eq!(metrics.span_counts().live, 1);
            drop(order);
        }
    });
    provider.force_flush().expect("delivered");
    let counts = metrics.span_counts();
    assert_eq!((counts.created, counts.sampled, counts.exported), (10, 10, 10));
    assert!(counts.is_balanced(), "{counts:?}");
    assert_eq!(exporter.get_finished_spans().expect("spans").len(), 10);
}

/// The batch processor's thread has no Tokio runtime, and a client that needs one panics there, at each export: the
/// service lives, and the page says what is wrong.
#[test]
fn an_http_client_without_its_runtime_is_told() {
    let registry = Registry::new();
    let metrics = RuntimeMetrics::builder().service("shop").register(&registry).expect("an empty registry");
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint("http://127.0.0.1:1/v1/traces")
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .expect("an endpoint");
    let pipeline = metrics.pipeline(exporter, Protocol::HttpProtobuf).sampler(Sampler::AlwaysOn);
    let provider = pipeline.provider().build();
    for count in 1..=2 {
        provider.tracer("shop").start("order").end();
        provider.force_flush().expect_err("it cannot export");
        assert_eq!(metrics.span_counts().failed, count);
    }
    assert!(metrics.span_counts().is_balanced());
    let page = TextEncoder::new().encode_to_string(&registry.gather()).expect("a page");
    for series in [
        r#"otlp_spans_export_errors_total{error_type="panic",exporter="otlp"} 2"#,
        r#"otlp_exporter_latency_seconds_count{exporter="otlp",protocol="http/protobuf"} 2"#,
    ] {
        assert!(page.lines().any(|line| line == series), "{series} is not on:\n{page}");
    }
}
