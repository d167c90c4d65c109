//! The `process_*` metrics: one table of names, one reading of the kernel per collection.

use std::path::Path;

use metric_schema::MetricDef;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::{catalogue, family};

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

/// How a row is read.
pub(crate) struct Row {
    pub(crate) def: MetricDef,
    pub(crate) value: fn(&Reading) -> Option<f64>,
}

pub(crate) const ROWS: [Row; 7] = [
    Row { def: catalogue::PROCESS_CPU, value: |reading| reading.cpu_seconds },
    Row { def: catalogue::PROCESS_MAX_FDS, value: |reading| reading.max_fds },
    Row { def: catalogue::PROCESS_OPEN_FDS, value: |reading| reading.open_fds },
    Row { def: catalogue::PROCESS_RESIDENT_MEMORY, value: |reading| reading.resident_bytes },
    Row { def: catalogue::PROCESS_START_TIME, value: |reading| reading.start_seconds },
    Row { def: catalogue::PROCESS_THREADS, value: |reading| reading.threads },
    Row { def: catalogue::PROCESS_VIRTUAL_MEMORY, value: |reading| reading.virtual_bytes },
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
        let descs = ROWS.iter().filter_map(|row| family::desc(&row.def));
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
        ROWS.iter().filter_map(|row| Some(family::alone(&row.def, (row.value)(&reading)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_catalogue_is_read_and_sorted() {
        assert_eq!(ProcessCollector::new().desc().len(), ROWS.len());
        let names = ROWS.iter().map(|row| row.def.name);
        assert!(names.clone().eq(catalogue::PROCESS.iter().map(|def| def.name)));
        assert!(names.is_sorted());
    }
}
