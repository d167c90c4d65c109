//! What a running exporter holds of its host: descriptors, watches, threads, memory.

use std::collections::BTreeMap;

use crate::harness::Exporter;

/// Connections to the engine are kept: one for each of the inspects that it is asked for at a time, and one for a list.
const CONNECTIONS_MORE: usize = 5;

/// Cgroups that others on this machine make meanwhile are watched, too: there may be containers in them. A leak would be one or
/// two for each of hundreds of containers.
const PARENTS_MORE: usize = 20;

/// Where a read takes long, another thread takes over; it stays for a while. So does one that looks at the tree.
const THREADS_MORE: usize = 2;

/// What a process holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Descriptors by what they are, numbers left out.
    pub(super) descriptors: BTreeMap<String, usize>,
    pub(super) inotify_watches: usize,
    pub(super) threads: usize,
    pub(super) resident_bytes: f64,
    /// The most that it ever was.
    pub(super) resident_bytes_max: f64,
}

impl Held {
    pub(super) fn by(exporter: &Exporter) -> Self {
        let directory = format!("/proc/{}", exporter.pid());
        let list = |what: &str| std::fs::read_dir(format!("{directory}/{what}")).expect("it runs");
        let mut descriptors: BTreeMap<String, usize> = BTreeMap::new();
        for entry in list("fd").flatten() {
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            let kind = if target.starts_with("/sys/fs/cgroup") || target.starts_with("/proc/") {
                "kernel file".to_owned()
            } else {
                target.chars().filter(|character| !character.is_ascii_digit()).collect()
            };
            *descriptors.entry(kind).or_default() += 1;
        }
        let information =
            list("fdinfo").flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let inotify_watches =
            information.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum();
        let status = std::fs::read_to_string(format!("{directory}/status")).expect("it runs");
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says it");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
        };
        let threads = list("task").count();
        Self {
            descriptors,
            inotify_watches,
            threads,
            resident_bytes: bytes("VmRSS:"),
            resident_bytes_max: bytes("VmHWM:"),
        }
    }

    /// All descriptors.
    pub(super) fn descriptors(&self) -> usize {
        self.descriptors.values().sum()
    }

    /// Panics if there are more descriptors of any kind, watches or threads than before.
    #[track_caller]
    pub(super) fn assert_holds_no_more_than(&self, before: &Self) {
        for (kind, count) in &self.descriptors {
            let more = if kind.starts_with("socket") { CONNECTIONS_MORE } else { 0 };
            let most = before.descriptors.get(kind).copied().unwrap_or(0) + more;
            assert!(*count <= most, "{kind}: {self:?} after {before:?}");
        }
        assert!(self.inotify_watches <= before.inotify_watches + PARENTS_MORE, "{self:?} after {before:?}");
        assert!(self.threads <= before.threads + THREADS_MORE, "{self:?} after {before:?}");
    }
}
