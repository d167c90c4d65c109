//! The exporter's own traces: spans of `tracing` leave by OTLP.
//!
//! The SDK samples and batches, `runtime-metrics` counts, and the client that sends metrics sends these too
//! (docs/adr/0013-own-traces-by-our-client.md). Without a receiver nothing of it is made, and a span costs one comparison.

use std::sync::Arc;
use std::time::Duration;

use exporter_toolkit::{Headers, Request};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use otlp_client::{Courier, DropReason, Payload, Protocol, SettingsError};
use prost::Message as _;
use runtime_metrics::RuntimeMetrics;
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::{Layer, Registry};

use super::resource;
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
    pub(super) fn start(
        traces: &settings::Traces,
        metrics: Arc<RuntimeMetrics>,
    ) -> Result<Self, SettingsError> {
        let settings::Traces { client, ratio, .. } = traces;
        let courier = Arc::new(Courier::new(client.clone())?);
        let exporter = Exporter {
            courier: Arc::clone(&courier),
            timeout: client.timeout,
            runtime: Handle::current(),
            resource: ResourceAttributesWithSchema::default(),
        };
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
pub(super) fn of_request(name: &'static str, request: &Request) -> Span {
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

/// Encodes batches and has them delivered.
#[derive(Debug)]
struct Exporter {
    courier: Arc<Courier>,
    timeout: Duration,
    /// The SDK calls from a thread of its own.
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let points = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
        let courier = Arc::clone(&self.courier);
        let deliver = async move { courier.deliver(&Payload { body, points }).await };
        match self.runtime.spawn(deliver).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(DropReason::Timeout)) => Err(OTelSdkError::Timeout(self.timeout)),
            // The client has told why, in its own line.
            Ok(Err(reason)) => Err(OTelSdkError::InternalFailure(reason.as_str().to_owned())),
            Err(_) => Err(OTelSdkError::AlreadyShutdown),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
