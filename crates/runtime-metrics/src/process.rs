//! The `process_*` metrics: one table of names, one reading of the kernel per collection.

use std::path::Path;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::Source;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
pub(crate) use linux::fuzz;

/// Elsewhere nothing is measured, so every metric is absent.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Source;

#[cfg(not(target_os = "linux"))]
impl Source {
    fn new(_: &Path) -> Self {
        Self
    }

    fn read(&self) -> Reading {
        Reading::default()
    }
}

/// What one collection found; `None` is what could not be measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Reading {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    threads: Option<f64>,
    /// Since 1970-01-01 UTC.
    start_seconds: Option<f64>,
}

struct Row {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: fn(&Reading) -> Option<f64>,
}

/// Names and HELP are those of the Prometheus client libraries, so that dashboards for them fit.
const ROWS: [Row; 7] = [
    Row {
        name: "process_cpu_seconds_total",
        help: "Total user and system CPU time spent in seconds.",
        kind: MetricType::COUNTER,
        value: |reading| reading.cpu_seconds,
    },
    Row {
        name: "process_max_fds",
        help: "Maximum number of open file descriptors.",
        kind: MetricType::GAUGE,
        value: |reading| reading.max_fds,
    },
    Row {
        name: "process_open_fds",
        help: "Number of open file descriptors.",
        kind: MetricType::GAUGE,
        value: |reading| reading.open_fds,
    },
    Row {
        name: "process_resident_memory_bytes",
        help: "Resident memory size in bytes.",
        kind: MetricType::GAUGE,
        value: |reading| reading.resident_bytes,
    },
    Row {
        name: "process_start_time_seconds",
        help: "Start time of the process since unix epoch in seconds.",
        kind: MetricType::GAUGE,
        value: |reading| reading.start_seconds,
    },
    Row {
        name: "process_threads",
        help: "Number of OS threads in the process.",
        kind: MetricType::GAUGE,
        value: |reading| reading.threads,
    },
    Row {
        name: "process_virtual_memory_bytes",
        help: "Virtual memory size in bytes.",
        kind: MetricType::GAUGE,
        value: |reading| reading.virtual_bytes,
    },
];

/// Collects the metrics of the process that it runs in. What cannot be measured is absent: on systems other than
/// Linux everything, where `/proc` is not readable what comes from there.
///
/// | metric | source on Linux |
/// |---|---|
/// | `process_cpu_seconds_total` | `clock_gettime(CLOCK_PROCESS_CPUTIME_ID)`: user and system time of all threads, in nanoseconds |
/// | `process_resident_memory_bytes` | `/proc/self/stat` field 24, in pages |
/// | `process_virtual_memory_bytes` | `/proc/self/stat` field 23 |
/// | `process_threads` | `/proc/self/stat` field 20 |
/// | `process_open_fds` | the size of `/proc/self/fd` (Linux 6.2 and later), else its entries |
/// | `process_max_fds` | `getrlimit(RLIMIT_NOFILE)`, the soft limit; absent when unlimited |
/// | `process_start_time_seconds` | `btime` of `/proc/stat` plus `/proc/self/stat` field 22; read once |
#[derive(Debug)]
pub struct ProcessCollector {
    descs: Vec<Desc>,
    source: Source,
}

impl ProcessCollector {
    /// Reads `/proc`.
    #[must_use]
    pub fn new() -> Self {
        Self::with_proc_root(Path::new("/proc"))
    }

    /// Reads what stands under another root than `/proc`, such as a fixture. CPU time and the limit of file
    /// descriptors come from system calls and are always this process's own.
    #[must_use]
    pub fn with_proc_root(root: &Path) -> Self {
        let desc = |row: &Row| Desc::new(row.name.into(), row.help.into(), Vec::new(), Default::default());
        // The names are valid, which a test asserts; a row with a bad name would not be registered.
        Self { descs: ROWS.iter().flat_map(desc).collect(), source: Source::new(root) }
    }
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = self.source.read();
        ROWS.iter().filter_map(|row| Some(family(row, (row.value)(&reading)?))).collect()
    }
}

fn family(row: &Row, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    if row.kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name(row.name.into());
    family.set_help(row.help.into());
    family.set_field_type(row.kind);
    family.set_metric(vec![metric]);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_described_and_sorted() {
        assert_eq!(ProcessCollector::new().desc().len(), ROWS.len());
        assert!(ROWS.iter().map(|row| row.name).is_sorted_by(|a, b| a < b));
        for row in &ROWS {
            assert_eq!(row.name.ends_with("_total"), row.kind == MetricType::COUNTER, "{}", row.name);
        }
    }
}
