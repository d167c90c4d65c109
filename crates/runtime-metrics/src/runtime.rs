//! The `tokio_runtime_*` metrics, of what stable Tokio tells of a runtime.

use std::time::Duration;

use metric_schema::MetricDef;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily};
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::{catalogue, family};

/// One number of a runtime.
pub(crate) struct Row {
    pub(crate) def: MetricDef,
    pub(crate) value: Value,
}

/// How it is read.
pub(crate) enum Value {
    /// A gauge of the runtime.
    Now(fn(&RuntimeMetrics) -> u64),
    /// A counter of each worker: label `worker`.
    OfWorker(fn(&RuntimeMetrics, usize) -> f64),
}

pub(crate) const ROWS: &[Row] = &[
    Row { def: catalogue::ALIVE_TASKS, value: Value::Now(|runtime| runtime.num_alive_tasks() as u64) },
    Row { def: catalogue::GLOBAL_QUEUE, value: Value::Now(|runtime| runtime.global_queue_depth() as u64) },
    #[cfg(target_has_atomic = "64")]
    Row {
        def: catalogue::WORKER_BUSY,
        value: Value::OfWorker(|runtime, worker| seconds(runtime.worker_total_busy_duration(worker))),
    },
    #[cfg(target_has_atomic = "64")]
    Row {
        def: catalogue::WORKER_PARKS,
        value: Value::OfWorker(|runtime, worker| runtime.worker_park_count(worker) as f64),
    },
    Row { def: catalogue::WORKERS, value: Value::Now(|runtime| runtime.num_workers() as u64) },
];

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Collects what stable Tokio tells of a runtime.
///
/// | metric | source: `tokio::runtime::RuntimeMetrics` |
/// |---|---|
/// | `tokio_runtime_alive_tasks` | `num_alive_tasks` |
/// | `tokio_runtime_global_queue_depth` | `global_queue_depth` |
/// | `tokio_runtime_worker_busy_duration_seconds_total{worker}` | `worker_total_busy_duration` |
/// | `tokio_runtime_worker_parks_total{worker}` | `worker_park_count` |
/// | `tokio_runtime_workers` | `num_workers` |
///
/// `worker` counts from 0; a runtime has the same workers all its life.
#[derive(Debug)]
pub struct RuntimeCollector {
    runtime: RuntimeMetrics,
    descs: Vec<Desc>,
}

impl RuntimeCollector {
    /// Of the runtime that the handle belongs to.
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        let descs = ROWS.iter().filter_map(|row| family::desc(&row.def));
        Self { runtime: handle.metrics(), descs: descs.collect() }
    }
}

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        ROWS.iter().map(|row| family::family(&row.def, metrics(row, &self.runtime))).collect()
    }
}

fn metrics(row: &Row, runtime: &RuntimeMetrics) -> Vec<Metric> {
    match row.value {
        Value::Now(read) => vec![family::metric(&row.def, &[], read(runtime) as f64)],
        Value::OfWorker(read) => (0..runtime.num_workers())
            .map(|worker| {
                let worker_name = worker.to_string();
                family::metric(&row.def, &[("worker", &worker_name)], read(runtime, worker))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where atomics are small, Tokio does not tell two of them.
    #[test]
    fn every_row_of_the_catalogue_is_read() {
        let names = ROWS.iter().map(|row| row.def.name);
        let told = catalogue::RUNTIME
            .iter()
            .filter(|def| cfg!(target_has_atomic = "64") || def.attributes.is_empty());
        assert!(names.eq(told.map(|def| def.name)));
    }
}
