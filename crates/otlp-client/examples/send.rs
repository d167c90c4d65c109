//! Sends one empty request where the variables of OpenTelemetry say, by default to `http://localhost:4318`:
//! `OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 cargo run -p otlp-client --example send`.

use std::time::Duration;

use otlp_client::{Client, DropReason, Payload, Values};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (values, problems) = Values::from_env(&|name| std::env::var_os(name));
    for problem in problems {
        tracing::warn!("{problem}");
    }
    let client = Client::start(values.resolve_or_local()?)?;
    // No bytes are an `ExportMetricsServiceRequest` without metrics; the one point is there to be counted.
    client.submit(Payload { body: bytes::Bytes::new(), points: 1 });
    let left = client.shutdown(Duration::from_secs(5)).await;
    let stats = client.stats().snapshot();
    tracing::info!("{} delivered, {} left, {} requests", stats.exported, left.points, stats.attempts);
    for reason in DropReason::ALL {
        tracing::info!("{}: {}", reason.as_str(), stats.failed(reason));
    }
    Ok(())
}
