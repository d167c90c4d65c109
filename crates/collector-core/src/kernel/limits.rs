//! Limits that hold although they are set elsewhere: on ancestors, by the cpuset, by the host.
//!
//! They change rarely, so they are read anew only after some seconds, once for all containers below one parent.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use cgroup_reader::{Controller, Directories, Host, Version, parse};

use super::lock;
use crate::effective::{CpuQuota, Limit};

/// How long a reading of limits is good for.
const FRESH: Duration = Duration::from_secs(10);
/// Cgroups above a container at most.
const LEVELS_MAX: usize = 32;
/// Parents remembered at most; beyond that all are forgotten.
const PARENTS_MAX: usize = 10_000;

/// The smallest limits among a cgroup's ancestors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Inherited {
    pub(super) memory: Limit<u64>,
    pub(super) cores: Limit<f64>,
}

/// Limits by parent directory.
#[derive(Debug, Default)]
pub(super) struct Ancestors(Mutex<HashMap<PathBuf, (Instant, Inherited)>>);

impl Ancestors {
    /// What the ancestors of the container's directories allow.
    pub(super) fn of(&self, host: &Host, directories: &Directories) -> Inherited {
        let memory = directories.path(Controller::Memory);
        let cpu = directories.path(Controller::Cpu);
        let key = memory.as_deref().or(cpu.as_deref()).and_then(Path::parent).map(Path::to_owned);
        let Some(key) = key else { return Inherited { memory: Limit::Max, cores: Limit::Max } };
        if let Some((at, limits)) = lock(&self.0).get(&key)
            && at.elapsed() < FRESH
        {
            return *limits;
        }
        let limits = Inherited {
            memory: above(host, Controller::Memory, memory.as_deref())
                .map(|directory| memory_limit(host.version(), &directory))
                .fold(Limit::Max, Limit::smallest),
            cores: above(host, Controller::Cpu, cpu.as_deref())
                .map(|directory| quota(host.version(), &directory))
                .fold(Limit::Max, Limit::smallest),
        };
        let mut known = lock(&self.0);
        if known.len() >= PARENTS_MAX {
            known.clear();
        }
        known.insert(key, (Instant::now(), limits));
        limits
    }
}

/// The directories above a cgroup, below the mount: the root itself has no limit.
fn above(host: &Host, controller: Controller, directory: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let mount = host.mount(controller).map(Path::to_owned);
    let mut at = directory.map(Path::to_owned);
    std::iter::from_fn(move || {
        let parent = at.as_deref()?.parent()?.to_owned();
        let below = mount.as_deref().is_some_and(|mount| parent.starts_with(mount) && parent != mount);
        at = below.then(|| parent.clone());
        at.clone()
    })
    .take(LEVELS_MAX)
}

fn read_word(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn memory_limit(version: Version, directory: &Path) -> Limit<u64> {
    let file = if version == Version::V2 { "memory.max" } else { "memory.limit_in_bytes" };
    let bytes = read_word(&directory.join(file)).and_then(|word| word.parse().ok());
    bytes.map_or(Limit::Max, Limit::from_v1_memory_bytes)
}

fn quota(version: Version, directory: &Path) -> Limit<f64> {
    let quota = if version == Version::V2 {
        read_word(&directory.join("cpu.max")).and_then(|text| {
            let (quota, period) = text.split_once(' ')?;
            Some(CpuQuota::new(quota.parse().map_or(Limit::Max, Limit::Value), period.parse().ok()?))
        })
    } else {
        let word = |file| read_word(&directory.join(file));
        word("cpu.cfs_quota_us")
            .and_then(|quota| Some((quota.parse().ok()?, word("cpu.cfs_period_us")?.parse().ok()?)))
            .map(|(quota, period)| CpuQuota::from_v1(quota, period))
    };
    quota.map_or(Limit::Max, CpuQuota::cores)
}

/// The CPUs that the cpuset leaves to a cgroup.
fn cpuset(host: &Host, directories: &Directories) -> Option<u32> {
    let file = if host.version() == Version::V2 { "cpuset.cpus.effective" } else { "cpuset.effective_cpus" };
    let bytes = fs::read(directories.path(Controller::Cpuset)?.join(file)).ok()?;
    u32::try_from(parse::cpu_count(&bytes).ok()?).ok().filter(|count| *count > 0)
}

/// What one container inherits, read anew now and then.
#[derive(Debug)]
pub(super) struct Slow {
    at: Instant,
    pub(super) inherited: Inherited,
    pub(super) cpuset: Option<u32>,
}

impl Slow {
    pub(super) fn read(ancestors: &Ancestors, host: &Host, directories: &Directories) -> Self {
        Self {
            at: Instant::now(),
            inherited: ancestors.of(host, directories),
            cpuset: cpuset(host, directories),
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.at.elapsed() >= FRESH
    }
}
