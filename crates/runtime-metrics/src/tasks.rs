//! The `tokio_task_*` metrics of task monitors.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio_metrics::{TaskMetrics, TaskMonitor};

use crate::family::{Head, Otel};

/// One number of the tasks of a monitor, under both names.
pub(crate) struct Row {
    pub(crate) head: Head,
    #[cfg_attr(not(any(feature = "spans", test)), expect(dead_code, reason = "only a meter asks"))]
    pub(crate) otel: Otel,
    pub(crate) value: fn(&TaskMetrics) -> f64,
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        head: Head::counter("tokio_task_dropped_total", "Tasks that ended or were dropped."),
        otel: Otel { name: "tokio.task.dropped", unit: "{task}" },
        value: |tasks| tasks.dropped_count as f64,
    },
    Row {
        head: Head::counter("tokio_task_idle_duration_seconds_total", "Time that tasks waited for an event."),
        otel: Otel { name: "tokio.task.idle_duration", unit: "s" },
        value: |tasks| tasks.total_idle_duration.as_secs_f64(),
    },
    Row {
        head: Head::counter("tokio_task_instrumented_total", "Tasks that were given to the monitor."),
        otel: Otel { name: "tokio.task.instrumented", unit: "{task}" },
        value: |tasks| tasks.instrumented_count as f64,
    },
    Row {
        head: Head::counter("tokio_task_poll_duration_seconds_total", "Time that tasks ran."),
        otel: Otel { name: "tokio.task.poll_duration", unit: "s" },
        value: |tasks| tasks.total_poll_duration.as_secs_f64(),
    },
    Row {
        head: Head::counter("tokio_task_polls_total", "How often tasks ran."),
        otel: Otel { name: "tokio.task.polls", unit: "{poll}" },
        value: |tasks| tasks.total_poll_count as f64,
    },
    Row {
        head: Head::counter(
            "tokio_task_scheduled_duration_seconds_total",
            "Time that tasks were ready and waited for a worker.",
        ),
        otel: Otel { name: "tokio.task.scheduled_duration", unit: "s" },
        value: |tasks| tasks.total_scheduled_duration.as_secs_f64(),
    },
    Row {
        head: Head::counter("tokio_task_scheduled_total", "How often tasks became ready."),
        otel: Otel { name: "tokio.task.scheduled", unit: "{schedule}" },
        value: |tasks| tasks.total_scheduled_count as f64,
    },
    Row {
        head: Head::counter(
            "tokio_task_slow_polls_total",
            "How often tasks ran for longer than the monitor calls fast, 50 µs unless said.",
        ),
        otel: Otel { name: "tokio.task.slow_polls", unit: "{poll}" },
        value: |tasks| tasks.total_slow_poll_count as f64,
    },
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
        let descs = ROWS.iter().filter_map(|row| row.head.desc(&["task"]));
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
            let series =
                seen.iter().map(|(name, tasks)| row.head.metric(&[("task", name)], (row.value)(tasks)));
            row.head.family(series.collect())
        };
        ROWS.iter().map(family).collect()
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
