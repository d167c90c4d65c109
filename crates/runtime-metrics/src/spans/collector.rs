//! The `otlp_*` families of spans and their export.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::label::{DropReason, ErrorType, KINDS};
use super::ledger::Ledger;
use crate::family::Head;

const CREATED: Head =
    Head::counter("otlp_spans_created_total", "Spans that the sampler was asked about, sampled or not.");
const SAMPLED: Head = Head::counter("otlp_spans_sampled_total", "Spans that the sampler wanted exported.");
const LIVE: Head = Head::gauge("otlp_spans_live", "Sampled spans that have not ended.");
const QUEUE_SIZE: Head = Head::gauge("otlp_exporter_queue_size", "Spans that wait for the exporter.");
const QUEUE_CAPACITY: Head =
    Head::gauge("otlp_exporter_queue_capacity", "Spans that may wait for the exporter.");
const IN_FLIGHT: Head =
    Head::gauge("otlp_exporter_in_flight_spans", "Spans that the exporter is sending just now.");
const EXPORTED: Head =
    Head::counter("otlp_spans_exported_total", "Spans handed to the exporter, by outcome.");
const ERRORS: Head = Head::counter(
    "otlp_spans_export_errors_total",
    "Spans that the exporter failed to deliver, by type of error.",
);
const DROPPED: Head =
    Head::counter("otlp_spans_dropped_total", "Sampled spans that the exporter never got, by reason.");

/// Collects what a [`Ledger`] holds.
pub(crate) struct SpanCollector {
    ledger: Arc<Ledger>,
    descs: Vec<Desc>,
}

impl SpanCollector {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        let with: [(&Head, &[&str]); 9] = [
            (&CREATED, &["service_name", "span_kind"]),
            (&SAMPLED, &["service_name"]),
            (&LIVE, &["service_name"]),
            (&QUEUE_SIZE, &["exporter"]),
            (&QUEUE_CAPACITY, &["exporter"]),
            (&IN_FLIGHT, &["exporter"]),
            (&EXPORTED, &["exporter", "status"]),
            (&ERRORS, &["error_type", "exporter"]),
            (&DROPPED, &["exporter", "reason"]),
        ];
        let mut descs: Vec<Desc> = with.iter().filter_map(|(head, labels)| head.desc(labels)).collect();
        for histogram in ledger.histograms() {
            descs.extend(histogram.desc().into_iter().cloned());
        }
        Self { ledger, descs }
    }
}

impl Collector for SpanCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let ledger = &self.ledger;
        let counts = ledger.counts();
        let service = ("service_name", ledger.service.as_str());
        let exporter = ("exporter", ledger.exporter.as_str());
        let of_service = |head: &Head, value: u64| head.family(vec![head.metric(&[service], value as f64)]);
        let of_exporter = |head: &Head, value: u64| head.family(vec![head.metric(&[exporter], value as f64)]);
        let created = KINDS.iter().zip(ledger.created());
        let created = created.map(|(kind, n)| CREATED.metric(&[service, ("span_kind", kind)], n as f64));
        let exported = [("error", counts.failed), ("success", counts.exported)]
            .map(|(status, n)| EXPORTED.metric(&[exporter, ("status", status)], n as f64));
        let errors = ErrorType::ALL
            .into_iter()
            .zip(ledger.failed())
            .map(|(error, n)| ERRORS.metric(&[("error_type", error.as_str()), exporter], n as f64));
        let dropped = DropReason::ALL
            .into_iter()
            .zip(ledger.dropped())
            .map(|(reason, n)| DROPPED.metric(&[exporter, ("reason", reason.as_str())], n as f64));
        let mut families = vec![
            CREATED.family(created.collect()),
            of_service(&SAMPLED, counts.sampled),
            of_service(&LIVE, counts.live),
            of_exporter(&QUEUE_SIZE, counts.queued),
            of_exporter(&QUEUE_CAPACITY, ledger.queue_spans_max()),
            of_exporter(&IN_FLIGHT, counts.in_flight),
            EXPORTED.family(exported.into()),
            ERRORS.family(errors.collect()),
            DROPPED.family(dropped.collect()),
        ];
        families.extend(ledger.histograms().into_iter().flat_map(Collector::collect));
        families
    }
}
