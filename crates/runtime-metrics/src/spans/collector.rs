//! The `otlp_*` families of spans and their export.

use std::sync::Arc;

use metric_schema::MetricDef;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::label::{DropReason, ErrorType};
use super::ledger::Ledger;
use crate::catalogue::{
    self, EXPORT_ERRORS, IN_FLIGHT, QUEUE_CAPACITY, QUEUE_SIZE, SPAN_KINDS, SPANS_CREATED, SPANS_DROPPED,
    SPANS_EXPORTED, SPANS_LIVE, SPANS_SAMPLED,
};
use crate::family::{self, family, metric};

/// Collects what a [`Ledger`] holds.
pub(crate) struct SpanCollector {
    ledger: Arc<Ledger>,
    descs: Vec<Desc>,
}

impl SpanCollector {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        let on_pages = catalogue::SPANS.iter().filter(|def| def.only_aliased.is_none());
        let descs = on_pages.filter_map(family::desc).collect();
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
        let of_service =
            |def: &MetricDef, value: u64| family(def, vec![metric(def, &[service], value as f64)]);
        let of_exporter =
            |def: &MetricDef, value: u64| family(def, vec![metric(def, &[exporter], value as f64)]);
        let created = SPAN_KINDS.iter().zip(ledger.created());
        let created =
            created.map(|(kind, n)| metric(&SPANS_CREATED, &[service, ("span_kind", kind)], n as f64));
        let exported = [("error", counts.failed), ("success", counts.exported)]
            .map(|(status, n)| metric(&SPANS_EXPORTED, &[exporter, ("status", status)], n as f64));
        let errors = ErrorType::ALL
            .into_iter()
            .zip(ledger.failed())
            .map(|(error, n)| metric(&EXPORT_ERRORS, &[("error_type", error.as_str()), exporter], n as f64));
        let dropped = DropReason::ALL
            .into_iter()
            .zip(ledger.dropped())
            .map(|(reason, n)| metric(&SPANS_DROPPED, &[exporter, ("reason", reason.as_str())], n as f64));
        let mut families = vec![
            family(&SPANS_CREATED, created.collect()),
            of_service(&SPANS_SAMPLED, counts.sampled),
            of_service(&SPANS_LIVE, counts.live),
            of_exporter(&QUEUE_SIZE, counts.queued),
            of_exporter(&QUEUE_CAPACITY, ledger.queue_spans_max()),
            of_exporter(&IN_FLIGHT, counts.in_flight),
            family(&SPANS_EXPORTED, exported.into()),
            family(&EXPORT_ERRORS, errors.collect()),
            family(&SPANS_DROPPED, dropped.collect()),
        ];
        families.extend(ledger.histograms().into_iter().flat_map(Collector::collect));
        families
    }
}
