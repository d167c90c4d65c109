//! What a running exporter holds of its host: descriptors, watches, threads, memory.

use std::collections::BTreeMap;

use crate::harness::Exporter;

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
}
