//! The eight alerts of a service that counts its spans. Names, conditions, times and severities are those that their users have
//! known for long: divisions are not guarded, and sums are over all that Prometheus scrapes.

use mixin::{
    About, Alert, Expr, Metric, Runbook, Selector, Series, Setting, Severity, Signal, Step, Trial, above,
    below, far_above, target,
};
use runtime_metrics::catalogue as runtime;

use super::spans::{greatest_bound, latencies};
use super::{ON_SERVICE, RATE, RATE_MINUTES, RECEIVER, by_minute};

/// The job under which Prometheus scrapes the service.
const JOB: &str = "otlp-service";

const COMPONENT_EXPORTER: &[(&str, &str)] = &[("component", "exporter")];
const COMPONENT_SYSTEM: &[(&str, &str)] = &[("component", "system")];
const COMPONENT_SERVICE: &[(&str, &str)] = &[("component", "service")];
const COMPONENT_TRACER: &[(&str, &str)] = &[("component", "tracer")];

const CREATED: Metric = Metric::of(&runtime::SPANS_CREATED);
const EXPORTED: Metric = Metric::of(&runtime::SPANS_EXPORTED);
const ERRORS: Metric = Metric::of(&runtime::EXPORT_ERRORS);
const LATENCY: Metric = Metric::of(&runtime::EXPORT_LATENCY);
const QUEUE: Metric = Metric::of(&runtime::QUEUE_SIZE);
const CPU: Metric = Metric::of(&runtime::SYSTEM_CPU);
const MEMORY: Metric = Metric::of(&runtime::SYSTEM_MEMORY);
const UP: Metric = Metric::of(&target::UP);

/// Spans in a minute that the trials export.
const SPANS: f64 = 1024.0;

pub(super) fn alerts() -> Vec<Alert> {
    vec![
        high_export_error_rate(),
        high_export_latency(),
        exporter_queue_backlog(),
        high_memory_usage(),
        high_cpu_usage(),
        service_down(),
        low_span_creation_rate(),
        critical_export_failure_rate(),
    ]
}

const LOGS: Step = Step::Shell(
    "What the service and the collector say of it.",
    "docker logs --since 15m \"$SERVICE\" 2>&1 | tail -50; docker logs --since 15m otel-collector 2>&1 | tail -50",
);
const PAGE: Step = Step::Shell(
    "What the service itself shows now; `instance` is the alert's.",
    "curl -sS \"http://$INSTANCE/metrics\" | grep ^otlp_",
);

fn errors_by_type() -> Expr {
    ERRORS.rate(RATE).sum_by(&["error_type"])
}

fn success() -> Expr {
    EXPORTED.select().eq("status", "success").rate(RATE).sum().over(EXPORTED.rate(RATE).sum())
}

fn exported(status: &str) -> Selector {
    EXPORTED.select().eq("exporter", "otlp").eq("status", status)
}

fn high_export_error_rate() -> Alert {
    Alert::new(
        "HighExportErrorRate",
        |chosen| ERRORS.rate(RATE).sum().over(EXPORTED.rate(RATE).sum()).gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "More than 5 % of all spans that were handed to exporters in the last five minutes could not be delivered.",
            "Traces have gaps. If it gets worse, they are useless.",
            &[
                Step::Query("What goes wrong, by type: `unavailable` and `timeout` are the way or the receiver, `unauthenticated` the credentials.", errors_by_type),
                Step::Query("Which services and exporters.", || ERRORS.rate(RATE).sum_by(&["job", "instance", "exporter"])),
                RECEIVER,
                LOGS,
            ],
            &[
                "`unavailable`, `timeout`: start or mend the collector; spans that wait are sent then.",
                "`unauthenticated`, `permission_denied`: renew the credentials (`OTEL_EXPORTER_OTLP_HEADERS`).",
                "`throttled`: sample less (`OTEL_TRACES_SAMPLER_ARG`), or let the receiver take more.",
                "`invalid`: a collector that is much older than the service; bring it up to date.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let errors = ERRORS.select().eq("error_type", "unavailable").eq("exporter", "otlp");
            Trial::new(
                About::All,
                far_above(t),
                vec![
                    Signal::counter(errors, below(t) * SPANS, far_above(t) * SPANS),
                    Signal::counter(exported("success"), SPANS, SPANS).divides(),
                ],
            )
            .unguarded()
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Exports of spans fail.", "{value:percent} of the exported spans failed within 5 minutes.")
    .labelled(COMPONENT_EXPORTER)
    .setting(Setting::threshold(0.05, "share of the exported spans"))
    .wait_minutes(5)
}

fn high_export_latency() -> Alert {
    fn quantile(quantile: f64) -> Expr {
        LATENCY.series(Series::Bucket).rate(RATE).sum_by(&["le"]).histogram_quantile(quantile)
    }
    Alert::new(
        "HighExportLatency",
        |chosen| quantile(0.95).gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "Five of a hundred exports, over all services, have taken more than a second in the last five minutes, retries included.",
            "Spans arrive late, and the queues in front of the exporters grow.",
            &[
                Step::Query("The median: is every export slow, or only some?", || quantile(0.5)),
                Step::Query("By service.", || {
                    LATENCY.series(Series::Bucket).rate(RATE).sum_by(&["job", "instance", "le"]).histogram_quantile(0.95)
                }),
                Step::Query("Spans that wait.", || QUEUE.now()),
                RECEIVER,
                LOGS,
            ],
            &[
                "If the collector waits for its back end, mend that, or give the collector a larger queue.",
                "If the network is slow, put a collector on the service's own host.",
                "See [ExportSlow](ExportSlow.md), which says it by service.",
            ],
        ),
        |chosen| Trial::new(About::All, greatest_bound(), latencies(chosen.threshold())).settles_after_minutes(RATE_MINUTES),
    )
    .says("Exports of spans are slow.", "The 95th percentile of export latency is {value:number} s.")
    .labelled(COMPONENT_EXPORTER)
    .setting(Setting::threshold(1.0, "seconds that 95 of 100 exports take at most"))
    .wait_minutes(5)
}

fn exporter_queue_backlog() -> Alert {
    Alert::new(
        "ExporterQueueBacklog",
        |chosen| QUEUE.now().gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "More than 10,000 spans have waited in front of an exporter for ten minutes.",
            "They arrive late; when the queue is full, new spans are dropped.",
            &[
                Step::Query("How many wait, and how many may.", || QUEUE.now().per(Metric::of(&runtime::QUEUE_CAPACITY).now())),
                Step::Query("Spans that are dropped already.", || Metric::of(&runtime::SPANS_DROPPED).rate(RATE)),
                Step::Query("Spans made in a second, against those that are exported.", || CREATED.rate(RATE).sum_by(&["instance"])),
                Step::Query("Spans exported in a second.", || EXPORTED.rate(RATE).sum_by(&["instance"])),
                RECEIVER,
                LOGS,
            ],
            &[
                "If exports fail or are slow, see [HighExportErrorRate](HighExportErrorRate.md) and [HighExportLatency](HighExportLatency.md).",
                "If more spans are made than can be sent, sample (`OTEL_TRACES_SAMPLER=parentbased_traceidratio`) or send larger batches \
                 (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            Trial::new(About::Target, above(t), vec![Signal::gauge(QUEUE.select().eq("exporter", "otlp"), below(t), above(t))])
        },
    )
    .says("Spans pile up in front of an exporter.", "{value:count} spans wait for exporter {exporter} of {instance}.")
    .labelled(COMPONENT_EXPORTER)
    .setting(Setting::threshold(10_000.0, "spans"))
    .wait_minutes(10)
}

fn high_memory_usage() -> Alert {
    Alert::new(
        "HighMemoryUsage",
        |chosen| MEMORY.now().over(1024.0).over(1024.0).over(1024.0).gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "The host of the service has had more than 3.5 GiB of its memory in use for five minutes.",
            "On a host of 4 GiB the kernel soon has to kill a process.",
            &[
                Step::Shell("What the host has, and who has it.", "free -m; ps -eo rss,comm,cgroup --sort=-rss | head -15"),
                Step::Query("The service's own part.", || Metric::of(&runtime::PROCESS_RESIDENT_MEMORY).now()),
                Step::Query("Spans that wait: a full queue takes memory.", || QUEUE.now()),
                PAGE,
            ],
            &[
                "On larger hosts raise `alert.HighMemoryUsage.threshold`.",
                "If it is the service, restart it to win time, and bound its queue (`OTEL_BSP_MAX_QUEUE_SIZE`).",
                "If it is a container beside it, give that a limit: `docker update --memory 1g --memory-swap 1g NAME`.",
            ],
        ),
        |chosen| {
            const GIBIBYTE: f64 = 1_073_741_824.0;
            let t = chosen.threshold();
            Trial::new(About::Target, above(t), vec![Signal::gauge(MEMORY.select(), below(t) * GIBIBYTE, above(t) * GIBIBYTE)])
        },
    )
    .says("A service's host uses much memory.", "The host of {instance} uses {value:number} GiB of memory.")
    .labelled(COMPONENT_SYSTEM)
    .setting(Setting::threshold(3.5, "GiB"))
    .wait_minutes(5)
}

fn high_cpu_usage() -> Alert {
    Alert::new(
        "HighCPUUsage",
        |chosen| CPU.now().gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "The CPUs of the service's host have been busy for more than 80 % of the time, for ten minutes.",
            "Requests wait for a CPU; response times grow, the slowest first.",
            &[
                Step::Shell(
                    "Who uses them.",
                    "cat /proc/loadavg /proc/pressure/cpu; ps -eo pcpu,comm,cgroup --sort=-pcpu | head -15",
                ),
                Step::Query("The service's own part, in cores.", || {
                    Metric::of(&runtime::PROCESS_CPU).rate(RATE)
                }),
                Step::Query("Spans made in a second: is it more work than usual?", || {
                    CREATED.rate(RATE).sum_by(&["instance"])
                }),
                PAGE,
            ],
            &[
                "If it is more work than usual, share it among more hosts.",
                "If it is a container beside it, bound that: `docker update --cpus 1 NAME`.",
                "If it began with a new version, go back to the one before.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            Trial::new(About::Target, above(t), vec![Signal::gauge(CPU.select(), below(t), above(t))])
        },
    )
    .says(
        "A service's host is busy.",
        "The CPUs of the host of {instance} are busy for {value:count} % of the time.",
    )
    .labelled(COMPONENT_SYSTEM)
    .setting(Setting::threshold(80.0, "percent of all CPUs"))
    .wait_minutes(10)
}

fn service_down() -> Alert {
    Alert::new(
        "ServiceDown",
        |chosen| UP.select().eq("job", chosen.job()).now().equal(0.0),
        ON_SERVICE,
        Runbook::new(
            "Prometheus has not been able to scrape the service for a minute.",
            "It is most likely down. While this alert fires, the instance's warnings are held back.",
            &[
                Step::Shell("Why, in Prometheus' words. `PROMETHEUS` is its address.", r#"curl -sS "http://$PROMETHEUS/api/v1/targets?state=active" | jq -r '.data.activeTargets[] | select(.health != "up") | "\(.scrapeUrl) \(.lastError)"'"#),
                Step::Shell("Whether it runs, and what it said last.", "docker ps -a --filter \"name=$SERVICE\"; docker logs --tail 50 \"$SERVICE\""),
                PAGE,
                Step::Query("Which targets of the job answer.", || UP.select().eq("job", JOB).now()),
            ],
            &[
                "Start it again: `docker start \"$SERVICE\"`, or `systemctl restart` its unit.",
                "If it starts and ends again, see [RestartLoop](RestartLoop.md).",
                "If it is gone on purpose, take it out of Prometheus' targets.",
            ],
        ),
        |chosen| Trial::new(About::Target, 0.0, vec![Signal::gauge(UP.select().eq("job", chosen.job()), 1.0, 0.0)]),
    )
    .says("A service is down.", "Prometheus cannot scrape {instance} of job {job}.")
    .severity(Severity::Critical)
    .labelled(COMPONENT_SERVICE)
    .of_job(JOB)
    .wait_minutes(1)
}

fn low_span_creation_rate() -> Alert {
    Alert::new(
        "LowSpanCreationRate",
        |chosen| CREATED.rate(RATE).sum().lt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "All services together have made fewer than 100 spans a second for ten minutes.",
            "Perhaps none: at night that is usual. By day it can mean that requests do not arrive, or that tracing was switched off.",
            &[
                Step::Query("By service: does one fail, or do all have less to do?", || CREATED.rate(RATE).sum_by(&["job", "service_name"])),
                Step::Query("Targets that answer.", || UP.now().sum_by(&["job"])),
                LOGS,
            ],
            &[
                "If one service makes none, look whether tracing is on there (`OTEL_SDK_DISABLED`, `OTEL_TRACES_SAMPLER`).",
                "If that much is usual, lower `alert.LowSpanCreationRate.threshold`, or leave the alert out: \
                 `alert.LowSpanCreationRate.enabled=false`.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let spans = CREATED.select().eq("service_name", "checkout").eq("span_kind", "server");
            // So many that a counter that begins again does not halve them.
            let signal = Signal::counter(spans, by_minute(above(t) * 2.0), by_minute(below(t)));
            Trial::new(About::All, below(t), vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Few spans are made.", "All services together make {value:number} spans a second.")
    .severity(Severity::Info)
    .labelled(COMPONENT_TRACER)
    .setting(Setting::threshold(100.0, "spans a second"))
    .wait_minutes(10)
}

fn critical_export_failure_rate() -> Alert {
    Alert::new(
        "CriticalExportFailureRate",
        |chosen| success().lt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "Fewer than 90 % of all spans that were handed to exporters in the last five minutes were delivered.",
            "Traces are useless: their parts are missing.",
            &[
                Step::Query("What goes wrong, by type.", errors_by_type),
                Step::Query("The share that is delivered.", success),
                RECEIVER,
                LOGS,
            ],
            &[
                "Start or mend the collector, or its way to its back end.",
                "See [HighExportErrorRate](HighExportErrorRate.md) for what each type of error asks for.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let (well, ill) = (above(t) * SPANS, below(t) * SPANS);
            Trial::new(
                About::All,
                below(t),
                vec![
                    Signal::counter(exported("success"), well, ill).divides(),
                    Signal::counter(exported("error"), SPANS - well, SPANS - ill).divides(),
                ],
            )
            .unguarded()
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Most exports of spans fail.", "Only {value:percent} of the exported spans were delivered within 5 minutes.")
    .severity(Severity::Critical)
    .labelled(COMPONENT_EXPORTER)
    .setting(Setting::threshold(0.9, "share of the exported spans"))
    .wait_minutes(5)
}
