//! Encodes 60,000 series (600 containers, 100 metrics) as the exporter does, in each format, and through the
//! `prometheus` crate's `TextEncoder`, and prints how long each took (the median of 31 rounds, with the fastest and
//! the slowest).
//!
//! `cargo run --release -p exposition --features registry --example throughput`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::{Duration, Instant};

use exposition::{Encoder, Family, Format, Kind, LabelBlock, Number};
use prometheus::Encoder as _;

const CONTAINERS: usize = 600;
const METRICS: usize = 100;
const ROUNDS: usize = 31;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let labels: Vec<_> = (0..CONTAINERS).map(container_labels).collect();
    let blocks = labels.iter().map(|labels| LabelBlock::new(labels)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> =
        (0..METRICS).map(|metric| format!("container_example_{metric:03}_bytes_total")).collect();

    let registry = registry(&labels, &names)?;
    let gathered = registry.gather();
    let theirs = rounds(|| {
        let mut page = Vec::new();
        prometheus::TextEncoder::new().encode(&gathered, &mut page).map(|()| page.len())
    })?;
    println!("{:>14}  {theirs}", "prometheus");
    for format in [Format::Text004, Format::OpenMetrics100, Format::Protobuf] {
        let ours = rounds(|| encode(format, &names, &blocks))?;
        println!("{:>14}  {ours}  1/{:.1}", format!("{format:?}"), theirs.median_ms / ours.median_ms);
    }
    Ok(())
}

fn container_labels(container: usize) -> [(&'static str, String); 3] {
    [
        ("container_id", format!("{:012x}", container * 0x9e37_79b9)),
        ("container_name", format!("shop-web-{container}")),
        ("image", "registry.example.org/shop/web:2026.11.3".to_owned()),
    ]
}

/// A page of ours, sent in chunks as a server does; the bytes of it.
fn encode(format: Format, names: &[String], blocks: &[LabelBlock]) -> Result<usize, exposition::FamilyError> {
    let mut page = Encoder::new(format);
    let mut bytes = 0;
    for (metric, name) in names.iter().enumerate() {
        page.family(&Family::new(name, "An example of a counter.", Kind::Counter).with_unit("bytes"))?;
        for (container, block) in blocks.iter().enumerate() {
            page.sample(&[block], Number::Integer(value(metric, container)), None);
            if page.is_chunk_ready() {
                bytes += page.buffer().len();
                page.clear();
            }
        }
    }
    page.finish();
    Ok(bytes + page.buffer().len())
}

fn value(metric: usize, container: usize) -> u64 {
    (metric as u64 * 1_000_003).wrapping_mul(container as u64 + 1)
}

fn registry(
    labels: &[[(&'static str, String); 3]],
    names: &[String],
) -> Result<prometheus::Registry, prometheus::Error> {
    let registry = prometheus::Registry::new();
    for (metric, name) in names.iter().enumerate() {
        let opts = prometheus::Opts::new(name, "An example of a counter.");
        let counters = prometheus::IntCounterVec::new(opts, &["container_id", "container_name", "image"])?;
        for (container, labels) in labels.iter().enumerate() {
            let values: Vec<_> = labels.iter().map(|(_, value)| value.as_str()).collect();
            counters.with_label_values(&values).inc_by(value(metric, container));
        }
        registry.register(Box::new(counters))?;
    }
    Ok(registry)
}

struct Timing {
    fastest_ms: f64,
    median_ms: f64,
    slowest_ms: f64,
    bytes: usize,
}

impl std::fmt::Display for Timing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fastest_ms, median_ms, slowest_ms, bytes } = self;
        write!(f, "{median_ms:7.2} ms ({fastest_ms:.2} to {slowest_ms:.2}), {bytes} bytes")
    }
}

fn rounds<E>(mut round: impl FnMut() -> Result<usize, E>) -> Result<Timing, E> {
    let mut times = Vec::with_capacity(ROUNDS);
    let mut bytes = round()?;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        bytes = std::hint::black_box(round()?);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Timing {
        fastest_ms: ms(times[0]),
        median_ms: ms(times[ROUNDS / 2]),
        slowest_ms: ms(times[ROUNDS - 1]),
        bytes,
    })
}
