//! Group exporter: what this exporter does and what it could not see.

use metric_schema::{Attribute, MetricDef, Unit, Values};

use super::{Dimension, Row, Source, rows};
use crate::Group;

const G: &str = Group::Exporter.as_str();
const BY_SOURCE: &[Attribute] =
    &[Attribute::new("source", Values::Capped(16)).otel("container_exporter.source")];
const BY_REASON: &[Attribute] =
    &[Attribute::new("reason", Values::Capped(16)).otel("container_exporter.reason")];
const ABSENT: &[Attribute] = &[
    Attribute::new("group", Values::Capped(32)).otel("container_exporter.group"),
    Attribute::new("reason", Values::Capped(32)).otel("container_exporter.reason"),
];
const BY_GROUP: &[Attribute] =
    &[Attribute::new("group", Values::Capped(32)).otel("container_exporter.group")];
const BUILD: &[Attribute] =
    &[Attribute::new("version", Values::Capped(1)), Attribute::new("revision", Values::Capped(1))];
const ENGINE: &[Attribute] = &[
    Attribute::new("source", Values::Capped(16)).otel("container_exporter.source"),
    Attribute::new("engine", Values::Capped(16)).otel("container.runtime.name"),
    Attribute::new("version", Values::Capped(16)).otel("container.runtime.version"),
    Attribute::new("api_version", Values::Capped(16)).otel("container_exporter.engine.api_version"),
    Attribute::new("cgroup_driver", Values::Capped(16)).otel("container_exporter.engine.cgroup_driver"),
    Attribute::new("storage_driver", Values::Capped(16)).otel("container_exporter.engine.storage_driver"),
    Attribute::new("endpoint", Values::Capped(16)).otel("container_exporter.engine.endpoint"),
];
const HTTP: &[Attribute] = &[
    Attribute::new("handler", Values::Capped(16)).otel("container_exporter.http.handler"),
    Attribute::new("code", Values::Capped(16)).otel("container_exporter.http.code"),
];

const COUNTED: Source = Source::Collector;
const SOURCE: Source = Source::CollectorTable(Dimension::Source);

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        BUILD_INFO, CGROUPS_UP, COLLECTION_SECONDS, COLLECTIONS, CONTAINERS_DROPPED, ENGINE_INFO,
        FINAL_SAMPLES_MISSED, HTTP_CONNECTIONS, HTTP_REFUSED, HTTP_REQUESTS, KEPT_FDS, LABELS_DROPPED,
        METRIC_ABSENT, OTLP_EXPORTED, OTLP_FAILED, OTLP_INFLIGHT, OTLP_OPERATION_SECONDS, OTLP_OPERATIONS,
        OTLP_QUEUE_BYTES, OTLP_QUEUE_LIMIT, OTLP_REQUESTS, SERIES_DROPPED, SOURCE_CONTAINERS, SOURCE_ERRORS,
        SOURCE_EVENT_ERRORS, SOURCE_EVENTS, SOURCE_LISTS, SOURCE_MALFORMED, SOURCE_RECONNECTS,
        SOURCE_REQUESTS, SOURCE_UP, STUCK_WORKERS, TIMED_OUT,
    };
}

rows! { super::engine::END;
    BUILD_INFO = Row::exporter(
        MetricDef::gauge("container_exporter.build_info", Unit::One, G, "1, with version and revision as labels.")
            .not_otlp("service.version of the exporter's Resource").by(BUILD),
        Source::CollectorTable(Dimension::Build));
    ENGINE_INFO = Row::exporter(
        MetricDef::gauge("container_exporter.engine_info", Unit::One, G, "1 for each engine that answered, with what it says of itself as labels.").by(ENGINE),
        Source::CollectorTable(Dimension::EngineInfo));
    SOURCE_UP = Row::exporter(
        MetricDef::gauge("container_exporter.source_up", Unit::One, G, "1 while the source of identities answers, else 0.").by(BY_SOURCE), SOURCE);
    SOURCE_CONTAINERS = Row::exporter(
        MetricDef::up_down("container_exporter.source_containers", Unit::Count("{container}"), G, "Containers that the source told of.").by(BY_SOURCE), SOURCE);
    SOURCE_REQUESTS = Row::exporter(
        MetricDef::counter("container_exporter.source_requests", Unit::Count("{request}"), G, "Requests sent to the engine.").by(BY_SOURCE), SOURCE);
    SOURCE_ERRORS = Row::exporter(
        MetricDef::counter("container_exporter.source_request_errors", Unit::Count("{request}"), G, "Requests to the engine that failed or timed out.").by(BY_SOURCE), SOURCE);
    SOURCE_EVENTS = Row::exporter(
        MetricDef::counter("container_exporter.source_events", Unit::Count("{event}"), G, "Events received from the engine.").by(BY_SOURCE), SOURCE);
    SOURCE_EVENT_ERRORS = Row::exporter(
        MetricDef::counter("container_exporter.source_event_errors", Unit::Count("{event}"), G, "Events that could not be understood.").by(BY_SOURCE), SOURCE);
    SOURCE_RECONNECTS = Row::exporter(
        MetricDef::counter("container_exporter.source_reconnects", Unit::Count("{connection}"), G, "Connections to the engine made again after a loss.").by(BY_SOURCE), SOURCE);
    SOURCE_LISTS = Row::exporter(
        MetricDef::counter("container_exporter.source_lists", Unit::Count("{list}"), G, "Whole lists of containers taken.").by(BY_SOURCE), SOURCE);
    SOURCE_MALFORMED = Row::exporter(
        MetricDef::counter("container_exporter.source_malformed", Unit::Count("{container}"), G, "Descriptions of containers that could be understood only in part.").by(BY_SOURCE), SOURCE);
    METRIC_ABSENT = Row::exporter(
        MetricDef::gauge("container_exporter.metric_absent", Unit::Count("{container}"), G,
            "Containers of which at least one metric of the group is absent, by reason.").by(ABSENT),
        Source::CollectorTable(Dimension::Absent));
    SERIES_DROPPED = Row::exporter(
        MetricDef::gauge("container_exporter.series_dropped", Unit::Count("{series}"), G,
            "Series of the group that the last collection left out because there were more than metrics.series_per_group; a gauge, as a sum over collections would only tell how often somebody looked.").by(BY_GROUP),
        Source::CollectorTable(Dimension::Absent));
    COLLECTIONS = Row::exporter(
        MetricDef::counter("container_exporter.collections", Unit::Count("{collection}"), G, "Collections made."), COUNTED);
    COLLECTION_SECONDS = Row::exporter(
        MetricDef::counter("container_exporter.collection", Unit::Seconds, G, "Time spent in collections."), COUNTED);
    TIMED_OUT = Row::exporter(
        MetricDef::counter("container_exporter.collections_timed_out", Unit::Count("{container}"), G, "Containers that were not read within a collection's deadline."), COUNTED);
    STUCK_WORKERS = Row::exporter(
        MetricDef::gauge("container_exporter.workers_stuck", Unit::Count("{thread}"), G, "Sampling threads that wait in a read which does not return."), COUNTED);
    FINAL_SAMPLES_MISSED = Row::exporter(
        MetricDef::counter("container_exporter.final_samples_missed", Unit::Count("{run}"), G,
            "Runs that ended without a last sample: what they used since the sample before is not counted."), COUNTED);
    CONTAINERS_DROPPED = Row::exporter(
        MetricDef::gauge("container_exporter.containers_dropped", Unit::Count("{container}"), G, "Containers that are not shown, by reason.").by(BY_REASON),
        Source::CollectorTable(Dimension::Reason));
    LABELS_DROPPED = Row::exporter(
        MetricDef::gauge("container_exporter.labels_dropped", Unit::Count("{label}"), G,
            "Container labels that the page leaves out or cuts: too many, too long, or of a name already taken."), COUNTED);
    KEPT_FDS = Row::exporter(
        MetricDef::gauge("container_exporter.kept_fds", Unit::Count("{fd}"), G, "File descriptors kept open to read the kernel's files."), COUNTED);
    CGROUPS_UP = Row::exporter(
        MetricDef::gauge("container_exporter.cgroups_up", Unit::One, G,
            "1 while the cgroup file system is mounted where it is looked for, else 0."), COUNTED);
    HTTP_REQUESTS = Row::exporter(
        MetricDef::counter("container_exporter.http_requests", Unit::Count("{request}"), G, "HTTP requests answered, by handler and status code class.").by(HTTP),
        Source::CollectorTable(Dimension::Http));
    HTTP_REFUSED = Row::exporter(
        MetricDef::counter("container_exporter.http_refused", Unit::Count("{request}"), G, "HTTP requests and connections refused because a limit was reached, by limit.").by(BY_REASON),
        Source::CollectorTable(Dimension::Reason));
    HTTP_CONNECTIONS = Row::exporter(
        MetricDef::gauge("container_exporter.http_connections", Unit::Count("{connection}"), G, "Open HTTP connections."), COUNTED);
    OTLP_EXPORTED = Row::exporter(
        MetricDef::counter("container_exporter.otlp_points_exported", Unit::Count("{data_point}"), G, "Data points that the receiver of OTLP took."), COUNTED);
    OTLP_FAILED = Row::exporter(
        MetricDef::counter("container_exporter.otlp_points_failed", Unit::Count("{data_point}"), G, "Data points that were not delivered by OTLP, by reason.").by(BY_REASON),
        Source::CollectorTable(Dimension::Reason));
    OTLP_INFLIGHT = Row::exporter(
        MetricDef::gauge("container_exporter.otlp_points_inflight", Unit::Count("{data_point}"), G, "Data points of the OTLP request that is being sent or tried again."), COUNTED);
    OTLP_QUEUE_BYTES = Row::exporter(
        MetricDef::gauge("container_exporter.otlp_queue", Unit::Bytes, G, "Bytes of OTLP requests that wait or are being sent, before compression."), COUNTED);
    OTLP_QUEUE_LIMIT = Row::exporter(
        MetricDef::gauge("container_exporter.otlp_queue_limit", Unit::Bytes, G, "The most of those."), COUNTED);
    OTLP_OPERATIONS = Row::exporter(
        MetricDef::counter("container_exporter.otlp_operations", Unit::Count("{export}"), G, "OTLP requests that were sent, each counted once however often it was tried, whatever became of it."), COUNTED);
    OTLP_OPERATION_SECONDS = Row::exporter(
        MetricDef::counter("container_exporter.otlp_operation", Unit::Seconds, G, "Time spent in those, from the first try to the end of the last."), COUNTED);
    OTLP_REQUESTS = Row::exporter(
        MetricDef::counter("container_exporter.otlp_requests", Unit::Count("{request}"), G, "OTLP requests that were sent, each try counted."), COUNTED);
}
