//! Limits that hold although they are set elsewhere: on ancestors, by the cpuset, by the host.
//!
//! They change rarely, so they are read anew only after some seconds, once for all containers below one parent.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cgroup_reader::{Controller, Directories, Host, Version, parse, read_file, read_text};

use super::lock;
use crate::effective::{CpuQuota, Limit};

/// How long a reading of limits is good for.
const FRESH: Duration = Duration::from_secs(10);
/// Cgroups above a container at most.
const LEVELS_MAX: usize = 32;
/// Parents remembered at most; beyond that all are forgotten.
const PARENTS_MAX: usize = 10_000;

/// The smallest limits among a cgroup's ancestors, as they were at some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inherited {
    at: Instant,
    pub(super) memory: Limit<u64>,
    pub(super) cores: Limit<f64>,
    /// The CPUs that the nearest ancestor with a cpuset of its own leaves to those below it.
    pub(super) cpuset: Option<u32>,
}

/// The parents of a container in the hierarchies of memory, of CPU and of cpusets, which are three on v1.
type Parents = [Option<PathBuf>; 3];

/// Limits by parent directories.
#[derive(Debug, Default)]
pub(super) struct Ancestors(Mutex<HashMap<Parents, Arc<Siblings>>>);

impl Ancestors {
    /// Those below the same parents as these directories.
    pub(super) fn siblings(&self, directories: &Directories) -> Arc<Siblings> {
        let parents = [Controller::Memory, Controller::Cpu, Controller::Cpuset]
            .map(|controller| Some(directories.path(controller)?.parent()?.to_owned()));
        let mut known = lock(&self.0);
        if known.len() >= PARENTS_MAX && !known.contains_key(&parents) {
            known.clear();
        }
        Arc::clone(known.entry(parents).or_default())
    }
}

/// Containers below the same parents: they inherit the same limits.
#[derive(Debug, Default)]
pub(super) struct Siblings(Mutex<Option<Inherited>>);

impl Siblings {
    /// What the ancestors allow; the directories are those of any of them.
    pub(super) fn inherited(&self, host: &Host, directories: &Directories) -> Inherited {
        if let Some(known) = *lock(&self.0)
            && known.at.elapsed() < FRESH
        {
            return known;
        }
        let [memory, cpu, cpuset] = [Controller::Memory, Controller::Cpu, Controller::Cpuset]
            .map(|controller| directories.path(controller));
        let inherited = Inherited {
            at: Instant::now(),
            memory: above(host, Controller::Memory, memory.as_deref())
                .take_while(|directory| host.version() == Version::V2 || is_hierarchical(directory))
                .map(|directory| memory_limit(host.version(), &directory))
                .fold(Limit::Max, Limit::smallest),
            cores: above(host, Controller::Cpu, cpu.as_deref())
                .map(|directory| quota(host.version(), &directory))
                .fold(Limit::Max, Limit::smallest),
            cpuset: above(host, Controller::Cpuset, cpuset.as_deref())
                .find_map(|directory| cpuset_cpus(host.version(), &directory)),
        };
        *lock(&self.0) = Some(inherited);
        inherited
    }
}

/// The directories above a cgroup up to the mount, which is a limited cgroup too where only a part of the tree is mounted.
fn above(host: &Host, controller: Controller, directory: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let mount = host.mount(controller).map(Path::to_owned);
    let mut at = directory.map(Path::to_owned);
    std::iter::from_fn(move || {
        let parent = at.as_deref()?.parent()?.to_owned();
        let is_below = mount.as_deref().is_some_and(|mount| parent.starts_with(mount));
        at = is_below.then(|| parent.clone());
        at.clone()
    })
    .take(LEVELS_MAX)
}

/// Whether what is below a v1 cgroup is charged to it: always from Linux 5.11 on.
fn is_hierarchical(directory: &Path) -> bool {
    read_text(&directory.join("memory.use_hierarchy")).is_none_or(|word| word != "0")
}

fn memory_limit(version: Version, directory: &Path) -> Limit<u64> {
    let file = if version == Version::V2 { "memory.max" } else { "memory.limit_in_bytes" };
    let bytes = read_text(&directory.join(file)).and_then(|word| word.parse().ok());
    bytes.map_or(Limit::Max, Limit::from_v1_memory_bytes)
}

fn quota(version: Version, directory: &Path) -> Limit<f64> {
    let quota = if version == Version::V2 {
        read_text(&directory.join("cpu.max")).and_then(|text| {
            let (quota, period) = text.split_once(' ')?;
            Some(CpuQuota::new(quota.parse().map_or(Limit::Max, Limit::Value), period.parse().ok()?))
        })
    } else {
        let word = |file| read_text(&directory.join(file));
        word("cpu.cfs_quota_us")
            .and_then(|quota| Some((quota.parse().ok()?, word("cpu.cfs_period_us")?.parse().ok()?)))
            .map(|(quota, period)| CpuQuota::from_v1(quota, period))
    };
    quota.map_or(Limit::Max, CpuQuota::cores)
}

/// How many CPUs a cgroup's cpuset leaves to it; `None` where the controller is not enabled for it.
fn cpuset_cpus(version: Version, directory: &Path) -> Option<u32> {
    let file = if version == Version::V2 { "cpuset.cpus.effective" } else { "cpuset.effective_cpus" };
    let bytes = read_file(&directory.join(file)).ok()?;
    u32::try_from(parse::cpu_count(&bytes).ok()?).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cgroup_reader::{CgroupPath, Roots};

    use super::*;

    /// A tree of these files below `sys/fs/cgroup`.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().expect("a directory");
        for (file, text) in files {
            let path = root.path().join("sys/fs/cgroup").join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        let host = Host::detect(&Roots::under(root.path())).expect("a host");
        (root, host)
    }

    fn check(files: &[(&str, &str)], memory: Limit<u64>, cores: Limit<f64>, cpus: Option<u32>) {
        let (_root, host) = machine(files);
        let directories = Directories::of(&host, &CgroupPath::everywhere("/pods/pod/c"));
        let inherited = Ancestors::default().siblings(&directories).inherited(&host, &directories);
        assert_eq!((inherited.memory, inherited.cores, inherited.cpuset), (memory, cores, cpus), "{files:?}");
    }

    #[test]
    fn the_smallest_of_all_ancestors_holds_on_v2() {
        let root = ("cgroup.controllers", "cpu memory\n");
        check(&[root], Limit::Max, Limit::Max, None);
        check(
            &[
                root,
                ("pods/memory.max", "1000\n"),
                ("pods/cpu.max", "max 100000\n"),
                ("pods/cpuset.cpus.effective", "0-1\n"),
                ("pods/pod/memory.max", "max\n"),
                ("pods/pod/cpu.max", "150000 100000\n"),
                ("pods/pod/c/memory.max", "1\n"),
                ("pods/pod/c/cpu.max", "1000 100000\n"),
                ("pods/pod/c/cpuset.cpus.effective", "0\n"),
                ("cpuset.cpus.effective", "0-7\n"),
            ],
            Limit::Value(1000),
            Limit::Value(1.5),
            Some(2),
        );
        // Malformed is as good as none: what cannot be read does not limit.
        check(
            &[root, ("pods/memory.max", "\n"), ("pods/cpu.max", "5\n"), ("cpuset.cpus.effective", "x\n")],
            Limit::Max,
            Limit::Max,
            None,
        );
        // The mount itself, where it shows a part of the tree.
        check(&[root, ("memory.max", "7\n")], Limit::Value(7), Limit::Max, None);
    }

    #[test]
    fn v1_limits_hold_as_far_as_the_hierarchy_goes() {
        let files = |of_pod: &'static str| {
            [
                ("memory/pods/memory.limit_in_bytes", "1000\n"),
                ("memory/pods/memory.use_hierarchy", "1\n"),
                ("memory/pods/pod/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/pods/pod/memory.use_hierarchy", of_pod),
                ("cpu/pods/cpu.cfs_quota_us", "-1\n"),
                ("cpu/pods/cpu.cfs_period_us", "100000\n"),
                ("cpu/pods/pod/cpu.cfs_quota_us", "50000\n"),
                ("cpu/pods/pod/cpu.cfs_period_us", "100000\n"),
                ("cpuset/pods/pod/cpuset.effective_cpus", "3,5-6\n"),
                ("cpuset/pods/cpuset.effective_cpus", "0-7\n"),
            ]
        };
        check(&files("1\n"), Limit::Value(1000), Limit::Value(0.5), Some(3));
        check(&files("0\n"), Limit::Max, Limit::Value(0.5), Some(3));
    }

    #[test]
    fn parents_in_three_hierarchies_are_told_apart() {
        let (_root, host) = machine(&[
            ("memory/a/memory.limit_in_bytes", "1000\n"),
            ("cpuset/d/cpuset.effective_cpus", "0,2\n"),
            ("cpu/b/cpu.cfs_quota_us", "50000\n"),
            ("cpu/b/cpu.cfs_period_us", "100000\n"),
        ]);
        let ancestors = Ancestors::default();
        let of = |paths: &str| {
            let directories = Directories::of(&host, &CgroupPath::parse(paths.as_bytes()));
            let inherited = ancestors.siblings(&directories).inherited(&host, &directories);
            (inherited.memory, inherited.cores, inherited.cpuset)
        };
        let (memory, cores) = (Limit::Value(1000), Limit::Value(0.5));
        assert_eq!(of("2:memory:/a/c\n1:cpu:/c\n"), (memory, Limit::Max, None));
        assert_eq!(of("2:memory:/a/c\n1:cpu:/b/c\n"), (memory, cores, None));
        assert_eq!(of("2:memory:/a/c\n1:cpuset:/d/c\n"), (memory, Limit::Max, Some(2)));
        assert_eq!(of("1:pids:/c\n"), (Limit::Max, Limit::Max, None));
    }
}
