//! A span exporter that counts what becomes of each batch.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::Histogram;

use super::label::{ErrorType, Protocol};
use super::lane::Lane;

/// Counts the spans of each batch by what the exporter made of them, and measures batches and their export.
///
/// An exporter that panics would end the batch processor's thread, and with it all exports, silently; here the panic
/// is a failed batch like any other (where panics unwind). What a receiver rejects in a partial success is counted as
/// exported, for exporters do not pass that on.
#[derive(Debug)]
pub struct CountingExporter<E> {
    inner: E,
    latency: Histogram,
    lane: Arc<Lane>,
}

impl<E> CountingExporter<E> {
    pub(super) fn new(inner: E, protocol: Protocol, lane: Arc<Lane>) -> Self {
        Self { inner, latency: lane.ledger.latency(protocol), lane }
    }
}

impl<E: SpanExporter> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let flight = Flight::take_off(self, &batch);
        // Within a block, so that a panic before the first wait is caught, too.
        let exporting = pin!(async { self.inner.export(batch).await });
        let Some(result) = unless_it_panics(exporting).await else {
            flight.land(Err(ErrorType::Panic));
            return Err(OTelSdkError::InternalFailure("the span exporter panicked".to_owned()));
        };
        flight.land(match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(ErrorType::of(error)),
        });
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    // Exporters override either of the two, and the SDK calls this one.
    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// `None` when it panicked; the panic hook has said where.
async fn unless_it_panics<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// A batch in the exporter's hands. One that is let go without a result was given up.
struct Flight<'a> {
    lane: &'a Lane,
    latency: &'a Histogram,
    spans: u64,
    since: Instant,
    outcome: Result<(), ErrorType>,
}

impl<'a> Flight<'a> {
    fn take_off<E>(exporter: &'a CountingExporter<E>, batch: &[SpanData]) -> Self {
        exporter.lane.took_off(batch);
        Self {
            lane: &exporter.lane,
            latency: &exporter.latency,
            spans: batch.len() as u64,
            since: Instant::now(),
            outcome: Err(ErrorType::Cancelled),
        }
    }

    fn land(mut self, outcome: Result<(), ErrorType>) {
        self.outcome = outcome;
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.latency.observe(seconds);
        if let Some(operations) = self.lane.ledger.operations.get() {
            match self.outcome {
                Ok(()) => operations.record(seconds, &[]),
                Err(error) => operations.record(seconds, &[KeyValue::new("error.type", error.as_str())]),
            }
        }
        self.lane.landed(self.spans, self.outcome);
    }
}
