//! Limits: the kernel's `max` as a value of its own, the limit that really binds, and the formulas over memory.
//!
//! A container is held by the smallest limit on its way up: its own, that of any ancestor cgroup (a pod, a slice, a
//! Compose `cgroup_parent`), and what the host has. Ask `container_memory_usage_percent` of the configured limit alone
//! and a container without one never fills up, although its pod's does.
//!
//! ```
//! use collector_core::effective::{Limit, effective_memory_bytes, percent_of_limit, working_set};
//!
//! // No limit of its own, in a pod of 64 MiB, on a host of 8 GiB.
//! let limit = effective_memory_bytes(Limit::Max, [Limit::Value(64 << 20)], Some(8 << 30));
//! assert_eq!(limit, Limit::Value(64 << 20));
//! assert_eq!(percent_of_limit(working_set(40 << 20, 8 << 20), limit), Some(50.0));
//! ```

/// A limit as the kernel has it: a number, or `max`.
///
/// There is no sentinel: 0 is a limit of 0, which the kernel accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub enum Limit<T = u64> {
    /// At most this: bytes, processes, cores.
    Value(T),
    /// No limit (`max` in cgroup v2).
    Max,
}

impl<T> Limit<T> {
    /// The number, if there is a limit.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Max => None,
        }
    }

    /// Whether there is no limit.
    #[must_use]
    pub const fn is_max(&self) -> bool {
        matches!(self, Self::Max)
    }

    /// The same limit in another unit or type.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Limit<U> {
        match self {
            Self::Value(value) => Limit::Value(change(value)),
            Self::Max => Limit::Max,
        }
    }
}

impl<T: PartialOrd> Limit<T> {
    /// The tighter of the two. Of two that cannot be compared (NaN) the first.
    #[must_use]
    pub fn smallest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => Self::Value(if b < a { b } else { a }),
            (Self::Max, limit) | (limit, Self::Max) => limit,
        }
    }
}

/// `None` (nothing known that limits) is `Max`.
impl<T> From<Option<T>> for Limit<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Max, Self::Value)
    }
}

impl Limit<u64> {
    /// A limit of cgroup v1's `memory.limit_in_bytes`, `memory.memsw.limit_in_bytes` or `memory.soft_limit_in_bytes`.
    ///
    /// There "none" is the largest page counter: `i64::MAX` rounded down to a whole page, so 0x7fff_ffff_ffff_f000 with
    /// pages of 4 KiB. All from 64 KiB (the largest page) below `i64::MAX` upward is taken as none.
    #[must_use]
    pub const fn from_v1_memory_bytes(bytes: u64) -> Self {
        const UNLIMITED_FROM: u64 = (i64::MAX as u64) & !0xffff;
        if bytes >= UNLIMITED_FROM { Self::Max } else { Self::Value(bytes) }
    }
}

/// A CPU bandwidth limit: `quota` microseconds of CPU time in each `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuQuota {
    /// First field of v2's `cpu.max`; v1's `cpu.cfs_quota_us`, where −1 is [`Limit::Max`]. Microseconds.
    pub quota_us: Limit<u64>,
    /// Second field of v2's `cpu.max`; v1's `cpu.cfs_period_us`. Microseconds.
    pub period_us: u64,
}

impl CpuQuota {
    /// A quota in cgroup v2's terms.
    #[must_use]
    pub const fn new(quota_us: Limit<u64>, period_us: u64) -> Self {
        Self { quota_us, period_us }
    }

    /// A quota in cgroup v1's terms, where a negative `cpu.cfs_quota_us` is none.
    #[must_use]
    pub const fn from_v1(cfs_quota_us: i64, cfs_period_us: u64) -> Self {
        let quota_us = if cfs_quota_us < 0 { Limit::Max } else { Limit::Value(cfs_quota_us.unsigned_abs()) };
        Self { quota_us, period_us: cfs_period_us }
    }

    /// The limit in cores: 0.5 for 50 ms in 100 ms. A period of 0, which the kernel does not write, limits nothing.
    #[must_use]
    pub fn cores(self) -> Limit<f64> {
        match self.quota_us {
            Limit::Value(quota) if self.period_us > 0 => Limit::Value(quota as f64 / self.period_us as f64),
            Limit::Value(_) | Limit::Max => Limit::Max,
        }
    }
}

/// The memory limit that binds, in bytes: the smallest of the container's own, its ancestors' and the host's RAM
/// (`MemTotal` of `/proc/meminfo`).
///
/// `Max` only if nothing limits and the host's RAM is unknown. `memory.high` is not among them: it slows, it does not
/// forbid.
#[must_use]
pub fn effective_memory_bytes(
    own: Limit<u64>,
    ancestors: impl IntoIterator<Item = Limit<u64>>,
    host_ram_bytes: Option<u64>,
) -> Limit<u64> {
    smallest_of(own.smallest(Limit::from(host_ram_bytes)), ancestors)
}

/// The process limit that binds: the smallest of the container's own `pids.max`, its ancestors', and the host's
/// `kernel.pid_max`.
#[must_use]
pub fn effective_pids(
    own: Limit<u64>,
    ancestors: impl IntoIterator<Item = Limit<u64>>,
    host_pids: Option<u64>,
) -> Limit<u64> {
    smallest_of(own.smallest(Limit::from(host_pids)), ancestors)
}

/// The CPU limit that binds, in cores: the smallest of the container's own quota, its ancestors', the number of CPUs in
/// its cpuset (`cpuset.cpus.effective`, which already respects the ancestors') and of those online on the host.
///
/// Quotas come from [`CpuQuota::cores`]. A count of 0 is taken as unknown: nothing runs on no CPU. `Max` only if nothing limits and both counts are unknown.
#[must_use]
pub fn effective_cpu_cores(
    own: Limit<f64>,
    ancestors: impl IntoIterator<Item = Limit<f64>>,
    cpuset_cpus: Option<u32>,
    host_cpus: Option<u32>,
) -> Limit<f64> {
    let count = |cpus: Option<u32>| Limit::from(cpus.filter(|cpus| *cpus > 0).map(f64::from));
    smallest_of(own.smallest(count(cpuset_cpus)).smallest(count(host_cpus)), ancestors)
}

fn smallest_of<T: PartialOrd>(first: Limit<T>, others: impl IntoIterator<Item = Limit<T>>) -> Limit<T> {
    others.into_iter().fold(first, Limit::smallest)
}

/// `used` as percent of `limit` (100 = full).
///
/// `None` without a limit and for a limit of 0. Above 100 where the kernel is: a limit lowered below what is in use.
#[must_use]
pub fn percent_of_limit(used: u64, limit: Limit<u64>) -> Option<f64> {
    limit.value().filter(|limit| *limit > 0).map(|limit| used as f64 / limit as f64 * 100.0)
}

/// The working set in bytes: what is in use without the page cache that has not been touched lately, which the kernel
/// gives up first.
///
/// `usage` is `memory.current` (v1 `memory.usage_in_bytes`), `inactive_file` that key of `memory.stat` (v1
/// `total_inactive_file`). The files are not read at one moment, so the difference can fall below 0: then it is 0.
#[must_use]
pub const fn working_set(usage: u64, inactive_file: u64) -> u64 {
    usage.saturating_sub(inactive_file)
}

/// "MEM USAGE" as the Docker command line prints it, in bytes.
///
/// The same as [`working_set`] but for one case: if the inactive page cache is not below the usage, it prints the
/// usage. `total_inactive_file` (cgroup v1) and `inactive_file` (v1: without children; v2) are the keys of
/// `memory_stats.stats`, `None` where the answer lacks them.
#[must_use]
pub fn docker_cli_memory_bytes(
    usage: u64,
    total_inactive_file: Option<u64>,
    inactive_file: Option<u64>,
) -> u64 {
    let less = |inactive: Option<u64>| {
        inactive.filter(|inactive| *inactive < usage).map(|inactive| usage - inactive)
    };
    less(total_inactive_file).or_else(|| less(inactive_file)).unwrap_or(usage)
}

/// Swap in use on cgroup v1, in bytes: `memory.memsw.usage_in_bytes` − `memory.usage_in_bytes`, 0 if the two were read
/// such that it would be less. (v2 has `memory.swap.current`.)
#[must_use]
pub const fn v1_swap_bytes(memsw_usage: u64, memory_usage: u64) -> u64 {
    memsw_usage.saturating_sub(memory_usage)
}

/// The swap limit on cgroup v1, in bytes: `memory.memsw.limit_in_bytes` − `memory.limit_in_bytes`. (v2 has
/// `memory.swap.max`.)
///
/// Without a limit on the sum there is none on swap. A limit on the sum alone, which the kernel refuses to set, would
/// leave all of it to swap.
#[must_use]
pub fn v1_swap_limit_bytes(memsw: Limit<u64>, memory: Limit<u64>) -> Limit<u64> {
    memsw.map(|memsw| memsw.saturating_sub(memory.value().unwrap_or(0)))
}
