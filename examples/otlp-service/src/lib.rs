//! A small shop over hyper that traces its requests and sends the traces to a collector by OTLP; what happens to the
//! spans is on `/metrics`, on a port of its own.
//!
//! [`Service::start`] is the whole of it: an exporter as `opentelemetry-otlp` makes it, three lines of
//! `runtime-metrics`, one call of `exporter-toolkit`, and a service that knows nothing of metrics.

mod shop;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use exporter_toolkit::{Background, serve_registry};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::Registry;
use runtime_metrics::{Protocol, RuntimeMetrics, SpanCounts};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_metrics::TaskMonitor;

/// Any error; programs show it and end.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a service is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the shop listens.
    pub listen: SocketAddr,
    /// Where `/metrics` is.
    pub metrics_listen: SocketAddr,
    /// The collector: `http://host:4317`, OTLP over gRPC.
    pub endpoint: String,
    /// How long one try of an export may take.
    pub timeout: Duration,
    /// How often an export is tried again.
    pub retry: RetryPolicy,
    /// Spans that wait at most while the collector is away.
    pub queue_spans_max: usize,
    /// How long spans wait for a batch to fill.
    pub batch_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            endpoint: "http://localhost:4317".to_owned(),
            timeout: Duration::from_secs(10),
            retry: RetryPolicy::recommended(),
            // Room for the backlog that the alert ExporterQueueBacklog speaks of.
            queue_spans_max: 16_384,
            batch_delay: Duration::from_secs(5),
        }
    }
}

/// A service that runs.
#[derive(Debug)]
pub struct Service {
    addr: SocketAddr,
    serving: JoinHandle<()>,
    page: Background,
    metrics: RuntimeMetrics,
    provider: SdkTracerProvider,
}

impl Service {
    /// Listens and answers, in the background of the current runtime.
    ///
    /// # Errors
    /// When an address is taken or the endpoint is not one.
    pub async fn start(options: Options) -> Result<Self, BoxError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(options.endpoint)
            .with_timeout(options.timeout)
            .with_retry_policy(options.retry)
            .build()?;

        let (registry, connections) = (Registry::new(), TaskMonitor::new());
        let metrics = RuntimeMetrics::builder()
            .service("otlp-service")
            .process(true)
            .tokio(Handle::current())
            .task_monitor("connections", connections.clone())
            .register(&registry)?;
        let provider = metrics
            .pipeline(exporter, Protocol::Grpc)
            .queue_spans_max(options.queue_spans_max)
            .batch_delay(options.batch_delay)
            .provider()
            .with_resource(Resource::builder().with_service_name("otlp-service").build())
            .build();
        let page = serve_registry(options.metrics_listen, registry)?;

        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let serving = tokio::spawn(shop::serve(listener, provider.tracer("shop"), connections));
        Ok(Self { addr, serving, page, metrics, provider })
    }

    /// Where the shop is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where `/metrics` is.
    #[must_use]
    pub fn metrics_addr(&self) -> SocketAddr {
        self.page.local_addr()
    }

    /// Where the spans are now.
    #[must_use]
    pub fn span_counts(&self) -> SpanCounts {
        self.metrics.span_counts()
    }

    /// Exports what waits, now.
    ///
    /// # Errors
    /// When the collector did not take it.
    pub async fn flush(&self) -> Result<(), BoxError> {
        let provider = self.provider.clone();
        // It waits for the exporter, which wants this runtime.
        Ok(tokio::task::spawn_blocking(move || provider.force_flush()).await??)
    }

    /// Takes no more requests, exports what waits, and only then takes the numbers away.
    ///
    /// # Errors
    /// When the collector did not take it.
    pub async fn stop(self) -> Result<SpanCounts, BoxError> {
        self.serving.abort();
        let provider = self.provider;
        let exported = tokio::task::spawn_blocking(move || provider.shutdown()).await?;
        self.page.stop().await?;
        exported?;
        Ok(self.metrics.span_counts())
    }
}
