//! Spans are late, or tell of errors.

use mixin::{About, Alert, Expr, Metric, Runbook, Series, Setting, Signal, Step, Trial, above, below};
use runtime_metrics::catalogue as runtime;

use super::{ON_SERVICE, RATE, RATE_MINUTES};
use crate::foreign;

pub(super) fn alerts() -> Vec<Alert> {
    vec![export_slow(), span_errors()]
}

const LATENCY: Metric = Metric::of(&runtime::EXPORT_LATENCY);
const CALLS: Metric = Metric::of(&foreign::SPAN_CALLS);

/// The names of a bucket's bounds, as pages have them; `f64`'s own form is theirs.
pub(super) fn bounds() -> Vec<String> {
    let buckets = runtime::EXPORT_LATENCY.buckets.iter().map(ToString::to_string);
    buckets.chain(["+Inf".to_owned()]).collect()
}

/// Buckets of export latencies all of which are within a bound below the threshold while all is well, and above every bound
/// when not; the quantiles are then the greatest bound.
pub(super) fn latencies(threshold: f64) -> Vec<Signal> {
    let bounds = bounds();
    let within = runtime::EXPORT_LATENCY.buckets.iter().rposition(|bound| *bound < threshold).unwrap_or(0);
    let signal = |(index, bound): (usize, &String)| {
        let selector = LATENCY.series(Series::Bucket).eq("exporter", "otlp").eq("protocol", "grpc");
        let well = if index >= within { 64.0 } else { 0.0 };
        let ill = if index + 1 == bounds.len() { 64.0 } else { 0.0 };
        Signal::counter(selector.eq("le", bound.as_str()), well, ill)
    };
    bounds.iter().enumerate().map(signal).collect()
}

/// What a quantile is when every export is above every bound.
pub(super) fn greatest_bound() -> f64 {
    runtime::EXPORT_LATENCY.buckets.last().copied().unwrap_or_default()
}

fn quantile(quantile: f64) -> Expr {
    LATENCY.series(Series::Bucket).rate(RATE).sum_by(&["job", "instance", "le"]).histogram_quantile(quantile)
}

fn export_slow() -> Alert {
    Alert::new(
        "ExportSlow",
        |chosen| quantile(0.99).gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "Of a hundred exports of spans the slowest has taken more than two seconds for a quarter of an hour, retries included.",
            "Spans arrive late. When the queue is full, new ones are dropped.",
            &[
                Step::Query("The median: is every export slow, or only some?", || quantile(0.5)),
                Step::Query("Spans that wait.", || Metric::of(&runtime::QUEUE_SIZE).now()),
                Step::Query("Whether exports fail and are tried again: errors by type.", || {
                    Metric::of(&runtime::EXPORT_ERRORS).rate(RATE).sum_by(&["instance", "error_type"])
                }),
                Step::Query("Spans in a batch: large ones take longer.", || {
                    let batch = Metric::of(&runtime::BATCH_SIZE);
                    batch.series(Series::Bucket).rate(RATE).sum_by(&["job", "instance", "le"]).histogram_quantile(0.5)
                }),
                Step::Shell("The way to the receiver, from the service's host.", "ping -c 5 \"$RECEIVER\"; nc -vz \"$RECEIVER\" 4317"),
                Step::Shell("Whether the collector itself waits for what is behind it (its own metrics).", "curl -sS \"http://$RECEIVER:8888/metrics\" | grep -E 'otelcol_exporter_(queue_size|queue_capacity|send_failed)'"),
            ],
            &[
                "If the collector waits for its back end, mend that, or give the collector a larger queue and more senders.",
                "If the network is slow, put a collector on the service's own host, and let that one send.",
                "Send smaller batches (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`) or compress them (`OTEL_EXPORTER_OTLP_COMPRESSION=gzip`).",
            ],
        ),
        |chosen| Trial::new(About::Target, greatest_bound(), latencies(chosen.threshold())).settles_after_minutes(RATE_MINUTES),
    )
    .says("The slowest exports of spans take seconds.", "One export of spans in a hundred of {instance} takes more than {value:number} s.")
    .setting(Setting::threshold(2.0, "seconds that 99 of 100 exports take at most; 5 is the most that is told apart"))
    .wait_minutes(15)
}

fn span_errors() -> Alert {
    const SPANS: f64 = 1024.0;
    const BY: &[&str] = &["job", "instance", "service_name"];
    fn failed() -> Expr {
        CALLS.select().eq("status_code", "STATUS_CODE_ERROR").rate(RATE).sum_by(BY)
    }
    fn all() -> Expr {
        CALLS.rate(RATE).sum_by(BY)
    }
    Alert::new(
        "SpanErrors",
        |chosen| failed().per(all()).gt(chosen.threshold()),
        ON_SERVICE,
        Runbook::new(
            "More than 5 % of a service's spans have had the status `Error` for ten minutes. The OpenTelemetry Collector counts them, where its \
             connector `spanmetrics` is in the pipeline and Prometheus scrapes what it makes, as `deploy/compose` has it; elsewhere this alert is \
             silent.",
            "Requests fail: users see errors, or what calls the service tries again.",
            &[
                Step::Query("Which operations fail, the most failing first.", || {
                    let failed = CALLS.select().eq("status_code", "STATUS_CODE_ERROR");
                    failed.rate(RATE).sum_by(&["service_name", "span_name"]).sort_desc()
                }),
                Step::Query("Spans in a second.", all),
                Step::Query("Services that fail together: the one that is called by the others is the cause.", failed),
                Step::Shell("What the service says of it.", "docker logs --since 15m --timestamps \"$SERVICE\" 2>&1 | grep -i -E 'error|panic|timeout' | tail -50"),
            ],
            &[
                "Open a trace of a failing operation: its first span with an error names the cause.",
                "If it began with a new version, go back to the one before.",
                "If what it depends on is down, mend that first.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let of = |status: &str| {
                let spans = CALLS.select().eq("service_name", "checkout").eq("span_name", "pay").eq("span_kind", "SPAN_KIND_SERVER");
                spans.eq("status_code", status)
            };
            let (well, ill) = (below(t) * SPANS, above(t) * SPANS);
            Trial::new(
                About::Target,
                above(t),
                vec![
                    Signal::counter(of("STATUS_CODE_ERROR"), well, ill).divides(),
                    Signal::counter(of("STATUS_CODE_UNSET"), SPANS - well, SPANS - ill).divides(),
                ],
            )
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Part of a service's spans have errors.", "{value:percent} of the spans of {service_name}, seen by {instance}, have errors.")
    .setting(Setting::threshold(0.05, "share of the spans"))
    .wait_minutes(10)
}
