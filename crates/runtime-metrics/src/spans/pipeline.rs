//! The three wrappers put together around an exporter.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, ShouldSample, SpanExporter, SpanProcessor,
    TracerProviderBuilder,
};

use super::exporter::CountingExporter;
use super::label::Protocol;
use super::ledger::Ledger;
use super::processor::CountingProcessor;
use super::sampler::CountingSampler;

/// Spans that wait at most, unless said: the default of `OTEL_BSP_MAX_QUEUE_SIZE`.
const QUEUE_SPANS: usize = 2_048;

/// From tracer to exporter: a sampler, a span processor and an exporter, each counted.
///
/// What is not set follows the `OTEL_TRACES_SAMPLER` and `OTEL_BSP_*` variables, as the SDK does.
#[derive(Debug)]
#[must_use]
pub struct Pipeline<E> {
    exporter: E,
    protocol: Protocol,
    sampler: Box<dyn ShouldSample>,
    queue_spans_max: usize,
    batch_spans_max: Option<usize>,
    batch_delay: Option<Duration>,
    ledger: Arc<Ledger>,
}

impl<E: SpanExporter + 'static> Pipeline<E> {
    pub(super) fn new(exporter: E, protocol: Protocol, ledger: Arc<Ledger>) -> Self {
        let from_env = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok().and_then(|text| text.parse().ok());
        Self {
            exporter,
            protocol,
            sampler: opentelemetry_sdk::trace::Config::default().sampler,
            queue_spans_max: from_env.unwrap_or(QUEUE_SPANS),
            batch_spans_max: None,
            batch_delay: None,
            ledger,
        }
    }

    /// Decides which spans are exported.
    pub fn sampler(mut self, sampler: impl Into<Box<dyn ShouldSample>>) -> Self {
        self.sampler = sampler.into();
        self
    }

    /// Spans that wait for the exporter at most; those that end while it is full are dropped and counted. 0 is taken
    /// as 1. A span takes about half a kilobyte without its attributes.
    ///
    /// `otlp_exporter_queue_size` never exceeds it, so an alert on a backlog fires only where its threshold is below: that
    /// of the common guide (more than 10,000) asks for a bound such as 16,384.
    pub fn queue_spans_max(mut self, spans: usize) -> Self {
        self.queue_spans_max = spans;
        self
    }

    /// Spans in a batch at most. 0 is taken as 1.
    pub fn batch_spans_max(mut self, spans: usize) -> Self {
        self.batch_spans_max = Some(spans.max(1));
        self
    }

    /// How long spans wait for a batch to fill.
    pub fn batch_delay(mut self, delay: Duration) -> Self {
        self.batch_delay = Some(delay);
        self
    }

    /// The builder of a provider that exports through the SDK's batch processor. A sampler or processor that is set
    /// there afterwards is not counted.
    pub fn provider(self) -> TracerProviderBuilder {
        // One more than we admit: the inner queue is never full.
        let queue_size = self.queue_spans_max.max(1).saturating_add(1);
        let mut batch = BatchConfigBuilder::default().with_max_queue_size(queue_size);
        if let Some(spans) = self.batch_spans_max {
            batch = batch.with_max_export_batch_size(spans);
        }
        if let Some(delay) = self.batch_delay {
            batch = batch.with_scheduled_delay(delay);
        }
        self.provider_with(|exporter| BatchSpanProcessor::new(exporter, batch.build()))
    }

    /// The same with another span processor, such as the SDK's simple one: it is given the counted exporter. If it has
    /// a queue, that has to be larger than [`queue_spans_max`](Self::queue_spans_max), for what it drops by itself
    /// looks as if it waited for ever.
    pub fn provider_with<P>(self, processor: impl FnOnce(CountingExporter<E>) -> P) -> TracerProviderBuilder
    where
        P: SpanProcessor + 'static,
    {
        let lane = self.ledger.lane(self.queue_spans_max.max(1));
        let exporter = CountingExporter::new(self.exporter, self.protocol, Arc::clone(&lane));
        let processor = CountingProcessor::new(processor(exporter), lane);
        let sampler = CountingSampler::new(self.sampler, self.ledger);
        SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(processor)
    }
}
