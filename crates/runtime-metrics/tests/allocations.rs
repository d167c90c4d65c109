//! The wrappers allocate nothing for a span beyond what the SDK does.

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SimpleSpanProcessor,
    SpanData, SpanExporter,
};
use prometheus::Registry;
use runtime_metrics::{Protocol, RuntimeMetrics};

#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

const SPANS: usize = 500;

/// Allocations, and their bytes, of that many spans on this thread.
fn allocations(tracer: &SdkTracer) -> (u64, u64) {
    let spans = || (0..SPANS).for_each(|_| tracer.start("span").end());
    // What is allocated once for each thread.
    spans();
    let found = allocation_counter::measure(spans);
    (found.count_total, found.bytes_total)
}

#[track_caller]
fn check(plain: SdkTracerProvider, counted: SdkTracerProvider) {
    let of = |provider: &SdkTracerProvider| allocations(&provider.tracer("test"));
    let (plain, counted) = (of(&plain), of(&counted));
    assert!(plain.0 < SPANS as u64 * 10, "what is measured is spans: {plain:?}");
    assert_eq!(plain, counted);
}

fn metrics() -> RuntimeMetrics {
    RuntimeMetrics::builder().service("shop").register(&Registry::new()).expect("an empty registry")
}

/// The simple processor exports on the thread that ends the span, so sampler, processor and exporter are all seen.
#[test]
fn a_span_that_is_exported_allocates_what_the_sdk_does() {
    let plain = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(SimpleSpanProcessor::new(Discard));
    let pipeline = metrics().pipeline(Discard, Protocol::Grpc).sampler(Sampler::AlwaysOn);
    check(plain.build(), pipeline.provider_with(SimpleSpanProcessor::new).build());
}

#[test]
fn so_does_one_that_is_queued() {
    let config = BatchConfigBuilder::default().with_max_queue_size(SPANS * 3).build();
    let plain = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(BatchSpanProcessor::new(Discard, config));
    let pipeline = metrics().pipeline(Discard, Protocol::Grpc).sampler(Sampler::AlwaysOn);
    check(plain.build(), pipeline.queue_spans_max(SPANS * 3).provider().build());
}

#[test]
fn and_one_that_is_not_sampled() {
    let plain = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOff)
        .with_span_processor(SimpleSpanProcessor::new(Discard));
    let pipeline = metrics().pipeline(Discard, Protocol::Grpc).sampler(Sampler::AlwaysOff);
    check(plain.build(), pipeline.provider_with(SimpleSpanProcessor::new).build());
}
