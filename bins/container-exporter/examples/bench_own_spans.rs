//! What a span of the exporter costs, one line for each round: nanoseconds of CPU where no traces are sent, where they are
//! but not this one, and where this one is, its export to nowhere included.
//!
//! `cargo run --release -p container-exporter --example bench_own_spans`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use test_support::cpu_time;
use tracing::Dispatch;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, reload};

#[path = "../src/app/lines.rs"]
mod lines;

const ROUNDS: usize = 15;
/// Traces between two flushes: the queue has room for their spans.
const BATCH: usize = 256;
const BATCHES: usize = 40;
/// Spans of a trace, as a scrape has them.
const SPANS: usize = 4;

#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One after the other: while two subscribers live, `tracing` asks both.
    for (name, sampler) in
        [("off", None), ("unsampled", Some(Sampler::AlwaysOff)), ("sampled", Some(Sampler::AlwaysOn))]
    {
        let provider = sampler.map(|sampler| {
            SdkTracerProvider::builder().with_sampler(sampler).with_batch_exporter(Discard).build()
        });
        let (filter, _handle) = reload::Layer::new(LevelFilter::INFO);
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(lines::Lines(filter));
        let mut layers = vec![lines.boxed()];
        layers.extend(provider.as_ref().map(|provider| {
            let filter = FilterFn::new(|metadata| metadata.is_span()).with_max_level_hint(LevelFilter::INFO);
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("bench"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(filter)
                .boxed()
        }));
        let subscriber = Dispatch::new(tracing_subscriber::registry().with(layers));
        tracing::dispatcher::with_default(&subscriber, || -> Result<(), Box<dyn std::error::Error>> {
            round(provider.as_ref())?;
            for _ in 0..ROUNDS {
                println!("threads 1 {name} {:.1}", round(provider.as_ref())?);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Nanoseconds of CPU for each span.
fn round(provider: Option<&SdkTracerProvider>) -> Result<f64, Box<dyn std::error::Error>> {
    // What costs little is done often, or the clock of CPU time does not see it.
    let times = if provider.is_some() { 1 } else { 100 };
    let before = cpu_time();
    for _ in 0..BATCHES * times {
        for at in 0..BATCH {
            let scrape = tracing::info_span!("request", otel.kind = "server", url.path = "/metrics", at);
            scrape.in_scope(|| {
                tracing::info_span!("collect", container.count = at).in_scope(|| {
                    tracing::info_span!("read", source = "kernel").in_scope(|| ());
                    tracing::info_span!("assemble").in_scope(|| ());
                });
            });
        }
        if let Some(provider) = provider {
            provider.force_flush()?;
        }
    }
    Ok((cpu_time() - before).as_secs_f64() * 1e9 / (BATCHES * times * BATCH * SPANS) as f64)
}
