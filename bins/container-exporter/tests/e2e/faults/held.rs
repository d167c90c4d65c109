//! What a running exporter holds of its host: descriptors, watches, threads, memory.

use std::collections::BTreeMap;
use std::os::unix::fs::DirEntryExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Exporter, patience};

/// Connections to the engine are kept: one for each of the inspects that it is asked for at a time, and one for a list.
const CONNECTIONS_MORE: usize = 5;

/// Cgroups of others that come while they are counted: each parent of containers is watched in up to ten hierarchies. A leak would be
/// one or two watches for each of hundreds of containers.
const PARENTS_MORE: usize = 60;

/// Where a read takes long, another thread takes over; it stays for a while. So does one that looks at the tree.
const THREADS_MORE: usize = 2;

/// What a process holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Descriptors by what they are, numbers left out.
    pub(super) descriptors: BTreeMap<String, usize>,
    /// How many inotify watches there are for each directory of cgroups, and for what is none, or none any more.
    pub(super) watched: BTreeMap<String, usize>,
    /// The machine's cgroups, in all hierarchies: those that others make are watched, too, as there may be containers in them.
    pub(super) cgroups: usize,
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
        let inodes: Vec<u64> = information.flat_map(|text| inodes(&text)).collect();
        let status = std::fs::read_to_string(format!("{directory}/status")).expect("it runs");
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says it");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
        };
        let threads = list("task").count();
        let cgroups = directories(Path::new("/sys/fs/cgroup"));
        let mut watched = BTreeMap::new();
        for inode in &inodes {
            let path = cgroups.iter().find(|(number, _)| number == inode).map(|(_, path)| path.as_str());
            *watched.entry(path.unwrap_or("none").to_owned()).or_default() += 1;
        }
        Self {
            descriptors,
            watched,
            cgroups: cgroups.len(),
            threads,
            resident_bytes: bytes("VmRSS:"),
            resident_bytes_max: bytes("VmHWM:"),
        }
    }

    /// All descriptors.
    pub(super) fn descriptors(&self) -> usize {
        self.descriptors.values().sum()
    }

    /// All inotify watches.
    pub(super) fn inotify_watches(&self) -> usize {
        self.watched.values().sum()
    }

    /// Panics if there are more descriptors of any kind, watches or threads than before.
    #[track_caller]
    pub(super) fn assert_holds_no_more_than(&self, before: &Self) {
        if let Some(more) = self.more_than(before) {
            panic!("more {more}: {self:?} after {before:?}");
        }
    }

    /// What it holds once that is no more than before, or what it still holds after [`patience`]: on a busy machine a cgroup may be
    /// watched for a moment after all ends are counted.
    pub(super) fn settled(exporter: &Exporter, before: &Self) -> Self {
        let end = Instant::now() + patience();
        loop {
            let held = Self::by(exporter);
            if held.more_than(before).is_none() || Instant::now() > end {
                return held;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Of what there is more than before.
    fn more_than(&self, before: &Self) -> Option<&str> {
        for (kind, count) in &self.descriptors {
            let more = if kind.starts_with("socket") { CONNECTIONS_MORE } else { 0 };
            if *count > before.descriptors.get(kind).copied().unwrap_or(0) + more {
                return Some(kind);
            }
        }
        let of_others = self.cgroups.saturating_sub(before.cgroups);
        if self.inotify_watches() > before.inotify_watches() + of_others + PARENTS_MORE {
            return Some("watches");
        }
        (self.threads > before.threads + THREADS_MORE).then_some("threads")
    }
}

/// The inodes that are watched, by what the kernel says of an inotify descriptor: `inotify wd:1 ino:1a2b sdev:…`.
fn inodes(information: &str) -> Vec<u64> {
    let of = |line: &str| line.split(' ').find_map(|word| word.strip_prefix("ino:")).map(str::to_owned);
    let watches = information.lines().filter(|line| line.starts_with("inotify ")).filter_map(of);
    watches.map(|digits| u64::from_str_radix(&digits, 16).expect("the kernel writes a number")).collect()
}

/// The directories below one, and their inodes; what goes meanwhile is passed over.
fn directories(root: &Path) -> Vec<(u64, String)> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below
        .flat_map(|entry| {
            let mut found = directories(&entry.path());
            found.push((entry.ino(), entry.path().display().to_string()));
            found
        })
        .collect()
}
