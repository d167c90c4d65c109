//! Spans and their export, counted by wrappers around the SDK's own pieces.
//!
//! One sampled span is in one place after another, and each step is counted where it is made:
//!
//! ```text
//!  CountingSampler   CountingProcessor                        CountingExporter
//!  sampled ─────────► live ──► queued ──(batch processor)──► in flight ──► exported
//!                       │                                        └───────► failed
//!                       └────► dropped
//! ```

mod collector;
mod exporter;
mod label;
mod lane;
mod ledger;
mod pipeline;
mod processor;
mod sampler;

pub(crate) use collector::SpanCollector;
pub use exporter::CountingExporter;
pub use label::{DropReason, ErrorType, Protocol};
pub(crate) use ledger::Ledger;
pub use ledger::SpanCounts;
pub use pipeline::Pipeline;
pub use processor::CountingProcessor;
pub use sampler::CountingSampler;

use std::sync::Arc;

use opentelemetry_sdk::trace::SpanExporter;

use crate::RuntimeMetrics;

impl RuntimeMetrics {
    /// Counts what happens to the spans of a provider on their way to this exporter.
    ///
    /// Several providers (one after the other, or side by side) add up.
    pub fn pipeline<E: SpanExporter + 'static>(&self, exporter: E, protocol: Protocol) -> Pipeline<E> {
        Pipeline::new(exporter, protocol, Arc::clone(&self.ledger))
    }

    /// Where the spans are now.
    #[must_use]
    pub fn span_counts(&self) -> SpanCounts {
        self.ledger.counts()
    }
}
