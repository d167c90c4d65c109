//! The `otlp_system_*` metrics: CPU and memory of the whole host, and the tasks of the service's runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::catalogue::{SYSTEM, SYSTEM_CPU, SYSTEM_MEMORY, SYSTEM_TASKS};
use crate::family;
use crate::host::{CpuTime, memory_used_bytes};

/// The percentage spans at least this long where two collections come closer together.
const WINDOW_MIN: Duration = Duration::from_secs(5);

/// Asks for the number of live async tasks.
pub(crate) type CountTasks = Box<dyn Fn() -> usize + Send + Sync>;

/// Collects the `otlp_system_*` metrics. What cannot be read is absent.
pub(crate) struct SystemCollector {
    stat: PathBuf,
    meminfo: PathBuf,
    readings: Mutex<Readings>,
    tasks: Option<CountTasks>,
    descs: Vec<Desc>,
}

/// Two readings, the older of which a percentage is taken from: so each of several scrapers sees a window of some
/// seconds, whoever asked last.
#[derive(Default)]
struct Readings {
    older: Option<(Instant, CpuTime)>,
    newer: Option<(Instant, CpuTime)>,
}

impl SystemCollector {
    pub(crate) fn new(proc_root: &Path, tasks: Option<CountTasks>) -> Self {
        let collector = Self {
            stat: proc_root.join("stat"),
            meminfo: proc_root.join("meminfo"),
            readings: Mutex::default(),
            tasks,
            descs: SYSTEM.iter().filter_map(family::desc).collect(),
        };
        // The first scrape has something to compare with.
        collector.cpu_percent();
        collector
    }

    fn cpu_percent(&self) -> Option<f64> {
        let now = (Instant::now(), CpuTime::parse(&fs::read(&self.stat).ok()?)?);
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).percent(now)
    }
}

impl Readings {
    /// The percentage since the older reading; takes the new one in when it is its time.
    fn percent(&mut self, now: (Instant, CpuTime)) -> Option<f64> {
        let (newer_at, _) = *self.newer.get_or_insert(now);
        if now.0.saturating_duration_since(newer_at) >= WINDOW_MIN || self.older.is_none() {
            self.older = self.newer.replace(now);
        }
        let (_, older) = self.older?;
        now.1.percent_since(older)
    }
}

impl Collector for SystemCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let memory = fs::read(&self.meminfo).ok().and_then(|bytes| memory_used_bytes(&bytes));
        let tasks = self.tasks.as_ref().map(|count| count() as f64);
        let memory = memory.map(|bytes| bytes as f64);
        let values = [(SYSTEM_CPU, self.cpu_percent()), (SYSTEM_MEMORY, memory), (SYSTEM_TASKS, tasks)];
        values.into_iter().filter_map(|(def, value)| Some(family::alone(&def, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_spans_seconds_whoever_asks() {
        let start = Instant::now();
        let at = |seconds: u64, idle: u64, total: u64| {
            (start + Duration::from_secs(seconds), CpuTime { idle, total })
        };
        let mut readings = Readings::default();
        assert_eq!(readings.percent(at(0, 0, 0)), None, "nothing to compare with");
        assert_eq!(readings.percent(at(1, 50, 100)), Some(50.0));
        assert_eq!(readings.percent(at(2, 100, 200)), Some(50.0), "since the start");
        // A second scraper a moment later does not get a window of a moment.
        assert_eq!(readings.percent(at(20, 1_000, 2_000)), Some(50.0));
        assert_eq!(readings.percent(at(20, 1_000, 2_000)), Some(50.0));
        // All busy from here on: the window leaves the idle time behind.
        assert_eq!(readings.percent(at(26, 1_000, 2_600)), Some(100.0));
        // Counters that went back give nothing.
        assert_eq!(readings.percent(at(27, 0, 10)), None);
    }
}
