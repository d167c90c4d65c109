//! Metrics that any Rust service can add to its `prometheus` registry: of its spans and their export, of Tokio, of the
//! process and the host.
//!
//! ```
//! # #[cfg(feature = "spans")] {
//! use opentelemetry::trace::{Tracer, TracerProvider};
//! use prometheus::{Registry, TextEncoder};
//! use runtime_metrics::{Protocol, RuntimeMetrics};
//!
//! # let exporter = opentelemetry_sdk::trace::InMemorySpanExporter::default();
//! let registry = Registry::new();
//! let metrics = RuntimeMetrics::builder().service("checkout").process(true).register(&registry)?;
//! let provider = metrics.pipeline(exporter, Protocol::Grpc).provider().build();
//!
//! // What follows is the service's own tracing, as ever.
//! provider.tracer("cart").in_span("pay", |_| ());
//! provider.force_flush()?;
//!
//! let page = TextEncoder::new().encode_to_string(&registry.gather())?;
//! assert!(page.contains(r#"otlp_spans_created_total{service_name="checkout",span_kind="internal"} 1"#));
//! assert!(page.contains(r#"otlp_spans_exported_total{exporter="otlp",status="success"} 1"#));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The core types: [`RuntimeMetrics`] and its [`Builder`] register what is asked for;
//! `RuntimeMetrics::pipeline` counts what happens to spans; [`ProcessCollector`] and `RuntimeCollector` stand for
//! themselves where a service wants only one of them.
//!
//! # What there is
//!
//! | metric | type | labels | source |
//! |---|---|---|---|
//! | `otlp_spans_created_total` | counter | service_name, span_kind | sampler: every span, sampled or not |
//! | `otlp_spans_sampled_total` | counter | service_name | sampler: those to be exported |
//! | `otlp_spans_live` | gauge | service_name | span processor: sampled, not ended |
//! | `otlp_exporter_queue_size` | gauge | exporter | span processor: ended, waiting |
//! | `otlp_exporter_queue_capacity` | gauge | exporter | the bound of the queue |
//! | `otlp_spans_dropped_total` | counter | exporter, reason | span processor |
//! | `otlp_exporter_in_flight_spans` | gauge | exporter | exporter: being sent |
//! | `otlp_spans_exported_total` | counter | exporter, status | exporter: spans of batches that ended |
//! | `otlp_spans_export_errors_total` | counter | exporter, error_type | exporter: spans of failed batches |
//! | `otlp_spans_duration_seconds` | histogram | service_name, span_kind | exporter: spans it was given |
//! | `otlp_exporter_batch_size` | histogram | | exporter: spans of each batch |
//! | `otlp_exporter_latency_seconds` | histogram | exporter, protocol | exporter: each export with its retries |
//! | `otlp_system_cpu_usage_percent` | gauge | | `/proc/stat`: the whole host, 100 for all cores |
//! | `otlp_system_memory_usage_bytes` | gauge | | `/proc/meminfo`: the whole host, MemTotal − MemAvailable |
//! | `otlp_system_tasks_count` | gauge | | live tasks of the runtime, where one was given |
//! | `process_*` | | | [`ProcessCollector`] |
//! | `tokio_runtime_*` | | worker | `RuntimeCollector` |
//! | `tokio_task_*` | counter | task | `Builder::task_monitor` |
//!
//! At every quiet moment `sampled = live + queue_size + in_flight + exported + dropped`, where `exported` counts both
//! outcomes: no span is lost without a number.
//!
//! # Why this shape
//!
//! - **Wrappers, not calls.** What a service has to remember to count, it forgets somewhere. The sampler sees every
//!   span, the processor every end, the exporter every batch, so these three are wrapped and the service's code
//!   stays as it is.
//! - **The bound of the queue is ours.** The SDK's batch processor drops spans when its queue is full and has no
//!   number for it. The wrapper admits fewer than that queue holds, so every drop is made, and counted, here.
//! - **Cheap for each span.** Four atomic operations, no lock, no allocation; histograms are fed where batches are
//!   exported. No lock is held across an export.
//! - **Closed sets.** Kinds, protocols, reasons and types of errors are enums; the names of service, exporter and
//!   tasks are fixed when they are registered. Nothing that a span carries becomes a label.
//! - **A process collector of its own.** That of the `prometheus` crate counts CPU in whole seconds, so a service that
//!   uses little shows steps and a rate of zero between them. This one has the kernel's nanoseconds, leaves out what
//!   it cannot measure, and brings no other reader of `/proc` along.
//!
//! # Features
//!
//! `spans` (`otlp_*`, and `RuntimeMetrics::observe` for an OpenTelemetry meter), `tokio` (`tokio_runtime_*`) and
//! `tasks` (`tokio_task_*`) are on by default; without them the crate is the process metrics.

pub mod catalogue;
mod family;
#[cfg(any(feature = "spans", feature = "fuzzing"))]
mod host;
#[cfg(feature = "spans")]
mod meter;
mod process;
#[cfg(feature = "tokio")]
mod runtime;
#[cfg(feature = "spans")]
mod spans;
#[cfg(feature = "spans")]
mod system;
#[cfg(feature = "tasks")]
mod tasks;

/// What fuzzing calls: a function panics where the parser breaks a promise.
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
#[doc(hidden)]
pub mod fuzzing {
    /// `/proc/self/stat`, `/proc/stat` and `/proc/meminfo`.
    pub fn process(data: &[u8]) {
        crate::process::fuzz(data);
        crate::host::fuzz(data);
    }
}

use std::path::PathBuf;
use std::sync::Arc;

pub use process::ProcessCollector;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
#[cfg(feature = "tokio")]
pub use runtime::RuntimeCollector;
#[cfg(feature = "spans")]
pub use spans::{
    CountingExporter, CountingProcessor, CountingSampler, DropReason, ErrorType, Pipeline, Protocol,
    SpanCounts,
};

/// What is registered, and where spans are counted. Dropping it changes nothing.
#[derive(Debug)]
#[non_exhaustive]
#[cfg_attr(not(feature = "spans"), expect(dead_code, reason = "it is kept for the meter"))]
pub struct RuntimeMetrics {
    process: Option<Arc<ProcessCollector>>,
    #[cfg(feature = "spans")]
    ledger: Arc<spans::Ledger>,
    #[cfg(feature = "spans")]
    spans_registered: bool,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
    #[cfg(feature = "tasks")]
    monitors: tasks::Monitors,
}

impl RuntimeMetrics {
    /// Begins with nothing chosen.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Chooses what to register; nothing is on unless said.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    process: bool,
    proc_root: PathBuf,
    #[cfg(feature = "spans")]
    service: Option<String>,
    #[cfg(feature = "spans")]
    exporter_name: String,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
    #[cfg(feature = "tasks")]
    monitors: tasks::Monitors,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            process: false,
            proc_root: PathBuf::from("/proc"),
            #[cfg(feature = "spans")]
            service: None,
            #[cfg(feature = "spans")]
            exporter_name: "otlp".to_owned(),
            #[cfg(feature = "tokio")]
            runtime: None,
            #[cfg(feature = "tasks")]
            monitors: Vec::new(),
        }
    }
}

impl Builder {
    /// Whether to add the metrics of [`ProcessCollector`].
    pub fn process(mut self, on: bool) -> Self {
        self.process = on;
        self
    }

    /// Reads process and host under another root than `/proc`, such as a fixture.
    pub fn proc_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.proc_root = root.into();
        self
    }

    /// Adds the `otlp_*` metrics; the name is the label `service_name`.
    #[cfg(feature = "spans")]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// The label `exporter` of the `otlp_*` metrics: `otlp` unless said.
    #[cfg(feature = "spans")]
    pub fn exporter_name(mut self, name: impl Into<String>) -> Self {
        self.exporter_name = name.into();
        self
    }

    /// Adds the metrics of [`RuntimeCollector`], and `otlp_system_tasks_count` where there is a
    /// [`service`](Self::service).
    #[cfg(feature = "tokio")]
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        self.runtime = Some(handle);
        self
    }

    /// Adds the `tokio_task_*` metrics of a monitor; the name is the label `task`. A second monitor of the same name
    /// takes the place of the first.
    #[cfg(feature = "tasks")]
    pub fn task_monitor(mut self, name: &'static str, monitor: tokio_metrics::TaskMonitor) -> Self {
        self.monitors.retain(|(earlier, _)| *earlier != name);
        self.monitors.push((name, monitor));
        self
    }

    /// Adds what was chosen to a registry.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(self, registry: &Registry) -> Result<RuntimeMetrics, RegisterError> {
        let process = self.process.then(|| Arc::new(ProcessCollector::with_proc_root(&self.proc_root)));
        if let Some(process) = &process {
            add(registry, "process", Shared(Arc::clone(process)))?;
        }
        #[cfg(feature = "tokio")]
        if let Some(handle) = &self.runtime {
            add(registry, "runtime", RuntimeCollector::new(handle))?;
        }
        #[cfg(feature = "tasks")]
        if !self.monitors.is_empty() {
            add(registry, "task", tasks::TaskCollector::new(self.monitors.clone()))?;
        }
        #[cfg(feature = "spans")]
        let spans_registered = self.service.is_some();
        #[cfg(feature = "spans")]
        let ledger = self.register_spans(registry)?;
        Ok(RuntimeMetrics {
            process,
            #[cfg(feature = "spans")]
            ledger,
            #[cfg(feature = "spans")]
            spans_registered,
            #[cfg(feature = "tokio")]
            runtime: self.runtime,
            #[cfg(feature = "tasks")]
            monitors: self.monitors,
        })
    }

    #[cfg(feature = "spans")]
    fn register_spans(&self, registry: &Registry) -> Result<Arc<spans::Ledger>, RegisterError> {
        let service = self.service.clone();
        let wanted = service.is_some();
        let ledger = spans::Ledger::new(service.unwrap_or_default(), self.exporter_name.clone());
        let ledger =
            Arc::new(ledger.map_err(|error| RegisterError { kind: "span", source: Box::new(error) })?);
        if wanted {
            add(registry, "span", spans::SpanCollector::new(Arc::clone(&ledger)))?;
            add(registry, "host", system::SystemCollector::new(&self.proc_root, self.count_tasks()))?;
        }
        Ok(ledger)
    }

    #[cfg(all(feature = "spans", feature = "tokio"))]
    fn count_tasks(&self) -> Option<system::CountTasks> {
        let runtime = self.runtime.as_ref()?.metrics();
        Some(Box::new(move || runtime.num_alive_tasks()))
    }

    #[cfg(all(feature = "spans", not(feature = "tokio")))]
    fn count_tasks(&self) -> Option<system::CountTasks> {
        None
    }
}

/// A collector that others read, too.
struct Shared<C>(Arc<C>);

impl<C: Collector> Collector for Shared<C> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

fn add(
    registry: &Registry,
    kind: &'static str,
    collector: impl Collector + 'static,
) -> Result<(), RegisterError> {
    registry.register(Box::new(collector)).map_err(|error| RegisterError { kind, source: Box::new(error) })
}

/// A registry refused a kind of metrics.
#[derive(Debug, thiserror::Error)]
#[error("failed to register the {kind} metrics; register each kind once per registry")]
pub struct RegisterError {
    kind: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}
