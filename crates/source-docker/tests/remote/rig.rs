//! A collector over one recorded engine.

use std::{sync::Arc, time::Duration};

use collector_core::{
    Absence, Collector, Container, Groups, Inventory, OnSignal, Options as CollectorOptions, Probe, Request,
    Sample, Sampler, Snapshot,
    catalogue::{Dimension, ids},
};
use source_docker::{Endpoint, Options, Polled, StatsInventory, StatsOptions, StatsSampler};
use test_support::{Answer, RecordedEngine, engine::fixture};

/// The id of the container that was recorded in full, its beginning.
pub(crate) const WEB: &str = "00d3e1f1c5a1";

/// The kernel: which finds none of another machine's containers, and must not be asked for them.
struct Nobody;

impl Sampler for Nobody {
    fn open(&self, _: &Container, _: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        Err(Absence::NoController)
    }

    fn host(&self, _: Groups, _: &mut Sample) {}
}

/// A collector over one engine.
pub(crate) struct Rig {
    pub(crate) collector: Collector,
}

impl Rig {
    pub(crate) fn start(endpoint: Endpoint, stats: StatsOptions) -> Self {
        let inventory = inventory(endpoint, stats);
        let sampler = StatsSampler::new(Arc::new(Nobody), std::slice::from_ref(&inventory));
        Self { collector: collector(vec![inventory], Arc::new(sampler)) }
    }

    /// The engine is found once the collector runs.
    pub(crate) fn start_and_add(endpoint: Endpoint, stats: StatsOptions) -> Self {
        let sampler = Arc::new(StatsSampler::new(Arc::new(Nobody), &[]));
        let collector = collector(Vec::new(), sampler.clone());
        let inventory = inventory(endpoint, stats);
        sampler.add(&inventory);
        assert!(collector.additions().add(inventory));
        Self { collector }
    }

    pub(crate) async fn snapshot(&self) -> Arc<Snapshot> {
        self.collector.collect(Request::new(Groups::all())).await
    }

    /// Collects until a container's sample satisfies the condition.
    pub(crate) async fn until(
        &self,
        id: &str,
        condition: impl Fn(&Sample) -> bool,
    ) -> (Arc<Sample>, Arc<Snapshot>) {
        let wait = async {
            loop {
                let snapshot = self.snapshot().await;
                let found = snapshot.containers.iter().find(|c| c.container.id.as_str().starts_with(id));
                if let Some(found) = found
                    && condition(&found.sample)
                {
                    return (found.sample.clone(), snapshot.clone());
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the sample never came to that")
    }
}

fn inventory(endpoint: Endpoint, stats: StatsOptions) -> Arc<StatsInventory> {
    let mut options = Options::default();
    options.endpoint = endpoint;
    options.backoff_min = Duration::from_millis(5);
    options.backoff_max = Duration::from_millis(20);
    options.relist_pause = Duration::from_millis(10);
    options.ping_interval = Duration::from_millis(10);
    options.ping_timeout = Duration::from_secs(10);
    Arc::new(StatsInventory::new(options, stats))
}

fn collector(inventories: Vec<Arc<dyn Inventory>>, sampler: Arc<StatsSampler>) -> Collector {
    let own: Box<dyn Fn(&mut Sample) + Send + Sync> = Box::new(|_| {});
    Collector::start(CollectorOptions::default(), inventories, sampler, own)
}

pub(crate) fn quick(polled: Polled) -> StatsOptions {
    let mut options = StatsOptions::new(polled);
    options.interval = Duration::from_millis(20);
    options
}

pub(crate) fn full_ids() -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&fixture("engine-20.10/list.json")).unwrap();
    list.as_array().unwrap().iter().map(|entry| entry["Id"].as_str().unwrap().to_owned()).collect()
}

/// An engine with the recorded containers, each of which has these numbers.
pub(crate) fn recorded(stats: &str) -> RecordedEngine {
    let engine = RecordedEngine::start();
    engine.play_docker();
    for id in full_ids() {
        engine.answer(&format!("/containers/{id}/stats"), Answer::text(stats.to_owned()));
    }
    engine
}

pub(crate) fn tcp(port: u16) -> Endpoint {
    Endpoint::parse(&format!("tcp://127.0.0.1:{port}")).unwrap()
}

pub(crate) fn has_cpu(sample: &Sample) -> bool {
    sample.get(ids::CPU_USAGE).value().is_some()
}

pub(crate) fn is_inspected(sample: &Sample) -> bool {
    has_cpu(sample) && sample.get(ids::CPU_SPEC_QUOTA).value().is_some()
}

pub(crate) fn absent(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let table = snapshot.exporter.table(Dimension::Absent);
    let told = table.entries.iter();
    told.filter_map(|entry| Some((entry.labels.join(" "), entry.cells[0].as_u64()?))).collect()
}
