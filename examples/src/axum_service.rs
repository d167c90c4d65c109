//! An axum service with its spans, Tokio and process on a page of its own: `cargo run -p examples --bin axum-service`,
//! then `curl localhost:3000` and `curl localhost:9464/metrics`.

use axum::{Router, routing::get};
use exporter_toolkit::serve_registry;
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_otlp::SpanExporter;
use prometheus::Registry;
use runtime_metrics::{Protocol, RuntimeMetrics};
use tokio::{net::TcpListener, runtime::Handle};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    let builder = RuntimeMetrics::builder().service("axum-service").process(true).tokio(Handle::current());
    let metrics = builder.register(&registry)?;
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let provider = metrics.pipeline(exporter, Protocol::Grpc).provider().build();
    let page = serve_registry("127.0.0.1:9464".parse()?, registry)?;

    let tracer = provider.tracer("hello");
    let hello = move || async move { tracer.in_span("hello", |_| "hello\n") };
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, Router::new().route("/", get(hello)))
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or(()) })
        .await?;
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    page.stop().await?;
    Ok(())
}
