//! A service's spans and their export: the eight panels of the "OTLP Service Overview" that users of the `otlp_*` metrics know, with
//! exactly their queries, and behind headings what is known beyond them.
//!
//! Their windows are fixed and their selectors have no variables, so the dashboard has none but the data source.

use metric_schema::MetricDef;
use mixin::dashboard::{Dashboard, Panel, Query, Section, Shown};
use mixin::{Expr, Metric, Profile, Series, Window};
use runtime_metrics::catalogue::{
    self, BATCH_SIZE, EXPORT_ERRORS, EXPORT_LATENCY, QUEUE_SIZE, SPAN_DURATION, SPANS_CREATED,
    SPANS_EXPORTED, SYSTEM_CPU, SYSTEM_MEMORY,
};

use super::parts::{CPU_STEPS, ERROR_STEPS, LATENCY_STEPS};
use super::{TAG, uid};
use crate::foreign::SPAN_CALLS;
use crate::metric::runtime;

const WINDOW: Window = Window::Fixed("5m");
const TARGET: &[&str] = &["job", "instance"];

pub(super) fn dashboard(_: Profile) -> Dashboard {
    Dashboard::new(
        uid::OTLP,
        "OTLP Service Overview",
        "Spans of services that send them by OTLP: how many, whether they arrive, how long that takes.",
    )
    .tags(&["otlp", "observability", "rust"])
    .siblings("Container dashboards", TAG)
    .section(Section::top(eight()))
    .section(Section::collapsed("Requests by service: rate, errors, duration", requests()))
    .section(Section::collapsed("Every metric of spans", rows(catalogue::SPANS)))
    .section(Section::collapsed("Every metric of the service's host", rows(catalogue::SYSTEM)))
    .section(Section::collapsed("Every metric of tasks", rows(catalogue::TASKS)))
}

fn rate(row: &'static MetricDef) -> Expr {
    runtime(row).rate(WINDOW)
}

fn eight() -> Vec<Panel> {
    let succeeded = runtime(&SPANS_EXPORTED).select().eq("status", "success").rate(WINDOW).sum();
    let percent: Vec<_> = CPU_STEPS.iter().map(|(value, color)| (value * 100.0, *color)).collect();
    let latency = |quantile| runtime(&EXPORT_LATENCY).quantile(quantile, WINDOW);
    vec![
        Panel::graph("Span Creation Rate", "Spans that were created per second, sampled or not.")
            .query(Query::new(rate(&SPANS_CREATED), "{service_name} {span_kind}"))
            .shown(Shown::OpsPerSecond),
        Panel::graph(
            "Span Export Success Rate",
            "Share of the spans that arrived, of those whose export ended.",
        )
        .query(Query::new(succeeded.over(rate(&SPANS_EXPORTED).sum()), "success"))
        .shown(Shown::Ratio)
        .min(0.0)
        .max(1.0),
        Panel::graph("Export Latency", "How long exports take, with their retries.")
            .query(Query::new(latency(0.50), "p50"))
            .query(Query::new(latency(0.95), "p95"))
            .query(Query::new(latency(0.99), "p99"))
            .shown(Shown::Seconds)
            .steps(LATENCY_STEPS),
        Panel::graph("Queue Size", "Spans that wait for the exporter.")
            .query(Query::new(runtime(&QUEUE_SIZE).now(), "{exporter}"))
            .shown(Shown::Short),
        Panel::graph("CPU Usage", "CPU of the service's whole host; 100 is all cores.")
            .query(Query::new(runtime(&SYSTEM_CPU).now(), "{instance}"))
            .shown(Shown::Percent)
            .min(0.0)
            .max(100.0)
            .steps(&percent),
        Panel::graph("Memory Usage", "Memory of the service's whole host that is not available.")
            .query(Query::new(runtime(&SYSTEM_MEMORY).now(), "{instance}"))
            .shown(Shown::Bytes),
        Panel::pie("Error Rate by Type", "Spans per second that failed to be exported, by type of error.")
            .query(Query::new(rate(&EXPORT_ERRORS).sum_by(&["error_type"]), "{error_type}"))
            .shown(Shown::OpsPerSecond),
        Panel::heatmap("Batch Size Distribution", "How many spans the exporter is given at once.")
            .query(Query::new(
                runtime(&BATCH_SIZE).series(Series::Bucket).rate(WINDOW).sum_by(&["le"]),
                "{le}",
            ))
            .shown(Shown::Short),
    ]
}

fn requests() -> Vec<Panel> {
    const SERVICE: &[&str] = &["service_name", "span_kind"];
    let calls = Metric::of(&SPAN_CALLS);
    let all = calls.rate(WINDOW).sum_by(&["service_name"]);
    let failed = calls.select().eq("status_code", "STATUS_CODE_ERROR").rate(WINDOW).sum_by(&["service_name"]);
    let lost = rate(&EXPORT_ERRORS).sum_by(TARGET).per(rate(&SPANS_EXPORTED).sum_by(TARGET));
    vec![
        Panel::graph("Rate", "Spans by service and kind: those of kind server are requests that it answers.")
            .query(Query::new(rate(&SPANS_CREATED).sum_by(SERVICE), "{service_name} {span_kind}"))
            .shown(Shown::RequestsPerSecond),
        Panel::graph(
            "Errors",
            "Share of spans with the status Error, as the OpenTelemetry Collector's connector spanmetrics counts them.",
        )
        .query(Query::new(failed.per(all), "{service_name}"))
        .shown(Shown::Ratio)
        .steps(ERROR_STEPS)
        .min(0.0),
        Panel::graph("Duration", "The 95th percentile of how long spans took, by service and kind.")
            .query(Query::new(
                runtime(&SPAN_DURATION).quantile_by(0.95, WINDOW, SERVICE),
                "{service_name} {span_kind}",
            ))
            .shown(Shown::Seconds)
            .steps(LATENCY_STEPS),
        Panel::graph("Not exported", "Share of spans that failed to be exported: the panels here miss them.")
            .query(Query::new(lost, "{instance}"))
            .shown(Shown::Ratio)
            .steps(ERROR_STEPS)
            .min(0.0),
    ]
}

/// The panels that rows imply, in the rows' order; rows that no page shows have none.
fn rows(rows: &'static [MetricDef]) -> Vec<Panel> {
    rows.iter()
        .filter(|row| row.only_aliased.is_none())
        .map(|row| Panel::of_metric(runtime(row), TARGET))
        .collect()
}
