//! A sampler that counts what it is asked.

use std::sync::Arc;

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingResult, ShouldSample};

use super::ledger::Ledger;

/// Counts the spans that a sampler is asked about, and what it decides, and changes nothing.
#[derive(Debug, Clone)]
pub struct CountingSampler {
    inner: Box<dyn ShouldSample>,
    ledger: Arc<Ledger>,
}

impl CountingSampler {
    pub(super) fn new(inner: Box<dyn ShouldSample>, ledger: Arc<Ledger>) -> Self {
        Self { inner, ledger }
    }
}

impl ShouldSample for CountingSampler {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let result = self.inner.should_sample(parent_context, trace_id, name, span_kind, attributes, links);
        self.ledger.sampled(span_kind, &result.decision);
        result
    }
}
