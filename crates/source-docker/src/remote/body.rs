//! Reads the answer of `GET /containers/{id}/stats`: any engine generation, cgroup v1 and v2, Podman.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::{Faults, Object};

/// Devices and interfaces that are taken from one answer.
const ROWS_MAX: usize = 256;
/// Words of `memory.stat` that are taken.
const WORDS_MAX: usize = 256;

/// The fields of an answer: `None` where they are missing, or are no numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// `cpu_stats.cpu_usage.total_usage`, nanoseconds.
    pub(crate) cpu_total: Option<u64>,
    /// `…usage_in_usermode`, nanoseconds.
    pub(crate) cpu_user: Option<u64>,
    /// `…usage_in_kernelmode`, nanoseconds.
    pub(crate) cpu_system: Option<u64>,
    /// `cpu_stats.online_cpus`.
    pub(crate) online_cpus: Option<u64>,
    /// `cpu_stats.throttling_data.periods`.
    pub(crate) periods: Option<u64>,
    /// `…throttled_periods`.
    pub(crate) throttled_periods: Option<u64>,
    /// `…throttled_time`, nanoseconds.
    pub(crate) throttled: Option<u64>,
    /// `memory_stats.usage`, bytes.
    pub(crate) memory_usage: Option<u64>,
    /// `memory_stats.max_usage`, bytes; v1 only.
    pub(crate) memory_max_usage: Option<u64>,
    /// `memory_stats.failcnt`; v1 only, left out where it is 0.
    pub(crate) memory_failcnt: Option<u64>,
    /// `memory_stats.limit`, bytes: the host's memory where there is none.
    pub(crate) memory_limit: Option<u64>,
    /// `memory_stats.stats`: words of `memory.stat`.
    pub(crate) memory_stat: BTreeMap<String, u64>,
    /// `pids_stats.current`.
    pub(crate) pids: Option<u64>,
    /// `pids_stats.limit`; 2⁶⁴−1 is none.
    pub(crate) pids_limit: Option<u64>,
    /// `blkio_stats`; `None` where the engine gives no list.
    pub(crate) devices: Option<Vec<Device>>,
    /// `networks`; `None` where there is none.
    pub(crate) interfaces: Option<Vec<Interface>>,
}

/// One block device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) read_bytes: Option<u64>,
    pub(crate) write_bytes: Option<u64>,
    pub(crate) reads: Option<u64>,
    pub(crate) writes: Option<u64>,
}

/// One network interface. Its error counts are 0 on every engine, so they are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) rx_bytes: Option<u64>,
    pub(crate) rx_packets: Option<u64>,
    pub(crate) rx_dropped: Option<u64>,
    pub(crate) tx_bytes: Option<u64>,
    pub(crate) tx_packets: Option<u64>,
    pub(crate) tx_dropped: Option<u64>,
}

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Numbers.
    Stats(Box<Stats>),
    /// The container does not run: engines answer zeros, read in the year 1.
    NotRunning,
}

/// A count; one written as `1e9` counts.
fn count(object: &Object<'_>, key: &str) -> Option<u64> {
    let text = object.raw(key)?;
    text.parse().ok().or_else(|| u64::try_from(object.integer(key, &Faults::default())?).ok())
}

/// Reads an answer; `None` if it is no object.
pub(crate) fn read(text: &str) -> Option<Answer> {
    let answer = Object::parse(text)?;
    let faults = Faults::default();
    if answer.text("read", &faults).is_some_and(|read| read.starts_with("0001-01-01T")) {
        return Some(Answer::NotRunning);
    }
    let mut stats = Stats::default();
    let memory = answer.object("memory_stats", &faults).unwrap_or_default();
    // Windows counts time in units of 100 ns, and names its memory otherwise.
    let is_windows = memory.raw("privateworkingset").is_some() || memory.raw("commitbytes").is_some();
    let time = |object: &Object<'_>, key| count(object, key)?.checked_mul(if is_windows { 100 } else { 1 });
    if let Some(cpu) = answer.object("cpu_stats", &faults) {
        let usage = cpu.object("cpu_usage", &faults).unwrap_or_default();
        stats.cpu_total = time(&usage, "total_usage");
        stats.cpu_user = time(&usage, "usage_in_usermode");
        stats.cpu_system = time(&usage, "usage_in_kernelmode");
        stats.online_cpus = count(&cpu, "online_cpus").filter(|cpus| *cpus > 0);
        let throttling = cpu.object("throttling_data", &faults).unwrap_or_default();
        stats.periods = count(&throttling, "periods");
        stats.throttled_periods = count(&throttling, "throttled_periods");
        stats.throttled = time(&throttling, "throttled_time");
    }
    stats.memory_usage = count(&memory, "usage");
    stats.memory_max_usage = count(&memory, "max_usage").filter(|bytes| *bytes > 0);
    stats.memory_failcnt = count(&memory, "failcnt");
    stats.memory_limit = count(&memory, "limit").filter(|bytes| *bytes > 0);
    if let Some(words) = memory.object("stats", &faults) {
        let numbers =
            words.keys().take(WORDS_MAX).filter_map(|key| Some((key.to_owned(), count(&words, key)?)));
        stats.memory_stat = numbers.collect();
    }
    if let Some(pids) = answer.object("pids_stats", &faults) {
        stats.pids = count(&pids, "current");
        stats.pids_limit = count(&pids, "limit").filter(|limit| *limit > 0);
    }
    stats.devices = answer.object("blkio_stats", &faults).and_then(|blkio| devices(&blkio));
    stats.interfaces = answer.object("networks", &faults).map(|networks| interfaces(&networks));
    Some(Answer::Stats(Box::new(stats)))
}

/// One device has a line for each operation: `Read` on v1, `read` on v2.
fn devices(blkio: &Object<'_>) -> Option<Vec<Device>> {
    let faults = Faults::default();
    let mut found: BTreeMap<(u64, u64), Device> = BTreeMap::new();
    let mut is_list = false;
    for (key, is_bytes) in [("io_service_bytes_recursive", true), ("io_serviced_recursive", false)] {
        let Some(lines) = blkio.array(key, &faults) else { continue };
        is_list = true;
        for line in lines {
            let Some(line) = Object::parse(line.get()) else { continue };
            let (Some(major), Some(minor)) = (count(&line, "major"), count(&line, "minor")) else { continue };
            if found.len() >= ROWS_MAX && !found.contains_key(&(major, minor)) {
                continue;
            }
            let device =
                found.entry((major, minor)).or_insert_with(|| Device { major, minor, ..Device::default() });
            let operation = line.word("op", &faults).unwrap_or_default().to_ascii_lowercase();
            let field = match (operation.as_str(), is_bytes) {
                ("read", true) => &mut device.read_bytes,
                ("write", true) => &mut device.write_bytes,
                ("read", false) => &mut device.reads,
                ("write", false) => &mut device.writes,
                _ => continue,
            };
            *field = count(&line, "value");
        }
    }
    is_list.then(|| found.into_values().collect())
}

fn interfaces(networks: &Object<'_>) -> Vec<Interface> {
    let faults = Faults::default();
    let of = |name: &str| {
        let counts = networks.object(name, &faults)?;
        Some(Interface {
            name: name.to_owned(),
            rx_bytes: count(&counts, "rx_bytes"),
            rx_packets: count(&counts, "rx_packets"),
            rx_dropped: count(&counts, "rx_dropped"),
            tx_bytes: count(&counts, "tx_bytes"),
            tx_packets: count(&counts, "tx_packets"),
            tx_dropped: count(&counts, "tx_dropped"),
        })
    };
    // Podman counts the loopback, too. Engines in Go sort the names, others need not.
    let names: BTreeSet<&str> = networks.keys().filter(|name| *name != "lo").take(ROWS_MAX).collect();
    names.into_iter().filter_map(of).collect()
}
