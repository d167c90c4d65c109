//! Prints this process's own metrics: `cargo run -p runtime-metrics --example process_page`.

use prometheus::{Registry, TextEncoder};
use runtime_metrics::RuntimeMetrics;

#[expect(clippy::print_stdout, reason = "the page is what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    RuntimeMetrics::builder().process(true).register(&registry)?;
    print!("{}", TextEncoder::new().encode_to_string(&registry.gather())?);
    Ok(())
}
