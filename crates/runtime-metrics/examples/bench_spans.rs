//! Makes spans with and without the wrappers and prints the CPU time of each, whole process, export included:
//! nanoseconds of a plain span, of a counted one, and their difference, one line for each round, first of one thread,
//! then of two.
//!
//! `cargo run --release -p runtime-metrics --example bench_spans`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use prometheus::Registry;
use runtime_metrics::{Protocol, RuntimeMetrics};
use test_support::cpu_time;

const ROUNDS: usize = 15;
const BATCHES: usize = 100;
/// Spans of each thread between two flushes: the queue has room for all of them.
const BATCH: usize = 512;
const QUEUE: usize = 2_048;

#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
    let plain = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(BatchSpanProcessor::new(Discard, config))
        .build();
    let metrics = RuntimeMetrics::builder().service("bench").register(&Registry::new())?;
    let pipeline = metrics.pipeline(Discard, Protocol::Other).sampler(Sampler::AlwaysOn);
    let counted = pipeline.queue_spans_max(QUEUE).provider().build();
    for threads in [1, 2] {
        round(&plain, threads)?;
        round(&counted, threads)?;
        for _ in 0..ROUNDS {
            let (plain, counted) = (round(&plain, threads)?, round(&counted, threads)?);
            println!(
                "threads {threads} plain {plain:.0} counted {counted:.0} wrappers {:.0}",
                counted - plain
            );
        }
    }
    let counts = metrics.span_counts();
    if counts.exported != counts.sampled {
        return Err(format!("spans were lost, so what was measured is not an export: {counts:?}").into());
    }
    Ok(())
}

/// Nanoseconds of CPU for each span.
fn round(provider: &SdkTracerProvider, threads: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let before = cpu_time();
    for _ in 0..BATCHES {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let tracer = provider.tracer("bench");
                scope.spawn(move || (0..BATCH).for_each(|_| tracer.start("span").end()));
            }
        });
        provider.force_flush()?;
    }
    Ok((cpu_time() - before).as_secs_f64() * 1e9 / (BATCHES * BATCH * threads) as f64)
}
