//! The `process_*` metrics: one table of names, one reading of the kernel per collection.

use std::path::Path;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::family::{Description, Head};

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
pub(crate) struct Reading {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<f64>,
    pub(crate) virtual_bytes: Option<f64>,
    pub(crate) open_fds: Option<f64>,
    pub(crate) max_fds: Option<f64>,
    pub(crate) threads: Option<f64>,
    /// Since 1970-01-01 UTC.
    pub(crate) start_seconds: Option<f64>,
}

struct Row {
    head: Head,
    value: fn(&Reading) -> Option<f64>,
}

/// Names and HELP are those of the Prometheus client libraries, so that dashboards for them fit.
const ROWS: [Row; 7] = [
    Row {
        head: Head::counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
        value: |reading| reading.cpu_seconds,
    },
    Row {
        head: Head::gauge("process_max_fds", "Maximum number of open file descriptors."),
        value: |reading| reading.max_fds,
    },
    Row {
        head: Head::gauge("process_open_fds", "Number of open file descriptors."),
        value: |reading| reading.open_fds,
    },
    Row {
        head: Head::gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
        value: |reading| reading.resident_bytes,
    },
    Row {
        head: Head::gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        ),
        value: |reading| reading.start_seconds,
    },
    Row {
        head: Head::gauge("process_threads", "Number of OS threads in the process."),
        value: |reading| reading.threads,
    },
    Row {
        head: Head::gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
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
    /// What it collects, for documents.
    pub fn describe() -> impl Iterator<Item = Description> {
        ROWS.iter().map(|row| row.head.describe(&[]))
    }

    /// Reads `/proc`.
    #[must_use]
    pub fn new() -> Self {
        Self::with_proc_root(Path::new("/proc"))
    }

    /// Reads what stands under another root than `/proc`, such as a fixture. CPU time and the limit of file
    /// descriptors come from system calls and are always this process's own.
    #[must_use]
    pub fn with_proc_root(root: &Path) -> Self {
        let descs = ROWS.iter().filter_map(|row| row.head.desc(&[]));
        Self { descs: descs.collect(), source: Source::new(root) }
    }
}

impl ProcessCollector {
    #[cfg(feature = "spans")]
    pub(crate) fn read(&self) -> Reading {
        self.source.read()
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
        ROWS.iter().filter_map(|row| Some(row.head.alone((row.value)(&reading)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::MetricType;

    use super::*;

    #[test]
    fn every_row_is_described_and_sorted() {
        assert_eq!(ProcessCollector::new().desc().len(), ROWS.len());
        assert!(ROWS.iter().map(|row| row.head.name).is_sorted_by(|a, b| a < b));
        for row in &ROWS {
            let Head { name, kind, .. } = &row.head;
            assert_eq!(name.ends_with("_total"), *kind == MetricType::COUNTER, "{name}");
        }
    }
}
