//! What the kernel says of a process: its CPU time, memory, descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};

/// CPU time of each thread in nanoseconds, from `/proc/<pid>/task/*/schedstat`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Threads(BTreeMap<u32, u64>);

impl Threads {
    /// The threads now; none of a process that has ended.
    pub(crate) fn of(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        Self(
            tasks
                .filter_map(|task| {
                    let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                    let nanos = text.split_whitespace().next()?.parse().ok()?;
                    Some((task.file_name().to_str()?.parse().ok()?, nanos))
                })
                .collect(),
        )
    }

    /// Seconds since an earlier look. What a thread used that has ended meanwhile is lost.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let nanos =
            self.0.iter().map(|(thread, nanos)| nanos - before.0.get(thread).unwrap_or(&0).min(nanos));
        nanos.sum::<u64>() as f64 / 1e9
    }
}

/// Seconds of CPU of a process, threads that have ended included, in steps of 10 ms: `/proc/<pid>/stat`.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
}

/// Bytes resident now, and at most so far.
pub(crate) fn resident_bytes(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// The kernel's files that a process keeps open: what an exporter reads of containers.
pub(crate) fn kernel_files(pid: u32) -> Result<Vec<PathBuf>> {
    let directory = format!("/proc/{pid}/fd");
    let open = fs::read_dir(&directory).context(|| format!("failed to list {directory}"))?;
    let paths = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let of_kernel = |path: &PathBuf| path.starts_with("/sys/fs/cgroup") || path.starts_with("/proc");
    Ok(paths.filter(of_kernel).filter(|path| !path.is_dir()).collect())
}

/// The processes whose command line names a directory: an engine with all its helpers.
pub(crate) fn naming(directory: &Path) -> Vec<u32> {
    let directory = directory.as_os_str().as_encoded_bytes();
    let me = std::process::id();
    let names = |pid: &u32| {
        *pid != me
            && fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(directory.len()).any(|part| part == directory))
    };
    pids().filter(names).collect()
}

/// The processes of these programs.
pub(crate) fn running(programs: &[&str]) -> Vec<u32> {
    let is_one = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        programs.iter().any(|program| name.trim_end() == *program)
    };
    pids().filter(is_one).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let me = std::process::id();
        let before = Threads::of(me);
        let mut x = 1_u64;
        while Threads::of(me).since(&before) < 0.005 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(cpu_seconds(me) >= 0.0);
        let (now, most) = resident_bytes(me);
        assert!(now > 1e5 && most >= now);
    }
}
