//! Every metric of this crate, each defined once: collectors, meter, documents, dashboards and alerts take names, units, labels
//! and buckets from here.
//!
//! ```
//! use runtime_metrics::catalogue;
//!
//! let alert = format!("{} > 1000", catalogue::QUEUE_SIZE.prometheus_name());
//! assert_eq!(alert, "otlp_exporter_queue_size > 1000");
//! ```
//!
//! Rows that a meter shows and no page has say so by [`MetricDef::only_aliased`]: what they count is on pages by other
//! labels.

use metric_schema::{Attribute, Conversion, MetricDef, OtelMetric, Unit, Values};

/// The values of `span_kind`.
pub const SPAN_KINDS: &[&str] = &["client", "consumer", "internal", "producer", "server"];
/// The values of `otel.span.sampling_result`.
pub const SAMPLING_RESULTS: &[&str] = &["DROP", "RECORD_ONLY", "RECORD_AND_SAMPLE"];
/// The values of `status`.
pub const STATUSES: &[&str] = &["error", "success"];
/// The values of `error_type`; `ErrorType` says what each means.
pub const ERROR_TYPES: &[&str] = &[
    "timeout",
    "unavailable",
    "throttled",
    "unauthenticated",
    "permission_denied",
    "unimplemented",
    "invalid",
    "internal",
    "cancelled",
    "panic",
    "shutdown",
    "other",
];
/// The values of `reason`; `DropReason` says what each means.
pub const DROP_REASONS: &[&str] = &["queue_full", "shutdown"];
/// The same in the words of `otel.sdk.processor.span.processed`.
pub const DROP_ERROR_TYPES: &[&str] = &["queue_full", "already_shutdown"];
/// The values of `protocol`, as `OTEL_EXPORTER_OTLP_PROTOCOL` has them.
pub const PROTOCOLS: &[&str] = &["grpc", "http/protobuf", "http/json", "other"];

/// By OTLP the Resource says it.
const SERVICE: Attribute = Attribute::new("service_name", Values::Given).on_pages_only();
const KIND: Attribute = Attribute::new("span_kind", Values::Closed(SPAN_KINDS)).on_pages_only();
const EXPORTER: Attribute = Attribute::new("exporter", Values::Given).on_pages_only();
const ERROR_TYPE: Attribute = Attribute::new("error_type", Values::Closed(ERROR_TYPES)).otel("error.type");
const WORKER: Attribute = Attribute::new("worker", Values::Given).otel("tokio.worker");
const TASK: Attribute = Attribute::new("task", Values::Given).otel("tokio.task");

const SPAN: Unit = Unit::Count("{span}");

/// Spans that the sampler was asked about.
pub const SPANS_CREATED: MetricDef = MetricDef::counter(
    "otlp.spans.created",
    SPAN,
    "spans",
    "Spans that the sampler was asked about, sampled or not.",
)
.by(&[SERVICE, KIND])
.not_otlp("otel.sdk.span.started has them by what the sampler decided");

/// Spans that are to be exported.
pub const SPANS_SAMPLED: MetricDef =
    MetricDef::counter("otlp.spans.sampled", SPAN, "spans", "Spans that the sampler wanted exported.")
        .by(&[SERVICE])
        .not_otlp("they are in otel.sdk.span.started");

/// Spans that have not ended.
pub const SPANS_LIVE: MetricDef =
    MetricDef::gauge("otlp.spans.live", SPAN, "spans", "Sampled spans that have not ended.")
        .by(&[SERVICE])
        .otel(
            OtelMetric::up_down("otel.sdk.span.live", SPAN)
                .with(&[("otel.span.sampling_result", "RECORD_AND_SAMPLE")])
                .by_convention(),
        );

/// Spans that wait.
pub const QUEUE_SIZE: MetricDef =
    MetricDef::gauge("otlp.exporter.queue_size", SPAN, "spans", "Spans that wait for the exporter.")
        .by(&[EXPORTER])
        .otel(OtelMetric::up_down("otel.sdk.processor.span.queue.size", SPAN).by_convention());

/// Spans that may wait: [`QUEUE_SIZE`] never exceeds it.
pub const QUEUE_CAPACITY: MetricDef =
    MetricDef::gauge("otlp.exporter.queue_capacity", SPAN, "spans", "Spans that may wait for the exporter.")
        .by(&[EXPORTER])
        .otel(OtelMetric::up_down("otel.sdk.processor.span.queue.capacity", SPAN).by_convention());

/// Spans that are being sent.
pub const IN_FLIGHT: MetricDef = MetricDef::gauge(
    "otlp.exporter.in_flight_spans",
    SPAN,
    "spans",
    "Spans that the exporter is sending just now.",
)
.by(&[EXPORTER])
.otel(OtelMetric::up_down("otel.sdk.exporter.span.inflight", SPAN).by_convention());

/// Spans of batches that ended, well or not.
pub const SPANS_EXPORTED: MetricDef =
    MetricDef::counter("otlp.spans.exported", SPAN, "spans", "Spans handed to the exporter, by outcome.")
        .by(&[EXPORTER, Attribute::new("status", Values::Closed(STATUSES)).on_pages_only()])
        .not_otlp("otel.sdk.exporter.span.exported has both outcomes");

/// Spans of batches that failed.
pub const EXPORT_ERRORS: MetricDef = MetricDef::counter(
    "otlp.spans.export_errors",
    SPAN,
    "spans",
    "Spans that the exporter failed to deliver, by type of error.",
)
.by(&[ERROR_TYPE, EXPORTER])
.not_otlp("otel.sdk.exporter.span.exported has them by error.type");

/// Spans that no exporter had.
pub const SPANS_DROPPED: MetricDef = MetricDef::counter(
    "otlp.spans.dropped",
    SPAN,
    "spans",
    "Sampled spans that the exporter never got, by reason.",
)
.by(&[EXPORTER, Attribute::new("reason", Values::Closed(DROP_REASONS)).on_pages_only()])
.not_otlp("otel.sdk.processor.span.processed has them by error.type");

/// How long spans took.
pub const SPAN_DURATION: MetricDef = MetricDef::histogram(
    "otlp.spans.duration",
    Unit::Seconds,
    "spans",
    "How long the spans took that were handed to the exporter.",
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0],
)
.by(&[SERVICE, KIND])
.not_otlp("the spans themselves say it");

/// How large batches are.
pub const BATCH_SIZE: MetricDef = MetricDef::histogram(
    "otlp.exporter.batch_size",
    SPAN,
    "spans",
    "Spans in each batch that was handed to the exporter.",
    &[10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0],
)
.not_otlp("the conventions have no such metric");

const LATENCY_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// How long exports take.
pub const EXPORT_LATENCY: MetricDef = MetricDef::histogram(
    "otlp.exporter.latency",
    Unit::Seconds,
    "spans",
    "How long each export took, with the exporter's own retries.",
    LATENCY_BUCKETS,
)
.by(&[EXPORTER, Attribute::new("protocol", Values::Closed(PROTOCOLS)).on_pages_only()])
.not_otlp("otel.sdk.exporter.operation.duration has it by error.type");

/// Spans that the sampler was asked about, for a meter.
pub const SDK_STARTED: MetricDef =
    MetricDef::counter("otel.sdk.span.started", SPAN, "spans", "Spans that were created.")
        .by(&[Attribute::new("sampling_result", Values::Closed(SAMPLING_RESULTS))
            .otel("otel.span.sampling_result")])
        .only_aliased("pages have them by kind")
        .otel(OtelMetric::counter("otel.sdk.span.started", SPAN).by_convention());

/// Spans that left the queue or never came to it, for a meter.
pub const SDK_PROCESSED: MetricDef = MetricDef::counter(
    "otel.sdk.processor.span.processed",
    SPAN,
    "spans",
    "Spans that the processor is done with.",
)
.by(&[Attribute::new("error_type", Values::Closed(DROP_ERROR_TYPES)).otel("error.type")])
.only_aliased("pages have what was dropped by itself")
.otel(OtelMetric::counter("otel.sdk.processor.span.processed", SPAN).by_convention());

/// Spans of batches that ended, for a meter.
pub const SDK_EXPORTED: MetricDef =
    MetricDef::counter("otel.sdk.exporter.span.exported", SPAN, "spans", "Spans whose export ended.")
        .by(&[ERROR_TYPE])
        .only_aliased("pages have the outcomes in two metrics")
        .otel(OtelMetric::counter("otel.sdk.exporter.span.exported", SPAN).by_convention());

/// How long exports take, for a meter.
pub const SDK_OPERATION_DURATION: MetricDef = MetricDef::histogram(
    "otel.sdk.exporter.operation.duration",
    Unit::Seconds,
    "spans",
    "How long exports took.",
    LATENCY_BUCKETS,
)
.by(&[ERROR_TYPE])
.only_aliased("pages have it by protocol")
.otel(OtelMetric::histogram("otel.sdk.exporter.operation.duration", Unit::Seconds).by_convention());

/// What becomes of spans.
pub const SPANS: &[MetricDef] = &[
    SPANS_CREATED,
    SPANS_SAMPLED,
    SPANS_LIVE,
    QUEUE_SIZE,
    QUEUE_CAPACITY,
    IN_FLIGHT,
    SPANS_EXPORTED,
    EXPORT_ERRORS,
    SPANS_DROPPED,
    SPAN_DURATION,
    BATCH_SIZE,
    EXPORT_LATENCY,
    SDK_STARTED,
    SDK_PROCESSED,
    SDK_EXPORTED,
    SDK_OPERATION_DURATION,
];

const OF_HOSTS: &str = "what runs on the host sends the host's numbers";

/// CPU of the whole host.
pub const SYSTEM_CPU: MetricDef = MetricDef::gauge(
    "otlp.system.cpu.usage",
    Unit::Percent,
    "system",
    "CPU time of the whole host that was not idle, 100 for all cores, over the last seconds.",
)
.not_otlp(OF_HOSTS);

/// Memory of the whole host.
pub const SYSTEM_MEMORY: MetricDef = MetricDef::gauge(
    "otlp.system.memory.usage",
    Unit::Bytes,
    "system",
    "Memory of the whole host that is not available.",
)
.not_otlp(OF_HOSTS);

/// Live async tasks.
pub const SYSTEM_TASKS: MetricDef = MetricDef::gauge(
    "otlp.system.tasks.count",
    Unit::Count("{task}"),
    "system",
    "Async tasks of the service that live.",
)
.not_otlp("tokio.runtime.alive_tasks has it");

/// What goes with [`SPANS`]: the host, and the service's tasks.
pub const SYSTEM: &[MetricDef] = &[SYSTEM_CPU, SYSTEM_MEMORY, SYSTEM_TASKS];

/// CPU time of the process. Names and HELP of the `process_*` metrics are those of the Prometheus client libraries, so
/// that dashboards for them fit.
pub const PROCESS_CPU: MetricDef = MetricDef::counter(
    "process.cpu",
    Unit::Seconds,
    "process",
    "Total user and system CPU time spent in seconds.",
)
.otel(OtelMetric::counter("process.cpu.time", Unit::Seconds).by_convention());

/// The soft limit of file descriptors.
pub const PROCESS_MAX_FDS: MetricDef = MetricDef::gauge(
    "process.max_fds",
    Unit::Count("{file_descriptor}"),
    "process",
    "Maximum number of open file descriptors.",
)
.not_otlp("the conventions have no such metric");

/// Open file descriptors.
pub const PROCESS_OPEN_FDS: MetricDef = MetricDef::gauge(
    "process.open_fds",
    Unit::Count("{file_descriptor}"),
    "process",
    "Number of open file descriptors.",
)
.otel(
    OtelMetric::up_down("process.unix.file_descriptor.count", Unit::Count("{file_descriptor}"))
        .by_convention(),
);

/// Resident memory.
pub const PROCESS_RESIDENT_MEMORY: MetricDef =
    MetricDef::gauge("process.resident_memory", Unit::Bytes, "process", "Resident memory size in bytes.")
        .otel(OtelMetric::up_down("process.memory.usage", Unit::Bytes).by_convention());

/// When the process started.
pub const PROCESS_START_TIME: MetricDef = MetricDef::gauge(
    "process.start_time",
    Unit::UnixSeconds,
    "process",
    "Start time of the process since unix epoch in seconds.",
)
.otel(OtelMetric::gauge("process.uptime", Unit::Seconds).converted(Conversion::Age).by_convention());

/// Threads.
pub const PROCESS_THREADS: MetricDef = MetricDef::gauge(
    "process.threads",
    Unit::Count("{thread}"),
    "process",
    "Number of OS threads in the process.",
)
.otel(OtelMetric::up_down("process.thread.count", Unit::Count("{thread}")).by_convention());

/// Virtual memory.
pub const PROCESS_VIRTUAL_MEMORY: MetricDef =
    MetricDef::gauge("process.virtual_memory", Unit::Bytes, "process", "Virtual memory size in bytes.")
        .otel(OtelMetric::up_down("process.memory.virtual", Unit::Bytes).by_convention());

/// The process itself.
pub const PROCESS: &[MetricDef] = &[
    PROCESS_CPU,
    PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
    PROCESS_THREADS,
    PROCESS_VIRTUAL_MEMORY,
];

/// Live tasks.
pub const ALIVE_TASKS: MetricDef = MetricDef::gauge(
    "tokio.runtime.alive_tasks",
    Unit::Count("{task}"),
    "tokio",
    "Tasks that were spawned and have not ended.",
);

/// Tasks in the common queue.
pub const GLOBAL_QUEUE: MetricDef = MetricDef::gauge(
    "tokio.runtime.global_queue_depth",
    Unit::Count("{task}"),
    "tokio",
    "Tasks that are ready to run and that no worker has taken yet.",
);

/// Busy time of workers.
pub const WORKER_BUSY: MetricDef = MetricDef::counter(
    "tokio.runtime.worker.busy_duration",
    Unit::Seconds,
    "tokio",
    "Time that a worker was not waiting for work.",
)
.by(&[WORKER]);

/// How often workers slept.
pub const WORKER_PARKS: MetricDef = MetricDef::counter(
    "tokio.runtime.worker.parks",
    Unit::Count("{park}"),
    "tokio",
    "How often a worker ran out of work and waited.",
)
.by(&[WORKER]);

/// Workers.
pub const WORKERS: MetricDef = MetricDef::gauge(
    "tokio.runtime.workers",
    Unit::Count("{worker}"),
    "tokio",
    "Worker threads of the runtime.",
);

/// A Tokio runtime. OpenTelemetry has no conventions for it; the names are in their style.
pub const RUNTIME: &[MetricDef] = &[ALIVE_TASKS, GLOBAL_QUEUE, WORKER_BUSY, WORKER_PARKS, WORKERS];

/// Tasks that are gone.
pub const TASKS_DROPPED: MetricDef = MetricDef::counter(
    "tokio.task.dropped",
    Unit::Count("{task}"),
    "tasks",
    "Tasks that ended or were dropped.",
)
.by(&[TASK]);

/// Idle time.
pub const TASKS_IDLE: MetricDef = MetricDef::counter(
    "tokio.task.idle_duration",
    Unit::Seconds,
    "tasks",
    "Time that tasks waited for an event.",
)
.by(&[TASK]);

/// Tasks that are watched.
pub const TASKS_INSTRUMENTED: MetricDef = MetricDef::counter(
    "tokio.task.instrumented",
    Unit::Count("{task}"),
    "tasks",
    "Tasks that were given to the monitor.",
)
.by(&[TASK]);

/// Running time.
pub const TASKS_POLL_DURATION: MetricDef =
    MetricDef::counter("tokio.task.poll_duration", Unit::Seconds, "tasks", "Time that tasks ran.")
        .by(&[TASK]);

/// How often tasks ran.
pub const TASKS_POLLS: MetricDef =
    MetricDef::counter("tokio.task.polls", Unit::Count("{poll}"), "tasks", "How often tasks ran.")
        .by(&[TASK]);

/// Waiting time for a worker.
pub const TASKS_SCHEDULED_DURATION: MetricDef = MetricDef::counter(
    "tokio.task.scheduled_duration",
    Unit::Seconds,
    "tasks",
    "Time that tasks were ready and waited for a worker.",
)
.by(&[TASK]);

/// How often tasks became ready.
pub const TASKS_SCHEDULED: MetricDef = MetricDef::counter(
    "tokio.task.scheduled",
    Unit::Count("{schedule}"),
    "tasks",
    "How often tasks became ready.",
)
.by(&[TASK]);

/// Polls that took long.
pub const TASKS_SLOW_POLLS: MetricDef = MetricDef::counter(
    "tokio.task.slow_polls",
    Unit::Count("{poll}"),
    "tasks",
    "How often tasks ran for longer than the monitor calls fast, 50 µs unless said.",
)
.by(&[TASK]);

/// The tasks of a monitor.
pub const TASKS: &[MetricDef] = &[
    TASKS_DROPPED,
    TASKS_IDLE,
    TASKS_INSTRUMENTED,
    TASKS_POLL_DURATION,
    TASKS_POLLS,
    TASKS_SCHEDULED_DURATION,
    TASKS_SCHEDULED,
    TASKS_SLOW_POLLS,
];

/// Every row, by group.
pub fn all() -> impl Iterator<Item = &'static MetricDef> {
    [SPANS, SYSTEM, PROCESS, RUNTIME, TASKS].into_iter().flatten()
}
