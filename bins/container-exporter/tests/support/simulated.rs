//! Simulated containers, to be sent and to be compared with.

use std::sync::Arc;
use std::time::SystemTime;

use collector_core::{Collector, Groups, Options, Request, Snapshot};
use source_sim::{HeldClock, SimInventory, SimSampler};

/// Thirty of them at one moment.
pub(crate) async fn snapshot() -> Arc<Snapshot> {
    let clock = HeldClock::new(SystemTime::now());
    let inventory = SimInventory::new(30, 7).with_clock(clock.clone());
    let sampler = SimSampler::new(clock, 7);
    let options = Options::default();
    let collector = Collector::start(options, vec![Arc::new(inventory)], Arc::new(sampler), Box::new(|_| {}));
    collector.wait_until(|collector| collector.known().len() == 30).await;
    collector.collect(Request::new(Groups::all())).await
}
