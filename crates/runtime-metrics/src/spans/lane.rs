//! The numbers of the spans of one provider on their way to the exporter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use opentelemetry_sdk::trace::SpanData;

use super::label::{DropReason, ErrorType};
use super::ledger::{Apart, Ledger};

/// Where the spans of one provider are, from their start until the exporter is done with them.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) ledger: Arc<Ledger>,
    pub(super) queue_spans_max: u64,
    live: Apart<AtomicU64>,
    pub(super) queued: Apart<AtomicU64>,
    pub(super) in_flight: Apart<AtomicU64>,
    /// The provider was told to shut down: spans that end now are dropped, those that live will never end.
    is_closed: AtomicBool,
    /// The inner processor has shut down: nothing leaves the queue any more.
    is_settled: AtomicBool,
}

impl Lane {
    pub(super) fn new(ledger: Arc<Ledger>, queue_spans_max: u64) -> Self {
        Self {
            ledger,
            queue_spans_max,
            live: Apart::default(),
            queued: Apart::default(),
            in_flight: Apart::default(),
            is_closed: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
        }
    }

    /// A sampled span started.
    pub(super) fn started(&self) {
        self.live.0.fetch_add(1, Ordering::Relaxed);
    }

    /// A sampled span ended. Whether there is room for it; if so, it is queued.
    pub(super) fn ended(&self) -> bool {
        let refused = if self.is_closed.load(Ordering::SeqCst) {
            Some(DropReason::Shutdown)
        } else if !self.enqueue() {
            Some(DropReason::QueueFull)
        } else if self.is_settled.load(Ordering::SeqCst) && self.dequeue(1) > 0 {
            // The shutdown came and went between the question and the queue.
            Some(DropReason::Shutdown)
        } else {
            None
        };
        self.live.0.fetch_sub(1, Ordering::Relaxed);
        if let Some(reason) = refused {
            self.ledger.drop_spans(reason, 1);
        }
        refused.is_none()
    }

    fn enqueue(&self) -> bool {
        // One that finds the queue full must not make it look fuller for others, so this is no fetch_add.
        let more = |queued: u64| (queued < self.queue_spans_max).then_some(queued + 1);
        self.queued.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok()
    }

    /// Takes that many from the queue, or all that are there; how many it were.
    fn dequeue(&self, spans: u64) -> u64 {
        let fewer = |queued: u64| Some(queued.saturating_sub(spans));
        let before = self.queued.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, fewer);
        before.unwrap_or_else(|now| now).min(spans)
    }

    /// The exporter has a batch now.
    pub(super) fn took_off(&self, batch: &[SpanData]) {
        let spans = batch.len() as u64;
        self.in_flight.0.fetch_add(spans, Ordering::Relaxed);
        self.dequeue(spans);
        self.ledger.measure(batch);
    }

    /// The exporter is done with a batch.
    pub(super) fn landed(&self, spans: u64, outcome: Result<(), ErrorType>) {
        self.ledger.landed(spans, outcome);
        self.in_flight.0.fetch_sub(spans, Ordering::Relaxed);
    }

    /// No span that ends from now on is exported.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// The inner processor is done: what it still has is lost.
    pub(super) fn settle(&self) {
        self.is_settled.store(true, Ordering::SeqCst);
        let left = self.queued.0.swap(0, Ordering::SeqCst);
        self.ledger.drop_spans(DropReason::Shutdown, left);
    }

    /// Spans that live and may still be exported.
    pub(super) fn live(&self) -> u64 {
        if self.is_closed.load(Ordering::SeqCst) { 0 } else { self.live.0.load(Ordering::Relaxed) }
    }

    /// Spans that live and will never be exported: a provider that is shut down forgets them.
    pub(super) fn abandoned(&self) -> u64 {
        if self.is_closed.load(Ordering::SeqCst) { self.live.0.load(Ordering::Relaxed) } else { 0 }
    }
}

impl Drop for Lane {
    /// Provider and exporter are gone, so whatever is left will stay where it is.
    fn drop(&mut self) {
        let left = *self.live.0.get_mut() + *self.queued.0.get_mut();
        self.ledger.drop_spans(DropReason::Shutdown, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shutdown comes and goes while a span is between the question whether there is one and the queue.
    #[test]
    fn a_span_that_a_shutdown_overtakes_is_dropped_once() {
        let ledger = Arc::new(Ledger::new("shop".to_owned(), "otlp".to_owned()).expect("names"));
        let lane = ledger.lane(10);
        (0..3).for_each(|_| lane.started());
        assert!(lane.ended());
        // Nobody has closed the lane yet as far as the next span knows.
        lane.settle();
        assert!(!lane.ended());
        let counts = ledger.counts();
        assert_eq!((counts.live, counts.queued, counts.dropped), (1, 0, 2));
        lane.close();
        assert!(!lane.ended());
        assert_eq!((ledger.counts().live, ledger.counts().dropped), (0, 3));
        drop(lane);
        assert_eq!((ledger.counts().live, ledger.counts().dropped), (0, 3));
    }
}
