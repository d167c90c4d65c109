//! Numbers by device, page size, memory node and the like, of the opt-in groups.

use super::table::{
    Kind::{self, Counter, Gauge},
    Reading, by_device, device_name,
};
use crate::harness::{Kernel, number};

/// Of `io.stat` by device: the word of v1 with its file, the key of v2, and by what the kernel's number is divided.
const IO: &[(&str, &str, &str, &str, f64)] = &[
    (
        "container_fs_discards_bytes_total",
        "blkio.throttle.io_service_bytes_recursive",
        "Discard",
        "dbytes",
        1.0,
    ),
    ("container_fs_discards_total", "blkio.throttle.io_serviced_recursive", "Discard", "dios", 1.0),
    ("container_fs_io_cost_usage_seconds_total", "", "", "cost.usage", 1e6),
    ("container_fs_io_cost_wait_seconds_total", "", "", "cost.wait", 1e6),
    ("container_fs_io_cost_indebt_seconds_total", "", "", "cost.indebt", 1e6),
    ("container_fs_io_cost_indelay_seconds_total", "", "", "cost.indelay", 1e6),
];

/// Limits by device: the file of v1, the key of `io.max`.
const LIMITS: &[(&str, &str, &str)] = &[
    ("container_fs_read_limit_bytes_per_second", "blkio.throttle.read_bps_device", "rbps"),
    ("container_fs_write_limit_bytes_per_second", "blkio.throttle.write_bps_device", "wbps"),
    ("container_fs_read_limit_operations_per_second", "blkio.throttle.read_iops_device", "riops"),
    ("container_fs_write_limit_operations_per_second", "blkio.throttle.write_iops_device", "wiops"),
];

/// By page size: what the files of v1 and v2 are called behind the size; of the last `max` in `events`.
const HUGE_PAGES: &[(&str, Kind, &str, &str)] = &[
    ("container_hugetlb_usage_bytes", Gauge, "usage_in_bytes", "current"),
    ("container_hugetlb_max_usage_bytes", Gauge, "max_usage_in_bytes", ""),
    ("container_hugetlb_limit_bytes", Gauge, "limit_in_bytes", "max"),
    ("container_hugetlb_reserved_bytes", Gauge, "rsvd.usage_in_bytes", "rsvd.current"),
    ("container_hugetlb_failcnt", Counter, "failcnt", "events"),
];

/// Files with a line for each key: the controller, the file, and the word behind the key (`hca_handle=`), if the line has
/// several, or the end of the key, if a key has several lines.
const LINES: &[(&str, Kind, &str, &str, &str, &str)] = &[
    ("container_rdma_handles", Gauge, "device", "rdma", "rdma.current", "hca_handle="),
    ("container_rdma_objects", Gauge, "device", "rdma", "rdma.current", "hca_object="),
    ("container_rdma_handles_limit", Gauge, "device", "rdma", "rdma.max", "hca_handle="),
    ("container_rdma_objects_limit", Gauge, "device", "rdma", "rdma.max", "hca_object="),
    ("container_misc_usage", Gauge, "resource", "misc", "misc.current", ""),
    ("container_misc_limit", Gauge, "resource", "misc", "misc.max", ""),
    ("container_misc_peak", Gauge, "resource", "misc", "misc.peak", ""),
    ("container_misc_events_max_total", Counter, "resource", "misc", "misc.events", ".max"),
    ("container_dmem_usage_bytes", Gauge, "region", "dmem", "dmem.current", ""),
    ("container_dmem_limit_bytes", Gauge, "region", "dmem", "dmem.max", ""),
    ("container_dmem_min_bytes", Gauge, "region", "dmem", "dmem.min", ""),
    ("container_dmem_low_bytes", Gauge, "region", "dmem", "dmem.low", ""),
];

/// What `memory.numa_stat` tells on v2; the first three, as `hierarchical_`, on v1 in pages.
const NUMA: &str = "container_memory_numa_bytes";
const NUMA_TYPES: [&str; 8] = [
    "anon",
    "file",
    "unevictable",
    "shmem",
    "kernel_stack",
    "pagetables",
    "slab_reclaimable",
    "slab_unreclaimable",
];

/// Every name that [`readings`] can give.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let io = IO.iter().map(|row| row.0).chain(LIMITS.iter().map(|row| row.0));
    let others = HUGE_PAGES.iter().map(|row| row.0).chain(LINES.iter().map(|row| row.0));
    io.chain(others).chain([NUMA])
}

/// Every such value that the kernel has of a container now.
pub(super) fn readings(kernel: &Kernel) -> Vec<Reading> {
    let mut all = Vec::new();
    let mut push = |name, kind, labels, value| all.push(Reading { name, labels, kind, value });
    for (name, file, word, key, divisor) in IO {
        if !kernel.is_v2() && file.is_empty() {
            continue;
        }
        for (device, value) in by_device(kernel, file, word, key) {
            push(name, Counter, vec![("device", device)], value / divisor);
        }
    }
    for (name, on_v1, key) in LIMITS {
        for (device, value) in limits(kernel, on_v1, key) {
            push(name, Gauge, vec![("device", device)], value);
        }
    }
    for (name, kind, on_v1, on_v2) in HUGE_PAGES {
        for size in page_sizes() {
            if let Some(value) = huge_pages(kernel, &size, on_v1, on_v2) {
                push(name, *kind, vec![("pagesize", size)], value);
            }
        }
    }
    for (name, kind, label, controller, file, word) in LINES {
        let text = kernel.v1(controller, file).or_else(|| kernel.v2(file)).unwrap_or_default();
        for (key, value) in text.lines().filter_map(|line| of_line(line, word)) {
            push(name, *kind, vec![(label, key)], value);
        }
    }
    for (kind, node, value) in nodes(kernel) {
        push(NUMA, Gauge, vec![("type", kind.to_owned()), ("node", node)], value);
    }
    all
}

/// The key of a line and its number; none where it says `max`.
fn of_line(line: &str, word: &str) -> Option<(String, f64)> {
    let (key, rest) = line.split_once(' ')?;
    let (key, value) = match word {
        "" => (key, rest),
        _ if word.ends_with('=') => (key, rest.split(' ').find_map(|pair| pair.strip_prefix(word))?),
        _ => (key.strip_suffix(word)?, rest),
    };
    Some((key.to_owned(), value.trim().parse().ok()?))
}

fn limits(kernel: &Kernel, on_v1: &str, key: &str) -> Vec<(String, f64)> {
    let text = kernel.v1("blkio", on_v1).or_else(|| kernel.v2("io.max")).unwrap_or_default();
    let word = if kernel.is_v2() { format!("{key}=") } else { String::new() };
    let limit = |line: &str| {
        let (device, value) = of_line(line, &word)?;
        Some((device_name(&device)?, value))
    };
    text.lines().filter_map(limit).collect()
}

/// As the controller's files call them: `2MB`, `1GB`.
fn page_sizes() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let kib = entries.filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()
    });
    kib.map(|kib| match kib {
        kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        kib => format!("{kib}KB"),
    })
    .collect()
}

fn huge_pages(kernel: &Kernel, size: &str, on_v1: &str, on_v2: &str) -> Option<f64> {
    if !kernel.is_v2() {
        // v1 has no word for no limit, but a number that no machine has.
        return number(&kernel.v1("hugetlb", &format!("hugetlb.{size}.{on_v1}"))?)
            .filter(|bytes| *bytes < 9e18);
    }
    let text = kernel.v2(&format!("hugetlb.{size}.{on_v2}"))?;
    let text =
        if on_v2 == "events" { text.lines().find_map(|line| line.strip_prefix("max "))? } else { &text };
    text.trim().parse().ok()
}

fn nodes(kernel: &Kernel) -> Vec<(&'static str, String, f64)> {
    let (page, prefix, file) = (rustix::param::page_size() as f64, "hierarchical_", "memory.numa_stat");
    let text = kernel.v1("memory", file).or_else(|| kernel.v2(file)).unwrap_or_default();
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let (kind, scale) =
            match (kernel.is_v2(), first.strip_prefix(prefix).and_then(|rest| rest.split_once('='))) {
                (true, _) => (first, 1.0),
                (false, Some((kind, _))) => (kind, page),
                (false, None) => continue,
            };
        let Some(kind) = NUMA_TYPES.into_iter().find(|known| *known == kind) else { continue };
        for (node, value) in words.filter_map(|word| word.strip_prefix('N')?.split_once('=')) {
            all.push((kind, node.to_owned(), number(value).expect("a number") * scale));
        }
    }
    all
}
