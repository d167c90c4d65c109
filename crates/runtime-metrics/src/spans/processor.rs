//! A span processor that counts what lives and waits, and that keeps the one behind it from dropping anything.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::Span as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::lane::Lane;

/// Counts the spans that live and those that wait for the exporter, and admits only so many to the processor inside.
///
/// A batch processor whose queue is full drops spans without a number that anybody could read. So this one lets no more
/// wait than its own bound, which has to be below the inner queue's size: then the inner queue is never full, and
/// every drop happens, and is counted, here.
///
/// Spans that are recorded but not sampled go no further: the specification keeps them from exporters, the SDK's batch
/// processor does not.
#[derive(Debug)]
pub struct CountingProcessor<P> {
    inner: P,
    lane: Arc<Lane>,
}

impl<P> CountingProcessor<P> {
    pub(super) fn new(inner: P, lane: Arc<Lane>) -> Self {
        Self { inner, lane }
    }
}

impl<P: SpanProcessor> SpanProcessor for CountingProcessor<P> {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        if span.span_context().is_sampled() {
            self.lane.started();
        }
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.lane.ended() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.lane.close();
        let outcome = self.inner.shutdown_with_timeout(timeout);
        // One that ran out of time still works on its queue.
        if !matches!(outcome, Err(OTelSdkError::Timeout(_))) {
            self.lane.settle();
        }
        outcome
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
