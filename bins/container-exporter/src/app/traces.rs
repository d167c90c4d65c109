//! The exporter's own traces: spans of `tracing` leave by OTLP.
//!
//! The SDK samples and batches, `runtime-metrics` counts, `opentelemetry-otlp` encodes, and the client that sends metrics sends
//! these too (docs/adr/0013-own-traces-by-our-client.md). Without a receiver nothing of it is made, and a span costs one comparison.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use exporter_toolkit::Headers;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use otlp_client::{Courier, DropReason, Payload, Protocol};
use runtime_metrics::RuntimeMetrics;
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::{Layer, Registry};

use super::{AppError, resource};
use crate::config::settings;

/// What samples, batches and sends.
#[derive(Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
    courier: Arc<Courier>,
    metrics: Arc<RuntimeMetrics>,
}

impl Traces {
    /// Starts the SDK. On a runtime, which does the sending.
    ///
    /// # Errors
    /// A file of TLS that the settings name cannot be used.
    pub(super) fn start(traces: &settings::Traces, metrics: Arc<RuntimeMetrics>) -> Result<Self, AppError> {
        let settings::Traces { client, ratio, .. } = traces;
        let courier = Arc::new(Courier::new(client.clone())?);
        let exporter = exporter(&courier, client)?;
        let protocol = match client.protocol {
            Protocol::Grpc => runtime_metrics::Protocol::Grpc,
            Protocol::HttpProtobuf => runtime_metrics::Protocol::HttpProtobuf,
        };
        let provider = metrics
            .pipeline(exporter, protocol)
            .sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(*ratio))))
            .provider()
            .with_resource(resource::of_sdk(&traces.resource))
            .build();
        Ok(Self { provider, courier, metrics })
    }

    /// Where a reload sends them.
    pub(super) fn courier(&self) -> Arc<Courier> {
        Arc::clone(&self.courier)
    }

    /// What turns spans into the SDK's.
    pub(super) fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer_with_scope(scope))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(is_ours).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what waits, for at most so long; what stays is counted, and told.
    pub(super) async fn end(self, bound: Duration) {
        // It waits for its own thread, which waits for this runtime to send.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(bound)).await;
        let counts = self.metrics.span_counts();
        match (counts.queued + counts.in_flight, ended) {
            (0, Ok(Err(error))) => tracing::warn!("failed to end the sending of traces: {error}"),
            (0, _) => {}
            (left, _) => tracing::warn!(
                "{left} spans were not delivered before the end: the receiver did not take them within {bound:.1?}"
            ),
        }
    }
}

/// Other settings after a reload: where to and how changes at once, the rest with a restart.
pub(super) fn apply(
    courier: Option<&Courier>,
    old: Option<&settings::Traces>,
    new: Option<&settings::Traces>,
) {
    match (courier, new) {
        (Some(courier), Some(new)) => {
            // Files of TLS are read again, for they may hold others by now.
            let is_other = old.map(|old| &old.client) != Some(&new.client);
            if (is_other || new.client.endpoint.is_tls())
                && let Err(error) = courier.reconfigure(new.client.clone())
            {
                tracing::error!("SIGHUP: traces are sent as before: {error}");
            }
        }
        (None, Some(_)) => tracing::warn!("SIGHUP: traces are sent only after a restart"),
        (Some(_), None) => tracing::warn!("SIGHUP: traces are sent as before until a restart"),
        (None, None) => {}
    }
}

/// Spans of this project: those of its dependencies are below this level. Log lines stay log lines.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO
}

/// The span of a request, within the trace that its `traceparent` names.
pub(super) fn of_request(name: &'static str, request: &exporter_toolkit::Request) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = name,
        otel.kind = "server",
        http.request.method = "GET",
        url.path = request.path,
        client.address = %request.peer.ip(),
        user_agent.original = request.headers.get("user-agent"),
        http.response.status_code = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Caller(&request.headers));
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(%error, "a span began before it was told of its parent");
        }
    }
    span
}

/// The headers of whoever asks.
struct Caller<'a>(&'a Headers);

impl Extractor for Caller<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name).collect()
    }
}

/// The exporter of `opentelemetry-otlp` over our client. Its protocol is what it encodes, which is the same message whatever
/// the client makes of it.
fn exporter(
    courier: &Arc<Courier>,
    client: &otlp_client::Settings,
) -> Result<SpanExporter, ExporterBuildError> {
    SpanExporter::builder()
        .with_http()
        .with_http_client(Delivery { courier: Arc::clone(courier), runtime: Handle::current() })
        // What is said here it does not look for in variables: those are read once, by the configuration.
        .with_endpoint(ELSEWHERE)
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_timeout(client.timeout)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
}

/// An endpoint that nobody is asked for.
const ELSEWHERE: &str = "http://otlp-client/v1/traces";

/// Has requests delivered by our client, which knows where to and how.
#[derive(Debug)]
struct Delivery {
    courier: Arc<Courier>,
    /// The SDK calls from a thread of its own.
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Delivery {
    /// Address and headers are the courier's own. What a receiver rejects of a request, the courier tells.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let courier = Arc::clone(&self.courier);
        let payload = Payload { body: request.into_body(), points: 0 };
        let delivered = self.runtime.spawn(async move { courier.deliver(&payload).await }).await?;
        let status = delivered.map_or_else(status, |_| 200);
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }
}

/// What became of a request as a status, for that is all that comes through: from it the SDK's error and the label
/// `error_type` are made.
const fn status(reason: DropReason) -> u16 {
    match reason {
        DropReason::Timeout => 408,
        DropReason::TooLarge => 413,
        DropReason::NotRetryable | DropReason::Rejected => 400,
        DropReason::BadAnswer => 500,
        DropReason::QueueFull | DropReason::Shutdown => 503,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_delivered_is_no_success() {
        for reason in DropReason::ALL {
            assert!((400..600).contains(&status(reason)), "{reason:?}");
        }
    }
}
