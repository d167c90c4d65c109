//! The `tokio_task_*` metrics of task monitors.

use metric_schema::MetricDef;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio_metrics::{TaskMetrics, TaskMonitor};

use crate::{catalogue, family};

/// One number of the tasks of a monitor.
pub(crate) struct Row {
    pub(crate) def: MetricDef,
    pub(crate) value: fn(&TaskMetrics) -> f64,
}

pub(crate) const ROWS: &[Row] = &[
    Row { def: catalogue::TASKS_DROPPED, value: |tasks| tasks.dropped_count as f64 },
    Row { def: catalogue::TASKS_IDLE, value: |tasks| tasks.total_idle_duration.as_secs_f64() },
    Row { def: catalogue::TASKS_INSTRUMENTED, value: |tasks| tasks.instrumented_count as f64 },
    Row { def: catalogue::TASKS_POLL_DURATION, value: |tasks| tasks.total_poll_duration.as_secs_f64() },
    Row { def: catalogue::TASKS_POLLS, value: |tasks| tasks.total_poll_count as f64 },
    Row {
        def: catalogue::TASKS_SCHEDULED_DURATION,
        value: |tasks| tasks.total_scheduled_duration.as_secs_f64(),
    },
    Row { def: catalogue::TASKS_SCHEDULED, value: |tasks| tasks.total_scheduled_count as f64 },
    Row { def: catalogue::TASKS_SLOW_POLLS, value: |tasks| tasks.total_slow_poll_count as f64 },
];

/// Monitors by the value of the label `task`.
pub(crate) type Monitors = Vec<(&'static str, TaskMonitor)>;

/// Collects what the monitors have seen so far.
pub(crate) struct TaskCollector {
    monitors: Monitors,
    descs: Vec<Desc>,
}

impl TaskCollector {
    pub(crate) fn new(monitors: Monitors) -> Self {
        let descs = ROWS.iter().filter_map(|row| family::desc(&row.def));
        Self { monitors, descs: descs.collect() }
    }
}

impl Collector for TaskCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let seen: Vec<_> =
            self.monitors.iter().map(|(name, monitor)| (*name, monitor.cumulative())).collect();
        let family = |row: &Row| {
            let series = seen
                .iter()
                .map(|(name, tasks)| family::metric(&row.def, &[("task", name)], (row.value)(tasks)));
            family::family(&row.def, series.collect())
        };
        ROWS.iter().map(family).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_catalogue_is_read() {
        assert!(ROWS.iter().map(|row| row.def.name).eq(catalogue::TASKS.iter().map(|def| def.name)));
    }
}
