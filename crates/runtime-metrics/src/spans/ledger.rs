//! The numbers of the spans of a service: plain atomics that the wrappers move.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use metric_schema::MetricDef;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{SamplingDecision, SpanData};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec};

use super::label::{self, DropReason, ErrorType, Protocol};
use super::lane::Lane;
use crate::catalogue::{self, SAMPLING_RESULTS, SPAN_KINDS};
use crate::family;

/// Where the sampled spans of a service are.
///
/// Each of them is in exactly one place, so at every quiet moment (no span starts, ends or changes place) the places
/// add up to [`sampled`](Self::sampled); [`is_balanced`](Self::is_balanced) says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpanCounts {
    /// Spans that the sampler was asked about, sampled or not. Contains [`sampled`](Self::sampled).
    pub created: u64,
    /// Spans that the sampler wanted exported.
    pub sampled: u64,
    /// Sampled, started and not ended.
    pub live: u64,
    /// Ended and waiting for the exporter.
    pub queued: u64,
    /// In the exporter's hands.
    pub in_flight: u64,
    /// Exported with success.
    pub exported: u64,
    /// In batches that the exporter failed to deliver.
    pub failed: u64,
    /// Never given to the exporter.
    pub dropped: u64,
}

impl SpanCounts {
    /// Whether every sampled span is accounted for.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.sampled == self.live + self.queued + self.in_flight + self.exported + self.failed + self.dropped
    }
}

/// A cache line of its own (two, for processors that fetch pairs): threads that count different things do not wait
/// for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// What all wrappers count in.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) service: String,
    pub(crate) exporter: String,
    created: Apart<[[AtomicU64; SAMPLING_RESULTS.len()]; SPAN_KINDS.len()]>,
    exported: AtomicU64,
    failed: [AtomicU64; ErrorType::ALL.len()],
    dropped: Apart<[AtomicU64; DropReason::ALL.len()]>,
    /// One for each provider that still is there. Locked by readers and where a provider is made, never for a span.
    lanes: Mutex<Vec<Weak<Lane>>>,
    durations: HistogramVec,
    durations_by_kind: [Histogram; SPAN_KINDS.len()],
    batch_sizes: Histogram,
    latencies: HistogramVec,
    /// `otel.sdk.exporter.operation.duration`, once a meter is there.
    pub(crate) operations: OnceLock<opentelemetry::metrics::Histogram<f64>>,
}

impl Ledger {
    pub(crate) fn new(service: String, exporter: String) -> prometheus::Result<Self> {
        let options = |def: &MetricDef| {
            HistogramOpts::new(def.prometheus_name(), def.help).buckets(def.buckets.to_vec())
        };
        let vector = |def: &MetricDef| HistogramVec::new(options(def), &family::labels(def));
        let durations = vector(&catalogue::SPAN_DURATION)?;
        let mut by_kind = Vec::with_capacity(SPAN_KINDS.len());
        for kind in SPAN_KINDS {
            by_kind.push(durations.get_metric_with_label_values(&[service.as_str(), kind])?);
        }
        let durations_by_kind = by_kind.try_into().map_err(|_| {
            prometheus::Error::Msg("as many histograms as kinds of spans were made".to_owned())
        })?;
        let batch_sizes = Histogram::with_opts(options(&catalogue::BATCH_SIZE))?;
        let latencies = vector(&catalogue::EXPORT_LATENCY)?;
        Ok(Self {
            service,
            exporter,
            created: Apart::default(),
            exported: AtomicU64::new(0),
            failed: Default::default(),
            dropped: Apart::default(),
            lanes: Mutex::default(),
            durations,
            durations_by_kind,
            batch_sizes,
            latencies,
            operations: OnceLock::new(),
        })
    }

    /// The numbers of one more provider.
    pub(super) fn lane(self: &Arc<Self>, queue_spans_max: usize) -> Arc<Lane> {
        let lane = Arc::new(Lane::new(Arc::clone(self), queue_spans_max as u64));
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(&lane));
        lane
    }

    fn sum(&self, of: impl Fn(&Lane) -> u64) -> u64 {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().filter_map(Weak::upgrade).map(|lane| of(&lane)).sum()
    }

    pub(super) fn sampled(&self, kind: &SpanKind, decision: &SamplingDecision) {
        self.created.0[label::kind(kind)][label::decision(decision)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_spans(&self, reason: DropReason, spans: u64) {
        self.dropped.0[reason as usize].fetch_add(spans, Ordering::Relaxed);
    }

    /// What is measured of a batch that the exporter has now.
    pub(super) fn measure(&self, batch: &[SpanData]) {
        self.batch_sizes.observe(batch.len() as f64);
        for span in batch {
            // A clock that was set back gives no duration below zero.
            let lasted = span.end_time.duration_since(span.start_time).unwrap_or(Duration::ZERO);
            self.durations_by_kind[label::kind(&span.span_kind)].observe(lasted.as_secs_f64());
        }
    }

    /// The exporter is done with that many spans.
    pub(super) fn landed(&self, spans: u64, outcome: Result<(), ErrorType>) {
        match outcome {
            Ok(()) => self.exported.fetch_add(spans, Ordering::Relaxed),
            Err(error) => self.failed[error as usize].fetch_add(spans, Ordering::Relaxed),
        };
    }

    pub(super) fn latency(&self, protocol: Protocol) -> Histogram {
        self.latencies.with_label_values(&[self.exporter.as_str(), protocol.as_str()])
    }

    /// Spans that may wait.
    pub(crate) fn queue_spans_max(&self) -> u64 {
        self.sum(|lane| lane.queue_spans_max)
    }

    /// Spans that the sampler was asked about, by kind.
    pub(crate) fn created(&self) -> [u64; SPAN_KINDS.len()] {
        let sum =
            |row: &[AtomicU64; SAMPLING_RESULTS.len()]| row.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        self.created.0.each_ref().map(sum)
    }

    /// The same by what it decided.
    pub(crate) fn decided(&self) -> [u64; SAMPLING_RESULTS.len()] {
        std::array::from_fn(|at| self.created.0.iter().map(|row| row[at].load(Ordering::Relaxed)).sum())
    }

    /// Spans of failed batches, by type of error.
    pub(crate) fn failed(&self) -> [u64; ErrorType::ALL.len()] {
        self.failed.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Spans that the exporter never had, by reason; with those that a shutdown left alive.
    pub(crate) fn dropped(&self) -> [u64; DropReason::ALL.len()] {
        let mut dropped = self.dropped.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        dropped[DropReason::Shutdown as usize] += self.sum(Lane::abandoned);
        dropped
    }

    pub(crate) fn counts(&self) -> SpanCounts {
        SpanCounts {
            created: self.created().iter().sum(),
            sampled: self.decided()[label::SAMPLED],
            live: self.sum(Lane::live),
            queued: self.sum(|lane| lane.queued.0.load(Ordering::Relaxed)),
            in_flight: self.sum(|lane| lane.in_flight.0.load(Ordering::Relaxed)),
            exported: self.exported.load(Ordering::Relaxed),
            failed: self.failed().iter().sum(),
            dropped: self.dropped().iter().sum(),
        }
    }

    /// What prometheus' own histograms hold.
    pub(super) fn histograms(&self) -> [&dyn Collector; 3] {
        [&self.durations, &self.batch_sizes, &self.latencies]
    }
}
