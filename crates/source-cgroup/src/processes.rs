//! The processes of a cgroup: its own and those below it.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cgroup_reader::{CgroupPath, Controller, Directories, Host, Process, classify};

/// Cgroups below one container that are looked into (systemd inside makes some dozens).
const DIRECTORIES_MAX: usize = 256;
/// Processes of one container whose start is read; cgroup.procs mostly begins with the oldest.
const PROCESSES_MAX: usize = 1024;

/// A container's directory in the hierarchy where it was found.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    /// The kernel gives each cgroup a number of its own for as long as it is up.
    pub(crate) inode: u64,
}

impl Place {
    /// `None` if it has gone.
    pub(crate) fn of(host: &Host, cgroup: &str) -> Option<Place> {
        use Controller::{Blkio, Core, Cpu, Cpuacct, Memory, Pids};
        let directories = Directories::of(host, &CgroupPath::everywhere(cgroup));
        [Memory, Cpuacct, Cpu, Pids, Blkio, Core].into_iter().find_map(|controller| {
            let directory = directories.path(controller)?;
            let inode = fs::metadata(&directory).ok()?.ino();
            Some(Place { directory, inode })
        })
    }
}

/// Who is in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupants {
    /// Nobody: it does not run.
    Nobody,
    /// Processes that this one cannot see: they are of another pid namespace, or hidden.
    Unseen,
    /// Processes, of which this one is the oldest.
    Seen(Process),
}

/// Looks through the cgroup and those below it, but not into containers nested in it.
pub(crate) fn occupants(host: &Host, cgroup: &str, place: &Place) -> Occupants {
    let mut oldest: Option<Process> = None;
    let mut somebody = false;
    let mut left = PROCESSES_MAX;
    let mut queue = VecDeque::from([(place.directory.clone(), cgroup.to_owned())]);
    for _ in 0..DIRECTORIES_MAX {
        let Some((directory, cgroup)) = queue.pop_front() else { break };
        // A cgroup that is gone by now has no processes; nor has one whose threads are counted above it.
        let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        for line in procs.lines().filter(|line| !line.is_empty()) {
            somebody = true;
            // The kernel writes 0 for a process outside our pid namespace.
            let Some(pid) = line.parse().ok().filter(|pid| *pid != 0) else { continue };
            if left == 0 {
                break;
            }
            left -= 1;
            if let Ok(process) = host.process(pid)
                && oldest.is_none_or(|oldest| order(process) < order(oldest))
            {
                oldest = Some(process);
            }
        }
        queue.extend(below(&directory, &cgroup));
    }
    match oldest {
        Some(process) => Occupants::Seen(process),
        None if somebody => Occupants::Unseen,
        None => Occupants::Nobody,
    }
}

/// Of two that started within one tick, the lower pid is the older but for the rare turn of the pids.
fn order(process: Process) -> (u64, u32) {
    (process.start_ticks, process.pid)
}

fn below(directory: &Path, cgroup: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let child = |entry: fs::DirEntry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        let child = format!("{cgroup}/{}", name.to_str()?);
        let is_nested = classify(&child).is_some_and(|found| found.path == child);
        (is_directory && !is_nested).then(|| (entry.path(), child))
    };
    entries.flatten().filter_map(child).take(DIRECTORIES_MAX).collect()
}
