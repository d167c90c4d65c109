//! Prints what ten of a hundred simulated containers use.

use std::{io::Write, sync::Arc};

use collector_core::{Collector, Groups, Options, Request, catalogue::ids};
use source_sim::{Clock, SimInventory, SimSampler};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let inventory = Arc::new(SimInventory::new(100, 7));
    let sampler = Arc::new(SimSampler::new(Clock::Real, 7));
    let collector = Collector::start(Options::default(), vec![inventory], sampler, Box::new(|_| {}));
    collector.wait_until(|collector| !collector.known().is_empty()).await;
    let snapshot = collector.collect(Request::new(Groups::all())).await;
    let mut out = std::io::stdout().lock();
    for shown in snapshot.containers.iter().take(10) {
        let seconds = shown.sample.get(ids::CPU_USAGE).value().map(collector_core::Value::as_f64);
        let memory = shown.sample.get(ids::MEMORY_USAGE).as_u64();
        let name = shown.container.display_name();
        writeln!(
            out,
            "{name:24} {:10} cpu {seconds:?} s, memory {memory:?} bytes",
            shown.container.state.as_str()
        )?;
    }
    Ok(())
}
