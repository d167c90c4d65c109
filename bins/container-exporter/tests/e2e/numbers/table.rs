//! Which number of which kernel file each metric is, on both versions of cgroups.

use std::path::{Path, PathBuf};

use super::{network as detail, processes};
use crate::harness::{Kernel, key, number};

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It lies between two readings.
    Counter,
    /// It equals both as soon as they agree.
    Gauge,
}
use Kind::{Counter, Gauge};

/// One value that the kernel has.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) name: &'static str,
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) kind: Kind,
    pub(super) value: f64,
}

/// A metric with one value for a container; `None` where this version of cgroups has no such number.
pub(super) type Row = (&'static str, Kind, fn(&Kernel) -> Option<f64>);

const NANOS: f64 = 1e9;
const MICROS: f64 = 1e6;
/// The unit of `cpuacct.stat`, on every architecture that Linux has today.
const USER_HZ: f64 = 100.0;

const ROWS: &[Row] = &[
    ("container_cpu_usage_seconds_total", Counter, Kernel::cpu_seconds),
    ("container_cpu_user_seconds_total", Counter, |k| {
        cpuacct(k, "user").or_else(|| Some(v2(k, "cpu.stat", "user_usec")? / MICROS))
    }),
    ("container_cpu_system_seconds_total", Counter, |k| {
        cpuacct(k, "system").or_else(|| Some(v2(k, "cpu.stat", "system_usec")? / MICROS))
    }),
    ("container_cpu_cfs_periods_total", Counter, |k| cpu_stat(k, "nr_periods", "nr_periods")),
    ("container_cpu_cfs_throttled_periods_total", Counter, |k| cpu_stat(k, "nr_throttled", "nr_throttled")),
    ("container_cpu_cfs_throttled_seconds_total", Counter, |k| {
        Some(cpu_stat(k, "throttled_time", "throttled_usec")? / if k.is_v2() { MICROS } else { NANOS })
    }),
    ("container_cpu_cfs_burst_periods_total", Counter, |k| cpu_stat(k, "nr_bursts", "nr_bursts")),
    ("container_cpu_cfs_burst_seconds_total", Counter, |k| {
        Some(cpu_stat(k, "burst_time", "burst_usec")? / if k.is_v2() { MICROS } else { NANOS })
    }),
    ("container_cpu_limit_cores", Gauge, |k| {
        let quotas = levels(k, "cpu").filter_map(|directory| quota_cores(k, &directory));
        // A kernel of one CPU has no cpusets.
        let cpus = levels(k, "cpuset").find_map(|directory| cpuset(k, &directory)).or_else(online_cpus);
        quotas.chain(cpus).reduce(f64::min)
    }),
    ("container_spec_cpu_shares", Gauge, |k| match k.is_v2() {
        // What the engine was told, which no file has, and runtimes differ in what weight they make of it: tests tell it 512
        // or nothing.
        true => Some(if number(&k.v2("cpu.weight")?)? == 100.0 { 1024.0 } else { 512.0 }),
        false => number(&k.v1("cpu", "cpu.shares")?),
    }),
    ("container_cpu_weight", Gauge, |k| number(&k.v2("cpu.weight")?)),
    ("container_spec_cpu_quota", Gauge, |k| {
        number(k.v1("cpu", "cpu.cfs_quota_us").or_else(|| k.v2("cpu.max"))?.split(' ').next()?)
            .filter(|us| *us > 0.0)
    }),
    ("container_spec_cpu_period", Gauge, |k| {
        number(k.v1("cpu", "cpu.cfs_period_us").or_else(|| k.v2("cpu.max"))?.split(' ').next_back()?)
    }),
    ("container_cpuset_cpus", Gauge, |k| {
        listed(&controlled(k, "cpuset", "cpuset.effective_cpus", "cpuset.cpus.effective")?)
    }),
    ("container_cpuset_memory_nodes", Gauge, |k| {
        listed(&controlled(k, "cpuset", "cpuset.effective_mems", "cpuset.mems.effective")?)
    }),
    ("container_cpu_burst_limit_seconds", Gauge, |k| {
        Some(number(&controlled(k, "cpu", "cpu.cfs_burst_us", "cpu.max.burst")?)? / MICROS)
    }),
    ("container_cpu_idle", Gauge, |k| number(&controlled(k, "cpu", "cpu.idle", "cpu.idle")?)),
    ("container_cpu_nice_seconds_total", Counter, |k| Some(v2(k, "cpu.stat", "nice_usec")? / MICROS)),
    ("container_cpu_force_idle_seconds_total", Counter, |k| {
        Some(v2(k, "cpu.stat", "core_sched.force_idle_usec")? / MICROS)
    }),
    ("container_pressure_irq_stalled_seconds_total", Counter, |k| stalled(k, "irq.pressure", "full")),
    ("container_memory_usage_bytes", Gauge, |k| memory(k, "memory.usage_in_bytes", "memory.current")),
    ("container_memory_working_set_bytes", Gauge, working_set),
    ("container_memory_rss", Gauge, |k| stat(k, "total_rss", "anon")),
    ("container_memory_cache", Gauge, |k| stat(k, "total_cache", "file")),
    ("container_memory_mapped_file", Gauge, |k| stat(k, "total_mapped_file", "file_mapped")),
    ("container_memory_kernel_usage", Gauge, |k| match k.is_v2() {
        true => v2(k, "memory.stat", "kernel"),
        false => number(&k.v1("memory", "memory.kmem.usage_in_bytes")?),
    }),
    ("container_memory_swap", Gauge, |k| match k.is_v2() {
        true => number(&k.v2("memory.swap.current")?),
        false => stat(k, "total_swap", ""),
    }),
    ("container_memory_max_usage_bytes", Gauge, |k| memory(k, "memory.max_usage_in_bytes", "memory.peak")),
    ("container_memory_total_active_file_bytes", Gauge, |k| stat(k, "total_active_file", "active_file")),
    ("container_memory_total_inactive_file_bytes", Gauge, |k| {
        stat(k, "total_inactive_file", "inactive_file")
    }),
    ("container_memory_file_dirty_bytes", Gauge, |k| stat(k, "total_dirty", "file_dirty")),
    ("container_memory_file_writeback_bytes", Gauge, |k| stat(k, "total_writeback", "file_writeback")),
    ("container_memory_limit_bytes", Gauge, memory_limit),
    ("container_memory_usage_percent", Gauge, |k| Some(working_set(k)? / memory_limit(k)? * 100.0)),
    ("container_spec_memory_limit_bytes", Gauge, |k| limit(k, "memory.limit_in_bytes", "memory.max")),
    ("container_spec_memory_swap_limit_bytes", Gauge, |k| {
        // v2 limits swap apart from memory.
        let memory = limit(k, "memory.memsw.limit_in_bytes", "memory.max")?;
        let swap = if k.is_v2() { k.v2("memory.swap.max")?.trim().parse().ok() } else { Some(0.0) };
        Some(swap.filter(|_| memory > 0.0).map_or(0.0, |swap: f64| memory + swap))
    }),
    ("container_spec_memory_reservation_limit_bytes", Gauge, |k| {
        limit(k, "memory.soft_limit_in_bytes", "memory.low")
    }),
    ("container_memory_failcnt", Counter, hits),
    ("container_memory_events_max_total", Counter, hits),
    ("container_memory_events_low_total", Counter, |k| v2(k, "memory.events", "low")),
    ("container_memory_events_high_total", Counter, |k| v2(k, "memory.events", "high")),
    ("container_memory_events_oom_total", Counter, |k| v2(k, "memory.events", "oom")),
    ("container_memory_events_oom_kill_total", Counter, |k| match k.is_v2() {
        true => v2(k, "memory.events", "oom_kill"),
        false => key(&k.v1("memory", "memory.oom_control")?, "oom_kill"),
    }),
    ("container_memory_events_oom_group_kill_total", Counter, |k| v2(k, "memory.events", "oom_group_kill")),
    ("container_memory_pgscan_total", Counter, |k| v2(k, "memory.stat", "pgscan")),
    ("container_memory_pgsteal_total", Counter, |k| v2(k, "memory.stat", "pgsteal")),
    ("container_memory_workingset_refault_file_total", Counter, |k| {
        stat(k, "total_workingset_refault_file", "workingset_refault_file")
    }),
    ("container_memory_workingset_refault_anon_total", Counter, |k| {
        stat(k, "total_workingset_refault_anon", "workingset_refault_anon")
    }),
    ("container_memory_shmem_bytes", Gauge, |k| stat(k, "total_shmem", "shmem")),
    ("container_memory_active_anon_bytes", Gauge, |k| stat(k, "total_active_anon", "active_anon")),
    ("container_memory_inactive_anon_bytes", Gauge, |k| stat(k, "total_inactive_anon", "inactive_anon")),
    ("container_memory_unevictable_bytes", Gauge, |k| stat(k, "total_unevictable", "unevictable")),
    ("container_memory_anon_thp_bytes", Gauge, |k| stat(k, "total_rss_huge", "anon_thp")),
    ("container_memory_swapcached_bytes", Gauge, |k| stat(k, "total_swapcached", "swapcached")),
    ("container_memory_file_thp_bytes", Gauge, |k| v2(k, "memory.stat", "file_thp")),
    ("container_memory_shmem_thp_bytes", Gauge, |k| v2(k, "memory.stat", "shmem_thp")),
    ("container_memory_slab_reclaimable_bytes", Gauge, |k| v2(k, "memory.stat", "slab_reclaimable")),
    ("container_memory_slab_unreclaimable_bytes", Gauge, |k| v2(k, "memory.stat", "slab_unreclaimable")),
    ("container_memory_kernel_stack_bytes", Gauge, |k| v2(k, "memory.stat", "kernel_stack")),
    ("container_memory_pagetables_bytes", Gauge, |k| v2(k, "memory.stat", "pagetables")),
    ("container_memory_secondary_pagetables_bytes", Gauge, |k| v2(k, "memory.stat", "sec_pagetables")),
    ("container_memory_percpu_bytes", Gauge, |k| v2(k, "memory.stat", "percpu")),
    ("container_memory_vmalloc_bytes", Gauge, |k| v2(k, "memory.stat", "vmalloc")),
    ("container_memory_zswap_bytes", Gauge, |k| v2(k, "memory.stat", "zswap")),
    ("container_memory_zswapped_bytes", Gauge, |k| v2(k, "memory.stat", "zswapped")),
    ("container_memory_sock_bytes", Gauge, |k| match k.is_v2() {
        true => v2(k, "memory.stat", "sock"),
        false => number(&k.v1("memory", "memory.kmem.tcp.usage_in_bytes")?),
    }),
    ("container_memory_min_bytes", Gauge, |k| boundary(k, "memory.min")),
    ("container_memory_low_bytes", Gauge, |k| boundary(k, "memory.low")),
    ("container_memory_high_bytes", Gauge, |k| boundary(k, "memory.high")),
    ("container_memory_swap_limit_bytes", Gauge, |k| boundary(k, "memory.swap.max")),
    ("container_memory_swap_peak_bytes", Gauge, |k| number(&k.v2("memory.swap.peak")?)),
    ("container_memory_swap_events_high_total", Counter, |k| v2(k, "memory.swap.events", "high")),
    ("container_memory_swap_events_max_total", Counter, |k| v2(k, "memory.swap.events", "max")),
    ("container_memory_swap_events_fail_total", Counter, |k| v2(k, "memory.swap.events", "fail")),
    ("container_memory_events_local_low_total", Counter, |k| v2(k, "memory.events.local", "low")),
    ("container_memory_events_local_high_total", Counter, |k| v2(k, "memory.events.local", "high")),
    ("container_memory_events_local_max_total", Counter, |k| v2(k, "memory.events.local", "max")),
    ("container_memory_events_local_oom_total", Counter, |k| v2(k, "memory.events.local", "oom")),
    ("container_memory_events_local_oom_kill_total", Counter, |k| v2(k, "memory.events.local", "oom_kill")),
    ("container_memory_events_local_oom_group_kill_total", Counter, |k| {
        v2(k, "memory.events.local", "oom_group_kill")
    }),
    ("container_threads", Gauge, |k| pids(k, "pids.current")),
    ("container_threads_max", Gauge, |k| pids(k, "pids.max")),
    ("container_pressure_cpu_waiting_seconds_total", Counter, |k| stalled(k, "cpu.pressure", "some")),
    ("container_pressure_cpu_stalled_seconds_total", Counter, |k| stalled(k, "cpu.pressure", "full")),
    ("container_pressure_memory_waiting_seconds_total", Counter, |k| stalled(k, "memory.pressure", "some")),
    ("container_pressure_memory_stalled_seconds_total", Counter, |k| stalled(k, "memory.pressure", "full")),
    ("container_pressure_io_waiting_seconds_total", Counter, |k| stalled(k, "io.pressure", "some")),
    ("container_pressure_io_stalled_seconds_total", Counter, |k| stalled(k, "io.pressure", "full")),
    ("container_fs_limit_bytes", Gauge, |k| layer(k).map(|fs| (fs.f_blocks * fs.f_frsize) as f64)),
    ("container_fs_inodes_total", Gauge, |k| layer(k).map(|fs| fs.f_files as f64)),
];

/// One family of four counts; the columns are the labels and the keys on v1 and v2.
const FAULTS: &str = "container_memory_failures_total";
const FAULT_ROWS: &[(&str, &str, &str, &str)] = &[
    ("pgfault", "container", "pgfault", "pgfault"),
    ("pgmajfault", "container", "pgmajfault", "pgmajfault"),
    ("pgfault", "hierarchy", "total_pgfault", "pgfault"),
    ("pgmajfault", "hierarchy", "total_pgmajfault", "pgmajfault"),
];

/// By interface: the column of `net/dev` behind the name.
const NETWORK: &[(&str, usize)] = &[
    ("container_network_receive_bytes_total", 0),
    ("container_network_receive_packets_total", 1),
    ("container_network_receive_errors_total", 2),
    ("container_network_receive_packets_dropped_total", 3),
    ("container_network_transmit_bytes_total", 8),
    ("container_network_transmit_packets_total", 9),
    ("container_network_transmit_errors_total", 10),
    ("container_network_transmit_packets_dropped_total", 11),
];

/// By device: the file and its word on v1, the key of `io.stat` on v2.
const IO: &[(&str, &str, &str, &str)] = &[
    ("container_fs_reads_bytes_total", "blkio.throttle.io_service_bytes_recursive", "Read", "rbytes"),
    ("container_fs_writes_bytes_total", "blkio.throttle.io_service_bytes_recursive", "Write", "wbytes"),
    ("container_fs_reads_total", "blkio.throttle.io_serviced_recursive", "Read", "rios"),
    ("container_fs_writes_total", "blkio.throttle.io_serviced_recursive", "Write", "wios"),
];

/// Every name that [`readings`] can give, on one version or the other.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let rows = ROWS.iter().chain(processes::ROWS).map(|row| row.0);
    let by_key = NETWORK.iter().map(|row| row.0).chain(IO.iter().map(|row| row.0));
    rows.chain([FAULTS])
        .chain(processes::FAMILIES)
        .chain(detail::names())
        .chain(by_key)
        .chain(super::keyed::names())
}

/// Every value that the kernel has of a container now.
pub(super) fn readings(kernel: &Kernel) -> Vec<Reading> {
    let mut all: Vec<Reading> = ROWS
        .iter()
        .chain(processes::ROWS)
        .filter_map(|(name, kind, read)| {
            Some(Reading { name, labels: Vec::new(), kind: *kind, value: read(kernel)? })
        })
        .collect();
    for (kind, scope, on_v1, on_v2) in FAULT_ROWS {
        let labels = vec![("failure_type", (*kind).to_owned()), ("scope", (*scope).to_owned())];
        all.extend(stat(kernel, on_v1, on_v2).map(|value| Reading {
            name: FAULTS,
            labels,
            kind: Counter,
            value,
        }));
    }
    processes::add(kernel, &mut all);
    detail::add(kernel, &mut all);
    network(kernel, &mut all);
    for (name, file, word, io_key) in IO {
        for (device, value) in by_device(kernel, file, word, io_key) {
            all.push(Reading { name, labels: vec![("device", device)], kind: Counter, value });
        }
    }
    all.extend(super::keyed::readings(kernel));
    all
}

fn network(kernel: &Kernel, all: &mut Vec<Reading>) {
    let text = kernel.net_dev().unwrap_or_default();
    for (interface, columns) in text.lines().filter_map(|line| line.split_once(':')) {
        let interface = interface.trim();
        let columns: Vec<f64> = columns.split_whitespace().filter_map(number).collect();
        // What the container says to itself is no traffic.
        if interface == "lo" {
            continue;
        }
        for (name, column) in NETWORK {
            let labels = vec![("interface", interface.to_owned())];
            all.push(Reading { name, labels, kind: Counter, value: columns[*column] });
        }
    }
}

/// The number of each device in a file of block I/O.
pub(crate) fn by_device(kernel: &Kernel, file: &str, word: &str, io_key: &str) -> Vec<(String, f64)> {
    let text = kernel.v1("blkio", file).or_else(|| kernel.v2("io.stat")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let device = device_name(words.next()?)?;
        let value = if kernel.is_v2() {
            words.find_map(|pair| pair.strip_prefix(io_key)?.strip_prefix('='))?
        } else {
            (words.next()? == word).then_some(words.next()?)?
        };
        Some((device, number(value)?))
    };
    text.lines().filter_map(line).collect()
}

/// `8:0` is `/dev/sda`.
pub(super) fn device_name(number: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/sys/dev/block/{number}")).ok()?;
    Some(format!("/dev/{}", link.file_name()?.to_str()?))
}

fn v2(k: &Kernel, file: &str, name: &str) -> Option<f64> {
    key(&k.v2(file)?, name)
}

/// `max` is no boundary, and no number says it.
fn boundary(k: &Kernel, file: &str) -> Option<f64> {
    k.v2(file)?.trim().parse().ok()
}

fn cpuacct(k: &Kernel, name: &str) -> Option<f64> {
    Some(key(&k.v1("cpuacct", "cpuacct.stat")?, name)? / USER_HZ)
}

fn cpu_stat(k: &Kernel, on_v1: &str, on_v2: &str) -> Option<f64> {
    k.v1("cpu", "cpu.stat").and_then(|text| key(&text, on_v1)).or_else(|| v2(k, "cpu.stat", on_v2))
}

fn stat(k: &Kernel, on_v1: &str, on_v2: &str) -> Option<f64> {
    k.v1("memory", "memory.stat").and_then(|text| key(&text, on_v1)).or_else(|| v2(k, "memory.stat", on_v2))
}

/// The file of a controller, as each version names it.
fn controlled(k: &Kernel, controller: &str, on_v1: &str, on_v2: &str) -> Option<String> {
    k.v1(controller, on_v1).or_else(|| k.v2(on_v2))
}

fn memory(k: &Kernel, on_v1: &str, on_v2: &str) -> Option<f64> {
    number(&k.v1("memory", on_v1).or_else(|| k.v2(on_v2))?)
}

/// Times that use hit the limit.
fn hits(k: &Kernel) -> Option<f64> {
    k.v1("memory", "memory.failcnt").as_deref().and_then(number).or_else(|| v2(k, "memory.events", "max"))
}

pub(super) fn pids(k: &Kernel, file: &str) -> Option<f64> {
    let text = k.v1("pids", file).or_else(|| k.v2(file))?;
    if text.trim() == "max" { Some(0.0) } else { number(&text) }
}

/// A configured limit of memory, 0 for none: v1 has no word for that, but a number that no machine has.
fn limit(k: &Kernel, on_v1: &str, on_v2: &str) -> Option<f64> {
    let text = k.v1("memory", on_v1).or_else(|| k.v2(on_v2))?;
    let bytes = if text.trim() == "max" { f64::INFINITY } else { number(&text)? };
    Some(if bytes < 9e18 { bytes } else { 0.0 })
}

fn working_set(k: &Kernel) -> Option<f64> {
    let inactive = stat(k, "total_inactive_file", "inactive_file")?;
    Some((memory(k, "memory.usage_in_bytes", "memory.current")? - inactive).max(0.0))
}

fn stalled(k: &Kernel, file: &str, line: &str) -> Option<f64> {
    let text = k.pressure(file)?;
    let line = text.lines().find(|text| text.starts_with(line))?;
    Some(number(line.split_once("total=")?.1)? / MICROS)
}

/// The container's directory of a controller and all above it.
fn levels(k: &Kernel, controller: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let own = k.directory(controller).map(Path::to_owned);
    let all: Vec<PathBuf> = own.iter().flat_map(|own| own.ancestors()).map(Path::to_owned).collect();
    all.into_iter().take_while(|directory| directory.join("cgroup.procs").exists())
}

/// The smallest of the container's own limit, those above it, and the host's memory.
pub(crate) fn memory_limit(k: &Kernel) -> Option<f64> {
    k.directory("memory")?;
    let file = if k.is_v2() { "memory.max" } else { "memory.limit_in_bytes" };
    let limits =
        levels(k, "memory").filter_map(|level| number(&std::fs::read_to_string(level.join(file)).ok()?));
    limits.chain([host_memory()]).reduce(f64::min)
}

/// The host's memory in bytes.
pub(crate) fn host_memory() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("a host has memory");
    number(line.trim_end_matches("kB")).expect("a number") * 1024.0
}

fn quota_cores(k: &Kernel, directory: &Path) -> Option<f64> {
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
    let (quota, period) = if k.is_v2() {
        let text = read("cpu.max")?;
        let (quota, period) = text.split_once(' ')?;
        (number(quota)?, number(period)?)
    } else {
        (number(&read("cpu.cfs_quota_us")?)?, number(&read("cpu.cfs_period_us")?)?)
    };
    (quota > 0.0).then(|| quota / period)
}

/// How many CPUs the cpuset of a directory leaves.
fn cpuset(k: &Kernel, directory: &Path) -> Option<f64> {
    let file = if k.is_v2() { "cpuset.cpus.effective" } else { "cpuset.effective_cpus" };
    listed(&std::fs::read_to_string(directory.join(file)).ok()?)
}

/// How many numbers a list such as `0-2,5` names.
fn listed(text: &str) -> Option<f64> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(number(last)? - number(first)? + 1.0)
    };
    text.trim().split(',').map(range).sum()
}

/// The CPUs of the host.
fn online_cpus() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let is_cpu = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    Some(text.lines().filter(is_cpu).count() as f64)
}

/// The directory of the writable layer, as the mount of the container's root names it.
pub(crate) fn layer_directory(k: &Kernel) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{}/mountinfo", k.pid)).ok()?;
    let root = text.lines().find(|line| line.split(' ').nth(4) == Some("/"))?;
    Some(PathBuf::from(root.split_once("upperdir=")?.1.split(',').next()?))
}

pub(crate) fn layer(k: &Kernel) -> Option<rustix::fs::StatVfs> {
    rustix::fs::statvfs(&layer_directory(k)?).ok()
}

/// The time of an RFC 3339 date in UTC, as engines write it.
pub(crate) fn unix_seconds(date: &str) -> f64 {
    let (day, time) = date.trim_end_matches('Z').split_once('T').expect("a date and a time");
    let day: Vec<i64> = day.split('-').map(|part| part.parse().expect("a number")).collect();
    let time: Vec<f64> = time.split(':').map(|part| part.parse().expect("a number")).collect();
    // Years that begin in March end with the leap day.
    let (year, month) = if day[1] > 2 { (day[0], day[1] - 3) } else { (day[0] - 1, day[1] + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day[2] - 719_469;
    days as f64 * 86_400.0 + time[0] * 3600.0 + time[1] * 60.0 + time[2]
}

#[test]
fn dates_are_counted_from_1970() {
    assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), 0.0);
    assert_eq!(unix_seconds("2026-11-21T10:39:31.5Z"), 1_795_257_571.5);
    assert_eq!(unix_seconds("2024-02-29T00:00:00Z"), 1_709_164_800.0);
}
