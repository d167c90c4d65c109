//! The `tokio_runtime_*` metrics, of what stable Tokio tells of a runtime.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily};
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::family::{Description, Head, Otel};

/// One number of a runtime, under both names.
pub(crate) struct Row {
    pub(crate) head: Head,
    #[cfg_attr(not(any(feature = "spans", test)), expect(dead_code, reason = "only a meter asks"))]
    pub(crate) otel: Otel,
    pub(crate) value: Value,
}

/// How it is read.
pub(crate) enum Value {
    /// A gauge of the runtime.
    Now(fn(&RuntimeMetrics) -> u64),
    /// A counter of each worker: label `worker`.
    OfWorker(fn(&RuntimeMetrics, usize) -> f64),
}

const ALIVE_TASKS: fn(&RuntimeMetrics) -> u64 = |runtime| runtime.num_alive_tasks() as u64;

pub(crate) const ROWS: &[Row] = &[
    Row {
        head: Head::gauge("tokio_runtime_alive_tasks", "Tasks that were spawned and have not ended."),
        otel: Otel { name: "tokio.runtime.alive_tasks", unit: "{task}" },
        value: Value::Now(ALIVE_TASKS),
    },
    Row {
        head: Head::gauge(
            "tokio_runtime_global_queue_depth",
            "Tasks that are ready to run and that no worker has taken yet.",
        ),
        otel: Otel { name: "tokio.runtime.global_queue_depth", unit: "{task}" },
        value: Value::Now(|runtime| runtime.global_queue_depth() as u64),
    },
    #[cfg(target_has_atomic = "64")]
    Row {
        head: Head::counter(
            "tokio_runtime_worker_busy_duration_seconds_total",
            "Time that a worker was not waiting for work.",
        ),
        otel: Otel { name: "tokio.runtime.worker.busy_duration", unit: "s" },
        value: Value::OfWorker(|runtime, worker| seconds(runtime.worker_total_busy_duration(worker))),
    },
    #[cfg(target_has_atomic = "64")]
    Row {
        head: Head::counter(
            "tokio_runtime_worker_parks_total",
            "How often a worker ran out of work and waited.",
        ),
        otel: Otel { name: "tokio.runtime.worker.parks", unit: "{park}" },
        value: Value::OfWorker(|runtime, worker| runtime.worker_park_count(worker) as f64),
    },
    Row {
        head: Head::gauge("tokio_runtime_workers", "Worker threads of the runtime."),
        otel: Otel { name: "tokio.runtime.workers", unit: "{worker}" },
        value: Value::Now(|runtime| runtime.num_workers() as u64),
    },
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

impl Row {
    fn labels(&self) -> &'static [&'static str] {
        match self.value {
            Value::Now(_) => &[],
            Value::OfWorker(_) => &["worker"],
        }
    }
}

impl RuntimeCollector {
    /// What it collects, for documents.
    pub fn describe() -> impl Iterator<Item = Description> {
        ROWS.iter().map(|row| row.head.describe(row.labels()))
    }

    /// Of the runtime that the handle belongs to.
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        let descs = ROWS.iter().filter_map(|row| row.head.desc(row.labels()));
        Self { runtime: handle.metrics(), descs: descs.collect() }
    }
}

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        ROWS.iter().map(|row| row.head.family(metrics(row, &self.runtime))).collect()
    }
}

fn metrics(row: &Row, runtime: &RuntimeMetrics) -> Vec<Metric> {
    match row.value {
        Value::Now(read) => vec![row.head.metric(&[], read(runtime) as f64)],
        Value::OfWorker(read) => (0..runtime.num_workers())
            .map(|worker| row.head.metric(&[("worker", &worker.to_string())], read(runtime, worker)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_a_row_are_one() {
        ROWS.iter().for_each(|row| row.otel.assert_is(&row.head));
    }
}
